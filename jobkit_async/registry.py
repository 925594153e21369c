"""Finds services: ours and installed ones, by their entry points."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from typing import Final

from jobkit_async.errors import InvalidArgument
from jobkit_async.spec import ServiceSpec

__all__ = ["GROUP", "find_service", "service_names"]

GROUP: Final = "jobkit_async.services"
"""The entry point group in which a package announces a service, as ``name = package:SPEC``."""


@cache
def _announced() -> EntryPoints:
    """What installed packages announce; all of them have to be read for it, so only once."""
    return entry_points(group=GROUP)


def service_names() -> list[str]:
    """Names of all services, sorted."""
    return sorted(_announced().names)


def find_service(name: str) -> ServiceSpec:
    """A service by its name.

    Raises:
        InvalidArgument: There is none, or what its package announces is no service.
    """
    points = list(_announced().select(name=name))
    if not points:
        known = service_names()
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        raise InvalidArgument("service", f"there is no service {name!r}; {hint}")
    if len({point.value for point in points}) > 1:
        several = " and ".join(sorted(point.value for point in points))
        raise InvalidArgument("service", f"{name!r} is announced by {several}: uninstall one")
    try:
        spec = points[0].load()
    except Exception as error:  # a package from elsewhere may raise anything
        problem = f"{points[0].value} cannot be loaded: {type(error).__name__}: {error}"
        raise InvalidArgument("service", problem) from error
    if not isinstance(spec, ServiceSpec):
        raise InvalidArgument("service", f"{points[0].value} is no ServiceSpec")
    return spec
