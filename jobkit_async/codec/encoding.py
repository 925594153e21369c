"""Models to bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import attrs
import msgspec

from jobkit_async.checks import check_text
from jobkit_async.codec.converters import locate, structure_strictly
from jobkit_async.errors import InvalidArgument
from jobkit_async.model import UNSET, aware, wire_name

__all__ = ["encode", "plain", "secrets_of"]


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
            structure_strictly(plain, type_)
        except Exception as error:
            inner, problem = locate(plain, type_, error, strict=True)
            raise InvalidArgument(argument + inner, problem) from error
    try:
        return msgspec.json.encode(plain)
    except (UnicodeEncodeError, OverflowError, ValueError) as error:
        raise InvalidArgument(argument, f"JSON cannot express it: {error}") from error


def plain(value: object) -> Any:
    """What an operation returned, models or not, as JSON has it, by the names on the wire.

    Raises:
        InvalidArgument: JSON cannot express it.
    """
    return _plain(value, "value")


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
        return check_text(place, value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgument(place, f"JSON cannot express {value}")
        return value
    if isinstance(value, datetime):
        return aware(value).isoformat()
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
