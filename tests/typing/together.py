# pyright: reportUnnecessaryTypeIgnoreComment=true
"""What type checkers know of jobs of several services together. Checked, never run."""

from __future__ import annotations

from typing import Any, assert_type

from jobkit_async import (
    BsubioClient,
    BsubioJob,
    EcotaxaJob,
    ExponentialBackoff,
    FixedInterval,
    Hooks,
    Job,
    JobError,
    JobkitError,
    JobState,
    Outcome,
    Polling,
    Waited,
    as_completed,
    combine_hooks,
    wait_all,
)
from jobkit_async.services.bsubio import models


async def mixed(first: BsubioJob, second: EcotaxaJob) -> None:
    jobs: list[BsubioJob | EcotaxaJob] = [first, second]
    assert_type(await wait_all(jobs), list[Outcome[BsubioJob | EcotaxaJob]])
    async with as_completed(jobs) as outcomes:
        outcomes.add(second)
        async for outcome in outcomes:
            assert_type(outcome.job, BsubioJob | EcotaxaJob)
            assert_type(outcome.state, JobState)
            assert_type(outcome.error, JobkitError | None)
    async with as_completed([first, second]) as either:
        async for ended in either:
            assert_type(ended.job.ref, str)
            assert_type(await ended.job.cancel(), None)
    any_of_them: list[Job[Any]] = [first, second]
    await wait_all(any_of_them, timeout=3)


async def of_any_service(job: Job[models.Job]) -> models.Job:
    return await job.wait()


def policy(waited: Waited) -> float:
    return waited.age / 10


def pollings() -> list[Polling]:
    return [
        Polling(),
        Polling(min_interval=1, delay_price=2.5, policy=policy),
        Polling(policy=FixedInterval(3.0)),
        Polling(policy=ExponentialBackoff(initial=0.1)),
    ]


def hooks() -> BsubioClient:
    assert_type(combine_hooks(Hooks(), Hooks()), Hooks)
    client = BsubioClient(api_key="k", hooks=Hooks())
    client.with_options(hooks=print)  # type: ignore[arg-type]
    return client.with_options(hooks=Hooks())


async def mistakes(first: BsubioJob, second: EcotaxaJob, error: JobError) -> None:
    await of_any_service(first)
    await of_any_service(second)  # type: ignore[arg-type]
    await wait_all(first)  # type: ignore[arg-type]
    await wait_all([first.id])  # type: ignore[type-var]
    Polling(policy="fast")  # type: ignore[arg-type]
    Polling(1.0)  # type: ignore[call-arg]
    error.nonsense = 1  # type: ignore[attr-defined]
