"""Files in and out of ``jobkit call``, with bars for their progress on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from jobkit_async.transfer import Download, Upload
from jobkit_async.transfer.upload import Progress as Told

__all__ = ["fetched", "sent"]


@contextmanager
def sent(paths: Mapping[str, str]) -> Generator[dict[str, Upload]]:
    """Uploads of some files, by the names of arguments; ``-`` is standard input."""
    uploads: dict[str, Upload] = {}
    with _bar("sent") as told:
        for name, path in paths.items():
            source = sys.stdin.buffer if path == "-" else path
            uploads[name] = Upload(source, progress=told)
        yield uploads


async def fetched(download: Download, operation: str, output: str | None) -> str:
    """Save a download.

    Args:
        download: The file.
        operation: Where it came from; its name for want of another.
        output: Path of a file or folder, ``-`` for standard output, or None.

    Returns:
        What to tell: where it is, or how much of it there was.

    Raises:
        click.ClickException: Nobody said where to save it, and a file of its name is here already.
    """
    async with download:
        if output == "-":
            stream, size = sys.stdout.buffer, 0
            async for chunk in download:
                stream.write(chunk)
                size += len(chunk)
            stream.flush()
            return f"{size} bytes"
        target = Path(output if output is not None else download.filename or operation)
        if output is None and await anyio.Path(target).exists():
            raise click.ClickException(f"{target} is here already; say where to with --output")
        with _bar("received") as told:
            return str(await download.save(target, progress=told))


@contextmanager
def _bar(what: str) -> Generator[Told | None]:
    """What a transfer tells its progress to; None where nobody looks."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn(what), *columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None, visible=False)

        def told(done: int, size: int | None) -> None:
            progress.update(task, completed=done, total=size, visible=True)

        yield told
