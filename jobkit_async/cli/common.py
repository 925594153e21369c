"""What the commands share: the service as an argument, how they run, how they count."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from jobkit_async.errors import InvalidArgument, JobkitError
from jobkit_async.registry import find_service, service_names
from jobkit_async.spec import ServiceSpec
from jobkit_async.states import JobState

__all__ = ["SERVICE", "TOLD", "ParamType", "counts", "nearest", "run", "span", "usage"]

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # which older versions have no parameter for

ValueT = TypeVar("ValueT")

TOLD: Final = 5
"""The most faults that a message tells of."""


class _Service(ParamType):
    """A service by its name."""

    name = "service"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> ServiceSpec:
        if isinstance(value, ServiceSpec):
            return value
        try:
            return find_service(value)
        except InvalidArgument as error:
            raise usage(error) from None

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in service_names() if name.startswith(incomplete)]


SERVICE: Final = _Service()


def usage(error: InvalidArgument) -> click.BadParameter:
    """What click says of an argument that was refused."""
    return click.BadParameter(str(error).removeprefix(f"{error.argument}: "))


def nearest(name: str, known: list[str]) -> str:
    """The end of a sentence on an unknown name: the one that may be meant, or all that there are.

    Args:
        name: The unknown name.
        known: The known ones.
    """
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"


def run(work: Coroutine[Any, Any, ValueT]) -> ValueT:
    """Run a command's work; errors become click's, with their exit status.

    Raises:
        click.UsageError: Something that was given is refused.
        click.ClickException: The work failed.
    """
    try:
        return asyncio.run(work)
    except InvalidArgument as error:
        raise click.UsageError(str(error)) from None
    except BrokenPipeError:
        raise
    except (JobkitError, OSError) as error:
        raise click.ClickException(str(error)) from None


def counts(states: Mapping[JobState, int]) -> str:
    """How many jobs are in which state, in a line."""
    return ", ".join(f"{states[state]} {state}" for state in JobState if states.get(state))


def span(seconds: float | None) -> str:
    """A time in few characters, such as ``59s``, ``12m 03s``, ``3h 20m`` or ``9d 23h``."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if not minutes:
        return f"{whole}s"
    if not hours:
        return f"{minutes}m {whole % 60:02}s"
    if not days:
        return f"{hours}h {minutes % 60:02}m"
    return f"{days}d {hours % 24:02}h"
