"""The demo: hundreds of jobs on four embedded servers, awaited together, checked against the truth.

All that a client learns comes over HTTP through the public clients. What really happened is known
from the servers' ledgers, so the demo can tell whether every outcome is right, how long after the
end it was noticed, and what that cost in requests.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from jobkit_async import InvalidArgument
from jobkit_async.demo.results import DemoResult, Reporter, ServiceResult
from jobkit_async.demo.run import LIMIT, await_all
from jobkit_async.demo.services import CONTENT, PARTS, Part
from jobkit_async.testing import Plan

__all__ = [
    "CONTENT",
    "LIMIT",
    "SERVICES",
    "DemoResult",
    "Reporter",
    "ServiceResult",
    "planned",
    "run_demo",
]

LONGEST: Final = 8.0
"""The most seconds that a job runs."""
SERVICES: Final = tuple(PARTS)
"""The services that the demo shows."""


def planned(rng: random.Random, job_type: str) -> Plan:
    """What becomes of a job: about three seconds, log-normal; one in eight fails."""
    # A conditional job of Leia only begins to run when another one has ended.
    longest = 2.0 if job_type == "conditional" else LONGEST
    return Plan(
        queued=min(1.5, rng.lognormvariate(-0.7, 0.5)),
        running=min(longest, rng.lognormvariate(1.0, 0.5)),
        outcome="failure" if rng.random() < 0.125 else "success",
    )


async def run_demo(
    reporter: Reporter, *, services: Sequence[str] = SERVICES, jobs: int = 100, seed: int = 0
) -> DemoResult:
    """Start the servers, submit jobs to all, await them together, and compare.

    Args:
        reporter: Is told how it goes.
        services: Which services; out of :data:`SERVICES`.
        jobs: Number of jobs per service, at least 1.
        seed: Seeds durations, outcomes and the pace of polling.

    Raises:
        InvalidArgument: An argument is out of bounds.
        JobkitError: A call failed that should not have.
    """
    if jobs < 1:
        raise InvalidArgument("jobs", f"{jobs} is too small: at least 1")
    for name in services:
        if name not in PARTS:
            raise InvalidArgument(
                "service", f"the demo does not show {name!r}; it shows {', '.join(SERVICES)}"
            )
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobkit-")))
        parts: dict[str, Part[Any]] = {}
        for name in dict.fromkeys(services):
            part = parts[name] = PARTS[name](jobs, seed, folder / name, planned)
            await stack.enter_async_context(part.server)
            await part.connect(stack)
            reporter.began(name, part.server.base_url, jobs)
        began = loop.time()
        await await_all(parts, reporter)
        seconds = loop.time() - began
        for part in parts.values():
            part.compare()
            line = await part.download()
            if line is not None:
                reporter.said(line)
        return DemoResult(
            services=[part.view.result(part.server) for part in parts.values()],
            mismatches=[line for part in parts.values() for line in part.view.mismatches],
            seconds=seconds,
        )
