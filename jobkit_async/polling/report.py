"""What hooks are told of looks and ends: counted along a look, and put together at its end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import attrs

from jobkit_async.hooks import Reporter
from jobkit_async.model import aware
from jobkit_async.polling.record import Record
from jobkit_async.polling.source import Key, Sighting
from jobkit_async.polling.watch import Entry, Verdict, VerdictKind
from jobkit_async.states import JobState

__all__ = ["Report"]

MARGIN: Final = 2.0
"""Seconds by which the service's clock may be misjudged: its Date header has whole seconds."""
_STATES: Final = {
    VerdictKind.SUCCEEDED: JobState.SUCCEEDED,
    VerdictKind.FAILED: JobState.FAILED,
    VerdictKind.CANCELLED: JobState.CANCELLED,
}


@attrs.define
class _Tally:
    """What a look has shown so far."""

    seen: set[Key] = attrs.field(factory=set)
    missing: set[Key] = attrs.field(factory=set)
    failed: set[Key] = attrs.field(factory=set)
    ended: int = 0


class Report:
    """Keeps count of one look after the other.

    Args:
        reporter: Who tells the hooks; that of the polls, which counts their requests.
        service_time: The service's Unix time at a time of the loop, or None where not known.
    """

    def __init__(self, reporter: Reporter, service_time: Callable[[float], float | None]) -> None:
        self._reporter = reporter
        self._service_time = service_time
        self._awaited: dict[Key, float] = {}  # loop time from which on an end counts as detected
        self._requests = reporter.requests
        self._tally = _Tally()

    @contextmanager
    def apart(self, asked: int, seconds: float) -> Generator[None]:
        """What is told meanwhile is of a look of its own, while another one may be under way."""
        other, self._tally = self._tally, _Tally()
        try:
            yield
        finally:
            self.looked(asked, seconds)
            self._tally = other

    def awaited(self, record: Record[Any], now: float) -> None:
        """Somebody waits for a job, at this time of the loop; nobody did before."""
        if record.newest is None or not record.newest.state.ended:
            self._awaited[record.key] = now  # a known end is not detected once more

    def left(self, key: Key) -> None:
        """Nobody waits for a job any more."""
        self._awaited.pop(key, None)

    def saw(self, entry: Entry[Any], sighting: Sighting[Any], now: float) -> None:
        """A job was sighted."""
        self._tally.seen.add(entry.record.key)
        if not sighting.state.ended:
            self._awaited.setdefault(entry.record.key, now)  # one that had ended may go on

    def missed(self, key: Key) -> None:
        """The service said that it does not know a job."""
        self._tally.missing.add(key)

    def failed(self, keys: Iterable[Key]) -> None:
        """The look at these jobs failed."""
        self._tally.failed.update(keys)

    def looked(self, asked: int, seconds: float) -> None:
        """A look at so many jobs is over."""
        tally, self._tally = self._tally, _Tally()
        requests, self._requests = self._requests, self._reporter.requests
        self._reporter.look(
            asked=asked,
            seen=len(tally.seen),
            ended=tally.ended,
            missing=len(tally.missing),
            failed=len(tally.failed),
            requests=self._requests - requests,
            seconds=seconds,
        )

    def decided(self, entry: Entry[Any], verdict: Verdict[Any], now: float) -> None:
        """The waits for a job end with this."""
        record, sighting = entry.record, verdict.sighting
        state = _STATES.get(verdict.kind)
        awaited_at = self._awaited.get(record.key)
        if state is None or awaited_at is None:
            return
        if record.key in self._tally.seen or record.key in self._tally.missing:
            self._tally.ended += 1  # and not by a call of the owner's between two looks
        ended_at = None if sighting is None else _unix(sighting.ended_at)
        created_at = None if sighting is None else _unix(sighting.created_at)
        duration = None
        if ended_at is not None and created_at is not None and ended_at > created_at:
            duration = ended_at - created_at
        self._reporter.end(
            kind=record.kind,
            state=state,
            delay=None if ended_at is None else self._delay(entry, awaited_at, ended_at, now),
            duration=duration,
            looks=entry.looks,
        )

    def _delay(
        self, entry: Entry[Any], earliest: float, ended_at: float, now: float
    ) -> float | None:
        """Seconds since the service's Unix time of an end; None if nobody waited by then."""
        service_now = self._service_time(now)
        if service_now is None:
            return None
        end = now - (service_now - ended_at)
        if entry.was_alive_at is not None and entry.was_alive_at >= earliest:
            earliest = entry.was_alive_at  # it was still on its way then, whatever the clocks say
        elif end < earliest - MARGIN:
            return None
        return max(0.0, now - max(end, earliest))


def _unix(date: datetime | None) -> float | None:
    """A date of the service's as a Unix time; None for none, and for one that was not set."""
    if date is None:
        return None
    seconds = aware(date).timestamp()
    return seconds if seconds > 0.0 else None
