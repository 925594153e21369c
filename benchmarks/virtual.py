"""Coroutines in virtual time: hours of waiting pass at once."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime

__all__ = ["run"]

ResultT = TypeVar("ResultT")


def run(main: Coroutine[Any, Any, ResultT], *, sockets: bool = False) -> ResultT:
    """Run a coroutine to its end, in a loop of its own whose time begins at 0.

    Args:
        main: The coroutine.
        sockets: Whether it talks over sockets, which time then gives more chances to be heard.
    """
    loop = looptime.new_event_loop(start=0.0, noop_cycles=42 if sockets else 2)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
