"""What a job's progress tells of the time that is left. Pure.

A job that has done the share p of its work in a seconds has about a (1 - p) / p seconds left, if
its work goes on evenly. How far that is off is learned from jobs that have ended, as a factor: its
spread says what the progress of such jobs is worth.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Any, Final

from jobkit_async.polling.inspection import Grid, Inspection
from jobkit_async.polling.laws import Law, Mode

__all__ = ["Progress", "even"]

MEMORY: Final = 64
"""Ends that are remembered of one kind of jobs."""
KINDS: Final = 128
"""Kinds of jobs that are remembered."""
ENOUGH: Final = 8
"""Ends from which on progress is believed as far as it was right."""
USABLE: Final = (0.02, 0.98)
"""Progress below says too little, above it is too coarse."""
SHARPEST: Final = 0.05
"""The least spread in log time that is believed."""
PLANS: Final = 64
"""Plans that are kept, by spread and price."""
_UNIT: Final = 100.0
"""Seconds that a plan takes the time left for; it is stretched to what it is."""


class Progress:
    """How well the progress of jobs foretells their ends, by kind."""

    def __init__(self) -> None:
        self._factors: OrderedDict[Any, deque[float]] = OrderedDict()
        self._first: OrderedDict[tuple[int, int], float] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Progress of {len(self._factors)} kinds>"

    @property
    def is_empty(self) -> bool:
        """Whether no job has ended yet whose progress was seen."""
        return not self._factors

    def ended(self, kind: Any, ran: float, progress: float | None, left: float) -> None:
        """Take in a job that has ended.

        Args:
            kind: What kind of job it was.
            ran: Seconds that it had run when its progress was seen.
            progress: That progress, from 0 to 1, or None.
            left: Seconds from then to its end.
        """
        foretold = even(ran, progress)
        if foretold is None or left <= 0.0:
            return
        factors = self._factors.setdefault(kind, deque(maxlen=MEMORY))
        self._factors.move_to_end(kind)
        factors.append(math.log(left / foretold))
        if len(self._factors) > KINDS:
            self._factors.popitem(last=False)

    def left(self, kind: Any, ran: float, progress: float | None) -> tuple[float, float] | None:
        """The median of the seconds left, and its spread in log time; None where not known."""
        factors, foretold = self._factors.get(kind), even(ran, progress)
        if factors is None or len(factors) < ENOUGH or foretold is None:
            return None
        ordered = sorted(factors)
        count = len(ordered)
        middle = ordered[count // 2]
        # A quarter lies beyond each side; the fewer there are, the wider it is taken.
        quarters = ordered[(3 * count) // 4] - ordered[count // 4]
        spread = max(SHARPEST, quarters / 1.349) * (1.0 + 2.0 / count)
        return foretold * math.exp(middle), spread

    def gap(self, left: float, spread: float, price: float) -> float:
        """Seconds to the best next look.

        Args:
            left: Median of the seconds that are left.
            spread: Its spread in log time.
            price: How many seconds of delay a look is worth.
        """
        scale = left / _UNIT
        # Steps of a fifth in both are as good as all values.
        level = (round(5.0 * math.log(spread)), round(5.0 * math.log(price / scale)))
        first = self._first.get(level)
        if first is None:
            mode = Mode(0.998, math.log(_UNIT), math.exp(level[0] / 5.0), 1000.0)
            law = Law((mode,), (0.0, None), 0.002, 0.0, 0.0, _UNIT)
            plan = Inspection(Grid(law), math.exp(level[1] / 5.0))
            first = self._first[level] = plan.next_look(0.0) or _UNIT
            if len(self._first) > PLANS:
                self._first.popitem(last=False)
        return first * scale


def even(ran: float, progress: float | None) -> float | None:
    """Seconds that are left if the work goes on evenly; None where progress says nothing."""
    if progress is None or ran <= 0.0 or not USABLE[0] <= progress <= USABLE[1]:
        return None
    return ran * (1.0 - progress) / progress
