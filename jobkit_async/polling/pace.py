"""How soon to look again, in view of what the last looks have shown. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from jobkit_async.polling.nudges import Nudges
from jobkit_async.polling.outlook import Outlook
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import Polling, Schedule, Waited
from jobkit_async.polling.watch import LOST_LOOKS, Entry

__all__ = ["Pace"]

LEARNED_JITTER: Final = 0.01
"""Gaps that were learned vary by this share: they have a place to hit, and differ anyway."""
PHASE: Final = 0.5
"""The first gap of many jobs varies by this share: processes that were started together and have
the same to look at are out of step from then on."""
NEWCOMERS: Final = 0.5
"""Seconds between two looks at all jobs, however many newcomers have something to be told."""
LONGEST_BACKOFF: Final = 60.0
"""The longest pause in seconds that failures alone lead to."""


class Pace:
    """Plans the looks of a schedule.

    Args:
        schedule: The schedule.
        polling: Intervals and policy.
        batch: How many jobs one request answers for; None if one answers for all of them.
        outlook: What past jobs have shown.
        nudges: What the service has called about by itself.
    """

    def __init__(
        self,
        schedule: Schedule,
        polling: Polling,
        batch: int | None,
        outlook: Outlook,
        nudges: Nudges,
    ) -> None:
        self._schedule = schedule
        self._polling = polling
        self._batch = batch
        self._outlook = outlook
        self._nudges = nudges
        self._cost = 1.0  # requests that the last look took
        self._looks = 0
        self._phased: tuple[int, float] | None = None
        self._failures = 0  # looks in a row that failed for all jobs
        self._soonest = -math.inf

    def first_look(self, record: Record[Any], now: float, awaited: int) -> float:
        """When to look at a job that somebody begins to wait for, among so many others."""
        known = [at for at in (record.seen_at, record.touched_at) if at is not None]
        if not known or record.alive_at is None:
            return self.hurried(now)  # what is not known to be on its way has something to tell
        gap = self._gap(record, max(known), 0, self._terms(awaited))
        if self._nudges.any_promised:
            gap = self._polling.within(gap * self._nudges.slower_at_first(record))
        return max(self.hurried(now), max(known) + gap)

    def plan(self, now: float, looked_at: Iterable[Entry[Any]], awaited: int) -> None:
        """Plan the next look at each of some jobs that have just been looked at.

        Args:
            now: Loop time.
            looked_at: The jobs, which are still waited for.
            awaited: Number of jobs that are waited for in all.
        """
        entries = list(looked_at)
        gaps = self._gaps(entries, now, self._terms(awaited))
        phase = self._phase(awaited)
        for entry, best in zip(entries, gaps, strict=True):
            gap = best if phase is None else self._polling.within(best * phase)
            if self._nudges.any_promised:
                gap = self._polling.within(gap * self._nudges.slower((entry,)))
            if self._failures or entry.troubled:
                if entry.misses:
                    gap = min(gap, self._grace())
                gap = max(gap, _backoff(max(entry.failures, self._failures)))
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
        if self._nudges.any_promised:
            gap = self._polling.within(gap * self._nudges.slower(looked_at))
        troubled = [entry for entry in looked_at if entry.troubled]
        if any(entry.misses for entry in troubled):
            gap = min(gap, self._grace())
        failures = self._failures
        if len(troubled) == len(looked_at):  # one that goes well is a reason to go on as before
            failures = max(failures, min(entry.failures for entry in troubled))
        phase = self._phase(awaited)
        if phase is not None:
            gap = self._polling.within(gap * phase)
        gap = max(gap, _backoff(failures))
        self._schedule.looked_at_all(now + gap)

    def plan_missed(self, now: float, looked_at: Collection[Entry[Any]]) -> None:
        """Plan the next look at all jobs, some of which were read alone: are they still missing?"""
        if any(entry.misses for entry in looked_at):
            self._schedule.looked_at_all(now + self._grace())

    def _grace(self) -> float:
        """The longest gap while it is not clear whether a job is lost."""
        return max(self._polling.min_interval, self._polling.lost_after / LOST_LOOKS)

    def _phase(self, awaited: int) -> float | None:
        """By what gaps are multiplied to put this process out of step with others, if it is."""
        if awaited == 1 or self._polling.policy is not None:
            return None
        if self._phased is None:
            self._phased = self._looks, self._schedule.phase(PHASE)
        look, phase = self._phased
        return phase if look == self._looks else None

    def hurried(self, now: float) -> float:
        """Loop time of the next look at the earliest, for somebody who has just come."""
        return max(now, self._soonest)

    def looked(
        self,
        asked_at: float,
        now: float,
        *,
        cost: int,
        sent: int | None = None,
        failed: bool = False,
    ) -> None:
        """Note a look.

        Args:
            asked_at: Loop time at which it left.
            now: Loop time.
            cost: Number of requests that it takes to know about all jobs.
            sent: Number of those for which the next look waits, if they are limited; None for all.
            failed: Whether it failed for all jobs.
        """
        self._looks += 1
        self._failures = self._failures + 1 if failed else 0
        self._soonest = now + _backoff(self._failures)
        if self._batch is None:
            rest = min(self._polling.min_interval, NEWCOMERS)
            self._soonest = max(self._soonest, asked_at + rest)
        self._cost = max(1.0, float(cost))
        if self._polling.max_rps is not None:
            spent = cost if sent is None else sent
            self._schedule.close_gate(now + spent / self._polling.max_rps)

    def _terms(self, awaited: int) -> _Terms:
        """What decides the gaps of all jobs that are waited for, now that so many are."""
        shared = self._shared(awaited)
        if self._polling.policy is not None:
            return _Terms(shared, math.nan)
        # Prices a factor of the root of two apart are as good as all prices.
        level = 2.0 ** (0.5 * round(2.0 * math.log2(shared)))
        return _Terms(shared, self._polling.delay_price / level)

    def _gaps(self, entries: Iterable[Entry[Any]], now: float, terms: _Terms) -> Iterable[float]:
        """Seconds from a look at some jobs to the next at each."""
        if self._polling.policy is None and self._outlook.is_blank:  # as most often: all in one go
            ages = [_age(entry.record, now) for entry in entries]
            return self._schedule.cold_gaps(ages, terms.shared)
        return [self._gap(entry.record, now, entry.looks, terms) for entry in entries]

    def _gap(self, record: Record[Any], now: float, looks: int, terms: _Terms) -> float:
        """Seconds from a look at a job to the next: by the user, else learned, else cold."""
        age = _age(record, now)
        if self._polling.policy is not None:
            return self._schedule.gap(Waited(age=age, looks=looks, shared=terms.shared))
        if not self._outlook.is_blank:
            gap = self._outlook.gap(record, now, terms.price)
            if gap is not None:
                return self._schedule.jittered(gap, LEARNED_JITTER)
        (gap,) = self._schedule.cold_gaps([age], terms.shared)
        return gap

    def _gap_of_all(self, looked_at: Collection[Entry[Any]], now: float, awaited: int) -> float:
        """The same where one look serves all."""
        if len(looked_at) == 1:
            (entry,) = looked_at
            return self._gap(entry.record, now, entry.looks, self._terms(awaited))
        if self._polling.policy is None:
            records = [entry.record for entry in looked_at]
            price = self._polling.delay_price * self._cost
            gap = self._outlook.gap_of_all(records, now, price)
            if gap is not None:
                return self._schedule.jittered(gap, LEARNED_JITTER)
        # What counts is the sum of the hazards, 1/age each.
        floor = self._polling.min_interval
        born = [entry.record.born for entry in looked_at]
        rate = sum(1.0 / (floor if at is None or at + floor > now else now - at) for at in born)
        age = len(born) / rate
        looks = min([entry.looks for entry in looked_at])
        return self._schedule.gap(Waited(age=age, looks=looks, shared=self._shared(awaited)))

    def _shared(self, awaited: int) -> float:
        """Number of jobs that share the price of one request."""
        count = max(1.0, float(awaited))
        return max(1.0, count / self._cost if self._batch is None else min(count, self._batch))


class _Terms(NamedTuple):
    """What decides the gaps of many jobs: how many share a request, and what a look is worth."""

    shared: float
    price: float


def _age(record: Record[Any], now: float) -> float:
    """Seconds for which a job has been on its way; 0 where nobody knows."""
    born = record.born
    return 0.0 if born is None or born > now else now - born


def _backoff(failures: int) -> float:
    """The least pause in seconds after so many failures in a row."""
    return min(LONGEST_BACKOFF, 0.5 * 2.0 ** min(failures, 10)) if failures else 0.0
