"""Calls of services about their jobs: hints, and how far they can be relied on. Pure.

A call about a job says no more than that it is worth a look. Where a share ``p`` of the ends is
told by calls, looks are there for the rest of them: of a hazard ``h`` they have ``(1 - p) h`` left
to find, and since looks are best taken in proportion to the root of that, gaps grow by
``1 / sqrt(1 - p)``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection
from itertools import islice
from typing import Any, Final
from weakref import WeakSet

from jobkit_async.polling.record import Record
from jobkit_async.polling.source import Key
from jobkit_async.polling.watch import Entry

__all__ = ["Nudges"]

REMEMBERED: Final = 10_000
"""Jobs about which a call is remembered: it may come before anybody waits for the job."""
TOLD_BEFORE: Final = 3.0
"""So many ends are taken to have been told before the first is known ..."""
MISSED_BEFORE: Final = 1.0
"""... and so many not."""
MEMORY: Final = 100.0
"""About so many ends are remembered, so that a change shows."""
SAMPLE: Final = 256
"""Jobs that stand for all where there are more."""
SLOWEST: Final = 10.0
"""The most by which gaps grow."""


class Nudges:
    """Calls about jobs, and the jobs that have been promised one.

    Args:
        rest: Seconds from one look at a job that a call has led to, to the next at least.
    """

    def __init__(self, rest: float) -> None:
        self._rest = rest
        self._due: OrderedDict[Key, float] = OrderedDict()
        self._promised: WeakSet[Record[Any]] = WeakSet()
        self._told = TOLD_BEFORE
        self._missed = MISSED_BEFORE
        self.any_promised = False
        """Whether a call was ever promised."""

    def __repr__(self) -> str:
        return f"<Nudges: {self.share_told:.0%} of ends told by calls>"

    @property
    def share_told(self) -> float:
        """The share of ends that a call has told before a look found them."""
        return self._told / (self._told + self._missed)

    def promise(self, record: Record[Any]) -> None:
        """The service is to call about a job once it has ended."""
        self._promised.add(record)
        self.any_promised = True

    def came(self, key: Key, now: float) -> float:
        """Take a call in.

        Args:
            key: What it is about; nobody need know of such a job.
            now: Loop time.

        Returns:
            Loop time from which on the job may be looked at for it.
        """
        before = self._due.pop(key, -math.inf)
        due = before if before > now else max(now, before + self._rest)
        self._due[key] = due
        if len(self._due) > REMEMBERED:
            self._due.popitem(last=False)
        return due

    def is_pending(self, record: Record[Any]) -> bool:
        """Whether a call has come about a job since it was last seen."""
        due = self._due.get(record.key)
        return due is not None and (record.seen_at is None or due > record.seen_at)

    def slower(self, entries: Collection[Entry[Any]]) -> float:
        """By how much the gaps grow of jobs that one look answers for.

        Those whose way somebody watches do not count: calls tell of ends.
        """
        some = list(islice(entries, 0, None, 1 + len(entries) // SAMPLE))
        promised = sum(entry.record in self._promised and not entry.detail for entry in some)
        return self._factor(promised / len(some)) if promised else 1.0

    def slower_at_first(self, record: Record[Any]) -> float:
        """The same for the first look at a job."""
        return self._factor(1.0) if record in self._promised else 1.0

    def _factor(self, promised: float) -> float:
        left = max(1.0 - promised * self.share_told, SLOWEST**-2)
        return 1.0 / math.sqrt(left)

    def left(self, entry: Entry[Any]) -> None:
        """Learn from a job for which nobody waits any more."""
        record = entry.record
        if (
            not self.any_promised
            or record not in self._promised
            or record.newest is None
            or not record.newest.state.ended
        ):
            return
        self._promised.discard(record)
        due = self._due.get(record.key, -math.inf)
        seen_alive = -math.inf if entry.was_alive_at is None else entry.was_alive_at
        if due >= seen_alive and due > -math.inf:
            self._told += 1.0
        else:
            self._missed += 1.0
        fading = min(1.0, MEMORY / (self._told + self._missed))
        self._told *= fading
        self._missed *= fading
