"""A job's path through its states, planned ahead and looked up by time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal, Self

import attrs

from jobkit_async.checks import check_seconds
from jobkit_async.errors import InvalidArgument

__all__ = ["Plan", "Planner", "Timeline", "drawn"]


class Timeline:
    """Which status a job has when.

    Nothing runs in the background: a status is a function of time, so ten thousand jobs cost
    nothing until somebody asks.

    Args:
        at: Loop time at which the job comes to be.
        status: Its first status.
    """

    __slots__ = ("_steps",)

    def __init__(self, at: float, status: str) -> None:
        self._steps = [(at, status)]

    def at(self, now: float) -> tuple[float, str]:
        """Since when the job has had which status, as of ``now``."""
        return next(
            ((at, status) for at, status in reversed(self._steps) if at <= now), self._steps[0]
        )

    def status(self, now: float) -> str:
        """The status as of ``now``."""
        return self.at(now)[1]

    def since(self, now: float, *statuses: str) -> float | None:
        """When one of these statuses was last entered, as of ``now``; None if never."""
        return next(
            (at for at, status in reversed(self._steps) if at <= now and status in statuses), None
        )

    def go(self, now: float, *steps: tuple[float, str]) -> None:
        """Plan anew from ``now`` on: each step is a delay after the step before, and a status."""
        self._steps = [step for step in self._steps if step[0] <= now]
        at = now
        for delay, status in steps:
            at += delay
            self._steps.append((at, status))

    def history(self, now: float) -> list[tuple[float, str]]:
        """All that has happened up to ``now``, oldest first."""
        return [step for step in self._steps if step[0] <= now]


@attrs.frozen(kw_only=True)
class Plan:
    """What is to become of one job.

    Attributes:
        queued: Seconds that it waits for a worker.
        running: Seconds that it runs.
        outcome: How it ends; ``"question"`` stops half-way to ask, where the service can.
        message: What the service says about a failure.
    """

    queued: float = 1.0
    running: float = 4.0
    outcome: Literal["success", "failure", "question"] = "success"
    message: str = "the job failed as planned"

    @classmethod
    def succeeds(cls, *, after: float = 0.0, queued: float = 0.0) -> Self:
        """A job that succeeds.

        Args:
            after: Seconds from when it is on its way to its end.
            queued: How many of them it waits for a worker.
        """
        return cls(queued=queued, running=_running(after, queued))

    @classmethod
    def fails(
        cls, message: str = "the job failed as planned", *, after: float = 0.0, queued: float = 0.0
    ) -> Self:
        """A job that fails.

        Args:
            message: What the service says about the failure.
            after: Seconds from when it is on its way to its end.
            queued: How many of them it waits for a worker.
        """
        running = _running(after, queued)
        return cls(queued=queued, running=running, outcome="failure", message=message)

    @classmethod
    def never_ends(cls) -> Self:
        """A job that runs on for a thousand years, unless it is cancelled."""
        return cls(queued=0.0, running=3e10)


def _running(after: float, queued: float) -> float:
    check_seconds("queued", queued, zero=True)
    if check_seconds("after", after, zero=True) < queued:
        raise InvalidArgument("after", f"the job is queued for {queued} s of it")
    return after - queued


Planner = Callable[[random.Random, str], Plan]
"""Draws the plan of a new job, from the server's random numbers and the job's type."""


def drawn(rng: random.Random, job_type: str) -> Plan:
    """The default planner: a few seconds, log-normal; one job in eight fails."""
    del job_type
    return Plan(
        queued=rng.lognormvariate(-0.7, 0.5),
        running=rng.lognormvariate(0.9, 0.6),
        outcome="failure" if rng.random() < 0.125 else "success",
    )
