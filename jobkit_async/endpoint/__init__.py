"""The vocabulary of endpoint tables.

A table is the single source of truth about a service's operations: the generator writes the API
classes from it, and requests are built and answers read by it. It is written by hand, for people:
one :class:`Endpoint` a row, in the order of the service's own documentation::

    GET_JOB = Endpoint(
        "get_job", GET, "/v1/jobs/{jobId}",
        path("job_id", wire="jobId", doc="Id of the job."),
        returns=job(models.Job, at="data"),
        repeat=SAFE,
        summary="Read one job.",
    )
    TABLE = Table(service="bsubio", job="job:BsubioJob", apis=(Api("jobs", "BsubioJobsApi", ...),))

What a row cannot mean is refused when the module is imported, by a
:class:`~jobkit_async.errors.TableError` that names service, operation and fault.
"""

from __future__ import annotations

from jobkit_async.endpoint.params import (
    BODIES,
    CSV,
    MULTI,
    Param,
    Place,
    Style,
    body,
    header,
    multipart,
    path,
    query,
    raw,
)
from jobkit_async.endpoint.results import Result, ResultKind, bytes_, job, jobs, none, text, value
from jobkit_async.endpoint.rows import (
    DELETE,
    GET,
    METHODS,
    ONCE,
    PATCH,
    POST,
    PUT,
    REPEATABLE,
    SAFE,
    Api,
    Endpoint,
    Repeat,
    Table,
)

__all__ = [
    "BODIES",
    "CSV",
    "DELETE",
    "GET",
    "METHODS",
    "MULTI",
    "ONCE",
    "PATCH",
    "POST",
    "PUT",
    "REPEATABLE",
    "SAFE",
    "Api",
    "Endpoint",
    "Param",
    "Place",
    "Repeat",
    "Result",
    "ResultKind",
    "Style",
    "Table",
    "body",
    "bytes_",
    "header",
    "job",
    "jobs",
    "multipart",
    "none",
    "path",
    "query",
    "raw",
    "text",
    "value",
]
