"""How soon to look again, in view of what the last looks have shown. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Final

from jobkit_async.polling.outlook import Outlook
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import Polling, Schedule, Waited
from jobkit_async.polling.watch import LOST_LOOKS, Entry

__all__ = ["Pace"]

LEARNED_JITTER: Final = 0.01
"""Gaps that were learned vary by this share: they have a place to hit, and differ anyway."""
LONGEST_BACKOFF: Final = 60.0
"""The longest pause in seconds that failures alone lead to."""


class Pace:
    """Plans the looks of a schedule.

    Args:
        schedule: The schedule.
        polling: Intervals and policy.
        batch: How many jobs one request answers for; None if one answers for all of them.
        outlook: What past jobs have shown.
    """

    def __init__(
        self, schedule: Schedule, polling: Polling, batch: int | None, outlook: Outlook
    ) -> None:
        self._schedule = schedule
        self._polling = polling
        self._batch = batch
        self._outlook = outlook
        self._cost = 1.0  # requests that the last look took

    def first_look(self, record: Record[Any], now: float, awaited: int) -> float:
        """When to look at a job that somebody begins to wait for, among so many others."""
        known = [at for at in (record.seen_at, record.touched_at) if at is not None]
        if not known or record.alive_at is None:
            return now  # what is not known to be on its way has something to tell
        return max(now, max(known) + self._gap(record, max(known), 0, awaited))

    def plan(self, now: float, entry: Entry[Any], awaited: int) -> None:
        """Plan the next look at a job that has just been looked at.

        Args:
            now: Loop time.
            entry: The job, which is still waited for.
            awaited: Number of jobs that are waited for in all.
        """
        gap = self._gap(entry.record, now, entry.looks, awaited)
        if entry.misses:
            gap = min(gap, self._grace())
        gap = max(gap, _backoff(entry.failures))
        self._schedule.looked(entry.record.key, now + gap, now)

    def plan_all(self, now: float, looked_at: Collection[Entry[Any]], awaited: int) -> None:
        """Plan the next look at all jobs, which have just been looked at.

        Args:
            now: Loop time.
            looked_at: Those of them that are still waited for.
            awaited: Number of jobs that are waited for in all.
        """
        if not looked_at:
            return
        gap = self._gap_of_all(looked_at, now, awaited)
        if any(entry.misses for entry in looked_at):
            gap = min(gap, self._grace())
        gap = max(gap, _backoff(min(entry.failures for entry in looked_at)))
        self._schedule.looked_at_all(now + gap)

    def _grace(self) -> float:
        """The longest gap while it is not clear whether a job is lost."""
        return max(self._polling.min_interval, self._polling.lost_after / LOST_LOOKS)

    def spend(self, now: float, cost: int) -> None:
        """Note that a look took so many requests."""
        self._cost = max(1.0, float(cost))
        if self._polling.max_rps is not None:
            self._schedule.close_gate(now + cost / self._polling.max_rps)

    def _gap(self, record: Record[Any], now: float, looks: int, awaited: int) -> float:
        """Seconds from a look at a job to the next: by the user, else learned, else cold."""
        shared = self._shared(awaited)
        if self._polling.policy is None:
            # Prices a factor of the root of two apart are as good as all prices.
            level = 2.0 ** (0.5 * round(2.0 * math.log2(shared)))
            gap = self._outlook.gap(record, now, self._polling.delay_price / level)
            if gap is not None:
                return self._schedule.jittered(gap, LEARNED_JITTER)
        age = max(0.0, now - _born(record, now))
        return self._schedule.gap(Waited(age=age, looks=looks, shared=shared))

    def _gap_of_all(self, looked_at: Collection[Entry[Any]], now: float, awaited: int) -> float:
        """The same where one look serves all."""
        if len(looked_at) == 1:
            (entry,) = looked_at
            return self._gap(entry.record, now, entry.looks, awaited)
        if self._polling.policy is None:
            records = [entry.record for entry in looked_at]
            price = self._polling.delay_price * self._cost
            gap = self._outlook.gap_of_all(records, now, price)
            if gap is not None:
                return self._schedule.jittered(gap, LEARNED_JITTER)
        # What counts is the sum of the hazards, 1/age each.
        floor = self._polling.min_interval
        ages = [max(now - _born(entry.record, now), floor) for entry in looked_at]
        age = len(ages) / sum(1.0 / age for age in ages)
        looks = min(entry.looks for entry in looked_at)
        return self._schedule.gap(Waited(age=age, looks=looks, shared=self._shared(awaited)))

    def _shared(self, awaited: int) -> float:
        """Number of jobs that share the price of one request."""
        count = max(1.0, float(awaited))
        return max(1.0, count / self._cost if self._batch is None else min(count, self._batch))


def _born(record: Record[Any], now: float) -> float:
    """Loop time from which a job's age counts."""
    return now if record.born is None else record.born


def _backoff(failures: int) -> float:
    return min(LONGEST_BACKOFF, 0.5 * 2.0 ** min(failures, 10)) if failures else 0.0
