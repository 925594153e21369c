"""What polling needs of a listing's elements, without decoding the rest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Generic, TypeVar, cast, get_type_hints

import attrs
import msgspec

from jobkit_async.codec.decoding import NO_JSON, Raw, elements, find, slices
from jobkit_async.model import wire_name

__all__ = ["Skimmed", "Skimmer"]

T = TypeVar("T")


@attrs.frozen
class Skimmed(Generic[T]):
    """What is skimmed of a listing.

    Attributes:
        rows: What is skimmed of each element; None for an odd one, which does not spoil the rest.
    """

    rows: Sequence[T | None]
    _cut: Callable[[], list[Raw]]
    _raws: list[Raw] = attrs.field(factory=list, init=False)

    def raw(self, index: int) -> Raw:
        """An element itself. All are cut out for the first of them, and for most looks none is."""
        if not self._raws:
            self._raws.extend(self._cut())
        return self._raws[index]


class Skimmer(Generic[T]):
    """Decodes some members of JSON objects, fast and leniently.

    Args:
        row: An attrs class with the wanted members, wire names in its metadata. Members with a
            default may be missing.
    """

    def __init__(self, row: type[T]) -> None:
        self._row = row

    @cached_property  # many a program that imports a service never looks at its jobs
    def _one(self) -> Any:
        row = self._row
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
        return msgspec.json.Decoder(struct)

    @cached_property
    def _all(self) -> Any:
        struct: Any = self._one.type
        return msgspec.json.Decoder(list[struct])

    def __repr__(self) -> str:
        return f"<Skimmer of {self._row.__name__}>"

    def __call__(self, data: bytes | Raw) -> T | None:
        """An object with the attributes of the row, or None where the text does not fit."""
        try:
            row: T = self._one.decode(data)
        except NO_JSON:
            return None
        return row

    def all(self, data: bytes, *, at: Sequence[str] = (), operation: str) -> Skimmed[T]:
        """What is skimmed of each element of a listing.

        Args:
            data: The text with the listing in it.
            at: Names of the members that lead to it.
            operation: Name of the operation, for errors.

        Raises:
            DecodeError: It is no JSON, or there is no list at that place.
        """
        return self.elements(find(data, at=at, operation=operation), at=at, operation=operation)

    def elements(self, listing: Raw, *, at: Sequence[str] = (), operation: str) -> Skimmed[T]:
        """The same of a listing that was found before."""
        cut = partial(elements, listing, at=at, operation=operation)
        try:
            rows: list[T | None] = self._all.decode(listing)
        except NO_JSON:
            rows = [self(raw) for raw in cut()]
        return Skimmed(rows, cut)

    def slices(self, data: bytes, *, operation: str) -> Iterator[Skimmed[T]]:
        """The same of a large listing, about a mebibyte at a time; see :func:`split_slices`."""
        return slices(data, partial(self.all, operation=operation))
