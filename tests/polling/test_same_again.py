"""Most looks show a job just as the one before did, which takes no more than a note."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from jobkit_async import codec
from jobkit_async.answer import Answer
from jobkit_async.errors import ServerError
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Sighting
from jobkit_async.polling.watch import Entry, Watch
from jobkit_async.services.bsubio.source import BsubioSource
from jobkit_async.services.ecotaxa.models import JobModel
from jobkit_async.services.ecotaxa.source import EcotaxaSource
from jobkit_async.services.ecotaxa.source import sight as ecotaxa_sight
from jobkit_async.services.leia.source import STATES
from jobkit_async.states import JobState
from jobkit_async.testing import FakeLeia, Plan

RUNNING: Sighting[str] = Sighting(state=JobState.RUNNING, raw_status="running")


def ignore(_: Any) -> None:
    """A waiter to whom nothing matters."""


def seen(sighting: Sighting[str] = RUNNING, **options: Any) -> Entry[str]:
    """A job that one waits for, and which was seen at 10."""
    record: Record[str] = Record("a")
    entry = Entry(record)
    given = {"keep_input": False, "on_update": None, "once_after": None, **options}
    entry.add(Watch(record, ignore, **given))
    assert record.observe(sighting, asked_at=10.0, now=11.0) is sighting
    return entry


def test_it_is_noted() -> None:
    entry = seen()
    assert entry.same_again(RUNNING, 20.0)
    assert (entry.seen_at, entry.alive_at, entry.was_alive_at) == (20.0, 20.0, 10.0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: entry.record.touch(15.0),
        lambda entry: entry.record.begin_cancel(),
        lambda entry: setattr(entry.record, "alive_at", None),
        lambda entry: setattr(entry.record, "seen_at", 25.0),
        lambda entry: entry.missed(15.0, Polling()),
        lambda entry: entry.failed(ServerError("no", operation="o", status=500), 15.0, Polling()),
        lambda entry: entry.add(
            Watch(entry.record, ignore, keep_input=False, on_update=ignore, once_after=None)
        ),
    ],
    ids=["touched", "being cancelled", "missed", "out of date", "missing", "failing", "followed"],
)
def test_not_where_there_is_more_to_it(spoil: Callable[[Entry[str]], object]) -> None:
    entry = seen()
    spoil(entry)
    before = (entry.seen_at, entry.alive_at, entry.was_alive_at)
    assert not entry.same_again(RUNNING, 20.0)
    assert (entry.seen_at, entry.alive_at, entry.was_alive_at) == before


@pytest.mark.parametrize(
    "state", [JobState.NEEDS_INPUT, JobState.UNKNOWN, JobState.FAILED, JobState.SUCCEEDED]
)
def test_nor_of_a_job_that_is_not_on_its_way(state: JobState) -> None:
    sighting: Sighting[str] = Sighting(state=state, raw_status="word")
    assert not seen(sighting).same_again(sighting, 20.0)


def test_nor_of_another_sighting_or_one_that_is_followed() -> None:
    assert not seen().same_again(attrs.evolve(RUNNING), 20.0)
    assert not seen(on_update=ignore).same_again(RUNNING, 20.0)


def test_nor_of_one_whose_dates_could_not_be_used_before() -> None:
    date = datetime(2026, 1, 1, tzinfo=UTC)
    dated = attrs.evolve(RUNNING, created_at=date, started_at=date)
    entry = seen(dated)
    assert not entry.same_again(dated, 20.0)
    entry.record.set_created(date.timestamp(), date.timestamp() + 5.0, 20.0)
    assert not entry.same_again(dated, 21.0)
    entry.record.started, entry.record.start_spread = 9.0, 1.0  # between two looks
    assert not entry.same_again(dated, 22.0)
    entry.record.set_started(date.timestamp(), date.timestamp() + 5.0, 22.0)
    assert entry.same_again(dated, 23.0)


LISTED: dict[str, dict[str, Any]] = {
    "ecotaxa": {
        "id": 1,
        "owner_id": 7,
        "type": "FileImport",
        "state": "R",
        "progress_pct": 20,
        "progress_msg": "Working",
        "creation_date": "2026-03-01T10:00:00.5",
        "updated_on": "2026-03-01T10:00:05.25",
    },
    "bsubio": {
        "id": "a",
        "status": "processing",
        "type": "pdf/extract",
        "created_at": "2026-03-01T10:00:00Z",
        "claimed_at": "2026-03-01T10:00:02Z",
        "updated_at": "2026-03-01T10:00:05Z",
    },
}
SAME: list[tuple[str, dict[str, Any]]] = [
    ("ecotaxa", {}),
    ("ecotaxa", {"owner_id": 8}),
    ("bsubio", {}),
    ("bsubio", {"updated_at": "2026-03-01T12:00:05+02:00"}),
]
OTHER: list[tuple[str, dict[str, Any]]] = [
    ("ecotaxa", {"progress_pct": 21}),
    ("ecotaxa", {"progress_pct": None}),
    ("ecotaxa", {"progress_msg": "Still working"}),
    ("ecotaxa", {"state": "P"}),
    ("ecotaxa", {"state": "F"}),
    ("ecotaxa", {"state": "?"}),
    ("ecotaxa", {"updated_on": "2026-03-01T10:00:06"}),
    ("ecotaxa", {"updated_on": None}),
    ("bsubio", {"status": "claimed"}),
    ("bsubio", {"status": "finished"}),
    ("bsubio", {"updated_at": "2026-03-01T10:00:06Z"}),
    ("bsubio", {"updated_at": None}),
]


async def looks(service: str, before: dict[str, Any], after: dict[str, Any]) -> list[Any]:
    """What two looks at a listing of one job make of it, and a look at an odd one."""
    row = LISTED[service]
    listings = [[{**row, **before}], [{**row, **after}]]
    entry: Entry[Any] = Entry(Record(row["id"]))

    async def answer(*_: Any) -> Answer:
        listing = json.dumps(listings.pop(0))
        if service == "bsubio":
            listing = f'{{"success": true, "data": {{"total": 1, "jobs": {listing}}}}}'
        return Answer(200, {}, listing.encode())

    call: Any = SimpleNamespace(answer=answer)
    found: list[Any] = []
    for _ in range(2):
        asks: dict[Any, Any] = {row["id"]: entry, "other": Entry(Record("other"))}
        if service == "bsubio":
            seen = (await BsubioSource(call)._page("processing", asks)).jobs
        else:
            seen = (await EcotaxaSource(call).observe(asks)).seen
        found.append(seen[row["id"]])
        entry.record.newest = found[-1]
    return found


@pytest.mark.parametrize(("service", "change"), SAME)
async def test_a_row_that_shows_nothing_new_is_the_sighting_before(
    service: str, change: dict[str, Any]
) -> None:
    first, second = await looks(service, {}, change)
    assert second is first
    assert first.state is JobState.RUNNING
    assert first.created_at is not None
    assert first.created_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(("service", "change"), OTHER)
async def test_a_row_that_shows_something_new_is_another_one(
    service: str, change: dict[str, Any]
) -> None:
    _, second = await looks(service, {}, change)
    (alone, _) = await looks(service, change, {})
    assert second == alone
    assert second is not alone


@pytest.mark.parametrize("service", ["ecotaxa", "bsubio"])
async def test_a_row_without_a_date_is_seen_anew_each_time(service: str) -> None:
    undated = {"updated_on": None} if service == "ecotaxa" else {"updated_at": None}
    first, second = await looks(service, undated, undated)
    assert first == second
    assert first is not second


async def test_a_full_snapshot_and_a_row_of_the_same_moment_have_the_same_mark() -> None:
    for date in ("2026-03-01T10:00:05.25", "2026-03-01T10:00:05.25Z", "2026-03-01T12:00:05+02:00"):
        (row, _) = await looks("ecotaxa", {"updated_on": date}, {})
        data = {**LISTED["ecotaxa"], "updated_on": date}
        assert ecotaxa_sight(codec.structure(data, JobModel, operation="op")).mark == row.mark


async def test_a_row_of_bsubio_with_an_odd_member_fails_alone() -> None:
    rows = [{**LISTED["bsubio"], "type": 3}, {**LISTED["bsubio"], "id": "b"}, {"id": None}]
    body = json.dumps({"success": True, "data": {"total": 3, "jobs": rows}}).encode()

    async def answer(*_: Any) -> Answer:
        return Answer(200, {}, body)

    call: Any = SimpleNamespace(answer=answer)
    asks: dict[Any, Any] = {key: Entry(Record(key)) for key in ("a", "b")}
    page = await BsubioSource(call)._page("processing", asks)
    assert list(page.jobs) == ["b"]
    assert list(page.failed) == ["a"]
    assert page.ids == {"a", "b"}


@pytest.mark.looptime(start=100.0, end=2_000)
async def test_leias_statuses_are_known_again(world: Any) -> None:
    async with world("leia", server={"planner": lambda *_: Plan(queued=0.0, running=1e9)}) as it:
        assert isinstance(it.server, FakeLeia)
        jobs = it.births(3)
        source = it.client._source
        for job in jobs:
            record = it.client._record_of(job.id)
            record.scope, record.scope_sure = "app-1", True
        looks = [
            await source.observe({job.id: Entry(it.client._record_of(job.id)) for job in jobs})
            for _ in range(2)
        ]
        first, second = ({*map(id, look.seen.values())} for look in looks)
        assert len(first) == 1
        assert first == second
        assert {sighting.raw_status for sighting in looks[0].seen.values()} <= set(STATES)
