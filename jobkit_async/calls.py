"""Calls that are under way: the time that they have, and how they are ended from outside."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

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
    """One stretch of waiting for a server, by one task.

    Args:
        calls: Those under way, itself among them while it lasts.
        stalled: Seconds until it has stalled if nothing moves, or None if it may take for ever.
        error: Makes what is raised in it when it has stalled.
    """

    __slots__ = ("_calls", "_cancelling", "_error", "_raises", "_stalled", "_timer", "task")

    def __init__(
        self,
        calls: set[_Call],
        stalled: Callable[[], float | None] | None,
        error: Callable[[], Exception],
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - calls are made by tasks
        self.task = task
        self._cancelling = task.cancelling()
        self._calls = calls
        self._stalled = stalled
        self._error = error
        self._raises: Callable[[], Exception] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if self._stalled is not None:
            self._watch_for(self._stalled() or 0.0)
        self._calls.add(self)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._calls.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        # Ours, unless somebody else has cancelled the task in the meantime as well. What was
        # cancelled before it called us cleans up after itself, and is to see our errors.
        if (
            self._raises is not None
            and isinstance(exc, asyncio.CancelledError)
            and self.task.uncancel() <= self._cancelling
        ):
            raise self._raises() from None

    def cancel(self, error: Callable[[], Exception]) -> None:
        """End it; what is raised in it is made by ``error``."""
        if self._raises is None:
            self._raises = error
            self.task.cancel()

    def _watch_for(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        left = self._stalled() if self._stalled is not None else None
        if left:
            self._watch_for(left)
        else:
            self.cancel(self._error)


class Calls:
    """The calls of one client that wait for the server just now."""

    def __init__(self) -> None:
        self._calls: set[_Call] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def under_way(
        self,
        stalled: Callable[[], float | None] | None = None,
        error: Callable[[], Exception] = TimeoutError,
    ) -> AbstractContextManager[None]:
        """A stretch of waiting, which :meth:`end` can end; to be used with ``with`` at once.

        Args:
            stalled: Seconds until the stretch has stalled if nothing moves; asked again then,
                None or 0 meaning that it has. Not given, it may take for ever.
            error: Makes what is raised in it when it has stalled.
        """
        return _Call(self._calls, stalled, error)

    def end(self, error: Callable[[], Exception]) -> None:
        """End all stretches of waiting but the caller's own; ``error`` makes what they raise."""
        for call in list(self._calls):
            if call.task is not asyncio.current_task():
                call.cancel(error)
