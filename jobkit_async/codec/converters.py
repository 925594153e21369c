"""How models are structured: strictly in their types, leniently in what is missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin

import attrs
from cattrs import BaseConverter, ClassValidationError, IterableValidationError
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.errors import AttributeValidationNote, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter, make_converter
from msgspec import ValidationError, convert

from jobkit_async.codec.flat import dates_of, tell_offsets
from jobkit_async.model import Unset, aware, wire_name

__all__ = ["locate", "structure_loosely", "structure_strictly"]

LONGEST_KEY = 64
"""The most characters of an object's key that the path of an error shows."""


def _expect(name: str, *types: type) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) in types:
            return value
        raise TypeError(f"{name} is due, not {_name(value)}")

    return hook


def _date(value: Any, _: Any) -> datetime:
    if type(value) is not str:
        raise TypeError(f"a date is due, not {_name(value)}")
    try:
        date = datetime.fromisoformat(value)
    except ValueError:  # whose text shows the value, be it a megabyte or a credential
        raise ValueError("it is no date") from None
    return aware(date)


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


def _quick_model_hook(cls: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
    """By msgspec where it can, and otherwise by cattrs, which takes more and several times as long.

    What msgspec does not take, be it wrong or only another way to write what is right, is left to
    cattrs. Of dates finer than a microsecond it takes the nearest one.
    """
    by_cattrs = _model_hook(cls, converter)
    dates = dates_of(cls)
    if dates is None:
        return by_cattrs

    def hook(value: Any, type_: Any) -> Any:
        try:
            model = convert(value, cls)
        except ValidationError:
            return by_cattrs(value, type_)
        tell_offsets(model, dates)
        return model

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


def _is_optional(type_: Any) -> bool:
    members = get_args(type_)
    is_union = get_origin(type_) in (Union, UnionType)
    return is_union and len(members) == 2 and type(None) in members and Unset not in members


def _optional_hook(type_: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
    """As cattrs' own, but with the inner hook looked up once and not for each value."""
    (inner,) = (member for member in get_args(type_) if member is not type(None))
    build = converter.get_structure_hook(inner)

    def hook(value: Any, _: Any) -> Any:
        return None if value is None else build(value, inner)

    return hook


def _list_hook(type_: Any, converter: BaseConverter, *, strict: bool) -> Callable[[Any, Any], Any]:
    build = list_structure_factory(type_, converter)

    def hook(value: Any, _: Any) -> Any:
        if value is None and not strict:
            return []
        if type(value) is not list:
            raise TypeError(f"a list is due, not {_name(value)}")
        return build(value, type_)

    return hook


def _dict_hook(type_: Any, converter: BaseConverter, *, strict: bool) -> Callable[[Any, Any], Any]:
    build = mapping_structure_factory(type_, converter)

    def hook(value: Any, _: Any) -> Any:
        if value is None and not strict:
            return {}
        if type(value) is not dict:
            raise TypeError(f"an object is due, not {_name(value)}")
        return build(value, type_)

    return hook


def _make(*, detailed: bool, strict: bool) -> MsgspecJsonConverter:
    """A converter.

    Args:
        detailed: Whether its errors tell the place; slower.
        strict: Whether a list or dict that is null is an error, as in what we send.
    """

    def list_hook(type_: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
        return _list_hook(type_, converter, strict=strict)

    def dict_hook(type_: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
        return _dict_hook(type_, converter, strict=strict)

    converter = make_converter(detailed_validation=detailed)
    converter.register_structure_hook(str, _expect("a string", str))
    converter.register_structure_hook(bool, _expect("a boolean", bool))
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(datetime, _date)
    converter.register_structure_hook_factory(attrs.has)(
        _model_hook if detailed or strict else _quick_model_hook
    )
    converter.register_structure_hook_factory(_has_origin(list))(list_hook)
    converter.register_structure_hook_factory(_has_origin(dict))(dict_hook)
    converter.register_structure_hook_factory(_is_unset_union)(_unset_hook)
    converter.register_structure_hook_factory(_is_optional)(_optional_hook)
    return converter


_fast = _make(detailed=False, strict=False)


_slow = _make(detailed=True, strict=False)


_strict = _make(detailed=False, strict=True)


_slow_strict = _make(detailed=True, strict=True)


def locate(value: Any, type_: Any, error: Exception, *, strict: bool = False) -> tuple[str, str]:
    """Where in the value the error is, and what it says. Only taken after a failure: slower."""
    try:
        (_slow_strict if strict else _slow).structure(value, type_)
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
            step = f"[{note.index}]" if isinstance(note.index, int) else f".{_key(note.index)}"
    inner, problem = _walk(first)
    return step + inner, problem


def _key(name: object) -> str:
    """A key for a path; whole or not at all, for half of a credential would not be recognised."""
    text = str(name)
    return text if len(text) <= LONGEST_KEY else "*"


def _say(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return "this member is missing"
    return str(error) or type(error).__name__


structure_loosely = _fast.structure
"""Makes models of what a server sent: a list or dict that is null is empty."""
structure_strictly = _strict.structure
"""Makes models of what is to be sent."""
