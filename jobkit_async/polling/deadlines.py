"""When waits are over, and when the last looks before that are due. Pure: no I/O.

A timer for each wait would take more memory than all else that is kept of it. With the deadlines in
their order, one timer serves all of them.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Final, Generic, TypeVar

from jobkit_async.polling.watch import Watch

__all__ = ["Deadlines"]

DataT = TypeVar("DataT")

TOLERATED: Final = 64
"""Waits that are over and may be kept among the others, however few these are."""


class Deadlines(Generic[DataT]):
    """The waits that have a deadline, in the order of their ends."""

    def __init__(self) -> None:
        self._coming: list[tuple[float, int, Watch[DataT]]] = []  # the last look is yet to leave
        self._closing: list[tuple[float, int, Watch[DataT]]] = []  # it has left
        self._order = itertools.count()
        self._stale = 0

    def __len__(self) -> int:
        """Number of waits that are kept, with some that are over."""
        return len(self._coming) + len(self._closing)

    def __repr__(self) -> str:
        return f"<Deadlines of {len(self)} waits, next at {self.next_end()}>"

    def add(self, watch: Watch[DataT], ends_at: float, *, last_look: bool = True) -> None:
        """Let a wait end.

        Args:
            watch: The wait.
            ends_at: Loop time of its end; infinity is no deadline.
            last_look: Whether it is due a last look before that.
        """
        if ends_at == math.inf:
            return
        watch.ends_at = ends_at
        heap = self._coming if last_look else self._closing
        heapq.heappush(heap, (ends_at, next(self._order), watch))

    def discard(self, watch: Watch[DataT]) -> None:
        """A wait is over; can be repeated."""
        if watch.ends_at is None:
            return
        watch.ends_at = None
        self._stale += 1
        if self._stale > TOLERATED and 2 * self._stale > len(self):
            for heap in (self._coming, self._closing):
                heap[:] = [entry for entry in heap if entry[2].ends_at is not None]
                heapq.heapify(heap)
            self._stale = 0

    def clear(self) -> None:
        """All waits are over."""
        self._coming.clear()
        self._closing.clear()
        self._stale = 0

    def next_end(self) -> float:
        """Loop time of the next end; infinity if there is none."""
        return min(self._first(self._coming), self._first(self._closing))

    def next_last_look(self, lead: float) -> float:
        """Loop time of the next last look, which leaves so many seconds before the end."""
        return self._first(self._coming) - lead

    def last_looks(self, now: float, lead: float, most: int) -> list[Watch[DataT]]:
        """Take some waits whose last look is to leave now; each is given once.

        Args:
            now: Loop time.
            lead: Seconds between the last look and the end.
            most: The most waits to take.
        """
        due: list[Watch[DataT]] = []
        while len(due) < most and self.next_last_look(lead) <= now:
            entry = heapq.heappop(self._coming)
            heapq.heappush(self._closing, entry)
            due.append(entry[2])
        return due

    def take_over(self, now: float, most: int) -> list[Watch[DataT]]:
        """Take some waits that end now or should have ended, the earliest first.

        Args:
            now: Loop time.
            most: The most waits to take.
        """
        over: list[Watch[DataT]] = []
        while len(over) < most and self.next_end() <= now:
            # Asked for its first, each heap has one that is not over on top.
            heap = min(self._coming, self._closing, key=self._first)
            _, _, watch = heapq.heappop(heap)
            watch.ends_at = None
            over.append(watch)
        return over

    def _first(self, heap: list[tuple[float, int, Watch[DataT]]]) -> float:
        """When the first of these ends; those that are over are forgotten on the way."""
        while heap and heap[0][2].ends_at is None:
            heapq.heappop(heap)
            self._stale -= 1
        return heap[0][0] if heap else math.inf
