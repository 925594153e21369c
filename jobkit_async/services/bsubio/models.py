"""Models of bsub.io, as in the API's own schema (version 1.0.0).

The schema requires no member of any answer, so all of them may be missing here too.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import attrs

__all__ = [
    "CancelJob200Response",
    "CreateJob201Response",
    "CreateJobRequest",
    "Error",
    "Job",
    "JobStatus",
    "ListJobs200Response",
    "ListJobs200ResponseData",
    "SubmitJob200Response",
    "UploadJobData200Response",
]


class JobStatus(StrEnum):
    """Words that the service uses for a job's status. There is none for a cancelled job."""

    CREATED = "created"
    LOADED = "loaded"
    PENDING = "pending"
    CLAIMED = "claimed"
    PREPARING = "preparing"
    PROCESSING = "processing"
    FINISHED = "finished"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class CreateJobRequest:
    """What to create.

    Attributes:
        type: The job type, such as ``"pdf/extract"``.
    """

    type: str


@attrs.frozen(kw_only=True)
class Job:
    """One job.

    Attributes:
        id: A UUID.
        status: One of :class:`JobStatus`, or a word newer than this library.
        type: The job type, such as ``"pdf/extract"``.
        user_id: Id of the job's owner.
        upload_token: Admits one upload; present only while the status is ``created``.
        data_size: Size of the uploaded data in bytes.
        claimed_by: Id of the worker that took the job.
        error_code: Cause of a failure in one word, such as ``"ENOMEM"``.
        error_message: Cause of a failure in a sentence.
        created_at: When the job was created.
        updated_at: When it last changed.
        claimed_at: When a worker took it.
        finished_at: When it ended, well or badly.
    """

    id: str | None = None
    status: str | None = None
    type: str | None = None
    user_id: str | None = None
    upload_token: str | None = attrs.field(default=None, repr=False)
    data_size: int | None = None
    claimed_by: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    claimed_at: datetime | None = None
    finished_at: datetime | None = None


@attrs.frozen(kw_only=True)
class CreateJob201Response:
    """The envelope around one job; operations strip it."""

    success: bool | None = None
    data: Job | None = None


@attrs.frozen(kw_only=True)
class ListJobs200ResponseData:
    """The inside of the envelope around a listing.

    Attributes:
        jobs: The jobs, at most 100.
        total: How many jobs match, before the limit.
    """

    jobs: list[Job] = attrs.field(factory=list)
    total: int | None = None


@attrs.frozen(kw_only=True)
class ListJobs200Response:
    """The envelope around a listing; operations strip it."""

    success: bool | None = None
    data: ListJobs200ResponseData | None = None


@attrs.frozen(kw_only=True)
class SubmitJob200Response:
    """What the service answers to a submission.

    Attributes:
        success: Whether it worked.
        message: A sentence for people.
    """

    success: bool | None = None
    message: str | None = None


@attrs.frozen(kw_only=True)
class CancelJob200Response:
    """What the service answers to a cancellation.

    Attributes:
        success: Whether it worked.
        message: A sentence for people.
    """

    success: bool | None = None
    message: str | None = None


@attrs.frozen(kw_only=True)
class UploadJobData200Response:
    """What the service answers to an upload.

    Attributes:
        success: Whether it worked; some servers leave it out.
        message: A sentence for people.
        data_size: Number of bytes that arrived.
    """

    success: bool | None = None
    message: str | None = None
    data_size: int | None = None


@attrs.frozen(kw_only=True)
class Error:
    """The body of an error answer."""

    success: bool | None = None
    error: str | None = None
