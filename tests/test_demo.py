"""The demo in virtual time, and that it notices what it is there to notice."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from aiohttp import web

from jobkit_async import BadRequest, InvalidArgument, JobState, demo
from jobkit_async.demo import SERVICES, planned, run_demo
from jobkit_async.fakes.ledger import Ending
from jobkit_async.fakes.server import Refusal
from jobkit_async.fakes.timeline import Plan
from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia, FakeVidispine

# In steps of a millisecond: the finer virtual time is, the likelier is a wake-up that is due within
# asyncio's own resolution, for which a poll loop looks again and again while no time passes. Not
# from 0 on, which no real clock shows, and which the tracker takes for a time that is not known.
pytestmark = pytest.mark.looptime(start=100, resolution=1e-3)


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be read and written in the loop: virtual time does not wait for a thread."""

    async def run_sync(function: Any, *arguments: Any, **options: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr("anyio.to_thread.run_sync", run_sync)


@attrs.define
class Heard:
    """A reporter that keeps what it is told."""

    began_with: dict[str, int] = attrs.field(factory=dict)
    moves: list[tuple[str, int, int]] = attrs.field(factory=list)
    lines: list[str] = attrs.field(factory=list)

    def began(self, service: str, base_url: str, jobs: int) -> None:
        assert base_url.startswith("http://127.0.0.1:")
        self.began_with[service] = jobs

    def moved(self, service: str, submitted: int, ended: Mapping[JobState, int]) -> None:
        self.moves.append((service, submitted, sum(ended.values())))

    def said(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_every_outcome_equals_the_ledger(seed: int) -> None:
    heard = Heard()
    result = await run_demo(heard, jobs=25, seed=seed)
    assert result.mismatches == []
    assert result.seconds < 30
    assert heard.began_with == dict.fromkeys(SERVICES, 25)
    assert [service.service for service in result.services] == list(SERVICES)
    for service in result.services:
        assert service.jobs == sum(service.outcomes.values()) == 25
        assert service.outcomes.keys() <= {
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
        }
        assert 0 < service.mean_delay <= service.p95_delay < 20
        assert (service.service, 25, 25) in heard.moves
    by_name = {service.service: service for service in result.services}
    cancelled = {name: of.outcomes.get(JobState.CANCELLED, 0) for name, of in by_name.items()}
    assert cancelled == {"bsubio": 2, "ecotaxa": 0, "leia": 0, "vidispine": 2}
    assert [line.split()[:2] for line in heard.lines] == [
        ["ecotaxa:", "downloaded"],
        ["leia:", "downloaded"],
    ]


async def test_the_demos_own_requests_are_not_counted_as_status_requests() -> None:
    result = await run_demo(Heard(), jobs=9)
    assert result.mismatches == []
    own = {of.service: of.requests - of.status_requests for of in result.services}
    assert own == {
        "bsubio": 3 * 9 + 1,  # create, upload, submit; one is cancelled
        "ecotaxa": 1 + 1 + 2 + 1,  # log-in, listing, two answers, file
        "leia": 1 + 9 + 1,  # log-in, jobs, model
        "vidispine": 9 + 2,  # jobs; the look and the request that an abortion takes
    }
    assert all(of.status_requests > 0 for of in result.services)


async def test_a_hundred_jobs_take_less_than_a_status_request_each() -> None:
    result = await run_demo(Heard(), jobs=100)
    assert result.mismatches == []
    assert result.seconds < 30
    assert all(0 < of.status_requests < 100 for of in result.services)


async def test_a_run_can_be_repeated() -> None:
    def outcomes(result: demo.DemoResult) -> list[Any]:
        return [(of.service, of.outcomes) for of in result.services]

    first = outcomes(await run_demo(Heard(), jobs=8, seed=7))
    assert outcomes(await run_demo(Heard(), jobs=8, seed=7)) == first
    assert outcomes(await run_demo(Heard(), jobs=8, seed=8)) != first
    # What a service does does not depend on which others take part.
    alone = outcomes(await run_demo(Heard(), services=["leia", "leia"], jobs=8, seed=7))
    assert alone == [of for of in first if of[0] == "leia"]


async def test_a_single_job() -> None:
    result = await run_demo(Heard(), jobs=1)
    assert (result.mismatches, [of.jobs for of in result.services]) == ([], [1] * 4)


def lie_about_the_state(ending: Ending | None) -> Ending | None:
    return ending and attrs.evolve(ending, state=JobState.UNKNOWN)


def lie_about_the_time(ending: Ending | None) -> Ending | None:
    return ending and attrs.evolve(ending, at=ending.at + 1000.0)


def lie_about_the_end(ending: Ending | None) -> Ending | None:
    return None


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (lie_about_the_state, "the ledger says unknown"),
        (lie_about_the_time, "before it was so"),
        (lie_about_the_end, "the ledger says still going"),
    ],
)
@pytest.mark.parametrize("fake", [FakeBsubio, FakeEcotaxa, FakeLeia, FakeVidispine])
async def test_a_ledger_that_differs_is_noticed(
    monkeypatch: pytest.MonkeyPatch, fake: Any, lie: Any, words: str
) -> None:
    true_ending = fake.ending
    told: list[Any] = []

    def ending(self: Any, job_id: Any) -> Ending | None:
        of = true_ending(self, job_id)
        if job_id not in told and len(told) < 1:
            told.append(job_id)
        return lie(of) if job_id in told else of

    monkeypatch.setattr(fake, "ending", ending)
    result = await run_demo(Heard(), services=[fake.service], jobs=4)
    (line,) = result.mismatches
    assert line.startswith(f"{fake.service} job {told[0]}: came as ")
    assert words in line


async def test_what_took_effect_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    submit = FakeBsubio._submit

    async def twice(self: FakeBsubio, request: web.Request) -> web.StreamResponse:
        self.note("submitted", request.match_info["job_id"])
        return await submit(self, request)

    monkeypatch.setattr(FakeBsubio, "_submit", twice)
    result = await run_demo(Heard(), services=["bsubio"], jobs=3)
    assert len(result.mismatches) == 3
    assert all(line.endswith("submitted 2 times by 1 calls") for line in result.mismatches)


async def test_what_took_no_effect_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    note = FakeEcotaxa.note

    def forgetful(self: FakeEcotaxa, kind: str, job: str | int, **detail: Any) -> None:
        if kind != "answered":
            note(self, kind, job, **detail)

    monkeypatch.setattr(FakeEcotaxa, "note", forgetful)
    result = await run_demo(Heard(), services=["ecotaxa"], jobs=2)
    assert result.mismatches == ["ecotaxa job 1: answered 0 times by 1 calls"]


async def test_a_job_that_nobody_awaits_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    create = FakeVidispine._create

    async def more(self: FakeVidispine, request: web.Request) -> web.StreamResponse:
        if not self.jobs:
            self.create_job("TRANSCODE")
        return await create(self, request)

    monkeypatch.setattr(FakeVidispine, "_create", more)
    result = await run_demo(Heard(), services=["vidispine"], jobs=2)
    assert result.mismatches == [
        "vidispine job VX-1: one outcome was due, but there came none",
        "vidispine: the server has 3 jobs instead of 2",
        "vidispine job VX-1: created 1 times by 0 calls",
    ]


async def test_a_job_that_does_not_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(rng: random.Random, job_type: str) -> Plan:
        return Plan(running=1e6)

    monkeypatch.setattr(demo, "planned", endless)
    heard = Heard()
    result = await run_demo(heard, services=["leia"], jobs=2)
    assert result.seconds == pytest.approx(demo.LIMIT)
    assert "gave up after 120 s" in heard.lines
    assert [line.split(": ")[1] for line in result.mismatches] == [
        "one outcome was due, but there came none"
    ] * 2


@pytest.mark.parametrize(
    ("fake", "handler", "what"),
    [(FakeLeia, "_get_contents", "model 'invoices'"), (FakeEcotaxa, "_file", "the result of job")],
)
async def test_a_wrong_file_is_noticed(
    monkeypatch: pytest.MonkeyPatch, fake: Any, handler: str, what: str
) -> None:
    async def wrong(self: Any, request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"something else")

    monkeypatch.setattr(fake, handler, wrong)
    (line,) = (await run_demo(Heard(), services=[fake.service], jobs=3)).mismatches
    assert line.startswith(f"{fake.service}: {what}")
    assert "came as 14 bytes that are not the server's" in line


async def test_a_wrong_upload_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    upload = FakeBsubio._upload

    async def spoilt(self: FakeBsubio, request: web.Request) -> web.StreamResponse:
        answer = await upload(self, request)
        self.jobs[request.match_info["job_id"]].data += b"!"
        return answer

    monkeypatch.setattr(FakeBsubio, "_upload", spoilt)
    result = await run_demo(Heard(), services=["bsubio"], jobs=1)
    size = len(demo.CONTENT)
    assert [line.split(": ")[1] for line in result.mismatches] == [
        f"{size + 1} bytes arrived instead of {size}"
    ]


async def test_a_call_that_fails_ends_the_demo_with_its_own_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(self: FakeBsubio, request: web.Request) -> web.StreamResponse:
        raise Refusal(400, "no more jobs today")

    monkeypatch.setattr(FakeBsubio, "_create", refuse)
    with pytest.raises(BadRequest, match="no more jobs today"):
        await run_demo(Heard(), jobs=2)


async def test_arguments() -> None:
    with pytest.raises(InvalidArgument, match="jobs: 0 is too small"):
        await run_demo(Heard(), jobs=0)
    with pytest.raises(InvalidArgument, match="the demo does not show 'toy'; it shows bsubio, "):
        await run_demo(Heard(), services=["toy"])


async def test_plans_are_short() -> None:
    rng = random.Random(1)
    plans = [planned(rng, "predict") for _ in range(4000)]
    assert max(plan.queued + plan.running for plan in plans) <= 9.5
    assert sum(plan.queued + plan.running for plan in plans) / len(plans) == pytest.approx(3.6, 0.1)
    assert sum(plan.outcome == "failure" for plan in plans) == pytest.approx(500, abs=80)
    assert max(planned(rng, "conditional").running for _ in range(100)) <= 2.0
