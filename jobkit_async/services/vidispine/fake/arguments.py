"""What came with a request to the embedded Vidispine: headers, query and body, read or refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from jobkit_async.fakes.server import Handler, Refusal
from jobkit_async.model import aware
from jobkit_async.services.vidispine.models import Priority

__all__ = [
    "NamedRefusal",
    "data_filter",
    "flag_of",
    "invalid",
    "metadata_pairs",
    "number_of",
    "priority_of",
    "read_entries",
    "read_only",
    "span_of",
    "wants_text",
    "words_of",
]

_JSON = frozenset({"application/json"})
_TEXT = frozenset({"text/plain"})
_ANY = frozenset({"application/*", "*/*"})


class NamedRefusal(Refusal):
    """A refusal with an ExceptionDocument: one member, named for the kind of the fault."""

    def __init__(self, status: int, kind: str, **members: str) -> None:
        super().__init__(status, kind)
        self.document = {kind: members}


def invalid(context: str, explanation: str) -> NamedRefusal:
    """The refusal of an argument."""
    return NamedRefusal(400, "invalidInput", context=context, explanation=explanation)


def read_only(handler: Handler) -> Handler:
    """The handler of a request that only reads, and so has nothing to send."""

    async def checked(request: web.Request) -> web.StreamResponse:
        # Seen on a running server: a content type without content is refused.
        if "Content-Type" in request.headers and not request.can_read_body:
            raise invalid("Content-Type", "there is no payload of this type")
        return await handler(request)

    return checked


def wants_text(request: web.Request, *, offered: bool = False) -> bool:
    """Whether the answer is to be plain text rather than JSON."""
    accept = ",".join(request.headers.getall("Accept", ["*/*"]))
    ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if ranges & _JSON:
        return False
    if offered and ranges & _TEXT:
        return True
    if ranges & _ANY:
        return False
    raise Refusal(406, "Not Acceptable")


async def read_entries(request: web.Request) -> dict[str, str]:
    """The entries of a SimpleMetadataDocument, which may be missing."""
    if not await request.read():
        return {}
    if request.content_type != "application/json":
        raise Refusal(415, "Unsupported Media Type")
    try:
        document: dict[str, Any] = await request.json()
        fields: list[dict[str, Any]] = document.get("field") or []
        return {_text(field["key"]): _text(field["value"]) for field in fields}
    except (AttributeError, KeyError, TypeError, ValueError):
        # It is no JSON, or not of this shape.
        raise invalid("body", "a SimpleMetadataDocument is expected") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def metadata_pairs(request: web.Request) -> list[tuple[str, str]]:
    """The metadata that a request gives, or filters by, in its query."""
    pairs: list[tuple[str, str]] = []
    for given in request.query.getall("jobmetadata", []):
        key, equals, text = given.partition("=")
        if not key or not equals:
            raise invalid("jobmetadata", f"{given!r} is no key=value")
        pairs.append((key, text))
    return pairs


def priority_of(request: web.Request) -> str | None:
    """The priority that is asked for, or None."""
    given = request.query.get("priority")
    if given is not None and given not in set(Priority):
        raise invalid("priority", f"unknown priority {given!r}")
    return given


def flag_of(request: web.Request, name: str, *, default: bool = False) -> bool:
    """A boolean of the query."""
    given = request.query.get(name, str(default)).lower()
    if given not in {"true", "false"}:
        raise invalid(name, f"{given!r} is neither true nor false")
    return given == "true"


def number_of(request: web.Request, name: str, *, default: int, least: int) -> int:
    """A number of the query."""
    given = request.query.get(name, str(default))
    if not given.isdecimal() or int(given) < least:
        raise invalid(name, f"{given!r} is no number from {least} on")
    return int(given)


def _csv(request: web.Request, name: str) -> set[str]:
    return {word.strip() for word in request.query.get(name, "").split(",")} - {""}


def words_of(request: web.Request, name: str) -> set[str] | None:
    """The words to filter by, or None for no filter."""
    words = _csv(request, name)
    return None if not words or "all" in words else words


def data_filter(request: web.Request) -> Callable[[str], bool] | None:
    """Which metadata to show, or None for no metadata at all."""
    fields = _csv(request, "field")
    if fields:
        return fields.__contains__
    return (lambda _: True) if flag_of(request, "metadata") else None


def span_of(request: web.Request, name: str) -> tuple[datetime | None, datetime | None] | None:
    """The moments to filter by, both inclusive, or None for no filter."""
    span = _moment(request, f"{name}-from"), _moment(request, f"{name}-to")
    return None if span == (None, None) else span


def _moment(request: web.Request, name: str) -> datetime | None:
    given = request.query.get(name)
    if given is None:
        return None
    try:
        date = datetime.fromisoformat(given)
    except ValueError:
        raise invalid(name, f"{given!r} is no ISO 8601 timestamp") from None
    return aware(date)
