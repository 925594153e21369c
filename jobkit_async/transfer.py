"""Files on their way in and out: what an upload takes and what a download gives."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
import stat
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from email.message import EmailMessage
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import IO, Any, BinaryIO, Final, Protocol, Self, TypeAlias, cast
from uuid import uuid4

import anyio
import anyio.to_thread
import attrs

from jobkit_async.errors import ConnectionLost, InvalidArgument

__all__ = ["CHUNK", "Content", "Download", "Source", "Stream", "Upload"]

_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+(?:\s*;[ -~]*)?", re.ASCII)

CHUNK: Final = 1 << 18
"""Bytes read from a file at a time."""

IDLE: Final = 60.0
"""Seconds after which an unread download gives its connection back."""

Source: TypeAlias = (
    bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO | AsyncIterable[bytes]
)
"""Where an upload's bytes come from; a str is a path."""


@attrs.frozen
class Upload:
    """Something to upload, with a name and a type of its own.

    Operations take the data itself too; this class is for saying more about it.

    Attributes:
        data: Bytes, a path, an open binary file, or an async iterable of bytes. A file is sent
            from its present position, and left open.
        name: File name to give to the service; the path's base name by default.
        content_type: Media type; guessed from the name by default.
    """

    data: Source = attrs.field(repr=lambda value: f"<{type(value).__name__}>")
    name: str | None = None
    content_type: str | None = None


Content: TypeAlias = Source | Upload
"""What an operation's upload argument takes."""


class Cargo:
    """An upload that has been checked, and can tell how it is to be sent.

    Args:
        argument: Name of the operation's argument, for errors.
        content: What the caller passed.

    Attributes:
        argument: Name of the operation's argument.
        name: File name to give to the service.
        content_type: Media type.
        failure: How reading the source failed, if it did.
        spent: Whether the source has been read to its end, or as far as it went.
        moved_at: Loop time at which the last bytes were taken from it.

    Raises:
        InvalidArgument: It is none of the kinds that can be uploaded, or its name is no file name.
    """

    def __init__(self, argument: str, content: object) -> None:
        upload = content if isinstance(content, Upload) else Upload(cast(Any, content))
        data = upload.data
        self.argument = argument
        self.failure: BaseException | None = None
        self._data: bytes | None = None
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._stream: AsyncIterable[bytes] | None = None
        self._start = 0
        self._opened: IO[Any] | None = None
        self.spent = False
        self.moved_at = 0.0
        name: object = "file"
        if isinstance(data, bytes | bytearray | memoryview):
            self._data = bytes(data)
        elif isinstance(data, str | os.PathLike):
            self._path = Path(data)
            name = self._path.name
        elif isinstance(data, AsyncIterable):
            self._stream = data
        elif callable(getattr(data, "read", None)) and not _is_text(data):
            self._file = data
            self._start = self._begin(data)
            given = getattr(data, "name", None)  # a number for a file without one
            name = os.path.basename(given) if isinstance(given, str) else name  # noqa: PTH119
        else:
            raise InvalidArgument(
                argument,
                "bytes, a path, a binary file, an async iterable of bytes or an Upload is due, "
                f"not {type(data).__name__}",
            )
        self.name = _file_name(argument, name if upload.name is None else upload.name)
        guessed = mimetypes.guess_type(self.name)[0] or "application/octet-stream"
        kind: object = guessed if upload.content_type is None else upload.content_type
        if not isinstance(kind, str) or not _MEDIA_TYPE.fullmatch(kind):
            raise InvalidArgument(argument, f"{kind!r} is no media type")
        self.content_type = kind

    def _begin(self, file: BinaryIO) -> int:
        """The position from which an open file is sent."""
        try:
            if not file.readable():
                raise InvalidArgument(self.argument, "the file is not open for reading")
            return file.tell() if file.seekable() else 0
        except (OSError, ValueError) as error:
            if isinstance(error, InvalidArgument):
                raise
            raise InvalidArgument(self.argument, f"the file cannot be read: {error}") from error

    @property
    def rewindable(self) -> bool:
        """Whether the bytes can be sent again."""
        if self._stream is not None:
            return False
        return self._file is None or self._file.seekable()

    async def check(self) -> None:
        """See that the bytes are there, before anything is sent.

        Raises:
            InvalidArgument: The path leads to no readable file.
        """
        await self.size()
        if self._path is not None:
            try:
                async with await anyio.open_file(self._path, "rb"):
                    pass
            except OSError as error:
                raise InvalidArgument(
                    self.argument, f"cannot read {self._path}: {error}"
                ) from error

    async def size(self) -> int | None:
        """Number of bytes, or None where only sending them will tell.

        Raises:
            InvalidArgument: The path leads to no file.
        """
        if self._data is not None:
            return len(self._data)
        if self._path is not None:
            path = self._path
            try:
                status = await anyio.to_thread.run_sync(path.stat)
            except (OSError, ValueError) as error:
                raise InvalidArgument(self.argument, f"cannot read {path}: {error}") from error
            if stat.S_ISDIR(status.st_mode):
                raise InvalidArgument(self.argument, f"{path} is a folder")
            return status.st_size if stat.S_ISREG(status.st_mode) else None
        if self._file is not None and self._file.seekable():
            return await anyio.to_thread.run_sync(self._measure, self._file)
        return None

    def _measure(self, file: BinaryIO) -> int:
        end = file.seek(0, os.SEEK_END)
        file.seek(self._start)
        return max(0, end - self._start)

    async def chunks(self, size: int | None) -> AsyncIterator[bytes]:
        """The bytes, from the start at each call.

        Args:
            size: How many were announced; None if their number was left open.

        Raises:
            InvalidArgument: The source cannot be rewound, yields something else than bytes, or
                ends before the number that was announced.
        """
        try:
            if self.spent and not self.rewindable:
                raise InvalidArgument(self.argument, "it was read before, and can't be rewound")
            self.spent = False
            left = size
            async for chunk in self._read():
                if not isinstance(chunk, bytes | bytearray | memoryview):
                    raise InvalidArgument(
                        self.argument, f"the source yields {type(chunk).__name__}, not bytes"
                    )
                part = bytes(chunk if left is None else chunk[:left])
                left = None if left is None else left - len(part)
                self.moved_at = asyncio.get_running_loop().time()
                if part:
                    yield part
                if left == 0:
                    break
            if left:
                raise InvalidArgument(self.argument, f"the file has shrunk by {left} bytes")
        except Exception as error:
            self.failure = error
            raise
        finally:
            self.spent = True
            self.close()

    def close(self) -> None:
        """Close the file that a path led to; the caller's own stays open."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    async def _read(self) -> AsyncIterator[Any]:
        if self._data is not None:
            view = memoryview(self._data)
            for start in range(0, len(view), CHUNK):
                yield view[start : start + CHUNK]
        elif self._stream is not None:
            async for chunk in self._stream:
                yield chunk
        else:
            file = await self._readable()
            while chunk := await anyio.to_thread.run_sync(file.read, CHUNK):
                yield chunk

    async def _readable(self) -> IO[bytes]:
        """The file to read from, at the position to begin at."""
        if self._file is not None:
            if self._file.seekable():
                await anyio.to_thread.run_sync(self._file.seek, self._start)
            return self._file
        assert self._path is not None  # noqa: S101 - it is one of four
        self._opened = opened = await anyio.to_thread.run_sync(self._path.open, "rb")
        return cast(IO[bytes], opened)


def _is_text(file: Any) -> bool:
    return hasattr(file, "encoding") or not hasattr(file, "seekable")


def _file_name(argument: str, name: object) -> str:
    if not isinstance(name, str) or not name or not all(map(_is_plain, name)):
        raise InvalidArgument(argument, f"{name!r} is no name for a file")
    return name


def _is_plain(letter: str) -> bool:
    """Whether a letter is neither a control character nor a lone surrogate."""
    return ord(letter) >= 32 and ord(letter) != 127 and not 0xD800 <= ord(letter) < 0xE000


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
        part = target.with_name(f".{uuid4().hex}.part")
        try:
            async with await anyio.open_file(part, "wb") as file:
                async for chunk in self:
                    await file.write(chunk)
            await part.replace(target)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await part.unlink(missing_ok=True)
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
