"""Those who wait for a job, and the decisions about it. Pure: no I/O, time comes in as numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import attrs

from jobkit_async.errors import ClientClosed, Forbidden, Unauthorized
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Sighting
from jobkit_async.states import JobState

__all__ = ["LOST_LOOKS", "Entry", "Verdict", "VerdictKind", "Watch"]

DataT = TypeVar("DataT")

LOST_LOOKS: Final = 3
"""Looks in a row that must not find a job before it counts as lost."""
FAILURES: Final = 5
"""Failures in a row that a wait endures in any case."""
REFUSALS: Final = 3
"""Answers in a row of the kind "not allowed" that a wait endures."""


class VerdictKind(StrEnum):
    """How a wait ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NEEDS_INPUT = "needs_input"
    LOST = "lost"
    TIMEOUT = "timeout"
    GAVE_UP = "gave_up"
    CLOSED = "closed"


_ENDS: Final = {
    JobState.SUCCEEDED: VerdictKind.SUCCEEDED,
    JobState.FAILED: VerdictKind.FAILED,
    JobState.CANCELLED: VerdictKind.CANCELLED,
}


@attrs.frozen
class Verdict(Generic[DataT]):
    """What a waiter is told, once.

    Attributes:
        kind: How the wait ended.
        sighting: The observation that ended it, or None.
        problem: What went wrong, where something did.
        cause: The error behind it, or None.
    """

    kind: VerdictKind
    sighting: Sighting[DataT] | None = None
    problem: str = ""
    cause: Exception | None = None


class Watch(Generic[DataT]):
    """One waiter's interest in one job; made by :meth:`Tracker.watch`."""

    __slots__ = (
        "_told",
        "keep_input",
        "notify",
        "on_update",
        "once_after",
        "over",
        "record",
        "timer",
    )

    def __init__(
        self,
        record: Record[DataT],
        notify: Callable[[Verdict[DataT]], None],
        *,
        keep_input: bool,
        on_update: Callable[[Sighting[DataT]], None] | None,
        once_after: float | None,
    ) -> None:
        self.record = record
        self.notify = notify
        self.keep_input = keep_input
        self.on_update = on_update
        self.once_after = once_after
        self.over = False
        self.timer: asyncio.TimerHandle | None = None
        self._told: tuple[Any, ...] | None = None

    def is_news(self, sighting: Sighting[DataT]) -> bool:
        """Whether this differs from what was told last; it counts as told from now on."""
        news = (sighting.state, sighting.raw_status, sighting.progress, sighting.message)
        if news == self._told:
            return False
        self._told = news
        return True


@attrs.define(eq=False)
class Entry(Generic[DataT]):
    """A job that is waited for, and what its looks have come to so far.

    Its methods take in one result of a look each, and return the verdict that it leads to, if any.
    """

    record: Record[DataT]
    watches: dict[Watch[DataT], None] = attrs.field(factory=dict)
    was_alive_at: float | None = None
    looks: int = 0
    failures: int = 0
    failing_since: float = 0.0
    tried_at: float = float("-inf")
    misses: int = 0
    missing_since: float = 0.0
    trouble: str = ""
    trouble_cause: Exception | None = None
    odd_word: str | None = None
    odd_since: float = 0.0
    refusals: int = 0

    @property
    def seen_at(self) -> float | None:
        """Loop time at which the last sighting's request left; None if there was none."""
        return self.record.seen_at

    @property
    def alive_at(self) -> float | None:
        """Loop time as of which the job is known to be on its way; None if it may need input."""
        return self.record.alive_at

    @property
    def detail(self) -> bool:
        """Whether somebody watches the way and not only the end."""
        return any(watch.on_update is not None for watch in self.watches)

    def timeout(self) -> Verdict[DataT]:
        """The verdict where the time is over first."""
        newest = self.record.newest
        return Verdict(VerdictKind.TIMEOUT, newest, self.trouble, self.trouble_cause)

    def saw(self, sighting: Sighting[DataT], now: float, polling: Polling) -> Verdict[DataT] | None:
        """The job was sighted; an end counts once its snapshot is there."""
        state = sighting.state
        if state.ended and sighting.data is None:
            return None  # its snapshot is yet to be read, and that may go on failing
        self.failures = self.misses = self.refusals = 0
        self.trouble, self.trouble_cause = "", None
        if state is JobState.UNKNOWN:
            return self._saw_odd_word(sighting, now, polling)
        self.odd_word = None
        if state is JobState.NEEDS_INPUT:
            return Verdict(VerdictKind.NEEDS_INPUT, sighting)
        return Verdict(_ENDS[state], sighting) if state.ended else None

    def _saw_odd_word(
        self, sighting: Sighting[DataT], now: float, polling: Polling
    ) -> Verdict[DataT] | None:
        word = sighting.raw_status
        if self.odd_word != word:
            self.odd_word, self.odd_since = word, now
        lasted = now - self.odd_since
        if lasted < polling.unknown_after:
            return None
        problem = f"its status has been {word!r}, which this library does not know, "
        return Verdict(VerdictKind.GAVE_UP, sighting, f"{problem}for {lasted:.0f} s")

    def missed(self, now: float, polling: Polling) -> Verdict[DataT] | None:
        """The service does not know the job: grace first, then a verdict."""
        self.failures = self.refusals = 0
        if self.record.cancelled:
            return Verdict(VerdictKind.CANCELLED, self.record.gone())
        if self.misses == 0:
            self.missing_since = now
        self.misses += 1
        self.trouble = f"the service did not know it in the last looks ({self.misses})"
        away = now - self.missing_since
        if self.misses < LOST_LOOKS or away < polling.lost_after:
            return None
        problem = f"the service has not known it for {away:.0f} s ({self.misses} looks)"
        return Verdict(VerdictKind.LOST, self.record.newest, problem)

    def failed(self, error: Exception, now: float, polling: Polling) -> Verdict[DataT] | None:
        """The look failed; only failures in a row count, and a few of them are endured."""
        newest = self.record.newest
        if isinstance(error, ClientClosed):
            return Verdict(VerdictKind.CLOSED, newest)
        if self.failures == 0:
            self.failing_since = now
        self.failures += 1
        self.trouble, self.trouble_cause = f"the last look failed: {error}", error
        lasted = now - self.failing_since
        refused = isinstance(error, Unauthorized | Forbidden)
        self.refusals = self.refusals + 1 if refused else 0
        if self.refusals < REFUSALS and (
            self.failures < FAILURES or lasted < polling.give_up_after
        ):
            return None
        problem = f"{self.failures} looks in a row failed, over {lasted:.0f} s: {error}"
        return Verdict(VerdictKind.GAVE_UP, newest, problem, error)
