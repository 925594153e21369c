"""All items of a listing that comes in pages, though it changes while they are read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from typing import Final, TypeVar

__all__ = ["PAGE", "all_items"]

ItemT = TypeVar("ItemT")

PAGE: Final = 100
"""Items that are asked for at once."""
OVERLAP: Final = 2
"""Items by which a page reaches back into the one before. One that is seen again proves that
nothing lies between the two; the other bears with services that count positions from 0 and from 1.
"""
STALLED: Final = 8
"""Pages in a row without anything new after which a listing is taken to have no more."""


async def all_items(
    fetch: Callable[[int, int], Awaitable[tuple[Sequence[ItemT], int | None]]],
    key: Callable[[ItemT], Hashable],
    *,
    size: int = PAGE,
) -> AsyncGenerator[ItemT, None]:
    """The items of a listing, each once, in its order.

    Pages shift: what is added before the place that was reached moves the rest back, and shows
    items twice; what is removed there moves the rest up, so that the next page leaves some out.
    Hence each page reaches back into the one before, and if nothing in it has been seen already,
    the way is gone back until something has. So no item is left out that is in the listing from
    first to last, as long as the items that stay keep their order. One that comes or goes meanwhile
    may be among them or not.

    Args:
        fetch: Reads a page, by the number of items to leave out and the most to return. It gives
            the items, and how many there are in all, where that is told.
        key: What tells one item from another.
        size: The most items of a page, above :data:`OVERLAP`.
    """
    seen: set[Hashable] = set()
    offset, stalled, longest = 0, 0, 0
    while True:
        page, total = await fetch(offset, size)
        keys = [key(item) for item in page]
        if offset and seen.isdisjoint(keys):
            offset = max(0, offset - size)
            continue
        known = len(seen)
        for name, item in zip(keys, page, strict=True):
            if name not in seen:
                seen.add(name)
                yield item
        stalled = stalled + 1 if len(seen) == known else 0
        longest = max(longest, len(page))
        reached = offset + len(page)
        over = not page or (total is not None and reached >= total)
        if over or stalled == STALLED or (stalled and len(page) < longest):
            return
        offset = max(reached - OVERLAP, offset + 1)
