"""Models of Leia, as in the service's OpenAPI document (LeiaWS 1.1.24) and its newer clients.

Words are ``str`` throughout: compare them with the constants below, and expect others.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

from jobkit_async.model import UNSET, Unset

__all__ = [
    "Application",
    "ApplicationTypes",
    "ApplyBody",
    "Classification",
    "ConditionalBody",
    "Document",
    "FormatTypes",
    "Job",
    "JobTypes",
    "LoginBody",
    "LoginToken",
    "Model",
    "ModelInputTypes",
    "ModelTypes",
    "ResultTypes",
    "Speed",
    "Statuses",
    "TrainBody",
    "TransformTypes",
]


class Statuses(StrEnum):
    """Words for a job's status."""

    BLOCKED = "BLOCKED"
    """Created with ``block_processing``: stands still until it is started."""
    WAITING = "WAITING"
    """Waits for another job to be processed."""
    READY = "READY"
    """May start, but no worker has taken it yet."""
    STARTING = "STARTING"
    LOADING_MODEL = "LOADING_MODEL"
    PROCESSING = "PROCESSING"
    PROCESSED = "PROCESSED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class JobTypes(StrEnum):
    """Words for a job's type. Training and conditional jobs have types that are not listed."""

    PREDICT = "predict"
    PDF_IMAGES = "pdf-images"
    IMAGE_TEXT = "image-text"
    TRANSFORM = "transform"


class FormatTypes(StrEnum):
    """Words for the form of a result; without one it is a list of key-value items."""

    CLASSIFICATION = "classification"


class ModelTypes(StrEnum):
    """Words for what a model does."""

    CLASSIFICATION = "classification"
    IMAGE_EXTRACTION = "image_extraction"
    KEY_VALUE_EXTRACTION = "key_value_extraction"


class ModelInputTypes(StrEnum):
    """Words for what a model reads."""

    IMAGE = "image"
    TEXT = "text"
    TEXT_TREE = "text_tree"
    VIDEO = "video"
    LIST_IMAGE = "list[image]"
    LIST_TEXT = "list[text]"
    LIST_TEXT_TREE = "list[text_tree]"
    LIST_VIDEO = "list[video]"
    LIST_PDF = "list[pdf]"
    """Known to the service's Python client only."""


class ResultTypes(StrEnum):
    """Words that tell how to read a job's result."""

    DOCUMENT = "document"
    LIST_DOCUMENT = "list[document]"
    OBJECT = "object"
    CLASSIFICATION = "classification"
    DICT_OBJECT = "dict[object]"
    DICT_CLASSIFICATION = "dict[classification]"
    MODEL = "model"
    CONDITIONAL = "conditional"


class Speed(StrEnum):
    """Words for how fast a model is."""

    VERYFAST = "VERYFAST"
    FAST = "FAST"
    SLOW = "SLOW"
    VERYSLOW = "VERYSLOW"


class TransformTypes(StrEnum):
    """Words for the ``output_type`` of a transformation within a conditional job's rules."""

    TEXT = "text"
    TEXT_TREE = "text_tree"
    IMAGE = "image"
    AUTOROTATE = "autorotate"
    TRIM = "trim"
    MERGE = "merge"
    SPLIT = "split"
    TRANSCODE = "transcode"


class ApplicationTypes(StrEnum):
    """Words for the rights of an application."""

    DEVELOPER = "developer"
    ADMIN = "admin"


@attrs.frozen(kw_only=True)
class Job:
    """One job.

    Attributes:
        id: 24 hexadecimal digits.
        status: One of :class:`Statuses`, or a word newer than this library.
        job_type: One of :class:`JobTypes`, or another word.
        application_id: The application whose documents it processes.
        document_ids: The documents that it processes.
        model_id: The model that it applies.
        execute_after_id: The job that must be processed before it starts.
        parent_job_id: The job that it is a part of.
        callback_url: Where the service posts the job once it has ended.
        creation_time: When it was created.
        starting_time: When a worker took it.
        finished_time: When it ended, well or badly.
        reason: Why it failed.
        result_type: One of :class:`ResultTypes`: how to read the result. May be missing even
            where there is a result.
        result: What came out of it, as JSON.
        submitter_id: The application that submitted it. Not in the documented model; some
            servers tell it.
        http_code: Cause of a failure as an HTTP status: 5xx for the server, 400 for the data.
            Not in the documented model.
        page_range: The pages of the previous job that it works on. Not in the documented model.
    """

    id: str
    status: str
    job_type: str
    application_id: str
    document_ids: list[str]
    model_id: str | None = None
    execute_after_id: str | None = None
    parent_job_id: str | None = None
    callback_url: str | None = None
    creation_time: datetime
    starting_time: datetime | None = None
    finished_time: datetime | None = None
    reason: str | None = None
    result_type: str | None = None
    result: Any = None
    submitter_id: str | None = None
    http_code: int | None = None
    page_range: str | None = None


@attrs.frozen(kw_only=True)
class ApplyBody:
    """How to apply a model; the same may be said by arguments of the operation.

    Attributes:
        block_processing: Whether the job stands still until it is started.
        callback_headers: Headers that the service sends with the callback.
        callback_url: Where the service posts the job once it has ended.
        execute_after_id: The job that must be processed first.
        format_type: One of :class:`FormatTypes`.
        model_params: Passed on to the model as they are.
        page_range: The pages of the previous job to work on, as Python slices.
        tag: Picks the documents that were made from the one given, and carry this tag.
    """

    block_processing: bool | Unset | None = UNSET
    callback_headers: dict[str, Any] | Unset | None = attrs.field(default=UNSET, repr=False)
    callback_url: str | Unset | None = UNSET
    execute_after_id: str | Unset | None = UNSET
    format_type: str | Unset | None = UNSET
    model_params: dict[str, Any] | Unset | None = UNSET
    page_range: str | Unset | None = UNSET
    tag: str | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class ConditionalBody:
    """What a conditional job does.

    Attributes:
        block_processing: Whether the job stands still until it is started.
        callback_headers: Headers that the service sends with the callback.
        callback_url: Where the service posts the job once it has ended.
        rules: By an id of your choice: ``conditions`` on the fields of the previous job's result
            (a value, ``{"$gt": value}``, or a list of these) and ``jobs``, which run in order
            where all conditions hold. A job is ``{"job_type": "apply_model", "model_id": ...}``
            or ``{"job_type": "transform", "output_type": ...}`` with one of
            :class:`TransformTypes`.
    """

    block_processing: bool | Unset | None = UNSET
    callback_headers: dict[str, Any] | Unset | None = attrs.field(default=UNSET, repr=False)
    callback_url: str | Unset | None = UNSET
    rules: dict[str, Any] | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class TrainBody:
    """How to train a model; the same may be said by arguments of the operation.

    Attributes:
        callback_headers: Headers that the service sends with the callback.
        callback_url: Where the service posts the job once it has ended.
        documents_tag: Tag of the documents to train with.
        execute_after_id: The job that must be processed first.
        model_module: Dotted name of the module to train.
        model_name: Name of the model to be.
        model_params: Passed on to the training as they are.
    """

    callback_headers: dict[str, Any] | Unset | None = attrs.field(default=UNSET, repr=False)
    callback_url: str | Unset | None = UNSET
    documents_tag: str | Unset | None = UNSET
    execute_after_id: str | Unset | None = UNSET
    model_module: str | Unset | None = UNSET
    model_name: str | Unset | None = UNSET
    model_params: dict[str, Any] | Unset | None = UNSET


@attrs.frozen(kw_only=True)
class Model:
    """One model.

    Attributes:
        id: 24 hexadecimal digits.
        name: For people.
        short_name: Stands for the id where a model is read or applied.
        application_id: The application that owns it.
        model_type: One of :class:`ModelTypes`.
        model_module: Dotted name of the Python module that it runs.
        model_clazz: Name of the class in that module.
        input_types: What it reads, :class:`ModelInputTypes`.
        output_format: What it writes; a list of strings or an object.
        creation_time: When it was created.
        description: For people.
        documentation: For people.
        size: Size of its file in bytes.
        md5sum: MD5 of its file, in hexadecimal digits.
        speed: One of :class:`Speed`.
        tags: Its tags.
        ttl: Seconds that a worker keeps it loaded; negative for ever.
        allowed_application_ids: Other applications that may use it.
        allow_all_applications: Whether all of them may.
        always_on_workers: Number of workers that are always there for it.
        cores: Processor cores that a worker needs.
        memory: Memory that a worker needs.
    """

    id: str
    name: str
    short_name: str | None = None
    application_id: str | None = None
    model_type: str
    model_module: str
    model_clazz: str
    input_types: list[str]
    output_format: Any = None
    creation_time: datetime
    description: str | None = None
    documentation: str | None = None
    size: float
    md5sum: str | None = None
    speed: str | None = None
    tags: list[str] = attrs.field(factory=list)
    ttl: float | None = None
    allowed_application_ids: list[str] = attrs.field(factory=list)
    allow_all_applications: bool | None = None
    always_on_workers: int | None = None
    cores: float | None = None
    memory: float | None = None


@attrs.frozen(kw_only=True)
class Document:
    """One document, as it occurs in results.

    Attributes:
        id: 24 hexadecimal digits.
        application_id: The application that owns it.
        filename: Its name.
        extension: The last part of its name.
        mime_type: Its media type.
        size: In bytes.
        md5sum: MD5 of its contents, in hexadecimal digits.
        creation_time: When it was created.
        expiration_time: When the service will drop it.
        original_id: The document that it was made from.
        page: Its page within that document.
        rotation_angle: Degrees by which it was turned, 0 to 359.
        tags: Its tags.
    """

    id: str
    application_id: str
    filename: str
    extension: str | None = None
    mime_type: str | None = None
    size: int | None = None
    md5sum: str | None = None
    creation_time: datetime
    expiration_time: datetime | None = None
    original_id: str | None = None
    page: int | None = None
    rotation_angle: int | None = None
    tags: list[str] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class Classification:
    """What a classification model says of a document.

    Attributes:
        category: The category.
        accuracy: How often the model is right about it, 0 to 1.
        score: How sure it is here, 0 to 1.
    """

    category: str
    accuracy: float
    score: float


@attrs.frozen(kw_only=True)
class LoginBody:
    """What a log-in needs.

    Attributes:
        api_key: The application's key.
    """

    api_key: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Application:
    """One application: the account that logs in.

    Attributes:
        id: 24 hexadecimal digits.
        application_name: Its name.
        application_type: One of :class:`ApplicationTypes`.
        first_name: First name of its owner.
        last_name: Last name of its owner.
        email: Address of its owner.
        api_key: Its key.
        creation_time: When it was created.
        default_job_callback_url: Where its jobs are posted that name no callback of their own.
        dedicated_workers: Whether it has workers of its own.
        dedicated_workers_max_models: The most models that these keep loaded.
        dedicated_workers_ttl: Seconds that these live without work.
        job_counts: Numbers of its jobs.
    """

    id: str | None = None
    application_name: str | None = None
    application_type: str
    first_name: str
    last_name: str
    email: str
    api_key: str | None = attrs.field(default=None, repr=False)
    creation_time: datetime | None = None
    default_job_callback_url: str | None = None
    dedicated_workers: bool | None = None
    dedicated_workers_max_models: int | None = None
    dedicated_workers_ttl: int | None = None
    job_counts: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class LoginToken:
    """What a log-in gives.

    Attributes:
        token: To be sent with every later request.
        application: Who has logged in.
    """

    token: str = attrs.field(repr=False)
    application: Application
