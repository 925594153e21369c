"""Requests from rows and arguments. Pure: nothing here does I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import attrs

from jobkit_async import codec
from jobkit_async.checks import check_text, has_controls
from jobkit_async.endpoint import CSV, Endpoint, Param, Place, Repeat, ResultKind
from jobkit_async.errors import InvalidArgument
from jobkit_async.hooks import Reporter
from jobkit_async.options import Limits
from jobkit_async.transfer import UploadBody

__all__ = ["Request", "arguments", "build", "check_header", "check_id"]

_LIMITS: Final = Limits()


@attrs.frozen
class Request:
    """One request, ready to be sent but for the credentials.

    Attributes:
        row: The operation.
        target: Path and query, percent-encoded, to be appended to the base URL.
        headers: Its own headers.
        body: JSON text, something to upload, or None.
        part: Name of the form part that the upload becomes; None sends it bare.
        secrets: Credentials among the arguments, to be kept out of messages.
        attempt: Which try of its call this is, from 1.
        reporter: Who tells the hooks of it, or None.
        limits: How much of the answer may be held.
    """

    row: Endpoint
    target: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes | UploadBody | None = attrs.field(default=None, repr=False)
    part: str | None = None
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    attempt: int = 1
    reporter: Reporter | None = attrs.field(default=None, repr=False)
    limits: Limits = attrs.field(default=_LIMITS, repr=False)

    def attempted(
        self, attempt: int, reporter: Reporter | None, secrets: tuple[str, ...]
    ) -> Request:
        """The same as the given attempt of its call, told to this reporter, with more secrets."""
        return Request(  # one by one: attrs.evolve() takes four times as long, in every call
            self.row,
            self.target,
            self.headers,
            self.body,
            self.part,
            (*self.secrets, *secrets),
            attempt,
            reporter,
            self.limits,
        )

    @property
    def operation(self) -> str:
        """Name of the operation."""
        return self.row.name

    @property
    def once(self) -> bool:
        """Whether it must never be sent twice."""
        return self.row.repeat is Repeat.ONCE

    @property
    def rewindable(self) -> bool:
        """Whether its body can be sent again."""
        return not isinstance(self.body, UploadBody) or self.body.rewindable

    @property
    def limit(self) -> int:
        """The most bytes of the answer that are held in memory."""
        listing = self.row.returns.kind is ResultKind.JOBS
        return self.limits.max_listing if listing else self.limits.max_body


def build(row: Endpoint, arguments: Sequence[Any], limits: Limits = _LIMITS) -> Request:
    """The request of an operation.

    Args:
        row: The operation.
        arguments: Its arguments in the order of ``row.params``; None is an optional one left out.
        limits: How much of the answer may be held.

    Raises:
        InvalidArgument: One of them cannot be sent; nothing has been.
    """
    path = row.path
    pairs: list[str] = []
    headers = {"Accept": row.accept}
    body: bytes | UploadBody | None = None
    part: str | None = None
    secrets: list[str] = []
    for param, write, argument in zip(row.params, _writers(row), arguments, strict=True):
        if argument is None:
            if param.required:
                raise InvalidArgument(param.name, "this argument is required")
            continue
        place = param.place
        if place is Place.PATH:
            path = path.replace(f"{{{param.wire}}}", write(argument), 1)
        elif place is Place.QUERY:
            pairs.append(write(argument))
            if param.secret:
                secrets += [str(argument), quote(str(argument), safe="")]
        elif place is Place.HEADER:
            headers[param.wire] = write(argument)
        elif place is Place.JSON:
            body = codec.encode(param.name, argument, param.type)
            secrets += codec.secrets_of(argument)
            headers["Content-Type"] = "application/json"
        else:
            body = (
                argument if isinstance(argument, UploadBody) else UploadBody(param.name, argument)
            )
            if place is Place.MULTIPART:
                part = param.wire
            else:
                headers["Content-Type"] = "application/octet-stream"
    target = f"{path}?{'&'.join(pairs)}" if pairs else path
    return Request(row, target, headers, body, part, tuple(secrets), limits=limits)


def arguments(row: Endpoint, **named: Any) -> tuple[Any, ...]:
    """Arguments in the order of a row's parameters, from their names; what is not named is None."""
    values = tuple(named.pop(param.name, None) for param in row.params)
    if named:
        raise TypeError(f"{row.name} has no parameters {sorted(named)}")
    return values


@cache
def _writers(row: Endpoint) -> tuple[Callable[[Any], str], ...]:
    return tuple(_writer(param) for param in row.params)


def _writer(param: Param) -> Callable[[Any], str]:
    """A function from an argument to its text in the URL or header; it refuses what is wrong."""
    name, place = param.name, param.place
    if place is Place.HEADER:
        return lambda value: check_header(name, check_text(name, value))
    scalar = _scalar(param)
    wire = quote(param.wire, safe="")
    if param.type is dict:
        return lambda value: _members(name, value)
    if place is Place.PATH and not param.is_list:
        return lambda value: _segment(name, quote(scalar(value), safe=""))
    if not param.is_list:
        return lambda value: f"{wire}={quote(scalar(value), safe='')}"

    def written(value: Any) -> list[str]:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Collection):
            raise InvalidArgument(name, f"a list is due, not {type(value).__name__}")
        if not value:
            raise InvalidArgument(name, "the list is empty, which cannot be sent; leave it out")
        elements = [scalar(element) for element in value]
        if param.style is CSV:
            for element in elements:
                if "," in element:
                    raise InvalidArgument(
                        name, f"{element!r} holds a comma, which would make two of it"
                    )
                if not element:
                    raise InvalidArgument(name, "an element is empty")
        return elements

    if place is Place.PATH:
        return lambda value: _segment(name, _quoted(written(value)))
    if param.style is CSV:
        return lambda value: f"{wire}={_quoted(written(value))}"
    return lambda value: "&".join(f"{wire}={quote(each, safe='')}" for each in written(value))


def _quoted(elements: list[str]) -> str:
    """Elements, none of which holds a comma, with commas between them."""
    return quote(",".join(elements), safe=",")


def _scalar(param: Param) -> Callable[[Any], str]:
    name, kind = param.name, param.element

    def write(value: Any) -> str:
        if kind is str:
            return check_text(name, value)
        if kind is bool:
            if not isinstance(value, bool):
                raise InvalidArgument(name, f"a bool is due, not {type(value).__name__}")
            return "true" if value else "false"
        if kind is int:
            return _number(param, value)
        if not isinstance(value, datetime):
            raise InvalidArgument(name, f"a datetime is due, not {type(value).__name__}")
        try:
            moment = value.astimezone(UTC) if value.tzinfo else value
        except OverflowError:
            raise InvalidArgument(name, "it is beyond the calendar in UTC") from None
        return moment.replace(tzinfo=None).isoformat(timespec="seconds")

    return write


def _number(param: Param, value: Any) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(param.name, f"an int is due, not {type(value).__name__}")
    if param.least is not None and value < param.least:
        raise InvalidArgument(param.name, f"it is too small: at least {param.least}")
    if param.most is not None and value > param.most:
        raise InvalidArgument(param.name, f"it is too large: at most {param.most}")
    return _digits(param.name, value)


def _digits(name: str, value: int) -> str:
    try:
        return int.__repr__(value)  # an enumeration's member goes out by its value
    except ValueError:  # Python itself refuses to write thousands of digits
        raise InvalidArgument(name, "it has too many digits") from None


def check_id(name: str, value: object) -> str:
    """An id, if it can be one.

    Raises:
        InvalidArgument: It is no text, empty, or something that a path cannot hold as an id.
    """
    return _segment(name, check_text(name, value))


def _segment(name: str, text: str) -> str:
    if text in ("", ".", ".."):
        what = f"{text!r} is no id" if text else "it is empty"
        raise InvalidArgument(name, what)
    return text


def _members(name: str, value: Any) -> str:
    if not isinstance(value, Mapping):
        raise InvalidArgument(name, f"a mapping is due, not {type(value).__name__}")
    pairs = []
    for key, member in value.items():
        place = f"{name}.{key}"
        if isinstance(member, bool):
            text = "true" if member else "false"
        elif isinstance(member, str):
            text = check_text(place, member)
        elif isinstance(member, int):
            text = _digits(place, member)
        elif isinstance(member, float) and math.isfinite(member):
            text = repr(float(member))
        else:
            raise InvalidArgument(
                place,
                "only strings, booleans and finite numbers fit into a query; "
                "anything else can be sent in the body",
            )
        pairs.append(f"{quote(check_text(name, key), safe='')}={quote(text, safe='')}")
    if not pairs:
        raise InvalidArgument(name, "it is empty, which cannot be sent; leave it out")
    return "&".join(pairs)


def check_header(name: str, value: str) -> str:
    """A header's value, if it can be one.

    Args:
        name: Name of the argument that it comes from, for the error.
        value: The value.

    Raises:
        InvalidArgument: It has a line break or another control character, or is not ASCII: what
            else it could hold is read differently by every server.
    """
    if has_controls(value):
        raise InvalidArgument(name, "a header cannot hold line breaks or control characters")
    if not value.isascii():
        raise InvalidArgument(name, "a header can hold ASCII characters only")
    return value
