"""Finds services: ours and installed ones, by their entry points."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Final

from jobkit_async.errors import InvalidArgument
from jobkit_async.spec import ServiceSpec

__all__ = ["GROUP", "find_service", "service_names"]

GROUP: Final = "jobkit_async.services"
"""The entry point group in which a package announces a service, as ``name = package:SPEC``."""


def service_names() -> list[str]:
    """Names of all services, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def find_service(name: str) -> ServiceSpec:
    """A service by its name.

    Raises:
        InvalidArgument: There is none, or what its package announces is no service.
    """
    points = list(entry_points(group=GROUP, name=name))
    if not points:
        known = service_names()
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        raise InvalidArgument("service", f"there is no service {name!r}; {hint}")
    spec = points[0].load()
    if not isinstance(spec, ServiceSpec):
        raise InvalidArgument("service", f"{points[0].value} is no ServiceSpec")
    return spec
