"""Credentials: from the environment, or asked for on a terminal; never from arguments."""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import click

from jobkit_async.redact import Hidden
from jobkit_async.spec import ServiceSpec

__all__ = ["WAYS", "asks", "credentials", "secret_of"]

WAYS: Final[tuple[tuple[str, ...], ...]] = (("api_key",), ("username", "password"), ("token",))
"""By which arguments a client can log in, the best way first."""
_OPEN: Final = frozenset({"username"})
"""What may be seen while it is typed."""


def credentials(spec: ServiceSpec) -> dict[str, Any]:
    """What ``from_env()`` of a service's client lacks.

    Raises:
        click.UsageError: Nothing says who we are, and nobody can be asked.
    """
    known = spec.client._credentials
    ways = [names for names in WAYS if {*names} <= {*known}] or [known]
    found = {name: value for name in known if (value := os.environ.get(_variable(spec, name)))}
    if any(found.keys() >= {*names} for names in ways):
        return {}
    way = next((names for names in ways if found.keys() & {*names}), ways[0])
    if not asks():
        each = [" and ".join(_variable(spec, name) for name in names) for names in ways]
        raise click.UsageError(
            f"there are no credentials for {spec.name}: set {', or '.join(each)}"
        )
    given: dict[str, Any] = Hidden()
    for name in way:
        given[name] = found.get(name) or _ask(spec, name, hidden=name not in _OPEN)
    return given


def secret_of(spec: ServiceSpec, name: str) -> str:
    """A credential that one operation takes beside those of the client.

    Raises:
        click.UsageError: It is not in the environment, and nobody can be asked.
    """
    variable = _variable(spec, name)
    value = os.environ.get(variable)
    if value:
        return value
    if not asks():
        raise click.UsageError(f"this takes a {name}, which is no option: set {variable}")
    return _ask(spec, name, hidden=True)


def asks() -> bool:
    """Whether somebody sits at a terminal, who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def _variable(spec: ServiceSpec, name: str) -> str:
    return f"{spec.name}_{name}".upper()


def _ask(spec: ServiceSpec, name: str, *, hidden: bool) -> str:
    text = f"{spec.name} {name.replace('_', ' ')}"
    answer: str = click.prompt(text, hide_input=hidden, err=True)
    return answer
