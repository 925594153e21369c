"""``jobkit call``: every operation of every service, straight from the endpoint tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import attrs
import click

from jobkit_async import codec
from jobkit_async.cli.common import SERVICE, nearest, run
from jobkit_async.cli.files import fetched, sent
from jobkit_async.cli.login import credentials, secret_of
from jobkit_async.cli.options import flag_of, options_of
from jobkit_async.endpoint import BODIES, Api, Endpoint, Place, ResultKind
from jobkit_async.job import Job
from jobkit_async.joblist import JobList
from jobkit_async.registry import service_names
from jobkit_async.spec import ServiceSpec
from jobkit_async.transfer import Download

__all__ = ["call_command"]

_FILES: Final = BODIES - {Place.JSON}


class _Services(click.Group):
    """One group of commands for each service."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return service_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if ctx.resilient_parsing and cmd_name not in service_names():
            return None  # a shell wants to complete what comes after it
        spec: ServiceSpec = SERVICE.convert(cmd_name, None, ctx)
        return _Operations(spec)


class _Operations(click.Group):
    """One command for each operation of a service."""

    def __init__(self, spec: ServiceSpec) -> None:
        super().__init__(
            spec.name,
            help=f"The operations of {spec.name}.",
            subcommand_metavar="OPERATION [OPTIONS]",
        )
        self._spec = spec
        rows = [(api, row) for api in spec.table.apis for row in api.rows]
        times = Counter(row.name for _, row in rows)
        self._rows: dict[str, tuple[Api, Endpoint]] = {
            row.name if times[row.name] == 1 else f"{api.name}.{row.name}": (api, row)
            for api, row in rows
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("-", "_")
        if name not in self._rows and ctx.resilient_parsing:
            return None
        if name not in self._rows:
            hint = nearest(name, list(self._rows))
            raise click.UsageError(
                f"there is no operation {cmd_name!r} of {self.name}; {hint}", ctx
            )
        return _command(self._spec, *self._rows[name])


@click.group("call", cls=_Services, subcommand_metavar="SERVICE OPERATION [OPTIONS]")
def call_command() -> None:
    """Carry out one operation of SERVICE, and print what it returns as JSON.

    jobkit call SERVICE lists the operations, and jobkit call SERVICE OPERATION --help tells their
    options.
    """


def _command(spec: ServiceSpec, api: Api, row: Endpoint) -> click.Command:
    def callback(**values: Any) -> None:
        output: str | None = values.pop("output_path", None)
        given = {name: value for name, value in values.items() if value not in (None, ())}
        for param in row.params:
            if param.secret and param.required:
                given[param.name] = secret_of(spec, param.name)
            elif param.required and param.name not in given:
                raise click.UsageError(f"Missing option {flag_of(param)!r}.")
        run(_call(spec, api, row, credentials(spec), given, output))

    said = [row.summary, row.note, *_errors(row)]
    return click.Command(
        row.name,
        callback=callback,
        params=options_of(row),
        help="\n\n".join(filter(None, said)).replace("``", ""),
        short_help=row.summary.replace("``", ""),
    )


def _errors(row: Endpoint) -> list[str]:
    return [f"HTTP {status}: {meaning}." for status, meaning in row.errors.items()]


async def _call(
    spec: ServiceSpec,
    api: Api,
    row: Endpoint,
    credentials_: Mapping[str, Any],
    given: Mapping[str, Any],
    output: str | None,
) -> None:
    uploads = {param.name for param in row.params if param.place in _FILES}
    async with spec.client.from_env(**credentials_) as client:
        method = getattr(getattr(client, api.name), row.name)
        with sent({name: given[name] for name in uploads & given.keys()}) as files:
            result = await method(**{**given, **files})
        if isinstance(result, Download):
            click.echo(await fetched(result, row.name, output), err=output == "-")
        elif row.returns.kind is ResultKind.TEXT:
            click.echo(result, nl=not str(result).endswith("\n"))
        elif row.returns.kind is not ResultKind.NONE:
            click.echo(json.dumps(_document(result), indent=2, ensure_ascii=False))


def _document(result: Any) -> Any:
    """What an operation returned, as the service has it."""
    if isinstance(result, Job):
        return codec.plain(result.data)
    if isinstance(result, JobList):
        return [codec.plain(job.data) for job in result]
    return codec.plain(result) if attrs.has(type(result)) or result is not None else None
