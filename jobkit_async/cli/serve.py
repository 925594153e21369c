"""``jobkit serve``: an embedded server on its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jobkit_async.cli.common import SERVICE
from jobkit_async.cli.login import WAYS
from jobkit_async.spec import ServiceSpec

if TYPE_CHECKING:
    from jobkit_async.fakes.server import FakeServer

__all__ = ["directions", "serve", "serve_command"]


@click.command("serve")
@click.argument("spec", metavar="SERVICE", type=SERVICE)
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
def serve_command(spec: ServiceSpec, port: int, seed: int, jobs: int, faults: float) -> None:
    """Run an embedded server of SERVICE until Ctrl-C."""
    try:
        asyncio.run(serve(spec, port, seed, jobs, faults))
    except KeyboardInterrupt:
        click.echo("stopped")  # which is how this command is meant to end


async def serve(spec: ServiceSpec, port: int, seed: int, jobs: int, faults: float) -> None:
    """Run an embedded server until this is cancelled; the arguments are those of the command."""
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
        click.echo(directions(spec, server, jobs, faults))
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


def directions(spec: ServiceSpec, server: FakeServer[Any], jobs: int, faults: float = 0.0) -> str:
    """Where the server is, how a client gets there, and how it comes to its first job."""
    base_url = server.base_url
    accepted = {
        name: parameter.default
        for name, parameter in inspect.signature(spec.fake).parameters.items()
        if isinstance(parameter.default, str)
    }
    ways = [
        {name: accepted[name] for name in names} for names in WAYS if accepted.keys() >= {*names}
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
