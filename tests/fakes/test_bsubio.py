"""The embedded bsub.io, seen through a plain HTTP client in virtual time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import attrs
import pytest

from jobkit_async.fakes.timeline import Plan, Planner
from jobkit_async.services.bsubio.fake import FakeBsubio
from jobkit_async.services.bsubio.models import Job, JobStatus
from jobkit_async.states import JobState

pytestmark = pytest.mark.looptime

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
NOT_FOUND = (404, {"success": False, "error": "job not found"})


def steady(*plans: Plan) -> Planner:
    """The given plans one after the other, the last of them for ever."""
    left = list(plans) or [Plan()]
    return lambda rng, job_type: left.pop(0) if len(left) > 1 else left[0]


@attrs.frozen
class Answer:
    status: int
    headers: Any
    body: bytes
    json: Any

    @property
    def said(self) -> tuple[int, Any]:
        return self.status, self.json


@attrs.frozen
class Caller:
    """Sends plain requests."""

    server: FakeBsubio
    http: aiohttp.ClientSession

    async def __call__(self, method: str, path: str, **options: Any) -> Answer:
        headers = options.pop("headers", {"Authorization": "Bearer bsub-key"})
        url = self.server.base_url + path
        async with self.http.request(method, url, headers=headers, **options) as answer:
            is_json = answer.content_type == "application/json"
            return Answer(
                answer.status,
                answer.headers,
                await answer.read(),
                await answer.json() if is_json else None,
            )

    async def create(self, job_type: str = "pdf/extract") -> dict[str, Any]:
        answer = await self("POST", "/v1/jobs", json={"type": job_type})
        assert answer.status == 201
        return answer.json["data"]

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self("GET", f"/v1/jobs/{job_id}")
        assert (answer.status, answer.json["success"]) == (200, True)
        return answer.json["data"]

    async def status(self, job_id: str) -> str:
        return (await self.job(job_id))["status"]

    async def upload(self, job: dict[str, Any], data: bytes = b"12345", **query: str) -> Answer:
        form = aiohttp.FormData()
        form.add_field("file", data, filename="upload")
        token = query.get("token", job["upload_token"])
        return await self("POST", f"/v1/upload/{job['id']}", params={"token": token}, data=form)

    async def submit(self, job_id: str) -> Answer:
        return await self("POST", f"/v1/jobs/{job_id}/submit")

    async def cancel(self, job_id: str) -> Answer:
        return await self("POST", f"/v1/jobs/{job_id}/cancel")

    async def delete(self, job_id: str) -> Answer:
        return await self("DELETE", f"/v1/jobs/{job_id}")

    async def start(self) -> str:
        """Create, upload and submit."""
        job = await self.create()
        assert (await self.upload(job)).status == 200
        assert (await self.submit(job["id"])).status == 200
        return job["id"]

    async def listed(self, query: str = "") -> tuple[list[str], int]:
        answer = await self("GET", f"/v1/jobs{query}")
        assert (answer.status, answer.json["success"]) == (200, True)
        data = answer.json["data"]
        return [job["id"] for job in data["jobs"]], data["total"]


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[tuple[FakeBsubio, Caller]]:
    options = {"planner": steady(), "epoch": EPOCH, **options}
    async with FakeBsubio(**options) as server, aiohttp.ClientSession() as http:
        yield server, Caller(server, http)


async def until(at: float) -> None:
    await asyncio.sleep(at - asyncio.get_running_loop().time())


# -- the path of a job


async def test_a_new_job_waits_for_its_data() -> None:
    async with running() as (server, call):
        await until(0.25)
        job = await call.create("pdf/extract")
        assert str(uuid.UUID(job["id"], version=4)) == job["id"]
        assert job["upload_token"]
        assert set(job) == {field.name for field in attrs.fields(Job)}
        assert (job["status"], job["type"], job["data_size"]) == ("created", "pdf/extract", 0)
        assert job["created_at"] == job["updated_at"] == "2026-01-01T00:00:00.250Z"
        assert job["claimed_at"] is job["finished_at"] is job["claimed_by"] is None
        assert job["error_code"] is job["error_message"] is None
        await until(1000.0)
        assert await call.job(job["id"]) == job
        assert server.ending(job["id"]) is None


async def test_a_submitted_job_runs_through_its_statuses_at_their_times() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=10.0))) as (server, call):
        job_id = await call.start()
        seen = {}
        for at in (0.0, 0.999, 1.0, 1.499, 1.5, 1.999, 2.0, 10.999, 11.0, 99.0):
            await until(at)
            seen[at] = await call.status(job_id)
        assert seen == {
            0.0: "pending",
            0.999: "pending",
            1.0: "claimed",
            1.499: "claimed",
            1.5: "preparing",
            1.999: "preparing",
            2.0: "processing",
            10.999: "processing",
            11.0: "finished",
            99.0: "finished",
        }
        ending = server.ending(job_id)
        assert ending is not None
        assert (ending.at, ending.state, ending.status) == (11.0, JobState.SUCCEEDED, "finished")
        kinds = [event.kind for event in server.ledger.of(job_id)]
        assert kinds == ["created", "uploaded", "submitted"]


async def test_the_dates_tell_when_it_was_claimed_and_ended() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=10.0))) as (_, call):
        job_id = await call.start()
        await until(3.0)
        half = await call.job(job_id)
        assert half["claimed_by"] == "worker-1"
        assert half["claimed_at"] == "2026-01-01T00:00:01.000Z"
        assert half["updated_at"] == "2026-01-01T00:00:02.000Z"
        assert half["finished_at"] is None
        await until(20.0)
        done = await call.job(job_id)
        assert done["claimed_at"] == "2026-01-01T00:00:01.000Z"
        assert done["finished_at"] == done["updated_at"] == "2026-01-01T00:00:11.000Z"


async def test_a_failed_job_says_why() -> None:
    plan = Plan(queued=1.0, running=10.0, outcome="failure", message="no pages")
    async with running(planner=steady(plan)) as (server, call):
        job_id = await call.start()
        await until(10.999)
        assert await call.status(job_id) == "processing"
        await until(11.0)
        failed = await call.job(job_id)
        assert (failed["status"], failed["error_message"]) == ("failed", "no pages")
        assert failed["error_code"] == "EFAILED"
        assert failed["finished_at"] == "2026-01-01T00:00:11.000Z"
        ending = server.ending(job_id)
        assert ending is not None
        assert (ending.at, ending.state) == (11.0, JobState.FAILED)


@pytest.mark.parametrize("body", [{}, {"type": ""}, {"type": 5}, ["pdf/extract"], None])
async def test_a_job_needs_a_type(body: Any) -> None:
    async with running() as (server, call):
        answer = await call("POST", "/v1/jobs", json=body)
        assert (answer.status, answer.json["success"]) == (400, False)
        assert server.jobs == {}
        assert server.ledger.events == []


async def test_a_body_that_is_no_json_is_refused() -> None:
    async with running() as (_, call):
        for data in (b"{x", b"", b"\xff\xfe"):
            answer = await call("POST", "/v1/jobs", data=data)
            assert answer.said == (400, {"success": False, "error": "the body is no JSON"})


# -- upload


async def test_an_upload_makes_a_job_loaded_and_takes_the_token_away() -> None:
    async with running() as (server, call):
        job = await call.create()
        await until(5.0)
        answer = await call.upload(job, b"x" * 300_000)
        assert answer.status == 200
        assert (answer.json["success"], answer.json["data_size"]) == (True, 300_000)
        loaded = await call.job(job["id"])
        assert (loaded["status"], loaded["data_size"]) == ("loaded", 300_000)
        assert "upload_token" not in loaded
        assert loaded["updated_at"] == "2026-01-01T00:00:05.000Z"
        assert server.jobs[job["id"]].data == b"x" * 300_000


async def test_an_upload_wants_the_token_of_its_job() -> None:
    async with running() as (server, call):
        job, other = await call.create(), await call.create()
        for token in ("wrong", "", other["upload_token"]):
            answer = await call.upload(job, token=token)
            assert answer.said == (401, {"success": False, "error": "invalid upload token"})
        assert await call.status(job["id"]) == "created"
        assert server.ledger.count("uploaded") == 0


async def test_a_second_upload_is_refused() -> None:
    async with running() as (server, call):
        job = await call.create()
        await call.upload(job, b"first")
        assert (await call.upload(job, b"second")).status == 400
        assert server.jobs[job["id"]].data == b"first"
        assert server.ledger.count("uploaded") == 1


async def test_an_upload_is_a_part_named_file() -> None:
    async with running() as (_, call):
        job = await call.create()
        path = f"/v1/upload/{job['id']}?token={job['upload_token']}"
        assert (await call("POST", path, data=b"raw")).status == 400
        form = aiohttp.FormData()
        form.add_field("data", b"12345", filename="upload")
        answer = await call("POST", path, data=form)
        assert answer.said == (400, {"success": False, "error": "file is required"})
        assert await call.status(job["id"]) == "created"


# -- submit, cancel, delete


async def test_a_submission_needs_data_and_comes_once() -> None:
    async with running() as (server, call):
        job = await call.create()
        assert (await call.submit(job["id"])).status == 400
        await call.upload(job)
        assert (await call.submit(job["id"])).json["success"] is True
        assert (await call.submit(job["id"])).status == 400
        await until(100.0)
        assert (await call.submit(job["id"])).status == 400
        assert server.ledger.count("submitted") == 1


@pytest.mark.parametrize("at", [0.5, 1.2, 1.7, 5.0])
async def test_a_live_job_can_be_cancelled_and_stays_as_failed(at: float) -> None:
    async with running(planner=steady(Plan(queued=1.0, running=10.0))) as (server, call):
        job_id = await call.start()
        await until(at)
        assert (await call.cancel(job_id)).json["success"] is True
        cancelled = await call.job(job_id)
        assert (cancelled["status"], cancelled["error_code"]) == ("failed", "CANCELLED")
        assert (await call.cancel(job_id)).status == 400
        await until(100.0)
        assert await call.status(job_id) == "failed"
        ending = server.ending(job_id)
        assert ending is not None
        assert (ending.at, ending.state, ending.status) == (at, JobState.CANCELLED, "failed")
        assert server.ledger.count("cancelled", job_id) == 1


async def test_a_cancelled_job_may_vanish_instead() -> None:
    async with running(cancelled_as="removed") as (server, call):
        job_id = await call.start()
        await until(2.0)
        assert (await call.cancel(job_id)).status == 200
        assert (await call("GET", f"/v1/jobs/{job_id}")).said == NOT_FOUND
        assert (await call.cancel(job_id)).said == NOT_FOUND
        assert await call.listed() == ([], 0)
        ending = server.ending(job_id)
        assert ending is not None
        assert (ending.at, ending.state) == (2.0, JobState.CANCELLED)


@pytest.mark.parametrize("status", ["created", "loaded", "finished"])
async def test_what_is_not_live_cannot_be_cancelled(status: str) -> None:
    async with running() as (server, call):
        job = await call.create()
        if status != "created":
            await call.upload(job)
        if status == "finished":
            await call.submit(job["id"])
            await until(100.0)
        assert (await call.cancel(job["id"])).status == 400
        assert await call.status(job["id"]) == status
        assert server.ledger.count("cancelled") == 0


@pytest.mark.parametrize("outcome", ["success", "failure"])
async def test_an_ended_job_can_be_deleted_once(outcome: Any) -> None:
    async with running(planner=steady(Plan(outcome=outcome))) as (server, call):
        job_id = await call.start()
        await until(100.0)
        answer = await call.delete(job_id)
        assert (answer.status, answer.body) == (204, b"")
        assert (await call.delete(job_id)).said == NOT_FOUND
        assert (await call("GET", f"/v1/jobs/{job_id}")).said == NOT_FOUND
        assert await call.listed() == ([], 0)
        assert server.ledger.count("removed", job_id) == 1


async def test_what_has_not_ended_cannot_be_deleted() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=10.0))) as (_, call):
        job = await call.create()
        assert (await call.delete(job["id"])).status == 409
        await call.upload(job)
        assert (await call.delete(job["id"])).status == 409
        await call.submit(job["id"])
        for at in (0.5, 1.2, 1.7, 5.0):
            await until(at)
            assert (await call.delete(job["id"])).status == 409
        await until(11.0)
        assert (await call.delete(job["id"])).status == 204


# -- listing


async def test_a_listing_is_newest_first_and_cut_at_its_limit() -> None:
    async with running() as (_, call):
        created = [(await call.create())["id"] for _ in range(25)]
        newest = created[::-1]
        assert await call.listed() == (newest[:20], 25)
        assert await call.listed("?limit=3") == (newest[:3], 25)
        assert await call.listed("?limit=100") == (newest, 25)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1.5"])
async def test_a_limit_has_bounds(limit: str) -> None:
    async with running() as (_, call):
        answer = await call("GET", f"/v1/jobs?limit={limit}")
        assert (answer.status, answer.json["success"]) == (400, False)


async def test_a_listing_can_be_of_one_status() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=10.0))) as (_, call):
        waiting = (await call.create())["id"]
        live = await call.start()
        assert await call.listed("?status=created") == ([waiting], 1)
        assert await call.listed("?status=pending&limit=1") == ([live], 1)
        await until(5.0)
        assert await call.listed("?status=pending") == ([], 0)
        assert await call.listed("?status=processing") == ([live], 1)
        await until(11.0)
        assert await call.listed("?status=finished") == ([live], 1)
        for status in JobStatus:
            if status not in ("created", "finished"):
                assert await call.listed(f"?status={status}") == ([], 0)


@pytest.mark.parametrize("status", ["cancelled", "", "FINISHED"])
async def test_a_listing_knows_no_other_status(status: str) -> None:
    async with running() as (_, call):
        assert (await call("GET", f"/v1/jobs?status={status}")).status == 400


@pytest.mark.parametrize(("outcome", "status"), [("success", "finished"), ("failure", "failed")])
async def test_ended_jobs_are_listed_latest_end_first(outcome: Any, status: str) -> None:
    plans = [Plan(queued=0.5, running=running, outcome=outcome) for running in (3.0, 9.0, 6.0)]
    async with running(planner=steady(*plans)) as (_, call):
        short, long, middle = [await call.start() for _ in range(3)]
        await until(7.0)
        assert await call.listed(f"?status={status}") == ([middle, short], 2)
        await until(10.0)
        assert await call.listed(f"?status={status}") == ([long, middle, short], 3)
        assert await call.listed(f"?status={status}&limit=1") == ([long], 3)


# -- the rest


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "bsub-key"}]
)
async def test_every_operation_wants_the_key(headers: dict[str, str]) -> None:
    async with running() as (server, call):
        job = await call.create()
        path = f"/v1/jobs/{job['id']}"
        for method, where in (
            ("POST", "/v1/jobs"),
            ("GET", "/v1/jobs"),
            ("GET", path),
            ("DELETE", path),
            ("POST", f"{path}/submit"),
            ("POST", f"{path}/cancel"),
            ("POST", f"/v1/upload/{job['id']}?token={job['upload_token']}"),
        ):
            answer = await call(method, where, headers=headers)
            assert (answer.status, answer.json["success"]) == (401, False), where
        assert len(server.ledger.events) == 1


async def test_the_key_can_be_chosen() -> None:
    async with running(api_key="other") as (_, call):
        assert (await call("GET", "/v1/jobs")).status == 401
        headers = {"Authorization": "Bearer other"}
        assert (await call("GET", "/v1/jobs", headers=headers)).status == 200


async def test_an_unknown_job_is_404_everywhere() -> None:
    async with running() as (_, call):
        for method, path in (
            ("GET", "/v1/jobs/x"),
            ("DELETE", "/v1/jobs/x"),
            ("POST", "/v1/jobs/x/submit"),
            ("POST", "/v1/jobs/x/cancel"),
            ("POST", "/v1/upload/x"),
        ):
            assert (await call(method, path)).said == NOT_FOUND


async def test_unknown_paths_and_methods_have_the_services_body() -> None:
    async with running() as (_, call):
        assert (await call("GET", "/v1/nowhere")).said == (
            404,
            {"success": False, "error": "Not Found"},
        )
        answer = await call("PUT", "/v1/jobs")
        assert answer.said == (405, {"success": False, "error": "Method Not Allowed"})
        assert answer.headers["Allow"] == "GET,POST"


async def test_requests_are_counted_and_kept_where_asked_for() -> None:
    async with running(record=True) as (server, call):
        job_id = (await call.create())["id"]
        await until(2.0)
        await call.job(job_id)
        await call("GET", "/v1/nowhere")
        assert server.requests == {"create_job": 1, "get_job": 1}
        first, second = server.seen
        assert (first.at, first.operation, first.body) == (
            0.0,
            "create_job",
            b'{"type": "pdf/extract"}',
        )
        assert (second.at, second.method, second.raw_path) == (2.0, "GET", f"/v1/jobs/{job_id}")
    async with running() as (server, call):
        await call.start()
        assert server.requests == {"create_job": 1, "upload_job_data": 1, "submit_job": 1}
        assert server.seen == []


async def test_the_server_has_a_date_and_resumes_after_a_stop() -> None:
    async with running() as (server, call):
        job_id = await call.start()
        await until(90.0)
        url = server.base_url
        await server.aclose()
        with pytest.raises(aiohttp.ClientConnectionError):
            await call.job(job_id)
        await server.start()
        assert server.base_url == url
        answer = await call("GET", f"/v1/jobs/{job_id}")
        assert answer.json["data"]["status"] == "finished"
        assert answer.headers["Date"] == "Thu, 01 Jan 2026 00:01:30 GMT"


async def test_the_same_seed_gives_the_same_jobs() -> None:
    async def ids(seed: int) -> list[str]:
        async with FakeBsubio(seed=seed) as server, aiohttp.ClientSession() as http:
            call = Caller(server, http)
            return [(await call.create())["id"] for _ in range(3)]

    assert await ids(1) == await ids(1)
    assert await ids(1) != await ids(2)
