"""Models of Vidispine, as in the vendor's SDK 5.0.4.

The SDK has no enums: every status, priority and type is a plain string there and here. The
constants below are the words that servers and the vendor's own user interface are known to use.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import attrs

from jobkit_async.model import camel

__all__ = [
    "JobListType",
    "JobProblemListType",
    "JobProblemType",
    "JobStatus",
    "JobTaskProgressType",
    "JobTaskType",
    "JobTaskTypeSubStep",
    "JobType",
    "JobTypeCurrentStep",
    "JobTypeLog",
    "JobTypeName",
    "JobTypeWaiting",
    "KeyValueType",
    "Priority",
    "ProgressUnit",
    "SimpleMetadataType",
    "StepStatus",
    "URIListType",
]


class JobStatus(StrEnum):
    """Words that the service uses for a job's status."""

    READY = "READY"
    STARTED = "STARTED"
    VIDINET_JOB = "VIDINET_JOB"
    """Runs in the vendor's cloud."""
    WAITING = "WAITING"
    """Blocked by a problem or a resource; goes on by itself once that is solved."""
    HOLD = "HOLD"
    ABORTED_PENDING = "ABORTED_PENDING"
    """Being aborted, so not over yet."""
    ABORT_PENDING = "ABORT_PENDING"
    """The API page's spelling of the same; servers are seen to send ABORTED_PENDING."""
    FINISHED = "FINISHED"
    FINISHED_WARNING = "FINISHED_WARNING"
    """Succeeded, with errors that did no harm."""
    FAILED_TOTAL = "FAILED_TOTAL"
    ABORTED = "ABORTED"


class StepStatus(StrEnum):
    """Words that the service uses for the status of a step or task."""

    NONE = "NONE"
    READY = "READY"
    STARTED = "STARTED"
    STARTED_ASYNCHRONOUS = "STARTED_ASYNCHRONOUS"
    STARTED_PARALLEL = "STARTED_PARALLEL"
    STARTED_PARALLEL_ASYNCHRONOUS = "STARTED_PARALLEL_ASYNCHRONOUS"
    STARTED_SUBTASKS = "STARTED_SUBTASKS"
    FINISHED = "FINISHED"
    FAILED_RETRY = "FAILED_RETRY"
    FAILED_TOTAL = "FAILED_TOTAL"
    WAITING = "WAITING"
    DISAPPEARED = "DISAPPEARED"


class Priority(StrEnum):
    """Words that the service uses for a priority, most urgent first."""

    IMMEDIATE = "IMMEDIATE"
    HIGHEST = "HIGHEST"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    LOWEST = "LOWEST"


class ProgressUnit(StrEnum):
    """What the progress of a task counts."""

    BYTES = "bytes"
    PERCENT = "percent"


class JobTypeName(StrEnum):
    """Job types that come with the service; each site may add its own."""

    NONE = "NONE"
    IMPORT = "IMPORT"
    PLACEHOLDER_IMPORT = "PLACEHOLDER_IMPORT"
    RAW_IMPORT = "RAW_IMPORT"
    AUTO_IMPORT = "AUTO_IMPORT"
    SHAPE_IMPORT = "SHAPE_IMPORT"
    SIDECAR_IMPORT = "SIDECAR_IMPORT"
    ESSENCE_VERSION = "ESSENCE_VERSION"
    TRANSCODE = "TRANSCODE"
    TRANSCODE_RANGE = "TRANSCODE_RANGE"
    CONFORM = "CONFORM"
    TIMELINE = "TIMELINE"
    THUMBNAIL = "THUMBNAIL"
    ANALYZE = "ANALYZE"
    SHAPE_UPDATE = "SHAPE_UPDATE"
    RAW_TRANSCODE = "RAW_TRANSCODE"
    EXPORT = "EXPORT"
    COPY_FILE = "COPY_FILE"
    MOVE_FILE = "MOVE_FILE"
    DELETE_FILE = "DELETE_FILE"
    LIST_ITEMS = "LIST_ITEMS"
    FILE_ANALYZE = "FILE_ANALYZE"
    IMF_ANALYZE = "IMF_ANALYZE"
    ARCHIVE = "ARCHIVE"
    RESTORE = "RESTORE"
    DELETE_LIBRARY = "DELETE_LIBRARY"
    UPDATE_LIBRARY_ITEM_METADATA = "UPDATE_LIBRARY_ITEM_METADATA"
    FCS_RESTORE = "FCS_RESTORE"
    DELETE_USER = "DELETE_USER"
    OTIF_ANALYZE = "OTIF_ANALYZE"
    VXA_INITIALIZE = "VXA_INITIALIZE"


@attrs.frozen(kw_only=True)
class KeyValueType:
    """One entry of metadata.

    Attributes:
        key: Its name; a key may stand more than once in a list.
        value: Its value; numbers are text too. Null where the service has none.
    """

    key: str
    value: str | None


@attrs.frozen(kw_only=True)
class SimpleMetadataType:
    """Metadata for a new job.

    Attributes:
        field: The entries; ``SimpleMetadataType()`` says nothing.
    """

    field: list[KeyValueType] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class JobTypeCurrentStep:
    """The step that a job is at.

    Attributes:
        number: Its number from 1 on; seen to exceed the job's ``total_steps``.
        status: One of :class:`StepStatus`, or another word.
        description: A sentence for people.
    """

    number: int
    status: str
    description: str | None


@attrs.frozen(kw_only=True, field_transformer=camel)
class JobTaskTypeSubStep:
    """A line in the log of a task.

    Attributes:
        timestamp: When it was written.
        description: A sentence for people.
    """

    timestamp: datetime
    description: str | None


@attrs.frozen(kw_only=True, field_transformer=camel)
class JobTaskProgressType:
    """How far a task has come.

    Attributes:
        value: What is done, in ``unit``.
        total: What there is to do, in ``unit``.
        unit: One of :class:`ProgressUnit`, or another word.
    """

    value: float | None = None
    total: int | None = None
    unit: str | None = None


@attrs.frozen(kw_only=True, field_transformer=camel)
class JobTaskType:
    """One task of a job.

    Attributes:
        step: Number of the step that it carries out.
        attempts: How often it was tried.
        status: One of :class:`StepStatus`, or another word.
        timestamp: When it last changed.
        id: Its number.
        description: A sentence for people.
        error_message: What went wrong.
        total_sub_tasks: Number of its sub-tasks.
        progress: How far it has come.
        sub_step: Its log.
        sub_task: The tasks that it was divided into.
    """

    step: int
    attempts: int
    status: str
    timestamp: datetime
    id: int | None = None
    description: str | None = None
    error_message: str | None = None
    total_sub_tasks: int | None = None
    progress: JobTaskProgressType | None = None
    sub_step: list[JobTaskTypeSubStep] = attrs.field(factory=list)
    sub_task: list[JobTaskType] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class JobTypeLog:
    """What a job has done.

    Attributes:
        task: Its tasks, in the order of its steps.
    """

    task: list[JobTaskType] = attrs.field(factory=list)


@attrs.frozen(kw_only=True, field_transformer=camel)
class JobTypeWaiting:
    """What a job waits for.

    Attributes:
        resource_type: Kind of the resource that it lacks.
        resource_id: Id of that resource.
        requirement: What the resource must be or have.
    """

    resource_type: str | None = None
    resource_id: str | None = None
    requirement: str | None = None


@attrs.frozen(kw_only=True, field_transformer=camel)
class JobType:
    """One job.

    The service's schema requires ``status``, ``type`` and ``priority``. Here they may be missing,
    because a listing with ``idonly`` tells the ids and nothing else.

    Attributes:
        job_id: A site prefix and a number, such as ``"VX-21"``.
        status: One of :class:`JobStatus`, or a word newer than this library.
        type: One of :class:`JobTypeName`, or a type of the site's own.
        priority: One of :class:`Priority`, or another word.
        user: Name of the user who created the job.
        started: When it started; missing before that.
        finished: When it ended, well or badly.
        current_step: The step that it is at.
        total_steps: Number of its steps; it may be missing.
        data: Its metadata, where they were asked for. What a job achieved is told here too.
        log: Its tasks; in a listing only where steps were asked for.
        waiting: What it waits for.
        sub_job: The jobs that it started.
    """

    job_id: str
    status: str | None = None
    type: str | None = None
    priority: str | None = None
    user: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    current_step: JobTypeCurrentStep | None = None
    total_steps: int | None = None
    data: list[KeyValueType] = attrs.field(factory=list)
    log: JobTypeLog | None = None
    waiting: JobTypeWaiting | None = None
    sub_job: list[JobType] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class JobListType:
    """A page of a listing.

    Attributes:
        hits: How many jobs match, on all pages.
        job: The jobs of this page.
    """

    hits: int | None = None
    job: list[JobType] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class JobProblemType:
    """A problem that jobs wait for.

    Attributes:
        id: Its number.
        type: Its kind in one word.
        job: Ids of the jobs that wait until it is solved.
        data: What else is known of it.
    """

    id: int
    type: str
    job: list[str] = attrs.field(factory=list)
    data: list[KeyValueType] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class JobProblemListType:
    """Problems that are not solved yet.

    Attributes:
        problem: The problems.
    """

    problem: list[JobProblemType] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class URIListType:
    """A list of names.

    Attributes:
        hits: How many there are.
        uri: The names.
    """

    hits: int | None = None
    uri: list[str] = attrs.field(factory=list)
