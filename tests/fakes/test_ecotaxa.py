"""The embedded EcoTaxa, seen through a plain HTTP client in virtual time."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import attrs
import pytest

from jobkit_async.fakes.timeline import Plan, Planner
from jobkit_async.services.ecotaxa.fake import FakeEcotaxa
from jobkit_async.services.ecotaxa.models import JobModel
from jobkit_async.states import JobState

pytestmark = pytest.mark.looptime

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
USERS_AND_TAXA = {"missing_users": ["Ann", "Bob"], "missing_taxa": ["Calanoida"]}
NOT_FOUND = (404, {"detail": "Not found."})
FORBIDDEN = (403, {"detail": "You can't do this."})


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
    """Sends plain requests; paths stay as they are written."""

    server: FakeEcotaxa
    http: aiohttp.ClientSession

    async def __call__(self, method: str, path: str, **options: Any) -> Answer:
        headers = options.pop("headers", {"Authorization": "Bearer eco-token"})
        url = self.server.base_url + path
        async with self.http.request(
            method, url, headers=headers, allow_redirects=False, **options
        ) as answer:
            is_json = answer.content_type == "application/json"
            return Answer(
                answer.status,
                answer.headers,
                await answer.read(),
                await answer.json() if is_json else None,
            )

    async def job(self, job_id: int) -> dict[str, Any]:
        answer = await self("GET", f"/jobs/{job_id}/")
        assert answer.status == 200
        return answer.json

    async def state(self, job_id: int) -> tuple[str, int | None, str | None]:
        job = await self.job(job_id)
        return job["state"], job["progress_pct"], job["progress_msg"]

    async def reply(self, job_id: int, reply: Any) -> Answer:
        return await self("POST", f"/jobs/{job_id}/answer", json=reply)


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[tuple[FakeEcotaxa, Caller]]:
    options = {"planner": steady(), "epoch": EPOCH, **options}
    jar = aiohttp.DummyCookieJar()
    async with FakeEcotaxa(**options) as server, aiohttp.ClientSession(cookie_jar=jar) as http:
        yield server, Caller(server, http)


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(at: float) -> None:
    await asyncio.sleep(at - now())


# -- the path of a job


async def test_a_job_waits_runs_and_finishes_at_its_times() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job("GenExport", params={"projid": 7})
        assert await call.state(job.id) == ("P", None, None)
        await until(0.999)
        assert (await call.job(job.id))["state"] == "P"
        await until(1.0)
        assert (await call.job(job.id))["state"] == "R"
        await until(4.999)
        assert (await call.job(job.id))["state"] == "R"
        await until(5.0)
        done = await call.job(job.id)
        assert (done["state"], done["progress_pct"], done["progress_msg"]) == ("F", 100, "Done")
        assert done["result"] == {"rowcount": 2, "out_file": "export_1.zip"}
        ending = server.ending(job.id)
        assert ending is not None
        assert (ending.at, ending.state, ending.status) == (5.0, JobState.SUCCEEDED, "F")


async def test_progress_starts_after_a_tenth_and_follows_the_time() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job()
        seen = {}
        for at in (1.0, 1.39, 1.4, 2.0, 3.0, 3.02, 4.96, 4.999999, 5.0):
            await until(at)
            seen[at] = (await call.job(job.id))["progress_pct"]
        assert seen == {
            1.0: None,
            1.39: None,
            1.4: 10,
            2.0: 25,
            3.0: 50,
            3.02: 50,
            4.96: 99,
            4.999999: 99,
            5.0: 100,
        }


async def test_updated_on_tells_the_last_write_and_not_the_start_of_running() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job()
        seen = {}
        for at in (0.5, 1.2, 1.4, 2.01, 5.0, 9.0):
            await until(at)
            seen[at] = (await call.job(job.id))["updated_on"]
        assert seen == {
            0.5: "2026-01-01T00:00:00",
            1.2: "2026-01-01T00:00:00",
            1.4: "2026-01-01T00:00:01.400000",
            2.01: "2026-01-01T00:00:02",
            5.0: "2026-01-01T00:00:05",
            9.0: "2026-01-01T00:00:05",
        }


async def test_a_job_always_has_its_fifteen_members() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=1.0))) as (server, call):
        await until(0.25)
        job = server.create_job("Prediction")
        assert await call.job(job.id) == {
            "id": 1,
            "owner_id": 1,
            "type": "Prediction",
            "creation_date": "2026-01-01T00:00:00.250000",
            "updated_on": "2026-01-01T00:00:00.250000",
            "params": {},
            "result": {},
            "errors": [],
            "question": {},
            "reply": {},
            "inside": {},
            "state": "P",
            "step": None,
            "progress_pct": None,
            "progress_msg": None,
        }
        await until(5.0)
        assert set(await call.job(job.id)) == {field.name for field in attrs.fields(JobModel)}


async def test_an_import_fails_with_complaints() -> None:
    plan = Plan(queued=1.0, running=4.0, outcome="failure", message="bad row 1\nbad row 2")
    async with running(planner=steady(plan)) as (server, call):
        job = server.create_job("FileImport")
        await until(5.0)
        failed = await call.job(job.id)
        assert (failed["state"], failed["progress_pct"]) == ("E", 99)
        assert failed["progress_msg"] == "2 error(s) during run"
        assert failed["errors"] == ["bad row 1", "bad row 2"]
        assert failed["result"] == {}


async def test_other_types_fail_with_a_traceback() -> None:
    plan = Plan(queued=1.0, running=4.0, outcome="failure", message="disk full")
    async with running(planner=steady(plan)) as (server, call):
        job = server.create_job("Prediction")
        await until(5.0)
        failed = await call.job(job.id)
        assert await call.state(job.id) == ("E", 99, "disk full")
        assert failed["errors"] == [
            "Traceback (most recent call last):",
            "RuntimeError: disk full",
        ]
        ending = server.ending(job.id)
        assert ending is not None
        assert (ending.at, ending.state) == (5.0, JobState.FAILED)


async def test_several_jobs_run_at_once() -> None:
    async with running() as (server, call):
        for _ in range(3):
            server.create_job()
        await until(2.0)
        states = [job["state"] for job in (await call("GET", "/jobs/")).json]
        assert states == ["R", "R", "R"]


async def test_the_default_planner_repeats_itself_whatever_is_listed_in_between() -> None:
    async def endings(listings: int) -> list[Any]:
        async with FakeEcotaxa(seed=3) as server, aiohttp.ClientSession() as http:
            began = now()
            for _ in range(20):
                server.create_job()
                for _ in range(listings):
                    await Caller(server, http)("GET", "/jobs/")
            await asyncio.sleep(120)
            return [
                (round(ending.at - began, 5), ending.state) for ending in server.endings().values()
            ]

    quiet, busy = await endings(0), await endings(2)
    assert len(quiet) == 20
    assert quiet == busy


# -- questions


async def test_a_question_comes_half_way_and_a_complete_reply_ends_it() -> None:
    plan = Plan(queued=1.0, running=4.0, outcome="question")
    async with running(planner=steady(plan)) as (server, call):
        job = server.create_job("FileImport")
        await until(2.99)
        assert (await call.state(job.id))[:2] == ("R", 49)
        await until(3.0)
        assert await call.state(job.id) == ("A", 50, "Asking")
        question = (await call.job(job.id))["question"]
        assert question == {"missing_users": ["Jane Doe"], "missing_taxa": ["Calanoida"]}
        assert server.ending(job.id) is None
        await until(1000.0)
        assert (await call.job(job.id))["updated_on"] == "2026-01-01T00:00:03"

        reply = {"users": {"Jane Doe": 4}, "taxa": {"Calanoida": 80}}
        assert (await call.reply(job.id, reply)).said == (200, None)
        answered = await call.job(job.id)
        assert await call.state(job.id) == ("P", 50, "Proceeding")
        assert (answered["reply"], answered["question"]) == (reply, question)
        assert answered["updated_on"] == "2026-01-01T00:16:40"
        await until(1001.0)
        assert await call.state(job.id) == ("R", 50, "Proceeding")
        await until(1001.2)
        assert await call.state(job.id) == ("R", 55, "Working")
        await until(1002.0)
        assert await call.state(job.id) == ("R", 75, "Working")
        await until(1003.0)
        assert await call.state(job.id) == ("F", 100, "Done")
        assert (await call.job(job.id))["question"] == question
        assert [event.kind for event in server.ledger.of(job.id)] == ["created", "answered"]


async def test_a_partial_reply_makes_the_question_shorter() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job(question=USERS_AND_TAXA)
        await until(10.0)
        assert (await call.job(job.id))["question"] == USERS_AND_TAXA
        partial = {"users": {"Ann": 1, "Bob": None}, "taxa": {"Calanoida": 80}}
        await call.reply(job.id, partial)
        await until(11.2)
        assert (await call.job(job.id))["question"] == USERS_AND_TAXA
        assert (await call.job(job.id))["state"] == "R"
        await until(11.4)
        again = await call.job(job.id)
        assert (again["state"], again["progress_pct"]) == ("A", 50)
        assert again["question"] == {"missing_users": ["Bob"], "missing_taxa": []}
        await call.reply(job.id, {"users": {"Bob": 2}})
        await until(14.4)
        assert (await call.job(job.id))["state"] == "F"
        assert server.ledger.count("answered", job.id) == 2


async def test_a_question_of_another_kind_needs_all_its_members() -> None:
    async with running() as (server, call):
        job = server.create_job(question={"overwrite": "really?", "reason": "why?"})
        await until(10.0)
        await call.reply(job.id, {"reason": "because"})
        await until(20.0)
        asking = await call.job(job.id)
        assert asking["state"] == "A"
        assert asking["question"] == {"overwrite": "really?", "reason": None}
        await call.reply(job.id, {"overwrite": True})
        await until(30.0)
        assert (await call.job(job.id))["state"] == "F"


@pytest.mark.parametrize("options", [{"json": {}}, {}, {"json": None}])
async def test_an_empty_reply_ends_in_an_error(options: dict[str, Any]) -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job(question=USERS_AND_TAXA)
        await until(10.0)
        assert (await call("POST", f"/jobs/{job.id}/answer", **options)).said == (200, None)
        await until(11.39)
        assert await call.state(job.id) == ("R", 50, "Proceeding")
        await until(11.4)
        assert await call.state(job.id) == ("E", 50, "no answer")
        assert (await call.job(job.id))["question"] == USERS_AND_TAXA


async def test_a_question_does_not_save_a_job_that_is_to_fail() -> None:
    plan = Plan(queued=1.0, running=4.0, outcome="failure")
    async with running(planner=steady(plan)) as (server, call):
        job = server.create_job(question={"missing_users": ["Ann"]})
        await until(3.0)
        await call.reply(job.id, {"users": {"Ann": 1}})
        await until(5.999)
        assert (await call.job(job.id))["state"] == "R"
        await until(6.0)
        assert await call.state(job.id) == ("E", 99, "the job failed as planned")


@pytest.mark.parametrize("at", [0.5, 2.0, 6.0])
async def test_a_reply_in_another_state_does_nothing(at: float) -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job()
        await until(at)
        before = await call.job(job.id)
        assert (await call.reply(job.id, {"users": {}})).said == (200, None)
        assert await call.job(job.id) == before
        assert server.ledger.count("answered") == 0


@pytest.mark.parametrize("reply", [[1], "text", 5, False])
async def test_a_reply_is_an_object(reply: Any) -> None:
    async with running() as (server, call):
        job = server.create_job(question=USERS_AND_TAXA)
        await until(10.0)
        fault = {"loc": ["body"], "msg": "value is not a valid dict", "type": "type_error.dict"}
        assert (await call.reply(job.id, reply)).said == (422, {"detail": [fault]})
        assert (await call.job(job.id))["state"] == "A"


async def test_a_reply_that_is_no_json_is_refused_with_the_position() -> None:
    async with running() as (server, call):
        job = server.create_job(question=USERS_AND_TAXA)
        headers = {"Authorization": "Bearer eco-token", "Content-Type": "application/json"}
        path = f"/jobs/{job.id}/answer"
        refused = await call("POST", path, data=b"{x", headers=headers)
        assert refused.status == 422
        assert refused.json["detail"][0]["loc"] == ["body", 1]
        assert refused.json["detail"][0]["type"] == "value_error.jsondecode"
        headers["Content-Type"] = "text/plain"
        refused = await call("POST", path, data=b'{"users": {}}', headers=headers)
        assert refused.json["detail"][0]["type"] == "type_error.dict"


# -- restart


async def test_a_restart_keeps_the_old_traces_until_there_are_new_ones() -> None:
    failing = Plan(queued=1.0, running=4.0, outcome="failure", message="disk full")
    async with running(planner=steady(failing, Plan(queued=2.0, running=10.0))) as (server, call):
        job = server.create_job()
        await until(5.0)
        errors = (await call.job(job.id))["errors"]
        await until(20.0)
        assert (await call("GET", f"/jobs/{job.id}/restart")).said == (200, None)
        waiting = await call.job(job.id)
        assert await call.state(job.id) == ("P", 99, "Restarting")
        assert waiting["errors"] == errors != []
        assert waiting["updated_on"] == "2026-01-01T00:00:20"
        assert server.ending(job.id) is None
        await until(22.0)
        assert await call.state(job.id) == ("R", 99, "Restarting")
        await until(23.0)
        assert await call.state(job.id) == ("R", 10, "Working")
        assert (await call.job(job.id))["errors"] == errors
        await until(32.0)
        assert await call.state(job.id) == ("F", 100, "Done")
        assert (await call.job(job.id))["errors"] == []
        assert server.ledger.count("restarted", job.id) == 1


async def test_a_restarted_job_may_fail_again_or_ask() -> None:
    plans = (
        Plan(running=4.0, outcome="failure"),
        Plan(running=4.0, outcome="failure"),
        Plan(running=4.0, outcome="question"),
    )
    async with running(planner=steady(*plans)) as (server, call):
        job = server.create_job()
        seen = []
        for at in (10.0, 20.0, 30.0):
            await until(at)
            seen.append((await call.job(job.id))["state"])
            await call("GET", f"/jobs/{job.id}/restart")
        assert seen == ["E", "E", "A"]
        assert server.ledger.count("restarted") == 2


@pytest.mark.parametrize(("at", "question"), [(0.5, {}), (2.0, {}), (6.0, {}), (6.0, {"a": "?"})])
async def test_a_restart_in_another_state_does_nothing(at: float, question: dict[str, str]) -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job(question=question)
        await until(at)
        before = await call.job(job.id)
        assert (await call("GET", f"/jobs/{job.id}/restart")).said == (200, None)
        assert await call.job(job.id) == before
        assert server.ledger.count("restarted") == 0


# -- erase


@pytest.mark.parametrize(("at", "state", "pct"), [(0.5, "P", None), (2.0, "R", 25), (8.0, "A", 50)])
async def test_erasing_a_live_job_kills_it(at: float, state: str, pct: int | None) -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job(question={"a": "?"} if state == "A" else None)
        await until(at)
        assert (await call.job(job.id))["state"] == state
        assert (await call("DELETE", f"/jobs/{job.id}")).said == (200, None)
        assert await call.state(job.id) == ("E", pct, "Killed")
        await until(100.0)
        killed = await call.job(job.id)
        assert (killed["state"], killed["errors"]) == ("E", [])
        ending = server.ending(job.id)
        assert ending is not None
        assert (ending.at, ending.state, ending.status) == (at, JobState.CANCELLED, "E")
        assert [event.kind for event in server.ledger.of(job.id)] == ["created", "cancelled"]


async def test_progress_is_that_of_the_kill_even_if_nobody_looked_before() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job()
        await until(3.0)
        await call("DELETE", f"/jobs/{job.id}")
        assert await call.state(job.id) == ("E", 50, "Killed")
        assert (await call.job(job.id))["updated_on"] == "2026-01-01T00:00:03"


async def test_a_second_erase_archives_under_the_negated_id_and_a_third_revives() -> None:
    async with running() as (server, call):
        job = server.create_job()
        await until(2.0)
        await call("DELETE", "/jobs/1")
        assert (await call("DELETE", "/jobs/1")).said == (200, None)
        assert (await call("GET", "/jobs/1/")).said == NOT_FOUND
        assert (await call("DELETE", "/jobs/1")).said == NOT_FOUND
        assert (await call("GET", "/jobs/")).json == []
        archived = await call.job(-1)
        assert (archived["id"], archived["state"], archived["progress_msg"]) == (-1, "E", "Killed")
        assert (await call("GET", "/jobs/-1/log")).status == 200

        assert (await call("DELETE", "/jobs/-1")).said == (200, None)
        assert (await call("GET", "/jobs/-1/")).said == NOT_FOUND
        assert (await call.job(1))["id"] == 1
        kinds = [event.kind for event in server.ledger.of(job.id)]
        assert kinds == ["created", "cancelled", "removed", "revived"]


async def test_a_killed_job_can_be_restarted_and_is_cancelled_no_more() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        job = server.create_job()
        await call("DELETE", f"/jobs/{job.id}")
        await call("GET", f"/jobs/{job.id}/restart")
        await until(5.0)
        ending = server.ending(job.id)
        assert ending is not None
        assert (ending.at, ending.state) == (5.0, JobState.SUCCEEDED)


async def test_a_kill_takes_effect_before_its_answer() -> None:
    async with running(kill_delay=0.5) as (server, call):
        job = server.create_job()
        await until(2.0)
        erasing = asyncio.create_task(call("DELETE", f"/jobs/{job.id}"))
        await until(2.25)
        assert not erasing.done()
        assert (await call.job(job.id))["progress_msg"] == "Killed"
        assert (await erasing).said == (200, None)
        assert now() == 2.5
        await call("DELETE", f"/jobs/{job.id}")
        assert now() == 2.5


async def test_in_2023_ended_and_waiting_jobs_were_deleted_at_once() -> None:
    async with running(era="2023", planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        ended = server.create_job()
        await until(6.0)
        waiting = server.create_job()
        for job in (ended, waiting):
            assert (await call("DELETE", f"/jobs/{job.id}")).said == (200, None)
            assert (await call("GET", f"/jobs/{job.id}/")).said == NOT_FOUND
            assert (await call("GET", f"/jobs/-{job.id}/")).said == NOT_FOUND
            assert (await call("DELETE", f"/jobs/-{job.id}")).said == NOT_FOUND
            assert server.ledger.count("removed", job.id) == 1
        assert server.ledger.count("cancelled") == 0
        await until(100.0)
        assert {key: end.state for key, end in server.endings().items()} == {
            ended.id: JobState.SUCCEEDED,
            waiting.id: JobState.CANCELLED,
        }


async def test_in_2023_running_jobs_were_killed_and_asking_ones_left_alone() -> None:
    async with running(era="2023") as (server, call):
        job = server.create_job()
        asking = server.create_job(question={"a": "?"})
        await until(2.0)
        await call("DELETE", f"/jobs/{job.id}")
        assert (await call.state(job.id))[::2] == ("E", "Killed")
        await until(50.0)
        assert (await call("DELETE", f"/jobs/{asking.id}")).said == (200, None)
        assert await call.state(asking.id) == ("A", 50, "Asking")
        assert [event.kind for event in server.ledger.of(asking.id)] == ["created"]


# -- file and log


@pytest.mark.parametrize(
    ("job_type", "name", "media_type"),
    [
        ("SummaryExport", "export_1.tsv", "text/tab-separated-values"),
        ("GenExport", "export_1.zip", "application/zip"),
    ],
)
async def test_a_file_comes_with_name_size_and_type(
    job_type: str, name: str, media_type: str
) -> None:
    async with running() as (server, call):
        server.create_job(job_type)
        await until(10.0)
        answer = await call("GET", "/jobs/1/file")
        assert answer.status == 200
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Type"].partition(";")[0] == media_type
        data = answer.body
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                data = archive.read("export.tsv")
        assert data.startswith(b"object_id\t")


async def test_a_file_of_another_kind_has_an_unknown_type() -> None:
    async with running() as (server, call):
        job = server.create_job()
        job.file_name, job.file = "model.bin", b"\x00\x01"
        await until(10.0)
        answer = await call("GET", "/jobs/1/file")
        assert (answer.headers["Content-Type"], answer.body) == ("unknown", b"\x00\x01")


async def test_a_range_goes_to_the_end_or_is_refused() -> None:
    async with running() as (server, call):
        server.create_job().file = b"0123456789"
        await until(10.0)

        async def part(wanted: str) -> Answer:
            headers = {"Authorization": "Bearer eco-token", "Range": wanted}
            return await call("GET", "/jobs/1/file", headers=headers)

        answer = await part("bytes=4-")
        assert (answer.status, answer.body) == (206, b"456789")
        assert answer.headers["Content-Range"] == "bytes 4-9/10"
        assert answer.headers["Content-Length"] == "6"
        assert (await part("bytes=9-")).body == b"9"
        for wanted in ("bytes=0-5", "bytes=-3", "bytes=10-", "bytes=0-,4-", "items=0-"):
            refused = await part(wanted)
            assert refused.status == 416, wanted
            assert isinstance(refused.json["detail"], str)


@pytest.mark.parametrize("case", ["early", "failed", "without", "archived", "revived"])
async def test_a_missing_file_is_a_traceback(case: str) -> None:
    outcome = "failure" if case == "failed" else "success"
    async with running(planner=steady(Plan(outcome=outcome))) as (server, call):
        server.create_job("Subset" if case == "without" else "GenExport")
        await until(2.0 if case == "early" else 10.0)
        if case in ("archived", "revived"):
            await call("DELETE", "/jobs/1")
        if case == "revived":
            await call("DELETE", "/jobs/-1")
        answer = await call("GET", f"/jobs/{-1 if case == 'archived' else 1}/file")
        assert answer.status == 500
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.body.startswith(b"-- BACK-END --\nTraceback")


async def test_in_2023_a_missing_file_was_found_to_be_not_found() -> None:
    async with running(era="2023") as (server, call):
        server.create_job().file = b"0123456789"
        answer = await call("GET", "/jobs/1/file")
        assert (answer.status, answer.body) == (200, b"NOT FOUND")
        assert answer.headers["Content-Type"].startswith("text/plain")
        await until(10.0)
        headers = {"Authorization": "Bearer eco-token", "Range": "bytes=4-"}
        answer = await call("GET", "/jobs/1/file", headers=headers)
        assert (answer.status, answer.body) == (200, b"0123456789")
        assert "Accept-Ranges" not in answer.headers


async def test_a_log_can_be_read_at_any_time_and_only_grows() -> None:
    async with running(planner=steady(Plan(queued=1.0, running=4.0))) as (server, call):
        server.create_job()
        logs = []
        for at in (0.0, 2.0, 6.0):
            await until(at)
            answer = await call("GET", "/jobs/1/log")
            assert answer.headers["Content-Type"].startswith("text/plain")
            logs.append(answer.body.decode())
        assert [log.count("\n") for log in logs] == [1, 2, 3]
        assert logs[2].startswith(logs[1])
        assert logs[1].startswith(logs[0])
        assert logs[2].endswith("2026-01-01T00:00:05 job 1 is FINISHED\n")


# -- listing


async def test_a_listing_is_complete_unordered_and_repeatable() -> None:
    async def orders() -> list[list[int]]:
        async with running(seed=5) as (server, call):
            for _ in range(200):
                server.create_job()
            return [
                [job["id"] for job in (await call("GET", "/jobs/?for_admin=false")).json]
                for _ in range(2)
            ]

    first, second = await orders()
    assert sorted(first) == sorted(second) == list(range(1, 201))
    assert sorted(first) != first != second
    assert await orders() == [first, second]


async def test_a_listing_shows_the_same_as_a_single_read() -> None:
    async with running() as (server, call):
        server.create_job(params={"projid": 7})
        server.create_job("FileImport", question={"missing_taxa": ["x"]})
        await until(3.2)
        listed = {job["id"]: job for job in (await call("GET", "/jobs/")).json}
        assert listed == {1: await call.job(1), 2: await call.job(2)}


async def test_jobs_of_others_are_for_administrators() -> None:
    async with running() as (server, call):
        server.create_job()
        foreign = server.create_job(owner_id=7)
        assert [job["id"] for job in (await call("GET", "/jobs/?for_admin=false")).json] == [1]
        assert (await call("GET", "/jobs/?for_admin=true")).said == FORBIDDEN
        paths = (("GET", "/"), ("GET", "/file"), ("GET", "/log"), ("GET", "/restart"))
        for method, rest in (*paths, ("POST", "/answer"), ("DELETE", "")):
            assert (await call(method, f"/jobs/{foreign.id}{rest}")).said == FORBIDDEN
        assert [event.kind for event in server.ledger.of(foreign.id)] == ["created"]

        server.admin = True
        assert [job["id"] for job in (await call("GET", "/jobs/?for_admin=false")).json] == [1]
        everybody = (await call("GET", "/jobs/?for_admin=true")).json
        assert {job["id"]: job["owner_id"] for job in everybody} == {1: 1, 2: 7}
        assert (await call.job(foreign.id))["owner_id"] == 7


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "on"])
async def test_for_admin_takes_many_words(word: str) -> None:
    async with running(admin=True) as (server, call):
        server.create_job(owner_id=7)
        assert len((await call("GET", f"/jobs/?for_admin={word}")).json) == 1


@pytest.mark.parametrize("word", ["maybe", "", "2"])
async def test_for_admin_takes_not_every_word(word: str) -> None:
    fault = {
        "loc": ["query", "for_admin"],
        "msg": "value could not be parsed to a boolean",
        "type": "type_error.bool",
    }
    async with running(admin=True) as (_, call):
        answer = await call("GET", f"/jobs/?for_admin={word}")
        assert answer.said == (422, {"detail": [fault]})


# -- routing


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/jobs/1"), ("DELETE", "/jobs/1/"), ("POST", "/jobs/"), ("POST", "/jobs/1/restart")],
)
async def test_a_wrong_slash_or_method_is_405(method: str, path: str) -> None:
    async with running() as (server, call):
        server.create_job()
        assert (await call(method, path)).said == (405, {"detail": "Method Not Allowed"})
        assert (await call.job(1))["state"] == "P"
        assert server.requests.total() == 1


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/jobs", "https://front.invalid/api/jobs/"),
        ("/jobs?for_admin=true", "https://front.invalid/api/jobs/?for_admin=true"),
        ("/jobs/1/log/", "https://front.invalid/api/jobs/1/log"),
    ],
)
async def test_other_wrong_slashes_are_sent_to_the_front_end(path: str, location: str) -> None:
    async with running() as (server, call):
        answer = await call("GET", path, headers={})
        assert (answer.status, answer.headers["Location"]) == (307, location)
        assert server.requests == {"redirect": 1}


async def test_the_front_end_can_be_chosen() -> None:
    async with running(front_end="http://127.0.0.1:1") as (_, call):
        location = (await call("GET", "/jobs")).headers["Location"]
        assert location == "http://127.0.0.1:1/api/jobs/"


@pytest.mark.parametrize("job_id", ["abc", "1.0", "%20", "None"])
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", "/"),
        ("DELETE", ""),
        ("GET", "/file"),
        ("GET", "/log"),
        ("GET", "/restart"),
        ("POST", "/answer"),
    ],
)
async def test_an_id_is_an_integer(method: str, rest: str, job_id: str) -> None:
    fault = {
        "loc": ["path", "job_id"],
        "msg": "value is not a valid integer",
        "type": "type_error.integer",
    }
    async with running() as (_, call):
        assert (await call(method, f"/jobs/{job_id}{rest}")).said == (422, {"detail": [fault]})


@pytest.mark.parametrize("path", ["/jobs//", "/jobs//file", "/nowhere"])
async def test_an_unknown_path_is_the_frameworks_404(path: str) -> None:
    async with running() as (_, call):
        assert (await call("GET", path)).said == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("job_id", [0, 1, -1, 99999999])
async def test_an_unknown_job_is_the_services_404(job_id: int) -> None:
    async with running() as (_, call):
        assert (await call("GET", f"/jobs/{job_id}/")).said == NOT_FOUND


# -- log-in


async def test_a_login_gives_a_new_token_each_time() -> None:
    async with running() as (_, call):
        account = {"username": "user@example.org", "password": "secret"}
        answers = [await call("POST", "/login", json=account, headers={}) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        tokens = {answer.json for answer in answers}
        assert len(tokens) == 2
        for token in tokens:
            headers = {"Authorization": f"Bearer {token}"}
            assert (await call("GET", "/jobs/", headers=headers)).status == 200


async def test_a_login_wants_the_right_account() -> None:
    async with running(username="ann@example.org", password="pw") as (_, call):
        for account in (
            {"username": "ann@example.org", "password": "secret"},
            {"username": "user@example.org", "password": "pw"},
        ):
            answer = await call("POST", "/login", json=account, headers={})
            assert answer.status == 403
            assert isinstance(answer.json["detail"], str)
        account = {"username": "ann@example.org", "password": "pw"}
        assert (await call("POST", "/login", json=account, headers={})).status == 200


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ({"json": {"username": "x"}}, [["body", "password"]]),
        ({"json": []}, [["body", "username"], ["body", "password"]]),
        ({}, [["body"]]),
    ],
)
async def test_a_login_wants_both_members(body: dict[str, Any], missing: list[Any]) -> None:
    async with running() as (_, call):
        answer = await call("POST", "/login", headers={}, **body)
        assert answer.status == 422
        assert [fault["loc"] for fault in answer.json["detail"]] == missing


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "bearer eco-token"}, {"Cookie": "session=eco-token"}],
)
async def test_credentials_are_a_bearer_token_or_a_cookie(headers: dict[str, str]) -> None:
    async with running() as (_, call):
        assert (await call("GET", "/jobs/", headers=headers)).said == (200, [])


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eA=="}, {"Cookie": "other=1"}])
async def test_no_credentials_are_403(headers: dict[str, str]) -> None:
    async with running() as (_, call):
        answer = await call("GET", "/jobs/", headers=headers)
        assert answer.said == (403, {"detail": "Not authenticated"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Cookie": "session=wrong"},
        {"Authorization": "Bearer wrong", "Cookie": "session=eco-token"},
    ],
)
async def test_wrong_credentials_are_401(headers: dict[str, str]) -> None:
    async with running() as (_, call):
        answer = await call("GET", "/jobs/", headers=headers)
        assert answer.said == (401, {"detail": "Could not validate credentials"})
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_tokens_can_expire_and_another_login_helps() -> None:
    async with running() as (server, call):
        account = {"username": "user@example.org", "password": "secret"}
        given = (await call("POST", "/login", json=account, headers={})).json
        server.expire_tokens()
        for token in ("eco-token", given):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await call("GET", "/jobs/", headers=headers)).status == 401
        fresh = (await call("POST", "/login", json=account, headers={})).json
        headers = {"Authorization": f"Bearer {fresh}"}
        assert (await call("GET", "/jobs/", headers=headers)).status == 200
        assert server.requests == {"login": 2, "list_jobs": 3}


async def test_refused_calls_leave_no_trace() -> None:
    async with running() as (server, call):
        job = server.create_job(question={"a": "?"})
        await until(10.0)
        headers = {"Authorization": "Bearer wrong"}
        await call("DELETE", f"/jobs/{job.id}", headers=headers)
        await call("POST", f"/jobs/{job.id}/answer", json={"a": 1}, headers=headers)
        assert (await call.job(job.id))["state"] == "A"
        assert [event.kind for event in server.ledger.events] == ["created"]
