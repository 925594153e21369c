"""What this process knows of one job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar, cast

import attrs

from jobkit_async.polling.source import Key, Sighting
from jobkit_async.states import JobState

__all__ = ["Record", "RecordOf"]

DataT = TypeVar("DataT")

_ALIVE: Final = (JobState.PENDING, JobState.RUNNING)
LAG: Final = 60.0
"""Seconds for which an unchanged job is taken for a late answer after a change of our own."""


@attrs.frozen
class _Snapshot:
    """A snapshot of a job.

    Attributes:
        data: The snapshot.
        at: When it was received.
        full: Whether it shows all of the job.
    """

    data: Any
    at: datetime
    full: bool


@attrs.frozen
class _Change:
    """What this process has last done to a job.

    Attributes:
        at: Loop time of the change.
        cancelled: Whether this process has cancelled the job, then or before.
        outdated: Status and mark that the job had before, by which a late answer is known.
        cancelling: Calls under way that cancel the job.
        held_back: Whether an observation was left out of account meanwhile.
    """

    at: float | None = None
    cancelled: bool = False
    outdated: tuple[str, Any] | None = None
    cancelling: int = 0
    held_back: bool = False


_UNCHANGED: Final = _Change()
_CANCELLED: Final = _Change(cancelled=True)


@attrs.define(eq=False)
class Record(Generic[DataT]):
    """What this process knows of one job; shared by all handles of that job.

    Attributes:
        key: What identifies the job to its service.
        newest: The newest observation.
        seen_at: Loop time at which the newest observation's request left.
        born: Loop time from which the job's age counts.
        dated: Whether that is more than a guess.
        kind: Type of the job, where it is known.
        started: Loop time at which it began to run, as far as that is known.
        start_spread: How many seconds earlier or later that may have been.
        alive_at: Loop time as of which the job is known to be on its way, in need of nothing.
        created_at: When the job was created, by the service's clock.
        scope: What else the service needs to find the job (Leia: its submitter), or None.
        scope_sure: Whether an answer has confirmed the scope.
    """

    key: Key
    newest: Sighting[DataT] | None = None
    seen_at: float | None = None
    born: float | None = None
    dated: bool = False
    kind: str | None = None
    started: float | None = None
    start_spread: float = 0.0
    alive_at: float | None = None
    created_at: datetime | None = None
    scope: str | None = None
    scope_sure: bool = False
    # What few of many awaited jobs have takes one slot, not one for each part of it.
    _snapshot: _Snapshot | None = attrs.field(default=None, repr=False)
    _change: _Change = _UNCHANGED

    @classmethod
    def of(cls, key: Key, *, cancelled: bool = False) -> Record[DataT]:
        """A job of which nothing is known yet, but whether this process has cancelled it."""
        record = cls(key)
        if cancelled:
            record._change = _CANCELLED
        return record

    @property
    def data(self) -> DataT | None:
        """The newest full snapshot, or for want of one another."""
        return None if self._snapshot is None else cast(DataT, self._snapshot.data)

    @property
    def data_at(self) -> datetime | None:
        """When that was received."""
        return None if self._snapshot is None else self._snapshot.at

    @property
    def touched_at(self) -> float | None:
        """Loop time of our own last change to the job."""
        return self._change.at

    @property
    def cancelled(self) -> bool:
        """Whether this process has cancelled it."""
        return self._change.cancelled

    def observe(
        self, sighting: Sighting[DataT], *, asked_at: float, now: float
    ) -> Sighting[DataT] | None:
        """Take in an observation.

        Args:
            sighting: What was seen.
            asked_at: Loop time at which the request left.
            now: Loop time.

        Returns:
            The observation as it counts, or None where it is out of date: it left before our own
            last change or before the newest observation, or shows the job as it was before that
            change. Also where only the answer to a call that is under way will tell whether it
            shows a failure or a cancellation.
        """
        if self.seen_at is not None and asked_at < self.seen_at:
            return None
        if self._change is not _UNCHANGED:
            if self.touched_at is not None and asked_at < self.touched_at:
                return None
            if sighting.cancels and self.hold_back():
                return None
            if self._lags(sighting, now):
                return None
            if self.cancelled and sighting.cancels:
                sighting = attrs.evolve(sighting, state=JobState.CANCELLED)
        self._note_start(sighting, asked_at)
        self.newest = sighting
        self.seen_at = asked_at
        self.alive_at = asked_at if sighting.state in _ALIVE else None
        self.created_at = sighting.created_at or self.created_at
        self.kind = sighting.kind or self.kind
        if sighting.data is not None:
            self._snapshot = _Snapshot(sighting.data, datetime.now(UTC), full=True)
        return sighting

    def is_news(self, asked_at: float) -> bool:
        """Whether nothing newer is known than what was asked for at this time of the loop."""
        newer = (at for at in (self.seen_at, self.touched_at) if at is not None)
        return all(asked_at >= at for at in newer)

    def seen_again(self, asked_at: float) -> bool:
        """Take in that a job on its way was seen just as before; whether that can be all."""
        if (
            self._change is not _UNCHANGED
            or self.alive_at is None
            or self.seen_at is None
            or asked_at < self.seen_at
        ):
            return False
        self.seen_at = self.alive_at = asked_at
        return True

    def _note_start(self, sighting: Sighting[DataT], asked_at: float) -> None:
        """A job that was pending and now runs has begun between the two looks."""
        before = self.newest
        if sighting.state is not JobState.RUNNING:
            if not sighting.state.ended:
                self.started = None
        elif (
            self.started is None
            and before is not None
            and before.state is JobState.PENDING
            and self.alive_at is not None
        ):
            self.started = 0.5 * (self.alive_at + asked_at)
            self.start_spread = 0.5 * (asked_at - self.alive_at)

    def keep(self, data: DataT) -> None:
        """Keep a snapshot that is not a full one, for want of a better."""
        if self._snapshot is None or not self._snapshot.full:
            self._snapshot = _Snapshot(data, datetime.now(UTC), full=False)

    def _lags(self, sighting: Sighting[DataT], now: float) -> bool:
        change = self._change
        if change.outdated is None or change.at is None:
            return False
        if now - change.at < LAG and change.outdated == (sighting.raw_status, sighting.mark):
            return True
        self._change = attrs.evolve(change, outdated=None)
        return False

    def touch(self, now: float, *, starts: bool = False, cancels: bool = False) -> None:
        """Note that this process has just changed the job: what was seen before is out of date.

        Args:
            now: Loop time.
            starts: Whether the change has sent it on its way.
            cancels: Whether the change was to cancel it.
        """
        newest, outdated = self.newest, self._change.outdated
        if newest is not None and newest.mark is not None and not newest.final:
            outdated = (newest.raw_status, newest.mark)
        cancelling = self._change.cancelling
        self._change = _Change(now, self.cancelled or cancels, outdated, cancelling)
        if starts:
            self.alive_at = now
        if cancels:
            self.alive_at = None
        self.born = now
        self.started = None
        self.dated = True

    def begin_cancel(self) -> None:
        """Note that a call that cancels the job is about to be sent."""
        self._change = attrs.evolve(self._change, cancelling=self._change.cancelling + 1)

    def hold_back(self) -> bool:
        """Whether only the answer to such a call will tell what was just observed to be an end."""
        waits = self._change.cancelling > 0 and not self.cancelled
        if waits:
            self._change = attrs.evolve(self._change, held_back=True)
        return waits

    def end_cancel(self) -> bool:
        """Note that such a call is over; whether an observation was held back for it."""
        change = self._change
        self._change = attrs.evolve(change, cancelling=change.cancelling - 1, held_back=False)
        return change.held_back

    def set_created(self, created: float, service_now: float | None, now: float) -> None:
        """Let the job's age count from its creation.

        Args:
            created: Unix time of the creation, by the service's clock.
            service_now: The present by the same clock; None where it is not known.
            now: Loop time.
        """
        if self.created_at is None:
            self.created_at = datetime.fromtimestamp(created, UTC)
        if service_now is not None and self.touched_at is None:
            self.born = now - max(0.0, service_now - created)
            self.dated = True

    def set_started(self, started: float, service_now: float | None, now: float) -> None:
        """Let the job's running time count from its start, as :meth:`set_created` does its age."""
        if service_now is not None and started > 0.0:  # a date that was not set is of the year 1
            self.started = now - max(0.0, service_now - started)
            self.start_spread = 0.0

    def gone(self) -> Sighting[DataT]:
        """The service does not know the job any more after this process has cancelled it."""
        word = self.newest.raw_status if self.newest is not None else ""
        self.newest = Sighting(
            state=JobState.CANCELLED, raw_status=word, final=True, data=self.data
        )
        return self.newest

    @property
    def over(self) -> bool:
        """Whether the job is known to have ended for good, with a snapshot of that end."""
        newest = self.newest
        return (
            newest is not None
            and newest.state.ended
            and newest.final
            and newest.data is not None
            and (
                self.touched_at is None
                or (self.seen_at is not None and self.seen_at >= self.touched_at)
            )
        )


RecordOf = Callable[[Key], Record[DataT]]
"""Finds what is known of a job."""
