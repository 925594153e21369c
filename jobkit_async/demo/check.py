"""The comparison of what a client saw of a service with what really happened there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from jobkit_async import (
    BsubioJob,
    EcotaxaJob,
    JobCancelled,
    JobFailed,
    JobState,
    LeiaJob,
    Outcome,
    VidispineJob,
)
from jobkit_async.demo.results import ServiceResult
from jobkit_async.registry import find_service
from jobkit_async.testing import Ending, FakeServer

__all__ = ["OWN", "Handle", "View"]

Handle: TypeAlias = BsubioJob | EcotaxaJob | LeiaJob | VidispineJob

OWN: Final = {"X-Demo": "own"}
"""A header of the calls that the demo makes itself. What lacks it was sent in order to wait."""

_ERRORS: Final[Mapping[JobState, type]] = {
    JobState.SUCCEEDED: type(None),
    JobState.FAILED: JobFailed,
    JobState.CANCELLED: JobCancelled,
}


class View:
    """What a client saw of one service's jobs, and what it did to them.

    Args:
        service: Name of the service.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.jobs: dict[str | int, Handle] = {}
        self.outcomes: dict[str | int, list[Outcome[Handle]]] = {}
        self.found_at: dict[str | int, float] = {}
        self.ended: Counter[JobState] = Counter()
        self.calls: Counter[tuple[str, str | int]] = Counter()
        """The unsafe calls that were made, by what they do and to which job."""
        self.mismatches: list[str] = []

    def made(self, kind: str, job_id: str | int) -> None:
        """Note an unsafe call that returned."""
        self.calls[kind, job_id] += 1

    def take(self, outcome: Outcome[Handle], now: float) -> None:
        """Take a final outcome in, noticed at the loop time ``now``."""
        job_id = outcome.job.id
        self.outcomes.setdefault(job_id, []).append(outcome)
        self.found_at[job_id] = now
        self.ended[outcome.state] += 1

    def mismatch(self, job_id: str | int, problem: str) -> None:
        """Note where client and server disagree."""
        self.mismatches.append(f"{self.service} job {job_id}: {problem}")

    def same(self, what: str, path: Path, wanted: bytes) -> str:
        """Compare a file that was downloaded with what the server holds; a line about it."""
        got = path.read_bytes()
        if got != wanted:
            self.mismatches.append(
                f"{self.service}: {what} came as {len(got)} bytes that are not the server's "
                f"{len(wanted)}"
            )
        return f"{self.service}: downloaded {what}, {path.name}, {len(got)} bytes"

    def compare(self, server: FakeServer[Any], count: int) -> None:
        """Compare every outcome, and every unsafe call, with the server's ledger.

        Args:
            server: The server.
            count: How many jobs it was to have.
        """
        # A server's job that the client never heard of must show as well.
        for job_id in dict.fromkeys([*self.jobs, *server.jobs, *self.outcomes]):
            ending = server.ending(job_id) if job_id in server.jobs else None
            self._compare_outcome(job_id, self.outcomes.get(job_id, []), ending)
        if len(server.jobs) != count:
            self.mismatches.append(
                f"{self.service}: the server has {len(server.jobs)} jobs instead of {count}"
            )
        effects = Counter((event.kind, event.job) for event in server.ledger.events)
        for kind, job_id in dict.fromkeys([*self.calls, *effects]):
            calls, took_effect = self.calls[kind, job_id], effects[kind, job_id]
            # A job may end by itself between the look that cancelling takes and the request.
            if took_effect > calls or (took_effect < calls and kind != "cancelled"):
                self.mismatch(job_id, f"{kind} {took_effect} times by {calls} calls")

    def _compare_outcome(
        self, job_id: str | int, outcomes: Sequence[Outcome[Handle]], ending: Ending | None
    ) -> None:
        truth = "still going" if ending is None else ending.state
        if len(outcomes) != 1:
            states = ", ".join(outcome.state for outcome in outcomes) or "none"
            self.mismatch(job_id, f"one outcome was due, but there came {states}")
            return
        (outcome,) = outcomes
        if ending is None or outcome.state is not ending.state:
            why = "" if outcome.error is None else f" ({outcome.error})"
            self.mismatch(job_id, f"came as {outcome.state}{why}; the ledger says {truth}")
        elif not isinstance(outcome.error, _ERRORS[outcome.state]) or outcome.data is None:
            self.mismatch(job_id, f"came as {truth} with {outcome.error!r} and {outcome.data!r}")
        elif self.found_at[job_id] < ending.at:
            self.mismatch(job_id, f"came as {truth} before it was so")

    def result(self, server: FakeServer[Any]) -> ServiceResult:
        """The numbers."""
        delays = sorted(
            found_at - ending.at
            for job_id, found_at in self.found_at.items()
            if (ending := server.ending(job_id)) is not None
        )
        # Log-ins are no operations of the table, and serve all calls alike.
        table = {row.name for api in find_service(self.service).table.apis for row in api.rows}
        return ServiceResult(
            service=self.service,
            jobs=len(self.jobs),
            outcomes=dict(self.ended),
            requests=server.requests.total(),
            status_requests=sum(
                not OWN.items() <= seen.headers.items() and seen.operation in table
                for seen in server.seen
            ),
            mean_delay=math.fsum(delays) / len(delays) if delays else math.nan,
            p95_delay=delays[math.ceil(0.95 * len(delays)) - 1] if delays else math.nan,
        )
