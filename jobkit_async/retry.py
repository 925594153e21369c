"""What may be repeated, and after how long. Decisions without I/O."""

from __future__ import annotations

import logging
import random
from typing import Final

from jobkit_async.endpoint import Repeat
from jobkit_async.errors import (
    ApiError,
    ConnectFailed,
    ConnectionLost,
    DecodeError,
    JobkitError,
    RequestTimeout,
    hint_of,
)
from jobkit_async.options import Retry

__all__ = ["Budget", "RetryState", "may_have_worked"]

_log = logging.getLogger("jobkit_async.transport")

REFUND: Final = 0.1
"""The part of a repetition that a success gives back."""

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_AMBIGUOUS: Final = frozenset({500, 502, 504})
"""Statuses of a service that broke down on the way, or of a proxy that lost its answer."""


class Budget:
    """What all calls of a client together may spend on repetitions: a bucket of tokens.

    Args:
        size: The most tokens; a repetition takes one.
    """

    def __init__(self, size: float) -> None:
        self._size = size
        self._tokens = size
        self._warned = False

    def __repr__(self) -> str:
        return f"<Budget of {self._tokens:g} repetitions, at most {self._size:g}>"

    def take(self) -> bool:
        """Take what a repetition costs, if it is there."""
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return True
        if not self._warned:
            self._warned = True
            _log.warning(
                "too many calls failed: %g repetitions are used up, and failed calls are no "
                "longer repeated until others have succeeded",
                self._size,
            )
        return False

    def give(self) -> None:
        """Give back what a success is worth."""
        if self._tokens == self._size:
            return
        # Rounded, so that ten of them are a whole token.
        self._tokens = min(self._size, round(self._tokens + REFUND, 6))
        if self._tokens >= max(1.0, self._size / 2):
            self._warned = False


class RetryState:
    """How the attempts of one call have gone so far, and what follows from it.

    Args:
        repeat: What a second sending of the request does.
        retry: How often, and after what pauses.
        budget: What all calls together may spend.
        rng: Where jitter comes from: a pause is drawn evenly from zero to the longest.
    """

    def __init__(self, repeat: Repeat, retry: Retry, budget: Budget, rng: random.Random) -> None:
        self._repeat = repeat
        self._retry = retry
        self._budget = budget
        self._rng = rng
        self._failures = 0
        self._may_refresh = repeat is Repeat.SAFE
        self._may_have_worked = False

    def pause(self, error: JobkitError, left: float) -> float | None:
        """Seconds until the next attempt, or None where the error stands.

        Args:
            error: How the last attempt ended.
            left: Seconds that are left of the call's time.
        """
        if isinstance(error, ConnectionLost) and error.stale and self._may_refresh and left > 0.0:
            self._may_refresh = False
            return 0.0  # any server closes idle connections: that is no failure of its
        self._failures += 1
        self._may_have_worked = self._may_have_worked or may_have_worked(error)
        if self._failures > self._retry.retries or not _may_repeat(self._repeat, error):
            return None
        pause = hint_of(error)
        if pause is None:
            longest = min(self._retry.cap, self._retry.base * 2.0 ** min(self._failures - 1, 64))
            pause = self._rng.uniform(0.0, longest)
        if pause > self._retry.cap or pause >= left:
            return None
        return pause if self._budget.take() else None

    def done_before(self, error: JobkitError) -> bool:
        """Whether this answer to a repetition says that an earlier attempt took effect."""
        return (
            self._repeat is Repeat.REPEATABLE
            and self._may_have_worked
            and isinstance(error, ApiError)
            and error.status in (400, 404)
        )


def _may_repeat(repeat: Repeat, error: JobkitError) -> bool:
    if isinstance(error, ConnectFailed):
        return not error.certificate
    if repeat is Repeat.ONCE:
        return False
    if isinstance(error, ConnectionLost | RequestTimeout):
        return True
    if isinstance(error, DecodeError):
        return error.cut  # what came whole and cannot be read will not be better next time
    return isinstance(error, ApiError) and error.status in _PASSING


def may_have_worked(error: JobkitError) -> bool:
    """Whether a failed attempt may have taken effect nevertheless."""
    if isinstance(error, ConnectionLost | RequestTimeout | DecodeError):
        return True
    return isinstance(error, ApiError) and error.status in _AMBIGUOUS
