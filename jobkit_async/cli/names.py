"""Which jobs are meant: ids and references, from arguments or standard input."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs
import click

from jobkit_async.cli.common import TOLD
from jobkit_async.errors import InvalidArgument
from jobkit_async.job import Job
from jobkit_async.service import ServiceClient

__all__ = ["Name", "handles", "read_names"]

_REF: Final = re.compile(r"jk\d+:")


@attrs.frozen
class Name:
    """An id or a reference, and where it stands."""

    text: str
    place: str


def read_names(arguments: Iterable[str]) -> list[Name]:
    """The names that arguments give; ``-`` stands for the lines of standard input.

    Of a line its first word counts, so that what other commands print can be piped in. Blank lines,
    and those that begin with ``#``, are left out.

    Raises:
        click.UsageError: There are none, or standard input cannot be read.
    """
    names: list[Name] = []
    for argument in arguments:
        if argument == "-":
            names += _lines()
        else:
            names.append(Name(argument, f"argument {len(names) + 1}"))
    if not names:
        raise click.UsageError("there are no jobs to wait for: standard input names none")
    return names


def _lines() -> Iterator[Name]:
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is no text in UTF-8: {error}") from None
    except (AttributeError, OSError, ValueError) as error:
        closed = isinstance(error, AttributeError)  # it is None then
        problem = "it is closed" if closed else str(error)
        raise click.UsageError(f"standard input cannot be read: {problem}") from None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(maxsplit=1)
        if words and not words[0].startswith("#"):
            yield Name(words[0], f"line {number}")


def handles(client: ServiceClient[Any, Any], names: Iterable[Name]) -> list[Job[Any]]:
    """The jobs of these names, each once.

    Raises:
        click.UsageError: Some are no ids, or no references to jobs of this client.
    """
    jobs: dict[Job[Any], None] = {}
    faults: list[str] = []
    for name in names:
        try:
            jobs[_handle(client, name.text)] = None
        except InvalidArgument as error:
            problem = str(error)
            for prefix in ("ref: ", "job_id: "):
                problem = problem.removeprefix(prefix)
            faults.append(f"{name.place}: {problem}")
    if faults:
        more = [f"and {len(faults) - TOLD} more"] if len(faults) > TOLD else []
        raise click.UsageError("\n".join([*faults[:TOLD], *more]))
    return list(jobs)


def _handle(client: ServiceClient[Any, Any], text: str) -> Job[Any]:
    job: Job[Any]
    if _REF.match(text):
        job = client.job_from_ref(text)
    else:
        job = client._handle(client._record_of(client._parse_key(text)))
    return job
