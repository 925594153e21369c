"""How each service observes many jobs: against its embedded server, counting requests."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable
from typing import Any

import pytest

from jobkit_async.errors import JobLost, JobNeedsInput, PollingFailed, WaitTimeout
from jobkit_async.fakes.server import Refusal
from jobkit_async.options import Limits
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.services.leia.fake import FakeLeia
from jobkit_async.services.vidispine.fake import FakeVidispine
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=20_000)  # what would hang fails

MANY = 1000
NAMES = ["leia", "ecotaxa", "vidispine", "bsubio"]


def now() -> float:
    return asyncio.get_running_loop().time()


async def result(awaitable: Awaitable[Any]) -> Any:
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error


class Rounds:
    """Waits for jobs, and counts the requests of each look; one every ten seconds."""

    def __init__(self, world: Any, jobs: list[Any]) -> None:
        self._world = world
        self._before = world.requests()
        self.jobs = jobs
        self.waits = [asyncio.create_task(result(job.wait())) for job in jobs]

    async def next(self) -> dict[str, int]:
        """What the next look costs, by operation."""
        # The first is under way at once; each is given five seconds of the ten.
        await asyncio.sleep(5.0)
        after = self._world.requests()
        cost = {name: count - self._before.get(name, 0) for name, count in after.items()}
        self._before = after
        await asyncio.sleep(5.0 - 1e-3)
        return {name: count for name, count in cost.items() if count}

    @property
    def open(self) -> int:
        """How many still wait."""
        return sum(not task.done() for task in self.waits)

    async def all(self) -> list[Any]:
        return list(await asyncio.gather(*self.waits))


def states(jobs: list[Any]) -> set[JobState]:
    return {job.state for job in jobs}


class TestAThousandJobs:
    """What a round costs."""

    async def test_on_leia_one_request_for_each_hundred(self, world: Any) -> None:
        async with world("leia", server={"record": True}) as it:
            jobs = it.births(MANY)
            rounds = Rounds(it, jobs)
            for _ in range(3):
                assert await rounds.next() == {"admin_get_job_statuses": MANY // 100}
            assert max(len(seen.raw_path) for seen in it.server.seen) <= 8000
            assert states(jobs) == {JobState.RUNNING}

            for job in jobs:
                it.end(job.id)
            cost = await rounds.next()
            assert cost.pop("admin_get_job_statuses") == MANY // 100
            assert cost.keys() == {"admin_get_jobs"}  # the full snapshots, a hundred at a time
            assert cost["admin_get_jobs"] <= MANY // 100 + 3
            assert {final.status for final in await rounds.all()} == {"PROCESSED"}

    @pytest.mark.parametrize(("every", "pages", "reads"), [(5, 5, 0), (50, 1, 8)])
    async def test_on_leia_ends_among_those_of_others_come_from_pages_while_these_pay(
        self, world: Any, every: int, pages: int, reads: int
    ) -> None:
        async with world("leia") as it:
            jobs = it.births(500)
            rounds = Rounds(it, jobs[::every])
            await rounds.next()
            for job in jobs:
                it.end(job.id)
            cost = await rounds.next()
            del cost["admin_get_job_statuses"]
            wanted = {"admin_get_jobs": pages, "admin_get_job": reads}
            assert cost == {name: count for name, count in wanted.items() if count}
            assert len(await rounds.all()) == 500 // every

    async def test_on_leia_an_odd_job_on_a_page_is_read_alone(
        self, world: Any, traffic: Any
    ) -> None:
        async with world("leia") as it:
            jobs = it.births(50)
            odd = {jobs[0].id, jobs[7].id}

            def meddle(operation: str, document: Any) -> Any:
                if operation == "admin_get_jobs":
                    for row in document:
                        row["document_ids"] = 3 if row["id"] in odd else row["document_ids"]
                return document

            traffic.meddle = meddle
            rounds = Rounds(it, jobs)
            await rounds.next()
            for job in jobs:
                it.end(job.id)
            cost = await rounds.next()
            del cost["admin_get_job_statuses"]
            assert cost == {"admin_get_jobs": 1, "admin_get_job": 2}
            assert len(await rounds.all()) == 50

    async def test_on_leia_a_part_of_a_hundred_is_a_request_too(self, world: Any) -> None:
        async with world("leia") as it:
            rounds = Rounds(it, it.births(901))
            assert await rounds.next() == {"admin_get_job_statuses": 10}

    async def test_on_ecotaxa_one_request(self, world: Any) -> None:
        async with world("ecotaxa") as it:
            jobs = it.births(MANY)
            rounds = Rounds(it, jobs)
            for _ in range(3):
                assert await rounds.next() == {"list_jobs": 1}
            for job in jobs[:700]:
                it.end(job.id)
            assert await rounds.next() == {"list_jobs": 1}
            assert rounds.open == 300
            for job in jobs[700:]:
                it.end(job.id)
            assert await rounds.next() == {"list_jobs": 1}
            assert {final.state for final in await rounds.all()} == {"F"}

    async def test_on_vidispine_what_ended_and_not_what_is_awaited(self, world: Any) -> None:
        async with world("vidispine") as it:
            jobs = it.births(MANY)
            rounds = Rounds(it, jobs)
            first = await rounds.next()  # nothing is known yet: one sweep of the listing
            assert first.keys() == {"get_jobs"}
            assert first["get_jobs"] <= 2 + 2 * MANY // 100
            assert states(jobs) == {JobState.RUNNING}
            for _ in range(3):
                assert await rounds.next() == {"get_jobs": 1}

            for ended in (1, 99, 350):
                for job in jobs[:ended]:
                    it.end(job.id)
                del jobs[:ended]
                cost = await rounds.next()
                assert cost.keys() == {"get_jobs"}
                assert cost["get_jobs"] <= 1 + math.ceil(ended / 99)
                assert rounds.open == len(jobs)
            for job in jobs:
                it.end(job.id)
            assert {final.status for final in await rounds.all()} == {"FINISHED"}

    async def test_on_bsubio_what_ended_and_not_what_is_awaited(self, world: Any) -> None:
        async with world("bsubio") as it:
            jobs = it.births(MANY)
            rounds = Rounds(it, jobs)
            while any(job.state is JobState.UNKNOWN for job in jobs):
                await rounds.next()
            for _ in range(3):  # the ends, well and badly; and two that might have been deleted
                assert await rounds.next() == {"list_jobs": 2, "get_job": 2}
            for ended in (1, 50, 99):
                for job in jobs[:ended]:
                    it.end(job.id)
                del jobs[:ended]
                assert await rounds.next() == {"list_jobs": 2, "get_job": 2}
                assert rounds.open == len(jobs)
            for job in jobs:
                it.end(job.id)
            assert {final.status for final in await rounds.all()} == {"finished"}

    async def test_on_bsubio_jobs_from_here_need_no_reads_of_their_own(self, world: Any) -> None:
        from jobkit_async.services.bsubio.models import CreateJobRequest

        async with world("bsubio") as it:
            create = it.client.jobs.create_job
            jobs = [await create(CreateJobRequest(type="t")) for _ in range(120)]
            for job in jobs:
                it.server.jobs[job.id].timeline.go(now(), (0.0, "processing"))
                it.client._touch(job.id, starts=True)  # as if submitted from here
            await asyncio.sleep(30.0)
            rounds = Rounds(it, jobs)
            assert await rounds.next() == {"list_jobs": 2, "get_job": 2}


class TestAll:
    """What holds for every service."""

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("count", [1, 3, 12])
    async def test_every_job_is_seen_to_its_end(self, world: Any, name: str, count: int) -> None:
        async with world(name) as it:
            jobs = it.births(count)
            for index, job in enumerate(jobs):
                it.end(job.id, after=7.0 * index)
            finals = await asyncio.gather(*(result(job.wait()) for job in jobs))
            assert states(jobs) == {JobState.SUCCEEDED}
            assert finals == [job.data for job in jobs]
            last = it.server.ending(jobs[-1].id)
            assert last is not None
            assert last.at <= now() <= last.at + 10.5

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("count", [1, 3, 350])
    async def test_one_look_tells_of_each(self, world: Any, name: str, count: int) -> None:
        async with world(name) as it:
            jobs = it.births(count)
            for job in jobs:
                it.end(job.id)
            await asyncio.sleep(1.0)
            begin = now()
            finals = await asyncio.gather(*(result(job.wait(timeout=0)) for job in jobs))
            assert [final for final in finals if isinstance(final, Exception)] == []
            assert now() == begin

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("count", [1, 12])
    async def test_a_job_that_is_not_there_is_lost_and_harms_no_other(
        self, world: Any, name: str, count: int
    ) -> None:
        async with world(name) as it:
            jobs = it.births(count)
            gone = it.client.job(9999 if name == "ecotaxa" else "f" * 24)
            waits = [asyncio.create_task(result(job.wait())) for job in jobs]
            error = await result(gone.wait())
            assert isinstance(error, JobLost)
            assert error.ref == gone.ref
            assert START + 30.0 <= now() <= START + 45.0
            assert states(jobs) == {JobState.RUNNING}
            for job in jobs:
                it.end(job.id)
            await asyncio.gather(*waits)
            assert states(jobs) == {JobState.SUCCEEDED}

    @pytest.mark.parametrize("name", NAMES)
    async def test_a_job_that_disappears_is_lost_among_many(self, world: Any, name: str) -> None:
        async with world(name) as it:
            jobs = it.births(12)
            rounds = Rounds(it, jobs)
            await rounds.next()
            victim = jobs[7]
            if name == "leia":
                del it.server.jobs[victim.id]
            else:
                it.server.jobs[victim.id].removed = True
            async with asyncio.timeout(1000.0):
                error = await rounds.waits[7]
            assert isinstance(error, JobLost)
            assert rounds.open == 11

    @pytest.mark.parametrize("name", NAMES)
    async def test_an_outage_of_a_minute_fails_nobody(self, world: Any, name: str) -> None:
        async with world(name) as it:
            jobs = it.births(5)
            rounds = Rounds(it, jobs)
            await rounds.next()
            await it.server.aclose()
            await asyncio.sleep(60.0)
            await it.server.start()
            for job in jobs:
                it.end(job.id)
            await rounds.all()
            assert states(jobs) == {JobState.SUCCEEDED}

    @pytest.mark.parametrize("name", NAMES)
    async def test_updates_show_the_way_of_one_among_many(self, world: Any, name: str) -> None:
        async with world(name) as it:
            jobs = it.births(12)
            rounds = Rounds(it, jobs)
            await rounds.next()
            seen = [update async for update in self._first(jobs[5], 1)]
            assert [update.state for update in seen] == [JobState.RUNNING]
            it.end(jobs[5].id, after=15.0)
            told = [update.state async for update in jobs[5].updates()]
            assert told == [JobState.RUNNING, JobState.SUCCEEDED]

    @staticmethod
    async def _first(job: Any, count: int) -> Any:
        async for update in job.updates():
            yield update
            count -= 1
            if not count:
                return

    @pytest.mark.parametrize("name", NAMES)
    async def test_an_unknown_word_is_no_end(self, world: Any, name: str) -> None:
        word = "Q" if name == "ecotaxa" else "SUSPENDED"
        polling = Polling(policy=FixedInterval(10.0), unknown_after=300.0)
        async with world(name, polling=polling) as it:
            jobs = it.births(5)
            it.server.states = {**it.server.states, word: JobState.UNKNOWN}
            odd = it.server.jobs[jobs[0].id]
            if name == "ecotaxa":
                odd.plan_anew(now(), [(0.0, word, {})])
            else:
                odd.timeline.go(now(), (0.0, word))
            waits = [asyncio.create_task(result(job.wait())) for job in jobs]
            error = await waits[0]
            assert isinstance(error, PollingFailed)
            assert word in str(error)
            assert (jobs[0].state, jobs[0].raw_status) == (JobState.UNKNOWN, word)
            assert not any(wait.done() for wait in waits[1:])


class TestLeia:
    @pytest.mark.parametrize("unknown_ids", ["omit", "404"])
    @pytest.mark.parametrize("tells_submitter", [True, False])
    @pytest.mark.parametrize("count", [1, 3, 30])
    async def test_a_wrong_guess_of_the_submitter_never_loses_a_job(
        self, world: Any, unknown_ids: str, tells_submitter: bool, count: int
    ) -> None:
        server = {
            "submitter_id": "other",
            "tells_submitter": tells_submitter,
            "unknown_ids": unknown_ids,
        }
        async with world("leia", server=server) as it:
            jobs = it.births(count)
            for job in jobs:
                it.end(job.id, after=95.0)
            finals = await asyncio.gather(*(result(job.wait()) for job in jobs))
            assert {getattr(final, "status", final) for final in finals} == {"PROCESSED"}
            assert {job.submitter_id for job in jobs} <= {"other", "app-1"}

    async def test_a_submitter_that_is_told_is_believed(self, world: Any) -> None:
        async with world("leia", server={"submitter_id": "other"}) as it:
            jobs = it.births(30)
            rounds = Rounds(it, jobs)
            first = await rounds.next()
            assert first == {"admin_get_job_statuses": 1, "admin_get_jobs": 30}
            assert await rounds.next() == {"admin_get_job_statuses": 1}
            assert {job.submitter_id for job in jobs} == {"other"}

    @pytest.mark.parametrize(
        ("client", "whoami"),
        [
            ({"api_key": "leia-key"}, 0),
            ({"api_key": None, "token": "leia-token"}, 1),
            ({"api_key": None, "token": "leia-token", "submitter_id": "app-1"}, 0),
        ],
    )
    async def test_the_submitter_is_asked_for_at_most_once(
        self, world: Any, client: Any, whoami: int
    ) -> None:
        async with world("leia", client=client) as it:
            rounds = Rounds(it, it.births(250))
            assert await rounds.next() == {"admin_get_job_statuses": 3}
            assert it.server.requests["whoami"] == whoami
            assert states(rounds.jobs) == {JobState.RUNNING}

    async def test_one_unknown_id_is_isolated(self, world: Any) -> None:
        async with world("leia", server={"unknown_ids": "404"}) as it:
            jobs = it.births(100)
            rounds = Rounds(it, jobs)
            assert await rounds.next() == {"admin_get_job_statuses": 1}
            del it.server.jobs[jobs[37].id]
            for job in jobs[:37] + jobs[38:]:
                it.end(job.id)
            cost = await rounds.next()
            assert cost["admin_get_job_statuses"] <= 1 + 2 * math.ceil(math.log2(100))
            assert rounds.open == 1
            assert isinstance(await rounds.waits[37], JobLost)

    @pytest.mark.parametrize("status", [400, 500])
    async def test_one_bad_id_harms_no_other(
        self, world: Any, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        original = FakeLeia._get_statuses
        bad: list[str] = []

        async def picky(self: Any, request: Any) -> Any:
            if bad and bad[0] in request.match_info["job_id"].split(","):
                raise Refusal(status, "cannot deal with this id")
            return await original(self, request)

        monkeypatch.setattr(FakeLeia, "_get_statuses", picky)
        async with world("leia") as it:
            jobs = it.births(100)
            bad.append(jobs[61].id)
            rounds = Rounds(it, jobs)
            cost = await rounds.next()
            assert cost["admin_get_job_statuses"] <= 1 + 2 * math.ceil(math.log2(100))
            for job in jobs[:61] + jobs[62:]:
                it.end(job.id)
            await rounds.next()
            assert rounds.open == 1
            bad.clear()
            it.end(jobs[61].id)
            assert {final.status for final in await rounds.all()} == {"PROCESSED"}

    @pytest.mark.parametrize("status", [400, 500])
    async def test_a_service_that_refuses_everything_is_not_asked_for_each_id(
        self, world: Any, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        async def broken(self: Any, request: Any) -> Any:
            raise Refusal(status, "out of order")

        monkeypatch.setattr(FakeLeia, "_get_statuses", broken)
        async with world("leia") as it:
            rounds = Rounds(it, it.births(100))
            cost = await rounds.next()
            assert cost["admin_get_job_statuses"] < 100

    async def test_a_url_that_is_too_long_shortens_the_chunks(self, world: Any) -> None:
        async with world("leia", server={"max_url": 1500, "record": True}) as it:
            jobs = it.births(100)
            rounds = Rounds(it, jobs)
            await rounds.next()
            assert states(jobs) == {JobState.RUNNING}
            await rounds.next()
            begin = len(it.server.seen)
            cost = await rounds.next()
            assert cost["admin_get_job_statuses"] <= 4  # it was learnt
            assert max(len(seen.raw_path) for seen in it.server.seen[begin:]) <= 1500

    async def test_long_ids_make_short_chunks(self, world: Any) -> None:
        async with world("leia", server={"record": True}) as it:
            ids = [f"{index:03}-" + "ä b/c?d#é%" * 12 for index in range(60)]
            jobs = [it.client.job(it.birth(job_id=job_id).id) for job_id in ids]
            rounds = Rounds(it, jobs)
            await rounds.next()
            assert states(jobs) == {JobState.RUNNING}
            paths = [seen.raw_path for seen in it.server.seen if "status" in seen.operation]
            assert max(map(len, paths)) < 4500
            assert len(paths) <= 12

    @pytest.mark.parametrize("count", [3, 5, 250])
    async def test_snapshots_of_many_come_from_the_listing(self, world: Any, count: int) -> None:
        async with world("leia") as it:
            jobs = it.births(count)
            rounds = Rounds(it, jobs)
            await rounds.next()
            for index, job in enumerate(jobs):
                it.end(job.id, how=["PROCESSED", "FAILED", "CANCELED"][index % 3])
            cost = await rounds.next()
            assert rounds.open == 0
            reads = cost.get("admin_get_job", 0) + cost.get("admin_get_jobs", 0)
            assert reads <= (count if count <= 4 else 3 + 3 * math.ceil(count / 100))
            assert all(job.data.status == job.raw_status for job in jobs)

    async def test_a_job_that_is_blocked_needs_a_start(self, world: Any) -> None:
        async with world("leia") as it:
            jobs = it.births(3)
            it.server.jobs[jobs[0].id].timeline.go(now(), (0.0, "BLOCKED"))
            error = await result(jobs[0].wait())
            assert isinstance(error, JobNeedsInput)
            assert error.needs == "start"


class TestEcotaxa:
    async def test_one_job_is_read_on_its_own(self, world: Any) -> None:
        async with world("ecotaxa") as it:
            rounds = Rounds(it, it.births(1))
            for _ in range(3):
                assert await rounds.next() == {"get_job": 1}

    async def test_two_jobs_are_seen_in_the_listing(self, world: Any) -> None:
        async with world("ecotaxa") as it:
            rounds = Rounds(it, it.births(2))
            for _ in range(3):
                assert await rounds.next() == {"list_jobs": 1}

    @pytest.mark.parametrize("for_admin", [True, False])
    async def test_jobs_of_others_are_seen_by_an_administrator(
        self, world: Any, for_admin: bool
    ) -> None:
        server, client = {"admin": True}, {"for_admin": for_admin}
        async with world("ecotaxa", server=server, client=client) as it:
            jobs = [it.client.job(it.birth(owner_id=7).id) for _ in range(5)]
            rounds = Rounds(it, jobs)
            cost = await rounds.next()
            assert cost == ({"list_jobs": 1} if for_admin else {"list_jobs": 1, "get_job": 5})
            assert states(jobs) == {JobState.RUNNING}

    async def test_a_listing_that_is_too_large_is_given_up_with_one_warning(
        self, world: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with world("ecotaxa", client={"limits": Limits(max_listing=2000)}) as it:
            jobs = it.births(30)
            rounds = Rounds(it, jobs)
            assert await rounds.next() == {"list_jobs": 1, "get_job": 30}
            assert states(jobs) == {JobState.RUNNING}
            assert await rounds.next() == {"get_job": 30}
            for job in jobs:
                it.end(job.id)
            await rounds.all()
            assert states(jobs) == {JobState.SUCCEEDED}
            warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
            assert len(warnings) == 1
            assert "one by one" in warnings[0].getMessage()

    async def test_one_look_at_very_many_that_must_be_read_one_by_one(self, world: Any) -> None:
        async with world("ecotaxa", client={"limits": Limits(max_listing=2000)}) as it:
            jobs = it.births(250)
            for job in jobs:
                it.end(job.id)
            finals = await asyncio.gather(*(result(job.wait(timeout=0)) for job in jobs))
            assert [final for final in finals if isinstance(final, Exception)] == []

    @pytest.mark.parametrize("count", [1, 4])
    async def test_a_question_is_told_with_its_content(self, world: Any, count: int) -> None:
        async with world("ecotaxa") as it:
            jobs = it.births(count)
            question = {"missing_users": ["Jane"]}
            asking = [(0.0, "A", {"question": question, "progress_msg": "Asking"})]
            it.server.jobs[jobs[0].id].plan_anew(now(), asking)
            error, *_ = await asyncio.gather(*(result(job.wait(timeout=20.0)) for job in jobs))
            assert isinstance(error, JobNeedsInput)
            assert (error.needs, error.question) == ("answer", question)
            assert error.snapshot.question == question

    async def test_a_job_of_somebody_else_ends_the_wait_after_three_refusals(
        self, world: Any
    ) -> None:
        async with world("ecotaxa") as it:
            job = it.client.job(it.birth(owner_id=7).id)
            assert isinstance(await result(job.wait()), PollingFailed)
            assert it.requests() == {"get_job": 3}


class TestVidispine:
    async def test_one_job_is_read_on_its_own(self, world: Any) -> None:
        async with world("vidispine") as it:
            rounds = Rounds(it, it.births(1))
            for _ in range(3):
                assert await rounds.next() == {"get_job": 1}

    @pytest.mark.parametrize("count", [2, 4, 5, 60])
    async def test_a_quiet_hour_costs_one_request_a_round_and_a_few_sweeps(
        self, world: Any, count: int
    ) -> None:
        async with world("vidispine", polling=Polling(policy=FixedInterval(50.0))) as it:
            rounds = Rounds(it, it.births(count))
            await rounds.next()
            before = it.requests()
            await asyncio.sleep(3600.0)
            after = it.requests()
            sweeps = 3600 // 300
            listings = after["get_jobs"] - before.get("get_jobs", 0)
            reads = after.get("get_job", 0) - before.get("get_job", 0)
            assert 68 <= listings <= 76 + 3 * sweeps
            assert reads <= count * (sweeps + 1)

    @pytest.mark.parametrize("all_users", [True, False])
    @pytest.mark.parametrize("count", [1, 3, 12])
    async def test_jobs_of_others_end_too(self, world: Any, all_users: bool, count: int) -> None:
        async with world("vidispine", client={"all_users": all_users}) as it:
            jobs = [it.client.job(it.birth(user="somebody").id) for _ in range(count)]
            jobs += it.births(2)
            rounds = Rounds(it, jobs)
            await rounds.next()
            assert states(jobs) == {JobState.RUNNING}
            if all_users:
                assert await rounds.next() == {"get_jobs": 1}
            for job in jobs:
                it.end(job.id)
            ended = now()
            await rounds.all()
            assert states(jobs) == {JobState.SUCCEEDED}
            assert now() - ended <= (10.0 if all_users else 310.0)

    async def test_pages_that_shift_lose_nobody(
        self, world: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = FakeVidispine._list

        async def busy(self: Any, request: Any) -> Any:
            answer = await original(self, request)
            for _ in range(7):  # others create jobs between two pages
                self.create_job("OTHER")
            return answer

        monkeypatch.setattr(FakeVidispine, "_list", busy)
        async with world("vidispine") as it:
            jobs = it.births(350)
            rounds = Rounds(it, jobs)
            cost = await rounds.next()
            assert cost.keys() == {"get_jobs"}
            assert states(jobs) == {JobState.RUNNING}

    async def test_ends_during_the_paging_are_found_by_the_next_look(
        self, world: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with world("vidispine") as it:
            jobs = it.births(350)
            rounds = Rounds(it, jobs)
            await rounds.next()
            left = iter(jobs[250:])
            original = FakeVidispine._list

            async def busy(self: Any, request: Any) -> Any:
                answer = await original(self, request)
                for _ in range(20):
                    if (job := next(left, None)) is not None:
                        it.end(job.id)
                return answer

            monkeypatch.setattr(FakeVidispine, "_list", busy)
            for job in jobs[:250]:
                it.end(job.id)
            await it.server.aclose()
            await it.server.start()  # with the new handler
            async with asyncio.timeout(120.0):
                await rounds.all()
            assert states(jobs) == {JobState.SUCCEEDED}
            assert "get_job" not in it.requests()

    async def test_a_listing_of_nothing_is_an_answer(self, world: Any) -> None:
        async with world("vidispine") as it:
            jobs = [it.client.job(it.birth(user="somebody").id) for _ in range(6)]
            rounds = Rounds(it, jobs)
            await rounds.next()
            assert states(jobs) == {JobState.RUNNING}

    async def test_waiting_and_hold_are_no_need_for_input(self, world: Any) -> None:
        async with world("vidispine") as it:
            jobs = it.births(2)
            it.server.states = {**it.server.states, "HOLD": JobState.PENDING}
            for job, word in zip(jobs, ("WAITING", "HOLD"), strict=True):
                it.server.jobs[job.id].timeline.go(now(), (0.0, word))
            errors = [await result(job.wait(timeout=15.0)) for job in jobs]
            assert [type(error) for error in errors] == [WaitTimeout, WaitTimeout]
            assert states(jobs) == {JobState.PENDING}

    async def test_the_final_snapshot_has_metadata(self, world: Any) -> None:
        async with world("vidispine") as it:
            jobs = [it.client.job(it.birth(metadata={"k": str(i)}).id) for i in range(3)]
            for job in jobs:
                it.end(job.id, after=15.0)
            finals = await asyncio.gather(*(job.wait() for job in jobs))
            pairs = [{pair.key: pair.value for pair in final.data} for final in finals]
            assert [pair["k"] for pair in pairs] == ["0", "1", "2"]


class TestBsubio:
    @pytest.mark.parametrize("count", [1, 2])
    async def test_few_jobs_are_read_one_by_one(self, world: Any, count: int) -> None:
        async with world("bsubio") as it:
            rounds = Rounds(it, it.births(count))
            for _ in range(3):
                assert await rounds.next() == {"get_job": count}

    @pytest.mark.parametrize("ended", [101, 400])
    @pytest.mark.parametrize("how", ["finished", "failed"])
    async def test_more_ends_than_a_listing_shows_are_all_found(
        self, world: Any, ended: int, how: str
    ) -> None:
        async with world("bsubio") as it:
            jobs = it.births(420)
            rounds = Rounds(it, jobs)
            while any(job.state is JobState.UNKNOWN for job in jobs):
                await rounds.next()
            for job in jobs[:ended]:
                it.end(job.id, how=how)
            begin = now()
            await asyncio.gather(*rounds.waits[:ended])
            assert now() - begin <= 30.0
            assert rounds.open == 420 - ended

    async def test_deletions_do_not_hide_how_many_have_ended(self, world: Any) -> None:
        async with world("bsubio") as it:
            old = [it.birth() for _ in range(200)]
            for job in old:
                it.end(job.id)
            jobs = it.births(300)
            rounds = Rounds(it, jobs)
            while any(job.state is JobState.UNKNOWN for job in jobs):
                await rounds.next()
            for job in old:  # somebody tidies up, as more end than a listing shows
                job.removed = True
            for job in jobs[:200]:
                it.end(job.id)
            begin = now()
            await asyncio.gather(*rounds.waits[:200])
            assert now() - begin <= 60.0

    async def test_a_long_history_costs_no_read_for_each_job(self, world: Any) -> None:
        from jobkit_async.services.bsubio.models import CreateJobRequest

        async with world("bsubio") as it:
            for _ in range(500):
                it.end(it.birth().id)
            await asyncio.sleep(60.0)
            create = it.client.jobs.create_job
            jobs = [await create(CreateJobRequest(type="t")) for _ in range(150)]
            for job in jobs:
                it.server.jobs[job.id].timeline.go(now(), (0.0, "processing"))
                it.client._touch(job.id, starts=True)  # as if submitted from here
            await asyncio.sleep(30.0)
            rounds = Rounds(it, jobs)
            assert await rounds.next() == {"list_jobs": 2, "get_job": 2}
            for job in jobs[:60]:
                it.end(job.id)
            assert await rounds.next() == {"list_jobs": 2, "get_job": 2}
            assert rounds.open == 90

    async def test_three_hundred_that_were_never_seen(self, world: Any) -> None:
        async with world("bsubio") as it:
            for _ in range(500):
                it.end(it.birth().id)
            jobs = it.births(300)
            for job in jobs[:200]:  # ended long ago, beyond what a listing shows
                it.end(job.id)
            await asyncio.sleep(60.0)
            for _ in range(150):
                it.end(it.birth().id)
            await asyncio.sleep(60.0)
            rounds = Rounds(it, jobs)
            begin = now()
            await asyncio.gather(*rounds.waits[:200])
            assert now() - begin <= 20.0
            await rounds.next()
            assert states(jobs[200:]) == {JobState.RUNNING}
            assert it.requests()["get_job"] <= 320
            assert rounds.open == 100

    @pytest.mark.parametrize("count", [1, 3, 12, 60])
    @pytest.mark.parametrize(("status", "needs"), [("created", "upload"), ("loaded", "submit")])
    async def test_a_need_for_input_is_told_however_many_wait(
        self, world: Any, count: int, status: str, needs: str
    ) -> None:
        from jobkit_async.services.bsubio.models import CreateJobRequest

        async with world("bsubio") as it:
            create = it.client.jobs.create_job
            jobs = [await create(CreateJobRequest(type="t")) for _ in range(count)]
            for job in jobs:
                it.server.jobs[job.id].timeline.go(now(), (0.0, status))
            await asyncio.sleep(30.0)
            begin = now()
            errors = await asyncio.gather(*(result(job.wait(timeout=60.0)) for job in jobs))
            assert [getattr(error, "needs", error) for error in errors] == [needs] * count
            assert now() - begin <= 20.0
