"""What may be repeated, and after how long. Pure decisions."""

from __future__ import annotations

import random
from typing import Final

import attrs

from jobkit_async.endpoint import Repeat
from jobkit_async.errors import (
    ApiError,
    ConnectFailed,
    ConnectionLost,
    JobkitError,
    RateLimited,
    RequestTimeout,
    ServerError,
)

__all__ = ["Retry", "RetryState"]

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_AMBIGUOUS: Final = frozenset({500, 502, 504})
"""Statuses of a service that broke down on the way, or of a proxy that lost its answer."""


@attrs.frozen
class Retry:
    """How often a call is repeated, and how long to pause before.

    Attributes:
        retries: The most repetitions of one call.
        base: The longest first pause in seconds; each further one may be twice as long.
        cap: The longest pause in seconds.
    """

    retries: int = 2
    base: float = 0.5
    cap: float = 20.0


class RetryState:
    """How the attempts of one call have gone so far, and what follows from it.

    Args:
        repeat: What a second sending of the request does.
        retry: How often, and after what pauses.
        rng: Where jitter comes from: a pause is drawn evenly from zero to the longest.
    """

    def __init__(self, repeat: Repeat, retry: Retry, rng: random.Random) -> None:
        self._repeat = repeat
        self._retry = retry
        self._rng = rng
        self._failures = 0
        self._may_have_worked = False

    def pause(self, error: JobkitError) -> float | None:
        """Seconds until the next attempt, or None where the error stands."""
        self._failures += 1
        self._may_have_worked = self._may_have_worked or _may_have_worked(error)
        if self._failures > self._retry.retries or not _may_repeat(self._repeat, error):
            return None
        hint = error.retry_after if isinstance(error, RateLimited | ServerError) else None
        if hint is not None:
            return hint if hint <= self._retry.cap else None
        longest = min(self._retry.cap, self._retry.base * 2.0 ** (self._failures - 1))
        return self._rng.uniform(0.0, longest)

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
        return True
    if repeat is Repeat.ONCE:
        return False
    if isinstance(error, ConnectionLost | RequestTimeout):
        return True
    return isinstance(error, ApiError) and error.status in _PASSING


def _may_have_worked(error: JobkitError) -> bool:
    """Whether a failed attempt may have taken effect nevertheless."""
    if isinstance(error, ConnectionLost | RequestTimeout):
        return True
    return isinstance(error, ApiError) and error.status in _AMBIGUOUS
