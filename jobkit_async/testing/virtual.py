"""Virtual time, by the package looptime."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["VirtualTime", "virtual_loop", "virtual_time"]


def _looptime() -> Any:
    try:
        import looptime  # noqa: PLC0415 - a test run that waits for nothing does without
    except ImportError:
        raise RuntimeError(
            "virtual time takes the package looptime: pip install looptime"
        ) from None
    return looptime


def virtual_loop() -> asyncio.AbstractEventLoop:
    """A new event loop in virtual time; a ``loop_factory`` for asyncio.Runner or anyio.

    Raises:
        RuntimeError: The package looptime is not installed.
    """
    loop: asyncio.AbstractEventLoop = _looptime().new_event_loop(start=0.0)
    return loop


class VirtualTime:
    """The time of a test that is virtual.

    Attributes:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._began = loop.time()

    def __repr__(self) -> str:
        return f"<VirtualTime, {self.elapsed:.3f} s>"

    @property
    def elapsed(self) -> float:
        """Seconds of virtual time since its beginning."""
        return self.loop.time() - self._began

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass, with all that happens in them."""
        await asyncio.sleep(seconds)


@contextmanager
def virtual_time(loop: asyncio.AbstractEventLoop | None = None) -> Generator[VirtualTime]:
    """Make an event loop's time virtual for a while.

    Time stands still while something can be done, and leaps to the next timer when nothing can.
    Where a loop's time is virtual already it changes nothing.

    Args:
        loop: The loop; the running one by default.

    Raises:
        RuntimeError: No event loop of asyncio runs, it is of a kind whose time cannot be virtual
            (such as uvloop's), or the package looptime is not installed.
    """
    loop = asyncio.get_running_loop() if loop is None else loop
    if not isinstance(loop, asyncio.BaseEventLoop):
        kind = type(loop).__name__
        raise RuntimeError(  # noqa: TRY004 - it is not an argument's fault
            f"the time of a {kind} cannot be virtual: use asyncio's own event loop"
        )
    began = loop.time()
    patched: Any = _looptime().patch_event_loop(loop, _enabled=False)
    if patched.looptime_on:
        yield VirtualTime(loop)
        return
    with patched.looptime_enabled():
        # Timers that are set stay what they are: virtual time begins with the real one, or where
        # it was left, but not before.
        if loop.time() < began:
            patched.setup_looptime(start=began)
        yield VirtualTime(loop)
