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

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, cast, get_args, get_origin

import attrs

from jobkit_async.errors import TableError

__all__ = [
    "CSV",
    "DELETE",
    "GET",
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

GET: Final = "GET"
POST: Final = "POST"
PUT: Final = "PUT"
PATCH: Final = "PATCH"
DELETE: Final = "DELETE"
METHODS: Final = frozenset({GET, POST, PUT, PATCH, DELETE})


class Repeat(StrEnum):
    """What a second sending of the same request does. The HTTP method never decides this."""

    SAFE = "safe"
    """Nothing: it only reads, or sets what is set already."""
    REPEATABLE = "repeatable"
    """Nothing more: the service answers 404 or 400, which means "already done"."""
    ONCE = "once"
    """Harm: another job, another answer, a removal. Never sent twice by this library."""


SAFE: Final = Repeat.SAFE
REPEATABLE: Final = Repeat.REPEATABLE
ONCE: Final = Repeat.ONCE


class Style(StrEnum):
    """How a list is written."""

    CSV = "csv"
    """One value, the elements joined by commas."""
    MULTI = "multi"
    """One pair a list element: ``tags=a&tags=b``."""


CSV: Final = Style.CSV
MULTI: Final = Style.MULTI


class Place(StrEnum):
    """Where in the request a parameter goes."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    JSON = "json"
    RAW = "raw"
    MULTIPART = "multipart"


BODIES: Final = frozenset({Place.JSON, Place.RAW, Place.MULTIPART})
_SCALARS: Final = frozenset({str, int, bool, datetime})


@attrs.frozen(eq=False)
class Param:
    """One parameter of an operation.

    Attributes:
        name: Its Python name.
        place: Where it goes.
        type: What callers pass: a scalar (str, int, bool, datetime), ``list[scalar]``, a model
            class, ``dict`` (any JSON object; in a query each member is a pair of its own), or
            ``bytes`` (whatever an upload takes).
        doc: One sentence for the docstring.
        wire: Its name in path template, query, header or form; the Python name unless given.
        required: Whether the operation makes no sense without it.
        style: How a list is written.
        words: The documented words. They are advice for the reader: others are sent too.
        least: The smallest number allowed, inclusive.
        most: The largest number allowed, inclusive.
        default: What the service assumes where it is not sent (documentation only).
        secret: Whether the value is a credential, to be kept out of logs.
    """

    name: str
    place: Place
    type: Any
    doc: str
    wire: str
    required: bool = True
    style: Style | None = None
    words: type[StrEnum] | None = None
    least: int | None = None
    most: int | None = None
    default: Any = None
    secret: bool = False

    @property
    def element(self) -> Any:
        """The type of one element of a list, or the type itself."""
        return get_args(self.type)[0] if self.is_list else self.type

    @property
    def is_list(self) -> bool:
        """Whether callers pass a sequence."""
        return get_origin(self.type) is list

    def fault(self) -> str | None:
        """What is wrong with this parameter, or None."""
        if not self.name.isidentifier():
            return "the name is no Python identifier"
        if self.place is Place.JSON:
            if self.type is not dict and not attrs.has(self.type):
                return "a JSON body is an attrs model or dict"
        elif self.place in BODIES:
            if self.type is not bytes:
                return "a raw or multipart body is bytes"
        elif self.element not in _SCALARS and (self.type, self.place) != (dict, Place.QUERY):
            return f"{self.type!r} cannot be written in a {self.place}"
        if self.is_list != (self.style is not None):
            return "a list has a style, and nothing else has"
        if self.place is Place.PATH and (self.style is MULTI or not self.required):
            return "a path value is required, and a list in it is csv"
        if (self.least is not None or self.most is not None) and self.element is not int:
            return "only an int has bounds"
        return None


def path(
    name: str,
    type: Any = str,  # noqa: A002 - reads best in a table
    *,
    doc: str,
    wire: str | None = None,
    least: int | None = None,
) -> Param:
    """A value in the path; a list is comma-joined within its segment."""
    style = CSV if get_origin(type) is list else None
    return Param(name, Place.PATH, type, doc, wire or name, style=style, least=least)


def query(
    name: str,
    type: Any = str,  # noqa: A002 - reads best in a table
    *,
    doc: str,
    wire: str | None = None,
    required: bool = False,
    style: Style | None = None,
    words: type[StrEnum] | None = None,
    least: int | None = None,
    most: int | None = None,
    default: Any = None,
    secret: bool = False,
) -> Param:
    """A value in the query string, optional unless said otherwise."""
    return Param(
        name,
        Place.QUERY,
        type,
        doc,
        wire or name,
        required,
        style,
        words,
        least,
        most,
        default,
        secret,
    )


def header(
    name: str, *, doc: str, wire: str, required: bool = False, secret: bool = False
) -> Param:
    """A request header, optional unless said otherwise."""
    return Param(name, Place.HEADER, str, doc, wire, required, secret=secret)


def body(name: str, type: Any, *, doc: str, required: bool = False) -> Param:  # noqa: A002
    """A JSON body: an attrs model, or dict for any JSON object. Optional unless said otherwise."""
    return Param(name, Place.JSON, type, doc, name, required)


def raw(name: str, *, doc: str) -> Param:
    """A body of bytes, sent as ``application/octet-stream``."""
    return Param(name, Place.RAW, bytes, doc, name)


def multipart(name: str, *, doc: str) -> Param:
    """The one part of a ``multipart/form-data`` body."""
    return Param(name, Place.MULTIPART, bytes, doc, name)


class ResultKind(StrEnum):
    """What an operation gives."""

    JOB = "job"
    JOBS = "jobs"
    BYTES = "bytes"
    TEXT = "text"
    VALUE = "value"
    NONE = "none"


@attrs.frozen(eq=False)
class Result:
    """How an answer is read.

    Attributes:
        kind: What comes out of it.
        type: The model of one job, or of the value.
        at: Path of member names to it inside the answer, ``()`` for all of it.
        total: Path to the number of matches that the service tells with a listing.
        total_header: Header that tells it instead, as ``first-last/total``.
        key: Names of what identifies a job. The first is an attribute of the job's model; further
            ones are looked for among the operation's arguments first, then in the model.
        empty_on: Status that means "nothing found" for a listing.
        envelope: Whether the answer has a member ``success`` that can report failure.
        secret: Whether the answer is a credential, of which nothing may be shown.
    """

    kind: ResultKind
    type: Any = None
    at: tuple[str, ...] = ()
    total: tuple[str, ...] | None = None
    total_header: str | None = None
    key: tuple[str, ...] = ("id",)
    empty_on: int | None = None
    envelope: bool = False
    secret: bool = False


def _steps(at: str) -> tuple[str, ...]:
    return tuple(at.split(".")) if at else ()


def job(
    model: type, *, at: str = "", key: tuple[str, ...] = ("id",), envelope: bool = False
) -> Result:
    """One job, as a handle."""
    return Result(ResultKind.JOB, model, _steps(at), key=key, envelope=envelope)


def jobs(
    model: type,
    *,
    at: str = "",
    key: tuple[str, ...] = ("id",),
    total: str | None = None,
    total_header: str | None = None,
    empty_on: int | None = None,
    envelope: bool = False,
) -> Result:
    """Many jobs, as a list of handles."""
    return Result(
        ResultKind.JOBS,
        model,
        _steps(at),
        None if total is None else _steps(total),
        total_header,
        key,
        empty_on,
        envelope,
    )


def bytes_() -> Result:
    """A file, streamed."""
    return Result(ResultKind.BYTES)


def text() -> Result:
    """Text, such as a log."""
    return Result(ResultKind.TEXT)


def value(
    type: Any,  # noqa: A002 - reads best in a table
    *,
    empty_on: int | None = None,
    envelope: bool = False,
    secret: bool = False,
) -> Result:
    """A model, a list of models, or a mapping, as it comes."""
    return Result(ResultKind.VALUE, type, empty_on=empty_on, envelope=envelope, secret=secret)


def none(*, envelope: bool = False) -> Result:
    """Nothing: an empty answer, or null."""
    return Result(ResultKind.NONE, envelope=envelope)


@attrs.frozen(eq=False, init=False)
class Endpoint:
    """One row: one operation.

    Attributes:
        name: Name of the operation, as in the service's documentation.
        method: The HTTP method.
        path: Template of the path, appended to the base URL; ``{wire_name}`` is a path value.
        params: The parameters, in the order of the service's documentation.
        returns: How the answer is read.
        repeat: What a second sending does.
        summary: One line for the docstring.
        accept: The Accept header.
        recover: For ``ONCE``: how to find out whether a call whose answer was lost took effect.
        errors: What a status means here beyond its class, by status (documentation).
        changes: Name of the parameter whose job this operation sends on its way: what was seen of
            that job before is out of date afterwards.
        starts: Whether that job is on its way afterwards, and needs no input.
        cancels: Whether it is changed by being cancelled.
        note: A second paragraph for the docstring: what surprises.
    """

    name: str
    method: str
    path: str
    params: tuple[Param, ...]
    returns: Result
    repeat: Repeat
    summary: str
    accept: str
    recover: str
    errors: Mapping[int, str]
    changes: str | None
    starts: bool
    cancels: bool
    note: str

    def __init__(
        self,
        name: str,
        method: str,
        path: str,
        *params: Param,
        returns: Result,
        repeat: Repeat,
        summary: str,
        accept: str = "application/json",
        recover: str = "",
        errors: Mapping[int, str] = MappingProxyType({}),
        changes: str | None = None,
        starts: bool = False,
        cancels: bool = False,
        note: str = "",
    ) -> None:
        cast("Any", self).__attrs_init__(
            name,
            method,
            path,
            params,
            returns,
            repeat,
            summary,
            accept,
            recover,
            errors,
            changes,
            starts,
            cancels,
            note,
        )

    def fault(self) -> str | None:
        """What is wrong with this row, or None."""
        if not self.name.isidentifier():
            return "the name is no Python identifier"
        if self.method not in METHODS:
            return f"unknown method {self.method!r}"
        if not self.path.startswith("/"):
            return "the path does not start with /"
        for param in self.params:
            if problem := param.fault():
                return f"parameter {param.name}: {problem}"
        for what, names in (
            ("parameter name", [p.name for p in self.params]),
            ("wire name", [(p.place, p.wire) for p in self.params]),
        ):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                return f"the {what} {twice[0]!r} stands twice"
        slots = re.findall(r"\{([^{}]*)\}", self.path)
        values = [p.wire for p in self.params if p.place is Place.PATH]
        if sorted(slots) != sorted(values):
            return f"the path has the slots {slots}, the parameters fill {values}"
        bodies = [p.name for p in self.params if p.place in BODIES]
        if len(bodies) > 1:
            return f"more than one body: {bodies}"
        required = [p.required for p in self.params]
        if required != sorted(required, reverse=True):
            return "an optional parameter stands before a required one"
        if (self.repeat is ONCE) != bool(self.recover):
            return "a ONCE operation, and only that, says how to recover from a lost answer"
        if self.changes is not None and self.changes not in {p.name for p in self.params}:
            return f"changes names no parameter: {self.changes!r}"
        if (self.starts or self.cancels) and self.changes is None:
            return "what starts or cancels a job says which one it changes"
        return None


@attrs.frozen(eq=False, init=False)
class Api:
    """A group of operations: one API page, one generated class.

    Attributes:
        name: The attribute of the client, such as ``jobs``.
        class_name: Name of the generated class.
        doc: One line for the class docstring.
        rows: Its operations, in the order of the page.
    """

    name: str
    class_name: str
    doc: str
    rows: tuple[Endpoint, ...]

    def __init__(self, name: str, class_name: str, *rows: Endpoint, doc: str) -> None:
        cast("Any", self).__attrs_init__(name, class_name, doc, rows)


@attrs.frozen(eq=False)
class Table:
    """All of a service's operations; checked when it is made.

    Attributes:
        service: Name of the service, as in refs and on the command line.
        job: Where the typed handle lives, ``module:Class``, relative to the table's package.
        apis: The groups of operations.
    """

    service: str
    job: str
    apis: tuple[Api, ...]

    def __attrs_post_init__(self) -> None:
        for api in self.apis:
            names = Counter(row.name for row in api.rows)
            for row in api.rows:
                fault = row.fault() or ("the operation stands twice" if names[row.name] > 1 else "")
                if fault:
                    raise TableError(f"{self.service}.{row.name}: {fault}")

    def row(self, operation: str) -> Endpoint:
        """The row of an operation.

        Raises:
            KeyError: There is no such operation.
        """
        for api in self.apis:
            for row in api.rows:
                if row.name == operation:
                    return row
        raise KeyError(operation)
