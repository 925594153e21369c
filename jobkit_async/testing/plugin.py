"""pytest fixtures: a running embedded server for each service.

They are asynchronous fixtures of pytest-asyncio, which has to be installed; the servers are loaded
when a test asks for one, so a test run that uses none pays nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_asyncio import fixture

    from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia, FakeVidispine
else:
    try:
        from pytest_asyncio import fixture
    except ImportError:  # every test run finds the plugin, also one without asynchronous tests
        from pytest import fixture  # noqa: PT013

__all__ = ["fake_bsubio", "fake_ecotaxa", "fake_leia", "fake_vidispine"]


async def _running(name: str) -> AsyncIterator[Any]:
    from jobkit_async import testing  # noqa: PLC0415 - see the module docstring

    async with getattr(testing, name)() as server:
        yield server


@fixture
async def fake_bsubio() -> AsyncIterator[FakeBsubio]:
    """A running embedded bsub.io server."""
    async for server in _running("FakeBsubio"):
        yield server


@fixture
async def fake_ecotaxa() -> AsyncIterator[FakeEcotaxa]:
    """A running embedded EcoTaxa server."""
    async for server in _running("FakeEcotaxa"):
        yield server


@fixture
async def fake_leia() -> AsyncIterator[FakeLeia]:
    """A running embedded Leia server."""
    async for server in _running("FakeLeia"):
        yield server


@fixture
async def fake_vidispine() -> AsyncIterator[FakeVidispine]:
    """A running embedded Vidispine server."""
    async for server in _running("FakeVidispine"):
        yield server
