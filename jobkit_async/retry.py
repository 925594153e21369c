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

__all__ = ["Retry", "already_done"]

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


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

    def pause(
        self, repeat: Repeat, attempt: int, error: JobkitError, rng: random.Random
    ) -> float | None:
        """Seconds until the next attempt, or None where the error stands.

        Args:
            repeat: What a second sending of this request does.
            attempt: Number of attempts made so far, from 1.
            error: How the last one failed.
            rng: Where the jitter comes from: pauses are drawn evenly from zero to the longest.
        """
        if attempt > self.retries or not _may_repeat(repeat, error):
            return None
        hint = error.retry_after if isinstance(error, RateLimited | ServerError) else None
        if hint is not None:
            return hint if hint <= self.cap else None
        longest = min(self.cap, self.base * 2.0 ** (attempt - 1))
        return rng.uniform(0.0, longest)


def _may_repeat(repeat: Repeat, error: JobkitError) -> bool:
    if isinstance(error, ConnectFailed):
        return True
    if repeat is Repeat.ONCE:
        return False
    if isinstance(error, ConnectionLost | RequestTimeout):
        return True
    return isinstance(error, ApiError) and error.status in _PASSING


def already_done(repeat: Repeat, attempt: int, error: JobkitError) -> bool:
    """Whether this answer to a repetition says that an earlier attempt took effect after all."""
    return (
        repeat is Repeat.REPEATABLE
        and attempt > 1
        and isinstance(error, ApiError)
        and error.status in (400, 404)
    )
