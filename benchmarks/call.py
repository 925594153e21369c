"""What one call costs: ``get_job``, against plain aiohttp and the official clients.

A server on loopback gives one prepared answer: the job as the embedded server shows it. Each
contender runs in a fresh process, in turn with the others, after calls that warm it up. The case is
SERVICE/AT ONCE/CONTENDER; ``cpu`` is the processor time of the client's process for one call, that
of its threads included, ``wall`` the time that goes by.

- ``aiohttp``: what no call can go without: a session's ``get``, and the JSON parsed.
- ``httpx``: the same with httpx.
- ``ours``: a handle of the typed job, with all that a call of ours does.
- ``official``: the service's official client, one call after the other, or with 64 at once in a
  pool of as many threads.

``by aiohttp`` and ``by official`` are our processor time by theirs, of neighbours in turn. The row
``server`` is the share of the time in which the server was busy: below 1, it held up nobody.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, Final

import aiohttp
import attrs

from benchmarks.child import in_child
from benchmarks.peers import without
from benchmarks.report import Note, Row, row_of
from benchmarks.served import AnswerServer
from jobkit_async import BsubioClient, VidispineClient
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.testing import FakeBsubio, FakeVidispine

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--calls", "128", "--repeat", "1")
AT_ONCE: Final = (1, 64)
BY_AIOHTTP: Final = 1.15
BY_OFFICIAL: Final = {1: 0.6, 64: 0.4}
PATHS: Final = {"bsubio": "/v1/jobs/", "vidispine": "/job/"}
"""Where jobs are below the base URL, by service; the id is to follow."""
WARM_UP: Final = 50
"""Calls in a row that are not counted, if as many are."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--calls", type=int, default=4096, help="calls that are counted at a time")
    parser.add_argument("--repeat", type=int, default=7, help="how often each case is run")


def run(options: argparse.Namespace) -> Iterator[Row | Note]:
    """Measure, and report what was found."""
    for service in PATHS:
        sides = ["aiohttp", "ours"]
        for side, package in (("httpx", "httpx"), ("official", service)):
            missing = without(package)
            if missing is None:
                sides.append(side)
            else:
                yield Note(case=f"{service}/{side}", text=missing)
        job_id, body = asyncio.run(_shown(service))
        with AnswerServer(body) as server:
            for at_once in AT_ONCE:
                runs: dict[str, list[_Run]] = {side: [] for side in sides}
                for turn in range(options.repeat):
                    for side in sorted(sides, reverse=turn % 2 > 0):
                        work = _Work(service, server.base_url, job_id, at_once, options.calls)
                        busy = server.cpu()
                        one = in_child(measure, side, work)
                        each = (server.cpu() - busy) / (options.calls + work.warm_up * at_once)
                        runs[side].append(attrs.evolve(one, server=each / one.wall))
                yield from _rows(f"{service}/{at_once}", at_once, runs)


@attrs.frozen
class _Work:
    """What to call, how many at once, and how often."""

    service: str
    url: str
    job_id: str
    at_once: int
    calls: int

    @property
    def warm_up(self) -> int:
        """Calls in a row that come first."""
        return min(WARM_UP, self.calls // self.at_once)

    @property
    def job_url(self) -> str:
        """Where the job is."""
        return f"{self.url}{PATHS[self.service]}{self.job_id}"


@attrs.frozen
class _Run:
    """Seconds of a call, of the processor and of the clock; and how busy the server was."""

    cpu: float
    wall: float
    server: float = 0.0


def _rows(case: str, at_once: int, runs: dict[str, list[_Run]]) -> Iterator[Row]:
    for side, found in runs.items():
        yield row_of([1e6 * one.cpu for one in found], f"{case}/{side}", "cpu", "us")
        yield row_of([1e6 * one.wall for one in found], f"{case}/{side}", "wall", "us")
        yield row_of([one.server for one in found], f"{case}/{side}", "server")
    for side, most in (("aiohttp", BY_AIOHTTP), ("official", BY_OFFICIAL[at_once])):
        if side in runs:
            pairs = zip(runs["ours"], runs[side], strict=True)
            ratios = [ours.cpu / theirs.cpu for ours, theirs in pairs]
            yield row_of(ratios, f"{case}/ours", f"by {side}", most=most)


async def _shown(service: str) -> tuple[str, bytes]:
    """A job's id, and the answer that shows it."""
    auth: aiohttp.BasicAuth | None = None
    headers = {"Accept": "application/json"}
    async with FakeBsubio() if service == "bsubio" else FakeVidispine() as server:
        if isinstance(server, FakeBsubio):
            key = server.api_key
            headers["Authorization"] = f"Bearer {key}"
            async with BsubioClient(api_key=key, base_url=server.base_url) as bsubio:
                job_id = (await bsubio.jobs.create_job(CreateJobRequest(type="pdf/extract"))).id
        else:
            user, word = server.username, server.password
            auth = aiohttp.BasicAuth(user, word)
            async with VidispineClient(
                username=user, password=word, base_url=server.base_url
            ) as vidispine:
                metadata = SimpleMetadataType()
                job_id = (await vidispine.jobs.create_custom_job("TRANSCODE", metadata)).id
        url = f"{server.base_url}{PATHS[service]}{job_id}"
        async with (
            aiohttp.ClientSession(auth=auth, headers=headers) as session,
            session.get(url) as answer,
        ):
            answer.raise_for_status()
            return job_id, await answer.read()


# -- one contender, in a process of its own

Call = Callable[[], Awaitable[object]]


def measure(side: str, work: _Work) -> _Run:
    """Call so often; what one call took."""
    if side == "official":
        return _officially(work)
    contender = {"aiohttp": _aiohttp, "httpx": _httpx, "ours": _ours}[side]
    return asyncio.run(contender(work))


async def _timed(call: Call, work: _Work) -> _Run:
    async def calls(count: int) -> None:
        for _ in range(count):
            await call()

    async def at_once(count: int) -> None:
        await asyncio.gather(*(calls(count) for _ in range(work.at_once)))

    await at_once(work.warm_up)
    cpu, wall = time.process_time(), time.perf_counter()
    await at_once(work.calls // work.at_once)
    return _per_call(cpu, wall, work)


def _per_call(cpu: float, wall: float, work: _Work) -> _Run:
    count = work.calls // work.at_once * work.at_once
    return _Run((time.process_time() - cpu) / count, (time.perf_counter() - wall) / count)


async def _aiohttp(work: _Work) -> _Run:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as session:

        async def call() -> object:
            async with session.get(work.job_url) as answer:
                answer.raise_for_status()
                return await answer.json()

        return await _timed(call, work)


async def _httpx(work: _Work) -> _Run:
    httpx: Any = import_module("httpx")
    async with httpx.AsyncClient(headers={"Authorization": "Bearer k"}) as client:

        async def call() -> object:
            answer = await client.get(work.job_url)
            answer.raise_for_status()
            return answer.json()

        return await _timed(call, work)


async def _ours(work: _Work) -> _Run:
    if work.service == "bsubio":
        async with BsubioClient(api_key="k", base_url=work.url) as bsubio:
            return await _timed(lambda: bsubio.jobs.get_job(work.job_id), work)
    async with VidispineClient(username="u", password="p", base_url=work.url) as vidispine:  # noqa: S106 - any will do
        return await _timed(lambda: vidispine.jobs.get_job(work.job_id), work)


def _officially(work: _Work) -> _Run:
    package: Any = import_module(work.service)
    settings = package.Configuration(host=work.url)
    settings.connection_pool_maxsize = work.at_once
    if work.service == "bsubio":
        settings.access_token = "k"  # noqa: S105 - any will do
        call = package.JobsApi(package.ApiClient(settings)).get_job
    else:
        settings.username, settings.password = "u", "p"
        call = package.JobApi(package.ApiClient(settings)).get_job
    if call(work.job_id) is None:
        raise ValueError("the official client has found no job")

    def calls(count: int) -> None:
        for _ in range(count):
            call(work.job_id)

    with ThreadPoolExecutor(work.at_once) as pool:

        def at_once(count: int) -> None:
            if work.at_once == 1:
                calls(count)
            else:
                list(pool.map(calls, [count] * work.at_once))

        at_once(work.warm_up)
        cpu, wall = time.process_time(), time.perf_counter()
        at_once(work.calls // work.at_once)
        return _per_call(cpu, wall, work)
