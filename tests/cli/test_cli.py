"""The command line, in this process and in one of its own."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import jobkit_async
from jobkit_async import ConnectFailed, JobState, demo
from jobkit_async.cli import commands, main
from jobkit_async.cli.demo import SHOWN
from jobkit_async.cli.serve import directions, serve
from jobkit_async.demo import DemoResult, Reporter, ServiceResult
from jobkit_async.fakes.timeline import Plan
from jobkit_async.registry import find_service, service_names
from jobkit_async.testing import FakeBsubio

COMMAND = [sys.executable, "-m", "jobkit_async"]
PATIENCE = 30
"""Seconds that a process of its own may take."""


def jobkit(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(commands, arguments, env=environment)


def started(*arguments: str) -> subprocess.Popen[str]:
    """A process that hears Ctrl-C even where this one was started without ears for it."""
    code = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('jobkit_async', run_name='__main__', alter_sys=True)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C; what the process says from there on."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=PATIENCE)
    finally:
        process.kill()


def result_of(*mismatches: str) -> DemoResult:
    outcomes = {JobState.SUCCEEDED: 6, JobState.FAILED: 3, JobState.RUNNING: 1}
    service = ServiceResult(
        service="bsubio",
        jobs=10,
        outcomes=outcomes,
        requests=57,
        status_requests=25,
        mean_delay=1.234,
        p95_delay=5.678,
    )
    return DemoResult([service], list(mismatches), 9.87)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for the demo: ``result`` is what comes of it, ``asked`` what it was asked for."""
    play: dict[str, Any] = {"result": result_of(), "asked": None}

    async def run_demo(reporter: Reporter, **asked: Any) -> DemoResult:
        play["asked"] = asked
        if isinstance(play["result"], BaseException):
            raise play["result"]
        reporter.began("bsubio", "http://127.0.0.1:1", 10)
        reporter.moved("bsubio", 10, Counter())
        for over in range(1, 11):
            reporter.moved("bsubio", 10, Counter({JobState.SUCCEEDED: over}))
        reporter.said("a file [was] downloaded")
        return play["result"]

    monkeypatch.setattr(demo, "run_demo", run_demo)
    return play


# -- the command line as such


def test_version_and_help() -> None:
    assert re.fullmatch(r"jobkit, version \d+\.\d+\.\d+\n", jobkit("--version").output)
    text = jobkit("--help").output
    assert re.findall(r"^  (\w+)  +\S", text, re.MULTILINE) == [
        "call",
        "demo",
        "list",
        "serve",
        "wait",
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["demo", "--service", "bsubo"], "no service 'bsubo'; did you mean 'bsubio'?"),
        (["demo", "--service", "leia", "--service", "xyz"], "no service 'xyz'; there are bsubio,"),
        (["demo", "--jobs", "0"], "0 is not in the range x>=1"),
        (["serve", "ecotaxy"], "no service 'ecotaxy'; did you mean 'ecotaxa'?"),
        (["serve"], "Missing argument 'SERVICE'"),
        (["serve", "leia", "--port", "65536"], "65536 is not in the range"),
        (["serve", "leia", "--port", "0", "--jobs", "1"], "jobs of leia are created over HTTP"),
        (["serve", "vidispine", "--port", "0", "--jobs", "1"], "created over HTTP: leave out"),
        (["dance"], "No such command 'dance'"),
    ],
)
def test_what_cannot_be_understood(arguments: list[str], problem: str) -> None:
    result = jobkit(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_the_extra(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; from jobkit_async.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("jobkit needs more to be installed: pip install 'jobkit-async[cli]'\n")


def test_the_library_does_not_load_what_only_the_command_line_needs() -> None:
    code = (
        "import sys, jobkit_async as j; [getattr(j, name) for name in j.__all__]; "
        "import jobkit_async.testing, jobkit_async.demo; print({'click', 'rich'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (None, 0, ""),
        (KeyboardInterrupt(), 130, "\n"),
        (ConnectFailed("no way", operation="get_job"), 1, "Error: no way\n"),
        (click.UsageError("not like this"), 2, "not like this"),
    ],
)
def test_exit_statuses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    played: dict[str, Any],
    raised: BaseException | None,
    status: int,
    said: str,
) -> None:
    if raised is not None:
        played["result"] = raised
    monkeypatch.setattr(sys, "argv", ["jobkit", "demo"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code in ({0, None} if status == 0 else {status})
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


# -- jobkit demo


def test_demo_passes_its_options_on(played: dict[str, Any]) -> None:
    assert jobkit("demo").exit_code == 0
    assert played["asked"] == {"services": demo.SERVICES, "jobs": 100, "seed": 0}
    options = ["--jobs", "7", "--seed", "5", "--service", "leia", "--service", "bsubio"]
    assert jobkit("demo", *options).exit_code == 0
    assert played["asked"] == {"services": ["leia", "bsubio"], "jobs": 7, "seed": 5}


def test_demo_tells_how_it_goes_in_lines(played: dict[str, Any]) -> None:
    result = jobkit("demo")
    lines = result.output.splitlines()
    assert lines[:6] == [
        "bsubio: 10 jobs go to http://127.0.0.1:1",
        "bsubio: 3 of 10 jobs ended: 3 succeeded",
        "bsubio: 5 of 10 jobs ended: 5 succeeded",
        "bsubio: 8 of 10 jobs ended: 8 succeeded",
        "bsubio: 10 of 10 jobs ended: 10 succeeded",
        "a file [was] downloaded",
    ]
    heads = "service succeeded failed cancelled other requests status job delay delay"
    assert heads.split() in [line.split() for line in lines]
    row = ["bsubio", "6", "3", "0", "1", "57", "25", "2.50", "1.23s", "5.68s"]
    assert row in [line.split() for line in lines]
    assert lines[-1] == "All 10 outcomes equal the servers' ledgers, in 9.9 s."
    assert max(map(len, lines)) <= 80


def test_demo_tells_how_it_goes_by_bars_on_a_terminal(played: dict[str, Any]) -> None:
    output = click.unstyle(jobkit("demo", FORCE_COLOR="1", COLUMNS="100", TERM="xterm").output)
    assert "━" in output
    assert "10/10 10 succeeded" in output
    assert "a file [was] downloaded" in output
    assert "of 10 jobs ended" not in output
    assert output.endswith("All 10 outcomes equal the servers' ledgers, in 9.9 s.\n")


def test_demo_lists_mismatches(played: dict[str, Any]) -> None:
    played["result"] = result_of(*(f"job {number} is wrong" for number in range(SHOWN + 3)))
    result = jobkit("demo")
    assert result.exit_code == 1
    assert "ledgers, in" not in result.output
    shown = [line for line in result.stdout.splitlines() if line.startswith("MISMATCH ")]
    assert shown == [f"MISMATCH job {number} is wrong" for number in range(SHOWN)]
    assert "... and 3 more" in result.stdout
    assert result.stderr == "23 mismatches with the servers' ledgers.\n"


@pytest.mark.parametrize("honest", [True, False])
def test_demo_fails_where_the_ledger_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, honest: bool
) -> None:
    def short(rng: random.Random, job_type: str) -> Plan:
        return Plan(queued=0.01, running=0.05, outcome="success")

    monkeypatch.setattr(demo, "planned", short)
    if not honest:
        monkeypatch.setattr(FakeBsubio, "ending", lambda server, job_id: None)
    result = jobkit("demo", "--jobs", "3", "--service", "bsubio")
    assert result.exit_code == (0 if honest else 1)
    mismatches = re.findall(
        r"^MISMATCH bsubio job \S+: came as succeeded", result.stdout, re.MULTILINE
    )
    assert len(mismatches) == (0 if honest else 3)


def test_demo_ends_cleanly_with_ctrl_c() -> None:
    process = started("demo", "--jobs", "3")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("bsubio: 3 jobs go to ")
    out, err = interrupted(process)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert "All" not in out


@pytest.mark.slow
def test_demo_in_real_time() -> None:
    arguments = [*COMMAND, "demo", "--jobs", "5", "--service", "bsubio"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "bsubio: 5 of 5 jobs ended: " in done.stdout
    assert "All 5 outcomes equal the servers' ledgers" in done.stdout


# -- jobkit serve


@pytest.mark.parametrize("name", service_names())
async def test_the_directions_lead_to_the_server(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spec = find_service(name)

    async def reaches(client: Any, server: Any) -> None:
        operation, arguments = {
            "bsubio": ("list_jobs", ()),
            "ecotaxa": ("list_jobs", (False,)),
            "leia": ("admin_get_jobs", ()),
            "vidispine": ("get_jobs", ()),
        }[name]
        before = server.requests[operation]
        async with client:
            assert len(await getattr(client.jobs, operation)(*arguments)) == 0
        assert server.requests[operation] == before + 1

    async with spec.fake() as server:
        text = directions(spec, server, 0)
        calls = [line.strip() for line in text.splitlines() if re.match(r" +\w+Client\(", line)]
        assert len(calls) == (2 if name in ("ecotaxa", "leia") else 1)
        for call in calls:
            await reaches(
                eval(call, vars(jobkit_async) | {spec.client.__name__: spec.client}), server
            )
        for variable, value in re.findall(r"^ +export (\w+)=(.*)$", text, re.MULTILINE):
            monkeypatch.setenv(variable, value)
        await reaches(spec.client.from_env(), server)


async def test_the_directions_lead_to_a_first_job_of_leia() -> None:
    spec = find_service("leia")
    async with spec.fake() as server:
        text = directions(spec, server, 0)
        assert "It has no models yet. A client makes one for the application app-1, and" in text
        (steps,) = re.findall(r"and a job:\n\n((?: {4}.+\n)+)\n", text)
        code = f"async def first(client):\n{steps}    return model, job"
        space: dict[str, Any] = {}
        exec(code, space)
        async with jobkit_async.LeiaClient(token="leia-token", base_url=server.base_url) as client:
            model, job = await space["first"](client)
    assert server.ledger.count("model_created", model.id) == 1
    assert [job.id] == list(server.jobs)


@pytest.mark.parametrize(
    ("name", "jobs", "told"),
    [("bsubio", 0, False), ("ecotaxa", 0, True), ("ecotaxa", 3, False), ("vidispine", 0, False)],
)
async def test_the_directions_tell_how_to_get_jobs_that_no_operation_creates(
    name: str, jobs: int, told: bool
) -> None:
    spec = find_service(name)
    async with spec.fake() as server:
        text = directions(spec, server, jobs)
    assert ("It has no jobs, and its API creates none: start it again with --jobs" in text) is told
    assert "models" not in text


def test_serve_until_ctrl_c() -> None:
    process = started("serve", "ecotaxa", "--port", "0", "--jobs", "4", "--seed", "3")
    assert process.stdout is not None
    said = ""
    while "Ctrl-C stops it." not in said:
        line = process.stdout.readline()
        assert line, process.communicate()
        said += line
    found = re.match(r"ecotaxa listens on (http://127\.0\.0\.1:\d+/api), with 4 jobs\n", said)
    assert found is not None

    async def look() -> list[int]:
        client = jobkit_async.EcotaxaClient(
            username="user@example.org", password="secret", base_url=found[1]
        )
        async with client:
            return sorted(job.id for job in await client.jobs.list_jobs(False))

    assert asyncio.run(look()) == [1, 2, 3, 4]
    out, err = interrupted(process)
    assert (process.returncode, out, err) == (0, "stopped\n", "")


@pytest.mark.looptime
async def test_serve_with_faults(capsys: pytest.CaptureFixture[str]) -> None:
    serving = asyncio.ensure_future(serve(find_service("bsubio"), 0, 3, 0, 0.5))
    said = ""
    while "Ctrl-C stops it." not in said:
        await asyncio.sleep(0.01)
        said += capsys.readouterr().out
    assert "\nFaults strike 50% of the requests.\n" in said
    found = re.match(r"bsubio listens on (\S+)\n", said)
    assert found is not None
    failed = 0
    async with jobkit_async.BsubioClient(api_key="bsub-key", base_url=found[1]) as client:
        for _ in range(40):
            try:
                await client.with_options(retries=0).jobs.list_jobs()
            except jobkit_async.JobkitError:
                failed += 1
    assert 8 < failed < 25  # some of the faults are mere delays
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


def test_serve_on_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = jobkit("serve", "bsubio", "--port", str(port))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: cannot listen on port {port}: ")
    assert os.strerror(98 if sys.platform == "linux" else 48).lower() in result.stderr.lower()
