"""The command line knows Gridbatch by its entry point."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys

from jobkit_async.testing import Plan
from jobkit_gridbatch.fake import FakeGridbatch

JOBKIT = [sys.executable, "-m", "jobkit_async"]


def test_it_serves_gridbatch() -> None:
    # A process that hears Ctrl-C even where this one was started without ears for it.
    code = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('jobkit_async', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", code, "serve", "gridbatch", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline()]
        while "Ctrl-C" not in told[-1]:
            told.append(process.stdout.readline())
            assert told[-1], told
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert re.match(r"gridbatch listens on http://127\.0\.0\.1:\d+\n", told[0])
    assert any("GridbatchClient(api_key='grid-key', base_url=" in line for line in told)
    assert any("export GRIDBATCH_API_KEY=grid-key" in line for line in told)


def test_a_name_that_nearly_fits() -> None:
    done = subprocess.run(
        [*JOBKIT, "serve", "gridbach"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "did you mean 'gridbatch'?" in done.stderr


async def test_it_calls_lists_and_awaits_operations_and_jobs(fake_gridbatch: FakeGridbatch) -> None:
    server = fake_gridbatch
    variables = {"GRIDBATCH_BASE_URL": server.base_url, "GRIDBATCH_API_KEY": server.api_key}

    async def jobkit(*arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *JOBKIT,
            *arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, **variables},
        )
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    server.next_jobs(Plan.succeeds(after=0.1), Plan.fails("disk full", after=0.1))
    request = '{"jobName": "frame", "jobQueue": "night", "jobDefinition": "render:3"}'
    ids: list[str] = []
    for _ in range(2):
        status, told = await jobkit(
            "call", "gridbatch", "submit_job", "--submit-job-request", request
        )
        assert status == 0
        ids.append(json.loads(told)["jobId"])
    assert ids == [*server.jobs]
    status, told = await jobkit("list", "gridbatch")
    assert status == 0
    assert [line.split()[0] for line in told.splitlines()] == ids[::-1]
    status, told = await jobkit("wait", "gridbatch", *ids)
    assert status == 1  # for one has failed
    assert "disk full" in told
