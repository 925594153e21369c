"""Calls that are under way, and can be ended from outside with an error of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["Calls"]


class _Call:
    """One stretch of waiting for a server, by one task."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
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
        error: type[Exception] = TimeoutError,
    ) -> Generator[None]:
        """A stretch of waiting, which :meth:`end` can end.

        Args:
            stalled: Seconds until the stretch has stalled if nothing moves; asked again then,
                None or 0 meaning that it has. Not given, it may take for ever.
            error: What is raised in it when it has stalled.
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
            # Ours, unless the task was cancelled by somebody else as well.
            if call.error is not None and task.uncancel() == 0:
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
