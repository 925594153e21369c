"""Most looks show a job just as the one before did, which takes no more than a note."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from jobkit_async.errors import ServerError
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Sighting
from jobkit_async.polling.watch import Entry, Watch
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


def test_nor_of_another_sighting_or_one_with_dates() -> None:
    assert not seen().same_again(attrs.evolve(RUNNING), 20.0)
    dated = attrs.evolve(RUNNING, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert not seen(dated).same_again(dated, 20.0)
    assert not seen(on_update=ignore).same_again(RUNNING, 20.0)


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
