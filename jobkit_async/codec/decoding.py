"""Bytes to models, whole or in slices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar, cast, get_type_hints

import attrs
import msgspec

from jobkit_async.codec.converters import locate, structure_loosely
from jobkit_async.errors import DecodeError
from jobkit_async.model import wire_name

__all__ = ["Raw", "decode", "parse", "pluck", "skimmer", "split", "split_slices", "structure"]

T = TypeVar("T")

Raw = msgspec.Raw
"""A slice of JSON text that has not been decoded."""


SLICE: Final = 1 << 20
"""Bytes of a listing that are cut into elements in one go."""

DEPTH: Final = 100
"""How many lists and objects may stand within each other."""

_BOM: Final = b"\xef\xbb\xbf"

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
    data = data.removeprefix(_BOM)
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

    Args:
        data: The text.
        type_: An attrs class, a scalar, or a ``list`` or ``dict`` of them.
        at: Names of the members that lead to it.
        operation: Name of the operation, for errors.

    Raises:
        DecodeError: It is no JSON or of another shape; ``path`` says where.
    """
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
    place = "$"
    raw: bytes | Raw = data.removeprefix(_BOM)
    try:
        for name in at:
            raw = _members.decode(raw)[name]
            place += f".{name}"
        return _elements.decode(raw)
    except KeyError as error:
        problem = f"there is no member {error.args[0]!r}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = f"no list: {error}"
    raise DecodeError(problem, operation=operation, path=place)


def split_slices(data: bytes, *, operation: str) -> Iterator[list[Raw]]:
    """Cut a large listing into its elements as :func:`split` does, about a mebibyte at a time.

    Machines write all objects of a list alike. So where one ends, and the next begins with the same
    member as the first of all, is most likely a seam of the list. It is one if what lies before it
    parses: within a string or an object, the bracket that is added would not make a list of it.

    Raises:
        DecodeError: It is no JSON, or no list; slices before the fault may have been given.
    """
    text = data.removeprefix(_BOM)
    head = _FIRST.match(text)
    opening, start = b"", 0  # a slice lacks its opening bracket, but for the first
    if head is not None:
        seam = re.compile(rb"\}(\s*,\s*)" + b"(?=" + re.escape(head[1]) + b")")
        size = SLICE
        while (found := seam.search(text, start + size)) is not None:
            at = found.start(1)
            try:
                elements = _elements.decode(opening + text[start:at] + b"]")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                size = 2 * (at - start)  # no seam, or a fault; all tries together stay linear
                continue
            yield elements
            opening, start, size = b"[", found.end(1), SLICE
    yield split(opening + text[start:] if start else data, operation=operation)


def pluck(data: bytes, *, at: Sequence[str]) -> Any:
    """One value out of JSON text, decoded alone; None where it is not there."""
    raw: bytes | Raw = data.removeprefix(_BOM)
    try:
        for name in at:
            raw = _members.decode(raw)[name]
        return _loose.decode(raw)
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def skimmer(row: type[T]) -> Callable[[bytes | Raw], T | None]:
    """A decoder for some members of a JSON object, fast and lenient.

    Args:
        row: An attrs class with the wanted members, wire names in its metadata. Members with a
            default may be missing.

    Returns:
        A function from JSON text to an object with the attributes of ``row``, or to None where
        the text does not fit: one odd element must not spoil a listing.
    """
    hints = get_type_hints(row)
    fields: list[Any] = []
    columns = attrs.fields(cast("Any", row))
    for field in columns:
        has_default = field.default is not attrs.NOTHING
        fields.append(
            (field.name, hints[field.name], field.default)
            if has_default
            else (field.name, hints[field.name])
        )
    renames = {field.name: wire_name(field) for field in columns}
    struct = msgspec.defstruct(row.__name__, fields, kw_only=True, rename=renames, frozen=True)
    decoder = msgspec.json.Decoder(struct)

    def skim(raw: bytes | Raw) -> T | None:
        try:
            return cast("T", decoder.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    return skim
