"""A path that leads to no regular file: a pipe, a terminal, a device."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path
from typing import Final

import anyio.to_thread

__all__ = ["Pipe"]

SIZE: Final = 1 << 18
"""The most bytes that are read at a time."""
LOOK: Final = 0.05
"""Seconds between two looks at a pipe, where the system does not tell that nobody writes yet."""
TOLD: Final = sys.platform == "linux"
"""Whether a pipe that nobody has opened for writing yet differs from one that has ended."""
# Opening a pipe would wait for somebody who writes, and nothing could end that.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Pipe:
    """What can be read but once. Whoever waits for it can be cancelled: no thread is left waiting.

    Args:
        path: Where it is.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._fd: int | None = os.open(path, _FLAGS)
        self._may_be_unopened = not TOLD and stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        self._first: bytes | None = None

    async def begin(self) -> None:
        """Wait until there is something to be read, or its end."""
        while self._first is None:
            first = await self._take()
            if first or not self._may_be_unopened:
                self._first = first
            else:
                await asyncio.sleep(LOOK)

    async def read(self) -> bytes:
        """What is there, as soon as there is something; nothing at the end."""
        await self.begin()
        first, self._first = self._first, b""
        return first or await self._take()

    def close(self) -> None:
        """Close it. Can be repeated."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    async def _take(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            fd = self._fd
            if fd is None:
                raise OSError("it was closed")
            ready = asyncio.Event()
            try:
                loop.add_reader(fd, ready.set)
            except (OSError, NotImplementedError):  # it cannot be waited for, so it does not wait
                return await anyio.to_thread.run_sync(os.read, fd, SIZE)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(fd)
            try:
                return os.read(fd, SIZE)
            except BlockingIOError:
                pass  # somebody else has read it
