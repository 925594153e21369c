"""The command line, ``jobkit``; it needs the extra ``cli``.

Exit statuses: 0 if all went well, 1 if not, 2 for a command that cannot be understood, 130 after
Ctrl-C. A command is a function below :func:`commands`; what it does is written elsewhere, and what
it prints is written here.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from jobkit_async.errors import InvalidArgument, JobkitError
from jobkit_async.registry import find_service
from jobkit_async.spec import ServiceSpec
from jobkit_async.states import JobState

try:
    import click
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
    from rich.table import Table
except ImportError as missing:
    if (missing.name or "").partition(".")[0] not in ("click", "rich"):
        raise
    sys.stderr.write("jobkit needs more to be installed: pip install 'jobkit-async[cli]'\n")
    raise SystemExit(2) from None

if TYPE_CHECKING:
    from jobkit_async.demo import DemoResult
    from jobkit_async.fakes.server import FakeServer

__all__ = ["commands", "main"]

SHOWN: Final = 20
"""The most mismatches that are shown."""
LOGINS: Final = (("api_key",), ("username", "password"), ("token",))
"""By which arguments a client can log in, the best way first."""


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    try:
        # Not standalone, where click makes Ctrl-C an exit status of 1.
        status = commands.main(prog_name="jobkit", standalone_mode=False)
    except click.Abort:
        status = 130
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except JobkitError as error:
        click.echo(f"Error: {error}", err=True)
        status = 1
    sys.exit(status)


@click.group()
@click.version_option(version("jobkit-async"), prog_name="jobkit")
def commands() -> None:
    """Run and await the jobs of bsub.io, EcoTaxa, Leia and Vidispine."""


# -- what options and arguments stand for


def _usage(error: InvalidArgument) -> click.BadParameter:
    return click.BadParameter(str(error).removeprefix(f"{error.argument}: "))


def _spec(_ctx: click.Context, _param: click.Parameter, name: str) -> ServiceSpec:
    """The service of that name."""
    try:
        return find_service(name)
    except InvalidArgument as error:
        raise _usage(error) from None


def _specs(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> list[str]:
    """The names, of services that there are."""
    return [_spec(ctx, param, name).name for name in names]


# -- jobkit demo


@commands.command()
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
    callback=_specs,
    metavar="NAME",
    help="Only this service; can be repeated.",
)
@click.pass_context
def demo(ctx: click.Context, jobs: int, seed: int, services: list[str]) -> None:
    """Await hundreds of jobs on four embedded servers, and check every outcome.

    The servers listen on free ports of this machine. The exit status is 0 only if every outcome
    equals the server's ledger.
    """
    from jobkit_async.demo import SERVICES, run_demo  # noqa: PLC0415 - not for 'jobkit --help'

    console = Console(highlight=False)
    with _Live(console) if console.is_terminal else _Lines() as reporter:
        try:
            running = run_demo(reporter, services=services or SERVICES, jobs=jobs, seed=seed)
            result = asyncio.run(running)
        except InvalidArgument as error:
            raise _usage(error) from None
    console.print(_table(result))
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


def _table(result: DemoResult) -> Table:
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


def _counts(ended: Mapping[JobState, int]) -> str:
    return ", ".join(f"{ended[state]} {state}" for state in JobState if ended.get(state))


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
            self.said(f"{service}: {over} of {jobs} jobs ended: {_counts(ended)}")

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
        counts = _counts(ended) or f"{submitted} submitted"
        self._progress.update(self._tasks[service], completed=over, counts=counts)

    def said(self, line: str) -> None:
        self._progress.console.print(line, markup=False)


# -- jobkit serve


@commands.command()
@click.argument("spec", metavar="SERVICE", callback=_spec)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port on 127.0.0.1; 0 picks a free one.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seeds durations and outcomes."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Jobs to begin with, for a service whose API cannot create any.",
)
@click.option(
    "--faults",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    show_default=True,
    help="Share of requests that common faults strike, drawn from the seed.",
)
def serve(spec: ServiceSpec, port: int, seed: int, jobs: int, faults: float) -> None:
    """Run an embedded server of SERVICE until Ctrl-C."""
    try:
        asyncio.run(_serve(spec, port, seed, jobs, faults))
    except KeyboardInterrupt:
        click.echo("stopped")  # which is how this command is meant to end


async def _serve(spec: ServiceSpec, port: int, seed: int, jobs: int, faults: float) -> None:
    server = spec.fake(seed=seed, port=port)
    if faults:
        from jobkit_async.testing import Faults  # noqa: PLC0415 - a calm server needs none

        server.faults = Faults(share=faults, seed=seed)
    create = _creator(server)
    if jobs and create is None:
        raise click.UsageError(f"jobs of {spec.name} are created over HTTP: leave out --jobs")
    try:
        await server.start()
    except OSError as error:
        raise click.ClickException(f"cannot listen on port {port}: {error.strerror}") from None
    try:
        for _ in range(jobs):
            assert create is not None  # noqa: S101 - checked above
            create()
        click.echo(_directions(spec, server, jobs, faults))
        await asyncio.Event().wait()
    finally:
        await server.aclose()


def _creator(server: FakeServer[Any]) -> Callable[[], object] | None:
    """What creates a job that needs no description, on a server whose API creates none."""
    create = getattr(server, "create_job", None)
    if create is None:
        return None
    try:
        inspect.signature(create).bind()
    except TypeError:
        return None
    return create  # type: ignore[no-any-return]  # embedded servers bring it as they need it


def _directions(spec: ServiceSpec, server: FakeServer[Any], jobs: int, faults: float = 0.0) -> str:
    """Where the server is, how a client gets there, and how it comes to its first job."""
    base_url = server.base_url
    accepted = {
        name: parameter.default
        for name, parameter in inspect.signature(spec.fake).parameters.items()
        if isinstance(parameter.default, str)
    }
    ways = [
        {name: accepted[name] for name in names} for names in LOGINS if accepted.keys() >= {*names}
    ]
    client = spec.client.__name__
    lines = [f"{spec.name} listens on {base_url}" + (f", with {jobs} jobs" if jobs else "")]
    if ways:
        lines += ["", "What it accepts opens nothing but this server:", ""]
        for way in ways:
            arguments = "".join(f"{name}={value!r}, " for name, value in way.items())
            lines.append(f"    {client}({arguments}base_url={base_url!r})")
        lines += ["", f"or, for {client}.from_env():", ""]
        for name, value in {"base_url": base_url, **ways[0]}.items():
            lines.append(f"    export {spec.name.upper()}_{name.upper()}={value}")
    if server.first_steps:
        lines += ["", server.first_steps.format(**accepted)]
    elif not jobs and _creator(server) is not None:
        lines += ["", "It has no jobs, and its API creates none: start it again with --jobs 10."]
    if faults:
        lines += ["", f"Faults strike {faults:.0%} of the requests."]
    return "\n".join([*lines, "", "Ctrl-C stops it."])
