"""What is told of requests: a line in the log, the hooks' event, and a warning of an outage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Final

from jobkit_async.errors import TransportError
from jobkit_async.redact import redact
from jobkit_async.request import Request
from jobkit_async.transfer import UploadBody

__all__ = ["Exchange", "Outage"]

_log = logging.getLogger("jobkit_async.transport")

FAILURES: Final = 3
"""Requests in a row without an answer that make an outage ..."""
LEAST: Final = 5.0
"""... if they fail over at least so many seconds."""
_ABSENT: Final = frozenset({502, 503, 504})
"""Statuses by which a proxy says that the service does not answer, or this that it is down."""


class Outage:
    """Notices that a service does not answer, and that it does so again; logs each once.

    Args:
        host: Where the service is, for the log.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._failures = 0
        self._since = 0.0
        self._told = False

    def failed(self, problem: str, now: float) -> None:
        """A request had no answer; ``now`` is the loop's time in seconds."""
        if not self._failures:
            self._since = now
        self._failures += 1
        lasted = now - self._since
        if not self._told and self._failures >= FAILURES and lasted >= LEAST:
            self._told = True
            _log.warning("%s has not answered for %.0f s: %s", self._host, lasted, problem)

    def answered(self, now: float) -> None:
        """A request was answered."""
        if self._told:
            lasted = now - self._since
            _log.warning("%s answers again, after an outage of %.0f s", self._host, lasted)
        self._failures = 0
        self._told = False


class Exchange:
    """One request on its way out and its answer on its way in, from its sending on.

    Args:
        request: The request.
        outage: Is told whether there was an answer.

    Attributes:
        status: HTTP status of the answer, once there is one.
        received: Bytes of the answer's body that have come, decompressed.
    """

    __slots__ = (
        "_clock",
        "_context",
        "_error",
        "_outage",
        "_over",
        "_request",
        "_started",
        "received",
        "status",
    )

    def __init__(self, request: Request, outage: Outage) -> None:
        self._request = request
        self._outage = outage
        self._over = False
        self._error: type[BaseException] | None = None
        self._clock = asyncio.get_running_loop().time  # also where it ends outside of the loop
        self._started = self._clock()
        # A download may be read, or time out, far from where it was asked for.
        self._context = copy_context() if request.reporter is not None else None
        self.status: int | None = None
        self.received = 0

    def answered(self, status: int) -> None:
        """The answer's headers are there."""
        self.status = status

    @contextmanager
    def failing(self) -> Generator[None]:
        """Around what raises the error that ends it."""
        try:
            yield
        except asyncio.CancelledError as error:
            self._error = type(error)  # which may stand for another, known further out
            raise
        except BaseException as error:
            self.end(type(error))
            raise

    def end(self, error: type[BaseException] | None = None, *, whole: bool = False) -> None:
        """It is over: tell of it. Can be repeated; the first time counts.

        Args:
            error: Class of what went wrong on the way.
            whole: Whether the answer was read to its end.
        """
        if self._over:
            return
        self._over = True
        error = error or self._error
        now = self._clock()
        seconds = now - self._started
        if _log.isEnabledFor(logging.DEBUG):
            self._log_it(error, whole, seconds)
        if self.status in _ABSENT:
            self._outage.failed(f"HTTP {self.status}", now)
        elif self.status is not None:
            self._outage.answered(now)
        elif error is not None and issubclass(error, TransportError):
            self._outage.failed(error.__name__, now)
        reporter = self._request.reporter
        if reporter is not None and self._context is not None:
            row = self._request.row
            self._context.run(
                reporter.request,
                operation=row.name,
                method=row.method,
                route=row.path,
                status=self.status,
                error=error,
                whole=whole,
                seconds=seconds,
                attempt=self._request.attempt,
                sent=self._sent(),
                received=self.received,
            )

    def _sent(self) -> int | None:
        body = self._request.body
        if isinstance(body, UploadBody):
            return body.taken if self.status is not None else None
        return len(body or b"")

    def _log_it(self, error: type[BaseException] | None, whole: bool, seconds: float) -> None:
        request = self._request
        told = [] if self.status is None else [str(self.status)]
        if error is not None:
            told.append(error.__name__)
        elif not whole and told:
            told.append("not read to its end,")
        _log.debug(
            "%s %s: %s after %.3f s, %d bytes",
            request.row.method,
            redact(request.target, request.secrets),
            ", ".join(told) or "closed",
            seconds,
            self.received,
        )
