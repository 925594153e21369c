"""What a download gives."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from email.message import EmailMessage
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import Final, Protocol, Self
from uuid import uuid4

import anyio

from jobkit_async.errors import ConnectionLost

__all__ = ["Download", "Stream"]

IDLE: Final = 60.0
"""Seconds after which an unread download gives its connection back."""


class Stream(Protocol):
    """An answer's body on its way in; what a download needs of the transport."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer; names compare without case."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, decompressed."""
        ...

    def close(self) -> None:
        """Give the connection back, unread."""


class Download:
    """A file from the service, streamed.

    It holds a pooled connection until it is read to the end, closed, left (``async with``), or
    has been idle for a minute::

        async with await client.jobs.get_job_file(job.id) as download:
            path = await download.save(folder)

    Attributes:
        filename: Name that the service gives to it, without any folders; None if it gives none.
        size: Number of bytes, where the service tells.
        content_type: Media type, where the service tells.
    """

    def __init__(self, stream: Stream, *, operation: str) -> None:
        self._stream = stream
        self._operation = operation
        self._state = "open"
        headers = stream.headers
        length = headers.get("Content-Length", "")
        self.size = (
            int(length) if length.isdecimal() and "Content-Encoding" not in headers else None
        )
        self.content_type = headers.get("Content-Type")
        self.filename = _filename(headers.get("Content-Disposition"))
        self._timer: asyncio.TimerHandle | None = None
        self._rest()

    def __repr__(self) -> str:
        return f"<Download {self.filename or 'without a name'}, {self.size} bytes, {self._state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back. Can be repeated."""
        self._end("closed")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The file's bytes, in chunks as they come.

        Raises:
            ConnectionLost: The file breaks off, or the download was closed before its end.
        """
        if self._state == "read":
            return
        if self._state != "open":
            raise ConnectionLost(
                f"{self._operation}: the download is {self._state}", operation=self._operation
            )
        chunks = self._stream.chunks()
        try:
            while True:
                self._busy()
                chunk = await anext(chunks, None)
                if chunk is None:
                    break
                self._rest()
                yield chunk
                if self._state != "open":
                    raise ConnectionLost(
                        f"{self._operation}: the download was {self._state} while it was read",
                        operation=self._operation,
                    )
            self._end("read")
        finally:
            self._end("closed")

    async def read(self) -> bytes:
        """The whole file, in memory."""
        return b"".join([chunk async for chunk in self])

    async def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file to disk; a transfer that breaks off leaves nothing behind.

        Args:
            path: Where to: a file, or a folder that exists, in which the service's name for it
                is used (``download`` if it gives none). A file that is there is replaced.

        Returns:
            The path of the file.
        """
        target = anyio.Path(path)
        if await target.is_dir():
            target = target / (self.filename or "download")
        part = Path(target.with_name(f".{uuid4().hex}.part"))
        try:
            # Opened, closed and removed here, not in threads: a cancelled task leaves its thread
            # alone with what it does, and a file opened there would stay behind.
            with part.open("wb") as raw:  # noqa: ASYNC230
                file = anyio.wrap_file(raw)
                async for chunk in self:
                    await file.write(chunk)
            part.replace(target)  # noqa: ASYNC240
        except BaseException:
            part.unlink(missing_ok=True)  # noqa: ASYNC240
            raise
        finally:
            self.close()
        return Path(target)

    # -- the connection

    def _busy(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rest(self) -> None:
        self._busy()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(IDLE, self._end, f"closed after {IDLE:g} s without a read")

    def _end(self, state: str) -> None:
        self._busy()
        if self._state == "open":
            self._state = state
            self._stream.close()


def _filename(disposition: str | None) -> str | None:
    """The file name in a Content-Disposition header, reduced to a plain name."""
    if not disposition:
        return None
    message = EmailMessage()
    try:
        message["Content-Disposition"] = disposition
        name = message.get_filename()
    except (ValueError, IndexError, LookupError):
        return None
    if not name:
        return None
    name = PureWindowsPath(PurePosixPath(name).name).name
    name = "".join(letter for letter in name if letter.isprintable()).strip(". ")
    return name or None
