"""Arguments for operations of which nothing is known but their rows."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from jobkit_async.endpoint import Endpoint, Param
from jobkit_async.model import Unset

__all__ = ["arguments_of", "sample"]


def arguments_of(row: Endpoint, *, every: bool) -> tuple[Any, ...]:
    """Arguments of an operation in the order of its parameters.

    Args:
        row: The operation.
        every: Whether the optional ones are there too; they are None otherwise.
    """
    return tuple(sample(param) if param.required or every else None for param in row.params)


def sample(param: Param) -> Any:
    """An argument that a parameter allows."""
    if param.words is not None:
        word = next(iter(param.words)).value
        return [word] if param.is_list else word
    if param.element is int:
        least, most = param.least, param.most
        number = least if least is not None else most if most is not None else 1
        return [number] if param.is_list else number
    return _value(param.type)


def _value(hint: Any) -> Any:
    """A value of a type."""
    plain: dict[Any, Any] = {
        Any: "any",
        str: "sample",
        int: 1,
        float: 0.5,
        bool: True,
        bytes: b"sample",
        dict: {"name": "value"},
        datetime: datetime(2026, 3, 1, 10, tzinfo=UTC),
    }
    if hint in plain:
        return plain[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is list:
        return [_value(inner[0])]
    if origin is dict:
        return {"name": _value(inner[1])}
    if origin in {UnionType, Union}:
        return _value(next(one for one in inner if one not in (NoneType, Unset)))
    if attrs.has(hint):
        hints = get_type_hints(hint)
        fields = [field for field in attrs.fields(hint) if field.default is attrs.NOTHING]
        return hint(**{field.alias: _value(hints[field.name]) for field in fields})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    raise TypeError(f"no sample can be made of {hint!r}")
