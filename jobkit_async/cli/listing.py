"""``jobkit list``: the services, or the jobs of one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import click

from jobkit_async.cli.common import SERVICE, run
from jobkit_async.cli.login import credentials
from jobkit_async.cli.told import JsonLines, Lines, News
from jobkit_async.registry import find_service, service_names
from jobkit_async.spec import ServiceSpec

__all__ = ["list_command"]


@click.command("list")
@click.argument("spec", metavar="[SERVICE]", type=SERVICE, required=False)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="The most jobs to list.",
)
@click.option("--json", "as_json", is_flag=True, help="Each job as a line of JSON.")
def list_command(spec: ServiceSpec | None, limit: int, as_json: bool) -> None:
    """List the jobs of SERVICE, or without one the services.

    Each line begins with a job's id, so it can be piped into jobkit wait SERVICE -.
    """
    if spec is None:
        for name in service_names():
            count = sum(len(api.rows) for api in find_service(name).table.apis)
            click.echo(f"{name} {count} operations")
        return
    if not hasattr(spec.client, "iter_jobs"):
        raise click.UsageError(f"the client of {spec.name} has no iter_jobs()")
    run(_list(spec, credentials(spec), limit, as_json=as_json))


async def _list(spec: ServiceSpec, given: Mapping[str, Any], limit: int, *, as_json: bool) -> None:
    teller = JsonLines() if as_json else Lines()
    async with (
        spec.client.from_env(**given) as client,
        aclosing(client.iter_jobs()) as jobs,  # type: ignore[attr-defined]  # looked for above
    ):
        left = limit
        async for job in jobs:
            teller.ended(News(job))
            left -= 1
            if not left:
                return
