"""Rows, groups of rows, and tables, checked when they are made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, cast

import attrs

from jobkit_async.endpoint.params import BODIES, Param, Place
from jobkit_async.endpoint.results import Result
from jobkit_async.errors import TableError

__all__ = [
    "DELETE",
    "GET",
    "METHODS",
    "ONCE",
    "PATCH",
    "POST",
    "PUT",
    "REPEATABLE",
    "SAFE",
    "Api",
    "Endpoint",
    "Repeat",
    "Table",
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
