"""Those who wait for a job, and the decisions about it. Pure: no I/O, time comes in as numbers."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import attrs

from jobkit_async.errors import ClientClosed, Forbidden, Unauthorized
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import NOT_DUE, Due, Polling
from jobkit_async.polling.source import Sighting
from jobkit_async.states import JobState

__all__ = ["LOST_LOOKS", "Entry", "Verdict", "VerdictKind", "Watch"]

DataT = TypeVar("DataT")

LOST_LOOKS: Final = 3
"""Looks in a row that must not find a job before it counts as lost."""
FAILURES: Final = 5
"""Failures in a row that a wait endures in any case."""
REFUSALS: Final = 3
"""Answers in a row of the kind "not allowed" that a wait endures in any case."""
REFUSED: Final = 5.0
"""Seconds over which it endures them in any case: many a look may be taken in a moment."""


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
        "ends_at",
        "keep_input",
        "notify",
        "on_update",
        "once_after",
        "over",
        "record",
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
        self.ends_at: float | None = None
        """Loop time of its deadline while it has one."""
        self._told: tuple[Any, ...] | None = None

    def is_news(self, sighting: Sighting[DataT]) -> bool:
        """Whether this differs from what was told last; it counts as told from now on."""
        news = (sighting.state, sighting.raw_status, sighting.progress, sighting.message)
        if news == self._told:
            return False
        self._told = news
        return True


@attrs.frozen(kw_only=True, eq=False)
class _Trouble:
    """What has gone wrong in the looks at one job.

    Attributes:
        failures: Looks in a row that failed.
        failing_since: Loop time of the first of them.
        refusals: Answers in a row of the kind "not allowed".
        misses: Looks in a row in which the service did not know the job.
        missing_since: Loop time of the first of them.
        odd_word: The status word that is not known, or None.
        odd_since: Loop time at which it was first seen.
        problem: The last of it in words.
        cause: The error behind that, or None.
    """

    failures: int = 0
    failing_since: float = 0.0
    refusals: int = 0
    misses: int = 0
    missing_since: float = 0.0
    odd_word: str | None = None
    odd_since: float = 0.0
    problem: str = ""
    cause: Exception | None = None


_NO_TROUBLE: Final = _Trouble()
"""Shared by all jobs that nothing is wrong with, which most are."""


@attrs.define(eq=False, weakref_slot=False)
class Entry(Generic[DataT]):
    """A job that is waited for, and what its looks have come to so far.

    Its methods take in one result of a look each, and return the verdict that it leads to, if any.
    """

    record: Record[DataT]
    # Most jobs have one waiter: a dict for that one would take more memory than all the rest.
    _waiting: Watch[DataT] | dict[Watch[DataT], None] | None = attrs.field(
        default=None, init=False, repr=False
    )
    was_alive_at: float | None = None
    looks: int = 0
    due: Due = NOT_DUE
    _trouble: _Trouble = attrs.field(default=_NO_TROUBLE, init=False)

    @property
    def watches(self) -> tuple[Watch[DataT], ...]:
        """Those who wait for the job, in the order in which they came."""
        waiting = self._waiting
        if waiting is None:
            return ()
        return (waiting,) if isinstance(waiting, Watch) else tuple(waiting)

    def add(self, watch: Watch[DataT]) -> None:
        """One more waits for the job."""
        waiting = self._waiting
        if waiting is None:
            self._waiting = watch
        elif isinstance(waiting, Watch):
            self._waiting = {waiting: None, watch: None}
        else:
            waiting[watch] = None

    def discard(self, watch: Watch[DataT]) -> None:
        """One waits no more; can be repeated."""
        waiting = self._waiting
        if waiting is watch:
            self._waiting = None
        elif isinstance(waiting, dict):
            waiting.pop(watch, None)

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the job any more."""
        return not self._waiting

    def same_again(self, sighting: Sighting[DataT], asked_at: float) -> bool:
        """Take in that nothing has changed, if that is all there is to it; most looks are such."""
        record, waiting = self.record, self._waiting
        if (
            sighting is not record.newest
            # The service's clock may have become known.
            or (sighting.created_at is not None and not record.dated)
            or (sighting.started_at is not None and (record.started is None or record.start_spread))
            or self._trouble is not _NO_TROUBLE
            or not isinstance(waiting, Watch)
            or waiting.on_update is not None
        ):
            return False
        alive_at = record.alive_at
        if not record.seen_again(asked_at):
            return False
        self.was_alive_at = alive_at
        return True

    def looked(self, asked_at: float) -> tuple[Watch[DataT], ...]:
        """Note a look that left at this time; returns those who waited for no more than that."""
        self.looks += 1
        waiting = self._waiting
        if isinstance(waiting, Watch) and waiting.once_after is None:
            return ()
        return tuple(
            watch
            for watch in self.watches
            if watch.once_after is not None and watch.once_after <= asked_at
        )

    @property
    def in_haste(self) -> bool:
        """Whether somebody waits for no more than one look."""
        return any(watch.once_after is not None for watch in self.watches)

    def ends_by(self, at: float) -> bool:
        """Whether somebody waits for no more than one look, or no longer than until then."""
        return self.in_haste or any(
            watch.ends_at is not None and watch.ends_at <= at for watch in self.watches
        )

    @property
    def seen_at(self) -> float | None:
        """Loop time at which the last sighting's request left; None if there was none."""
        return self.record.seen_at

    @property
    def alive_at(self) -> float | None:
        """Loop time as of which the job is known to be on its way; None if it may need input."""
        return self.record.alive_at

    @property
    def newest(self) -> Sighting[DataT] | None:
        """The last sighting, which a source may give again where nothing has changed since."""
        return self.record.newest

    @property
    def troubled(self) -> bool:
        """Whether anything has gone wrong in the last looks."""
        return self._trouble is not _NO_TROUBLE

    @property
    def failures(self) -> int:
        """Looks in a row that failed."""
        return self._trouble.failures

    @property
    def misses(self) -> int:
        """Looks in a row in which the service did not know the job."""
        return self._trouble.misses

    @property
    def detail(self) -> bool:
        """Whether somebody watches the way and not only the end."""
        return any(watch.on_update is not None for watch in self.watches)

    def timeout(self) -> Verdict[DataT]:
        """The verdict where the time is over first."""
        trouble = self._trouble
        return Verdict(VerdictKind.TIMEOUT, self.record.newest, trouble.problem, trouble.cause)

    def answered(self) -> None:
        """The service knows the job, and no more is to be learned from the answer."""
        if self._trouble is not _NO_TROUBLE:
            self._trouble = attrs.evolve(self._trouble, failures=0, misses=0, refusals=0)

    def saw(self, sighting: Sighting[DataT], now: float, polling: Polling) -> Verdict[DataT] | None:
        """The job was sighted; an end counts once its snapshot is there."""
        state = sighting.state
        if state is JobState.UNKNOWN:
            return self._saw_odd_word(sighting, now, polling)
        ended = state.ended
        if ended and sighting.data is None:
            return None  # its snapshot is yet to be read, and that may go on failing
        self._trouble = _NO_TROUBLE
        if state is JobState.NEEDS_INPUT:
            return Verdict(VerdictKind.NEEDS_INPUT, sighting)
        return Verdict(_ENDS[state], sighting) if ended else None

    def _saw_odd_word(
        self, sighting: Sighting[DataT], now: float, polling: Polling
    ) -> Verdict[DataT] | None:
        word, before = sighting.raw_status, self._trouble
        since = before.odd_since if before.odd_word == word else now
        self._trouble = _Trouble(odd_word=word, odd_since=since)
        lasted = now - since
        if lasted < polling.unknown_after:
            return None
        problem = f"its status has been {word!r}, which this library does not know, "
        return Verdict(VerdictKind.GAVE_UP, sighting, f"{problem}for {lasted:.0f} s")

    def missed(self, now: float, polling: Polling) -> Verdict[DataT] | None:
        """The service does not know the job: grace first, then a verdict."""
        self.record.alive_at = None  # nobody is to vouch for it
        if self.record.cancelled:
            return Verdict(VerdictKind.CANCELLED, self.record.gone())
        if self.record.hold_back():
            return None
        misses = self.misses + 1
        since = self._trouble.missing_since if self.misses else now
        self._trouble = attrs.evolve(
            self._trouble,
            failures=0,
            refusals=0,
            misses=misses,
            missing_since=since,
            problem=f"the service did not know it in the last looks ({misses})",
        )
        away = now - since
        if misses < LOST_LOOKS or away < polling.lost_after:
            return None
        problem = f"the service has not known it for {away:.0f} s ({misses} looks)"
        return Verdict(VerdictKind.LOST, self.record.newest, problem)

    def failed(self, error: Exception, now: float, polling: Polling) -> Verdict[DataT] | None:
        """The look failed; only failures in a row count, and a few of them are endured."""
        newest = self.record.newest
        if isinstance(error, ClientClosed):
            return Verdict(VerdictKind.CLOSED, newest)
        failures = self.failures + 1
        since = self._trouble.failing_since if self.failures else now
        refused = isinstance(error, Unauthorized | Forbidden)
        refusals = self._trouble.refusals + 1 if refused else 0
        self._trouble = attrs.evolve(
            self._trouble,
            failures=failures,
            failing_since=since,
            refusals=refusals,
            problem=f"the last look failed: {error}",
            cause=error,
        )
        lasted = now - since
        over = refusals >= REFUSALS and lasted >= REFUSED
        if not over and (failures < FAILURES or lasted < polling.give_up_after):
            return None
        problem = f"{failures} looks in a row failed, over {lasted:.0f} s: {error}"
        return Verdict(VerdictKind.GAVE_UP, newest, problem, error)
