"""A file on its way to the disk, under a name of its own until it is whole."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

import anyio.to_thread

__all__ = ["PartFile"]

BATCH: Final = 1 << 22
"""Bytes that are handed to a thread at a time: a thread costs more than writing a small chunk."""
PIECE: Final = 1 << 17
"""Bytes that small chunks are put together to. Larger ones reach the system as they are: to put all
of them together would cost more than the thread, and so would one write of a whole batch."""
SMALLEST: Final = 1 << 12
"""Bytes that a chunk counts for at least: very small ones take more memory than they hold."""


class PartFile:
    """A new file beside its target; use it with ``async with``, after which it is closed, and gone.

    While a thread writes some of it, the next of it is taken.

    Args:
        target: What it is to become.

    Raises:
        OSError: It cannot be made there.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f".{uuid4().hex}.part")
        # Opened, closed and removed here, not in threads: a cancelled task leaves its thread
        # alone with what it does, and a file opened there would stay behind.
        self._file = self._path.open("wb", buffering=PIECE)
        self._batch: list[bytes] = []
        self._in_thread: list[bytes] = []
        self._size = 0
        self._anew = False
        self._writing: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._writing is not None:
                await asyncio.wait([self._writing])
        finally:
            if self._writing is not None and self._writing.done():
                self._writing.exception()  # retrieved: nobody wants the file any more
            with suppress(OSError):  # finish() has closed the others
                self._file.close()
            self._path.unlink(missing_ok=True)

    async def write(self, chunk: bytes) -> None:
        """Append a chunk, soon.

        Raises:
            OSError: The disk does not take what was written.
        """
        if self._anew:
            await self._begin_anew()
        self._batch.append(chunk)
        self._size += max(len(chunk), SMALLEST)
        if self._size >= BATCH:
            await self._flush()

    def restart(self) -> None:
        """Drop all that was written, soon."""
        self._anew = True

    async def finish(self) -> None:
        """Write what is left, and let it take the place of the target.

        Raises:
            OSError: The disk does not take it, or not under this name.
        """
        if self._anew:
            await self._begin_anew()
        await self._flush()
        await self._written()
        self._file.close()
        self._path.replace(self._target)

    async def _begin_anew(self) -> None:
        await self._written()
        self._anew = False
        self._batch.clear()
        self._size = 0
        self._file.seek(0)
        self._file.truncate()

    async def _flush(self) -> None:
        await self._written()
        if self._batch:
            self._in_thread, self._batch, self._size = self._batch, [], 0
            write = anyio.to_thread.run_sync(self._file.writelines, self._in_thread)
            self._writing = asyncio.ensure_future(write)

    async def _written(self) -> None:
        """Wait for the thread, and raise what it has met with."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            writing, self._writing = self._writing, None
            self._in_thread.clear()  # a thread holds on to it until it has something else to do
            writing.result()
