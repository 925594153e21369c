"""The faults of the embedded servers: what they do on the wire, to whom, and how often."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobkit_async import (
    AnswerTooLarge,
    BsubioClient,
    DecodeError,
    EcotaxaClient,
    InvalidArgument,
    OutcomeUnknown,
    Polling,
    ServerError,
)
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import (
    COMMON_FAULTS,
    FakeBsubio,
    FakeEcotaxa,
    Fault,
    Faults,
    Plan,
)

pytestmark = pytest.mark.looptime(start=100, resolution=1e-3)

NEW = CreateJobRequest(type="pdf/extract")


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
async def server() -> AsyncIterator[FakeBsubio]:
    async with FakeBsubio(planner=lambda rng, job_type: Plan(queued=1, running=9)) as running:
        yield running


@pytest.fixture
async def client(server: FakeBsubio) -> AsyncIterator[BsubioClient]:
    polling = Polling(rng=random.Random(0))
    async with BsubioClient(
        api_key=server.api_key, base_url=server.base_url, polling=polling
    ) as opened:
        yield opened


@pytest.fixture
async def http(server: FakeBsubio) -> AsyncIterator[Any]:
    """Asks for the list of jobs with nothing between: status, headers and body, or the error."""
    async with aiohttp.ClientSession() as session:

        async def ask() -> tuple[int, Any, bytes]:
            async with session.get(
                server.base_url + "/v1/jobs",
                headers={"Authorization": "Bearer bsub-key"},
                allow_redirects=False,
                # Which keeps aiohttp from asking again by itself after a lost connection.
                middlewares=[once],
            ) as answer:
                return answer.status, answer.headers, await answer.read()

        yield ask


async def once(request: Any, handler: Any) -> Any:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise ConnectionError(type(error).__name__) from error


# -- what they do


async def test_an_error_is_worded_as_the_service_words_its_own(
    server: FakeBsubio, http: Any
) -> None:
    server.faults = Faults(Fault.status(503, retry_after=2))
    status, headers, body = await http()
    assert (status, headers["Retry-After"]) == (503, "2")
    assert body == b'{"success": false, "error": "Service Unavailable"}'
    server.faults = Faults(Fault.status(599, retry_after="soon"))
    status, headers, body = await http()
    assert (status, headers["Retry-After"]) == (599, "soon")


async def test_another_body(server: FakeBsubio, http: Any) -> None:
    server.faults = Faults(Fault.body("\ufeff<html>", content_type="text/html", status=502))
    status, headers, body = await http()
    assert (status, headers["Content-Type"]) == (502, "text/html")
    assert body == b"\xef\xbb\xbf<html>"


async def test_a_redirect(server: FakeBsubio, http: Any) -> None:
    server.faults = Faults(Fault.redirect("https://front.example/", status=307))
    status, headers, body = await http()
    assert (status, headers["Location"], body) == (307, "https://front.example/", b"")


async def test_a_gzip_bomb(server: FakeBsubio, client: BsubioClient, http: Any) -> None:
    server.faults = Faults(Fault.gzip_bomb(3_000_000))
    _, headers, body = await http()
    assert body == b'"' + b" " * (len(body) - 2) + b'"'
    assert abs(len(body) - 3_000_000) < 1 << 20
    assert int(headers["Content-Length"]) < 5000
    server.faults = Faults(Fault.gzip_bomb(100 << 20))
    with pytest.raises(AnswerTooLarge):
        await client.jobs.get_job("j")


async def test_a_connection_that_is_reset(server: FakeBsubio, http: Any) -> None:
    server.faults = Faults(Fault.drop())
    with pytest.raises(aiohttp.ClientOSError, match=r"^ClientOSError$"):  # a reset, no mere end
        await http()


async def test_a_connection_that_is_reset_in_the_headers(server: FakeBsubio, http: Any) -> None:
    server.faults = Faults(Fault.drop("in headers"))
    with pytest.raises(aiohttp.ClientOSError, match=r"^(ClientOSError|ServerDisconnectedError)$"):
        await http()


@pytest.mark.parametrize("fault", [Fault.drop("in body"), Fault.truncate()])
async def test_a_body_that_breaks_off(server: FakeBsubio, http: Any, fault: Fault) -> None:
    server.faults = Faults(fault)
    with pytest.raises(aiohttp.ClientPayloadError):
        await http()


@pytest.mark.parametrize("at", ["before headers", "in headers", "in body"])
async def test_a_delay_passes_in_the_loops_time(server: FakeBsubio, http: Any, at: Any) -> None:
    calm = await http()
    server.faults = Faults(Fault.delay(7.5, at))
    began = now()
    status, _, body = await http()
    assert now() - began == pytest.approx(7.5, abs=0.01)
    assert (status, body) == (calm[0], calm[2])


async def test_a_file_breaks_off() -> None:
    plan = Plan(queued=0.1, running=0.1)
    async with (
        FakeEcotaxa(planner=lambda rng, job_type: plan) as server,
        aiohttp.ClientSession(headers={"Authorization": "Bearer eco-token"}) as session,
    ):
        job = server.create_job()
        await asyncio.sleep(1)
        job.file = b"x" * 100_000
        url = f"{server.base_url}/jobs/{job.id}/file"
        server.faults = Faults(Fault.truncate(), times=1)
        async with session.get(url) as answer:
            assert answer.headers["Content-Length"] == "100000"
            assert await answer.content.readexactly(50_000) == b"x" * 50_000
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        async with session.get(url) as answer:
            assert await answer.read() == job.file


# -- before and after the effect

BEFORE = [
    Fault.status(500),
    Fault.body(b"<html>", content_type="text/html"),
    Fault.redirect("/elsewhere"),
    Fault.drop(),
    Fault.delay(3600),
]
AFTER = [
    Fault.status(500, after_effect=True),
    Fault.body(b"<html>", content_type="text/html", after_effect=True),
    Fault.redirect("/elsewhere", after_effect=True),
    Fault.drop(after_effect=True),
    Fault.delay(3600, after_effect=True),
    Fault.drop("in headers"),
    Fault.drop("in body"),
    Fault.truncate(),
    Fault.delay(3600, "in body"),
]


@pytest.mark.parametrize(
    ("fault", "effects"),
    [(fault, 0) for fault in BEFORE] + [(fault, 1) for fault in AFTER],
    ids=lambda value: getattr(value, "name", None),
)
async def test_the_ledger_tells_whether_the_service_acted(
    server: FakeBsubio, client: BsubioClient, fault: Fault, effects: int
) -> None:
    assert fault.after_effect == bool(effects)
    server.faults = Faults(fault, times=1)
    with pytest.raises(Exception, match="create_job"):
        await client.jobs.create_job(NEW)
    await asyncio.sleep(7200)  # a delayed request whose client has gone is not acted upon
    assert server.ledger.count("created") == len(server.jobs) == effects
    assert server.struck == {"create_job": 1}
    await client.jobs.create_job(NEW)
    assert server.ledger.count("created") == effects + 1


async def test_a_call_whose_answer_is_lost_is_told_apart(
    server: FakeBsubio, client: BsubioClient
) -> None:
    server.faults = Faults(Fault.drop(after_effect=True), on="create_job", times=1)
    with pytest.raises(OutcomeUnknown, match="list_jobs"):
        await client.jobs.create_job(NEW)
    (job,) = await client.jobs.list_jobs(status="created")
    assert server.ledger.count("created", job.id) == 1


async def test_a_refusal_can_be_lost_too(server: FakeBsubio, http: Any) -> None:
    server.api_key = "another"
    server.faults = Faults(Fault.truncate(), times=1)
    with pytest.raises(aiohttp.ClientPayloadError):
        await http()
    status, _, _ = await http()
    assert status == 401


# -- to whom, and how often


async def test_each_request_is_struck_unless_said_otherwise(
    server: FakeBsubio, client: BsubioClient
) -> None:
    server.faults = Faults(Fault.status(503))
    with pytest.raises(ServerError):
        await client.jobs.list_jobs()
    assert server.struck == server.requests == {"list_jobs": 3}
    server.faults = None
    await client.jobs.list_jobs()
    assert server.struck.total() == 3


async def test_operations_and_times(server: FakeBsubio, client: BsubioClient) -> None:
    server.faults = [
        Faults(Fault.status(503), on="list_jobs", times=2),
        Faults(Fault.body(b"{", status=200), on=["list_jobs", "get_job"], times=1),
    ]
    job = await client.jobs.create_job(NEW)
    with pytest.raises(DecodeError):
        await client.jobs.list_jobs()
    await job.refresh()
    assert server.struck == {"list_jobs": 3}
    assert len(await client.jobs.list_jobs()) == 1


async def test_a_share_is_drawn_from_the_seed() -> None:
    def drawn(**options: Any) -> list[Fault | None]:
        faults = Faults(share=0.2, **options)
        return [faults.draw("get_job") for _ in range(2000)]

    first = drawn(seed=1)
    assert drawn(seed=1) == first
    assert drawn(seed=2) != first
    struck = [fault for fault in first if fault is not None]
    assert len(struck) == pytest.approx(400, abs=60)
    assert set(struck) == set(COMMON_FAULTS)
    assert sum(fault is not None for fault in drawn(seed=1, times=7)) == 7


async def test_what_is_common_passes(server: FakeBsubio, client: BsubioClient) -> None:
    server.faults = Faults(share=0.2, seed=3)
    patient = client.with_options(retries=6)
    for _ in range(40):
        await patient.jobs.list_jobs()
    assert server.struck.total() >= 5


async def test_log_ins_are_struck_too() -> None:
    faults = Faults(Fault.status(503), on="login", times=1)
    async with (
        FakeEcotaxa(username="me", password="pw", faults=faults) as server,
        EcotaxaClient(username="me", password="pw", base_url=server.base_url) as client,
    ):
        await client.jobs.list_jobs(False)
        assert server.requests["login"] == 2


# -- outages


async def test_an_outage(server: FakeBsubio, client: BsubioClient) -> None:
    job = await client.jobs.create_job(NEW)
    await job.upload(b"data")
    await job.submit()
    waiting = asyncio.ensure_future(job.wait())
    await server.outage(600)
    began = now()
    assert (await waiting).status == "finished"
    assert now() - began < 90
    assert server.ledger.count("submitted") == 1


async def test_during_an_outage_connections_are_refused(
    server: FakeBsubio, client: BsubioClient
) -> None:
    await client.jobs.list_jobs()
    down = asyncio.ensure_future(server.outage(60))
    await asyncio.sleep(1)
    with pytest.raises(ConnectionError):
        await client.jobs.list_jobs()
    url = server.base_url
    await down
    assert server.base_url == url
    assert (await client.jobs.list_jobs()).total == 0


async def test_a_restart_in_mid_wait(server: FakeBsubio, client: BsubioClient) -> None:
    job = await client.jobs.create_job(NEW)
    await job.upload(b"data")
    await job.submit()
    waiting = asyncio.ensure_future(job.wait())
    await asyncio.sleep(2)
    await server.outage()
    assert (await waiting).status == "finished"


async def test_a_server_that_was_closed_in_its_outage_stays_so() -> None:
    async with FakeBsubio() as server:
        down = asyncio.ensure_future(server.outage(5))
        await asyncio.sleep(1)
    await down
    assert "not running" in repr(server)


# -- arguments


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: Fault.status(200), "code"),
        (lambda: Fault.body(b"", status=100), "status"),
        (lambda: Fault.redirect("/", status=200), "status"),
        (lambda: Fault.drop("half-way"), "at"),  # type: ignore[arg-type]
        (lambda: Fault.delay(-1), "seconds"),
        (lambda: Faults(503), "faults"),  # type: ignore[arg-type]
        (lambda: Faults(share=0), "share"),
        (lambda: Faults(share=1.1), "share"),
        (lambda: Faults(times=-1), "times"),
        (lambda: FakeBsubio(faults=Faults(on="submitjob")), "faults"),
        (lambda: FakeBsubio(faults=[Fault.drop()]), "faults"),  # type: ignore[list-item]
    ],
)
async def test_arguments(make: Any, argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        make()
    assert caught.value.argument == argument


def test_reprs() -> None:
    faults = Faults(Fault.drop(), on=["get_job", "list_jobs"], share=0.25, times=3)
    assert repr(faults) == (
        "<Faults: 1 kinds, on get_job, list_jobs, 25% of requests, 3 times more>"
    )
    assert "the common ones, on all operations, 100% of requests" in repr(Faults())
    assert repr(Fault.body(b"secret")) == (
        "Instead(name='body, status 200', after_effect=False, code=200)"
    )


def test_every_fault_stands_in_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "testing.md"
    found = re.findall(r"^\| `Fault\.(\w+)\(", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert found == [name for name, of in vars(Fault).items() if isinstance(of, staticmethod)]


def test_the_common_faults_are_ones_that_pass() -> None:
    """None of them lasts longer than a client with the default timeout is willing to wait."""
    assert len(set(COMMON_FAULTS)) == len(COMMON_FAULTS)
    assert all(getattr(fault, "seconds", 0.0) < 30.0 for fault in COMMON_FAULTS)
    assert any(fault.after_effect for fault in COMMON_FAULTS)
