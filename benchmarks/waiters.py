"""Those who wait for many jobs, each in a process of its own; see ``wait`` and ``threads``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, Final

import aiohttp
import attrs

from benchmarks.crowd import SUBMITTER
from jobkit_async import (
    BsubioClient,
    EcotaxaClient,
    LeiaClient,
    Polling,
    VidispineClient,
    as_completed,
)
from jobkit_async.service import ServiceClient
from jobkit_async.states import JobState

__all__ = ["KEY", "THREADS", "Found", "Work", "measure"]

KEY: Final = "k"
"""All of the credentials, of whatever kind."""
HEADERS: Final = {"Authorization": f"Bearer {KEY}"}
FAILURES: Final = ("E", "FAILED", "failed", "FAILED_TOTAL", "ABORTED")
ENDS: Final = (
    *FAILURES,
    *("F", "PROCESSED", "CANCELED", "finished", "FINISHED", "FINISHED_WARNING"),
)
THREADS: Final = 64
"""Of the pool in which the official clients wait."""


@attrs.frozen
class Work:
    """Which jobs to await, where, and how many seconds there are between two questions for one.

    Ours is then the least interval; with None it paces itself as it does by default.
    """

    service: str
    url: str
    jobs: Sequence[Any]
    interval: float | None


@attrs.frozen
class Found:
    """What a contender learnt: when, by ``time.monotonic()``, of each job, and how many failed."""

    known: Sequence[float]
    failed: int
    cpu: float


Follow = Callable[[Any], Awaitable[bool]]
"""Waits for a job by its id; whether it has failed."""


def measure(side: str, work: Work) -> Found:
    """Wait for all jobs."""
    if side == "official":
        return _official(work)
    contender = {"ours": _ours, "gather": _gather, "azure": _azure}[side]
    return asyncio.run(contender(work))


async def _ours(work: Work) -> Found:
    cpu = time.process_time()
    places = {job: place for place, job in enumerate(work.jobs)}
    known = [0.0] * len(places)
    failed = 0
    async with _client(work) as client:
        handles = [client.job(job) for job in work.jobs]
        async with as_completed(handles) as outcomes:
            async for outcome in outcomes:
                if outcome.data is None:
                    raise ValueError(f"no snapshot of {outcome.job}")
                known[places[outcome.job.id]] = time.monotonic()
                failed += outcome.state is JobState.FAILED
    return Found(known, failed, time.process_time() - cpu)


def _client(work: Work) -> Any:
    polling = Polling() if work.interval is None else Polling(min_interval=work.interval)
    clients: dict[str, Callable[[], ServiceClient[Any, Any]]] = {
        "bsubio": lambda: BsubioClient(api_key=KEY, base_url=work.url, polling=polling),
        "ecotaxa": lambda: EcotaxaClient(token=KEY, base_url=work.url, polling=polling),
        "leia": lambda: LeiaClient(
            token=KEY, submitter_id=SUBMITTER, base_url=work.url, polling=polling
        ),
        "vidispine": lambda: VidispineClient(
            username=KEY, password=KEY, base_url=work.url, polling=polling
        ),
    }
    return clients[work.service]()


async def _all(work: Work, follow: Follow) -> Found:
    cpu = time.process_time()
    known = [0.0] * len(work.jobs)

    async def one(place: int, job: Any) -> bool:
        failed = await follow(job)
        known[place] = time.monotonic()
        return failed

    failed = await asyncio.gather(*(one(place, job) for place, job in enumerate(work.jobs)))
    return Found(known, sum(failed), time.process_time() - cpu)


async def _gather(work: Work) -> Found:
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def get(url: str) -> Any:
            async with session.get(url) as answer:
                answer.raise_for_status()
                return await answer.json()

        async def ecotaxa(job: int) -> bool:
            while True:
                shown = await get(f"{work.url}/jobs/{job}/")
                if shown["state"] in ENDS:
                    return shown["state"] in FAILURES
                await asyncio.sleep(work.interval or 0.0)

        async def leia(job: str) -> bool:
            url = f"{work.url}/admin/{SUBMITTER}/job/{job}"
            while True:
                statuses = await get(f"{url}/status")
                if statuses[job] in ENDS:
                    shown = await get(url)
                    return shown["status"] in FAILURES
                await asyncio.sleep(work.interval or 0.0)

        return await _all(work, ecotaxa if work.service == "ecotaxa" else leia)


class _Operation:
    """How azure-core follows a job: its ``LongRunningOperation``, but for the base class."""

    def __init__(self, work: Work, job: Any) -> None:
        self._job = job
        self._final: str | None = None
        if work.service == "ecotaxa":
            self._status = f"{work.url}/jobs/{job}/"
        else:
            self._final = f"{work.url}/admin/{SUBMITTER}/job/{job}"
            self._status = f"{self._final}/status"

    def can_poll(self, _: Any) -> bool:
        return True

    def get_polling_url(self) -> str:
        return self._status

    def set_initial_status(self, _: Any) -> str:
        return "InProgress"

    def get_status(self, answer: Any) -> str:
        # How it ended is for the snapshot to tell: a failure would end the wait without any.
        shown = answer.http_response.json()
        word = shown["state"] if self._final is None else shown[self._job]
        return "Succeeded" if word in ENDS else "InProgress"

    def get_final_get_url(self, _: Any) -> str | None:
        return self._final


async def _azure(work: Work) -> Found:
    core, rest, policies, polling = (
        import_module(f"azure.core{name}")
        for name in ("", ".rest", ".pipeline.policies", ".polling")
    )
    method: Any = import_module("azure.core.polling.async_base_polling").AsyncLROBasePolling
    needed = [
        policies.RequestIdPolicy(),
        policies.HeadersPolicy(HEADERS),
        policies.AsyncRetryPolicy(),
    ]
    async with core.AsyncPipelineClient(work.url, policies=needed) as client:
        # A poller starts from the answer that made the job: this one stands for all of them.
        url = _Operation(work, work.jobs[0]).get_polling_url()
        made = await client.send_request(
            rest.HttpRequest("GET", url), _return_pipeline_response=True
        )

        async def follow(job: Any) -> bool:
            operation = method(timeout=work.interval or 0.0, lro_algorithms=[_Operation(work, job)])
            poller = polling.AsyncLROPoller(client, made, _snapshot, operation)
            shown = await poller.result()
            return shown.get("state", shown.get("status")) in FAILURES

        return await _all(work, follow)


def _snapshot(answer: Any) -> Any:
    """What azure-core takes from the last answer."""
    return answer.http_response.json()


def _official(work: Work) -> Found:
    cpu = time.process_time()
    package: Any = import_module(work.service)
    settings = package.Configuration(host=work.url)
    settings.connection_pool_maxsize = THREADS
    if work.service == "bsubio":
        settings.access_token = KEY
        bsubio = package.JobsApi(package.ApiClient(settings))

        def status(job: Any) -> str:
            return str(bsubio.get_job(job).data.status)
    else:
        settings.username = settings.password = KEY
        vidispine = package.JobApi(_without_type(package.ApiClient(settings)))

        def status(job: Any) -> str:
            return str(vidispine.get_job(job).status)

    def follow(job: Any) -> tuple[float, bool]:
        while (word := status(job)) not in ENDS:
            time.sleep(work.interval or 0.0)
        return time.monotonic(), word in FAILURES

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(follow, work.jobs))
    known, failed = zip(*found, strict=True)
    return Found(known, sum(failed), time.process_time() - cpu)


def _without_type(client: Any) -> Any:
    """Keep the official client of Vidispine from what servers refuse: a type of no content."""
    pool = client.rest_client.pool_manager
    send = pool.request

    def request(method: str, url: str, *, headers: dict[str, str], **options: Any) -> Any:
        headers.pop("Content-Type", None)
        return send(method, url, headers=headers, **options)

    pool.request = request
    return client
