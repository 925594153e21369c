"""Bytes to attrs models and back; the only module that knows cattrs and msgspec.

Its errors tell the place, and leave the body to those who know what in it is secret. Full models
are structured by cattrs, strictly: a number is no string and a string no number, so
that an answer of the wrong shape is an error with a place and not a surprise later. Listings can
be split into raw slices first, of which only what polling needs is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs
import msgspec
from cattrs import BaseConverter, ClassValidationError, IterableValidationError
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.errors import AttributeValidationNote, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter, make_converter

from jobkit_async.errors import DecodeError, InvalidArgument
from jobkit_async.model import UNSET, Unset, wire_name

__all__ = [
    "Raw",
    "decode",
    "encode",
    "parse",
    "pluck",
    "secrets_of",
    "skimmer",
    "split",
    "structure",
]

T = TypeVar("T")

Raw = msgspec.Raw
"""A slice of JSON text that has not been decoded."""

_BOM: Final = b"\xef\xbb\xbf"
_loose = msgspec.json.Decoder()
_members = msgspec.json.Decoder(dict[str, Raw])
_elements = msgspec.json.Decoder(list[Raw])


# -- answers


def parse(data: bytes, *, operation: str) -> Any:
    """Decode JSON text into plain dicts and lists.

    Args:
        data: The text, UTF-8; a byte order mark is tolerated.
        operation: Name of the operation, for the error.

    Raises:
        DecodeError: It is no JSON, or nested too deeply.
    """
    data = data.removeprefix(_BOM)
    try:
        return _loose.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = "the answer is empty" if not data.strip() else f"no JSON: {error}"
        raise DecodeError(problem, operation=operation) from error


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
        return _fast.structure(value, type_)
    except Exception as error:
        inner, problem = _locate(value, type_, error)
        raise DecodeError(problem, operation=operation, path=place + inner) from error


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


# -- requests


def encode(argument: str, value: object, type_: Any = dict) -> bytes:
    """Encode a request body; what is :data:`~jobkit_async.model.UNSET` is left out.

    Args:
        argument: Name of the argument, for the error.
        value: An attrs model or a mapping.
        type_: The model class that is due, or dict for any JSON object.

    Raises:
        InvalidArgument: It is of another type, or holds what JSON cannot express.
    """
    if type_ is dict:
        if not isinstance(value, Mapping):
            raise InvalidArgument(argument, f"a mapping is due, not {type(value).__name__}")
    elif not isinstance(value, type_):
        raise InvalidArgument(argument, f"a {type_.__name__} is due, not {type(value).__name__}")
    try:
        plain = _plain(value, argument)
    except RecursionError as error:
        raise InvalidArgument(argument, "nested too deeply, or within itself") from error
    if type_ is not dict:
        try:
            _fussy.structure(plain, type_)
        except Exception as error:
            inner, problem = _locate(plain, type_, error, fussy=True)
            raise InvalidArgument(argument + inner, problem) from error
    try:
        return msgspec.json.encode(plain)
    except (UnicodeEncodeError, OverflowError, ValueError) as error:
        raise InvalidArgument(argument, f"JSON cannot express it: {error}") from error


def secrets_of(model: object) -> list[str]:
    """Texts in a model that its repr does not show: credentials."""
    if not attrs.has(type(model)):
        return []
    hidden = (
        getattr(model, field.name)
        for field in attrs.fields(cast(Any, type(model)))
        if field.repr is False
    )
    return [value for value in hidden if isinstance(value, str)]


def _plain(value: object, place: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(place, "the text holds a lone surrogate") from None
        return str.__str__(value)  # an enumeration's member goes out by its value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgument(place, f"JSON cannot express {value}")
        return value
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if attrs.has(type(value)):
        return {
            wire_name(field): _plain(member, f"{place}.{field.name}")
            for field in attrs.fields(cast("Any", type(value)))
            if (member := getattr(value, field.name)) is not UNSET
        }
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidArgument(place, f"the key {key!r} is no string")
        return {str(key): _plain(member, f"{place}.{key}") for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(element, f"{place}[{index}]") for index, element in enumerate(value)]
    raise InvalidArgument(place, f"JSON cannot express a {type(value).__name__}")


# -- the converters


def _expect(name: str, *types: type) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) in types:
            return value
        raise TypeError(f"{name} is due, not {_name(value)}")

    return hook


def _date(value: Any, _: Any) -> datetime:
    if type(value) is not str:
        raise TypeError(f"a date is due, not {_name(value)}")
    date = datetime.fromisoformat(value)
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _number(value: Any, _: Any) -> float:
    if type(value) in (int, float):
        return float(value)
    raise TypeError(f"a number is due, not {_name(value)}")


def _integer(value: Any, _: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise TypeError(f"a whole number is due, not {_name(value)}")


def _name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _model_hook(cls: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
    attrs.resolve_types(cls)
    renames = {
        field.name: override(rename=wire_name(field))
        for field in attrs.fields(cls)
        if wire_name(field) != field.name
    }
    build = make_dict_structure_fn(
        cls,
        converter,
        _cattrs_detailed_validation=converter.detailed_validation,
        **cast("Any", renames),
    )

    def hook(value: Any, type_: Any) -> Any:
        if type(value) is not dict:
            raise TypeError(f"an object is due, not {_name(value)}")
        return build(value, type_)

    return hook


def _has_origin(origin: object) -> Callable[[Any], bool]:
    return lambda type_: get_origin(type_) is origin


def _is_unset_union(type_: Any) -> bool:
    return get_origin(type_) in (Union, UnionType) and Unset in get_args(type_)


def _unset_hook(type_: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
    rest = tuple(member for member in get_args(type_) if member is not Unset)
    inner: Any = reduce(or_, rest)
    build = converter.get_structure_hook(inner)

    def hook(value: Any, _: Any) -> Any:
        return build(value, inner)

    return hook


def _list_hook(type_: Any, converter: BaseConverter, *, fussy: bool) -> Callable[[Any, Any], Any]:
    build = list_structure_factory(type_, converter)

    def hook(value: Any, _: Any) -> Any:
        if value is None and not fussy:
            return []
        if type(value) is not list:
            raise TypeError(f"a list is due, not {_name(value)}")
        return build(value, type_)

    return hook


def _dict_hook(type_: Any, converter: BaseConverter, *, fussy: bool) -> Callable[[Any, Any], Any]:
    build = mapping_structure_factory(type_, converter)

    def hook(value: Any, _: Any) -> Any:
        if value is None and not fussy:
            return {}
        if type(value) is not dict:
            raise TypeError(f"an object is due, not {_name(value)}")
        return build(value, type_)

    return hook


def _make(*, detailed: bool, fussy: bool) -> MsgspecJsonConverter:
    """A converter.

    Args:
        detailed: Whether its errors tell the place; slower.
        fussy: Whether a list or dict that is null is an error, as in what we send.
    """

    def list_hook(type_: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
        return _list_hook(type_, converter, fussy=fussy)

    def dict_hook(type_: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
        return _dict_hook(type_, converter, fussy=fussy)

    converter = make_converter(detailed_validation=detailed)
    converter.register_structure_hook(str, _expect("a string", str))
    converter.register_structure_hook(bool, _expect("a boolean", bool))
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(datetime, _date)
    converter.register_structure_hook_factory(attrs.has)(_model_hook)
    converter.register_structure_hook_factory(_has_origin(list))(list_hook)
    converter.register_structure_hook_factory(_has_origin(dict))(dict_hook)
    converter.register_structure_hook_factory(_is_unset_union)(_unset_hook)
    return converter


def _locate(value: Any, type_: Any, error: Exception, *, fussy: bool = False) -> tuple[str, str]:
    """Where in the value the error is, and what it says. Only taken after a failure: slower."""
    try:
        (_slow_fussy if fussy else _slow).structure(value, type_)
    except (ClassValidationError, IterableValidationError) as group:
        return _walk(group)
    except Exception as single:  # noqa: BLE001 - see structure()
        error = single
    return "", _say(error)


def _walk(error: BaseException) -> tuple[str, str]:
    if not isinstance(error, ClassValidationError | IterableValidationError):
        return "", _say(error)
    first = error.exceptions[0]
    step = ""
    for note in getattr(first, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            cls = error.cl if isinstance(error, ClassValidationError) else None
            known = attrs.fields_dict(cls) if cls is not None else {}
            step = "." + (wire_name(known[note.name]) if note.name in known else note.name)
        elif isinstance(note, IterableValidationNote):
            step = f"[{note.index}]" if isinstance(note.index, int) else f".{note.index}"
    inner, problem = _walk(first)
    return step + inner, problem


def _say(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return "this member is missing"
    return str(error) or type(error).__name__


_fast = _make(detailed=False, fussy=False)
_slow = _make(detailed=True, fussy=False)
_fussy = _make(detailed=False, fussy=True)
_slow_fussy = _make(detailed=True, fussy=True)
