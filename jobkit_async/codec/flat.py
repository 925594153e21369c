"""Models that msgspec makes as cattrs would, in a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import attrs
import msgspec

from jobkit_async.model import aware, wire_name

__all__ = ["dates_of", "decoder_of", "tell_offsets"]

_SCALARS: Final = (str, int, float, bool, datetime, NoneType, Any)


def dates_of(cls: Any) -> list[str] | None:
    """The fields of a model that hold dates, if it is one that msgspec can be trusted with.

    It is one if its members have their fields' names, and if these are scalars, or lists and
    objects of them, and take what they are given.

    Args:
        cls: An attrs class.
    """
    fields = attrs.fields(attrs.resolve_types(cls))
    if not all(map(_is_plain, fields)):
        return None
    return [field.name for field in fields if datetime in (field.type, *get_args(field.type))]


def tell_offsets(model: Any, dates: Sequence[str]) -> None:
    """Make dates without an offset dates in UTC, in a model that nobody else has yet."""
    for name in dates:
        date = getattr(model, name)
        if date is not None and date.tzinfo is None:
            object.__setattr__(model, name, aware(date))


@cache
def decoder_of(type_: Any) -> Callable[[bytes], Any] | None:
    """What makes such a model, or a list of them, straight from JSON text; None for other types.

    It raises what msgspec raises for all that cattrs is to have a look at.
    """
    is_list = get_origin(type_) is list
    cls = get_args(type_)[0] if is_list else type_
    dates = dates_of(cls) if isinstance(cls, type) and attrs.has(cls) else None
    if dates is None:
        return None
    decode = msgspec.json.Decoder(type_).decode

    def decoded(data: bytes) -> Any:
        value = decode(data)
        for model in value if is_list else (value,):
            tell_offsets(model, dates)
        return value

    return decoded


def _is_plain(field: attrs.Attribute[Any]) -> bool:
    default: Any = field.default
    names = {field.name, field.alias, wire_name(field)}
    takes_self = isinstance(default, _FACTORY) and default.takes_self
    bare = field.init and field.validator is None and field.converter is None
    return len(names) == 1 and bare and not takes_self and _is_known(field.type)


_FACTORY: Final[Any] = attrs.Factory  # a class, although type checkers take it for a function


def _is_known(type_: Any) -> bool:
    if type_ in _SCALARS:
        return True
    arguments = get_args(type_)
    if get_origin(type_) in (Union, UnionType):
        return all(map(_is_known, arguments))
    *keys, inner = arguments or (None,)
    is_container = get_origin(type_) is list or (get_origin(type_) is dict and keys == [str])
    # Dates in there would have to be searched for those that tell no offset.
    return is_container and inner is not datetime and _is_known(inner)
