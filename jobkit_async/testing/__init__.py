"""Embedded servers of the services, for your own tests.

Each is a real HTTP server on loopback, in the event loop of the test, with the state machine, the
quirks and the error bodies of its service::

    async with FakeBsubio(seed=1) as server:
        async with BsubioClient(api_key=server.api_key, base_url=server.base_url) as client:
            ...
    assert server.ledger.count("submitted") == 1

How long jobs last and how they end comes from a seeded planner. pytest finds the fixtures
``fake_bsubio``, ``fake_ecotaxa``, ``fake_leia`` and ``fake_vidispine`` by itself; they take
pytest-asyncio.

A server takes its time from the running loop, so that virtual time works: with the package looptime
and ``@pytest.mark.looptime`` a test waits for hours in milliseconds. Virtual time does not wait for
threads, and files are read and written in threads, so a request's time can be over before its file
has been read. Upload bytes in such a test, or give it real time: ``@pytest.mark.looptime(False)``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobkit_async.fakes.callbacks import Call, CallbackFaults
    from jobkit_async.fakes.faults import COMMON_FAULTS, Fault, Faults
    from jobkit_async.fakes.ledger import Ending, Event, Ledger
    from jobkit_async.fakes.server import FakeServer, Seen
    from jobkit_async.fakes.timeline import Plan, Planner, drawn
    from jobkit_async.services.bsubio.fake import FakeBsubio
    from jobkit_async.services.ecotaxa.fake import FakeEcotaxa
    from jobkit_async.services.leia.fake import FakeLeia
    from jobkit_async.services.vidispine.fake import FakeVidispine
    from jobkit_async.testing.conformance import NotConforming, check_service
    from jobkit_async.testing.virtual import VirtualTime, virtual_loop, virtual_time

__all__ = [
    "COMMON_FAULTS",
    "Call",
    "CallbackFaults",
    "Ending",
    "Event",
    "FakeBsubio",
    "FakeEcotaxa",
    "FakeLeia",
    "FakeServer",
    "FakeVidispine",
    "Fault",
    "Faults",
    "Ledger",
    "NotConforming",
    "Plan",
    "Planner",
    "Seen",
    "VirtualTime",
    "check_service",
    "drawn",
    "virtual_loop",
    "virtual_time",
]

_HOME_OF = {
    "COMMON_FAULTS": "fakes.faults",
    "Call": "fakes.callbacks",
    "CallbackFaults": "fakes.callbacks",
    "Ending": "fakes.ledger",
    "Event": "fakes.ledger",
    "FakeBsubio": "services.bsubio.fake",
    "FakeEcotaxa": "services.ecotaxa.fake",
    "FakeLeia": "services.leia.fake",
    "FakeServer": "fakes.server",
    "FakeVidispine": "services.vidispine.fake",
    "Fault": "fakes.faults",
    "Faults": "fakes.faults",
    "Ledger": "fakes.ledger",
    "NotConforming": "testing.conformance",
    "Plan": "fakes.timeline",
    "Planner": "fakes.timeline",
    "Seen": "fakes.server",
    "VirtualTime": "testing.virtual",
    "check_service": "testing.conformance",
    "drawn": "fakes.timeline",
    "virtual_loop": "testing.virtual",
    "virtual_time": "testing.virtual",
}


def __getattr__(name: str) -> Any:
    # Loaded when touched: pytest imports this package for its plugin at every start.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"jobkit_async.{_HOME_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
