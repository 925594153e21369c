"""Bytes to models, whole or in slices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from jobkit_async.codec.converters import locate, structure_loosely
from jobkit_async.codec.flat import decoder_of
from jobkit_async.errors import DecodeError

__all__ = [
    "NO_JSON",
    "NULL",
    "Raw",
    "decode",
    "elements",
    "find",
    "parse",
    "pluck",
    "slices",
    "split",
    "split_slices",
    "structure",
]

T = TypeVar("T")

Raw = msgspec.Raw
"""A slice of JSON text that has not been decoded."""

NULL: Final = Raw(b"null")
"""One that stands for a member that is missing."""


SLICE: Final = 1 << 20
"""Bytes of a listing that are cut into elements in one go."""

DEPTH: Final = 100
"""How many lists and objects may stand within each other."""

NO_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What is raised for text that does not fit."""

BOM: Final = b"\xef\xbb\xbf"
"""The mark that may stand in front of JSON text."""

_FIRST: Final = re.compile(rb'\s*\[\s*(\{\s*"[^"\\]*"\s*:)')
"""The beginning of a list of objects, with the first member of the first one."""

_loose = msgspec.json.Decoder()


_members = msgspec.json.Decoder(dict[str, Raw])


_elements = msgspec.json.Decoder(list[Raw])


def parse(data: bytes, *, operation: str) -> Any:
    """Decode JSON text into plain dicts and lists.

    Of members with one name the last counts. NaN, infinities and numbers beyond what a float or
    4,300 digits can hold are no JSON, as are surrogates that stand alone.

    Args:
        data: The text, UTF-8; a byte order mark is tolerated.
        operation: Name of the operation, for the error.

    Raises:
        DecodeError: It is no JSON, or nested more than :data:`DEPTH` levels deep.
    """
    data = data.removeprefix(BOM)
    try:
        value = _loose.decode(data)
    except RecursionError as error:
        raise DecodeError(_TOO_DEEP, operation=operation) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = "the answer is empty" if not data.strip() else f"no JSON: {error}"
        raise DecodeError(problem, operation=operation) from error
    if _may_be_too_deep(data) and _is_too_deep(value):
        raise DecodeError(_TOO_DEEP, operation=operation)
    return value


_TOO_DEEP: Final = f"it is nested more than {DEPTH} levels deep"


def _may_be_too_deep(data: bytes) -> bool:
    """Whether valid JSON text may be nested too deeply: by its brackets, which is soon done.

    Where no string has a bracket in it, the quotes that are left go in pairs, and the innermost
    brackets too, again and again. Where one has, some quote stays, and it may.
    """
    if data.count(b"[") + data.count(b"{") <= DEPTH:  # as in most answers
        return False
    brackets = data.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _NO_BRACKETS)
    brackets = brackets.replace(b'""', b"")
    for _ in range(DEPTH // 2):  # each time, an object and the list in it may go together
        size = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(brackets) == size:
            break
    return bool(brackets)


_NO_BRACKETS: Final = bytes(sorted({*range(256)} - {*b'[]{}"'}))


def _is_too_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than is allowed; level by level."""
    level = [value] if type(value) in _NESTING else []
    for _ in range(DEPTH):
        level = [
            member
            for outer in level
            for member in (outer.values() if type(outer) is dict else outer)
            if type(member) in _NESTING
        ]
        if not level:
            return False
    return True


_NESTING: Final = frozenset({dict, list})


def decode(data: bytes, type_: Any, *, at: Sequence[str] = (), operation: str) -> Any:
    """Decode JSON text into models.

    Members that no model knows are skipped; where models are flat, whatever stands in them.

    Args:
        data: The text.
        type_: An attrs class, a scalar, or a ``list`` or ``dict`` of them.
        at: Names of the members that lead to it.
        operation: Name of the operation, for errors.

    Raises:
        DecodeError: It is no JSON or of another shape; ``path`` says where.
    """
    at_once = None if at else decoder_of(type_)
    if at_once is not None:
        text = data.removeprefix(BOM)
        try:
            value = at_once(text)
        except NO_JSON:
            pass  # it is odd, or only written in another way; what follows takes that, or says why
        else:
            if not _may_be_too_deep(text):
                return value
    return structure(parse(data, operation=operation), type_, at=at, operation=operation)


def structure(value: Any, type_: Any, *, at: Sequence[str] = (), operation: str) -> Any:
    """Make models of decoded JSON; arguments and errors as for :func:`decode`."""
    place = "$"
    for name in at:
        if not isinstance(value, dict) or name not in value:
            raise DecodeError(
                f"there is no member {name!r}",
                operation=operation,
                path=place,
            )
        value = value[name]
        place += f".{name}"
    try:
        return structure_loosely(value, type_)
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is odd
        inner, problem = locate(value, type_, error)
        # The cause would say no more, and its notes may quote names that are credentials.
        raise DecodeError(problem, operation=operation, path=place + inner) from None


def split(data: bytes, *, at: Sequence[str] = (), operation: str) -> list[Raw]:
    """Cut a listing into its elements without decoding them.

    Raises:
        DecodeError: It is no JSON, or there is no list at that place.
    """
    return elements(find(data, at=at, operation=operation), at=at, operation=operation)


def find(data: bytes, *, at: Sequence[str], operation: str) -> Raw:
    """The slice of JSON text at a place; errors as for :func:`split`."""
    place = "$"
    raw = Raw(data.removeprefix(BOM))
    try:
        for name in at:
            raw = _members.decode(raw)[name]
            place += f".{name}"
    except KeyError as error:
        problem = f"there is no member {error.args[0]!r}"
    except NO_JSON as error:
        problem = f"no list: {error}"
    else:
        return raw
    raise DecodeError(problem, operation=operation, path=place)


def elements(listing: Raw, *, at: Sequence[str], operation: str) -> list[Raw]:
    """The slices that a listing consists of; errors as for :func:`split`."""
    try:
        return _elements.decode(listing)
    except NO_JSON as error:
        place = ".".join(("$", *at))
        raise DecodeError(f"no list: {error}", operation=operation, path=place) from None


def split_slices(data: bytes, *, operation: str) -> Iterator[list[Raw]]:
    """Cut a large listing into its elements as :func:`split` does, about a mebibyte at a time.

    Raises:
        DecodeError: It is no JSON, or no list; slices before the fault may have been given.
    """
    return slices(data, partial(split, operation=operation))


def slices(data: bytes, cut: Callable[[bytes], T]) -> Iterator[T]:
    """Cut a large listing into parts that are listings themselves.

    Machines write all objects of a list alike. So where one ends, and the next begins with the same
    member as the first of all, is most likely a seam of the list. It is one if what lies before it
    parses: within a string or an object, the bracket that is added would not make a list of it.

    Args:
        data: The listing.
        cut: What is to be made of each part; it raises a :class:`DecodeError` for what is none.

    Returns:
        What was made of parts of about a mebibyte. What ``cut`` says of the last is raised.
    """
    text = data.removeprefix(BOM)
    head = _FIRST.match(text)
    opening, start = b"", 0  # a slice lacks its opening bracket, but for the first
    if head is not None:
        seam = re.compile(rb"\}(\s*,\s*)" + b"(?=" + re.escape(head[1]) + b")")
        size = SLICE
        while (found := seam.search(text, start + size)) is not None:
            at = found.start(1)
            try:
                elements = cut(opening + text[start:at] + b"]")
            except DecodeError:
                size = 2 * (at - start)  # no seam, or a fault; all tries together stay linear
                continue
            yield elements
            opening, start, size = b"[", found.end(1), SLICE
    yield cut(opening + text[start:] if start else data)


def pluck(data: bytes, *, at: Sequence[str]) -> Any:
    """One value out of JSON text, decoded alone; None where it is not there."""
    raw: bytes | Raw = data.removeprefix(BOM)
    try:
        for name in at:
            raw = _members.decode(raw)[name]
        return _loose.decode(raw)
    except (KeyError, *NO_JSON):
        return None
