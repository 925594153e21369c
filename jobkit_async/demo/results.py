"""What the demo tells: how it goes, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from jobkit_async import JobState

__all__ = ["DemoResult", "Reporter", "ServiceResult"]


class Reporter(Protocol):
    """Who is told how the demo goes."""

    def began(self, service: str, base_url: str, jobs: int) -> None:
        """A service's server runs, and so many jobs are about to be submitted to it."""

    def moved(self, service: str, submitted: int, ended: Mapping[JobState, int]) -> None:
        """One more job was submitted, or its end noticed; the numbers are those so far."""

    def said(self, line: str) -> None:
        """Something else worth telling."""


@attrs.frozen(kw_only=True)
class ServiceResult:
    """What came of one service's jobs.

    Attributes:
        service: Name of the service.
        jobs: Number of jobs.
        outcomes: Number of jobs by the state in which they came.
        requests: Number of requests that the server received in all.
        status_requests: Number of those that were sent in order to wait.
        mean_delay: Seconds from a job's real end to its detection, on average.
        p95_delay: The same for the 95th percentile; both are NaN where no job ended.
    """

    service: str
    jobs: int
    outcomes: Mapping[JobState, int]
    requests: int
    status_requests: int
    mean_delay: float
    p95_delay: float


@attrs.frozen
class DemoResult:
    """What came of the demo.

    Attributes:
        services: Service by service.
        mismatches: Where the clients' view differs from the servers' ledgers; empty if all is well.
        seconds: How long it took, from the first submission to the last outcome.
    """

    services: list[ServiceResult]
    mismatches: list[str]
    seconds: float
