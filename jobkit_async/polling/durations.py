"""What past jobs tell of how long the next will last. Pure: time comes in as numbers.

Jobs that are still running count as well: they have lasted so long already. Otherwise the first
to end of a thousand jobs that were sent off together would make all of them seem short. The
estimate is the product-limit one for what was watched since a certain moment; it needs no
assumption on how jobs come in. A change of regime shows in a log-rank test of the youngest jobs
against the others, which are then forgotten.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs

from jobkit_async.polling.inspection import Grid, Inspection
from jobkit_async.polling.laws import Point, fit

__all__ = ["Durations", "Life"]

MEMORY: Final = 256
"""Ends that are remembered of one kind of jobs."""
FEW: Final = 4
"""Ends of one moment that are remembered one by one. Of more, those that lasted about as long are
remembered as one that weighs as many: else what one crowd of jobs does at one age would take the
place of all that is known of the others."""
ALIKE: Final = 1.05
"""How many times as long counts as about as long."""
AT_ONCE: Final = 16
"""The most that is remembered of one moment."""
SPAN: Final = 4.0
"""For how many times as long as jobs typically last their ends are remembered at least. Where they
come faster, only each second, fourth and so on is, and stands for the others."""
ENOUGH: Final = 5
"""Ends from which on there is a law."""
STALE: Final = 0.05
"""New ends that make a law out of date, as a share of those that it was made from."""
OBSOLETE: Final = 0.5
"""The same where a rough idea will do."""
KINDS: Final = 128
"""Kinds of jobs that are remembered."""
PRICES: Final = 8
"""Prices for which the best looks of one kind are kept."""
YOUNGEST: Final = (5, 8, 12, 16, 24, 32)
"""How many of the youngest jobs are compared with the others."""
OTHERS: Final = 64
"""How many of the others they are compared with."""
CHANGED: Final = 4.2
"""Standard deviations that mean a change of regime."""


@attrs.frozen
class Life:
    """One job's life as far as it was watched; times are those of the loop, in seconds.

    Attributes:
        born: When it began.
        lasted: How long it lasted, or has lasted so far.
        weight: For how many jobs it stands.
    """

    born: float
    lasted: float
    weight: float = 1.0

    @property
    def over_at(self) -> float:
        """When it was over."""
        return self.born + self.lasted


class _Kind:
    """What is remembered of one kind of jobs."""

    def __init__(self) -> None:
        self.lives: deque[Life] = deque()
        self.stride = 1.0
        """For how many ends each new life has to stand."""
        self.skipped = 0.0
        """Ends for which no life stands yet."""
        self.picked: Life | None = None
        """Which of them is to. By lot, as those of one moment come in the order of their length."""
        self.rng = random.Random(0)
        self.lull = math.inf
        """Seconds without a new life that show that ends have become rarer."""
        self.taken_at = math.inf
        self.at_once: list[Life] = []
        self.moment = -math.inf
        self.fresh = 0
        self.behind = 0.0
        """Ends that the law was made from."""
        self.since = -math.inf
        """Loop time since which all ends are remembered."""
        self.born_after = -math.inf
        """Loop time before which jobs were born under another regime."""
        self.grid: Grid | None = None
        self.plans: OrderedDict[float, Inspection] = OrderedDict()

    def settle(self) -> None:
        """Move the ends of the last moment to the others."""
        found = sorted(self.at_once, key=lambda life: life.lasted)
        self.at_once = []
        if found and self.moment - self.taken_at > self.lull:
            self.stride = max(1.0, 0.5 * self.stride)
        self._take(_thinned(found) if len(found) > FEW else found)
        if len(self.lives) > MEMORY:
            self._make_room()

    def _make_room(self) -> None:
        """Thin out what was remembered of late if it is much; else forget the oldest."""
        typical = sorted(life.lasted for life in self.lives)[len(self.lives) // 2]
        latest = max(life.over_at for life in self.lives)
        late = [life for life in self.lives if life.over_at > latest - SPAN * typical]
        if len(late) > MEMORY / 2:
            self.lives = deque(
                life for life in self.lives if life.over_at <= latest - SPAN * typical
            )
            self.stride *= 2.0
            self.lull = 8.0 * SPAN * typical / MEMORY
            self._take(late)
        while len(self.lives) > MEMORY:
            self.since = max(self.since, self.lives.popleft().over_at)

    def _take(self, lives: Iterable[Life]) -> None:
        """Remember those of some lives that stand for them all."""
        for life in lives:
            self.skipped += life.weight
            if self.picked is None or self.rng.random() * self.skipped < life.weight:
                self.picked = life
            if self.skipped >= self.stride:
                self.lives.append(attrs.evolve(self.picked, weight=self.skipped))
                self.picked, self.skipped = None, 0.0
                self.taken_at = self.moment


def _thinned(lives: Sequence[Life]) -> list[Life]:
    """Lives in the order of their length, those of about the same length as one."""
    alike = max(ALIKE, (lives[-1].lasted / lives[0].lasted) ** (1.0 / AT_ONCE) + 1e-9)
    groups: list[list[Life]] = []
    for life in lives:
        if not groups or life.lasted > alike * groups[-1][0].lasted:
            groups.append([])
        groups[-1].append(life)
    return [attrs.evolve(group[len(group) // 2], weight=float(len(group))) for group in groups]


class Durations:
    """The laws of durations of a client's jobs, by kind."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[Any, _Kind] = OrderedDict()
        self.fits_left = math.inf
        """How many laws may be fitted, which takes milliseconds for each."""
        self._stale = STALE

    def __repr__(self) -> str:
        counts = {kind: len(known.lives) for kind, known in self._kinds.items()}
        return f"<Durations of {counts}>"

    @property
    def is_empty(self) -> bool:
        """Whether no job has ended yet."""
        return not self._kinds

    @contextmanager
    def roughly(self) -> Generator[None]:
        """Within this context a law that is a little out of date will do."""
        self._stale = OBSOLETE
        try:
            yield
        finally:
            self._stale = STALE

    def ended(self, kind: Any, born: float, lasted: float, now: float) -> None:
        """Take in a job that has ended.

        Args:
            kind: What kind of job it was; jobs of one kind are alike.
            born: Loop time at which it began.
            lasted: Seconds that it lasted.
            now: Loop time; ends that come in at one moment are thinned out where they are many.
        """
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = _Kind()
            if len(self._kinds) > KINDS:
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(kind)
        if now != known.moment:
            known.settle()
            known.moment = now
        known.at_once.append(Life(born, max(lasted, 1e-3)))
        known.fresh += 1

    def grid(self, kind: Any, running: Callable[[], Iterable[Life]]) -> Grid | None:
        """The law of a kind of jobs, or while it may not be fitted the one before.

        None where too little is known.

        Args:
            kind: The kind.
            running: Gives the jobs of this kind that are running, or some that stand for all.
        """
        known = self._kinds.get(kind)
        if known is None:
            return None
        if self.fits_left > 0 and known.fresh > self._stale * known.behind:
            self.fits_left -= 1
            known.settle()
            known.fresh = 0
            self._fit(known, list(running()))
        return known.grid

    def inspection(
        self, kind: Any, price: float, running: Callable[[], Iterable[Life]]
    ) -> Inspection | None:
        """When best to look at jobs of a kind; None where too little is known.

        Args:
            kind: The kind.
            price: How many seconds of delay a look at one job is worth.
            running: As for :meth:`grid`.
        """
        grid = self.grid(kind, running)
        if grid is None:
            return None
        plans = self._kinds[kind].plans
        plan = plans.get(price)
        if plan is None:
            plan = plans[price] = Inspection(grid, price)
            if len(plans) > PRICES:
                plans.popitem(last=False)
        plans.move_to_end(price)
        return plan

    @staticmethod
    def _fit(known: _Kind, running: Sequence[Life]) -> None:
        cut = _changed_at(known, [life for life in running if life.born >= known.born_after])
        if cut is not None:
            known.born_after = cut
            known.lives = deque(life for life in known.lives if life.born >= cut)
        known.plans.clear()
        known.grid = None
        known.behind = sum(life.weight for life in known.lives)
        if len(known.lives) >= ENOUGH:
            running = [life for life in running if life.born >= known.born_after]
            known.grid = Grid(fit(*_product_limit(known.lives, running, known.since)))


class _Risks:
    """How many of some lives were watched at an age."""

    def __init__(self, lives: Iterable[Life], since: float) -> None:
        watched = [(max(0.0, since - life.born), life) for life in lives]
        watched = [(entry, life) for entry, life in watched if entry < life.lasted]
        self._entries, self._entered = _sums((entry, life.weight) for entry, life in watched)
        self._exits, self._left = _sums((life.lasted, life.weight) for _, life in watched)

    def at(self, age: float) -> float:
        """Their weight just before an age."""
        entered = self._entered[bisect_left(self._entries, age)]
        return entered - self._left[bisect_left(self._exits, age)]


def _sums(pairs: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Ages in order, and the weight before each."""
    ages: list[float] = []
    sums = [0.0]
    for age, weight in sorted(pairs):
        ages.append(age)
        sums.append(sums[-1] + weight)
    return ages, sums


def _product_limit(
    ended: Iterable[Life], running: Sequence[Life], since: float
) -> tuple[list[Point], float, float]:
    """The durations with their shares, in jobs; the share of what lasts longer, and its age."""
    ends = sorted(
        (life for life in ended if life.over_at > since),
        key=lambda life: life.lasted,
    )
    count = min(sum(life.weight for life in ends), float(MEMORY))
    risks = _Risks([*ends, *running], since)
    longest = max((life.lasted for life in running), default=0.0)
    points: list[Point] = []
    left = 1.0
    for i, life in enumerate(ends):
        risk = max(risks.at(life.lasted), life.weight)
        share = life.weight / risk
        if share > 0.5 and (i + 1 < len(ends) or longest > life.lasted):
            share = 0.5  # a risk set of one must not speak for all who come after it
        points.append(Point(life.lasted, left * share * count, life.weight))
        left *= 1.0 - share
    last = max(ends[-1].lasted if ends else 0.0, longest)
    return points, left * count, last


def _changed_at(known: _Kind, running: Sequence[Life]) -> float | None:
    """Loop time of the birth from which on durations follow another law; None if there is none."""
    lives = sorted(known.lives, key=lambda life: life.born)
    best, cut = CHANGED, None
    for count in YOUNGEST:
        if len(lives) <= count:
            break
        born = lives[-count].born
        first = bisect_left(lives, born, key=lambda life: life.born)
        old, young = lives[max(0, first - OTHERS) : first], lives[first:]
        if len(old) < ENOUGH:
            break
        deviation = _log_rank(
            old,
            young,
            [life for life in running if life.born < born],
            [life for life in running if life.born >= born],
            known.since,
        )
        if deviation > best:
            best, cut = deviation, born
    return cut


def _log_rank(
    old: Sequence[Life],
    young: Sequence[Life],
    old_running: Sequence[Life],
    young_running: Sequence[Life],
    since: float,
) -> float:
    """How far two groups of jobs are apart, in standard deviations."""
    risks_old = _Risks([*old, *old_running], since)
    risks_young = _Risks([*young, *young_running], since)
    surplus = sum(life.weight for life in young)
    variance = 0.0
    for life in (*old, *young):
        at_old, at_young = risks_old.at(life.lasted), risks_young.at(life.lasted)
        share = at_young / max(at_old + at_young, life.weight)
        surplus -= life.weight * share
        variance += life.weight * life.weight * share * (1.0 - share)
    return abs(surplus) / math.sqrt(variance) if variance > 1e-9 else 0.0
