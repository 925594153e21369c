"""Models of EcoTaxa: those of its JobsApi page, and the body of its log-in.

All words on the wire stay open: they are ``str`` here, to be compared with the constants.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

__all__ = [
    "DBJobState",
    "HTTPValidationError",
    "JobModel",
    "JobType",
    "LoginReq",
    "ValidationError",
]


class DBJobState(StrEnum):
    """Letters for a job's state. There is none for a killed job: that is an error like others."""

    PENDING = "P"
    """Waits for a slot; also right after a restart or a reply."""
    RUNNING = "R"
    ASKING = "A"
    """Stands still until its question is answered."""
    ERROR = "E"
    """Failed, or killed where the message is ``Killed``; a restart makes it pending again."""
    FINISHED = "F"


class JobType(StrEnum):
    """Types of jobs known so far; servers have others too."""

    FILE_IMPORT = "FileImport"
    SIMPLE_IMPORT = "SimpleImport"
    GEN_EXPORT = "GenExport"
    GENERAL_EXPORT = "GeneralExport"
    SUMMARY_EXPORT = "SummaryExport"
    BACKUP_EXPORT = "BackupExport"
    DARWIN_CORE_EXPORT = "DarwinCoreExport"
    SUBSET = "Subset"
    PREDICTION = "Prediction"
    NIGHTLY_MAINTENANCE = "NightlyMaintenance"


@attrs.frozen(kw_only=True)
class JobModel:
    """One job.

    Attributes:
        id: A small integer, unique on its server; negative once the job was erased.
        owner_id: Id of the user who owns it.
        type: One of :class:`JobType`, or a type newer than this library.
        creation_date: When it was created. The service writes dates without an offset, and older
            servers wrote local time.
        updated_on: When anything was last written to it.
        params: What it was started with; depends on its type.
        result: What came out of it; depends on its type.
        errors: Lines about its failure: complaints about the data, or a traceback.
        question: What it asks, or last asked: it stays here after the answer.
        reply: The last answer.
        inside: The service's own notes; may be large.
        state: One of :class:`DBJobState`.
        step: Where it stands in its own steps; mostly None.
        progress_pct: Percent done, 0 to 100 by intent; None before the first report.
        progress_msg: A few words on what it does, or on why it failed.
    """

    id: int
    owner_id: int
    type: str
    creation_date: datetime
    updated_on: datetime
    params: dict[str, Any] = attrs.field(factory=dict)
    result: dict[str, Any] = attrs.field(factory=dict)
    errors: list[str] = attrs.field(factory=list)
    question: dict[str, Any] = attrs.field(factory=dict)
    reply: dict[str, Any] = attrs.field(factory=dict)
    inside: dict[str, Any] = attrs.field(factory=dict)
    state: str | None = None
    step: int | None = None
    progress_pct: int | None = None
    progress_msg: str | None = None


@attrs.frozen(kw_only=True)
class ValidationError:
    """One thing that is wrong with a request.

    Attributes:
        loc: Where: the place (``path``, ``query``, ``body``), then names and positions within.
        msg: What is wrong, in a sentence.
        type: The same in a word, such as ``"type_error.integer"``.
    """

    loc: list[str | int]
    msg: str
    type: str


@attrs.frozen(kw_only=True)
class HTTPValidationError:
    """The body of a 422 answer."""

    detail: list[ValidationError] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class LoginReq:
    """Who wants to log in.

    Attributes:
        username: The account's email address.
        password: Its password.
    """

    username: str
    password: str = attrs.field(repr=False)
