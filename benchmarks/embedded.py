"""Embedded servers in processes of their own, with jobs whose fates are told beforehand."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from multiprocessing.connection import Connection

import attrs

from benchmarks.crowd import Fate
from benchmarks.served import Server
from jobkit_async import BsubioClient, BsubioJob
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio, FakeVidispine, Plan

__all__ = ["EmbeddedServer", "Told"]


@attrs.frozen
class Told:
    """What a server has done so far.

    Attributes:
        cpu: Seconds of the processor.
        requests: Number of requests.
    """

    cpu: float
    requests: int


class EmbeddedServer(Server):
    """Runs bsub.io's or Vidispine's embedded server; use it with ``with``.

    Args:
        service: Which of them.
        key: All of the credentials.
        fates: What becomes of its jobs.
    """

    def __init__(self, service: str, key: str, fates: Sequence[Fate]) -> None:
        super().__init__(_serve, service, key, fates)
        self._prefix = FakeVidispine.prefix if service == "vidispine" else FakeBsubio.prefix

    @property
    def base_url(self) -> str:
        return f"{super().base_url}{self._prefix}"

    def begin(self, count: int) -> dict[str, float]:
        """Send so many more of the jobs off.

        Returns:
            When each ends, by ``time.monotonic()``; by id.
        """
        self._pipe.send(count)
        ends: dict[str, float] = self._pipe.recv()
        return ends

    def told(self) -> Told:
        """What it has done."""
        self._pipe.send(None)
        told: Told = self._pipe.recv()
        return told


Begin = Callable[[int], Awaitable[list[str]]]
"""Sends so many more jobs off; their ids."""


def _serve(pipe: Connection, service: str, key: str, fates: Sequence[Fate]) -> None:
    asyncio.run(
        _vidispine(pipe, key, fates) if service == "vidispine" else _bsubio(pipe, key, fates)
    )


async def _vidispine(pipe: Connection, key: str, fates: Sequence[Fate]) -> None:
    async with FakeVidispine(username=key, password=key, planner=_planner(fates)) as server:

        async def begin(count: int) -> list[str]:
            return [server.create_job("TRANSCODE").id for _ in range(count)]

        await _obey(pipe, server, begin)


async def _bsubio(pipe: Connection, key: str, fates: Sequence[Fate]) -> None:
    async with (
        FakeBsubio(api_key=key, planner=_planner(fates)) as server,
        BsubioClient(api_key=key, base_url=server.base_url) as client,
    ):

        async def load(job: BsubioJob) -> None:
            await job.upload(b"data")

        async def submit(job: BsubioJob) -> None:
            await job.submit()

        made = [await client.jobs.create_job(CreateJobRequest(type="pdf/extract")) for _ in fates]
        await asyncio.gather(*(load(job) for job in made))
        left = iter(made)

        async def begin(count: int) -> list[str]:
            jobs = [next(left) for _ in range(count)]
            await asyncio.gather(*(submit(job) for job in jobs))
            return [job.id for job in jobs]

        await _obey(pipe, server, begin)


def _planner(fates: Sequence[Fate]) -> Callable[[random.Random, str], Plan]:
    left = iter(fates)

    def planner(_rng: random.Random, _kind: str) -> Plan:
        fate = next(left)
        return Plan(
            queued=0.0, running=fate.seconds, outcome="failure" if fate.failed else "success"
        )

    return planner


async def _obey(pipe: Connection, server: FakeBsubio | FakeVidispine, begin: Begin) -> None:
    """Tell the port, and then whatever is asked."""
    pipe.send(int(server.base_url.split(":")[2].split("/")[0]))
    while True:
        count: int | None = await asyncio.to_thread(pipe.recv)
        if count is None:
            pipe.send(Told(time.process_time(), sum(server.requests.values())))
            continue
        ids = await begin(count)
        pipe.send({key: server.jobs[key].timeline.history(inf)[-1][0] for key in ids})
