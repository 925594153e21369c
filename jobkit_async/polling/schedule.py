"""Whom to ask now, and when to wake next. Pure: time comes in as numbers.

Waiting trades requests against delay. If one request is worth ``c`` seconds of delay, and a job
that has lasted ``t`` seconds is about equally likely to end in each doubling of its age (nothing
else being known of it), asking is best done ``1 / sqrt(2 c t)`` times a second, which makes gaps of
``sqrt(2 c t) + c / 2``; n jobs that share one request share its price.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import attrs

from jobkit_async.checks import check_seconds
from jobkit_async.errors import InvalidArgument

__all__ = [
    "NOT_DUE",
    "Due",
    "ExponentialBackoff",
    "FixedInterval",
    "HasDue",
    "Policy",
    "Polling",
    "Schedule",
    "Waited",
]

JITTER: Final = 0.05
"""Gaps vary by this share to either side, so that processes do not fall into step."""
SLACK: Final = 0.1
"""A job is taken along early if no more than this share of its gap is left."""
LARGEST: Final = 2_000
"""Jobs that are taken in one go at the most: to choose them must take a fraction of the time for
which the event loop may be held. What is left is due at once."""
CANDIDATES: Final = 4
"""How many jobs are compared for each free seat in a request."""


@attrs.frozen(kw_only=True)
class Waited:
    """What a polling policy is told about a job.

    Attributes:
        age: Seconds since the job came to be, or was last sent on its way from here.
        looks: How often it has been looked at.
        shared: Number of awaited jobs that one request answers for, on average; they share its
            price.
    """

    age: float
    looks: int
    shared: float


Policy = Callable[[Waited], float]
"""Seconds from one look at a job to the next."""


@attrs.frozen
class ExponentialBackoff:
    """The classic policy: each gap is a multiple of the one before.

    Attributes:
        initial: The first gap in seconds.
        factor: What each gap is multiplied by to get the next.
        maximum: The longest gap in seconds.
    """

    initial: float = 1.0
    factor: float = 2.0
    maximum: float = 60.0

    def __call__(self, waited: Waited) -> float:
        """The next gap in seconds."""
        try:
            return min(self.maximum, self.initial * math.pow(self.factor, waited.looks))
        except OverflowError:
            return self.maximum


@attrs.frozen
class FixedInterval:
    """The same gap for ever.

    Attributes:
        interval: The gap in seconds.
    """

    interval: float = 10.0

    def __call__(self, waited: Waited) -> float:
        """The next gap in seconds."""
        return self.interval


@attrs.frozen(kw_only=True)
class Polling:
    """How a client waits for jobs.

    Attributes:
        min_interval: The shortest gap between two looks at a job, in seconds.
        max_interval: The longest.
        delay_price: How many seconds of delay one request is worth. Less asks more often.
        max_rps: The most status requests a second that the client sends; None for no limit. What
            is read of jobs that have ended is not counted.
        policy: Seconds to the next look, by what is known of a job; between the two intervals
            in any case. None for the library's own.
        rng: Where jitter comes from; a seeded one makes it repeatable.
        give_up_after: Seconds of failures and nothing else after which a wait ends with
            ``PollingFailed``.
        lost_after: Seconds for which the service must go on not knowing a job before it counts as
            lost.
        unknown_after: Seconds for which a job may keep a status that this library does not know.

    Raises:
        InvalidArgument: One of them is out of bounds.
    """

    min_interval: float = 0.5
    max_interval: float = 300.0
    delay_price: float = 5.0
    max_rps: float | None = None
    policy: Policy | None = None
    rng: random.Random | None = None
    give_up_after: float = 1800.0
    lost_after: float = 30.0
    unknown_after: float = 3600.0

    def __attrs_post_init__(self) -> None:
        for name in (
            "min_interval",
            "max_interval",
            "delay_price",
            "give_up_after",
            "lost_after",
            "unknown_after",
        ):
            check_seconds(name, getattr(self, name))
        if self.max_rps is not None:
            check_seconds("max_rps", self.max_rps)
        if self.rng is not None and not isinstance(self.rng, random.Random):
            raise InvalidArgument("rng", f"a random.Random is due, not {type(self.rng).__name__}")
        if self.max_interval < self.min_interval:
            raise InvalidArgument("max_interval", "it is smaller than min_interval")
        if self.policy is not None and not callable(self.policy):
            raise InvalidArgument("policy", "it cannot be called")

    def gap(self, waited: Waited) -> float:
        """Seconds from a look to the next, within the two intervals."""
        if self.policy is None:
            (gap,) = self.cold_gaps([waited.age], waited.shared)
            return gap
        return self.within(float(self.policy(waited)))

    def cold_gaps(self, ages: Iterable[float], shared: float) -> list[float]:
        """The same by the library's own rule, as long as nothing is known of how long jobs last.

        Args:
            ages: The ages in seconds of jobs.
            shared: How many jobs share the price of a request.
        """
        # One look more, where looks up to age t number sqrt(2 t / price).
        price = self.delay_price / shared
        within, sqrt = self.within, math.sqrt
        return [within(sqrt(2.0 * price * age) + 0.5 * price) for age in ages]

    def within(self, gap: float) -> float:
        """A gap, moved between the two intervals."""
        if not gap > self.min_interval:  # NaN included
            return self.min_interval
        return min(self.max_interval, gap)


Due = tuple[float, Any, float]
"""When a job is due, the job's key, and since when it has waited; the same object at the job and
in the heap. One that is due as soon as it waits was asked for by somebody."""
NOT_DUE: Final[Due] = (math.inf, None, math.inf)
"""A job that was taken, or that has no time of its own since all are due together."""


class HasDue(Protocol):
    """A job that is waited for, as far as the schedule knows it."""

    due: Due
    """When it is due; only the schedule changes it."""


class Schedule:
    """Which jobs are due when.

    Args:
        polling: Intervals and policy.
        batch: How many jobs one request answers for; None if one answers for all. Then they are
            all due together.
        rng: Where jitter comes from.
        jobs: The jobs that are waited for, by key: they come and go there, and each holds its own
            plan, as another dict would take more memory than the plans.

    A request that answers for many jobs is worth its price once the delay that may have come up
    with all of them together is as large. That grows with the square of the time since a job was
    looked at, and is one share of the price when the job is due. So, unless a policy of the user's
    sets the gaps, a request waits for the others to fall due with the first.
    """

    def __init__(
        self,
        polling: Polling,
        batch: int | None,
        rng: random.Random,
        jobs: Mapping[Any, HasDue],
    ) -> None:
        self._polling = polling
        self._not_before = -math.inf
        self._batch = batch
        self._rng = rng
        self._jobs = jobs
        self._heap: list[Due] = []
        self._tick = math.inf
        self._gate = -math.inf

    def __repr__(self) -> str:
        return f"<Schedule of {len(self._jobs)} jobs, next at {self.wake()}>"

    def gap(self, waited: Waited) -> float:
        """Seconds from a look to the next by the policy, or the cold rule, with jitter."""
        return self.jittered(self._polling.gap(waited), JITTER)

    def cold_gaps(self, ages: Iterable[float], shared: float) -> list[float]:
        """The same by the cold rule, for jobs of some ages."""
        draw, within = self._rng.random, self._polling.within
        gaps = self._polling.cold_gaps(ages, shared)
        return [within(gap * (1.0 + JITTER * (2.0 * draw() - 1.0))) for gap in gaps]

    def jittered(self, gap: float, share: float) -> float:
        """A gap that varies by a share to either side, within the two intervals."""
        return self._polling.within(gap * self.phase(share))

    def phase(self, share: float) -> float:
        """A random factor that is as often above 1 as below, by this share at the most."""
        return 1.0 + share * (2.0 * self._rng.random() - 1.0)

    def add(self, key: Any, at: float) -> None:
        """Have a job looked at, at this loop time at the latest."""
        self._not_before = min(self._not_before, at)
        if self._batch is None:
            self._tick = min(self._tick, at)
            return
        due, _, since = self._jobs[key].due
        if due > at or since < due < math.inf:  # one that is due may be waiting for others
            at = min(at, due)
            self._plan(key, at, at)

    def looked(self, key: Any, at: float, since: float) -> None:
        """Plan the next look at a job that was taken, unless it was hurried meanwhile.

        Args:
            key: The job.
            at: Loop time of the next look.
            since: Loop time of this one.
        """
        job = self._jobs[key]
        if job.due is NOT_DUE:
            plan = job.due = (at, key, since)
            heapq.heappush(self._heap, plan)

    def looked_at_all(self, at: float) -> None:
        """Plan the next look at all jobs, which one request answers for."""
        self._tick = min(self._tick, at)

    def _plan(self, key: Any, at: float, since: float) -> None:
        plan = self._jobs[key].due = (at, key, since)
        heapq.heappush(self._heap, plan)

    def tidy(self) -> None:
        """Forget jobs that have gone, now and then; to be called when one goes."""
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._jobs):
            self._heap = [plan for plan in self._heap if self._holds(plan)]
            heapq.heapify(self._heap)
        if not self._jobs:
            self._tick = math.inf

    @property
    def has_plan(self) -> bool:
        """Whether there is a time at which jobs will be due."""
        return self.wake() < math.inf

    def close_gate(self, until: float) -> None:
        """Let nothing be due before this loop time."""
        self._gate = max(self._gate, until)

    def wake(self) -> float:
        """Loop time at which the next job is due; infinity if none is."""
        if self._batch is None:
            due = self._tick if self._jobs else math.inf
        else:
            while self._heap and not self._holds(self._heap[0]):
                heapq.heappop(self._heap)
            due = self._heap[0][0] if self._heap else math.inf
            due = max(due, self._not_before)
        return max(due, self._gate)

    def take(self, now: float) -> list[Any] | None:
        """The jobs to look at now; each is due no more until its next look is planned.

        Returns:
            The due ones, of which more may be left after so many, and with them those that gain
            most as far as they fit into the same requests; nothing where it is better to wait for
            more. None means all of them.
        """
        if self._batch is None:
            self._tick = math.inf
            return None
        self._not_before = -math.inf
        most = max(1, LARGEST // self._batch) * self._batch
        due = self._pop(most, until=now)
        seats = -len(due) % self._batch
        others = self._pop(CANDIDATES * seats)
        others.sort(key=lambda plan: _ripeness(plan, now), reverse=True)
        for plan in others[seats:]:
            heapq.heappush(self._heap, plan)
        taken = [*due, *others[:seats]]
        full = len(due) // self._batch * self._batch
        if self._polling.policy is None and full < len(taken):
            # The last request, which may have free seats, is left out where it is not worth it.
            taken.sort(key=lambda plan: _ripeness(plan, now), reverse=True)
            last = taken[full:]
            until = self._worth_it_at(last, now)
            if until > now:
                self._not_before = until
                for plan in last:
                    heapq.heappush(self._heap, plan)
                taken = taken[:full]
        for _, key, _ in taken:
            self._jobs[key].due = NOT_DUE
        return [key for _, key, _ in taken]

    def _pop(self, most: int, *, until: float = math.inf) -> list[Due]:
        """Take plans off the heap, so many at the most: those of jobs that are due by a time."""
        heap, jobs = self._heap, self._jobs
        popped: list[Due] = []
        while heap and len(popped) < most:
            plan = heap[0]
            at, key, since = plan
            job = jobs.get(key)
            if job is not None and job.due is plan:  # else it is out of date
                if at - SLACK * (at - since) > until:
                    break
                popped.append(plan)
            heapq.heappop(heap)
        return popped

    def _worth_it_at(self, plans: list[Due], now: float) -> float:
        """Loop time from which on a look at these jobs is worth a request."""
        squares, products, sum_, latest = 0.0, 0.0, 0.0, math.inf
        for at, _, since in plans:
            gap, waited = at - since, now - since
            if gap <= 0.0:
                return now  # somebody asked for a look
            squares += 1.0 / (gap * gap)
            products += waited / (gap * gap)
            sum_ += (waited / gap) ** 2
            latest = min(latest, at + gap)
        worth = float(min(len(self._jobs), self._batch or 1))
        missing = worth - sum_
        if not plans or missing <= 1e-6 * worth:
            return now
        delay = (math.sqrt(products * products + squares * missing) - products) / squares
        return min(now + delay, max(latest, now))

    def _holds(self, plan: Due) -> bool:
        """Whether what the heap has is still what is planned for its job."""
        job = self._jobs.get(plan[1])
        return job is not None and job.due is plan


def _ripeness(plan: Due, now: float) -> float:
    """How much of the time to its next look a job has waited."""
    at, _, since = plan
    return max(0.0, (now - since) / (at - since)) if at > since else 1.0
