"""The operations of bsub.io's JobsApi page, in its order.

The location of the upload token and the bounds of ``limit`` are those of the service's OpenAPI
document; the page itself is silent about them.
"""

from __future__ import annotations

from jobkit_async.endpoint import (
    DELETE,
    GET,
    ONCE,
    POST,
    REPEATABLE,
    SAFE,
    Api,
    Endpoint,
    Param,
    Table,
    body,
    job,
    jobs,
    multipart,
    none,
    path,
    query,
    value,
)
from jobkit_async.services.bsubio import models


def _job_id(doc: str = "Id of the job, a UUID.") -> Param:
    return path("job_id", wire="jobId", doc=doc)


CANCEL_JOB = Endpoint(
    "cancel_job",
    POST,
    "/v1/jobs/{jobId}/cancel",
    _job_id(),
    returns=value(models.CancelJob200Response, envelope=True),
    repeat=REPEATABLE,
    changes="job_id",
    cancels=True,
    summary="Cancel a job that is pending or in progress.",
    errors={400: "the job cannot be cancelled: it has ended, or was never submitted"},
)

CREATE_JOB = Endpoint(
    "create_job",
    POST,
    "/v1/jobs",
    body("create_job_request", models.CreateJobRequest, doc="What to create.", required=True),
    returns=job(models.Job, at="data", envelope=True),
    repeat=ONCE,
    recover="list_jobs(status='created') shows the job if it was created",
    summary="Create a job; upload its data next, then submit it.",
    errors={400: "the job type is unknown"},
)

DELETE_JOB = Endpoint(
    "delete_job",
    DELETE,
    "/v1/jobs/{jobId}",
    _job_id(),
    returns=none(envelope=True),
    repeat=REPEATABLE,
    summary="Delete a job that has finished or failed.",
    errors={409: "the job has not ended yet"},
)

GET_JOB = Endpoint(
    "get_job",
    GET,
    "/v1/jobs/{jobId}",
    _job_id(),
    returns=job(models.Job, at="data", envelope=True),
    repeat=SAFE,
    summary="Read one job.",
)

LIST_JOBS = Endpoint(
    "list_jobs",
    GET,
    "/v1/jobs",
    query("status", words=models.JobStatus, doc="Only jobs with this status."),
    query("limit", int, least=1, most=100, default=20, doc="The most jobs to return."),
    returns=jobs(models.Job, at="data.jobs", total="data.total", envelope=True),
    repeat=SAFE,
    summary="List your own jobs.",
    note=(
        "The service has no paging: what lies beyond ``limit`` cannot be listed. ``total`` of the "
        "result counts the matches before the limit."
    ),
)

SUBMIT_JOB = Endpoint(
    "submit_job",
    POST,
    "/v1/jobs/{jobId}/submit",
    _job_id(),
    returns=value(models.SubmitJob200Response, envelope=True),
    repeat=ONCE,
    changes="job_id",
    starts=True,
    recover="get_job() shows a status beyond 'loaded' if the job was submitted",
    summary="Queue a job whose data has been uploaded.",
    errors={400: "the job has no data yet, or was submitted before"},
)

UPLOAD_JOB_DATA = Endpoint(
    "upload_job_data",
    POST,
    "/v1/upload/{jobId}",
    _job_id("Id of a job in status ``created``."),
    query(
        "token",
        required=True,
        secret=True,
        doc="The job's upload token, ``job.data.upload_token`` right after its creation.",
    ),
    multipart("file", doc="The data; it is streamed, so it may be large."),
    returns=value(models.UploadJobData200Response, envelope=True),
    repeat=ONCE,
    changes="job_id",
    recover="get_job() shows the status 'loaded' and data_size if the upload arrived",
    summary="Upload the data that a job works on.",
    errors={401: "the upload token or the api key is wrong", 413: "the data is too large"},
)

TABLE = Table(
    service="bsubio",
    job="job:BsubioJob",
    apis=(
        Api(
            "jobs",
            "BsubioJobsApi",
            CANCEL_JOB,
            CREATE_JOB,
            DELETE_JOB,
            GET_JOB,
            LIST_JOBS,
            SUBMIT_JOB,
            UPLOAD_JOB_DATA,
            doc="The operations of bsub.io's JobsApi page.",
        ),
    ),
)
