"""What the log tells of requests and of outages, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jobkit_async import (
    ConnectFailed,
    JobkitError,
    LeiaClient,
    Polling,
    RequestTimeout,
    WaitTimeout,
)
from jobkit_async.testing import FakeLeia
from jobkit_async.transport.exchange import Outage

pytestmark = pytest.mark.looptime(end=100_000)

Connect = Callable[..., Awaitable[Any]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """What the transport has logged at a level so far."""
    caplog.set_level(logging.DEBUG, "jobkit_async")

    def told(level: int = logging.DEBUG) -> list[str]:
        return [
            one.getMessage()
            for one in caplog.records
            if one.name == "jobkit_async.transport" and one.levelno == level
        ]

    return told


async def test_one_line_a_request(serve: Any, connect: Connect, lines: Any) -> None:
    server = await serve(serve.http(404, b"no such job"), serve.jobs, serve.hang)
    client = (await connect("bsubio", server.url, timeout=2.0)).with_options(retries=0)
    with pytest.raises(JobkitError):
        await client.jobs.get_job("7")
    await client.jobs.list_jobs(status="pending", limit=3)
    with pytest.raises(RequestTimeout):
        await client.jobs.get_job("a/b")
    size = len(serve.jobs.partition(b"\r\n\r\n")[2])
    assert [re.sub(r"\d\.\d{3} s", "N s", line) for line in lines()] == [
        "GET /v1/jobs/7: 404 after N s, 11 bytes",
        f"GET /v1/jobs?status=pending&limit=3: 200 after N s, {size} bytes",
        "GET /v1/jobs/a%2Fb: RequestTimeout after N s, 0 bytes",
    ]
    assert float(lines()[2].split()[4]) == pytest.approx(2.0, abs=0.1)


async def test_the_line_of_a_download_comes_at_its_end(
    serve: Any, connect: Connect, lines: Any
) -> None:
    server = await serve(serve.http(200, b"x" * 5000))
    client = await connect("ecotaxa", server.url)
    download = await client.jobs.get_job_file(7)
    await asyncio.sleep(7)
    assert lines() == []
    await download.read()
    assert [line.split()[-2:] for line in lines()] == [["5000", "bytes"]]


async def test_an_upload_token_in_a_path_is_not_logged(
    serve: Any, connect: Connect, lines: Any
) -> None:
    server = await serve(serve.json({"success": True, "data": {}}))
    client = await connect("bsubio", server.url)
    await client.jobs.upload_job_data("7", "planted/up load", b"the body")
    (line,) = lines()
    assert line.startswith("POST /v1/upload/7?token=***: 200 after ")
    assert "the body" not in line


async def test_a_look_that_fails_is_logged_without_what_the_service_said(
    serve: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "jobkit_async")
    server = await serve(serve.http(500, b"Traceback of ours"), serve.drop)
    client = await connect("leia", server.url, polling=Polling(max_interval=10.0))
    with pytest.raises(WaitTimeout):
        await client.job("7", submitter_id="s").wait(timeout=60)
    told = [one for one in caplog.records if one.name == "jobkit_async.polling"]
    assert {one.levelno for one in told} == {logging.INFO}
    assert {one.getMessage() for one in told} == {
        "leia: a look failed: HTTP 500",
        "leia: a look failed: ConnectionLost",
    }


# -- outages


async def test_an_outage_is_logged_when_it_begins_and_when_it_is_over(lines: Any) -> None:
    async with FakeLeia() as server:
        polling = Polling(min_interval=1.0, max_interval=10.0)
        options = {"base_url": server.base_url, "polling": polling}
        async with LeiaClient(token="leia-token", **options) as client:
            server.add_model("m", short_name="m")
            job = await client.models.admin_apply_model_async("app-1", "m", ["d"])
            await server.aclose()
            wait = asyncio.create_task(job.wait(check=False))
            await asyncio.sleep(600)
            (begun,) = lines(logging.WARNING)
            with pytest.raises(ConnectFailed):
                await client.jobs.admin_get_jobs()
            await server.start()
            await wait
            _, over = lines(logging.WARNING)
    host = re.escape(server.base_url.split("/")[2])
    assert re.fullmatch(rf"{host} has not answered for \d+ s: ConnectFailed", begun)
    found = re.fullmatch(rf"{host} answers again, after an outage of (\d+) s", over)
    assert found is not None
    assert 595 <= float(found[1]) <= 660  # and the next look comes some time after


def told(caplog: pytest.LogCaptureFixture, *events: tuple[float, bool]) -> list[str]:
    """What an outage's log says: at each time a request failed, or had its answer."""
    outage = Outage("host")
    caplog.clear()
    for at, answered in events:
        if answered:
            outage.answered(at)
        else:
            outage.failed("ConnectFailed", at)
    return [one.getMessage() for one in caplog.records]


def test_what_is_an_outage_and_what_is_none(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, (0, False), (1, False), (2, False), (3, True)) == []
    assert told(caplog, (0, False), (9, False), (10, True), (20, False), (29, False)) == []
    begun = "host has not answered for 5 s: ConnectFailed"
    assert told(caplog, (0, False), (1, False), (5, False)) == [begun]
    assert told(caplog, (0, False), (1, False), (5, False), (9, False), (10, True), (11, True)) == [
        begun,
        "host answers again, after an outage of 10 s",
    ]
    outage = [(0.0, False), (1.0, False), (5.0, False), (6.0, True)]
    assert len(told(caplog, *outage, *((at + 100, answered) for at, answered in outage))) == 4


@pytest.mark.parametrize(
    ("status", "outages"), [(400, 0), (404, 0), (429, 0), (500, 0), (502, 1), (503, 1), (504, 1)]
)
async def test_which_answers_are_none(
    serve: Any, connect: Connect, lines: Any, status: int, outages: int
) -> None:
    server = await serve(serve.http(status))
    client = (await connect("bsubio", server.url)).with_options(retries=0)
    for _ in range(4):
        with pytest.raises(JobkitError):
            await client.jobs.get_job("7")
        await asyncio.sleep(4)
    assert len(lines(logging.WARNING)) == outages


async def test_a_cancelled_call_and_a_closed_client_are_no_outage(
    serve: Any, connect: Connect, lines: Any
) -> None:
    server = await serve(serve.hang)
    client = await connect("bsubio", server.url)
    calls = []
    for number in range(8):
        call = asyncio.create_task(client.jobs.get_job("7"))
        await asyncio.sleep(3)
        if number < 4:
            call.cancel()
        calls.append(call)
    await client.aclose()
    await asyncio.gather(*calls, return_exceptions=True)
    assert len(lines()) == 8
    assert lines(logging.WARNING) == []


# -- a program that has not asked for anything

QUIET = """
import asyncio
from jobkit_async import BsubioClient, ConnectFailed, Hooks

async def main():
    async with BsubioClient(api_key="k", base_url="http://127.0.0.1:9", hooks=Hooks()) as client:
        try:
            await client.with_options(retries=1).jobs.get_job("7")
        except ConnectFailed:
            print("refused")

asyncio.run(main())
"""


@pytest.mark.looptime(False)
def test_nothing_is_printed_unasked() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIET],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")
