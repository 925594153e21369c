"""When best to look at a job whose law of durations is known. Pure.

This is the inspection problem of reliability theory: each look costs ``price`` seconds of delay.
With the law F and G its integral, the cost from age t on, weighted by the chance to get there, is

    W(t) = price (1 - F(t)) - G(t) + t F(t) + min over s > t of [G(s) + W(s) - s F(t)]

so that the best next look s for an age t is where a line of slope F(t) touches the lower hull of
the points (s, G(s) + W(s)). One pass from old to young ages finds it for all of them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Final

from jobkit_async.polling.laws import DAY, Law

__all__ = ["Grid", "Inspection"]

COARSE: Final = 128
"""Ages that are spread evenly in log time."""
FINE: Final = 320
"""Ages that are put where looks will be close together."""
YOUNGEST: Final = 0.05
"""The youngest age after 0 in seconds."""
REACH: Final = 4.0
"""How many times the longest duration the grid covers at least."""
NEAR: Final = 2.0
"""Gaps of fewer cells of the grid than this are found by the rule for many looks."""
AROUND: Final = (0.3, 0.7, 1.0, 1.4, 1.8, 2.3, 3.0, 4.0, 6.0)
"""Where around a mode its law is looked at, in its widths."""


class Grid:
    """A law on ages that are close together where looks at a job should be.

    Attributes:
        ages: The ages in seconds, rising from 0.
        cdf: Probability that a job is over by then; 1 at the last.
    """

    def __init__(self, law: Law) -> None:
        horizon = max(DAY, REACH * law.longest)
        ages = self._at_first(law, horizon)
        cdf = [law.cdf(age) for age in ages]
        ages = sorted({*_spread(ages, cdf), *_even(horizon)})
        whole = law.cdf(horizon)
        self.ages = [0.0, *ages]
        self.cdf = [0.0, *(law.cdf(age) / whole for age in ages)]
        self.cdf[-1] = 1.0
        self.integral = [0.0]
        for i in range(1, len(self.ages)):
            step = self.ages[i] - self.ages[i - 1]
            mean = 0.5 * (self.cdf[i] + self.cdf[i - 1])
            self.integral.append(self.integral[-1] + step * mean)

    @property
    def median(self) -> float:
        """The duration that half of the jobs exceed, in seconds."""
        return self.ages[bisect_right(self.cdf, 0.5)]

    def spread(self, age: float) -> float:
        """How unsure the time left is for a job of an age, as a deviation of its logarithm."""
        over = self.over(age)
        quarters: list[float] = []
        for part in (0.25, 0.75):
            i = bisect_right(self.cdf, over + part * (1.0 - over))
            quarters.append(max(self.ages[min(i, len(self.ages) - 1)] - age, 1e-6))
        return math.log(quarters[1] / quarters[0]) / 1.349

    def left(self, age: float) -> float | None:
        """The seconds that half of the jobs of an age exceed; None beyond all that was seen."""
        over = self.over(age)
        if over > 1.0 - 1e-9:
            return None
        wanted = over + 0.5 * (1.0 - over)
        i = bisect_right(self.cdf, wanted)
        if i >= len(self.cdf):
            return self.ages[-1] - age
        part = (wanted - self.cdf[i - 1]) / (self.cdf[i] - self.cdf[i - 1])
        at = self.ages[i - 1] + part * (self.ages[i] - self.ages[i - 1])
        return max(0.0, at - age)

    def over(self, age: float) -> float:
        """Probability that a job is over by an age."""
        i = bisect_right(self.ages, age)
        if i >= len(self.ages):
            return 1.0
        low, high = self.ages[i - 1], self.ages[i]
        part = (age - low) / (high - low)
        return self.cdf[i - 1] + part * (self.cdf[i] - self.cdf[i - 1])

    @staticmethod
    def _at_first(law: Law, horizon: float) -> list[float]:
        ages = set(_even(horizon))
        for mode in law.modes:
            for distance in AROUND:
                for side in (-distance, distance):
                    y = mode.centre + side * mode.width
                    if math.log(YOUNGEST) < y < math.log(horizon):
                        ages.add(math.exp(y))
            ages.add(min(max(math.exp(mode.centre), YOUNGEST), horizon))
        return sorted(ages)


def _even(horizon: float) -> list[float]:
    ratio = (horizon / YOUNGEST) ** (1.0 / (COARSE - 1))
    return [*(YOUNGEST * ratio**i for i in range(COARSE - 1)), horizon]


def _spread(ages: list[float], cdf: list[float]) -> list[float]:
    """Ages in proportion to the best rate of looks, the square root of density and survival."""
    looks = [0.0]
    for i in range(1, len(ages)):
        mass = max(cdf[i] - cdf[i - 1], 0.0)
        left = max(1.0 - 0.5 * (cdf[i] + cdf[i - 1]), 0.0)
        looks.append(looks[-1] + math.sqrt(mass * left * (ages[i] - ages[i - 1])))
    spread: list[float] = []
    i = 1
    for k in range(1, FINE):
        wanted = looks[-1] * k / FINE
        while looks[i] < wanted:
            i += 1
        part = (wanted - looks[i - 1]) / (looks[i] - looks[i - 1])
        spread.append(ages[i - 1] + part * (ages[i] - ages[i - 1]))
    return spread


class Inspection:
    """The best next look for every age.

    Args:
        grid: The law.
        price: How many seconds of delay a look is worth.
    """

    def __init__(self, grid: Grid, price: float) -> None:
        self._grid = grid
        self._price = price
        ages = grid.ages
        last = len(ages) - 1
        self._next = [ages[last]] * (last + 1)
        value = [0.0] * (last + 1)  # G + W
        value[last] = grid.integral[last]
        hull = [last]
        for i in range(last - 1, -1, -1):
            slope = grid.cdf[i]
            low, high = 0, len(hull) - 1
            while low < high:
                middle = (low + high) // 2
                this, then = hull[middle], hull[middle + 1]
                if value[this] - ages[this] * slope <= value[then] - ages[then] * slope:
                    high = middle
                else:
                    low = middle + 1
            at, least = _refined(ages, value, hull[low], i, slope)
            self._next[i] = at
            value[i] = price * (1.0 - slope) + least + ages[i] * slope
            while len(hull) > 1 and _above(ages, value, hull[-2], hull[-1], i):
                hull.pop()
            hull.append(i)

    def next_look(self, age: float) -> float | None:
        """The age for the next look at a job that was looked at now; None beyond the horizon."""
        ages, cdf = self._grid.ages, self._grid.cdf
        i = bisect_right(ages, age) - 1
        if i >= len(ages) - 2:
            return None
        low, high = ages[i], ages[i + 1]
        part = (age - low) / (high - low)
        ending = cdf[i + 1] - cdf[i]
        if ending > 0.0:
            # Where looks are closer together than the grid's ages, the law is even between them.
            left = 1.0 - cdf[i] - part * ending
            gap = math.sqrt(2.0 * self._price * left * (high - low) / ending)
            if gap < NEAR * (high - low):
                return age + gap
        first, second = self._next[i], self._next[i + 1]
        if second - first > 4.0 * (high - low) + 0.5 * (first - low):
            return max(first if part < 0.5 else second, high)  # a leap over ages without ends
        return max(first + part * (second - first), age)


def _refined(
    ages: list[float], value: list[float], best: int, i: int, slope: float
) -> tuple[float, float]:
    """The minimum between grid points, by the parabola through the best of them."""
    least = value[best] - ages[best] * slope
    if best - 1 <= i or best + 1 >= len(ages):
        return ages[best], least
    left, here, right = ages[best - 1], ages[best], ages[best + 1]
    rise_left = (value[best - 1] - left * slope - least) / (left - here)
    rise_right = (value[best + 1] - right * slope - least) / (right - here)
    bend = (rise_right - rise_left) / (right - left)
    if bend <= 0.0:
        return here, least
    tilt = rise_left - bend * (left - here)
    offset = min(max(-tilt / (2.0 * bend), 0.5 * (left - here)), 0.5 * (right - here))
    return here + offset, least + offset * (tilt + bend * offset)


def _above(ages: list[float], value: list[float], old: int, middle: int, young: int) -> bool:
    """Whether a point lies above the line from an older to a younger one."""
    return (value[old] - value[middle]) * (ages[middle] - ages[young]) <= (
        value[middle] - value[young]
    ) * (ages[old] - ages[middle])
