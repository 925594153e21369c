"""``jobkit demo``: what its options are, and how it tells what happens."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from jobkit_async.cli.common import SERVICE, counts, usage
from jobkit_async.errors import InvalidArgument
from jobkit_async.spec import ServiceSpec
from jobkit_async.states import JobState

if TYPE_CHECKING:
    from jobkit_async.demo import DemoResult

__all__ = ["SHOWN", "demo_command", "table"]

SHOWN: Final = 20
"""The most mismatches that are shown."""


@click.command("demo")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=100, show_default=True, help="Jobs per service."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seeds durations and outcomes."
)
@click.option(
    "--service",
    "services",
    multiple=True,
    type=SERVICE,
    metavar="NAME",
    help="Only this service; can be repeated.",
)
@click.pass_context
def demo_command(
    ctx: click.Context, jobs: int, seed: int, services: tuple[ServiceSpec, ...]
) -> None:
    """Await hundreds of jobs on four embedded servers, and check every outcome.

    The servers listen on free ports of this machine. The exit status is 0 only if every outcome
    equals the server's ledger.
    """
    from jobkit_async.demo import SERVICES, run_demo  # noqa: PLC0415 - not for 'jobkit --help'

    names = [service.name for service in services]
    console = Console(highlight=False)
    with _Live(console) if console.is_terminal else _Lines() as reporter:
        try:
            running = run_demo(reporter, services=names or SERVICES, jobs=jobs, seed=seed)
            result = asyncio.run(running)
        except InvalidArgument as error:
            raise usage(error) from None
    console.print(table(result))
    total = sum(service.jobs for service in result.services)
    if not result.mismatches:
        click.echo(f"All {total} outcomes equal the servers' ledgers, in {result.seconds:.1f} s.")
        return
    for line in result.mismatches[:SHOWN]:
        click.echo(f"MISMATCH {line}")
    if len(result.mismatches) > SHOWN:
        click.echo(f"... and {len(result.mismatches) - SHOWN} more")
    click.echo(f"{len(result.mismatches)} mismatches with the servers' ledgers.", err=True)
    ctx.exit(1)


def table(result: DemoResult) -> Table:
    """What came of the demo, a line for each service."""
    ends = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
    others = [service.outcomes.keys() - {*ends} for service in result.services]
    # Narrow enough for 80 columns.
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("service", no_wrap=True)
    numbers = ("all\nrequests", "for\nstatus", "per\njob", "mean\ndelay", "95 %\ndelay")
    for heading in (*ends, *(["other"] if any(others) else []), *numbers):
        table.add_column(heading, justify="right", no_wrap=True)
    for service, other in zip(result.services, others, strict=True):
        table.add_row(
            service.service,
            *(str(service.outcomes.get(state, 0)) for state in ends),
            *([str(sum(service.outcomes[state] for state in other))] if any(others) else []),
            str(service.requests),
            str(service.status_requests),
            f"{service.status_requests / max(1, service.jobs):.2f}",
            f"{service.mean_delay:.2f}s",
            f"{service.p95_delay:.2f}s",
        )
    return table


class _Lines:
    """Tells of the demo in a line now and then; for logs and pipes."""

    def __init__(self) -> None:
        self._jobs: dict[str, int] = {}
        self._quarters: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def began(self, service: str, base_url: str, jobs: int) -> None:
        self._jobs[service] = jobs
        self.said(f"{service}: {jobs} jobs go to {base_url}")

    def moved(self, service: str, submitted: int, ended: Mapping[JobState, int]) -> None:
        over, jobs = sum(ended.values()), self._jobs[service]
        quarter = 4 * over // jobs
        if quarter > self._quarters[service]:
            self._quarters[service] = quarter
            self.said(f"{service}: {over} of {jobs} jobs ended: {counts(ended)}")

    def said(self, line: str) -> None:
        click.echo(line)


class _Live:
    """Tells of the demo by a bar for each service; for terminals."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def began(self, service: str, base_url: str, jobs: int) -> None:
        self._tasks[service] = self._progress.add_task(service, total=jobs, counts=base_url)

    def moved(self, service: str, submitted: int, ended: Mapping[JobState, int]) -> None:
        over = sum(ended.values())
        told = counts(ended) or f"{submitted} submitted"
        self._progress.update(self._tasks[service], completed=over, counts=told)

    def said(self, line: str) -> None:
        self._progress.console.print(line, markup=False)
