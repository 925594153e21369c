"""Results: what comes out of an answer."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import attrs

__all__ = ["Result", "ResultKind", "bytes_", "job", "jobs", "none", "text", "value"]


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
        fixed: Whether a file stays as it is once it is there, so that the rest of one that broke
            off fits to its beginning even where the service tells no version.
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
    fixed: bool = False


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


def bytes_(*, fixed: bool = False) -> Result:
    """A file, streamed."""
    return Result(ResultKind.BYTES, fixed=fixed)


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
