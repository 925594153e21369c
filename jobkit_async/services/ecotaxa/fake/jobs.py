"""The jobs of the embedded EcoTaxa: what is written to them, and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import attrs

from jobkit_async.fakes.timeline import Plan, Timeline
from jobkit_async.services.ecotaxa.models import DBJobState as S

__all__ = ["FIRST_REPORT", "FakeEcotaxaJob", "Step", "Write"]

FIRST_REPORT = 0.1
"""Share of a stretch of running that passes before the job says anything new."""
_ROUNDING = 1e-6
"""Added to shares of time, so that a report which is due now is not missed by a float's width."""

Write = tuple[S, dict[str, Any]]
"""A state that is entered, and what is written to the job then."""
Step = tuple[float, S, dict[str, Any]]
"""The same, a delay after the step before."""


@attrs.define(eq=False)
class FakeEcotaxaJob:
    """One job of the embedded server.

    Attributes:
        id: The id that it was created with; the service negates it once the job is removed.
        type: The job type.
        owner_id: Id of its owner.
        plan: What is to become of it.
        timeline: Its states.
        params: What it was started with.
        asks: What it still has to ask, or waits to be told.
        file_name: Name of the file that it produces, or None; tests may change it.
        file: What is in that file, where tests want something particular.
        killed: Whether its last end was a kill.
        removed: Whether it was erased after its end.
    """

    id: int
    type: str
    owner_id: int
    plan: Plan
    timeline: Timeline
    params: dict[str, Any]
    asks: dict[str, Any]
    file_name: str | None
    row: dict[str, Any] = attrs.field(repr=False)
    """What was written to it, as of the last look."""
    due: deque[tuple[float, dict[str, Any]]] = attrs.field(factory=deque, repr=False)
    """What will be written to it, by loop time."""
    stretch: float = 0.0
    """Seconds of running before it ends or asks."""
    span: tuple[int, int] = (0, 100)
    """Percent done at the begin and at the end of that stretch."""
    file: bytes | None = attrs.field(default=None, repr=False)
    emptied: bool = False
    killed: bool = False
    removed: bool = False

    @property
    def number(self) -> int:
        """The id by which the service knows it now."""
        return -self.id if self.removed else self.id

    def plan_anew(self, now: float, steps: Iterable[Step]) -> None:
        """Give it another future; what has been written up to ``now`` stays."""
        self.settle(now)
        steps = list(steps)
        self.timeline.go(now, *((delay, state) for delay, state, _ in steps))
        at = now
        self.due.clear()
        for delay, _, changes in steps:
            at += delay
            if changes:
                self.due.append((at, {**changes, "updated_on": at}))
        self.settle(now)

    def settle(self, now: float) -> None:
        """Write what was due by ``now``."""
        while self.due and self.due[0][0] <= now:
            self.row.update(self.due.popleft()[1])
        first, last = self.span
        if self.due and first < last and self.stretch > 0:
            since, state = self.timeline.at(now)
            share = (now - since) / self.stretch + _ROUNDING
            if state == S.RUNNING and share >= FIRST_REPORT:
                done = min(int((last - first) * share), last - first - 1)
                self.row["progress_pct"] = first + done
                self.row["progress_msg"] = "Working"
                self.row["updated_on"] = since + self.stretch * done / (last - first)
