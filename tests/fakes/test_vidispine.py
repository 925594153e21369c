"""The embedded Vidispine, seen with nothing but an HTTP client."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import attrs
import pytest

from jobkit_async import codec
from jobkit_async.fakes.ledger import Ending
from jobkit_async.fakes.timeline import Plan, Planner
from jobkit_async.services.vidispine import models
from jobkit_async.services.vidispine.endpoints import TABLE
from jobkit_async.services.vidispine.fake import FakeVidispine
from jobkit_async.states import JobState

pytestmark = pytest.mark.looptime

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
UNKNOWN = {"notFound": {"type": "job", "id": "VX-9"}}


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


LOGIN = basic("user", "secret")


def planned(*plans: Plan) -> Planner:
    """Give each job the next of these plans, and the last one to all that follow."""
    left = list(plans)
    return lambda rng, job_type: left.pop(0) if len(left) > 1 else left[0]


@attrs.frozen
class Client:
    session: aiohttp.ClientSession
    base_url: str

    async def raw(
        self, method: str, path: str, *, status: int = 200, **options: Any
    ) -> tuple[str, str]:
        url = self.base_url + path
        async with self.session.request(method, url, **options) as response:
            text = await response.text()
            assert response.status == status, text
            return response.headers.get("Content-Type", ""), text

    async def __call__(self, method: str, path: str, *, status: int = 200, **options: Any) -> Any:
        kind, text = await self.raw(method, path, status=status, **options)
        if not text:
            return None
        assert kind.startswith("application/json")
        return json.loads(text)

    async def create(self, job_type: str = "TRANSCODE", **options: Any) -> str:
        params = [("type", job_type), *options.pop("params", [])]
        document = await self("POST", "/job", params=params, **options)
        return str(document["jobId"])

    async def status(self, job_id: str) -> str:
        return str((await self("GET", f"/job/{job_id}"))["status"])

    async def ids(self, **params: Any) -> list[str]:
        document = await self("GET", "/job", params=params)
        return [job["jobId"] for job in document.get("job", [])]


@asynccontextmanager
async def running(*plans: Plan, **options: Any) -> AsyncIterator[tuple[FakeVidispine, Client]]:
    planner = planned(*plans or (Plan(),))
    headers = {"Authorization": LOGIN, "Accept": "application/json"}
    async with (
        FakeVidispine(epoch=EPOCH, planner=planner, **options) as fake,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        yield fake, Client(session, fake.base_url)


def data_of(document: dict[str, Any]) -> dict[str, str]:
    return {entry["key"]: entry["value"] for entry in document["data"]}


# -- states


async def test_a_job_goes_through_its_states_at_the_planned_times() -> None:
    async with running(Plan(queued=1.0, running=6.0)) as (fake, call):
        created = await call("POST", "/job", params={"type": "TRANSCODE"})
        assert created == {
            "jobId": "VX-1",
            "status": "READY",
            "type": "TRANSCODE",
            "priority": "MEDIUM",
            "user": "user",
        }
        begin = fake.clock.time()
        await asyncio.sleep(0.999)
        assert await call.status("VX-1") == "READY"
        await asyncio.sleep(0.001)
        job = await call("GET", "/job/VX-1")
        assert (job["status"], job["started"]) == ("STARTED", "2026-03-01T12:00:01.000+0000")
        assert "finished" not in job
        await asyncio.sleep(5.999)
        assert await call.status("VX-1") == "STARTED"
        assert fake.ending("VX-1") is None
        await asyncio.sleep(0.001)
        job = await call("GET", "/job/VX-1")
        assert (job["status"], job["finished"]) == ("FINISHED", "2026-03-01T12:00:07.000+0000")
        assert job["started"] == "2026-03-01T12:00:01.000+0000"
        assert fake.ending("VX-1") == Ending(begin + 7.0, JobState.SUCCEEDED, "FINISHED")


async def test_progress_is_told_in_steps_and_in_percent() -> None:
    async with running(Plan(queued=1.0, running=6.0)) as (_, call):
        await call.create()
        await asyncio.sleep(1.0 + 3.0)
        job = await call("GET", "/job/VX-1")
        assert job["totalSteps"] == 3
        assert job["currentStep"] == {"number": 2, "status": "STARTED", "description": "Process"}
        first, second = job["log"]["task"]
        assert (first["status"], first["progress"]["value"]) == ("FINISHED", 100)
        assert second["progress"] == {"value": 50, "total": 100, "unit": "percent"}
        assert second["timestamp"] == "2026-03-01T12:00:03.000+0000"
        await asyncio.sleep(3.0)
        job = await call("GET", "/job/VX-1")
        assert job["currentStep"] == {"number": 3, "status": "FINISHED", "description": "Store"}
        assert [task["progress"]["value"] for task in job["log"]["task"]] == [100, 100, 100]


async def test_a_job_that_takes_no_time_has_done_all_its_steps() -> None:
    async with running(Plan(queued=0.0, running=0.0)) as (fake, call):
        fake.create_job("IMPORT")
        job = await call("GET", "/job/VX-1")
        assert job["status"] == "FINISHED"
        assert job["started"] == job["finished"] == "2026-03-01T12:00:00.000+0000"
        assert [task["progress"]["value"] for task in job["log"]["task"]] == [100, 100, 100]


async def test_a_failure_says_why_in_the_log_and_in_the_metadata() -> None:
    async with running(Plan(outcome="failure", message="codec unknown")) as (fake, call):
        await call.create()
        await asyncio.sleep(5.0)
        job = await call("GET", "/job/VX-1", params={"metadata": "true"})
        assert job["status"] == job["currentStep"]["status"] == "FAILED_TOTAL"
        errors = [task.get("errorMessage") for task in job["log"]["task"]]
        assert errors == [None, None, "codec unknown"]
        assert data_of(job) == {"errorMessage": "codec unknown"}
        assert fake.ending("VX-1").state is JobState.FAILED


async def test_some_successes_come_with_a_warning_and_a_seed_repeats_them() -> None:
    seen = []
    for seed in (1, 1, 2):
        async with running(seed=seed) as (fake, _):
            for _ in range(200):
                fake.create_job("TRANSCODE")
            await asyncio.sleep(5.0)
            seen.append([ending.status for ending in fake.endings().values()])
            assert {ending.state for ending in fake.endings().values()} == {JobState.SUCCEEDED}
    assert seen[0] == seen[1] != seen[2]
    assert 5 <= seen[0].count("FINISHED_WARNING") <= 40
    assert set(seen[0]) == {"FINISHED", "FINISHED_WARNING"}


async def test_answers_decode_into_the_models() -> None:
    plan = Plan(queued=1.0, running=5.0, outcome="failure")
    async with running(plan, waiting=1.0) as (_, call):
        await call.create(params=[("jobmetadata", "a=b")])
        await asyncio.sleep(3.5)
        _, text = await call.raw("GET", "/job/VX-1?metadata=true")
        job = codec.decode(text.encode(), models.JobType, operation="get_job")
        assert job.started == datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)
        assert job.data == [models.KeyValueType(key="a", value="b")]
        assert job.waiting.requirement == "online"
        assert job.log.task[0].progress.unit == models.ProgressUnit.PERCENT
        _, text = await call.raw("GET", "/job/problem")
        found = codec.decode(text.encode(), models.JobProblemListType, operation="problems")
        assert found.problem[0].job == ["VX-1"]
        _, text = await call.raw("GET", "/job?idonly=true")
        listing = codec.decode(text.encode(), models.JobListType, operation="get_jobs")
        assert listing == models.JobListType(hits=1, job=[models.JobType(job_id="VX-1")])


# -- waiting


async def test_a_job_waits_for_a_problem_that_solves_itself() -> None:
    async with running(Plan(queued=1.0, running=5.0), waiting=1.0) as (fake, call):
        await call.create()
        await asyncio.sleep(2.999)
        assert await call("GET", "/job/problem") == {}
        await asyncio.sleep(0.001)
        job = await call("GET", "/job/VX-1")
        assert job["status"] == job["currentStep"]["status"] == "WAITING"
        assert job["waiting"] == {
            "resourceType": "storage",
            "resourceId": "VX-1",
            "requirement": "online",
        }
        problem = {
            "id": 1,
            "type": "StorageOffline",
            "job": ["VX-1"],
            "data": [{"key": "storage", "value": "VX-1"}],
        }
        assert await call("GET", "/job/problem") == {"problem": [problem]}
        assert await call("GET", "/job/VX-1/problem") == {"problem": [problem]}
        before = job["log"]["task"][-1]["progress"]["value"]
        await asyncio.sleep(0.999)
        job = await call("GET", "/job/VX-1")
        assert job["log"]["task"][-1]["progress"]["value"] == before
        assert fake.ending("VX-1") is None
        await asyncio.sleep(0.001)
        job = await call("GET", "/job/VX-1")
        assert (job["status"], "waiting" in job) == ("STARTED", False)
        assert job["started"] == "2026-03-01T12:00:01.000+0000"
        assert await call("GET", "/job/problem") == await call("GET", "/job/VX-1/problem") == {}
        await asyncio.sleep(2.0)
        assert await call.status("VX-1") == "FINISHED"


async def test_only_the_jobs_that_wait_have_a_problem() -> None:
    async with running(Plan(queued=1.0, running=5.0), waiting=0.6) as (fake, call):
        for _ in range(20):
            fake.create_job("TRANSCODE")
        await asyncio.sleep(3.5)
        waiting = await call.ids(state="WAITING")
        assert 0 < len(waiting) < 20
        problems = (await call("GET", "/job/problem"))["problem"]
        assert [problem["job"] for problem in problems] == [[job_id] for job_id in waiting]
        spared = next(job_id for job_id in fake.jobs if job_id not in waiting)
        assert await call("GET", f"/job/{spared}/problem") == {}
        await call("DELETE", f"/job/{waiting[0]}")
        assert await call("GET", f"/job/{waiting[0]}/problem") == {}
        await call("DELETE", "/job", params={"id": waiting[1]})
        assert len((await call("GET", "/job/problem"))["problem"]) == len(waiting) - 2


# -- abort


@pytest.mark.parametrize(("moment", "status"), [(0.0, "READY"), (2.0, "STARTED"), (3.5, "WAITING")])
async def test_an_abortion_is_pending_for_a_while(moment: float, status: str) -> None:
    plan = Plan(queued=1.0, running=5.0)
    async with running(plan, waiting=1.0, abort_delay=2.0) as (fake, call):
        await call.create()
        await asyncio.sleep(moment)
        assert await call.status("VX-1") == status
        begin = fake.clock.time()
        assert await call("DELETE", "/job/VX-1", params={"reason": "wrong file"}) is None
        assert await call.status("VX-1") == "ABORTED_PENDING"
        await asyncio.sleep(1.999)
        assert await call.status("VX-1") == "ABORTED_PENDING"
        assert fake.ending("VX-1") is None
        await asyncio.sleep(0.001)
        job = await call("GET", "/job/VX-1")
        assert job["status"] == "ABORTED"
        assert ("started" in job) == (status != "READY")
        assert fake.ending("VX-1") == Ending(begin + 2.0, JobState.CANCELLED, "ABORTED")
        (event,) = [event for event in fake.ledger.of("VX-1") if event.kind == "cancelled"]
        assert event.at == begin
        assert event.detail == {"reason": "wrong file", "cleanup": True}


async def test_the_work_of_an_aborted_job_stands_still() -> None:
    async with running(Plan(queued=1.0, running=6.0)) as (_, call):
        await call.create()
        await asyncio.sleep(4.0)
        await call("DELETE", "/job/VX-1")
        await asyncio.sleep(1.0)
        job = await call("GET", "/job/VX-1")
        assert job["currentStep"]["number"] == 2
        assert job["currentStep"]["status"] == "DISAPPEARED"
        assert job["log"]["task"][-1]["progress"]["value"] == 50
        assert job["finished"] == "2026-03-01T12:00:05.000+0000"


async def test_without_cleanup_only_a_ready_job_is_aborted_at_once() -> None:
    async with running() as (_, call):
        await call.create()
        await asyncio.sleep(2.0)
        await call.create()
        for job_id in ("VX-1", "VX-2"):
            await call("DELETE", f"/job/{job_id}", params={"cleanup": "false"})
        assert await call.status("VX-1") == "ABORTED_PENDING"
        assert await call.status("VX-2") == "ABORTED"


async def test_aborting_what_has_ended_is_accepted_and_does_nothing() -> None:
    async with running() as (fake, call):
        await call.create()
        await asyncio.sleep(5.0)
        before = await call("GET", "/job/VX-1")
        assert await call("DELETE", "/job/VX-1") is None
        await asyncio.sleep(2.0)
        assert await call("GET", "/job/VX-1") == before
        assert fake.ledger.count("cancelled") == 0


async def test_aborting_twice_does_not_begin_anew() -> None:
    async with running() as (fake, call):
        await call.create()
        await call("DELETE", "/job/VX-1")
        await asyncio.sleep(0.75)
        await call("DELETE", "/job/VX-1", params={"cleanup": "false"})
        assert await call.status("VX-1") == "ABORTED_PENDING"
        await asyncio.sleep(0.25)
        assert await call.status("VX-1") == "ABORTED"
        assert fake.ledger.count("cancelled") == 1


@pytest.mark.parametrize("outcome", ["success", "failure"])
async def test_a_job_can_end_before_its_abortion(outcome: Any) -> None:
    async with running(Plan(queued=1.0, running=4.0, outcome=outcome)) as (fake, call):
        await call.create()
        await asyncio.sleep(4.25)
        await call("DELETE", "/job/VX-1")
        assert await call.status("VX-1") == "ABORTED_PENDING"
        await asyncio.sleep(0.75)
        job = await call("GET", "/job/VX-1")
        assert job["status"] == ("FINISHED" if outcome == "success" else "FAILED_TOTAL")
        assert job["currentStep"]["number"] == 3
        await asyncio.sleep(1.0)
        assert fake.ending("VX-1").status == job["status"]
        assert fake.ending("VX-1").at == fake.clock.time() - 1.0


async def test_at_the_same_moment_the_abortion_wins() -> None:
    async with running(Plan(queued=1.0, running=4.0)) as (_, call):
        await call.create()
        await asyncio.sleep(4.0)
        await call("DELETE", "/job/VX-1")
        await asyncio.sleep(1.0)
        assert await call.status("VX-1") == "ABORTED"


async def test_a_job_that_never_started_cannot_end_before_its_abortion() -> None:
    async with running(Plan(queued=0.25, running=0.25)) as (_, call):
        await call.create()
        await call("DELETE", "/job/VX-1")
        await asyncio.sleep(0.5)
        assert await call.status("VX-1") == "ABORTED_PENDING"
        await asyncio.sleep(0.5)
        assert await call.status("VX-1") == "ABORTED"


# -- create, re-run, update, delete


async def test_the_document_wins_over_the_query() -> None:
    async with running() as (fake, call):
        await call.create(
            params=[("jobmetadata", "a=query"), ("jobmetadata", "b=x=y"), ("priority", "HIGH")],
            json={"field": [{"key": "a", "value": "document"}, {"key": "c", "value": ""}]},
        )
        job = await call("GET", "/job/VX-1", params={"metadata": "true"})
        assert data_of(job) == {"a": "document", "b": "x=y", "c": ""}
        assert job["priority"] == "HIGH"
        (event,) = fake.ledger.of("VX-1")
        assert (event.kind, event.detail) == ("created", {"type": "TRANSCODE", "user": "user"})


@pytest.mark.parametrize("body", [None, {}, {"field": []}, {"field": None}])
async def test_the_document_may_be_missing_or_empty(body: Any) -> None:
    async with running() as (_, call):
        assert await call.create(**({} if body is None else {"json": body})) == "VX-1"
        assert await call.create("SITE_SPECIFIC") == "VX-2"


@pytest.mark.parametrize(
    ("params", "body", "context"),
    [
        ({}, None, "type"),
        ({"type": ""}, None, "type"),
        ({"type": "T", "priority": "URGENT"}, None, "priority"),
        ({"type": "T", "priority": "high"}, None, "priority"),
        ({"type": "T", "jobmetadata": "novalue"}, None, "jobmetadata"),
        ({"type": "T"}, "{", "body"),
        ({"type": "T"}, "[]", "body"),
        ({"type": "T"}, "null", "body"),
        ({"type": "T"}, '{"field": {"key": "a", "value": "b"}}', "body"),
        ({"type": "T"}, '{"field": "ab"}', "body"),
        ({"type": "T"}, '{"field": ["a"]}', "body"),
        ({"type": "T"}, '{"field": [{"key": "a"}]}', "body"),
        ({"type": "T"}, '{"field": [{"key": "a", "value": 1}]}', "body"),
    ],
)
async def test_what_cannot_be_created_is_refused(
    params: dict[str, str], body: str | None, context: str
) -> None:
    async with running() as (fake, call):
        kind = {} if body is None else {"Content-Type": "application/json"}
        answer = await call("POST", "/job", status=400, params=params, data=body, headers=kind)
        assert answer["invalidInput"]["context"] == context
        assert answer["invalidInput"]["explanation"]
        assert not fake.jobs
        assert not fake.ledger.events


async def test_a_document_in_xml_is_refused() -> None:
    async with running() as (fake, call):
        kind = {"Content-Type": "application/xml"}
        await call.raw("POST", "/job", status=415, params={"type": "T"}, data="<a/>", headers=kind)
        assert not fake.jobs


async def test_a_rerun_is_a_new_job() -> None:
    async with running(Plan(outcome="failure"), Plan()) as (fake, call):
        await call.create(params=[("priority", "LOW"), ("jobmetadata", "a=b")])
        await asyncio.sleep(5.0)
        old = await call("GET", "/job/VX-1")
        assert old["status"] == "FAILED_TOTAL"
        new = await call("POST", "/job/VX-1/re-run")
        assert [new[name] for name in ("jobId", "status", "type", "priority")] == [
            "VX-2",
            "READY",
            "TRANSCODE",
            "LOW",
        ]
        other = await call("POST", "/job/VX-1/re-run", params={"priority": "HIGHEST"})
        assert (other["jobId"], other["priority"]) == ("VX-3", "HIGHEST")
        assert await call("GET", "/job/VX-1") == old
        await asyncio.sleep(5.0)
        new = await call("GET", "/job/VX-2", params={"field": "a"})
        assert (new["status"], data_of(new)) == ("FINISHED", {"a": "b"})
        assert [(e.kind, e.detail.get("new")) for e in fake.ledger.of("VX-1")] == [
            ("created", None),
            ("rerun", "VX-2"),
            ("rerun", "VX-3"),
        ]
        assert fake.ledger.count("created") == 3


async def test_an_update_without_a_priority_sets_the_default() -> None:
    async with running() as (fake, call):
        await call.create(params=[("priority", "LOW")])
        assert await call("PUT", "/job/VX-1", params={"priority": "IMMEDIATE"}) is None
        assert (await call("GET", "/job/VX-1"))["priority"] == "IMMEDIATE"
        answer = await call("PUT", "/job/VX-1", status=400, params={"priority": "NOW"})
        assert answer["invalidInput"]["context"] == "priority"
        assert (await call("GET", "/job/VX-1"))["priority"] == "IMMEDIATE"
        await call("PUT", "/job/VX-1")
        assert (await call("GET", "/job/VX-1"))["priority"] == "MEDIUM"
        details = [e.detail["priority"] for e in fake.ledger.of("VX-1") if e.kind == "updated"]
        assert details == ["IMMEDIATE", "MEDIUM"]


async def test_deletion_takes_many_ids_and_ignores_unknown_ones() -> None:
    async with running() as (fake, call):
        for _ in range(4):
            await call.create()
        await asyncio.sleep(5.0)
        await call.create()
        answer = await call("DELETE", "/job", params={"id": "VX-2,VX-9,VX-4,VX-5"})
        assert answer is None
        assert await call.ids() == ["VX-1", "VX-3"]
        await call("GET", "/job/VX-2", status=404)
        await call("DELETE", "/job", params={"id": "VX-2"})
        removed = [event.job for event in fake.ledger.events if event.kind == "removed"]
        assert removed == ["VX-2", "VX-4", "VX-5"]
        assert fake.ending("VX-2").state is JobState.SUCCEEDED
        await asyncio.sleep(10.0)
        assert fake.ending("VX-5") is None
        assert await call.create() == "VX-6"


@pytest.mark.parametrize("query", ["", "?id=", "?id=,"])
async def test_deletion_needs_an_id(query: str) -> None:
    async with running() as (_, call):
        await call.create()
        answer = await call("DELETE", f"/job{query}", status=400)
        assert answer["invalidInput"]["context"] == "id"
        assert await call.ids() == ["VX-1"]


# -- reading


async def test_metadata_come_only_where_they_are_asked_for() -> None:
    async with running() as (_, call):
        pairs = [("jobmetadata", "a=1"), ("jobmetadata", "b=2"), ("jobmetadata", "itemId=VX-77")]
        await call.create(params=pairs)
        everything = {"a": "1", "b": "2", "itemId": "VX-77", "item": "VX-77"}
        for path, read in (
            ("/job/VX-1", lambda document: document),
            ("/job", lambda document: document["job"][0]),
        ):
            for query, expected in (
                ("", None),
                ("metadata=false", None),
                ("metadata=true", everything),
                ("field=b,item,none", {"b": "2", "item": "VX-77"}),
                ("field=a&metadata=true", {"a": "1"}),
                ("field=a&metadata=false", {"a": "1"}),
            ):
                job = read(await call("GET", f"{path}?{query}"))
                assert (data_of(job) if "data" in job else None) == expected, (path, query)


async def test_a_success_leaves_its_result_in_the_metadata() -> None:
    async with running() as (_, call):
        await call.create()
        query = {"metadata": "true"}
        assert "data" not in await call("GET", "/job/VX-1", params=query)
        await asyncio.sleep(5.0)
        job = await call("GET", "/job/VX-1", params=query)
        assert data_of(job) == {"itemId": "VX-1", "item": "VX-1"}
        assert await call.ids(jobmetadata="itemId=VX-1") == ["VX-1"]
        assert await call.ids(jobmetadata="item=VX-1") == []


async def test_a_success_keeps_the_item_that_it_was_given() -> None:
    async with running() as (fake, call):
        fake.create_job("IMPORT", metadata={"itemId": "VX-77"})
        await asyncio.sleep(5.0)
        job = await call("GET", "/job/VX-1", params={"metadata": "true"})
        assert data_of(job) == {"itemId": "VX-77", "item": "VX-77"}


async def test_steps_are_listed_only_where_they_are_asked_for() -> None:
    async with running() as (_, call):
        await call.create()
        await asyncio.sleep(2.0)
        (job,) = (await call("GET", "/job"))["job"]
        assert "log" not in job
        assert job["currentStep"]["number"] == 1
        (job,) = (await call("GET", "/job?step=true"))["job"]
        assert [task["step"] for task in job["log"]["task"]] == [1]


async def test_jobs_of_others_are_listed_only_where_they_are_asked_for() -> None:
    async with running(username="ann") as (fake, call):
        headers = {"Authorization": basic("ann", "secret")}
        call.session.headers.update(headers)
        await call.create()
        fake.create_job("EXPORT", user="bob")
        fake.create_job("EXPORT")
        assert await call.ids() == await call.ids(user="true") == ["VX-1", "VX-3"]
        assert await call.ids(user="false") == ["VX-1", "VX-2", "VX-3"]
        assert (await call("GET", "/job/VX-2"))["user"] == "bob"
        assert fake.ledger.of("VX-2")[0].detail == {"type": "EXPORT", "user": "bob"}


async def test_filters_by_type_state_and_metadata() -> None:
    async with running(Plan(), Plan(outcome="failure"), Plan()) as (fake, call):
        fake.create_job("IMPORT", metadata={"batch": "1", "who": "me"})
        fake.create_job("EXPORT", metadata={"batch": "1"})
        await asyncio.sleep(5.0)
        fake.create_job("IMPORT", metadata={"batch": "2", "who": "me"})
        assert await call.ids(type="IMPORT") == ["VX-1", "VX-3"]
        assert await call.ids(type="IMPORT,EXPORT") == ["VX-1", "VX-2", "VX-3"]
        assert await call.ids(type="EXPORT,all") == ["VX-1", "VX-2", "VX-3"]
        assert await call.ids(type="import") == []
        assert await call.ids(state="all") == ["VX-1", "VX-2", "VX-3"]
        assert await call.ids(state="READY") == ["VX-3"]
        assert await call.ids(state="FINISHED,FAILED_TOTAL") == ["VX-1", "VX-2"]
        assert await call.ids(state="NEW_WORD") == []
        assert await call.ids(jobmetadata="batch=1") == ["VX-1", "VX-2"]
        assert await call.ids(jobmetadata="batch=") == []
        path = "/job?jobmetadata=batch%3D1&jobmetadata=who%3Dme"
        assert [job["jobId"] for job in (await call("GET", path))["job"]] == ["VX-1"]
        assert await call.ids(jobmetadata="batch=1", type="EXPORT", state="READY") == []


async def test_filters_by_time_include_their_bounds() -> None:
    async with running(Plan(queued=1.0004, running=4.0)) as (fake, call):
        fake.create_job("IMPORT")
        await asyncio.sleep(2.0)
        fake.create_job("IMPORT")
        await asyncio.sleep(3.5)
        fake.create_job("IMPORT")
        first, second = await call("GET", "/job/VX-1"), await call("GET", "/job/VX-2")
        start, later, end = first["started"], second["started"], first["finished"]
        assert end == "2026-03-01T12:00:05.000+0000"
        assert await call.ids(**{"starttime-from": start}) == ["VX-1", "VX-2"]
        assert await call.ids(**{"starttime-from": start, "starttime-to": start}) == ["VX-1"]
        assert await call.ids(**{"starttime-to": later}) == ["VX-1", "VX-2"]
        assert await call.ids(**{"starttime-from": "2026-03-01T12:00:01.001Z"}) == ["VX-2"]
        assert await call.ids(**{"starttime-to": "2026-03-01T12:00:00.999Z"}) == []
        assert await call.ids(**{"starttime-from": "2000-01-01T00:00:00Z"}) == ["VX-1", "VX-2"]
        assert await call.ids(**{"finishtime-from": end, "finishtime-to": end}) == ["VX-1"]
        assert await call.ids(**{"finishtime-from": "2026-03-01T13:00:05.001+01:00"}) == []
        assert await call.ids(**{"finishtime-to": "2026-03-01T12:00:04"}) == []
        await asyncio.sleep(2.0)
        assert await call.ids(**{"finishtime-from": end}) == ["VX-1", "VX-2"]


async def test_pages() -> None:
    async with running() as (fake, call):
        for number in range(1, 251):
            fake.create_job("IMPORT" if number % 2 else "EXPORT")
        page = await call("GET", "/job")
        assert page["hits"] == 250
        assert [job["jobId"] for job in page["job"]] == [f"VX-{n}" for n in range(1, 101)]
        assert await call.ids(first="101", number="2") == ["VX-101", "VX-102"]
        assert await call.ids(first="0", number="2") == ["VX-1", "VX-2"]
        assert await call.ids(first="249", number="5") == ["VX-249", "VX-250"]
        assert await call("GET", "/job?first=251") == {"hits": 250}
        page = await call("GET", "/job", params={"type": "EXPORT", "number": "1"})
        assert (page["hits"], page["job"][0]["jobId"]) == (125, "VX-2")
        assert await call("GET", "/job?type=NONE") == {"hits": 0}


async def test_idonly() -> None:
    async with running() as (fake, call):
        fake.create_job("IMPORT")
        path = "/job?idonly=true&metadata=true&step=true"
        assert await call("GET", path) == {"hits": 1, "job": [{"jobId": "VX-1"}]}
        assert (await call("GET", "/job?idonly=false"))["job"][0]["status"] == "READY"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("jobId asc", [1, 2, 3, 10, 11]),
        ("jobId desc", [11, 10, 3, 2, 1]),
        ("type asc", [3, 11, 1, 2, 10]),
        ("type desc,jobId desc", [10, 2, 1, 11, 3]),
        ("priority desc, jobId asc", [3, 10, 1, 11, 2]),
        ("priority asc, jobId desc", [2, 11, 1, 10, 3]),
        ("state asc,jobId asc", [1, 2, 10, 11, 3]),
        ("state desc,jobId asc", [3, 10, 11, 2, 1]),
        ("startTime asc,jobId asc", [10, 11, 1, 2, 3]),
        ("startTime desc,jobId asc", [3, 2, 1, 10, 11]),
        ("user desc,jobId desc", [3, 11, 10, 2, 1]),
    ],
)
async def test_sorting(sort: str, expected: list[int]) -> None:
    plans = [
        Plan(queued=1.0, running=1.0, outcome="failure"),
        Plan(queued=2.0, running=1.0),
        Plan(queued=3.0, running=9.0),
        Plan(queued=9.0),
    ]
    async with running(*plans) as (fake, call):
        fake.create_job("IMPORT")
        fake.create_job("IMPORT")
        fake.create_job("EXPORT", user="zoe")
        for _ in range(4, 10):
            fake.create_job("NONE")
        fake.create_job("IMPORT")
        fake.create_job("EXPORT")
        await call("DELETE", "/job", params={"id": ",".join(f"VX-{n}" for n in range(4, 10))})
        await call("PUT", "/job/VX-2", params={"priority": "LOWEST"})
        await call("PUT", "/job/VX-3", params={"priority": "IMMEDIATE"})
        await call("PUT", "/job/VX-10", params={"priority": "HIGH"})
        await asyncio.sleep(4.0)
        ids = await call.ids(sort=sort, user="false")
        assert ids == [f"VX-{number}" for number in expected]


@pytest.mark.parametrize(
    ("query", "context"),
    [
        ("first=-1", "first"),
        ("first=x", "first"),
        ("number=0", "number"),
        ("number=", "number"),
        ("user=maybe", "user"),
        ("metadata=1", "metadata"),
        ("idonly=yes", "idonly"),
        ("step=2", "step"),
        ("jobmetadata=key", "jobmetadata"),
        ("jobmetadata=%3Dvalue", "jobmetadata"),
        ("sort=jobId", "sort"),
        ("sort=jobId up", "sort"),
        ("sort=color asc", "sort"),
        ("sort=jobId asc,", "sort"),
        ("starttime-from=yesterday", "starttime-from"),
        # An unescaped plus sign is a space.
        ("finishtime-to=2026-03-01T12:00:00+00:00", "finishtime-to"),
    ],
)
async def test_bad_filters_are_refused(query: str, context: str) -> None:
    async with running() as (_, call):
        answer = await call("GET", f"/job?{query}", status=400)
        assert answer["invalidInput"]["context"] == context


async def test_booleans_may_be_capitalized() -> None:
    async with running() as (fake, call):
        fake.create_job("IMPORT", user="bob")
        assert await call.ids(user="False") == ["VX-1"]


async def test_job_types_are_the_known_ones_and_those_in_use() -> None:
    async with running() as (fake, call):
        fake.create_job("IMPORT")
        fake.create_job("SITE_SPECIFIC")
        answer = await call("GET", "/jobtype")
        assert answer["uri"] == [*models.JobTypeName, "SITE_SPECIFIC"]
        assert answer["hits"] == len(answer["uri"])


async def test_ten_thousand_jobs_in_one_listing() -> None:
    async with running() as (fake, call):
        for number in range(10_000):
            fake.create_job("IMPORT", metadata={"batch": str(number % 2)})
        await asyncio.sleep(5.0)
        params = {
            "finishtime-from": "2026-03-01T12:00:05Z",
            "jobmetadata": "batch=1",
            "sort": "startTime desc,jobId desc",
            "number": "3",
        }
        page = await call("GET", "/job", params=params)
        assert page["hits"] == 5_000
        assert [job["jobId"] for job in page["job"]] == ["VX-10000", "VX-9998", "VX-9996"]


# -- forms


async def test_plain_text_where_it_is_asked_for() -> None:
    async with running() as (fake, call):
        text = {"Accept": "text/plain"}
        assert (await call.raw("GET", "/job", headers=text))[1] == ""
        for _ in range(3):
            fake.create_job("SITE_SPECIFIC")
        kind, answer = await call.raw("GET", "/job/VX-1", headers=text)
        assert kind.startswith("text/plain")
        assert answer == "READY"
        assert (await call.raw("GET", "/job?first=2", headers=text))[1] == "VX-2\r\nVX-3"
        _, answer = await call.raw("GET", "/jobtype", headers=text)
        assert answer.split("\r\n") == [*models.JobTypeName, "SITE_SPECIFIC"]
        await call.raw("GET", "/job/problem", status=406, headers=text)


@pytest.mark.parametrize(
    "accept",
    [
        "application/json, text/plain, application/xml",
        "text/plain, application/json;q=0.5",
        "*/*",
        "application/*",
    ],
)
async def test_json_wins(accept: str) -> None:
    async with running() as (fake, call):
        fake.create_job("IMPORT")
        for path in ("/job", "/job/VX-1", "/jobtype", "/job/problem"):
            kind, _ = await call.raw("GET", path, headers={"Accept": accept})
            assert kind.startswith("application/json")


async def test_who_takes_only_xml_gets_nothing_and_creates_nothing() -> None:
    async with running() as (fake, call):
        fake.create_job("IMPORT")
        xml = {"Accept": "application/xml"}
        for path in ("/job", "/job/VX-1", "/job/VX-1/problem", "/job/problem", "/jobtype"):
            await call.raw("GET", path, status=406, headers=xml)
        await call.raw("POST", "/job?type=T", status=406, headers=xml)
        await call.raw("POST", "/job/VX-1/re-run", status=406, headers=xml)
        assert len(fake.jobs) == 1


READS = ("/job", "/job/VX-1", "/job/problem", "/job/VX-1/problem", "/jobtype")


@pytest.mark.parametrize("path", READS)
async def test_a_content_type_without_content_is_refused(path: str) -> None:
    async with running() as (fake, call):
        fake.create_job("IMPORT")
        kind = {"Content-Type": "application/json"}
        answer = await call("GET", path, status=400, headers=kind)
        assert answer["invalidInput"]["context"] == "Content-Type"
        await call("GET", path)


# -- refusals


OPERATIONS = [
    (row.name, row.method, row.path.replace("{job-id}", "VX-9"))
    for api in TABLE.apis
    for row in api.rows
]


async def test_every_operation_has_a_route() -> None:
    async with running(record=True) as (fake, call):
        for name, method, path in OPERATIONS:
            url = call.base_url + path
            async with call.session.request(method, url):
                assert fake.seen[-1].operation == name
        assert set(fake.requests) == {name for name, _, _ in OPERATIONS}


@pytest.mark.parametrize(
    "authorization", [None, "", "Basic", LOGIN + "x", LOGIN.replace("Basic", "Bearer"), "Basic é"]
)
async def test_without_credentials_nothing_is_done_or_said(authorization: str | None) -> None:
    async with running() as (fake, call):
        fake.create_job("IMPORT")
        before = list(fake.ledger.events)
        headers = {} if authorization is None else {"Authorization": authorization}
        async with aiohttp.ClientSession() as session:
            for _, method, path in OPERATIONS:
                url = call.base_url + path.replace("VX-9", "VX-1")
                params = {"type": "T", "id": "VX-1"}
                async with session.request(method, url, params=params, headers=headers) as response:
                    assert response.status == 401
                    assert await response.read() == b""
                    assert response.headers["WWW-Authenticate"].startswith("Basic ")
        assert fake.ledger.events == before
        assert len(fake.jobs) == 1


async def test_credentials_that_are_no_text_are_refused_too() -> None:
    async with running() as (fake, _):
        host, port = fake.base_url.removeprefix("http://").removesuffix("/API").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /API/job HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        await writer.wait_closed()


async def test_credentials_in_utf_8() -> None:
    async with running(username="zoë", password="p:ß") as (_, call):
        login = basic("zoë", "p:ß")
        headers = {"Authorization": login}
        assert await call("GET", "/job", headers=headers) == {"hits": 0}
        await call.raw("GET", "/job", status=401)


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for _, method, path in OPERATIONS if "VX-9" in path]
)
async def test_an_unknown_job_is_not_found(method: str, path: str) -> None:
    async with running() as (fake, call):
        assert await call(method, path, status=404) == UNKNOWN
        for _ in range(9):
            fake.create_job("IMPORT")
        await call("DELETE", "/job", params={"id": "VX-9"})
        before = list(fake.ledger.events)
        assert await call(method, path, status=404) == UNKNOWN
        assert fake.ledger.events == before


async def test_a_job_cannot_be_called_problem() -> None:
    async with running() as (_, call):
        assert await call("GET", "/job/problem") == {}
        answer = await call("DELETE", "/job/problem", status=404)
        assert answer == {"notFound": {"type": "job", "id": "problem"}}


async def test_an_unknown_path_is_no_document() -> None:
    async with running() as (_, call):
        kind, _ = await call.raw("GET", "/nothing", status=404)
        assert kind.startswith("text/plain")
        await call.raw("PATCH", "/job", status=405)
