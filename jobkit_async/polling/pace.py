"""How soon to look again, in view of what the last looks have shown. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import Polling, Schedule, Waited
from jobkit_async.polling.watch import LOST_LOOKS, Entry

__all__ = ["Pace"]

LONGEST_BACKOFF: Final = 60.0
"""The longest pause in seconds that failures alone lead to."""


class Pace:
    """Plans the looks of a schedule.

    Args:
        schedule: The schedule.
        polling: Intervals and policy.
        batch: How many jobs one request answers for; None if one answers for all of them.
    """

    def __init__(self, schedule: Schedule, polling: Polling, batch: int | None) -> None:
        self._schedule = schedule
        self._polling = polling
        self._batch = batch
        self._cost = 1.0  # requests that the last look took

    def first_look(self, record: Record[Any], now: float, awaited: int) -> float:
        """When to look at a job that somebody begins to wait for, among so many others."""
        known = [at for at in (record.seen_at, record.touched_at) if at is not None]
        if not known or record.alive_at is None:
            return now  # what is not known to be on its way has something to tell
        age = max(0.0, max(known) - _born(record, now))
        return max(now, max(known) + self._gap(age, 0, awaited))

    def plan(self, now: float, looked_at: Collection[Entry[Any]], awaited: int) -> None:
        """Plan the next look at jobs that have just been looked at.

        Args:
            now: Loop time.
            looked_at: Those of them that are still waited for.
            awaited: Number of jobs that are waited for in all.
        """
        if not looked_at:
            return
        floor = self._polling.min_interval
        grace = max(floor, self._polling.lost_after / LOST_LOOKS)
        if self._batch is None:
            # What counts is the sum of the hazards, 1/age each: one look serves all.
            ages = [max(now - _born(entry.record, now), floor) for entry in looked_at]
            age = len(ages) / sum(1.0 / age for age in ages)
            gap = self._gap(age, min(entry.looks for entry in looked_at), awaited)
            if any(entry.misses for entry in looked_at):
                gap = min(gap, grace)
            gap = max(gap, _backoff(min(entry.failures for entry in looked_at)))
            self._schedule.looked_at_all(now + gap)
            return
        for entry in looked_at:
            age = max(0.0, now - _born(entry.record, now))
            gap = self._gap(age, entry.looks, awaited)
            if entry.misses:
                gap = min(gap, grace)
            gap = max(gap, _backoff(entry.failures))
            self._schedule.looked(entry.record.key, now + gap, gap)

    def spend(self, now: float, cost: int) -> None:
        """Note that a look took so many requests."""
        self._cost = max(1.0, float(cost))
        if self._polling.max_rps is not None:
            self._schedule.close_gate(now + cost / self._polling.max_rps)

    def _gap(self, age: float, looks: int, awaited: int) -> float:
        count = max(1.0, float(awaited))
        shared = count / self._cost if self._batch is None else min(count, self._batch)
        return self._schedule.gap(Waited(age=age, looks=looks, shared=max(1.0, shared)))


def _born(record: Record[Any], now: float) -> float:
    """Loop time from which a job's age counts."""
    return now if record.born is None else record.born


def _backoff(failures: int) -> float:
    return min(LONGEST_BACKOFF, 0.5 * 2.0 ** min(failures, 10)) if failures else 0.0
