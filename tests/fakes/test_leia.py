"""The embedded Leia, driven by a plain aiohttp session in virtual time."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import attrs
import pytest
from yarl import URL

from jobkit_async.fakes.ledger import Ending
from jobkit_async.fakes.timeline import Plan, Planner, Timeline
from jobkit_async.services.leia import models
from jobkit_async.services.leia.fake import FakeLeia
from jobkit_async.states import JobState

pytestmark = pytest.mark.looptime

EPOCH = datetime(2018, 11, 7, 16, 2, 29, 761000, tzinfo=UTC)
S = models.Statuses


def steady(*plans: Plan) -> Planner:
    """The given plans one after the other, the last of them for ever."""
    left = list(plans) or [Plan()]
    return lambda rng, job_type: left.pop(0) if len(left) > 1 else left[0]


@attrs.frozen
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any


@attrs.define
class Caller:
    server: FakeLeia
    http: aiohttp.ClientSession
    token: str | None = "leia-token"

    async def __call__(self, method: str, path: str, **options: Any) -> Answer:
        url = URL(self.server.base_url + path, encoded=True)
        headers = {"token": self.token} if self.token is not None else {}
        headers |= options.pop("headers", {})
        async with self.http.request(method, url, headers=headers, **options) as answer:
            is_json = answer.content_type in ("application/json", "application/problem+json")
            return Answer(
                answer.status,
                answer.headers,
                await answer.read(),
                await answer.json(content_type=None) if is_json else None,
            )

    async def apply(self, documents: str = "doc-1", **options: Any) -> str:
        if not any(model.short_name == "ocr" for model in self.server.models.values()):
            self.server.add_model("OCR", b"PK", short_name="ocr")
        answer = await self("POST", f"/admin/app-1/model/ocr/apply/{documents}", **options)
        assert answer.status == 200
        return answer.json["id"]

    async def after(self, job_id: str, **params: str) -> str:
        return await self.apply(params={"execute_after_id": job_id, **params})

    async def job(self, job_id: str, submitter_id: str = "app-1") -> dict[str, Any]:
        answer = await self("GET", f"/admin/{submitter_id}/job/{job_id}")
        assert answer.status == 200
        return answer.json

    async def status(self, job_id: str) -> str:
        return (await self.job(job_id))["status"]

    async def cancel(self, job_id: str, submitter_id: str = "app-1") -> Answer:
        return await self("DELETE", f"/admin/{submitter_id}/job/{job_id}")

    async def statuses(
        self, *job_ids: str, comma: str = ",", submitter_id: str = "app-1"
    ) -> dict[str, str]:
        answer = await self("GET", f"/admin/{submitter_id}/job/{comma.join(job_ids)}/status")
        assert answer.status == 200
        return answer.json

    async def start(self, job_id: str) -> Answer:
        return await self("POST", f"/admin/app-1/job/{job_id}/start")

    async def listed(self, **params: Any) -> list[str]:
        answer = await self("GET", "/admin/job", params=params)
        assert answer.status == (200 if answer.json and isinstance(answer.json, list) else 404)
        return [job["id"] for job in answer.json] if answer.status == 200 else []

    async def models(self, *pairs: tuple[str, str]) -> list[str]:
        answer = await self("GET", "/admin/model", params=pairs)
        assert answer.status in (200, 404)
        return [model["name"] for model in answer.json] if answer.status == 200 else []


# No fixture: fixtures run in real time, and the server's clock would begin there.
@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Caller]:
    options = {"planner": steady(), "epoch": EPOCH, **options}
    async with FakeLeia(**options) as server, aiohttp.ClientSession() as http:
        yield Caller(server, http)


async def until(moment: float) -> None:
    """Sleep until a loop time."""
    await asyncio.sleep(moment - asyncio.get_running_loop().time())


def now() -> float:
    return asyncio.get_running_loop().time()


def refused(answer: Answer, status: int) -> bool:
    """Whether an answer is a well-formed problem document of this status."""
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert set(answer.json) == {"detail", "status", "title", "type"}
    assert answer.json["detail"]
    return (answer.status, answer.json["status"]) == (status, status)


# -- log-in


async def test_each_login_gives_a_new_token_and_the_application() -> None:
    async with running() as call:
        call.token = None
        answers = [await call("POST", "/login", json={"api_key": "leia-key"}) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        tokens = [answer.json["token"] for answer in answers]
        assert len({*tokens, "leia-token"}) == 3
        assert answers[0].json["application"]["application_type"] == "admin"
        for token in tokens:
            call.token = token
            whoami = await call("GET", "/whoami")
            assert (whoami.status, whoami.json) == (200, answers[0].json["application"])


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"api_key": "wrong"}}, 403),
        ({"json": {}}, 400),
        ({}, 400),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": ["leia-key"]}, 400),
        ({"data": b'{"api_key": "leia-key"}'}, 415),
    ],
)
async def test_bad_logins(options: dict[str, Any], status: int) -> None:
    async with running() as call:
        assert refused(await call("POST", "/login", **options), status)


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_without_a_valid_token_nothing_works(token: str | None) -> None:
    async with running() as call:
        call.token = token
        for operation, method, path, _ in call.server.routes():
            if operation != "login":
                assert refused(await call(method, re.sub("[{}]", "", path)), 401), operation
        assert call.server.ledger.events == []


async def test_expired_tokens_are_refused_until_the_next_login() -> None:
    async with running() as call:
        login = await call("POST", "/login", json={"api_key": "leia-key"})
        call.server.expire_tokens()
        for token in ("leia-token", login.json["token"]):
            call.token = token
            assert refused(await call("GET", "/whoami"), 401)
        call.token = (await call("POST", "/login", json={"api_key": "leia-key"})).json["token"]
        assert (await call("GET", "/whoami")).status == 200


# -- life of a job


async def test_states_at_exact_times() -> None:
    async with running(planner=steady(Plan(queued=10.0, running=100.0))) as call:
        began = now()
        job_id = await call.apply()
        seen = []
        for moment in (0.0, 9.99, 10.0, 14.99, 15.0, 19.99, 20.0, 109.99, 110.0, 1e6):
            await until(began + moment)
            seen.append(await call.status(job_id))
        assert seen == [
            S.READY,
            S.READY,
            S.STARTING,
            S.STARTING,
            S.LOADING_MODEL,
            S.LOADING_MODEL,
            S.PROCESSING,
            S.PROCESSING,
            S.PROCESSED,
            S.PROCESSED,
        ]
        assert call.server.ending(job_id) == Ending(
            pytest.approx(began + 110.0), JobState.SUCCEEDED, "PROCESSED"
        )


async def test_a_job_as_json() -> None:
    async with running() as call:
        job_id = await call.apply(
            "doc-1,doc-2", params={"callback_url": "https://cb.example/?a=1&b"}
        )
        job = await call.job(job_id)
        assert re.fullmatch("[0-9a-f]{24}", job_id)
        assert job["document_ids"] == ["doc-1", "doc-2"]
        assert (job["job_type"], job["application_id"]) == ("predict", "app-1")
        assert job["model_id"] in call.server.models
        assert job["callback_url"] == "https://cb.example/?a=1&b"
        assert job["creation_time"] == "2018-11-07T16:02:29.761Z"
        assert (job["starting_time"], job["finished_time"], job["result"]) == (None, None, None)
        await asyncio.sleep(5)
        job = await call.job(job_id)
        assert job["starting_time"] == "2018-11-07T16:02:30.761Z"
        assert job["finished_time"] == "2018-11-07T16:02:34.761Z"
        assert job["result"] == [
            {"key": "document", "value": "doc-1"},
            {"key": "document", "value": "doc-2"},
        ]
        assert (job["reason"], job["http_code"]) == (None, None)
        missing = {field.name for field in attrs.fields(models.Job)} - set(job)
        assert missing == set()


async def test_a_failure_tells_its_reason_and_shows_no_result() -> None:
    async with running(planner=steady(Plan(outcome="failure", message="no pages"))) as call:
        job_id = await call.apply(params={"format_type": "classification"})
        await asyncio.sleep(5)
        job = await call.job(job_id)
        assert (job["status"], job["reason"], job["http_code"]) == ("FAILED", "no pages", 500)
        assert (job["result_type"], job["result"]) == (None, None)
        ending = call.server.ending(job_id)
        assert ending is not None
        assert ending.state is JobState.FAILED


async def test_a_classification() -> None:
    async with running() as call:
        job_id = await call.apply(params={"format_type": "classification"})
        await asyncio.sleep(5)
        job = await call.job(job_id)
        assert job["result_type"] == "classification"
        result = models.Classification(**job["result"])
        assert 0 <= result.accuracy <= 1
        assert 0 <= result.score <= 1


async def test_a_plan_that_asks_a_question_succeeds() -> None:
    # Leia knows no questions.
    async with running(planner=steady(Plan(outcome="question"))) as call:
        job_id = await call.apply()
        await asyncio.sleep(5)
        assert await call.status(job_id) == S.PROCESSED


async def test_the_body_says_what_the_query_can_say() -> None:
    async with running() as call:
        body = {
            "format_type": "classification",
            "block_processing": True,
            "callback_url": "https://cb.example/body",
            "callback_headers": {"X": "1"},
            "model_params": {"lang": "fr", "deep": {"x": [1, None]}},
        }
        job_id = await call.apply(json=body, params={"callback_url": "https://cb.example/query"})
        job = await call.job(job_id)
        assert (job["status"], job["callback_url"]) == ("BLOCKED", "https://cb.example/query")
        assert call.server.jobs[job_id].model_params == body["model_params"]


async def test_loose_query_parameters_are_model_parameters() -> None:
    async with running() as call:
        job_id = await call.apply(
            params={"lang": "fr", "dpi": "300", "tag": "page"}, json={"model_params": {"dpi": 72}}
        )
        assert call.server.jobs[job_id].model_params == {"lang": "fr", "dpi": "300"}


@pytest.mark.parametrize(
    ("documents", "params"),
    [
        ("a,b", {"tag": "page"}),
        ("a", {"page_range": "0"}),
        ("a", {"format_type": "FormatTypes.CLASSIFICATION"}),
        ("a", {"block_processing": "yes"}),
    ],
)
async def test_bad_applications_leave_no_job(documents: str, params: dict[str, str]) -> None:
    async with running() as call:
        call.server.add_model("OCR", short_name="ocr")
        path = f"/admin/app-1/model/ocr/apply/{documents}"
        assert refused(await call("POST", path, params=params), 400)
        assert call.server.jobs == {}
        assert call.server.ledger.count("created") == 0


async def test_applying_what_is_not_there() -> None:
    async with running() as call:
        assert refused(await call("POST", "/admin/app-1/model/ocr/apply/a"), 404)
        call.server.add_model("OCR", short_name="ocr")
        path = "/admin/app-1/model/ocr/apply/a?execute_after_id=nobody"
        assert refused(await call("POST", path), 404)
        assert refused(await call("POST", "/admin/app-2/model/ocr/apply/a"), 404)
        assert call.server.ledger.count("created") == 0


# -- whose job


async def test_another_submitter_may_not_see_a_job() -> None:
    async with running(submitter_id="app-7") as call:
        job_id = await call.apply()
        assert (await call.job(job_id, "app-7"))["submitter_id"] == "app-7"
        assert (await call("GET", "/whoami")).json["id"] == "app-1"
        assert refused(await call("GET", f"/admin/app-1/job/{job_id}"), 403)
        assert refused(await call.cancel(job_id), 403)
        assert await call.statuses(job_id) == {}
        assert await call.statuses(job_id, submitter_id="app-7") == {job_id: S.READY}


@pytest.mark.parametrize("tells", [True, False])
async def test_answers_with_and_without_the_submitter(tells: bool) -> None:
    async with running(tells_submitter=tells) as call:
        job_id = await call.apply()
        listing = await call("GET", "/admin/job")
        for job in (await call.job(job_id), listing.json[0]):
            assert job.get("submitter_id") == ("app-1" if tells else None)
            assert ("submitter_id" in job) is tells


# -- cancelling


async def test_cancel_marks_a_job_and_works_once() -> None:
    async with running() as call:
        job_id = await call.apply()
        await asyncio.sleep(2)
        answer = await call.cancel(job_id)
        assert (answer.status, answer.body) == (204, b"")
        assert refused(await call.cancel(job_id), 404)
        await asyncio.sleep(100)
        job = await call.job(job_id)
        assert (job["status"], job["finished_time"]) == ("CANCELED", "2018-11-07T16:02:31.761Z")
        assert await call.listed() == [job_id]
        assert call.server.ledger.count("cancelled", job_id) == 1
        ending = call.server.ending(job_id)
        assert ending is not None
        assert (ending.at, ending.state) == (pytest.approx(now() - 100), JobState.CANCELLED)


async def test_an_ended_or_unknown_job_cannot_be_cancelled() -> None:
    async with running() as call:
        job_id = await call.apply()
        await asyncio.sleep(5)
        assert refused(await call.cancel(job_id), 404)
        assert refused(await call.cancel("nobody"), 404)
        assert await call.status(job_id) == S.PROCESSED
        assert call.server.ledger.count("cancelled") == 0


# -- one after the other


async def test_a_chain_runs_one_job_after_the_other() -> None:
    async with running() as call:
        began = now()
        chain = [await call.apply()]
        for _ in range(2):
            chain.append(await call.after(chain[-1], page_range="0"))
        seen = []
        for moment in (4.9, 5.1, 6.1, 9.9, 10.1, 14.9, 15.1):
            await until(began + moment)
            statuses = await call.statuses(*chain)
            seen.append([statuses[job_id] for job_id in chain])
        assert seen == [
            [S.PROCESSING, S.WAITING, S.WAITING],
            [S.PROCESSED, S.READY, S.WAITING],
            [S.PROCESSED, S.STARTING, S.WAITING],
            [S.PROCESSED, S.PROCESSING, S.WAITING],
            [S.PROCESSED, S.PROCESSED, S.READY],
            [S.PROCESSED, S.PROCESSED, S.PROCESSING],
            [S.PROCESSED, S.PROCESSED, S.PROCESSED],
        ]
        assert (await call.job(chain[2]))["execute_after_id"] == chain[1]
        assert (await call.job(chain[2]))["page_range"] == "0"


async def test_a_failure_runs_down_the_chain() -> None:
    async with running(planner=steady(Plan(outcome="failure"), Plan())) as call:
        first = await call.apply()
        second = await call.after(first)
        third = await call.after(second)
        await asyncio.sleep(4.9)
        assert await call.status(third) == S.WAITING
        await asyncio.sleep(0.2)
        assert set((await call.statuses(first, second, third)).values()) == {S.FAILED}
        job = await call.job(third)
        assert (job["reason"], job["http_code"]) == (f"job {second} failed", 400)
        assert job["starting_time"] is None


async def test_cancelling_the_first_fails_those_that_wait() -> None:
    async with running() as call:
        first = await call.apply()
        waiting = [await call.after(first), await call.after(first)]
        waiting.append(await call.after(waiting[0]))
        gone = await call.after(waiting[0])
        after_gone = await call.after(gone)
        other = await call.apply()
        await call.cancel(gone)
        assert await call.status(after_gone) == S.FAILED
        await asyncio.sleep(2)
        await call.cancel(first)
        assert [await call.status(job_id) for job_id in waiting] == [S.FAILED] * 3
        assert [await call.status(job_id) for job_id in (first, gone)] == [S.CANCELED] * 2
        await asyncio.sleep(10)
        assert await call.status(other) == S.PROCESSED
        assert await call.status(waiting[2]) == S.FAILED


async def test_a_job_after_one_that_is_over() -> None:
    async with running() as call:
        good, bad = await call.apply(), await call.apply()
        await call.cancel(bad)
        await asyncio.sleep(5)
        assert await call.status(await call.after(good)) == S.READY
        late = await call.after(bad)
        assert await call.status(late) == S.FAILED
        assert call.server.jobs[late].timeline.history(now()) == [(now(), S.FAILED)]


# -- blocked


async def test_a_blocked_job_stands_still_until_it_is_started() -> None:
    async with running() as call:
        job_id = await call.apply(params={"block_processing": "true"})
        dependent = await call.after(job_id)
        await asyncio.sleep(1000)
        assert await call.statuses(job_id, dependent) == {job_id: S.BLOCKED, dependent: S.WAITING}
        answer = await call.start(job_id)
        assert (answer.status, answer.json["status"]) == (200, S.READY)
        await asyncio.sleep(5.1)
        assert await call.statuses(job_id, dependent) == {job_id: S.PROCESSED, dependent: S.READY}
        assert refused(await call.start(job_id), 404)
        assert call.server.ledger.count("started", job_id) == 1


async def test_a_blocked_job_that_is_started_waits_its_turn() -> None:
    async with running() as call:
        first = await call.apply()
        second = await call.after(first, block_processing="true")
        assert await call.status(second) == S.BLOCKED
        await asyncio.sleep(1)
        assert (await call.start(second)).json["status"] == S.WAITING
        await asyncio.sleep(4.1)
        assert await call.status(second) == S.READY


async def test_a_blocked_job_that_is_cancelled_fails_its_dependents() -> None:
    async with running() as call:
        job_id = await call.apply(params={"block_processing": "true"})
        dependent = await call.after(job_id)
        await call.cancel(job_id)
        assert await call.statuses(job_id, dependent) == {job_id: S.CANCELED, dependent: S.FAILED}
        assert refused(await call.start(job_id), 404)


async def test_block_processing_false_does_not_block() -> None:
    async with running() as call:
        assert await call.status(await call.apply(params={"block_processing": "false"})) == S.READY


# -- conditional jobs


async def conditional(call: Caller, after: str, rules: Any) -> Answer:
    path = f"/admin/app-1/job/conditional/{after}"
    return await call("POST", path, json={"rules": rules}, params={"callback_url": "https://cb/"})


async def test_a_conditional_job_runs_the_rules_that_hold() -> None:
    async with running() as call:
        classified = await call.apply("doc-1", params={"format_type": "classification"})
        apply = {"job_type": "apply_model", "model_id": "ocr"}
        classify = {**apply, "format_type": "classification"}
        transform = {"job_type": "transform", "output_type": "text"}
        answer = await conditional(
            call,
            classified,
            {
                "plain": {"conditions": {"category": "invoice"}, "jobs": [classify, transform]},
                "operators": {
                    "conditions": {
                        "score": [{"$gt": 0.9}, {"$lte": 1}],
                        "category": {"$in": ["invoice"]},
                    },
                    "jobs": [apply],
                },
                "other": {"conditions": {"category": {"$ne": "invoice"}}, "jobs": [apply]},
                "one of two": {
                    "conditions": {"category": "invoice", "score": {"$lt": 0.1}},
                    "jobs": [],
                },
                "no such field": {"conditions": {"size": {"$nin": [1]}}, "jobs": [apply]},
                "no comparison": {"conditions": {"category": {"$gte": 1}}, "jobs": [apply]},
                "as a list": [{**apply, "conditions": {"category": {"$eq": "invoice"}}}],
            },
        )
        assert answer.status == 200
        job_id = answer.json["id"]
        assert (answer.json["status"], answer.json["job_type"]) == ("WAITING", "conditional")
        assert answer.json["callback_url"] == "https://cb/"
        await asyncio.sleep(10.1)
        job = await call.job(job_id)
        assert (job["status"], job["result_type"]) == ("PROCESSED", "conditional")
        items = {"result_type": None, "result": [{"key": "document", "value": "doc-1"}]}
        assert set(job["result"]) == {"plain", "operators", "as a list"}
        assert job["result"]["operators"] == job["result"]["as a list"] == [items]
        first, second = job["result"]["plain"]
        assert (first["result_type"], first["result"]["category"]) == ("classification", "invoice")
        assert second["result_type"] == "list[document]"
        assert second["result"][0]["original_id"] == "doc-1"


async def test_conditions_on_key_value_items() -> None:
    async with running() as call:
        first = await call.apply("doc-9")
        rules = {key: {"conditions": {"document": key}} for key in ("doc-9", "doc-8")}
        job_id = (await conditional(call, first, rules)).json["id"]
        await asyncio.sleep(10.1)
        assert (await call.job(job_id))["result"] == {"doc-9": []}


async def test_a_conditional_job_fails_with_the_one_before() -> None:
    async with running(planner=steady(Plan(outcome="failure"), Plan())) as call:
        job_id = (await conditional(call, await call.apply(), {})).json["id"]
        await asyncio.sleep(5.1)
        job = await call.job(job_id)
        assert (job["status"], job["result"]) == ("FAILED", None)


@pytest.mark.parametrize("rules", [{"a": "b"}, {"a": ["b"]}, {"a": {"jobs": 1}}, ["a"]])
async def test_bad_rules(rules: Any) -> None:
    async with running() as call:
        first = await call.apply()
        assert refused(await conditional(call, first, rules), 400)
        assert list(call.server.jobs) == [first]


async def test_a_conditional_job_after_nothing() -> None:
    async with running() as call:
        assert refused(await conditional(call, "nobody", {}), 404)


# -- statuses of many


@pytest.mark.parametrize("comma", [",", "%2C"])
async def test_statuses_of_many_jobs(comma: str) -> None:
    async with running() as call:
        one, two, three = [await call.apply() for _ in range(3)]
        await call.cancel(two)
        expected = {one: S.READY, two: S.CANCELED}
        assert await call.statuses(one, two, one, comma=comma) == expected
        assert await call.statuses(three) == {three: S.READY}


async def test_an_unknown_id_is_left_out() -> None:
    async with running() as call:
        job_id = await call.apply()
        assert await call.statuses("nobody", job_id) == {job_id: S.READY}
        assert await call.statuses("nobody") == {}


async def test_an_unknown_id_refuses_them_all() -> None:
    async with running(unknown_ids="404") as call:
        job_id = await call.apply()
        path = f"/admin/app-1/job/{job_id},nobody/status"
        assert refused(await call("GET", path), 404)
        assert refused(await call("GET", f"/admin/app-2/job/{job_id}/status"), 404)
        assert await call.statuses(job_id) == {job_id: S.READY}


async def test_a_long_url_is_refused() -> None:
    async with running(max_url=100) as call:
        # 27 bytes of prefix and path before the ids, 7 after them.
        fits = "x" * (100 - len("/leia/1.0.0/admin/app-1/job//status"))
        assert await call.statuses(fits) == {}
        assert refused(await call("GET", f"/admin/app-1/job/{fits}x/status"), 414)
        query = "a" * (100 - len("/leia/1.0.0/admin/job?job_id="))
        assert refused(await call("GET", f"/admin/job?job_id={query}"), 404)
        assert refused(await call("GET", f"/admin/job?job_id={query}a"), 414)


async def test_the_default_length_of_a_url() -> None:
    async with running() as call:
        ids = "x" * (8000 - len("/leia/1.0.0/admin/app-1/job//status"))
        assert await call.statuses(ids) == {}
        assert refused(await call("GET", f"/admin/app-1/job/{ids}x/status"), 414)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Grows by one with each look at a job's status."""
    seen: list[float] = []
    at = Timeline.at

    def counted(self: Timeline, when: float) -> tuple[float, str]:
        seen.append(when)
        return at(self, when)

    monkeypatch.setattr(Timeline, "at", counted)
    return seen


async def test_a_long_chain_costs_no_more_than_its_length(looks: list[float]) -> None:
    async with running() as call:
        chain = [await call.apply()]
        for _ in range(300):
            chain.append(await call.after(chain[-1]))
        assert len(looks) <= 3 * len(chain)
        looks.clear()
        assert len(await call.statuses(*chain[-100:])) == 100
        assert len(looks) == 100
        assert await call.listed(job_id=chain[-1]) == chain[-1:]
        assert len(looks) == 101
        await call.cancel(chain[0])
        assert len(looks) <= 101 + 3 * len(chain)
        assert set((await call.statuses(*chain[-100:])).values()) == {S.FAILED}


async def test_of_ten_thousand_jobs_only_those_asked_for_are_looked_at(looks: list[float]) -> None:
    async with running() as call:
        template = call.server.jobs[await call.apply()]
        for number in range(10_000):
            job = attrs.evolve(template, id=f"{number:024x}", timeline=Timeline(now(), S.READY))
            call.server.jobs[job.id] = job
        looks.clear()
        assert len(await call.statuses(*list(call.server.jobs)[-100:])) == 100
        assert len(looks) == 100
        looks.clear()
        answer = await call("GET", "/admin/job?status=READY&sort=-creation_time&limit=100")
        assert answer.headers["Content-Range"] == "0-99/10001"
        assert len(looks) == 10_001 + 100


# -- listing jobs


async def test_an_empty_listing_is_not_found() -> None:
    async with running() as call:
        for unit in ("job", "model"):
            answer = await call("GET", f"/admin/{unit}")
            assert refused(answer, 404)
            assert answer.headers["Content-Range"] == "0-0/0"
            assert answer.headers["Accept-Range"] == f"{unit} 100"


@pytest.mark.parametrize(
    ("params", "page", "told"),
    [
        ({}, slice(0, 20), "0-19/105"),
        ({"limit": "3", "offset": "2"}, slice(2, 5), "2-4/105"),
        ({"offset": "100"}, slice(100, 105), "100-104/105"),
        ({"limit": "1000"}, slice(0, 100), "0-99/105"),
        ({"limit": "1", "offset": "104"}, slice(104, 105), "104-104/105"),
    ],
)
async def test_pages(params: dict[str, str], page: slice, told: str) -> None:
    async with running() as call:
        job_ids = [await call.apply() for _ in range(105)]
        answer = await call("GET", "/admin/job", params=params)
        assert [job["id"] for job in answer.json] == job_ids[page]
        assert answer.headers["Content-Range"] == told
        assert answer.headers["Accept-Range"] == "job 100"


async def test_a_page_beyond_the_end() -> None:
    async with running() as call:
        await call.apply()
        assert refused(await call("GET", "/admin/job?offset=1"), 404)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "offset=-1",
        "sort=size",
        "sort=creation_time,,-%20status",
        "status=CANCELLED",
        "job_type=Predict",
        "created_after=yesterday",
        "created_before=2018-11-07T16:02:29+00:00",  # the plus reads as a blank
    ],
)
async def test_bad_listings(query: str) -> None:
    async with running() as call:
        await call.apply()
        assert refused(await call("GET", f"/admin/job?{query}"), 400)


async def test_filters_of_jobs() -> None:
    async with running() as call:
        other = call.server.add_model("Other", short_name="other")
        first = await call.apply("doc-1,doc-2")
        await asyncio.sleep(2)
        second = (await call("POST", "/admin/app-1/model/other/apply/doc-2")).json["id"]
        await asyncio.sleep(2)
        third = await call.after(first)
        train = (await call("POST", "/admin/app-2/model/a.b/train/t")).json["id"]
        call.server.jobs[train].parent_job_id = first
        call.server.jobs[second].submitter_id = "app-9"
        everything = [first, second, third, train]
        assert await call.listed() == everything
        for params, expected in [
            ({"job_id": second}, [second]),
            ({"job_id": "nobody"}, []),
            ({"job_id": second, "submitter_id": "app-1"}, []),
            ({"submitter_id": "app-9"}, [second]),
            ({"application_id": "app-2"}, [train]),
            ({"job_type": "predict"}, [first, second, third]),
            ({"job_type": "transform"}, []),
            ({"model_id": other.id}, [second]),
            ({"model_id": "other"}, []),
            ({"document_id": "doc-1"}, [first, third]),
            ({"document_id": "doc-2"}, [first, second]),
            ({"execute_after_id": first}, [third]),
            ({"parent_job_id": first}, [train]),
            ({"status": "WAITING"}, [third]),
            ({"status": "PROCESSING"}, [first, second]),
            ({"created_after": "2018-11-07T16:02:31"}, [second, third, train]),
            ({"created_after": "2018-11-07T16:02:31.761"}, [third, train]),
            ({"created_after": "2018-11-07T17:02:31+01:00"}, [second, third, train]),
            ({"created_before": "2018-11-07T16:02:31"}, [first]),
            (
                {"created_after": "2018-11-07T16:02:30", "created_before": "2018-11-07T16:02:32Z"},
                [second],
            ),
        ]:
            assert await call.listed(**params) == expected, params


async def test_sorting_jobs() -> None:
    plans = [Plan(queued=3, running=1), Plan(queued=1, running=9), Plan(queued=2, running=2)]
    async with running(planner=steady(*plans)) as call:
        one = await call.apply("doc-b")
        two = await call.apply("doc-a")
        await asyncio.sleep(1)
        three = await call.apply("doc-c")
        await asyncio.sleep(4.5)
        for sort, expected in [
            ("creation_time", [one, two, three]),
            ("-creation_time", [three, one, two]),
            ("starting_time", [two, one, three]),
            ("finished_time", [two, one, three]),
            ("-finished_time", [three, one, two]),
            ("document_ids", [two, one, three]),
            ("-document_ids", [three, one, two]),
            ("status,-creation_time", [three, one, two]),
            ("-status,-document_ids", [two, three, one]),
            ("-status,document_ids", [two, one, three]),
            ("application_id,submitter_id,job_type,model_id,parent_job_id", [one, two, three]),
        ]:
            assert await call.listed(sort=sort) == expected, sort


# -- models


async def create(call: Caller, data: bytes = b"PK\x03\x04", **params: Any) -> Answer:
    return await call(
        "POST",
        "/admin/app-1/model",
        data=data,
        params=params,
        headers={"Content-Type": "application/octet-stream"},
    )


async def test_a_model_from_creation_to_deletion() -> None:
    async with running() as call:
        data = bytes(range(256)) * 4000
        answer = await create(
            call,
            data,
            name="Invoices",
            short_name="inv",
            description="reads invoices",
            ttl="-1",
            allow_all_applications="true",
            allowed_application_ids=["app-2", "app-3"],
            tags=["a", "b"],
        )
        model = answer.json
        assert answer.status == 200
        fields = ("name", "short_name", "description", "ttl", "allow_all_applications", "tags")
        assert [model[name] for name in fields] == [
            "Invoices", "inv", "reads invoices", -1, True, ["a", "b"],
        ]  # fmt: skip
        assert model["allowed_application_ids"] == ["app-2", "app-3"]
        assert (model["size"], model["md5sum"]) == (1024000, hashlib.md5(data).hexdigest())
        path = f"/admin/app-1/model/{model['id']}"
        for known in (path, "/admin/app-1/model/inv"):
            assert (await call("GET", known)).json == model
            contents = await call("GET", known + "/file_contents")
            assert contents.headers["Content-Type"] == "application/octet-stream"
            assert contents.headers["Content-Length"] == "1024000"
            assert contents.body == data
        assert refused(await call("GET", f"/admin/app-2/model/{model['id']}"), 404)
        gone = await call("DELETE", path)
        assert (gone.status, gone.body) == (204, b"")
        for method, where in [("DELETE", path), ("GET", path), ("GET", path + "/file_contents")]:
            assert refused(await call(method, where), 404)
        assert [event.kind for event in call.server.ledger.of(model["id"])] == [
            "model_created",
            "model_deleted",
        ]


async def test_defaults_of_a_model() -> None:
    async with running() as call:
        model = (await create(call, name="Plain")).json
        required = {f.name for f in attrs.fields(models.Model) if f.default is attrs.NOTHING}
        assert not [name for name in required if model[name] is None]
        assert (model["ttl"], model["tags"], model["allow_all_applications"]) == (200, [], False)


async def test_bad_creations() -> None:
    async with running() as call:
        assert refused(await create(call), 400)
        assert refused(await create(call, b"", name="Empty"), 400)
        assert refused(await create(call, name="N", ttl="long"), 400)
        answer = await call("POST", "/admin/app-1/model?name=N", json={})
        assert refused(answer, 415)
        assert call.server.models == {}


async def test_editing_changes_what_is_given() -> None:
    async with running() as call:
        model = (
            await create(call, name="Old", short_name="o", allowed_application_ids="app-2")
        ).json
        path = f"/admin/app-1/model/{model['id']}"
        edited = await call("PATCH", path, params={"name": "New", "ttl": "7"})
        assert (edited.status, edited.json) == (200, {**model, "name": "New", "ttl": 7})
        params = {
            "allowed_application_ids": "",
            "allow_all_applications": "true",
            "short_name": "n",
        }
        edited = await call("PATCH", path, params=params)
        expected = {
            "allowed_application_ids": [],
            "allow_all_applications": True,
            "short_name": "n",
        }
        assert edited.json == {**model, "name": "New", "ttl": 7, **expected}
        assert (await call("GET", path)).json == edited.json
        assert refused(await call("PATCH", "/admin/app-1/model/n", params={"name": "x"}), 404)
        assert call.server.ledger.count("model_edited", model["id"]) == 2


async def test_tagging_twice_is_tagging_once() -> None:
    async with running() as call:
        model = call.server.add_model("M")
        path = f"/admin/app-1/model/{model.id}/tag/"
        for _ in range(2):
            answer = await call("POST", path + "a%2Fb")
            assert (answer.status, answer.json["tags"]) == (200, ["a/b"])
        assert call.server.ledger.count("tagged", model.id) == 1
        assert refused(await call("POST", "/admin/app-1/model/nothing/tag/a"), 404)


async def test_untagging_works_once() -> None:
    async with running() as call:
        model = call.server.add_model("M", tags=["a", "b"])
        path = f"/admin/app-1/model/{model.id}/tag/a"
        answer = await call("DELETE", path)
        assert (answer.status, answer.body) == (200, b"")
        assert refused(await call("DELETE", path), 404)
        assert model.tags == ["b"]
        assert call.server.ledger.count("untagged", model.id) == 1


async def test_filters_of_models() -> None:
    async with running() as call:
        add = call.server.add_model
        one = add("one", short_name="o", description="reads all", tags=["x", "y"])
        await asyncio.sleep(10)
        add("two", model_type="classification", input_types=["image", "text"], tags=["x"])
        add("three", application_id="app-2", allowed_application_ids=["app-3"])
        add("four", application_id="app-2", allow_all_applications=True)
        for pairs, expected in [
            ([], ["one", "two", "three", "four"]),
            ([("model_id", one.id)], ["one"]),
            ([("model_id", "o")], []),
            ([("application_id", "app-1")], ["one", "two", "four"]),
            ([("application_id", "app-1"), ("only_mine", "true")], ["one", "two"]),
            ([("application_id", "app-3")], ["three", "four"]),
            ([("application_id", "app-2"), ("only_mine", "false")], ["three", "four"]),
            ([("only_mine", "true")], ["one", "two"]),
            ([("model_type", "classification")], ["two"]),
            ([("name", "one")], ["one"]),
            ([("short_name", "o")], ["one"]),
            ([("description", "ads a")], ["one"]),
            ([("input_types", "text")], ["two"]),
            ([("input_types", "image"), ("input_types", "text")], ["two"]),
            ([("tags", "x")], ["one", "two"]),
            ([("tags", "x"), ("tags", "y")], ["one"]),
            ([("created_after", "2018-11-07T16:02:30")], ["two", "three", "four"]),
            ([("created_before", "2018-11-07T16:02:30")], ["one"]),
            ([("sort", "name")], ["four", "one", "three", "two"]),
            ([("sort", "-creation_time,-name")], ["two", "three", "four", "one"]),
            ([("sort", "application_id,model_type")], ["two", "one", "three", "four"]),
            ([("sort", "-description")], ["one", "two", "three", "four"]),
            ([("offset", "1"), ("limit", "2")], ["two", "three"]),
        ]:
            assert await call.models(*pairs) == expected, pairs
        answer = await call("GET", "/admin/model?limit=2")
        assert answer.headers["Content-Range"] == "0-1/4"
        assert answer.headers["Accept-Range"] == "model 100"
        for bad in ("model_type=big", "input_types=smell", "only_mine=1", "sort=id", "limit=0"):
            assert refused(await call("GET", f"/admin/model?{bad}"), 400), bad


async def test_training_makes_a_model() -> None:
    async with running() as call:
        params = {
            "model_name": "Trained",
            "short_name": "tr",
            "description": "d",
            "ttl": "5",
            "tags": ["x", "y"],
            "epochs": "3",
        }
        answer = await call(
            "POST", "/admin/app-2/model/leia.nets/train/samples", params=params, json={}
        )
        job = answer.json
        assert (answer.status, job["status"], job["model_id"]) == (200, "READY", None)
        assert call.server.jobs[job["id"]].model_params == {"epochs": "3"}
        await asyncio.sleep(4.9)
        assert await call.models() == []
        assert refused(await call("GET", "/admin/app-2/model/tr"), 404)
        await asyncio.sleep(0.2)
        ended = await call.job(job["id"])
        assert (ended["status"], ended["result_type"]) == ("PROCESSED", "model")
        model = (await call("GET", "/admin/app-2/model/tr")).json
        assert ended["result"] == model
        assert (model["name"], model["model_module"]) == ("Trained", "leia.nets")
        assert (model["ttl"], model["tags"], model["description"]) == (5, ["x", "y"], "d")
        assert model["creation_time"] == ended["finished_time"]
        applied = await call("POST", "/admin/app-2/model/tr/apply/doc-1")
        assert applied.json["model_id"] == model["id"]


async def test_a_training_that_fails_or_waits_makes_no_model() -> None:
    async with running(planner=steady(Plan(outcome="failure"), Plan())) as call:
        path = "/admin/app-1/model/leia.nets/train/samples"
        first = (await call("POST", path)).json["id"]
        body = {"execute_after_id": first, "model_name": "Late"}
        second = (await call("POST", path, json=body)).json
        assert second["status"] == S.WAITING
        await asyncio.sleep(100)
        assert set((await call.statuses(first, second["id"])).values()) == {S.FAILED}
        assert await call.models() == []


# -- the rest


async def test_no_such_route() -> None:
    async with running() as call:
        assert refused(await call("GET", "/nothing"), 404)
        answer = await call("PUT", "/admin/job")
        assert refused(answer, 405)
        assert answer.headers["Allow"] == "GET"


async def test_the_same_seed_gives_the_same_ids() -> None:
    async with running(seed=7) as one, running(seed=7) as two, running(seed=8) as three:
        first = await one.apply()
        assert await two.apply() == first
        assert await three.apply() != first
