"""What really happened on an embedded server, and when."""

from __future__ import annotations

from typing import Any

import attrs

from jobkit_async.states import JobState

__all__ = ["Ending", "Event", "Ledger"]


@attrs.frozen
class Event:
    """Something that took effect.

    Attributes:
        at: Loop time.
        kind: What: ``created``, ``uploaded``, ``submitted``, ``answered``, ``restarted``,
            ``cancelled``, ``removed`` and so on.
        job: Id of the job.
        detail: Whatever belongs to it.
    """

    at: float
    kind: str
    job: str | int
    detail: dict[str, Any]


@attrs.frozen
class Ending:
    """How and when a job really ended.

    Attributes:
        at: Loop time.
        state: In the library's words.
        status: In the service's word.
    """

    at: float
    state: JobState
    status: str


class Ledger:
    """Keeps every effect in order. Calls that were refused leave no entry."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __repr__(self) -> str:
        return f"<Ledger of {len(self.events)} events>"

    def note(self, at: float, kind: str, job: str | int, **detail: Any) -> None:
        """Enter one effect."""
        self.events.append(Event(at, kind, job, detail))

    def of(self, job: str | int) -> list[Event]:
        """What happened to one job, oldest first."""
        return [event for event in self.events if event.job == job]

    def count(self, kind: str, job: str | int | None = None) -> int:
        """How often something happened, to one job or to all."""
        return sum(e.kind == kind and (job is None or e.job == job) for e in self.events)
