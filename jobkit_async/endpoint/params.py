"""Parameters: what callers pass, and where in the request it goes."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, get_args, get_origin

import attrs

__all__ = [
    "BODIES",
    "CSV",
    "MULTI",
    "Param",
    "Place",
    "Style",
    "body",
    "header",
    "multipart",
    "path",
    "query",
    "raw",
]


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
