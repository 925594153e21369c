"""What a status of Gridbatch means, and how its jobs are observed: 100 by one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from jobkit_async.caller import Caller
from jobkit_async.polling.batches import BatchSource
from jobkit_async.polling.source import Sighting, Source
from jobkit_async.states import JobState
from jobkit_gridbatch.endpoints import DESCRIBE_JOBS
from jobkit_gridbatch.models import DescribeJobsRequest, Job
from jobkit_gridbatch.models import JobStatus as S

__all__ = ["STATES", "gridbatch_source", "sight"]

STATES: Final[Mapping[str, JobState]] = {
    S.SUBMITTED: JobState.PENDING,
    S.PENDING: JobState.PENDING,
    S.RUNNABLE: JobState.PENDING,
    S.STARTING: JobState.RUNNING,
    S.RUNNING: JobState.RUNNING,
    S.SUCCEEDED: JobState.SUCCEEDED,
    S.FAILED: JobState.FAILED,
}


def sight(job: Job) -> Sighting[Job]:
    """What a job's snapshot shows."""
    word = job.status or ""
    state = STATES.get(word, JobState.UNKNOWN)
    return Sighting(
        state=state,
        raw_status=word,
        kind=job.job_definition,
        created_at=_date(job.created_at),
        started_at=_date(job.started_at),
        ended_at=_date(job.stopped_at),
        reason=job.status_reason,
        final=state.ended,  # nothing brings an ended job back
        cancels=word == S.FAILED,  # which is what a terminated job looks like
        data=job,
    )


def _date(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None  # an odd date is no reason to lose the job


def gridbatch_source(caller: Caller) -> Source[Job]:
    """Observes the jobs of one account."""

    def arguments(ids: Sequence[str]) -> tuple[Any, ...]:
        return (DescribeJobsRequest(jobs=list(ids)),)

    return BatchSource(caller, DESCRIBE_JOBS, arguments=arguments, sight=sight, batch=100)
