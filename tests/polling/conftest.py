"""A service in memory, and the four embedded ones, for the tests of waiting."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, cast

import attrs
import pytest
from aiohttp import web

from jobkit_async.errors import ClientClosed, NotFound, api_error
from jobkit_async.fakes.server import FakeServer
from jobkit_async.fakes.timeline import Plan, Planner, Timeline
from jobkit_async.job import Job
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import NOT_DUE, Due, FixedInterval, Polling, Schedule
from jobkit_async.polling.source import Ask, Observed, Sighting
from jobkit_async.polling.tracker import Tracker
from jobkit_async.registry import find_service
from jobkit_async.states import JobState

_Scene = Sighting[str] | Exception | None


class Level(random.Random):
    """No jitter: always the middle."""

    def random(self) -> float:
        return 0.5


@attrs.frozen
class Look:
    """One look that arrived, and the jobs it was for."""

    at: float
    keys: frozenset[str]


class MemoryJob(Job[str]):
    """A handle of a job in memory."""

    __slots__ = ()
    service: ClassVar[str] = "memory"

    @property
    def id(self) -> str:
        return cast(str, self._record.key)

    async def _cancel(self) -> None:
        raise NotImplementedError


class Memory:
    """A service whose jobs follow a script: its source and the home of its handles in one.

    An answer shows the jobs as they were when the request left, and comes ``delay`` seconds later.

    Args:
        polling: When to ask; every 10 seconds by default, without jitter.
        batch: As in the source protocol.
        delay: Seconds that each answer takes.
        full: Whether a look at many jobs shows snapshots of those that have ended.
    """

    service = "memory"
    deployment = "00000000"

    def __init__(
        self,
        *,
        polling: Polling | None = None,
        batch: int | None = None,
        delay: float = 0.0,
        full: bool = True,
    ) -> None:
        self._batch = batch
        self.delay = delay
        self.full = full
        self.cost = 1
        self.looks: list[Look] = []
        self.reads: list[tuple[float, str]] = []
        self.finishes: list[tuple[float, frozenset[str]]] = []
        self.faults: list[BaseException | None] = []
        """How the next looks fail as a whole; None is a look that succeeds."""
        self.outage: Exception | None = None
        self.failing: dict[str, Exception] = {}
        self.hidden: set[str] = set()
        """Jobs that a look at many does not show, and a single read does."""
        self.slow: dict[str, float] = {}
        """How long single reads of some jobs take, if not as long as other answers."""
        self.on_look: Callable[[], None] = lambda: None
        self._scripts: dict[str, list[tuple[float, _Scene]]] = {}
        self._closed = False
        polling = polling or Polling(policy=FixedInterval(10.0))
        if polling.rng is None:
            polling = attrs.evolve(polling, rng=Level())
        self._tracker: Tracker[str] = Tracker(self, polling, name=self.service)

    # -- for tests

    @property
    def times(self) -> list[float]:
        """When the looks left."""
        return [look.at for look in self.looks]

    def script(self, key: str, *scenes: tuple[float, _Scene]) -> MemoryJob:
        """A job which is seen like this from these seconds on; None is unknown to the service."""
        now = _now()
        self._scripts[key] = [(now + delay, scene) for delay, scene in scenes]
        return self.handle(key)

    def runs(self, key: str, seconds: float, end: JobState = JobState.SUCCEEDED) -> MemoryJob:
        """A job which runs for so many seconds."""
        return self.script(
            key,
            (0.0, sighting(JobState.RUNNING)),
            (seconds, sighting(end, data=f"{key} {end}", final=True)),
        )

    def handle(self, key: str) -> MemoryJob:
        """A handle; no I/O."""
        record = self._tracker.find(key)
        if record is None:
            record = Record(key)
            self._tracker.keep(record)
        return MemoryJob(cast(Any, self), record)

    def touch(self, job: MemoryJob, *, cancels: bool = False) -> None:
        """What a client does when it has changed a job."""
        job._record.touch(_now(), cancels=cancels)
        self._tracker.look_soon(job.id)

    async def aclose(self) -> None:
        self._closed = True
        await self._tracker.aclose()

    @property
    def records(self) -> list[str]:
        """Keys of the jobs of which anything is still known."""
        return sorted(self._tracker.known())

    def _scene(self, key: str, at: float) -> _Scene:
        scene: _Scene = None
        for since, then in self._scripts.get(key, ()):
            if since <= at:
                scene = then
        return scene

    # -- as a home

    def _check(self) -> None:
        if self._closed:
            raise ClientClosed("closed")

    async def _look(self, record: Record[str]) -> Sighting[str]:
        asked_at = _now()
        seen = await self.read(record.key)
        return record.observe(seen, asked_at=asked_at, now=_now()) or seen

    # -- as a source

    @property
    def batch(self) -> int | None:
        return self._batch

    def sight(self, data: str) -> Sighting[str]:
        raise NotImplementedError

    async def observe(self, asks: Mapping[str, Ask]) -> Observed[str]:
        now = _now()
        self.looks.append(Look(now, frozenset(asks)))
        self.on_look()
        scenes = {key: self._scene(key, now) for key in asks}
        if self.delay:
            await asyncio.sleep(self.delay)
        fault = self.faults.pop(0) if self.faults else self.outage
        if fault is not None:
            raise fault
        seen: dict[str, Sighting[str]] = {}
        missing: list[str] = []
        for key, scene in scenes.items():
            if key in self.failing:
                continue
            if isinstance(scene, Sighting) and key not in self.hidden:
                keep = self.full or not scene.state.ended
                seen[key] = scene if keep else attrs.evolve(scene, data=None)
            else:
                missing.append(key)
        failed = {key: error for key, error in self.failing.items() if key in asks}
        return Observed(seen=seen, missing=missing, failed=failed, cost=self.cost)

    async def read(self, key: str) -> Sighting[str]:
        self.reads.append((_now(), key))
        scene = self._scene(key, _now())
        if delay := self.slow.get(key, self.delay):
            await asyncio.sleep(delay)
        if isinstance(scene, Exception):
            raise scene
        if scene is None:
            raise not_found()
        return scene if scene.data else attrs.evolve(scene, data=f"{key} {scene.raw_status}")

    async def finish(self, keys: Iterable[str]) -> Mapping[str, Sighting[str] | Exception]:
        keys = list(keys)
        self.finishes.append((_now(), frozenset(keys)))
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        return {key: cast(Any, self._scene(key, _now())) for key in keys}


def sighting(state: JobState, word: str | None = None, **more: Any) -> Sighting[str]:
    return Sighting(state=state, raw_status=word or state.value, **more)


def not_found() -> NotFound:
    error = api_error(404, operation="get_job", reason="no such job")
    assert isinstance(error, NotFound)
    return error


def _now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def memory() -> type[Memory]:
    """The service in memory."""
    return Memory


@pytest.fixture
def see() -> Callable[..., Sighting[str]]:
    """Makes a sighting of a state."""
    return sighting


class Plain:
    """A job that is nothing but planned."""

    def __init__(self) -> None:
        self.due: Due = NOT_DUE


class Booked(Schedule):
    """A schedule with jobs of its own, which come when they are added."""

    def __init__(self, polling: Polling, batch: int | None, rng: random.Random) -> None:
        self.jobs: dict[Any, Plain] = {}
        super().__init__(polling, batch, rng, self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)

    def add(self, key: Any, at: float) -> None:
        self.jobs.setdefault(key, Plain())
        super().add(key, at)

    def discard(self, key: Any) -> None:
        self.jobs.pop(key, None)
        self.tidy()


@pytest.fixture
def booked() -> type[Booked]:
    return Booked


@pytest.fixture
def level() -> Level:
    """Random numbers without any jitter."""
    return Level()


# -- the embedded services


def steady(*plans: Plan) -> Planner:
    """The given plans one after the other, the last of them for ever."""
    left = list(plans)
    return lambda rng, job_type: left.pop(0) if len(left) > 1 else left[0]


class World:
    """One embedded service with a client, and quick ways to fill it with jobs.

    Args:
        name: Name of the service.
        server: Its embedded server.
        client: A client of it.
    """

    def __init__(self, name: str, server: Any, client: Any) -> None:
        self.name = name
        self.server = server
        self.client = client

    def birth(self, **more: Any) -> Any:
        """A running job that came to be without a request; it never ends by itself."""
        fill: Callable[..., Any] = getattr(self, f"_birth_{self.name}")
        return fill(**more)

    def births(self, count: int) -> list[Any]:
        """Handles of so many running jobs that have never been seen."""
        return [self.client.job(self.birth().id) for _ in range(count)]

    def end(self, job_id: Any, *, after: float = 0.0, how: str | None = None) -> None:
        """Let a job end."""
        job = self.server.jobs[job_id]
        status = (
            how
            or {
                "leia": "PROCESSED",
                "ecotaxa": "F",
                "vidispine": "FINISHED",
                "bsubio": "finished",
            }[self.name]
        )
        now = _now()
        if self.name == "ecotaxa":
            job.plan_anew(now, [(after, status, {"progress_msg": "Done", "progress_pct": 100})])
        else:
            job.timeline.go(now, (after, status))
            if self.name == "vidispine":
                job.end = (now + after, status)

    def requests(self) -> dict[str, int]:
        """Requests so far, by operation, log-ins left out."""
        counts = dict(self.server.requests)
        return {name: count for name, count in counts.items() if name not in ("login", "whoami")}

    def _birth_ecotaxa(self, **more: Any) -> Any:
        job = self.server.create_job(**more)
        job.plan_anew(_now(), [(0.0, "R", {"progress_msg": "Working"})])
        return job

    def _birth_vidispine(self, **more: Any) -> Any:
        job = self.server.create_job("TRANSCODE", **more)
        job.timeline.go(_now(), (0.0, "STARTED"))
        job.end = (float("inf"), "FINISHED")
        return job

    def _birth_bsubio(self, status: str = "processing") -> Any:
        from jobkit_async.services.bsubio.fake import FakeBsubioJob

        now = _now()
        job = FakeBsubioJob(
            id=f"00000000-0000-4000-8000-{len(self.server.jobs):012}",
            type="t",
            plan=Plan(),
            timeline=Timeline(now, status),
            upload_token="up-1",
        )
        self.server.jobs[job.id] = job
        return job

    def _birth_leia(self, job_id: str | None = None) -> Any:
        from jobkit_async.services.leia.fake import FakeLeiaJob

        now = _now()
        job = FakeLeiaJob(
            id=job_id or f"{len(self.server.jobs):024x}",
            job_type="predict",
            submitter_id=self.server._submitter_id,
            application_id="app-1",
            document_ids=["d"],
            created=now,
            plan=Plan(),
            timeline=Timeline(now, "PROCESSING"),
            model_params={},
        )
        self.server.jobs[job.id] = job
        return job


@pytest.fixture
def world() -> Callable[..., Any]:
    """Opens an embedded service with a client; ``server=`` and ``client=`` are their options."""

    @asynccontextmanager
    async def opened(
        name: str,
        *,
        server: Mapping[str, Any] | None = None,
        client: Mapping[str, Any] | None = None,
        polling: Polling | None = None,
    ) -> AsyncIterator[World]:
        spec = find_service(name)
        polling = polling or Polling(policy=FixedInterval(10.0), rng=Level())
        keys: dict[str, dict[str, Any]] = {
            "leia": {"api_key": "leia-key"},
            "ecotaxa": {"token": "eco-token"},
            "vidispine": {"username": "user", "password": "secret"},
            "bsubio": {"api_key": "bsub-key"},
        }
        planner = steady(Plan(queued=0.0, running=1e9))
        options: dict[str, Any] = {"planner": planner, **(server or {})}
        async with spec.fake(**options) as running:
            given = {**keys[name], "base_url": running.base_url, "polling": polling}
            async with spec.client(**{**given, **(client or {})}) as opened_client:
                yield World(name, running, opened_client)

    return opened


@attrs.define
class Traffic:
    """What happens to requests at the embedded servers; log-ins are left alone.

    Attributes:
        delay: Seconds that an answer takes after the server has made it.
        refuse: Called with the operation and the request; the answer that it returns or the
            ``Refusal`` that it raises stands for the server's own, None lets the request through.
        meddle: Called with the operation and the document of a good answer; gives another one.
        arrived: When requests arrived, and for which operations.
    """

    delay: float = 0.0
    refuse: Callable[[str, web.Request], web.StreamResponse | None] | None = None
    meddle: Callable[[str, Any], Any] | None = None
    arrived: list[tuple[float, str]] = attrs.field(factory=list)

    @property
    def times(self) -> list[float]:
        """When requests arrived; those of one moment count as one."""
        return sorted({round(at, 3) for at, _ in self.arrived})

    def between(self, begin: float, end: float) -> list[str]:
        """The operations that were asked for from one moment on and before another."""
        return [operation for at, operation in self.arrived if begin <= at < end]


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    """What happens to requests at the embedded servers that start from now on."""
    it = Traffic()
    entry = FakeServer._entry

    def watched(server: Any, operation: str, handler: Any) -> Any:
        async def met(request: web.Request) -> web.StreamResponse:
            it.arrived.append((_now(), operation))
            answer = it.refuse(operation, request) if it.refuse is not None else None
            if answer is not None:
                return answer
            answer = await handler(request)
            if it.meddle is not None and isinstance(answer, web.Response) and answer.status == 200:
                document = it.meddle(operation, json.loads(answer.text or "null"))
                answer = web.json_response(document, headers=_more(answer))
            if it.delay:
                await asyncio.sleep(it.delay)
            return answer

        spared = operation in ("login", "whoami")
        return entry(server, operation, handler if spared else met)

    monkeypatch.setattr(FakeServer, "_entry", watched)
    return it


def _more(answer: web.Response) -> dict[str, str]:
    """An answer's headers but for those that follow from its body."""
    body = ("content-length", "content-type")
    return {name: value for name, value in answer.headers.items() if name.lower() not in body}


@pytest.fixture
def stall(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass in a single step, in which the loop deals with nothing."""

    def step(seconds: float) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time
        monkeypatch.setattr(loop, "time", lambda: before() + seconds)

    return step
