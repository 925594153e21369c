"""What a download gives."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TypeAlias

from jobkit_async.checks import check_count
from jobkit_async.errors import (
    AnswerTooLarge,
    ClientClosed,
    ConnectionLost,
    InvalidArgument,
    JobkitError,
    RequestTimeout,
)
from jobkit_async.transfer.names import file_name
from jobkit_async.transfer.part import PartFile
from jobkit_async.transfer.ranges import Rest, Version, end_of_part
from jobkit_async.transfer.upload import Progress, check_progress

__all__ = ["Download", "Reopen", "Stream"]

_log = logging.getLogger("jobkit_async.transfer")

IDLE: Final = 60.0
"""Seconds after which an unread download gives its connection back."""
READ_LIMIT: Final = 256 << 20
"""The most bytes that are read into memory, unless said otherwise."""
HEADWAY: Final = 1 << 20
"""Bytes after which a transfer that broke off counts as one that goes well again."""


class Stream(Protocol):
    """An answer's body on its way in; what a download needs of the transport."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer; names compare without case."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, decompressed."""
        ...

    def close(self) -> None:
        """Give the connection back, unread."""


class Reopen(Protocol):
    """How a download asks for the rest of its file."""

    async def __call__(
        self, error: JobkitError, headers: Mapping[str, str], *, headway: bool
    ) -> Stream:
        """Ask for the file again, after a pause.

        Args:
            error: How the transfer broke off.
            headers: What to ask for.
            headway: Whether it had gone well for a while; otherwise this counts as one more of
                the repetitions that a call has.

        Returns:
            An answer of status 2xx, or 416.

        Raises:
            JobkitError: There is no such answer; ``error`` itself, if it is not to be repeated.
        """
        ...


Restart: TypeAlias = Callable[[], object]


class Download:
    """A file from the service, streamed.

    It holds a pooled connection until it is read to the end, closed, left (``async with``), or
    has been idle for a minute::

        async with await client.jobs.get_job_file(job.id) as download:
            path = await download.save(folder)

    A transfer that breaks off goes on where it stopped, as often as the client repeats a call, if
    the service sends parts of files and tells one version from another; of others there is no rest
    to be had, and they end in :class:`ConnectionLost`.

    Attributes:
        filename: Name that the service gives to it, without any folders; None if it gives none.
        size: Number of bytes, where the service tells.
        content_type: Media type, where the service tells.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        operation: str,
        reopen: Reopen | None = None,
        fixed: bool = False,
    ) -> None:
        self._stream = stream
        self._operation = operation
        self._reopen = reopen if stream.status != 206 else None  # only a part was asked for
        self._state = "open"
        self._version = Version.of(stream.headers, fixed=fixed)
        self._done = 0  # bytes given out, of this version
        self._part_end: int | None = None  # where the part ends that is coming, if it is one
        self._broke_at = 0
        self._in_use = False
        self._reopening: asyncio.Task[object] | None = None
        self._began_anew = False
        self.content_type = stream.headers.get("Content-Type")
        self.filename = file_name(stream.headers.get("Content-Disposition"))
        loop = asyncio.get_running_loop()
        self._idle_since: float | None = loop.time()
        self._timer = loop.call_later(IDLE, self._look)

    @property
    def size(self) -> int | None:
        """Number of bytes, where the service tells."""
        return self._version.size

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

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The file's bytes, in chunks as they come.

        Raises:
            ConnectionLost: The file breaks off, and its rest is not to be had; or the download was
                closed before its end, or is being read already.
            RequestTimeout: Nothing came for as long as the client waits.
        """
        return self._chunks()

    async def read(self, *, limit: int = READ_LIMIT, progress: Progress | None = None) -> bytes:
        """The whole file, in memory.

        Args:
            limit: The most bytes to hold.
            progress: Called with the bytes that have come and the number of all, or None where the
                service does not tell it. What it raises ends the transfer, and is raised here.

        Raises:
            AnswerTooLarge: The file is larger; :meth:`save` takes files of any size.
            ConnectionLost: As for the chunks; or some of it was given out before.
            RequestTimeout: As for the chunks.
            InvalidArgument: ``limit`` is no number from 1 on, or ``progress`` no function.
        """
        self._check_whole()
        body = io.BytesIO()  # whose value is not copied once more, unlike that of a bytearray

        def restart() -> None:
            body.seek(0)
            body.truncate()

        try:
            check_count("limit", limit, 1)
            check_progress(progress)
            if self.size is not None and self.size > limit:
                raise self._too_large(limit)
            async with aclosing(self._chunks(progress, restart)) as chunks:
                async for chunk in chunks:
                    if body.tell() + len(chunk) > limit:
                        raise self._too_large(limit)
                    body.write(chunk)
            return body.getvalue()
        finally:
            self.close()

    async def save(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Write the file to disk, in constant memory; what breaks off leaves nothing behind.

        Args:
            path: Where to: a file, or a folder that exists, in which the service's name for it
                is used (``download`` if it gives none). A file that is there is replaced.
            progress: Called with the bytes that have come and the number of all, or None where the
                service does not tell it; it falls back to 0 if the file has changed and comes anew.
                What it raises ends the transfer, and is raised here.

        Returns:
            The path of the file.

        Raises:
            OSError: The disk is full, or does not take the file; as the system raises it.
            ConnectionLost: As for the chunks; or some of it was given out before.
            RequestTimeout: As for the chunks.
            InvalidArgument: ``path`` is no path, or ``progress`` no function.
        """
        self._check_whole()
        self._busy()
        try:
            check_progress(progress)
            target = _path(path)
            if target.is_dir():  # as quick as opening a file, see PartFile
                target /= self.filename or "download"
            async with PartFile(target) as part:
                async with aclosing(self._chunks(progress, part.restart)) as chunks:
                    async for chunk in chunks:
                        await part.write(chunk)
                await part.finish()
        finally:
            self.close()
        return target

    def _check_whole(self) -> None:
        """Raise unless all of the file is still to come."""
        self._check_unused()
        if self._done and self._state in ("open", "read"):
            raise self._lost(
                f"{self._done} bytes of it were given out before, so it is not to be had whole "
                "any more; ask for it again"
            )

    def _check_unused(self) -> None:
        if self._in_use and self._state == "open":
            raise self._lost("it is being read already; ask for it again to read it twice")

    def _too_large(self, limit: int) -> AnswerTooLarge:
        return AnswerTooLarge(
            f"it is larger than {limit} bytes; save() takes files of any size, and limit= sets "
            "how much is held in memory",
            operation=self._operation,
            status=self._stream.status,
        )

    # -- the bytes

    async def _chunks(
        self, progress: Progress | None = None, restart: Restart | None = None
    ) -> AsyncGenerator[bytes]:
        """The file's bytes.

        Args:
            progress: Who is told of each chunk, once it was taken.
            restart: Drops what was given out, if the file comes anew; None if they are taken by
                the caller, who cannot, and may leave them lying.
        """
        ours = restart is not None
        self._check_unused()
        if self._state == "read":
            return
        if self._state != "open":
            raise self._lost(f"the download is {self._state}")
        self._in_use = True
        loop = asyncio.get_running_loop()
        try:
            chunks = self._stream.chunks()
            while True:
                self._busy()
                try:
                    chunk = await anext(chunks, None)
                    if chunk is None:
                        self._check_end()
                except (ConnectionLost, RequestTimeout) as error:
                    if await self._go_on(error, restart):
                        chunks = self._stream.chunks()
                        continue
                    chunk = None
                if chunk is None:
                    break
                self._done += len(chunk)
                most = self.size if self._part_end is None else self._part_end
                if most is not None and self._done > most:
                    raise self._lost(f"there is more of it than {most} bytes")
                if not ours:
                    self._idle_since = loop.time()
                yield chunk
                del chunk  # so that its memory serves for the next one
                if self._state != "open":
                    raise self._lost(f"the download was {self._state} while it was read")
                if progress is not None:
                    progress(self._done, self.size)
            if progress is not None and not self._done:
                progress(0, self.size)
            self._end("read")
        finally:
            self._in_use = False
            self._end("closed")

    def _check_end(self) -> None:
        """Raise unless what has come is all of the file, as far as was told."""
        if self.size is not None:
            if self._done < self.size:
                raise self._lost(f"it ended after {self._done} of {self.size} bytes")
        elif self._part_end is not None:
            raise self._lost(f"a part of it ended after {self._done} bytes of an unknown number")

    async def _go_on(self, error: JobkitError, restart: Restart | None) -> bool:
        """Have the rest sent after the transfer broke off; whether there is any."""
        if self._state != "open" or self._reopen is None or not self._version.in_parts:
            raise error
        self._stream.close()
        _log.info("%s: it broke off after %d bytes (%s)", self._operation, self._done, error)
        # A part that came whole is no break: the service gives no more at a time.
        headway = self._done - self._broke_at >= HEADWAY or self._done == self._part_end
        self._broke_at = self._done
        self._stream = stream = await self._ask(self._reopen, error, headway=headway)
        if self._state != "open":  # somebody closed it meanwhile
            stream.close()
            raise self._lost(f"the download is {self._state}")
        rest = self._version.judge(stream.status, stream.headers, self._done)
        if rest is Rest.PART:
            self._version = self._version.with_size_of(stream.headers)
            self._part_end = end_of_part(stream.headers)
        elif rest in (Rest.WHOLE, Rest.CHANGED) and self._begin_anew(restart):
            self._version = Version.of(stream.headers, fixed=self._version.fixed)
            self._part_end = None
        elif rest is not Rest.NOTHING:
            raise self._lost(
                f"it broke off after {self._done} bytes, and when its rest was asked for, "
                f"this came: {rest.value}"
            ) from error
        return rest is not Rest.NOTHING

    async def _ask(self, reopen: Reopen, error: JobkitError, *, headway: bool) -> Stream:
        """Have the rest sent, unless somebody closes the download meanwhile."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - downloads are read by tasks
        cancelling = task.cancelling()
        self._reopening = task
        try:
            return await reopen(error, self._version.ask(self._done), headway=headway)
        except asyncio.CancelledError:
            # Ours, unless somebody else has cancelled the task as well.
            if self._state != "open" and task.uncancel() <= cancelling:
                raise self._lost(f"the download is {self._state}") from None
            raise
        except ClientClosed:
            raise
        except JobkitError as failure:
            if failure is error:
                raise
            raise self._lost(
                f"it broke off after {self._done} bytes, and its rest could not be had: {failure}"
            ) from failure
        finally:
            self._reopening = None

    def _begin_anew(self, restart: Restart | None) -> bool:
        """Drop what was given out, if that can be; once, as a file may change for ever."""
        if self._done:
            if restart is None or self._began_anew:
                return False
            restart()
            self._began_anew = True
        self._done = self._broke_at = 0
        return True

    def _lost(self, what: str) -> ConnectionLost:
        return ConnectionLost(f"{self._operation}: {what}", operation=self._operation)

    # -- the connection

    def _busy(self) -> None:
        self._idle_since = None

    def _look(self) -> None:
        """Close what has been idle for too long.

        One timer that looks again: one for each chunk would cost more than the chunk.
        """
        loop = asyncio.get_running_loop()
        due = (loop.time() if self._idle_since is None else self._idle_since) + IDLE
        if due <= loop.time():
            self._end(f"closed after {IDLE:g} s without a read")
        else:
            self._timer = loop.call_at(due, self._look)

    def _end(self, state: str) -> None:
        self._timer.cancel()
        if self._state == "open":
            self._state = state
            self._stream.close()
            task, self._reopening = self._reopening, None
            if task is not None:
                task.cancel()


def _path(path: object) -> Path:
    """A path, checked.

    Raises:
        InvalidArgument: It is none.
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidArgument("path", f"a path is due, not {type(path).__name__}")
    try:
        target = Path(path)
    except TypeError as error:  # of bytes
        raise InvalidArgument("path", str(error)) from error
    if "\0" in str(target):
        raise InvalidArgument("path", "it holds a null byte")
    return target
