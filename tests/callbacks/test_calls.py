"""The calls that embedded servers make: when, about what, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from jobkit_async import InvalidArgument, LeiaClient, VidispineClient
from jobkit_async.services.leia import models as leia_models
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.testing import CallbackFaults, FakeLeia, FakeVidispine, Plan

pytestmark = pytest.mark.looptime


class Inbox:
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 204
        self.came: list[tuple[float, Any]] = []
        self.headers: list[Any] = []

    async def take(self, request: web.Request) -> web.Response:
        self.came.append((asyncio.get_running_loop().time(), await request.json()))
        self.headers.append(request.headers)
        return web.Response(status=self.status)


@pytest.fixture
async def inbox(serve: Any) -> AsyncIterator[Inbox]:
    it = Inbox()
    app = web.Application()
    app.router.add_post("/", it.take)
    async with serve(app) as port:
        it.url = f"http://127.0.0.1:{port}/"
        yield it


def planned(rng: random.Random, job_type: str) -> Plan:
    return Plan(queued=10.0, running=90.0)


@pytest.fixture
async def leia() -> AsyncIterator[tuple[FakeLeia, LeiaClient]]:
    async with (
        FakeLeia(planner=planned) as server,
        LeiaClient(token="leia-token", base_url=server.base_url) as client,
    ):
        server.add_model("invoices", short_name="invoices")
        yield server, client


Pair = tuple[FakeLeia, LeiaClient]


async def test_leia_posts_the_job_when_it_has_ended(leia: Pair, inbox: Inbox) -> None:
    server, client = leia
    body = leia_models.ApplyBody(callback_headers={"X-Secret": "shared"})
    job = await client.models.admin_apply_model_async(
        "app-1", "invoices", ["d"], body=body, callback_url=inbox.url
    )
    await asyncio.sleep(99.0)
    assert inbox.came == []
    await asyncio.sleep(500.0)
    ((at, document),) = inbox.came
    assert at == server.ending(job.id).at  # type: ignore[union-attr]
    assert (document["id"], document["status"]) == (job.id, "PROCESSED")
    assert document["result"] is not None
    assert inbox.headers[0]["X-Secret"] == "shared"
    assert [(call.job, call.status) for call in server.calls.made] == [(job.id, 204)]


async def test_a_cancelled_job_and_what_waited_for_it(leia: Pair, inbox: Inbox) -> None:
    _, client = leia
    first = await client.models.admin_apply_model_async(
        "app-1", "invoices", ["d"], callback_url=inbox.url
    )
    second = await client.models.admin_apply_model_async(
        "app-1", "invoices", ["d"], execute_after_id=first.id, callback_url=inbox.url
    )
    await asyncio.sleep(50.0)
    await first.cancel()
    await asyncio.sleep(500.0)
    told = [(document["id"], document["status"]) for _, document in inbox.came]
    assert sorted(told) == sorted([(first.id, "CANCELED"), (second.id, "FAILED")])


async def test_a_blocked_job_is_called_about_once_it_has_run(leia: Pair, inbox: Inbox) -> None:
    server, client = leia
    job = await client.models.admin_apply_model_async(
        "app-1", "invoices", ["d"], block_processing=True, callback_url=inbox.url
    )
    await asyncio.sleep(500.0)
    assert inbox.came == []
    async with aiohttp.ClientSession(headers={"token": "leia-token"}) as session:
        await session.post(f"{server.base_url}/admin/app-1/job/{job.id}/start")
    await asyncio.sleep(500.0)
    assert len(inbox.came) == 1


async def test_vidispine_posts_each_change(inbox: Inbox) -> None:
    async with (
        FakeVidispine(planner=planned) as server,
        VidispineClient(username="user", password="secret", base_url=server.base_url) as client,
    ):
        name = server.add_notification(inbox.url)
        ends = server.add_notification(inbox.url, actions=["STOP"])
        job = await client.jobs.create_custom_job(
            "TRANSCODE", SimpleMetadataType(), jobmetadata=["k=v"], notification=name
        )
        stopped = await client.jobs.create_custom_job(
            "TRANSCODE", SimpleMetadataType(), notification=ends
        )
        aborted = await client.jobs.create_custom_job(
            "TRANSCODE", SimpleMetadataType(), notification=name
        )
        await client.jobs.create_custom_job("TRANSCODE", SimpleMetadataType(), notification="VX-N9")
        await asyncio.sleep(50.0)
        await aborted.cancel()
        await asyncio.sleep(500.0)
    documents = [
        {pair["key"]: pair["value"] for pair in document["field"]} for _, document in inbox.came
    ]

    def told(job_id: str) -> list[tuple[str, str, str]]:
        return [
            (each["sequenceNumber"], each["action"], each["status"])
            for each in documents
            if each["jobId"] == job_id
        ]

    assert told(job.id)[:2] == [("1", "CREATE", "READY"), ("2", "UPDATE", "STARTED")]
    assert told(job.id)[2][:2] == ("3", "STOP")
    assert [action for _, action, _ in told(stopped.id)] == ["STOP"]
    assert [status for *_, status in told(aborted.id)] == [
        "READY",
        "STARTED",
        "ABORTED_PENDING",
        "ABORTED",
    ]
    assert all(isinstance(value, str) for document in documents for value in document.values())
    assert documents[0]["k"] == "v"


@pytest.mark.parametrize(
    ("faults", "least", "most"),
    [
        (CallbackFaults(lost=1.0), 0, 0),
        (CallbackFaults(lost=0.5, seed=1), 10, 30),
        (CallbackFaults(doubled=1.0), 80, 80),
        (CallbackFaults(doubled=0.5, seed=1), 50, 70),
        (CallbackFaults(late=1.0, delay=1000.0), 40, 40),
    ],
)
async def test_faults(
    leia: Pair, inbox: Inbox, faults: CallbackFaults, least: int, most: int
) -> None:
    server, client = leia
    server.calls.faults = faults
    ids = [
        (
            await client.models.admin_apply_model_async(
                "app-1", "invoices", ["d"], callback_url=inbox.url
            )
        ).id
        for _ in range(40)
    ]
    await asyncio.sleep(5000.0)
    assert least <= len(inbox.came) <= most
    if faults.late:
        assert [document["id"] for _, document in inbox.came] != ids  # they overtake each other
        assert max(at for at, _ in inbox.came) - min(at for at, _ in inbox.came) > 500.0


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1:1/", None),
        ("https://leia.example/callback", None),
        ("http://localhost:99999/", None),
        ("nonsense", None),
        ("", None),
    ],
)
async def test_an_address_where_nobody_is(leia: Pair, url: str, status: int | None) -> None:
    server, client = leia
    job = await client.models.admin_apply_model_async("app-1", "invoices", ["d"], callback_url=url)
    await asyncio.sleep(500.0)
    assert [(call.job, call.url, call.status) for call in server.calls.made] == [
        (job.id, url, status)
    ]


async def test_no_test_calls_other_machines(leia: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = leia
    called: list[str] = []
    monkeypatch.setattr(aiohttp.ClientSession, "post", lambda _, url, **more: called.append(url))
    await client.models.admin_apply_model_async(
        "app-1", "invoices", ["d"], callback_url="https://app.example/callbacks/x"
    )
    await asyncio.sleep(500.0)
    assert [call.status for call in server.calls.made] == [None]
    assert called == []


async def test_an_answer_that_is_no_success_is_noted(leia: Pair, inbox: Inbox) -> None:
    server, client = leia
    inbox.status = 500
    await client.models.admin_apply_model_async("app-1", "invoices", ["d"], callback_url=inbox.url)
    await asyncio.sleep(500.0)
    assert [call.status for call in server.calls.made] == [500]


async def test_a_server_that_is_down_calls_when_it_is_back(leia: Pair, inbox: Inbox) -> None:
    server, client = leia
    await client.models.admin_apply_model_async("app-1", "invoices", ["d"], callback_url=inbox.url)
    await server.outage(300.0)
    assert inbox.came == []
    await asyncio.sleep(1.0)
    assert len(inbox.came) == 1


@pytest.mark.parametrize("name", ["lost", "doubled", "late"])
@pytest.mark.parametrize("share", [-0.1, 1.1, "half", None, float("nan")])
async def test_a_share_out_of_bounds(name: str, share: Any) -> None:
    with pytest.raises(InvalidArgument) as raised:
        CallbackFaults(**{name: share})
    assert raised.value.argument == name


async def test_faults_of_another_kind(leia: Pair) -> None:
    server, _ = leia
    other: Any = 0.5
    with pytest.raises(InvalidArgument, match="CallbackFaults are due, not float"):
        server.calls.faults = other
    assert repr(server.calls) == "<Calls: 0 made, 0 due>"
