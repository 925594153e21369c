"""Models of Gridbatch. On the wire their members are in camel case."""

from __future__ import annotations

from enum import StrEnum

import attrs

from jobkit_async.model import UNSET, Unset, camel

__all__ = ["DescribeJobsRequest", "Job", "JobStatus", "SubmitJobRequest", "TerminateJobRequest"]


class JobStatus(StrEnum):
    """Words that the service uses for a job's status. A terminated job is a failed one."""

    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@attrs.frozen(kw_only=True, field_transformer=camel)
class SubmitJobRequest:
    """What to run.

    Attributes:
        job_name: A name for people.
        job_queue: The queue that it waits in.
        job_definition: What it runs, such as ``"render:3"``.
        parameters: Values for the placeholders of the definition.
    """

    job_name: str
    job_queue: str
    job_definition: str
    parameters: dict[str, str] | Unset | None = UNSET


@attrs.frozen(kw_only=True, field_transformer=camel)
class DescribeJobsRequest:
    """Which jobs to describe.

    Attributes:
        jobs: Their ids, at most 100.
    """

    jobs: list[str]


@attrs.frozen(kw_only=True, field_transformer=camel)
class TerminateJobRequest:
    """Why a job is terminated.

    Attributes:
        reason: It becomes the job's ``status_reason``.
    """

    reason: str


@attrs.frozen(kw_only=True, field_transformer=camel)
class Job:
    """One job. The answer to a submission has id and name alone.

    Attributes:
        job_id: Its id.
        job_name: Its name.
        job_queue: The queue that it was submitted to.
        job_definition: What it runs.
        status: One of :class:`JobStatus`, or a word newer than this package.
        status_reason: Why it has this status, where there is something to tell.
        created_at: When it was submitted, in milliseconds since 1970 (UTC).
        started_at: When it began to run, in the same.
        stopped_at: When it ended, in the same.
        parameters: Values for the placeholders of the definition.
    """

    job_id: str
    job_name: str | None = None
    job_queue: str | None = None
    job_definition: str | None = None
    status: str | None = None
    status_reason: str | None = None
    created_at: int | None = None
    started_at: int | None = None
    stopped_at: int | None = None
    parameters: dict[str, str] = attrs.field(factory=dict)
