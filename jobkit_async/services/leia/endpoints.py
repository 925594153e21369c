"""The operations of Leia's JobAdminApi and ModelAdminApi pages, in their order.

All of them need the application type ``admin``, and carry the log-in's token in the header
``token``, which is the client's affair. Statuses are those of the service's OpenAPI document; the
pages are silent about them.
"""

from __future__ import annotations

from datetime import datetime

from jobkit_async.endpoint import (
    DELETE,
    GET,
    MULTI,
    ONCE,
    PATCH,
    POST,
    REPEATABLE,
    SAFE,
    Api,
    Endpoint,
    Param,
    Result,
    Table,
    body,
    bytes_,
    job,
    jobs,
    none,
    path,
    query,
    raw,
    value,
)
from jobkit_async.services.leia import models

_KEY = ("id", "submitter_id")
_NOT_OWNER = "the job belongs to another submitter"


def _job() -> Result:
    return job(models.Job, key=_KEY)


def _submitter_id() -> Param:
    return path("submitter_id", doc="Id of the application that submitted the job.")


def _job_id() -> Param:
    return path("job_id", doc="Id of the job.")


def _owner(doc: str = "Id of the application that owns the model.") -> Param:
    return path("application_id", doc=doc)


def _model_id(doc: str = "Id of the model.") -> Param:
    return path("model_id", doc=doc)


def _id_or_short_name() -> Param:
    return _model_id("Id or short name of the model.")


def _callback_url() -> Param:
    return query(
        "callback_url",
        doc=(
            "Where the service posts the job once it has ended; it expects 200 or 204. "
            "``CallbackReceiver.url_for(client)`` is such an address."
        ),
    )


def _execute_after_id() -> Param:
    return query(
        "execute_after_id",
        doc="Id of a job that must be processed first; where it fails, this one fails too.",
    )


def _short_name() -> Param:
    return query("short_name", doc="Its short name.")


def _description() -> Param:
    return query("description", doc="Its description.")


def _ttl() -> Param:
    return query(
        "ttl", int, default=200, doc="Seconds that a worker keeps it loaded; negative for ever."
    )


def _allowed_application_ids() -> Param:
    return query(
        "allowed_application_ids",
        list[str],
        style=MULTI,
        doc="Ids of other applications that may use it.",
    )


def _allow_all_applications() -> Param:
    return query("allow_all_applications", bool, doc="Whether all applications may use it.")


def _tags() -> Param:
    return query("tags", list[str], style=MULTI, doc="Its tags.")


def _created_after(what: str) -> Param:
    return query("created_after", datetime, doc=f"Only {what} created after this moment.")


def _created_before(what: str) -> Param:
    return query("created_before", datetime, doc=f"Only {what} created before this moment.")


def _sort(fields: str) -> Param:
    return query(
        "sort",
        doc=f"Fields to sort by, comma-joined, each with ``-`` in front to descend: {fields}.",
    )


def _offset(what: str) -> Param:
    return query("offset", int, least=0, doc=f"Number of {what} to leave out at the beginning.")


def _limit(what: str) -> Param:
    return query("limit", int, least=1, doc=f"The most {what} to return.")


# -- JobAdminApi

ADMIN_CANCEL_JOB = Endpoint(
    "admin_cancel_job",
    DELETE,
    "/admin/{submitter_id}/job/{job_id}",
    _submitter_id(),
    _job_id(),
    returns=none(),
    repeat=REPEATABLE,
    changes="job_id",
    cancels=True,
    summary="Cancel a job.",
    errors={403: _NOT_OWNER, 404: "there is no such job, or it has been cancelled already"},
    note="The job stays readable, as ``CANCELED``; the jobs that wait for it fail.",
)

ADMIN_CREATE_CONDITIONAL_JOB = Endpoint(
    "admin_create_conditional_job",
    POST,
    "/admin/{application_id}/job/conditional/{execute_after_id}",
    _owner("Id of the application that owns the models."),
    path(
        "execute_after_id",
        doc="Id of the job whose result decides; where it fails, this one fails too.",
    ),
    body("body", models.ConditionalBody, doc="The rules."),
    _callback_url(),
    returns=_job(),
    repeat=ONCE,
    recover="admin_get_jobs(execute_after_id=...) shows the job if it was created",
    summary="Run jobs that are chosen by the result of another job.",
    errors={
        400: "the documents cannot be processed",
        403: "the model is no classification model",
        404: "there is no such job, model or document",
    },
    note=(
        "The result maps the id of each rule that held to the results of its jobs. Rules need not "
        "exclude each other."
    ),
)

ADMIN_GET_JOB = Endpoint(
    "admin_get_job",
    GET,
    "/admin/{submitter_id}/job/{job_id}",
    _submitter_id(),
    _job_id(),
    returns=_job(),
    repeat=SAFE,
    summary="Read one job.",
    errors={403: _NOT_OWNER},
)

ADMIN_GET_JOB_STATUSES = Endpoint(
    "admin_get_job_statuses",
    GET,
    "/admin/{submitter_id}/job/{job_ids}/status",
    path("submitter_id", doc="Id of the application that submitted the jobs."),
    path("job_ids", list[str], doc="Ids of the jobs."),
    returns=value(dict[str, str]),
    repeat=SAFE,
    summary="Read the statuses of many jobs of one submitter, by job id.",
    errors={404: "a job is unknown; an unknown one may also be just left out"},
)

ADMIN_GET_JOBS = Endpoint(
    "admin_get_jobs",
    GET,
    "/admin/job",
    query("job_id", doc="Only the job with this id."),
    query("submitter_id", doc="Only jobs that this application submitted."),
    query("application_id", doc="Only jobs on documents of this application."),
    query("job_type", words=models.JobTypes, doc="Only jobs of this type."),
    query("model_id", doc="Only jobs that apply this model."),
    query("document_id", doc="Only jobs that process this document."),
    query("execute_after_id", doc="Only jobs that wait, or waited, for this job."),
    query("parent_job_id", doc="Only jobs that are a part of this job."),
    query("status", words=models.Statuses, doc="Only jobs with this status."),
    _created_after("jobs"),
    _created_before("jobs"),
    _sort(
        "``submitter_id``, ``application_id``, ``creation_time``, ``starting_time``, "
        "``finished_time``, ``job_type``, ``model_id``, ``document_ids``, ``status``, "
        "``parent_job_id``"
    ),
    _offset("jobs"),
    _limit("jobs"),
    returns=jobs(models.Job, key=_KEY, total_header="Content-Range", empty_on=404),
    repeat=SAFE,
    summary="List jobs, of all submitters unless told otherwise.",
    note="Cancelled jobs stay listed. The service has a limit of its own, which is not documented.",
)

# -- ModelAdminApi

ADMIN_APPLY_MODEL_ASYNC = Endpoint(
    "admin_apply_model_async",
    POST,
    "/admin/{application_id}/model/{model_id}/apply/{document_ids}",
    _owner(),
    _id_or_short_name(),
    path("document_ids", list[str], doc="Ids of the documents to process."),
    body("body", models.ApplyBody, doc="The same as the arguments below, and callback headers."),
    query(
        "tag",
        doc=(
            "Picks the documents that were made from the one given, and carry this tag; "
            "``document_ids`` has one element then."
        ),
    ),
    query(
        "format_type",
        words=models.FormatTypes,
        doc="Form of the result; without it, a list of key-value items.",
    ),
    _execute_after_id(),
    query(
        "page_range",
        doc=(
            "Pages of the previous job to work on, as Python slices that count from 0, "
            'comma-joined, such as ``"0,2:5,-2:"``; needs ``execute_after_id``.'
        ),
    ),
    _callback_url(),
    query("model_params", dict, doc="Passed on to the model as they are."),
    query(
        "block_processing",
        bool,
        default=False,
        doc="Whether the job stands still, as ``BLOCKED``, until it is started.",
    ),
    returns=_job(),
    repeat=ONCE,
    recover=(
        "admin_get_jobs(document_id=..., sort='-creation_time') shows the job if it was created"
    ),
    summary="Apply a model to documents.",
    errors={
        400: "the documents cannot be processed, or a tag came with several of them",
        403: "the model cannot be applied",
        404: "there is no such model or document",
    },
    note=(
        "What wins where an argument and the body differ is not documented. In the query every "
        "key of ``model_params`` becomes a parameter of its own; in the body it stays an object."
    ),
)

ADMIN_CREATE_MODEL = Endpoint(
    "admin_create_model",
    POST,
    "/admin/{application_id}/model",
    raw("body", doc="The model's file, a ZIP archive; it is streamed, so it may be large."),
    query("name", required=True, doc="Name of the model."),
    _owner("Id of the application that will own the model."),
    _short_name(),
    _description(),
    _ttl(),
    _allowed_application_ids(),
    _allow_all_applications(),
    _tags(),
    returns=value(models.Model),
    repeat=ONCE,
    recover="admin_get_models(name=...) shows the model if it was created",
    summary="Add a model.",
    errors={400: "the file is no model", 404: "there is no such application"},
)

ADMIN_DELETE_MODEL = Endpoint(
    "admin_delete_model",
    DELETE,
    "/admin/{application_id}/model/{model_id}",
    _owner(),
    _model_id(),
    returns=none(),
    repeat=REPEATABLE,
    summary="Delete a model.",
    errors={404: "there is no such model, or it has been deleted already"},
)

ADMIN_EDIT_MODEL = Endpoint(
    "admin_edit_model",
    PATCH,
    "/admin/{application_id}/model/{model_id}",
    _owner(),
    _model_id(),
    query("name", doc="Its name."),
    _short_name(),
    _description(),
    _allowed_application_ids(),
    _allow_all_applications(),
    _ttl(),
    returns=value(models.Model),
    repeat=SAFE,
    summary="Change what is given, and leave the rest of a model as it is.",
)

ADMIN_GET_MODEL = Endpoint(
    "admin_get_model",
    GET,
    "/admin/{application_id}/model/{model_id}",
    _owner(),
    _id_or_short_name(),
    returns=value(models.Model),
    repeat=SAFE,
    summary="Read one model.",
)

ADMIN_GET_MODEL_CONTENTS = Endpoint(
    "admin_get_model_contents",
    GET,
    "/admin/{application_id}/model/{model_id}/file_contents",
    _owner(),
    _id_or_short_name(),
    returns=bytes_(),
    repeat=SAFE,
    accept="application/octet-stream",
    summary="Download the file of a model, a ZIP archive.",
)

ADMIN_GET_MODELS = Endpoint(
    "admin_get_models",
    GET,
    "/admin/model",
    query("model_id", doc="Only the model with this id."),
    query("application_id", doc="Only models of this application."),
    query("model_type", words=models.ModelTypes, doc="Only models of this type."),
    query("name", doc="Only models with this name."),
    query("short_name", doc="Only the model with this short name."),
    query("description", doc="Only models whose description contains this."),
    query(
        "input_types",
        list[str],
        style=MULTI,
        words=models.ModelInputTypes,
        doc="Only models that read this.",
    ),
    query("tags", list[str], style=MULTI, doc="Only models with these tags."),
    _created_after("models"),
    _created_before("models"),
    query(
        "only_mine",
        bool,
        default=False,
        doc=(
            "Whether to leave out models that the application (``application_id``, or your own) "
            "may use but does not own."
        ),
    ),
    _sort("``application_id``, ``creation_time``, ``name``, ``description``, ``model_type``"),
    _offset("models"),
    _limit("models"),
    returns=value(list[models.Model], empty_on=404),
    repeat=SAFE,
    summary="List models.",
)

ADMIN_TAG_MODEL = Endpoint(
    "admin_tag_model",
    POST,
    "/admin/{application_id}/model/{model_id}/tag/{tag}",
    _owner(),
    _model_id(),
    path("tag", doc="The tag to add."),
    returns=value(models.Model),
    repeat=SAFE,
    summary="Add a tag to a model.",
)

ADMIN_TRAIN_MODEL_ASYNC = Endpoint(
    "admin_train_model_async",
    POST,
    "/admin/{application_id}/model/{model_module}/train/{documents_tag}",
    _owner("Id of the application that will own the model."),
    path("model_module", doc="Dotted name of the Python module to train."),
    path("documents_tag", doc="Tag of the documents to train with."),
    body("body", models.TrainBody, doc="Some of the arguments below, and callback headers."),
    query("model_name", doc="Name of the model to be."),
    _short_name(),
    _description(),
    _ttl(),
    _allowed_application_ids(),
    _allow_all_applications(),
    _tags(),
    _execute_after_id(),
    _callback_url(),
    query("model_params", dict, doc="Passed on to the training as they are."),
    returns=_job(),
    repeat=ONCE,
    recover=(
        "admin_get_jobs(application_id=..., sort='-creation_time') shows the job if it was created"
    ),
    summary="Train a model; the result of the job is the model.",
    errors={
        403: "the model cannot be trained",
        404: "there are no documents with this tag",
    },
    note=(
        "What wins where an argument and the body differ is not documented. In the query every "
        "key of ``model_params`` becomes a parameter of its own; in the body it stays an object."
    ),
)

ADMIN_UNTAG_MODEL = Endpoint(
    "admin_untag_model",
    DELETE,
    "/admin/{application_id}/model/{model_id}/tag/{tag}",
    _owner(),
    _model_id(),
    path("tag", doc="The tag to remove."),
    returns=none(),
    repeat=REPEATABLE,
    summary="Remove a tag from a model.",
    errors={404: "there is no such model, or it has no such tag"},
)

TABLE = Table(
    service="leia",
    job="job:LeiaJob",
    apis=(
        Api(
            "jobs",
            "LeiaJobsApi",
            ADMIN_CANCEL_JOB,
            ADMIN_CREATE_CONDITIONAL_JOB,
            ADMIN_GET_JOB,
            ADMIN_GET_JOB_STATUSES,
            ADMIN_GET_JOBS,
            doc="The operations of Leia's JobAdminApi page.",
        ),
        Api(
            "models",
            "LeiaModelsApi",
            ADMIN_APPLY_MODEL_ASYNC,
            ADMIN_CREATE_MODEL,
            ADMIN_DELETE_MODEL,
            ADMIN_EDIT_MODEL,
            ADMIN_GET_MODEL,
            ADMIN_GET_MODEL_CONTENTS,
            ADMIN_GET_MODELS,
            ADMIN_TAG_MODEL,
            ADMIN_TRAIN_MODEL_ASYNC,
            ADMIN_UNTAG_MODEL,
            doc="The operations of Leia's ModelAdminApi page.",
        ),
    ),
)

# What the client needs for itself. No table holds these rows, so nothing is generated from them.

# The pages log in by GET, with the key in the URL, where it ends up in logs. That way is
# deprecated; this one keeps the key in the body. A second log-in only makes a second token.
LOGIN = Endpoint(
    "login",
    POST,
    "/login",
    body("login_body", models.LoginBody, doc="The api key.", required=True),
    returns=value(models.LoginToken, secret=True),
    repeat=SAFE,
    summary="Exchange an api key for a token.",
    errors={403: "the api key is wrong"},
)

# Tells a client that was given a token, not a key, whose token it is.
WHOAMI = Endpoint(
    "whoami",
    GET,
    "/whoami",
    returns=value(models.Application),
    repeat=SAFE,
    summary="Read the application that the token belongs to.",
)
