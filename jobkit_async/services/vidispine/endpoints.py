"""The operations of Vidispine's JobApi page, in its order.

``Accept`` is ``application/json`` on the void operations too, although their page defines none:
the body of an error follows it, and would come as XML otherwise.
"""

from __future__ import annotations

from jobkit_async.endpoint import (
    CSV,
    DELETE,
    GET,
    MULTI,
    ONCE,
    POST,
    PUT,
    REPEATABLE,
    SAFE,
    Api,
    Endpoint,
    Param,
    Table,
    body,
    job,
    jobs,
    none,
    path,
    query,
    value,
)
from jobkit_async.services.vidispine import models


def _job_id(doc: str = "Id of the job, such as ``VX-21``.") -> Param:
    return path("job_id", wire="job-id", doc=doc)


def _field() -> Param:
    return query(
        "field",
        list[str],
        style=CSV,
        doc="Names of the metadata to include.",
    )


def _metadata(doc: str) -> Param:
    return query("metadata", bool, default=False, doc=doc)


# The vendor says that repeated identical DELETEs fail gracefully: the second sending may be told
# no, and that no means "already done". For abort_job and delete_jobs that is REPEATABLE. SAFE
# would hand that no to the caller as an error. As far as is known ids are never given out again, so
# a second deletion cannot hit another job, which is what would make it ONCE.
ABORT_JOB = Endpoint(
    "abort_job",
    DELETE,
    "/job/{job-id}",
    _job_id(),
    query("reason", doc="Why, for people."),
    query(
        "cleanup",
        bool,
        default=True,
        doc="Whether to run the cleanup steps; a job that runs already cannot skip them.",
    ),
    returns=none(),
    repeat=REPEATABLE,
    changes="job_id",
    cancels=True,
    summary="Abort a job; it stays on record.",
    note=(
        "The service only marks the job: right after this it is likely to be "
        "``ABORTED_PENDING``. A job that has not started yet becomes ``ABORTED`` at once with "
        "``cleanup=False``."
    ),
)

CREATE_CUSTOM_JOB = Endpoint(
    "create_custom_job",
    POST,
    "/job",
    query("type", required=True, words=models.JobTypeName, doc="Name of the job type."),
    body(
        "simple_metadata_type",
        models.SimpleMetadataType,
        required=True,
        doc="Metadata for the job; ``SimpleMetadataType()`` where there is nothing to say.",
    ),
    query(
        "jobmetadata",
        list[str],
        style=MULTI,
        doc="More metadata, each ``key=value``.",
    ),
    query(
        "notification_data",
        wire="notificationData",
        doc="Text that is passed along with notifications about this job.",
    ),
    query("priority", words=models.Priority, default="MEDIUM", doc="Priority of the job."),
    query("notification", doc="Id of the placeholder notification to use for this job."),
    returns=job(models.JobType, key=("job_id",)),
    repeat=ONCE,
    recover="get_jobs(type=[...], sort='jobId desc') shows the job if it was created",
    summary="Start a job of any type.",
    errors={400: "the type, the priority or the metadata are not what the service takes"},
    note="Where a key stands in the document and in ``jobmetadata``, the document wins.",
)

CREATE_DUPLICATE_JOB = Endpoint(
    "create_duplicate_job",
    POST,
    "/job/{job-id}/re-run",
    _job_id("Id of the job to run again."),
    query(
        "priority",
        words=models.Priority,
        doc="Priority of the new job; that of the old job where it is not given.",
    ),
    returns=job(models.JobType, key=("job_id",)),
    repeat=ONCE,
    recover="get_jobs(sort='jobId desc') shows the new job if it was created",
    summary="Start a new job that does the same as an existing one.",
    note="What comes back is the new job, with an id of its own. The old job stays as it is.",
)

DELETE_JOBS = Endpoint(
    "delete_jobs",
    DELETE,
    "/job",
    query("id", list[str], required=True, style=CSV, doc="Ids of the jobs."),
    returns=none(),
    repeat=REPEATABLE,
    summary="Delete jobs and all that is recorded about them.",
)

GET_ALL_JOB_PROBLEMS = Endpoint(
    "get_all_job_problems",
    GET,
    "/job/problem",
    returns=value(models.JobProblemListType),
    repeat=SAFE,
    summary="List the unsolved problems, each with the jobs that wait for it.",
)

GET_JOB = Endpoint(
    "get_job",
    GET,
    "/job/{job-id}",
    _job_id(),
    _field(),
    _metadata("Whether to include the job's metadata."),
    returns=job(models.JobType, key=("job_id",)),
    repeat=SAFE,
    summary="Read one job.",
    note="``data`` stays empty unless ``metadata`` or ``field`` asks for it.",
)

GET_JOB_PROBLEMS = Endpoint(
    "get_job_problems",
    GET,
    "/job/{job-id}/problem",
    _job_id(),
    returns=value(models.JobProblemListType),
    repeat=SAFE,
    summary="List the unsolved problems that affect one job.",
)

GET_JOB_TYPES = Endpoint(
    "get_job_types",
    GET,
    "/jobtype",
    returns=value(models.URIListType),
    repeat=SAFE,
    summary="List the job types that the service knows.",
)

GET_JOBS = Endpoint(
    "get_jobs",
    GET,
    "/job",
    query(
        "jobmetadata",
        list[str],
        style=MULTI,
        doc="Only jobs with all of these metadata, each ``key=value``.",
    ),
    _field(),
    query(
        "starttime_to",
        wire="starttime-to",
        doc="Only jobs that started at or before this moment, as ISO 8601 text.",
    ),
    query(
        "user",
        bool,
        default=True,
        doc="Whether to leave out the jobs of other users.",
    ),
    query("first", int, least=1, default=1, doc="Position of the first job to return, from 1."),
    query(
        "type",
        list[str],
        style=CSV,
        words=models.JobTypeName,
        default=["all"],
        doc="Only jobs of these types.",
    ),
    query(
        "starttime_from",
        wire="starttime-from",
        doc="Only jobs that started at or after this moment, as ISO 8601 text.",
    ),
    query("step", bool, default=False, doc="Whether to include the log of steps."),
    query("idonly", bool, default=False, doc="Whether to return the ids and nothing else."),
    query("number", int, least=1, default=100, doc="The most jobs to return."),
    query(
        "state",
        list[str],
        style=CSV,
        words=models.JobStatus,
        default=["all"],
        doc="Only jobs in these states.",
    ),
    query(
        "sort",
        doc=(
            "What to sort by: ``jobId``, ``type``, ``state``, ``user``, ``startTime`` or "
            "``priority``, each followed by `` asc`` or `` desc``, joined by commas."
        ),
    ),
    _metadata("Whether to include the metadata of the jobs."),
    query(
        "finishtime_from",
        wire="finishtime-from",
        doc="Only jobs that ended at or after this moment, as ISO 8601 text.",
    ),
    query(
        "finishtime_to",
        wire="finishtime-to",
        doc="Only jobs that ended at or before this moment, as ISO 8601 text.",
    ),
    returns=jobs(models.JobType, at="job", total="hits", key=("job_id",)),
    repeat=SAFE,
    summary="List jobs, your own unless said otherwise.",
    note=(
        "Pages shift while jobs come and go, so the same job can stand on two of them. The order "
        "is not specified unless ``sort`` gives one. ``total`` of the result counts the matches "
        "on all pages."
    ),
)

UPDATE_JOB = Endpoint(
    "update_job",
    PUT,
    "/job/{job-id}",
    _job_id(),
    query("priority", words=models.Priority, default="MEDIUM", doc="The new priority."),
    returns=none(),
    repeat=SAFE,
    summary="Change the priority of a job.",
    note="Without ``priority`` the service may set its default, ``MEDIUM``.",
)

TABLE = Table(
    service="vidispine",
    job="job:VidispineJob",
    apis=(
        Api(
            "jobs",
            "VidispineJobsApi",
            ABORT_JOB,
            CREATE_CUSTOM_JOB,
            CREATE_DUPLICATE_JOB,
            DELETE_JOBS,
            GET_ALL_JOB_PROBLEMS,
            GET_JOB,
            GET_JOB_PROBLEMS,
            GET_JOB_TYPES,
            GET_JOBS,
            UPDATE_JOB,
            doc="The operations of Vidispine's JobApi page.",
        ),
    ),
)
