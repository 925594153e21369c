"""The run of the demo: submit the jobs of all services, and await them together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from jobkit_async import JobNeedsInput, Outcome, as_completed
from jobkit_async.demo.check import Handle
from jobkit_async.demo.results import Reporter
from jobkit_async.demo.services import Part
from jobkit_async.waiting import AsCompleted

__all__ = ["LIMIT", "await_all"]

LIMIT: Final = 120.0
"""Seconds after which what has not come by then counts as missing; no job is planned that long."""


async def await_all(parts: Mapping[str, Part[Any]], reporter: Reporter) -> None:
    """Submit the jobs of all services, and take the outcomes of all of them as they come."""
    outcomes: AsCompleted[Handle] = as_completed()

    async def submit(part: Part[Any]) -> None:
        def submitted(job: Handle) -> None:
            part.view.jobs[job.id] = job
            outcomes.add(job)
            reporter.moved(part.service, len(part.view.jobs), part.view.ended)

        await part.submit(submitted)
        await part.cancel()

    try:
        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group, outcomes:
            submitting = [group.create_task(submit(part)) for part in parts.values()]
            # The jobs submitted so far may all have ended while there are more to come.
            while len(outcomes) or not all(task.done() for task in submitting):
                async for outcome in outcomes:
                    await _settle(parts[outcome.job.service], outcome, outcomes, reporter)
                await asyncio.sleep(0.05)
    except ExceptionGroup as errors:
        # No group crosses the surface; the first error is what made the rest stop.
        raise errors.exceptions[0] from None
    except TimeoutError:
        reporter.said(f"gave up after {LIMIT:g} s")


async def _settle(
    part: Part[Any], outcome: Outcome[Handle], outcomes: AsCompleted[Handle], reporter: Reporter
) -> None:
    """Give a job that asks its answer and go on waiting for it; any other outcome is final."""
    now = asyncio.get_running_loop().time()
    needs = outcome.error
    if isinstance(needs, JobNeedsInput) and await part.provide(outcome.job, needs):
        outcomes.add(outcome.job)
        return
    part.view.take(outcome, now)
    reporter.moved(part.service, len(part.view.jobs), part.view.ended)
