"""Every code block of the README and of the documentation does what it says.

The two shell commands are run by ``.ci/run``, in a fresh copy with a fresh environment; here it is
only shown that these are the ones which it picks.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobkit_async import BsubioClient, EcotaxaClient, LeiaClient
from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia, Plan

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [body for found, body in FENCE.findall(text) if found == language]


def execute(code: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec", dont_inherit=True), space)
    return space


@contextmanager
def serving(**options: Any) -> Iterator[FakeBsubio]:
    """An embedded bsub.io in a thread of its own, as code with its own event loop needs it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> FakeBsubio:
        server = FakeBsubio(**options)
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_the_first_block_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text[: text.index("asyncio.run(main())")].count("\n") < 35
    plan = Plan(queued=0.0, running=0.01)
    with serving(api_key="your key", planner=lambda rng, job_type: plan) as server:
        monkeypatch.setitem(BsubioClient.__init__.__kwdefaults__, "base_url", server.base_url)
        # In a thread of its own: asyncio.run() leaves its mark on the thread's event loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(execute, blocks("README.md", "python")[0]).result(30)
        (job,) = server.jobs.values()
        assert job.data == b"%PDF-1.7 ..."
    assert capsys.readouterr().out.startswith("finished 20")


@pytest.mark.looptime
async def test_the_block_about_many_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    follow = execute(blocks("README.md", "python")[1])["follow"]
    async with FakeEcotaxa() as first, FakeLeia() as second:
        first.create_job()
        first.create_job("FileImport", question={"missing_users": ["me"]})
        second.add_model("invoices", short_name="invoices")
        async with (
            EcotaxaClient(token="eco-token", base_url=first.base_url) as ecotaxa,
            LeiaClient(token="leia-token", base_url=second.base_url) as leia,
        ):
            await follow(ecotaxa, leia)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 3
    assert sum("asks {'missing_users': ['me']}" in line for line in told) == 1
    assert sum("jk1:leia:" in line for line in told) == 1


def test_the_block_about_pacing() -> None:
    execute(blocks("README.md", "python")[2])


@pytest.mark.looptime
async def test_the_block_that_is_a_test() -> None:
    await execute(blocks("README.md", "python")[3])["test_a_failure_is_told"]()


def test_no_other_block_in_the_readme() -> None:
    assert len(blocks("README.md", "python")) == 4
    assert len(blocks("README.md", "console")) == 2


def test_the_block_about_policies() -> None:
    (code,) = blocks("docs/waiting.md", "python")
    polling = execute(code)["polling"]
    assert polling.policy is not None


def test_continuous_integration_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (definition,) = re.findall(r"^readme_command\(\).*$", script, re.MULTILINE)
    for command, word in zip(
        blocks("README.md", "console"), ("jobkit demo", "pytest"), strict=True
    ):
        assert command.count("\n") == 1
        assert f"readme_command {word}" in script.replace("'", "")
        done = subprocess.run(
            ["bash", "-c", f'tree={ROOT}; {definition}; readme_command "{word}"'],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == command
