"""For tests of pytest-asyncio: the event loop that a test runs in, whatever its scope.

The plugin registers this module where pytest-asyncio is active.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

__all__: list[str] = []


def _fixture(scope: Any) -> Any:
    @pytest_asyncio.fixture(loop_scope=scope, name=f"_jobkit_{scope}_loop")
    async def loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
        yield asyncio.get_running_loop()

    return loop


_function = _fixture("function")
_class = _fixture("class")
_module = _fixture("module")
_package = _fixture("package")
_session = _fixture("session")
