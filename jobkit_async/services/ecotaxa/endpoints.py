"""The operations of EcoTaxa's JobsApi page, in its order, and the log-in.

Trailing slashes count: the service has ``/jobs/{job_id}/`` for reading and ``/jobs/{job_id}`` for
erasing, and answers 405 to the one with the other's slash.
"""

from __future__ import annotations

from jobkit_async.endpoint import (
    DELETE,
    GET,
    ONCE,
    POST,
    SAFE,
    Api,
    Endpoint,
    Param,
    Table,
    body,
    bytes_,
    job,
    jobs,
    none,
    path,
    query,
    text,
    value,
)
from jobkit_async.services.ecotaxa import models


def _job_id(doc: str = "Id of the job, 1 or above.") -> Param:
    # An erased job lives on under its negated id, and erasing that one brings it back.
    return path("job_id", int, least=1, doc=doc)


ERASE_JOB = Endpoint(
    "erase_job",
    DELETE,
    "/jobs/{job_id}",
    _job_id(),
    returns=none(),
    repeat=ONCE,
    recover="get_job() shows the state 'E' and the message 'Killed' if it was killed, "
    "and 404 if it was removed",
    changes="job_id",
    cancels=True,
    summary="Kill a job that has not ended, or remove one that has.",
    errors={403: "the job is somebody else's", 404: "the job is unknown, or removed already"},
    note=(
        "A killed job is not removed: it stays, in state ``E`` with the message ``Killed``, until "
        "it is erased once more. Read the job first to know which of the two this will be."
    ),
)

GET_JOB = Endpoint(
    "get_job",
    GET,
    "/jobs/{job_id}/",
    _job_id(),
    returns=job(models.JobModel),
    repeat=SAFE,
    summary="Read one job.",
    errors={403: "the job is somebody else's"},
)

GET_JOB_FILE = Endpoint(
    "get_job_file",
    GET,
    "/jobs/{job_id}/file",
    _job_id("Id of a job in state ``F``."),
    returns=bytes_(fixed=True),  # such a job cannot be restarted
    repeat=SAFE,
    summary="Download the file that a job has produced.",
    errors={403: "the job is somebody else's", 500: "there is no such file (yet)"},
    note=(
        "Look at the state first: where there is no file, servers up to 2023 answer 200 with the "
        "nine bytes ``NOT FOUND`` as plain text."
    ),
)

GET_JOB_LOG_FILE = Endpoint(
    "get_job_log_file",
    GET,
    "/jobs/{job_id}/log",
    _job_id(),
    returns=text(),
    repeat=SAFE,
    summary="Read the log of a job; it can be read while the job runs.",
    errors={403: "the job is somebody else's", 500: "there is no log"},
)

LIST_JOBS = Endpoint(
    "list_jobs",
    GET,
    "/jobs/",
    query(
        "for_admin",
        bool,
        required=True,
        doc="False for your own jobs, True for those of all users.",
    ),
    returns=jobs(models.JobModel),
    repeat=SAFE,
    summary="List all jobs, in no particular order.",
    errors={403: "only administrators see the jobs of all users"},
    note="The service has no paging: the answer is complete, and may be large.",
)

REPLY_JOB_QUESTION = Endpoint(
    "reply_job_question",
    POST,
    "/jobs/{job_id}/answer",
    _job_id("Id of a job in state ``A``."),
    body("body", dict, doc="The answer; what belongs into it depends on the question."),
    returns=none(),
    repeat=ONCE,
    recover="get_job() shows the answer as its reply if it arrived",
    changes="job_id",
    summary="Answer the question of a job that asks; it then goes on.",
    errors={403: "the job is somebody else's", 422: "the answer is no JSON object"},
    note=(
        "Success proves nothing: a job that does not ask ignores the answer, and one that is not "
        "content with it asks again or fails. Read the job afterwards."
    ),
)

RESTART_JOB = Endpoint(
    "restart_job",
    GET,  # in spite of what it does
    "/jobs/{job_id}/restart",
    _job_id("Id of a job in state ``E``."),
    returns=none(),
    repeat=ONCE,
    recover="get_job() shows a state other than 'E', or a later updated_on, if it was restarted",
    changes="job_id",
    summary="Restart a job that has failed or was killed.",
    errors={403: "the job is somebody else's"},
    note=(
        "Success proves nothing: a job in any other state stays as it is. Errors, result and "
        "progress of the last run stand there until the new one has something to say."
    ),
)

LOGIN = Endpoint(
    "login",
    POST,
    "/login",
    body("login_req", models.LoginReq, doc="Who wants to log in.", required=True),
    returns=value(str, secret=True),
    repeat=SAFE,
    summary="Get a token, which lasts for 31 days.",
    errors={401: "the account is not active", 403: "user name or password are wrong"},
)
"""How a client gets its token. In no API class: clients log in by themselves."""

TABLE = Table(
    service="ecotaxa",
    job="job:EcotaxaJob",
    apis=(
        Api(
            "jobs",
            "EcotaxaJobsApi",
            ERASE_JOB,
            GET_JOB,
            GET_JOB_FILE,
            GET_JOB_LOG_FILE,
            LIST_JOBS,
            REPLY_JOB_QUESTION,
            RESTART_JOB,
            doc="The operations of EcoTaxa's JobsApi page.",
        ),
    ),
)
