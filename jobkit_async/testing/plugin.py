"""pytest fixtures: a running embedded server for each service, and virtual time.

They serve tests of pytest-asyncio, and tests of anyio's plugin on its asyncio backend. pytest
imports this module in every run wherever the library is installed, so it imports hardly anything:
a server is loaded when a test asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from jobkit_async.testing.virtual import VirtualTime

__all__ = [
    "fake_bsubio",
    "fake_ecotaxa",
    "fake_leia",
    "fake_vidispine",
    "server_fixture",
    "virtual_time",
]


def pytest_configure(config: pytest.Config) -> None:
    """Bring what takes pytest-asyncio, where that is active."""
    if config.pluginmanager.has_plugin("asyncio"):
        from jobkit_async.testing import loops  # noqa: PLC0415 - see above

        config.pluginmanager.register(loops, "jobkit_async_loops")


# -- in whose event loop a test runs


@pytest.fixture
async def _jobkit_anyio_loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """The event loop of a test that anyio's plugin runs."""
    yield asyncio.get_running_loop()  # noqa: PT022 - the loop lives until this is over


def _loop_of(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoop:
    """The event loop that the test will run in; it does not run yet."""
    config = request.config
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend_name")
        if backend != "asyncio":
            _refuse(
                request,
                f"takes asyncio, and this test runs on {backend}: give it a fixture "
                "anyio_backend that returns 'asyncio'",
            )
        mode = config.getoption("asyncio_mode", None) or _ini(config, "asyncio_mode")
        if mode == "auto":
            _refuse(
                request,
                "cannot serve a test of anyio while pytest-asyncio takes all asynchronous "
                "fixtures: set asyncio_mode to strict",
            )
        name = "_jobkit_anyio_loop"
    elif config.pluginmanager.has_plugin("asyncio"):
        marker = request.node.get_closest_marker("asyncio")
        scope = marker.kwargs.get("loop_scope") if marker is not None else None
        scope = scope or _ini(config, "asyncio_default_test_loop_scope") or "function"
        name = f"_jobkit_{scope}_loop"
    else:
        _refuse(
            request,
            "takes an asynchronous test: install pytest-asyncio, or mark the test with "
            "@pytest.mark.anyio",
        )
    loop: asyncio.AbstractEventLoop = request.getfixturevalue(name)
    return loop


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (KeyError, ValueError):
        return None  # its plugin is not active, or is of another age


def _refuse(request: pytest.FixtureRequest, why: str) -> NoReturn:
    pytest.fail(f"{request.fixturename} {why}", pytrace=False)


# -- servers


def server_fixture(service: str, **options: Any) -> Callable[..., Any]:
    """A fixture that gives a running embedded server of a service.

    It is named by what it is assigned to, in a ``conftest.py`` or a plugin::

        fake_gridbatch = server_fixture("gridbatch")

    Args:
        service: Name of the service, as its package announces it.
        **options: Arguments of the embedded server, such as ``seed=1``.

    Returns:
        The fixture.
    """

    @pytest.fixture
    def running_server(request: pytest.FixtureRequest) -> Iterator[Any]:
        loop = _loop_of(request)
        from jobkit_async.registry import find_service  # noqa: PLC0415 - see above

        server = find_service(service).fake(**options)
        loop.run_until_complete(server.start())
        yield server
        loop.run_until_complete(server.aclose())

    return running_server


fake_bsubio = server_fixture("bsubio")
fake_ecotaxa = server_fixture("ecotaxa")
fake_leia = server_fixture("leia")
fake_vidispine = server_fixture("vidispine")


# -- time


@pytest.fixture
def virtual_time(request: pytest.FixtureRequest) -> Iterator[VirtualTime]:
    """Makes the time of the test virtual: however long a wait, it takes milliseconds."""
    loop = _loop_of(request)
    from jobkit_async.testing import virtual  # noqa: PLC0415 - see above

    if request.node.get_closest_marker("looptime") or request.config.getoption("looptime", None):
        _refuse(request, "and looptime's mark or option do the same: leave one of them out")
    with ExitStack() as stack:
        try:
            time = stack.enter_context(virtual.virtual_time(loop))
        except RuntimeError as error:
            _refuse(request, f"cannot be had: {error}")
        yield time
