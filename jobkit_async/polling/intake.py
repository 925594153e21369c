"""Taking in what looks have shown: it is noted, learned from, and told to who waits. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

from jobkit_async.errors import JobkitError, kind_of
from jobkit_async.polling.outlook import Outlook
from jobkit_async.polling.report import Report
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Key, Sighting
from jobkit_async.polling.watch import Entry, Verdict, VerdictKind, Watch
from jobkit_async.redact import forget_frames
from jobkit_async.states import JobState

__all__ = ["Intake", "call_safely"]

_log = logging.getLogger("jobkit_async.polling")

DataT = TypeVar("DataT")

ODD_WORDS: Final = 100
"""Unknown status words that are remembered, so that each is logged once."""


class Intake(Generic[DataT]):
    """Takes observations and failures in, and ends the waits that they decide.

    Args:
        name: Name of the service, for the log.
        polling: How much trouble a wait endures.
        outlook: What learns from ends.
        report: What counts for the hooks, or None.
        service_time: The service's Unix time at a time of the loop, or None where not known.
        end: Ends one wait with a verdict.
    """

    def __init__(
        self,
        *,
        name: str,
        polling: Polling,
        outlook: Outlook,
        report: Report | None,
        service_time: Callable[[float], float | None],
        end: Callable[[Watch[DataT], Verdict[DataT]], None],
    ) -> None:
        self._name = name
        self._polling = polling
        self._outlook = outlook
        self._report = report
        self._service_time = service_time
        self._end = end
        self._odd_words: set[str] = set()

    def saw(
        self, entry: Entry[DataT], sighting: Sighting[DataT], asked_at: float, now: float
    ) -> bool:
        """Take one sighting in.

        Args:
            entry: The job.
            sighting: What was seen.
            asked_at: Loop time at which the request left.
            now: Loop time; the same for all that were seen together, which are known by it.

        Returns:
            Whether its end was seen, and the snapshot of that is still lacking.
        """
        record = entry.record
        if self._report is not None:
            self._report.saw(entry, sighting, now)
        entry.was_alive_at = record.alive_at or entry.was_alive_at
        known = record.newest
        counted = record.observe(sighting, asked_at=asked_at, now=now)
        if counted is None:
            entry.answered()
            return False
        created = counted.created_at
        if created is None and known is None:
            created = record.created_at  # as a reference has told it
        if not record.dated and created is not None:
            record.set_created(created.timestamp(), self._service_time(now), now)
        if counted.started_at is not None and (record.started is None or record.start_spread):
            record.set_started(counted.started_at.timestamp(), self._service_time(now), now)
        ended = counted.state.ended
        if ended and counted.data is not None:
            is_new = known is None or not known.state.ended or known.data is None
            if is_new:
                self._outlook.ended(record, counted, entry.was_alive_at, now, before=known)
        self.tell(entry, counted, now)
        return ended and counted.data is None

    def missed(self, entry: Entry[DataT], now: float) -> None:
        """The service said that it does not know a job."""
        if self._report is not None:
            self._report.missed(entry.record.key)
        self.decide(entry, entry.missed(now, self._polling), now)

    def note_failures(self, failures: Mapping[Key, Exception]) -> Iterable[Exception]:
        """Report failures, and log each of them once; returns them, each once.

        The waits for the jobs are another matter: see :meth:`failed`.
        """
        if self._report is not None:
            self._report.failed(failures)
        errors = set(failures.values())
        for error in errors:
            if isinstance(error, JobkitError):  # any other is a fault, which frames help to find
                forget_frames(error)
            _log.info("%s: a look failed: %s", self._name, kind_of(error))
        return errors

    def failed(self, entry: Entry[DataT], error: Exception, now: float) -> None:
        """The look at a job failed."""
        self.decide(entry, entry.failed(error, now, self._polling), now)

    def tell(self, entry: Entry[DataT], counted: Sighting[DataT], now: float) -> None:
        """Tell those who follow a job what was seen, and its waiters what follows from it."""
        if counted.state is JobState.UNKNOWN and counted.raw_status not in self._odd_words:
            if len(self._odd_words) < ODD_WORDS:
                self._odd_words.add(counted.raw_status)
            _log.warning("unknown job status %r", counted.raw_status)
        for watch in entry.watches:
            if watch.on_update is not None and watch.is_news(counted):
                call_safely(watch.on_update, counted)
        self.decide(entry, entry.saw(counted, now, self._polling), now)

    def decide(self, entry: Entry[DataT], verdict: Verdict[DataT] | None, now: float) -> None:
        """Tell everybody who waits for a job, but for those who wait on while it needs input."""
        if verdict is None:
            return
        if self._report is not None:
            self._report.decided(entry, verdict, now)
        for watch in entry.watches:
            if not (watch.keep_input and verdict.kind is VerdictKind.NEEDS_INPUT):
                self._end(watch, verdict)


def call_safely(function: Callable[[Any], None], value: Any) -> None:
    """Tell a waiter; whatever it raises is its own affair."""
    try:
        function(value)
    except Exception:  # noqa: BLE001 - logged; the other waiters come next
        _log.exception("a waiter's callback raised")
