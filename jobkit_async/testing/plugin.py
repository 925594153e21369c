"""pytest fixtures: a running embedded server for each service.

They are asynchronous fixtures of pytest-asyncio, which has to be installed; the servers are loaded
when a test asks for one, so a test run that uses none pays nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia, FakeVidispine

__all__ = ["fake_bsubio", "fake_ecotaxa", "fake_leia", "fake_vidispine"]

_fixture: Any
try:
    from pytest_asyncio import fixture as _fixture
except ImportError:  # the plugin is found by every test run, also by those that have no such tests
    _fixture = pytest.fixture


async def _running(name: str) -> AsyncIterator[Any]:
    from jobkit_async import testing  # noqa: PLC0415 - see the module docstring

    async with getattr(testing, name)() as server:
        yield server


@_fixture
async def fake_bsubio() -> AsyncIterator[FakeBsubio]:
    """A running embedded bsub.io server."""
    async for server in _running("FakeBsubio"):
        yield server


@_fixture
async def fake_ecotaxa() -> AsyncIterator[FakeEcotaxa]:
    """A running embedded EcoTaxa server."""
    async for server in _running("FakeEcotaxa"):
        yield server


@_fixture
async def fake_leia() -> AsyncIterator[FakeLeia]:
    """A running embedded Leia server."""
    async for server in _running("FakeLeia"):
        yield server


@_fixture
async def fake_vidispine() -> AsyncIterator[FakeVidispine]:
    """A running embedded Vidispine server."""
    async for server in _running("FakeVidispine"):
        yield server
