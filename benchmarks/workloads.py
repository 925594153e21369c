"""Laws of durations to wait under, with what is needed to integrate over them exactly."""

from __future__ import annotations

import math
import random
from typing import Final, Protocol

import attrs

__all__ = ["LAWS", "Law", "LogNormal", "LogUniform", "Modes"]


class Law(Protocol):
    """A law of durations in seconds."""

    @property
    def longest(self) -> float:
        """Duration that next to no job exceeds."""
        ...

    def draw(self, rng: random.Random) -> float:
        """A duration."""
        ...

    def cdf(self, t: float) -> float:
        """Probability that a job lasts no longer."""
        ...

    def integral(self, t: float) -> float:
        """Integral of the cdf from 0."""
        ...


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z * math.sqrt(0.5))


@attrs.frozen
class LogNormal:
    """Durations whose logarithm is normal."""

    median: float
    sigma: float

    @property
    def longest(self) -> float:
        return self.median * math.exp(4.2 * self.sigma)

    def draw(self, rng: random.Random) -> float:
        return self.median * math.exp(rng.gauss(0.0, self.sigma))

    def cdf(self, t: float) -> float:
        return 0.0 if t <= 0.0 else _normal(math.log(t / self.median) / self.sigma)

    def integral(self, t: float) -> float:
        if t <= 0.0:
            return 0.0
        z = math.log(t / self.median) / self.sigma
        mean = self.median * math.exp(0.5 * self.sigma * self.sigma)
        return t * _normal(z) - mean * _normal(z - self.sigma)


@attrs.frozen
class LogUniform:
    """Durations that are equally likely on all scales from 1 second on."""

    longest: float

    def draw(self, rng: random.Random) -> float:
        return float(self.longest ** rng.random())

    def cdf(self, t: float) -> float:
        return min(max(math.log(t) / math.log(self.longest), 0.0), 1.0) if t > 0.0 else 0.0

    def integral(self, t: float) -> float:
        if t <= 1.0:
            return 0.0
        inner = min(t, self.longest)
        area = (inner * math.log(inner) - inner + 1.0) / math.log(self.longest)
        return area + t - inner


@attrs.frozen
class Modes:
    """Normal durations around one of two times, each as likely."""

    first: tuple[float, float]
    second: tuple[float, float]

    @property
    def longest(self) -> float:
        mean, deviation = self.second
        return mean + 6.0 * deviation

    def draw(self, rng: random.Random) -> float:
        mean, deviation = self.first if rng.random() < 0.5 else self.second
        return max(0.01, rng.gauss(mean, deviation))

    def cdf(self, t: float) -> float:
        return 0.5 * sum(_normal((t - mean) / width) for mean, width in (self.first, self.second))

    def integral(self, t: float) -> float:
        area = 0.0
        for mean, width in (self.first, self.second):
            z = (t - mean) / width
            area += width * (z * _normal(z) + math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi))
        return 0.5 * area


LAWS: Final[dict[str, Law]] = {
    "A": LogNormal(60.0, 1.0),
    "B": LogNormal(600.0, 0.5),
    "C": LogUniform(3600.0),
    "D": Modes((5.0, 0.5), (300.0, 15.0)),
}
"""The workloads by name."""
