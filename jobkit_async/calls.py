"""Calls that are under way: the time that they have, and how they are ended from outside."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from jobkit_async.options import Timeout

__all__ = ["CallTime", "Calls"]


class CallTime:
    """The time that one call has, with all its attempts and the pauses between them.

    Args:
        timeout: How long its parts may take.
    """

    def __init__(self, timeout: Timeout) -> None:
        self.timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + timeout.call
        self._stopped_at: float | None = None

    @property
    def over(self) -> bool:
        """Whether it is over, and was not ended before."""
        return self.left() == 0.0 and self._until > -math.inf

    def left(self) -> float:
        """Seconds that are left; 0 when its time is over."""
        now = self._loop.time() if self._stopped_at is None else self._stopped_at
        # Timers may be early by less than the clock can tell.
        left = self._until - now
        return left if left > 1e-6 else 0.0

    @contextmanager
    def stopped(self) -> Generator[None]:
        """A stretch of time that does not count."""
        self._stopped_at = self._loop.time()
        try:
            yield
        finally:
            self._until += self._loop.time() - self._stopped_at
            self._stopped_at = None

    def end(self) -> None:
        """Leave no time for anything more."""
        self._until = -math.inf


class _Call:
    """One stretch of waiting for a server, by one task."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.cancelling = task.cancelling()
        self.error: Callable[[], Exception] | None = None


class Calls:
    """The calls of one client that wait for the server just now."""

    def __init__(self) -> None:
        self._calls: set[_Call] = set()

    def __len__(self) -> int:
        return len(self._calls)

    @contextmanager
    def under_way(
        self,
        stalled: Callable[[], float | None] | None = None,
        error: Callable[[], Exception] = TimeoutError,
    ) -> Generator[None]:
        """A stretch of waiting, which :meth:`end` can end.

        Args:
            stalled: Seconds until the stretch has stalled if nothing moves; asked again then,
                None or 0 meaning that it has. Not given, it may take for ever.
            error: Makes what is raised in it when it has stalled.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - calls are made by tasks
        call = _Call(task)
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None

        def watch() -> None:
            nonlocal timer
            left = stalled() if stalled is not None else None
            if left:
                timer = loop.call_later(left, watch)
            else:
                self._cancel(call, error)

        if stalled is not None:
            timer = loop.call_later(stalled() or 0.0, watch)
        self._calls.add(call)
        try:
            yield
        except asyncio.CancelledError:
            # Ours, unless somebody else has cancelled the task in the meantime as well. What was
            # cancelled before it called us cleans up after itself, and is to see our errors.
            if call.error is not None and task.uncancel() <= call.cancelling:
                raise call.error() from None
            raise
        finally:
            self._calls.discard(call)
            if timer is not None:
                timer.cancel()

    def end(self, error: Callable[[], Exception]) -> None:
        """End all stretches of waiting but the caller's own; ``error`` makes what they raise."""
        for call in list(self._calls):
            if call.task is not asyncio.current_task():
                self._cancel(call, error)

    @staticmethod
    def _cancel(call: _Call, error: Callable[[], Exception]) -> None:
        if call.error is None:
            call.error = error
            call.task.cancel()
