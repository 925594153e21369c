"""The states of a job, in words that all services share."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ENDED", "JobState", "Need"]


class JobState(StrEnum):
    """Where a job stands, whatever its service calls it.

    The service's own word is always at hand too, as ``job.raw_status``.
    """

    PENDING = "pending"
    """Queued, held, or waiting for something other than its owner."""
    RUNNING = "running"
    NEEDS_INPUT = "needs_input"
    """Stands still until its owner uploads, submits, answers or starts; see :class:`Need`."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """The service used a word that this version of the library does not know."""

    def __init__(self, word: str) -> None:
        self._ended = word in ("succeeded", "failed", "cancelled")  # is asked of all that is seen

    @property
    def ended(self) -> bool:
        """Whether the job is over: succeeded, failed or cancelled."""
        return self._ended


ENDED = frozenset(state for state in JobState if state.ended)
"""The states in which a job is over."""


class Need(StrEnum):
    """What a job in :attr:`JobState.NEEDS_INPUT` waits for."""

    UPLOAD = "upload"
    SUBMIT = "submit"
    ANSWER = "answer"
    START = "start"
