"""What the attrs models need to say about their form on the wire.

Models are plain ``@attrs.frozen(kw_only=True)`` classes. Three things can be said beyond that:

* a field that a request may leave out has the type ``T | None | Unset`` and the default
  :data:`UNSET`: what is unset is not sent, None is sent as ``null``;
* ``@attrs.frozen(kw_only=True, field_transformer=camel)`` names the fields ``camelCase`` on the
  wire;
* ``attrs.field(metadata=wire("name"))`` gives one field its own name on the wire.

In answers a field with a default may be missing or null. A list or dict that is null reads as
empty, and a date without an offset is taken as UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, Literal

import attrs

__all__ = ["UNSET", "Unset", "aware", "camel", "wire", "wire_name"]

_WIRE = "jobkit_async.wire"


class Unset(Enum):
    """The type of :data:`UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET
"""Stands in a request body for a field that is not sent at all."""


def wire(name: str) -> dict[str, Any]:
    """Metadata for :func:`attrs.field`: the field's name on the wire."""
    return {_WIRE: name}


def wire_name(attribute: attrs.Attribute[Any]) -> str:
    """The name of an attrs attribute on the wire; its own name unless something else is said."""
    name: str = attribute.metadata.get(_WIRE, attribute.name)
    return name


def camel(_: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """A ``field_transformer`` for attrs: ``error_message`` is ``errorMessage`` on the wire."""
    return [
        field.evolve(metadata={_WIRE: _camel(field.name), **field.metadata}) for field in fields
    ]


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def aware(date: datetime) -> datetime:
    """A date with a time zone: UTC, where it tells none."""
    # As date.replace() would, which takes up to six times as long before Python 3.13.
    return date if date.tzinfo else datetime.combine(date, date.time(), UTC)
