"""For whom a listing of recent endings can vouch. Pure.

Some services tell cheaply what has ended since the last look, and nothing else. A job that such a
look does not show has not ended, provided that it was alive at some moment from which on the look
shows every ending. Of all others nothing is known until they are read one by one.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from jobkit_async.polling.source import Ask, Key

__all__ = ["Vouching"]


class Vouching:
    """Remembers which awaited jobs were alive as of the last look.

    Attributes:
        looked_at: Loop time at which the last look left; None before the first.
    """

    def __init__(self) -> None:
        self.looked_at: float | None = None
        self._alive: set[Key] = set()

    def __repr__(self) -> str:
        return f"<Vouching for {len(self._alive)} jobs as of {self.looked_at}>"

    def reach(self, asks: Mapping[Key, Ask], looked_at: float) -> float:
        """Loop time from which on endings tell something about these jobs.

        Args:
            asks: The awaited jobs.
            looked_at: The present.
        """
        before = _or_never(self.looked_at)
        reach = looked_at
        for key, ask in asks.items():
            if ask.alive_at is not None:
                since = before if key in self._alive else ask.alive_at
                if since >= before:  # nobody vouches for the others, however far a look reaches
                    reach = min(reach, since)
        return reach

    def settle(
        self, asks: Mapping[Key, Ask], ended: Mapping[Key, Any], *, since: float, looked_at: float
    ) -> list[Key]:
        """Take in a look.

        Args:
            asks: The awaited jobs.
            ended: Those among them that the look shows as ended.
            since: Loop time from which on it shows every ending; infinity if from none.
            looked_at: Loop time at which it left.

        Returns:
            The jobs of which nothing is known, those unseen for longest first.
        """
        before = self.looked_at
        carried = self._alive if before is not None and before >= since else set()
        alive: set[Key] = set()
        unsure: list[Key] = []
        for key, ask in asks.items():
            if key in ended:
                continue
            known = ask.alive_at is not None
            if known and (key in carried or _or_never(ask.alive_at) >= since):
                alive.add(key)
            else:
                unsure.append(key)
        self._alive = alive
        self.looked_at = looked_at
        return sorted(unsure, key=lambda key: _or_never(asks[key].seen_at))

    def saw(self, keys: Iterable[Key]) -> None:
        """The look of the last :meth:`settle` has, after that, shown these jobs to be alive.

        The tracker dates what a look shows by when it began, which is before ``looked_at``: by
        that alone nobody could vouch for them at the next look.
        """
        self._alive.update(keys)

    def stalest(self, asks: Mapping[Key, Ask], ended: Collection[Key], count: int) -> list[Key]:
        """The awaited jobs that were last sighted longest ago: they might have been deleted."""
        rest = (key for key in asks if key not in ended)
        return heapq.nsmallest(count, rest, key=lambda key: _or_never(asks[key].seen_at))


def _or_never(at: float | None) -> float:
    return float("-inf") if at is None else at
