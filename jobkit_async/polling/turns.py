"""Turns of the event loop: how long work on many jobs keeps it, and how soon it may come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from itertools import islice
from typing import Final, TypeVar

__all__ = ["SLICE", "TICK", "in_slices"]

ItemT = TypeVar("ItemT")

SLICE: Final = 128
"""Jobs that are dealt with before the event loop gets its turn."""
TICK: Final = 1e-5
"""Seconds by which a look may come early: timers fire a tick of the loop's clock too soon."""


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
