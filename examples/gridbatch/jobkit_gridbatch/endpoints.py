"""The operations of Gridbatch."""

from __future__ import annotations

from jobkit_async.endpoint import (
    GET,
    ONCE,
    POST,
    REPEATABLE,
    SAFE,
    Api,
    Endpoint,
    Table,
    body,
    job,
    jobs,
    none,
    path,
    query,
)
from jobkit_gridbatch import models

SUBMIT_JOB = Endpoint(
    "submit_job",
    POST,
    "/v1/submitjob",
    body("submit_job_request", models.SubmitJobRequest, doc="What to run.", required=True),
    returns=job(models.Job, key=("job_id",)),
    repeat=ONCE,
    recover="list_jobs() shows the job among the newest if it was submitted",
    summary="Submit a job to a queue.",
    errors={400: "there is no such queue or definition"},
)

DESCRIBE_JOBS = Endpoint(
    "describe_jobs",
    POST,
    "/v1/describejobs",
    body("describe_jobs_request", models.DescribeJobsRequest, doc="Which jobs.", required=True),
    returns=jobs(models.Job, at="jobs", key=("job_id",)),
    repeat=SAFE,
    summary="Read up to 100 jobs at once.",
    note="Jobs that the service does not know are left out.",
    errors={400: "more than 100 ids, or one that cannot be an id"},
)

LIST_JOBS = Endpoint(
    "list_jobs",
    GET,
    "/v1/jobs",
    query("job_queue", wire="jobQueue", doc="Only jobs of this queue."),
    query("job_status", wire="jobStatus", words=models.JobStatus, doc="Only jobs of this status."),
    query("after", doc="Id of the last job of the page before."),
    query(
        "max_results",
        int,
        wire="maxResults",
        least=1,
        most=100,
        default=100,
        doc="The most jobs to return.",
    ),
    returns=jobs(models.Job, at="jobs", key=("job_id",)),
    repeat=SAFE,
    summary="List jobs, newest first.",
)

TERMINATE_JOB = Endpoint(
    "terminate_job",
    POST,
    "/v1/jobs/{jobId}/terminate",
    path("job_id", wire="jobId", doc="Id of the job."),
    body("terminate_job_request", models.TerminateJobRequest, doc="Why.", required=True),
    returns=none(),
    repeat=REPEATABLE,
    changes="job_id",
    cancels=True,
    summary="Terminate a job, whether it waits or runs; it ends as a failed one.",
    errors={409: "the job has ended already"},
)

TABLE = Table(
    service="gridbatch",
    job="job:GridbatchJob",
    apis=(
        Api(
            "jobs",
            "GridbatchJobsApi",
            SUBMIT_JOB,
            DESCRIBE_JOBS,
            LIST_JOBS,
            TERMINATE_JOB,
            doc="The operations of Gridbatch.",
        ),
    ),
)
