"""Values and errors from answers. Pure: nothing here does I/O."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final

import attrs

from jobkit_async import codec
from jobkit_async.endpoint import ResultKind
from jobkit_async.errors import ApiError, DecodeError, OutcomeUnknown, api_error
from jobkit_async.model import aware
from jobkit_async.redact import excerpt, redact
from jobkit_async.request import Request

__all__ = ["Answer", "check", "http_date", "read", "refusal", "request_id", "retry_after"]

LONGEST_WAIT: Final = 3600.0
"""The most seconds that a Retry-After header is believed."""
DIGITS: Final = 18
"""The most digits of a number in a header that is believed."""
LONGEST_ID: Final = 128
"""The most characters of a request's id that are kept."""
_REQUEST_IDS: Final = ("X-Request-Id", "Request-Id", "X-Correlation-Id", "X-Amzn-RequestId")
"""Headers by which services and the proxies before them name a request."""
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_NO_CHARSETS: Final = frozenset(
    {"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
)
"""Codecs of Python's that no text on the wire is in; some of them fail whatever they are given."""


@attrs.frozen
class Answer:
    """One answer, read to its end.

    Attributes:
        status: The HTTP status.
        headers: Its headers; names compare without case.
        body: Its body, decompressed.
        cut: Why the body ended early, if it did.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
    cut: str | None = None


def check(request: Request, answer: Answer) -> None:
    """Raise unless an answer is a whole and good one; its body is not decoded.

    Raises:
        ApiError: The answer reports failure, by its status or in its envelope.
        DecodeError: It was cut off.
        OutcomeUnknown: It was cut off, and must not be asked for again.
    """
    _check_whole(request, answer)
    if request.row.returns.envelope and codec.pluck(answer.body, at=("success",)) is False:
        raise _failure(request, answer)


def _check_whole(request: Request, answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        raise refusal(request, answer)
    if answer.cut is not None and request.once:
        raise OutcomeUnknown(
            f"{request.operation}: the service said yes, but the rest of its answer was lost; "
            f"{request.row.recover}",
            operation=request.operation,
        )
    if answer.cut is not None:
        error = DecodeError(
            answer.cut,
            operation=request.operation,
            status=answer.status,
            body=excerpt(answer.body, request.secrets),
        )
        error.cut = True
        raise error


def read(request: Request, answer: Answer) -> Any:
    """The decoded value of a good answer, models and lists of models as the row says.

    Raises:
        ApiError: The answer reports failure, by its status or in its envelope.
        DecodeError: The answer is not what the row says.
    """
    row, result = request.row, request.row.returns
    if result.empty_on is not None and result.empty_on == answer.status:
        return ([], 0) if result.kind is ResultKind.JOBS else []
    _check_whole(request, answer)
    operation = row.name
    if result.kind is ResultKind.TEXT:
        return _text(answer)
    if result.kind is ResultKind.NONE:
        check(request, answer)
        return None
    type_ = list[result.type] if result.kind is ResultKind.JOBS else result.type  # type: ignore[name-defined]  # a model class, known at run time only
    document: Any = None
    try:
        if result.envelope or result.at or result.total is not None:
            document = codec.parse(answer.body, operation=operation)
            if result.envelope and isinstance(document, dict) and document.get("success") is False:
                raise _failure(request, answer)
            if result.total is not None and _is_bare(document, result.at, result.total):
                return [], _total(request, answer, document)
            value = codec.structure(document, type_, at=result.at, operation=operation)
        else:  # there is nothing else in it
            value = codec.decode(answer.body, type_, operation=operation)
    except DecodeError as error:
        error.status = answer.status
        error.path = redact(error.path, request.secrets)  # names of members are the server's own
        error.body = "" if result.secret else excerpt(answer.body, request.secrets)
        raise
    if result.kind is ResultKind.JOBS:
        return value, _total(request, answer, document)
    return value


def _is_bare(document: Any, at: tuple[str, ...], total: tuple[str, ...]) -> bool:
    """Whether a listing that found nothing leaves the list out and tells only the total."""
    for name in at[:-1]:
        document = document.get(name) if isinstance(document, dict) else None
    if not isinstance(document, dict) or at[-1] in document:
        return False
    if not document:
        return len(at) > 1  # an envelope with nothing in it; a bare {} could be anything
    return document.get(total[-1]) == 0 or set(document) == {total[-1]}


def _total(request: Request, answer: Answer, document: Any) -> int | None:
    result = request.row.returns
    if result.total_header is not None:
        _, _, text = answer.headers.get(result.total_header, "").rpartition("/")
        return int(text) if text.isdecimal() and len(text) <= DIGITS else None
    value = document
    for name in result.total or ():
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(answer: Answer) -> str:
    """The body as text, in its own charset where there is such a one."""
    _, _, charset = answer.headers.get("Content-Type", "").partition("charset=")
    charset = charset.split(";")[0].strip("\"' ").lower() or "utf-8"
    try:
        if codecs.lookup(charset).name.replace("_", "-") not in _NO_CHARSETS:
            return answer.body.decode(charset, "replace")
    except (LookupError, ValueError):
        pass
    return answer.body.decode("utf-8", "replace")


def refusal(request: Request, answer: Answer, now: float | None = None) -> ApiError:
    """The error for an answer that is no success.

    Args:
        request: What was asked.
        answer: What came back.
        now: The present as a Unix time, for a Retry-After that is a date; by default the
            answer's own Date.
    """
    row = request.row
    said = _reason(answer)
    if hint := row.errors.get(answer.status):
        said = f"{said} ({hint})"
    if 300 <= answer.status < 400:
        said = (
            "a redirect, which is not followed, as it could carry the credentials elsewhere; "
            "check base_url"
        )
    return api_error(
        answer.status,
        operation=row.name,
        reason=redact(said, request.secrets),
        body=excerpt(answer.body, request.secrets),
        retry_after=retry_after(answer.headers, now),
        request_id=_named(request, answer),
    )


def _failure(request: Request, answer: Answer) -> ApiError:
    """A success by its status, and a failure by its envelope."""
    return api_error(
        answer.status,
        operation=request.operation,
        reason=redact(_reason(answer), request.secrets),
        body=excerpt(answer.body, request.secrets),
        request_id=_named(request, answer),
    )


def _named(request: Request, answer: Answer) -> str | None:
    name = request_id(answer.headers)
    return None if name is None else redact(name, request.secrets)


def _reason(answer: Answer) -> str:
    """What the service says about an error, in one line."""
    head = answer.body[:4096].lstrip()
    if not head:
        return "no explanation"
    if head[:1] in b"{[":
        try:
            said = _said(codec.parse(answer.body, operation=""))
        except DecodeError:
            said = ""
        if said:
            return redact(said)
    if head[:1] == b"<":
        return "an HTML or XML page instead of an explanation"
    return redact(head.decode("utf-8", "replace").splitlines()[0])


def _said(document: Any) -> str:
    """The explanation in an error document, in any of the forms that services use."""
    if isinstance(document, str):
        return document
    if isinstance(document, list):
        return "; ".join(filter(None, map(_said, document[:3])))
    if not isinstance(document, dict):
        return ""
    for name in ("detail", "error", "message", "msg", "explanation", "title"):
        if document.get(name):
            said = _said(document[name])
            where = document.get("loc")
            return f"{'.'.join(map(str, where))}: {said}" if isinstance(where, list) else said
    if len(document) == 1:
        ((kind, inner),) = document.items()
        if isinstance(inner, dict):
            told = _said(inner) or ", ".join(f"{k} {v}" for k, v in inner.items() if v)
            return f"{kind}: {told}"
    return ""


@lru_cache(maxsize=16)  # many answers come within one second, and say so
def http_date(text: str | None) -> float | None:
    """A date header as a Unix time, or None where it is missing or no date."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        # A date of HTTP is in UTC also where it does not say so, as C's asctime() does not.
        return aware(moment).timestamp()
    except (ValueError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds that a Retry-After header asks to wait, at most an hour; None without one.

    Args:
        headers: Headers of the answer; names compare without case.
        now: The present as a Unix time, for a date; by default the answer's own Date.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        until = http_date(text)
        present = http_date(headers.get("Date")) if now is None else now
        if until is None or present is None:
            return None
        seconds = until - present
    return min(max(seconds, 0.0), LONGEST_WAIT)


def request_id(headers: Mapping[str, str]) -> str | None:
    """By what name the service, or a proxy before it, knows a request; None where it has none.

    Args:
        headers: Headers of the answer; names compare without case.
    """
    names = (headers.get(header, "").strip() for header in _REQUEST_IDS)
    found = next(filter(None, names), None)
    return None if found is None else found[:LONGEST_ID]
