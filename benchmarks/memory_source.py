"""A service in memory: a real client whose source answers at once, without any HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from math import inf
from typing import ClassVar, Final, cast

from jobkit_async.auth import bearer
from jobkit_async.caller import Caller
from jobkit_async.job import Job
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Ask, Observed, Sighting, Source
from jobkit_async.service import ServiceClient
from jobkit_async.states import JobState

__all__ = ["MemoryClient", "MemoryJob", "MemorySource"]

RUNNING: Final[Sighting[str]] = Sighting(state=JobState.RUNNING, raw_status="running")
"""One for all jobs: what an observation costs is not what is measured with this service."""


class MemorySource:
    """Observes jobs that run until they are told to end.

    Args:
        batch: How many jobs one request answers for; None if one answers for all of them.

    Attributes:
        ends: Loop time at which each job ends; a job that is not in here runs for ever.
        looks: Loop times of the looks at many jobs.
        requests: Number of requests that all looks have taken.
        reads: Number of jobs that were read one by one.
    """

    def __init__(self, batch: int | None = None) -> None:
        self._batch = batch
        self.ends: dict[str, float] = {}
        self.looks: list[float] = []
        self.requests = 0
        self.reads = 0

    @property
    def batch(self) -> int | None:
        return self._batch

    def sight(self, data: str) -> Sighting[str]:
        return Sighting(state=JobState.SUCCEEDED, raw_status="finished", final=True, data=data)

    async def observe(self, asks: Mapping[str, Ask]) -> Observed[str]:
        now = asyncio.get_running_loop().time()
        self.looks.append(now)
        cost = 1 if self._batch is None else -(-len(asks) // self._batch)
        self.requests += cost
        return Observed(seen={key: self._see(key, now) for key in asks}, cost=cost)

    async def read(self, key: str) -> Sighting[str]:
        self.reads += 1
        return self._see(key, asyncio.get_running_loop().time())

    async def finish(self, keys: Iterable[str]) -> Mapping[str, Sighting[str] | Exception]:
        return {key: await self.read(key) for key in keys}

    def _see(self, key: str, now: float) -> Sighting[str]:
        return self.sight(f"snapshot of {key}") if self.ends.get(key, inf) <= now else RUNNING


class MemoryJob(Job[str]):
    """A handle of a job in memory."""

    __slots__ = ()
    service: ClassVar[str] = "memory"

    @property
    def id(self) -> str:
        return cast(str, self._record.key)

    async def _cancel(self) -> None:
        self._ended("jobs in memory cannot be cancelled")


class MemoryClient(ServiceClient[MemoryJob, str]):
    """The client of a service in memory; use it with ``async with``.

    Args:
        source: The service.
        polling: How jobs are waited for.
    """

    service = "memory"
    default_base_url = "http://127.0.0.1:9"
    _job_class = MemoryJob

    def __init__(self, source: MemorySource, polling: Polling | None = None) -> None:
        self._memory = source
        super().__init__(
            auth=bearer("token", "none"),
            base_url=self.default_base_url,
            session=None,
            polling=polling,
            timeout=None,
            allow_plain_http=False,
        )

    def _make_source(self, caller: Caller) -> Source[str]:
        return self._memory

    def job(self, job_id: str) -> MemoryJob:
        """A handle of a job that may have been running for long. No I/O."""
        return self._handle(self._record_of(job_id))

    def submit(self, job_id: str, seconds: float = inf) -> MemoryJob:
        """A job that has just been made.

        Args:
            job_id: Its id.
            seconds: How long it runs.
        """
        now = asyncio.get_running_loop().time()
        if seconds < inf:
            self._memory.ends[job_id] = now + seconds
        record = self._record_of(job_id)
        record.observe(RUNNING, asked_at=now, now=now)
        record.born, record.dated = now, True
        return self._handle(record)
