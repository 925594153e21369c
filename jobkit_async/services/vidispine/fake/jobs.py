"""The jobs of the embedded Vidispine."""

from __future__ import annotations

import attrs

from jobkit_async.fakes.timeline import Plan, Timeline
from jobkit_async.services.vidispine.models import JobStatus as S

__all__ = ["LIVE", "OVER", "SUCCEEDED", "FakeVidispineJob"]

LIVE = frozenset({S.READY, S.STARTED, S.WAITING})
SUCCEEDED = frozenset({S.FINISHED, S.FINISHED_WARNING})
OVER = SUCCEEDED | {S.FAILED_TOTAL, S.ABORTED}


@attrs.define(eq=False)
class FakeVidispineJob:
    """One job of the embedded server."""

    id: str
    number: int
    type: str
    user: str
    priority: str
    metadata: dict[str, str]
    plan: Plan
    timeline: Timeline
    end: tuple[float, str]
    """When and how it ends unless it is aborted."""
    removed: bool = False
    notification: str | None = None
    notified: list[tuple[float, str]] = attrs.field(factory=list, repr=False)
    """What has been notified of: since when the job had which status."""

    def started(self, now: float) -> float | None:
        """When it started; it starts only once, however often it waits after that."""
        return next((at for at, status in self.timeline.history(now) if status == S.STARTED), None)
