"""What no poller can beat: the best looks where the law of durations is known."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import Final

from benchmarks.workloads import LAWS, Law

__all__ = ["best_delay", "requests_and_delay"]

POINTS: Final = 5000
"""Ages of the grid, spread evenly over log time and over what ends."""
PRICES: Final = 48
"""Prices at which the optimum is computed; between them it is interpolated."""


def requests_and_delay(looks: Sequence[float], law: Law) -> tuple[float, float]:
    """Status requests per job and mean delay of detection, exact, with looks at these ages.

    The last look should come at an age that no job exceeds.
    """
    requests = delay = before = 0.0
    for look in looks:
        over = law.cdf(before)
        requests += 1.0 - over
        delay += law.integral(look) - law.integral(before) - (look - before) * over
        before = look
    return requests, delay


def best_delay(workload: str, requests: float) -> float:
    """The least mean delay at so many requests per job."""
    curve = _curve(workload)
    wanted = math.log(requests)
    i = min(max(bisect_left(curve, (wanted, -math.inf)), 1), len(curve) - 1)
    (x0, y0), (x1, y1) = curve[i - 1], curve[i]
    return math.exp(y0 + (wanted - x0) / (x1 - x0) * (y1 - y0))


@cache
def _curve(workload: str) -> list[tuple[float, float]]:
    """Logarithms of requests and of the least delay, by rising requests."""
    law = LAWS[workload]
    ages = _ages(law)
    curve: list[tuple[float, float]] = []
    for k in range(PRICES):
        price = math.exp(math.log(0.004) + k / (PRICES - 1) * math.log(400.0 / 0.004))
        requests, delay = requests_and_delay(_best_looks(law, ages, price), law)
        curve.append((math.log(requests), math.log(delay)))
    return sorted(curve)


def _ages(law: Law) -> list[float]:
    """Ages close together wherever jobs end."""
    longest = law.longest
    even = [longest * math.exp(-11.0 * (1.0 - i / POINTS)) for i in range(POINTS + 1)]
    over = [law.cdf(age) for age in even]
    ages = set(even[::4])
    for i in range(1, POINTS + 1):
        ends = over[i] - over[i - 1]
        pieces = min(32, int(ends * POINTS))
        step = (even[i] - even[i - 1]) / (pieces + 1)
        ages.update(even[i - 1] + step * j for j in range(pieces + 1))
    return [0.0, *sorted(ages - {even[-1]}), longest]


def _best_looks(law: Law, ages: Sequence[float], price: float) -> list[float]:
    """Dynamic programming from the oldest age to the youngest; lines on a hull, as ages rise."""
    last = len(ages) - 1
    cost = [0.0] * (last + 1)  # what is to come from an age on, plus the integral up to it
    following = [last] * (last + 1)
    cost[last] = law.integral(ages[last])
    hull = [last]
    for i in range(last - 1, -1, -1):
        over = law.cdf(ages[i])
        low, high = 0, len(hull) - 1
        while low < high:
            middle = (low + high) // 2
            a, b = hull[middle], hull[middle + 1]
            if cost[a] - ages[a] * over <= cost[b] - ages[b] * over:
                high = middle
            else:
                low = middle + 1
        best = following[i] = hull[low]
        cost[i] = price * (1.0 - over) + cost[best] - (ages[best] - ages[i]) * over
        while len(hull) > 1 and (cost[hull[-2]] - cost[hull[-1]]) * (ages[hull[-1]] - ages[i]) <= (
            cost[hull[-1]] - cost[i]
        ) * (ages[hull[-2]] - ages[hull[-1]]):
            hull.pop()
        hull.append(i)
    looks: list[float] = []
    i = 0
    while i < last:
        i = following[i]
        looks.append(ages[i])
    return looks
