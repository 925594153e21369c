"""The two web applications of the examples, as visitors and services meet them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession

from jobkit_async import BsubioClient, Polling
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio, Plan

LONG = Plan(queued=0.1, running=600.0)


async def start(place: Any, visitor: ClientSession) -> str:
    """Start a job; the address of its page."""
    async with visitor.post(f"{place.url}/jobs", json={"document": "a.mov"}) as response:
        assert response.status == 201, await response.text()
        page: str = (await response.json())["page"]
        return place.url + page


async def events(response: ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """What a stream tells, up to its end."""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line == "event: end":
            return
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
    raise EOFError


async def story(page: str, visitor: ClientSession) -> list[dict[str, Any]]:
    async with visitor.get(f"{page}/events") as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        return [event async for event in events(response)]


async def test_a_job_from_the_form_to_its_end(place: Any, visitor: ClientSession) -> None:
    place.plan = Plan(queued=0.2, running=0.4)
    async with place.running() as app:
        async with visitor.get(place.url) as response:
            assert "<form>" in await response.text()
        page = await start(place, visitor)
        async with visitor.get(page) as response:
            assert (response.status, response.content_type) == (200, "text/html")
        told = await story(page, visitor)
        states = [event["state"] for event in told]
        assert states[-1] == "succeeded"
        assert states[0] in ("pending", "running")
        assert told[-1]["progress"] == 1.0
        # Who comes later is told how it ended, from what was kept.
        looks = sum(place.server.requests.values())
        assert [event["state"] for event in await story(page, visitor)] == ["succeeded"]
        assert sum(place.server.requests.values()) == looks
        assert {call.status for call in place.server.calls.made} == {204}
        assert len(app.client._tracker) == 0


async def test_a_failure_and_its_reason(place: Any, visitor: ClientSession) -> None:
    place.plan = Plan(queued=0.1, running=0.2, outcome="failure", message="the film has torn")
    async with place.running():
        told = await story(await start(place, visitor), visitor)
    assert (told[-1]["state"], told[-1]["message"]) == ("failed", "the film has torn")


async def test_a_visitor_who_leaves_disturbs_nobody(
    place: Any, visitor: ClientSession, until: Any
) -> None:
    place.plan = Plan(queued=0.1, running=0.5)
    async with place.running() as app:
        page = await start(place, visitor)
        app.desk._heartbeat = 0.05  # by which the server notices who has gone
        (entry,) = app.client._tracker._entries.values()
        assert len(entry.watches) == 1
        stayed = asyncio.create_task(story(page, visitor))
        gone = [await visitor.get(f"{page}/events") for _ in range(5)]
        await until(lambda: len(entry.watches) == 7)
        for response in gone:
            await anext(events(response))
            response.close()
        await until(lambda: len(entry.watches) == 2)
        assert (await stayed)[-1]["state"] == "succeeded"


async def test_it_stops_in_good_order_and_goes_on_where_it_was(
    place: Any, visitor: ClientSession, until: Any
) -> None:
    place.plan = LONG
    async with place.running() as app:
        pages = [await start(place, visitor) for _ in range(3)]
        refs = sorted(job.ref for job in [await _job(app, page) for page in pages])
        response = await visitor.get(f"{pages[0]}/events")
        stream = events(response)
        assert (await anext(stream))["state"] in ("pending", "running")
        before = time.monotonic()
    assert time.monotonic() - before < 3.0
    with pytest.raises((EOFError, ClientError)):  # cut or ended, but not as at a job's end
        async for _ in stream:
            pass
    response.close()
    # Nobody is there; the jobs go on, and end.
    end = {"fastapi": "FINISHED", "aiohttp": "PROCESSED"}[place.kind]
    for job in place.server.jobs.values():
        job.timeline.go(place.server.clock.time(), (0.0, end))
    async with place.running() as app:
        rows = [await app.desk.find(page.rpartition("/")[2]) for page in pages]
        assert sorted(row.ref for row in rows) == refs

        async def all_ended() -> bool:
            found = [await app.desk.find(row.id) for row in rows]
            return all(row.ended for row in found)

        await until(all_ended)
        (*_, last) = await story(pages[0], visitor)
        assert last["state"] == "succeeded"
    assert place.server.ledger.count("created") == 3


async def _job(app: Any, page: str) -> Any:
    row = await app.desk.find(page.rpartition("/")[2])
    return app.client.job_from_ref(row.ref)


async def test_what_is_no_order(place: Any, visitor: ClientSession) -> None:
    async with place.running():
        url, headers = f"{place.url}/jobs", {"Content-Type": "application/json"}
        for body in (b"", b"no json", b"{}", b"[]", b'{"document": ""}', b'{"document": 7}'):
            async with visitor.post(url, data=body, headers=headers) as response:
                assert response.status == 422, body
                assert "detail" in await response.json()
        assert place.server.jobs == {}


async def test_pages_of_jobs_that_there_are_not(place: Any, visitor: ClientSession) -> None:
    async with place.running():
        for path in ("jobs/x", "jobs/x/events", "jobs/" + "x" * 5000, "callbacks/x", "nonsense"):
            async with visitor.get(f"{place.url}/{path}") as response:
                assert response.status == 404


async def test_a_service_that_is_away(place: Any, visitor: ClientSession) -> None:
    async with place.running():
        page = await start(place, visitor)
        await story(page, visitor)
        await place.server.aclose()
        async with visitor.post(f"{place.url}/jobs", json={"document": "a"}) as response:
            assert response.status == 502
            assert "detail" in await response.json()
        async with visitor.get(page) as response:
            assert response.status == 200
        assert [event["state"] for event in await story(page, visitor)] == ["succeeded"]


# -- the desk and the store alone: several processes


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_claims(examples: Path, tmp_path: Path) -> None:
    from store import Store

    clock = Clock()
    path = tmp_path / "jobs.sqlite"
    one, two = Store(path, "one", clock), Store(path, "two", clock)
    row = await one.add("jk1:bsubio:00000000:7", lease=60.0)
    assert await two.find(row.id) == row
    assert await two.claim(60.0) == []
    clock.now += 50.0
    await one.renew([row.id], 60.0)
    await two.renew([row.id], 6000.0)  # it is not two's
    clock.now += 50.0
    assert await two.claim(60.0) == []
    clock.now += 11.0
    assert await two.claim(60.0) == [row]
    assert await one.claim(60.0) == []
    await one.renew([row.id], 6000.0)  # nor one's any more
    await one.release()
    clock.now += 61.0
    assert await one.claim(60.0) == [row]
    await one.release()
    assert await two.claim(60.0) == [row]
    await two.finish(row.id, "succeeded", "")
    clock.now += 6000.0
    assert await one.claim(60.0) == []
    found = await one.find(row.id)
    assert found is not None
    assert (found.ended, found.state) == (True, "succeeded")
    await one.aclose()
    await two.aclose()


async def test_of_two_processes_one_takes_over_when_the_other_has_died(
    examples: Path, tmp_path: Path, until: Any
) -> None:
    from desk import open_desk
    from store import Store

    path = tmp_path / "jobs.sqlite"
    plan = Plan(queued=0.0, running=0.5)
    async with (
        FakeBsubio(planner=lambda rng, job_type: plan) as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as first,
        BsubioClient(
            api_key=server.api_key, base_url=server.base_url, polling=Polling(max_interval=0.5)
        ) as second,
    ):
        dying = open_desk(first, Store(path, "one"), lease=0.3)
        desk = await dying.__aenter__()
        job = await first.jobs.create_job(CreateJobRequest(type="pdf/extract"))
        await job.upload(b"data")
        await job.submit()
        row = await desk.add(job)
        async with open_desk(second, Store(path, "two"), lease=0.3) as other:
            # While one is there, two leaves the job alone, and can show it nevertheless.
            await asyncio.sleep(0.35)
            assert len(second._tracker) == 0
            stream = other.stream(row)
            assert b'"state": "' in await anext(stream)
            await stream.aclose()
            # One dies, and releases nothing.
            await first.aclose()
            desk._following.clear()
            desk._store.renew = lambda *_: asyncio.sleep(0)
            desk._store.claim = lambda *_: asyncio.sleep(3600)
            await until(lambda: len(second._tracker) == 1)

            async def ended() -> bool:
                found = await other.find(row.id)
                return bool(found.ended)

            await until(ended)
            found = await other.find(row.id)
            assert found.state == "succeeded"
        await dying.__aexit__(None, None, None)


async def test_a_stream_of_another_process_tells_the_whole_outcome(
    examples: Path, tmp_path: Path
) -> None:
    from desk import open_desk
    from store import Store

    plan = Plan(queued=0.0, running=0.1, outcome="failure", message="out of paper")
    path = tmp_path / "jobs.sqlite"
    async with (
        FakeBsubio(planner=lambda rng, job_type: plan) as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
        open_desk(client, Store(path, "two")) as desk,
    ):
        job = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
        await job.upload(b"data")
        await job.submit()
        one = Store(path, "one")  # where nobody has noted the end yet
        row = await one.add(job.ref, lease=60.0)
        await asyncio.sleep(0.15)
        *_, last, end = [chunk async for chunk in desk.stream(row)]
        assert b"out of paper" in last
        assert b'"state": "failed"' in last
        assert end.startswith(b"event: end")
        await one.aclose()


async def test_a_job_of_another_deployment_is_told_as_such(
    examples: Path, tmp_path: Path, until: Any
) -> None:
    from desk import open_desk
    from store import Store

    store = Store(tmp_path / "jobs.sqlite", "one")
    row = await store.add("jk1:bsubio:00000000:7", lease=0.0)
    async with (
        BsubioClient(api_key="k", base_url="http://127.0.0.1:1") as client,
        open_desk(client, store) as desk,
    ):

        async def ended() -> bool:
            return bool((await desk.find(row.id)).ended)

        await until(ended)
        found = await desk.find(row.id)
        assert found.state == "unknown"
        assert "another deployment" in found.message
        chunks = [chunk async for chunk in desk.stream(found)]
        assert b"another deployment" in chunks[0]
        assert chunks[1] == b"event: end\ndata: {}\n\n"
