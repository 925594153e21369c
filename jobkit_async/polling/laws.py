"""The law of durations that some finished jobs suggest. Pure.

Durations spread over orders of magnitude, so everything here is done in the logarithm of seconds.
A law is a mixture, weighted by how well each of its parts foretells every duration from the others:

- *modes*: runs of neighbouring durations, each with a Student-t around it. Where to cut is decided
  by their marginal likelihood, so that short failures and long successes come apart, however much
  narrower one of them is. A single mode is a log-normal law that admits what it does not know;
- a *span*: equally likely anywhere between the shortest and the longest;
- a trace of everything from half a second to a day, more of it while only a few jobs are known;
- a *tail* for what jobs still running hold back: from there on all scales are alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

__all__ = ["DAY", "Law", "Mode", "Point", "fit"]

SHORTEST: Final = 0.5
DAY: Final = 86_400.0
_LOW: Final = math.log(SHORTEST)
_RANGE: Final = math.log(DAY) - _LOW
"""Width of what is possible at all, in log time."""
CUTS: Final = 8
"""Gaps between durations at which modes may be parted: the widest ones."""
NEW_MODE: Final = 0.01
"""Prior odds of one more mode."""
SHAPE: Final = 1.5
SCALE: Final = 0.006
"""Prior of a mode's variance in log time, an inverse gamma law: widths around 5 %."""
TRACE: Final = 0.002
"""Weight of the trace of everything, in jobs."""
DOUBT: Final = 4.0
DOUBT_FADES: Final = 3.0
"""What is added to that weight at first, and the number of jobs by which it falls to 1/e."""
_ROOT: Final = math.sqrt(0.5)


@attrs.frozen
class Mode:
    """A Student-t law of the logarithm of a duration.

    Attributes:
        weight: Its share of the law.
        centre: Its centre, the logarithm of seconds.
        width: Its scale, about a share of the duration.
        freedom: Its degrees of freedom.
    """

    weight: float
    centre: float
    width: float
    freedom: float

    def cdf(self, y: float) -> float:
        """Its probability below, without the weight; by Wallace's normal approximation."""
        nu, t = self.freedom, (y - self.centre) / self.width
        z = (8.0 * nu + 1.0) / (8.0 * nu + 3.0) * math.sqrt(nu * math.log1p(t * t / nu))
        return 0.5 * math.erfc(-math.copysign(z, t) * _ROOT)

    def density(self, y: float) -> float:
        """Its density in log time, without the weight."""
        nu, t = self.freedom, (y - self.centre) / self.width
        log = math.lgamma((nu + 1.0) / 2.0) - math.lgamma(nu / 2.0)
        log -= 0.5 * math.log(nu * math.pi) + (nu + 1.0) / 2.0 * math.log1p(t * t / nu)
        return math.exp(log) / self.width


@attrs.frozen
class _Span:
    """Equally likely between two bounds that were drawn from it, and a little beyond them."""

    low: float
    high: float
    count: float

    def cdf(self, y: float) -> float:
        width, outside = self.high - self.low, 1.0 / (self.count + 1.0)
        if y < self.low:
            return float(outside * (width / (width + self.low - y)) ** (self.count - 1.0))
        if y > self.high:
            return float(1.0 - outside * (width / (width + y - self.high)) ** (self.count - 1.0))
        return outside + (1.0 - 2.0 * outside) * (y - self.low) / width

    def density(self, y: float) -> float:
        width = self.high - self.low
        beyond = max(self.low - y, y - self.high, 0.0)
        inside = (self.count - 1.0) / (self.count + 1.0) / width
        return float(inside * (width / (width + beyond)) ** self.count)


@attrs.frozen
class Law:
    """A law of durations.

    Attributes:
        modes: Its modes, whose weights are shares of the whole.
        span: The span between the shortest and the longest, and its share.
        trace: Share of the trace of everything.
        tail: Share of what lasts longer than anything known.
        tail_from: Seconds from which that counts.
        longest: The longest duration behind it, in seconds.
    """

    modes: tuple[Mode, ...]
    span: tuple[float, _Span | None]
    trace: float
    tail: float
    tail_from: float
    longest: float

    def cdf(self, seconds: float) -> float:
        """Probability that a job lasts no longer."""
        if seconds <= 0.0:
            return 0.0
        y = math.log(seconds)
        total = self.trace * min(max((y - _LOW) / _RANGE, 0.0), 1.0)
        for mode in self.modes:
            total += mode.weight * mode.cdf(y)
        share, span = self.span
        if span is not None:
            total += share * span.cdf(y)
        if self.tail and seconds > self.tail_from:
            total += self.tail * (1.0 - self.tail_from / seconds)
        return total


def _y_of(point: Point) -> float:
    return math.log(point.seconds)


@attrs.frozen
class Point:
    """A duration, or some that are alike.

    Attributes:
        seconds: The duration in seconds, above 0.
        weight: Its weight in jobs, with what it has from jobs of which less is known.
        jobs: The number of jobs that have lasted so long.
        y: Logarithm of the seconds.
    """

    seconds: float
    weight: float = 1.0
    jobs: float = 1.0
    y: float = attrs.field(init=False, default=attrs.Factory(_y_of, takes_self=True))

    @property
    def one(self) -> float:
        """The weight of one of the jobs."""
        return self.weight / max(self.jobs, 1.0)


def fit(points: Iterable[Point], tail: float = 0.0, tail_from: float = 0.0) -> Law:
    """The law behind some durations.

    Args:
        points: The durations.
        tail: The weight of jobs that last longer than all of them.
        tail_from: For how many seconds these have lasted.
    """
    data = sorted((point for point in points if point.weight > 0.0), key=lambda p: p.seconds)
    count = sum(point.weight for point in data)
    runs = _runs(data)
    foretold = [_foretell_modes(runs, count)]
    span = None
    if sum(point.jobs for point in data) > 2.0 and data[-1].y - data[0].y > 1e-6:
        span = _Span(data[0].y, data[-1].y, max(count, 2.0))
        foretold.append(_foretell_span(data, count))
    trace = TRACE + DOUBT * math.exp(-count / DOUBT_FADES)
    scores = [_score(data, densities, trace / (count + trace)) for densities in foretold]
    best = max(scores)
    odds = [math.exp(score - best) for score in scores]
    share = count / (count + trace + tail) / sum(odds)
    modes = (run.mode(share * odds[0] / count) for run in runs)  # which may be no odds at all
    return Law(
        modes=tuple(mode for mode in modes if mode is not None),
        span=(share * odds[-1], span) if span is not None else (0.0, None),
        trace=trace / (count + trace + tail),
        tail=tail / (count + trace + tail),
        tail_from=tail_from,
        longest=max(data[-1].seconds if data else 0.0, tail_from),
    )


class _Sums:
    """Weight, sum and sum of squares of a run of points."""

    def __init__(self, points: Iterable[Point]) -> None:
        self.points = list(points)
        self.weight = sum(point.weight for point in self.points)
        self.mean = sum(point.weight * point.y for point in self.points) / self.weight
        self.squares = sum(point.weight * (point.y - self.mean) ** 2 for point in self.points)

    def likelihood(self) -> float:
        """Log of the marginal likelihood, with a flat prior of the centre."""
        n, shape = self.weight, _shape(self.weight)
        scale = SCALE + 0.5 * self.squares
        return (
            math.lgamma(shape)
            - math.lgamma(SHAPE)
            + SHAPE * math.log(SCALE)
            - shape * math.log(scale)
            - math.log(_RANGE)
            - 0.5 * math.log(n)
            - (shape - SHAPE) * math.log(2.0 * math.pi)
        )

    def mode(self, share: float, without: Point | None = None) -> Mode | None:
        """The mode that it foretells, of which each job has a share; one job left out or not."""
        n, mean, squares = self.weight, self.mean, self.squares
        if without is not None:
            y, weight = without.y, without.one
            n -= weight
            if n < 1e-9:
                return None
            squares -= weight * (y - mean) ** 2 * self.weight / n
            mean -= weight * (y - mean) / n
        shape = _shape(n)
        scale = SCALE + 0.5 * max(squares, 0.0)
        return Mode(n * share, mean, math.sqrt(scale / shape * (1.0 + 1.0 / n)), 2.0 * shape)


def _shape(weight: float) -> float:
    return SHAPE + 0.5 * max(weight - 1.0, 0.0)


def _runs(data: Sequence[Point]) -> list[_Sums]:
    """The most likely way to part the points into modes."""
    gaps = sorted(range(1, len(data)), key=lambda i: data[i - 1].y - data[i].y)[:CUTS]
    cuts = [0, *sorted(gaps), len(data)]
    best: list[tuple[float, list[_Sums]]] = [(0.0, [])]
    for end in range(1, len(cuts)):
        options: list[tuple[float, list[_Sums]]] = []
        for start in range(end):
            run = _Sums(data[cuts[start] : cuts[end]])
            value = best[start][0] + run.likelihood()
            value += math.log(NEW_MODE) + math.lgamma(max(run.weight, 1.0))
            options.append((value, [*best[start][1], run]))
        best.append(max(options, key=lambda option: option[0]))
    return best[-1][1] if data else []


def _foretell_modes(runs: Iterable[_Sums], total: float) -> list[float]:
    """The density of each point under the modes that all jobs but one there suggest."""
    densities: list[float] = []
    for run in runs:
        for point in run.points:
            rest = max(total - point.one, 1e-9)
            mode = run.mode(1.0 / rest, point)
            if mode is None:
                densities.append(0.3 / (rest * _RANGE))
            else:
                densities.append(mode.weight * mode.density(point.y))
    return densities


def _foretell_span(data: Sequence[Point], total: float) -> list[float]:
    """The density of each point under the span of all jobs but one there."""
    last = len(data) - 1
    densities: list[float] = []
    for i, point in enumerate(data):
        alone = point.jobs < 2.0
        low = data[1 if i == 0 and alone else 0].y
        high = data[last - 1 if i == last and alone else last].y
        rest = max(total - point.one, 1.0 + 1e-9)
        span = _Span(low, max(high, low + 1e-6), rest)
        densities.append(span.density(point.y))
    return densities


def _score(data: Sequence[Point], densities: Sequence[float], trace: float) -> float:
    """How well all points were foretold: the log of the product of their densities."""
    floor = trace / _RANGE
    return sum(
        point.weight * math.log((1.0 - trace) * density + floor)
        for point, density in zip(data, densities, strict=True)
    )
