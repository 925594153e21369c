"""Whether a service is one: what its author calls in one test.

::

    from jobkit_async.testing import check_service

    def test_conformance() -> None:
        check_service("gridbatch", start=start, examples=EXAMPLES)

What is looked at, and by what means, stands in ``docs/own_service.md``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from jobkit_async.errors import InvalidArgument
from jobkit_async.registry import find_service
from jobkit_async.spec import ServiceSpec
from jobkit_async.testing.conformance.answers import answer_faults
from jobkit_async.testing.conformance.live import live_faults
from jobkit_async.testing.conformance.parts import part_faults
from jobkit_async.testing.virtual import virtual_loop

__all__ = ["NotConforming", "check_service"]

Start = Callable[[Any, Any], Awaitable[Any]]


class NotConforming(AssertionError):
    """A service lacks something that the library counts on.

    Attributes:
        faults: What, one line each.
    """

    def __init__(self, service: str, faults: list[str]) -> None:
        lines = "".join(f"\n- {fault}" for fault in faults)
        super().__init__(f"{service} does not conform:{lines}")
        self.faults = faults


def check_service(service: str | ServiceSpec, *, start: Start, examples: Mapping[str, Any]) -> None:
    """Check that a service has all that waiting, tests and the command line count on.

    It runs an event loop of its own, in virtual time (by the package looptime), so it is called
    by a plain function and takes about a second.

    Args:
        service: The service, by its name, as its package announces it; or what it is made of.
        start: ``await start(client, server)`` has a job of the embedded server on its way, and
            gives its handle.
        examples: For each operation that gives jobs or values, what the service answers to it:
            JSON as ``json.loads()`` has it, best taken from the service's documentation.

    Raises:
        NotConforming: Something is wrong; all of it is told at once.
        InvalidArgument: There is no such service.
        RuntimeError: An event loop runs already.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("check_service() runs its own event loop: call it in a plain 'def' test")
    spec = service if isinstance(service, ServiceSpec) else find_service(service)
    faults = list(_told("its parts", part_faults(spec)))
    if not faults:  # else whatever comes next would only stumble over the same
        faults += _told("its answers", answer_faults(spec, examples))
        faults += _told("its embedded server", _lived(spec, start))
    if faults:
        raise NotConforming(spec.name, faults)


def _lived(spec: ServiceSpec, start: Start) -> Iterator[str]:
    with asyncio.Runner(loop_factory=virtual_loop) as runner:
        yield from runner.run(live_faults(spec, start))


def _told(what: str, faults: Iterator[str]) -> Iterator[str]:
    """The faults; what the search for them stumbles over is one as well."""
    try:
        yield from faults
    except InvalidArgument as error:
        yield f"{what}: {error}"
    except Exception as error:  # noqa: BLE001 - a service from elsewhere may raise anything
        yield f"{what}: {type(error).__name__}: {error}"
