"""What an upload takes, and how it is read."""

from __future__ import annotations

import asyncio
import inspect
import mimetypes
import os
import re
import stat
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, TypeAlias, cast

import anyio
import anyio.to_thread
import attrs

from jobkit_async.errors import InvalidArgument
from jobkit_async.transfer.pipe import Pipe

__all__ = ["CHUNK", "Content", "Progress", "Source", "Upload", "UploadBody", "check_progress"]

_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+(?:\s*;[ -~]*)?", re.ASCII)

CHUNK: Final = 1 << 18
"""The most bytes that are handed on at a time."""
BATCH: Final = 1 << 20
"""Bytes read from a file at a time: a thread costs more than reading a small chunk."""

Source: TypeAlias = (
    bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO | AsyncIterable[bytes]
)
"""Where an upload's bytes come from; a str is a path. A path to a pipe is read but once."""

Progress: TypeAlias = Callable[[int, int | None], object]
"""Told how a transfer goes: the bytes that are done, and the number of all, None if not known."""


@attrs.frozen
class Upload:
    """Something to upload, with a name and a type of its own.

    Operations take the data itself too; this class is for saying more about it.

    Attributes:
        data: Bytes, a path, an open binary file, or an async iterable of bytes. A file is sent
            from its present position, and left open.
        name: File name to give to the service; the path's base name by default.
        content_type: Media type; guessed from the name by default.
        progress: Called in the event loop with the bytes that have been handed to the network and
            the number of all, or None where only sending them will tell. It begins anew if the
            upload has to be repeated. What it raises ends the upload, and is raised by the call.
    """

    data: Source = attrs.field(repr=lambda value: f"<{type(value).__name__}>")
    name: str | None = None
    content_type: str | None = None
    progress: Progress | None = attrs.field(default=None, repr=False)


Content: TypeAlias = Source | Upload
"""What an operation's upload argument takes."""


class UploadBody:
    """An upload that has been checked, and can tell how it is to be sent.

    Args:
        argument: Name of the operation's argument, for errors.
        content: What the caller passed.

    Attributes:
        argument: Name of the operation's argument.
        name: File name to give to the service.
        content_type: Media type.
        failure: What to raise because the source, or the callback, failed; None if none did.
        awaited: Whether the next bytes are waited for, so that nothing else can go on.
        spent: Whether the source has been read to its end, or as far as it went.
        taken: Bytes taken from it since its last start.
        moved_at: Loop time at which something was last seen to go on.
        unsent: Tells how many of the bytes taken have not left this machine yet, as far as known.

    Raises:
        InvalidArgument: It is none of the kinds that can be uploaded, or its name is no file name.
    """

    def __init__(self, argument: str, content: object) -> None:
        upload = content if isinstance(content, Upload) else Upload(cast(Any, content))
        data = upload.data
        self.argument = argument
        self.failure: Exception | None = None
        self._progress = check_progress(upload.progress)
        self._data: bytes | None = None
        self._path: Path | None = None
        self._regular = True
        self._pipe: Pipe | None = None
        self._file: BinaryIO | None = None
        self._stream: AsyncIterable[bytes] | None = None
        self._start = 0
        self._opened: IO[Any] | None = None
        self.awaited = False
        self.spent = False
        self.taken = 0
        self.moved_at = 0.0
        self.unsent: Callable[[], int] = lambda: 0
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
        if self._stream is not None or not self._regular:
            return False
        return self._file is None or self._file.seekable()

    async def check(self) -> None:
        """See that the bytes are there, before anything is sent.

        Raises:
            InvalidArgument: The path leads to no readable file.
        """
        await self.size()
        if self._path is None:
            return
        try:
            if self._regular:
                async with await anyio.open_file(self._path, "rb"):
                    pass
            elif not await anyio.to_thread.run_sync(os.access, self._path, os.R_OK):
                raise PermissionError("it may not be read")
        except OSError as error:
            raise self._unreadable(error) from error

    async def begin(self) -> None:
        """Wait until there is something to send: a pipe's path may lead nowhere yet.

        Raises:
            InvalidArgument: It cannot be read.
        """
        if self._path is not None and not self._regular and not self.spent:
            try:
                if self._pipe is None:
                    self._pipe = Pipe(self._path)
                await self._pipe.begin()
            except OSError as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InvalidArgument:
        return InvalidArgument(self.argument, f"cannot read {self._path}: {error}")

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
                raise self._unreadable(error) from error
            if stat.S_ISDIR(status.st_mode):
                raise InvalidArgument(self.argument, f"{path} is a folder")
            self._regular = stat.S_ISREG(status.st_mode)
            return status.st_size if self._regular else None
        if self._file is not None and self._file.seekable():
            return await anyio.to_thread.run_sync(self._measure, self._file)
        return None

    def _measure(self, file: BinaryIO) -> int:
        end = file.seek(0, os.SEEK_END)
        file.seek(self._start)
        return max(0, end - self._start)

    async def chunks(self, size: int | None) -> AsyncIterator[bytes | memoryview]:
        """The bytes, from the start at each call.

        Args:
            size: How many were announced; None if their number was left open.

        Raises:
            InvalidArgument: The source cannot be rewound, yields something else than bytes, or
                turns out shorter or longer than was announced.
        """
        done = 0
        try:
            if self.spent and not self.rewindable:
                raise InvalidArgument(self.argument, "it was read before, and can't be rewound")
            self.spent = False
            self.taken = 0
            async with aclosing(self._read()) as source:
                while (chunk := await self._next(source)) is not None:
                    end = done + len(chunk)
                    # Seen before the last bytes are sent, so that nothing takes effect.
                    if (
                        size is not None
                        and end >= size
                        and (end > size or await self._next(source) is not None)
                    ):
                        raise InvalidArgument(
                            self.argument, f"the file has grown beyond {size} bytes"
                        )
                    yield chunk
                    done = self.taken = end
                    self._tell(done, size)
            if size is not None and done < size:
                raise InvalidArgument(
                    self.argument, f"the file has shrunk from {size} bytes to {done}"
                )
            if not done:
                self._tell(0, size)
        except _CallbackError as error:
            self.failure = error.raised
            raise
        except InvalidArgument as error:
            self.failure = error
            raise
        except Exception as error:
            self.failure = InvalidArgument(self.argument, f"reading it failed: {error}")
            self.failure.__cause__ = error
            raise
        finally:
            self.spent = True
            self.moved_at = asyncio.get_running_loop().time()
            self.close()

    async def _next(self, source: AsyncGenerator[bytes | memoryview]) -> bytes | memoryview | None:
        """The next bytes, or None at the end."""
        self.awaited = True
        try:
            return await anext(source, None)
        finally:
            self.awaited = False
            self.moved_at = asyncio.get_running_loop().time()

    def _tell(self, done: int, size: int | None) -> None:
        if self._progress is not None:
            try:
                self._progress(done, size)
            except Exception as error:
                raise _CallbackError(error) from error

    def close(self) -> None:
        """Close the file that a path led to; the caller's own stays open."""
        opened, self._opened = self._opened or self._pipe, None
        self._pipe = None
        if opened is not None:
            opened.close()

    async def _read(self) -> AsyncGenerator[bytes | memoryview]:
        if self._stream is not None:
            async for chunk in self._stream:
                if not isinstance(chunk, bytes | bytearray | memoryview):
                    raise InvalidArgument(
                        self.argument, f"the source yields {type(chunk).__name__}, not bytes"
                    )
                if chunk:
                    yield bytes(chunk)  # the source may use its buffer again
            return
        if self._data is not None:
            for piece in _pieces(self._data):
                yield piece
            return
        if not self._regular:
            await self.begin()
            assert self._pipe is not None  # noqa: S101 - it has begun
            while piece := await self._pipe.read():
                yield piece
            return
        file = await self._readable()
        while batch := await anyio.to_thread.run_sync(_reader(file), BATCH):
            for piece in _pieces(batch):
                yield piece

    async def _readable(self) -> IO[bytes]:
        """The file to read from, at the position to begin at."""
        if self._file is not None:
            if self._file.seekable():
                await anyio.to_thread.run_sync(self._file.seek, self._start)
            return self._file
        assert self._path is not None  # noqa: S101 - it is one of four
        self._opened = opened = await anyio.to_thread.run_sync(self._path.open, "rb")
        return cast(IO[bytes], opened)


class _CallbackError(Exception):
    """A callback raised, which is to end the transfer."""

    def __init__(self, raised: Exception) -> None:
        super().__init__(str(raised))
        self.raised = raised


def check_progress(progress: object) -> Progress | None:
    """A callback, checked.

    Raises:
        InvalidArgument: It cannot be called, or only be awaited.
    """
    if progress is not None and not callable(progress):
        raise InvalidArgument("progress", f"a function is due, not {type(progress).__name__}")
    if inspect.iscoroutinefunction(progress) or inspect.iscoroutinefunction(
        getattr(progress, "__call__", None)  # noqa: B004 - of an object
    ):
        raise InvalidArgument("progress", "it is an async function, and nobody would await it")
    return cast("Progress | None", progress)


def _pieces(data: bytes) -> Iterator[bytes | memoryview]:
    """Bytes in chunks, without a copy."""
    if len(data) <= CHUNK:
        if data:
            yield data
        return
    view = memoryview(data)
    for start in range(0, len(view), CHUNK):
        yield view[start : start + CHUNK]


def _reader(file: IO[bytes]) -> Callable[[int], bytes]:
    """How to read what is there: of a pipe, without waiting for more."""
    return getattr(file, "read1", file.read) if not file.seekable() else file.read


def _is_text(file: Any) -> bool:
    return hasattr(file, "encoding") or not hasattr(file, "seekable")


def _file_name(argument: str, name: object) -> str:
    if not isinstance(name, str) or not name or not all(map(_is_plain, name)):
        raise InvalidArgument(argument, f"{name!r} is no name for a file")
    return name


def _is_plain(letter: str) -> bool:
    """Whether a letter is neither a control character nor a lone surrogate."""
    return ord(letter) >= 32 and ord(letter) != 127 and not 0xD800 <= ord(letter) < 0xE000
