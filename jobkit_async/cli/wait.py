"""``jobkit wait``: waits for jobs, and tells how they go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

import click
from rich.console import Console

from jobkit_async.cli.board import Board
from jobkit_async.cli.common import SERVICE, counts, run, span
from jobkit_async.cli.login import credentials
from jobkit_async.cli.names import Name, handles, read_names
from jobkit_async.cli.told import JsonLines, Lines, News, Teller
from jobkit_async.errors import ClientClosed, JobkitError, WaitTimeout
from jobkit_async.job import Job, check_timeout
from jobkit_async.spec import ServiceSpec

__all__ = ["wait_command"]

TIMEOUT: Final = 124
"""Exit status where the time was over, as that of timeout(1)."""
FOLLOWED: Final = 16
"""Of no more jobs than this each change is asked for, and not only what looks at many show."""
TICK: Final = 0.25
"""Seconds between two pictures of the table."""
SHOWN: Final = 20
"""The most jobs that did not succeed of which a table's end tells."""


@click.command("wait")
@click.argument("spec", metavar="SERVICE", type=SERVICE)
@click.argument("names", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    help="How long to wait; 0 is one look.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Tell each end as a line of JSON, with the job as it is.",
)
@click.pass_context
def wait_command(
    ctx: click.Context,
    spec: ServiceSpec,
    names: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
) -> None:
    """Wait for jobs of SERVICE, by their ids or references.

    An ID of - stands for standard input: the first word of each line. A terminal shows a table, and
    anything else gets a line for each job that has ended.

    The exit status is 0 if all have succeeded, 1 if not, and 124 if the time was over first. Ctrl-C
    leaves the remote jobs alone, and tells the references by which to wait for them again.
    """
    wanted = read_names(names)
    given = credentials(spec)
    waiting = _Waiting(spec, timeout)
    try:
        run(waiting.wait(given, wanted, as_json=as_json))
    except KeyboardInterrupt:
        waiting.tell_the_rest("interrupted")
        ctx.exit(130)
    if waiting.late:
        waiting.tell_the_rest("the time is over")
        ctx.exit(TIMEOUT)
    ctx.exit(0 if waiting.all_well else 1)


class _Waiting:
    """Waits for jobs, and knows how far it has come.

    Args:
        spec: The service.
        timeout: Seconds, or None.
    """

    def __init__(self, spec: ServiceSpec, timeout: float | None) -> None:
        self._spec = spec
        self._timeout = timeout
        self._jobs: list[Job[Any]] = []
        self._news: dict[Job[Any], News] = {}
        self.late = False

    @property
    def all_well(self) -> bool:
        """Whether all jobs have succeeded."""
        told = self._news.values()
        return len(told) == len(self._jobs) and not any(news.error for news in told)

    async def wait(self, given: Mapping[str, Any], names: list[Name], *, as_json: bool) -> None:
        """Wait until all that can be told of the jobs has been."""
        check_timeout(self._timeout)
        began = asyncio.get_running_loop().time()
        async with self._spec.client.from_env(**given) as client:
            self._jobs = handles(client, names)
            teller = self._teller(as_json=as_json)
            with teller:
                await self._follow(teller)
        lasted = asyncio.get_running_loop().time() - began
        if isinstance(teller, Board):
            for news in [news for news in self._news.values() if news.error][:SHOWN]:
                click.echo(f"{news.job.id} {news.job.state}: {news.error}")
        states = Counter(news.job.state for news in self._news.values())
        told = f"{counts(states) or 'none'} of {len(self._jobs)} jobs, in {span(lasted)}"
        click.echo(told, err=True)

    def _teller(self, *, as_json: bool) -> Teller:
        if as_json:
            return JsonLines()
        console = Console(highlight=False)
        if console.is_terminal and Board.fits(console):
            return Board(console, self._spec.name, self._jobs, self._news)
        return Lines()

    async def _follow(self, teller: Teller) -> None:
        waits = [asyncio.create_task(self._one(job, teller)) for job in self._jobs]
        few = isinstance(teller, Board) and len(self._jobs) <= FOLLOWED
        sides = [asyncio.create_task(_watch(job)) for job in self._jobs if few]
        sides.append(asyncio.create_task(_tick(teller)))
        try:
            await asyncio.gather(*waits)
        finally:
            for task in (*waits, *sides):
                task.cancel()
            await asyncio.gather(*waits, *sides, return_exceptions=True)

    async def _one(self, job: Job[Any], teller: Teller) -> None:
        error: JobkitError | None = None
        try:
            await job.wait(self._timeout)
        except WaitTimeout:
            self.late = True
            return
        except ClientClosed:
            raise
        except JobkitError as raised:
            error = raised
        news = self._news[job] = News(job, error)
        teller.ended(news)

    def tell_the_rest(self, why: str) -> None:
        """Tell what goes on, and how to wait for it again."""
        rest = [job for job in self._jobs if job not in self._news]
        if not rest:
            return
        click.echo(f"{why}: {len(rest)} jobs go on. To wait for them again:", err=True)
        if len(rest) == 1:
            click.echo(f"jobkit wait {self._spec.name} {rest[0].ref}", err=True)
            return
        click.echo(f"jobkit wait {self._spec.name} - < FILE, with these lines in it:", err=True)
        click.echo("\n".join(job.ref for job in rest), err=True)


async def _watch(job: Job[Any]) -> None:
    """Have each change of a job asked for; what comes is seen at its handle."""
    with suppress(JobkitError):
        async with aclosing(job.updates()) as updates:
            async for _ in updates:
                pass


async def _tick(teller: Teller) -> None:
    while True:
        teller.draw()
        await asyncio.sleep(TICK)
