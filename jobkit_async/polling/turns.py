"""How long the event loop is kept at one go: work on many jobs is done a slice at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from itertools import islice
from typing import Final, TypeVar

__all__ = ["SLICE", "in_slices"]

ItemT = TypeVar("ItemT")

SLICE: Final = 128
"""Jobs that are dealt with before the event loop gets its turn."""


async def in_slices(items: Iterable[ItemT]) -> AsyncGenerator[list[ItemT]]:
    """Items in lists of at most :data:`SLICE`; the loop gets its turn between two of them."""
    rest = iter(items)
    piece = list(islice(rest, SLICE))
    while piece:
        yield piece
        if len(piece) < SLICE:
            break
        await asyncio.sleep(0)
        piece = list(islice(rest, SLICE))
