"""Handles of jobs on the four embedded services, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import pickle
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from jobkit_async.errors import (
    BadRequest,
    ClientClosed,
    InvalidArgument,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobLost,
    JobNeedsInput,
    NotFound,
    WaitTimeout,
)
from jobkit_async.fakes.timeline import Plan
from jobkit_async.joblist import JobList
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.registry import find_service
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.ecotaxa.fake import FakeEcotaxa
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.states import JobState

pytestmark = pytest.mark.looptime(start=100, end=20_000)  # what would hang fails

NAMES = ["leia", "ecotaxa", "vidispine", "bsubio"]
ALL = pytest.mark.parametrize("name", NAMES)
CREDENTIALS: dict[str, dict[str, str]] = {
    "leia": {"api_key": "leia-key"},
    "ecotaxa": {"token": "eco-token"},
    "vidispine": {"username": "user", "password": "secret"},
    "bsubio": {"api_key": "bsub-key"},
}
UNKNOWN: dict[str, Any] = {
    "leia": "f" * 24,
    "ecotaxa": 4711,
    "vidispine": "VX-4711",
    "bsubio": "00000000-0000-4000-8000-000000000000",
}
QUICK = Plan(queued=1.0, running=4.0)
LONG = Plan(queued=1.0, running=1000.0)
BAD = Plan(queued=1.0, running=4.0, outcome="failure", message="no more room")


def now() -> float:
    return asyncio.get_running_loop().time()


async def failure(awaitable: Awaitable[Any]) -> Exception | None:
    try:
        await awaitable
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error
    return None


@attrs.define
class Service:
    """An embedded service with a client; the next job has this plan."""

    name: str
    server: Any
    client: Any
    plan: Plan

    def another(self, **options: Any) -> Any:
        """A second client of the same service."""
        cls = find_service(self.name).client
        polling = Polling(policy=FixedInterval(2.0))
        given: dict[str, Any] = {**CREDENTIALS[self.name], "base_url": self.server.base_url}
        return cls(**{**given, "polling": polling, **options})

    async def create(self, plan: Plan) -> Any:
        """A job that is on its way, as users create it."""
        self.plan = plan
        jobs = self.client.jobs
        if self.name == "bsubio":
            job = await jobs.create_job(CreateJobRequest(type="pdf/extract"))
            await job.upload(b"data")
            await job.submit()
            return job
        if self.name == "vidispine":
            return await jobs.create_custom_job("TRANSCODE", SimpleMetadataType(field=[]))
        if self.name == "leia":
            model = self.server.add_model("model")
            apply = self.client.models.admin_apply_model_async
            return await apply("app-1", model.id, ["document"])
        # EcoTaxa's jobs are created elsewhere.
        return self.client.job(self.server.create_job().id)

    def happened(self, kind: str) -> int:
        count: int = self.server.ledger.count(kind)
        return count


@asynccontextmanager
async def service(name: str, **options: Any) -> AsyncIterator[Service]:
    it = Service(name, None, None, QUICK)
    spec = find_service(name)
    running = spec.fake(planner=lambda rng, job_type: it.plan, **options)
    async with running as it.server, it.another() as it.client:
        yield it


class TestWait:
    @ALL
    async def test_it_returns_the_snapshot_of_the_end(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(QUICK)
            final = await job.wait(timeout=60.0)
            assert final is job.data
            assert job.state is JobState.SUCCEEDED
            assert type(final).__module__ == f"jobkit_async.services.{name}.models"
            ending = it.server.ending(job.id)
            assert ending.at <= now() <= ending.at + 2.5

    @ALL
    async def test_a_failure_raises_with_reason_ref_and_snapshot(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(BAD)
            error = await failure(job.wait())
            assert isinstance(error, JobFailed)
            assert (error.ref, error.snapshot) == (job.ref, job.data)
            assert job.state is JobState.FAILED
            if name != "leia":  # it tells no reason unless there is one
                assert error.reason is not None
                assert "no more room" in error.reason
            again = pickle.loads(pickle.dumps(error))
            assert (str(again), again.ref, again.reason) == (str(error), error.ref, error.reason)

    @ALL
    async def test_without_check_a_failure_is_a_snapshot(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(BAD)
            final = await job.wait(check=False)
            assert final is job.data
            assert job.state is JobState.FAILED

    @ALL
    async def test_a_timeout_leaves_the_remote_job_alone(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            error = await failure(job.wait(timeout=20.0))
            assert isinstance(error, WaitTimeout)
            assert error.ref == job.ref
            assert now() == pytest.approx(120.0, abs=0.01)
            assert it.happened("cancelled") == it.happened("removed") == 0
            assert it.server.ending(job.id) is None

    @ALL
    async def test_cancelling_a_wait_leaves_the_remote_job_alone(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            waiting = asyncio.create_task(job.wait())
            await asyncio.sleep(10.0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert it.happened("cancelled") == it.happened("removed") == 0
            assert it.server.ending(job.id) is None
            assert len(it.client._tracker) == 0

    @ALL
    async def test_without_check_the_other_errors_still_raise(self, name: str) -> None:
        async with service(name) as it:
            lost = it.client.job(UNKNOWN[name])
            assert isinstance(await failure(lost.wait(check=False)), JobLost)
            job = await it.create(LONG)
            assert isinstance(await failure(job.wait(1.0, check=False)), WaitTimeout)

    @pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True, object()])
    async def test_a_timeout_that_is_none_is_refused(self, timeout: Any) -> None:
        async with service("bsubio") as it:
            error = await failure(it.client.job("a").wait(timeout=timeout))
            assert isinstance(error, InvalidArgument)
            assert error.argument == "timeout"
            assert not it.server.requests

    async def test_what_to_do_on_input_is_checked(self) -> None:
        async with service("bsubio") as it:
            error = await failure(it.client.job("a").wait(on_input="ignore"))
            assert isinstance(error, InvalidArgument)
            assert error.argument == "on_input"

    @pytest.mark.parametrize("name", ["leia", "vidispine", "bsubio"])
    async def test_a_final_end_is_not_asked_for_again(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(BAD)
            await job.wait(check=False)
            before = sum(it.server.requests.values())
            assert isinstance(await failure(job.wait()), JobFailed)
            assert isinstance(await failure(it.client.job(job.id).wait()), JobFailed)
            assert sum(it.server.requests.values()) == before

    async def test_an_error_of_ecotaxa_is_asked_for_again(self) -> None:
        async with service("ecotaxa") as it:
            job = await it.create(BAD)
            await job.wait(check=False)
            it.plan = QUICK
            async with it.another() as other:
                await other.job(job.id).restart()
            final = await job.wait()
            assert final.state == "F"


class TestInput:
    async def test_bsubio_asks_for_upload_then_submit(self) -> None:
        async with service("bsubio") as it:
            job = await it.client.jobs.create_job(CreateJobRequest(type="t"))
            error = await failure(job.wait())
            assert isinstance(error, JobNeedsInput)
            assert error.needs == "upload"
            await job.upload(b"data")
            error = await failure(job.wait())
            assert isinstance(error, JobNeedsInput)
            assert error.needs == "submit"
            await job.submit()
            assert (await job.wait()).status == "finished"

    async def test_bsubio_reads_the_upload_token_of_an_unknown_job(self) -> None:
        async with service("bsubio") as it:
            created = await it.client.jobs.create_job(CreateJobRequest(type="t"))
            async with it.another() as other:
                await other.job(created.id).upload(b"data")
                error = await failure(other.job(created.id).upload(b"data"))
                assert isinstance(error, InvalidArgument)
                assert error.argument == "token"
            assert it.happened("uploaded") == 1

    async def test_leia_asks_for_a_start(self) -> None:
        async with service("leia") as it:
            model = it.server.add_model("model")
            job = await it.client.models.admin_apply_model_async(
                "app-1", model.id, ["d"], block_processing=True
            )
            error = await failure(job.wait())
            assert isinstance(error, JobNeedsInput)
            assert error.needs == "start"
            started = it.server.jobs[job.id]  # by whom it belongs to: admins have no call for it
            started.timeline.go(now(), *started.steps(now()))
            assert (await job.wait()).status == "PROCESSED"

    async def test_ecotaxa_asks_and_goes_on_after_the_answer(self) -> None:
        async with service("ecotaxa") as it:
            job = await it.create(Plan(queued=1.0, running=10.0, outcome="question"))
            error = await failure(job.wait())
            assert isinstance(error, JobNeedsInput)
            assert error.needs == "answer"
            assert set(error.question) == {"missing_users", "missing_taxa"}
            await job.answer({"users": {"Jane Doe": 1}, "taxa": {}})
            error = await failure(job.wait())  # it lacks something, and asks again
            assert isinstance(error, JobNeedsInput)
            await job.answer({"users": {"Jane Doe": 1}, "taxa": {"Calanoida": 2}})
            assert (await job.wait()).state == "F"
            assert it.happened("answered") == 2

    async def test_keep_waits_while_somebody_else_answers(self) -> None:
        async with service("ecotaxa") as it:
            job = await it.create(Plan(queued=1.0, running=10.0, outcome="question"))
            waiting = asyncio.create_task(job.wait(on_input="keep"))
            await asyncio.sleep(30.0)
            assert job.state is JobState.NEEDS_INPUT
            async with it.another() as other:
                await other.job(job.id).answer({"users": {"Jane Doe": 1}, "taxa": {"Calanoida": 2}})
            assert (await waiting).state == "F"


class TestCancel:
    @ALL
    async def test_a_live_job_is_cancelled(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            assert await job.cancel() is None
            error = await failure(job.wait())
            assert isinstance(error, JobCancelled)
            assert error.ref == job.ref
            assert job.state is JobState.CANCELLED
            assert it.happened("cancelled") == 1
            assert it.happened("removed") == 0

    @ALL
    async def test_a_job_that_has_not_started_is_cancelled(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(Plan(queued=500.0, running=4.0))
            await job.cancel()
            assert isinstance(await failure(job.wait()), JobCancelled)

    @ALL
    async def test_cancelling_again_changes_nothing(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            await job.cancel()
            await job.cancel()
            await asyncio.sleep(10.0)
            await job.cancel()
            await failure(job.wait())
            await job.cancel()
            assert it.happened("cancelled") == 1
            assert it.happened("removed") == 0

    @pytest.mark.parametrize("name", ["leia", "ecotaxa", "vidispine"])
    async def test_what_another_process_has_cancelled_is_cancelled(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            async with it.another() as other:
                await other.job_from_ref(job.ref).cancel()
                await asyncio.sleep(10.0)
            await job.cancel()
            assert it.happened("cancelled") == 1
            assert it.happened("removed") == 0

    @ALL
    @pytest.mark.parametrize("plan", [QUICK, BAD], ids=["success", "failure"])
    @pytest.mark.parametrize("known", [True, False])
    async def test_a_job_that_ended_otherwise_cannot_be_cancelled(
        self, name: str, plan: Plan, known: bool
    ) -> None:
        async with service(name) as it:
            job = await it.create(plan)
            await asyncio.sleep(30.0)
            if known:
                await job.wait(check=False)
            error = await failure(job.cancel())
            assert isinstance(error, JobEnded)
            assert error.ref == job.ref
            assert error.snapshot is not None
            assert it.happened("cancelled") == it.happened("removed") == 0
            wanted = JobState.SUCCEEDED if plan is QUICK else JobState.FAILED
            await job.wait(check=False)
            assert job.state is wanted  # a refused cancellation makes no failure a cancellation

    @ALL
    async def test_a_job_that_is_not_there_cannot_be_cancelled(self, name: str) -> None:
        async with service(name) as it:
            assert isinstance(await failure(it.client.job(UNKNOWN[name]).cancel()), NotFound)

    @ALL
    async def test_open_waits_learn_of_the_cancellation(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            waits = [asyncio.create_task(failure(job.wait())) for _ in range(3)]
            await asyncio.sleep(10.0)
            await job.cancel()
            begin = now()
            errors = await asyncio.gather(*waits)
            assert {type(error) for error in errors} == {JobCancelled}
            assert now() - begin <= 4.0

    @ALL
    async def test_without_check_a_cancelled_job_is_a_snapshot(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            await job.cancel()
            assert await job.wait(check=False) is job.data

    @pytest.mark.parametrize("cancelled_as", ["failed", "removed"])
    async def test_bsubio_whatever_it_makes_of_a_cancellation(self, cancelled_as: str) -> None:
        async with service("bsubio", cancelled_as=cancelled_as) as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            await job.cancel()
            assert isinstance(await failure(job.wait()), JobCancelled)
            assert job.state is JobState.CANCELLED
            await job.cancel()
            # The operation called directly does the same as the handle's method.
            direct = await it.create(LONG)
            await it.client.jobs.cancel_job(direct.id)
            assert isinstance(await failure(direct.wait()), JobCancelled)

    @pytest.mark.parametrize("cancelled_as", ["failed", "removed"])
    async def test_bsubio_knows_its_cancellations_without_a_handle(self, cancelled_as: str) -> None:
        async with service("bsubio", cancelled_as=cancelled_as) as it:
            job = await it.create(LONG)
            job_id = job.id
            await job.cancel()
            del job
            gc.collect()
            assert isinstance(await failure(it.client.job(job_id).wait()), JobCancelled)

    async def test_bsubio_cannot_cancel_what_was_not_submitted(self) -> None:
        async with service("bsubio") as it:
            job = await it.client.jobs.create_job(CreateJobRequest(type="t"))
            assert isinstance(await failure(job.cancel()), BadRequest)
            assert isinstance(await failure(job.wait()), JobNeedsInput)

    async def test_ecotaxa_says_what_a_late_erase_has_done(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = FakeEcotaxa._erase

        async def late(self: Any, request: Any) -> Any:
            job = self.jobs[int(request.match_info["job_id"])]
            job.plan_anew(now(), [(0.0, "F", {"progress_msg": "Done"})])
            return await original(self, request)

        monkeypatch.setattr(FakeEcotaxa, "_erase", late)
        async with service("ecotaxa") as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            error = await failure(job.cancel())
            assert isinstance(error, JobEnded)
            assert "removed" in str(error)
            assert error.ref == job.ref
            assert it.happened("removed") == 1

    @pytest.mark.parametrize(
        ("state", "message"), [("F", "Done"), ("E", "RuntimeError: no more room")]
    )
    async def test_ecotaxa_an_end_that_overwrites_the_kill(
        self, monkeypatch: pytest.MonkeyPatch, state: str, message: str
    ) -> None:
        from aiohttp import web

        async def overtaken(self: Any, request: Any) -> Any:
            job = self.jobs[int(request.match_info["job_id"])]
            job.plan_anew(now(), [(0.0, state, {"progress_msg": message})])
            return web.json_response(None)

        monkeypatch.setattr(FakeEcotaxa, "_erase", overtaken)
        async with service("ecotaxa") as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            assert isinstance(await failure(job.cancel()), JobEnded)
            await job.wait(check=False)
            assert job.raw_status == state
            assert job.state is not JobState.CANCELLED

    async def test_ecotaxa_of_2023_deletes_what_has_not_started(self) -> None:
        async with service("ecotaxa", era="2023") as it:
            job = await it.create(Plan(queued=500.0, running=4.0))
            assert await failure(job.cancel()) is None
            assert isinstance(await failure(job.wait()), JobCancelled)

    async def test_ecotaxa_an_error_of_its_own_after_a_restart_is_no_cancellation(self) -> None:
        async with service("ecotaxa") as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            await job.cancel()
            assert isinstance(await failure(job.wait()), JobCancelled)
            it.plan = BAD
            await job.restart()
            assert isinstance(await failure(job.wait()), JobFailed)

    async def test_leia_with_a_submitter_that_has_to_be_found_out(self) -> None:
        async with service("leia", submitter_id="other") as it:
            created = await it.create(LONG)
            async with it.another() as other:
                job = other.job(created.id)
                await job.cancel()
                assert job.submitter_id == "other"
            assert it.happened("cancelled") == 1


class TestHandles:
    @ALL
    async def test_refresh_reads_the_full_snapshot(self, name: str) -> None:
        async with service(name) as it:
            created = await it.create(LONG)
            job = it.client.job(created.id) if name != "leia" else created
            await asyncio.sleep(3.0)
            data = await job.refresh()
            assert data is job.data
            assert job.state is JobState.RUNNING
            assert job.raw_status is not None
            assert job.data_at is not None
            assert job.data_at.tzinfo is not None

    @ALL
    async def test_refreshing_what_is_not_there(self, name: str) -> None:
        async with service(name) as it:
            job = it.client.job(UNKNOWN[name])
            assert isinstance(await failure(job.refresh()), NotFound)
            assert job.state is JobState.UNKNOWN

    @ALL
    async def test_a_new_handle_knows_nothing_and_does_no_io(self, name: str) -> None:
        async with service(name) as it:
            job = it.client.job(UNKNOWN[name])
            assert job.id == UNKNOWN[name]
            assert job.state is JobState.UNKNOWN
            known = (job.raw_status, job.progress, job.message, job.created_at, job.data)
            assert known == (None,) * 5
            assert repr(job) == f"<{type(job).__name__} {UNKNOWN[name]} unknown>"
            assert job.service == name
            assert not it.server.requests

    @ALL
    async def test_handles_of_one_job_share_what_is_known(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(QUICK)
            twin = it.client.job(job.id)
            assert twin is not job
            assert (twin, hash(twin)) == (job, hash(job))
            await job.wait()
            assert (twin.state, twin.data) == (JobState.SUCCEEDED, job.data)

    @ALL
    async def test_handles_compare_by_service_deployment_and_id(self, name: str) -> None:
        async with service(name) as it, service(name) as elsewhere:
            job = it.client.job(UNKNOWN[name])
            async with it.another() as other:
                assert other.job(UNKNOWN[name]) == job
                assert hash(other.job(UNKNOWN[name])) == hash(job)
            assert elsewhere.client.job(UNKNOWN[name]) != job
            created = await it.create(LONG)
            assert created != job
            assert len({created, job, it.client.job(UNKNOWN[name])}) == 2
            assert job != UNKNOWN[name]

    @ALL
    async def test_a_ref_takes_the_job_up_in_another_process(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(QUICK)
            ref = job.ref
            assert ref.startswith(f"jk1:{name}:{it.client.deployment}:")
            async with it.another() as other:
                before = sum(it.server.requests.values())
                resumed = other.job_from_ref(ref)
                assert sum(it.server.requests.values()) == before
                assert resumed == job
                assert resumed.id == job.id
                assert type(resumed.id) is type(job.id)
                await resumed.wait()
                assert resumed.state is JobState.SUCCEEDED

    @ALL
    async def test_a_ref_keeps_when_the_job_was_created(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            await job.refresh()
            assert job.created_at is not None
            async with it.another() as other:
                resumed = other.job_from_ref(job.ref)
                assert resumed.created_at == job.created_at.replace(microsecond=0)
                assert resumed.ref == job.ref

    @ALL
    async def test_a_ref_of_another_deployment_or_service_is_refused(self, name: str) -> None:
        async with service(name) as it, service(name) as elsewhere:
            foreign = elsewhere.client.job(UNKNOWN[name]).ref
            other = NAMES[NAMES.index(name) - 1]
            async with service(other) as different:
                for ref in (foreign, different.client.job(UNKNOWN[other]).ref, "nonsense", ""):
                    with pytest.raises(InvalidArgument) as caught:
                        it.client.job_from_ref(ref)
                    assert caught.value.argument == "ref"

    @ALL
    async def test_a_closed_client_leaves_what_is_known(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            await asyncio.sleep(3.0)
            await job.refresh()
            seen = (job.id, job.ref, job.state, job.data, repr(job))
            await it.client.aclose()
            await it.client.aclose()
            assert (job.id, job.ref, job.state, job.data, repr(job)) == seen
            assert it.client.job(job.id) == job
            before = sum(it.server.requests.values())
            for call in (job.wait(), job.wait(timeout=0), job.refresh(), job.cancel()):
                assert isinstance(await failure(call), ClientClosed)
            with pytest.raises(ClientClosed):
                async for _ in job.updates():
                    pass
            assert sum(it.server.requests.values()) == before

    @ALL
    async def test_a_closed_client_still_tells_a_known_end(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(QUICK)
            final = await job.wait()
            await it.client.aclose()
            assert await job.wait() is final
            assert [update.state async for update in job.updates()] == [JobState.SUCCEEDED]

    @ALL
    async def test_closing_ends_open_waits(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(LONG)
            waits = [asyncio.create_task(failure(job.wait())) for _ in range(3)]
            await asyncio.sleep(7.0)
            begin = now()
            await it.client.aclose()
            errors = await asyncio.gather(*waits)
            assert {type(error) for error in errors} == {ClientClosed}
            assert now() == begin

    @ALL
    async def test_records_end_with_their_last_handle(self, name: str) -> None:
        async with service(name) as it:
            jobs = [await it.create(QUICK) for _ in range(5)]
            await asyncio.gather(*(job.wait() for job in jobs))
            assert len(it.client._tracker.known()) == 5
            jobs.clear()
            gc.collect()
            await asyncio.sleep(1.0)
            assert len(it.client._tracker.known()) == 0
            assert len(it.client._tracker) == 0

    @ALL
    async def test_updates_follow_a_job_to_its_end(self, name: str) -> None:
        async with service(name) as it:
            job = await it.create(Plan(queued=10.0, running=40.0))
            updates = [update async for update in job.updates()]
            told = [(u.state, u.raw_status, u.progress, u.message) for u in updates]
            assert len(set(told)) == len(told)
            assert updates[0].state is JobState.PENDING
            assert updates[-1].state is JobState.SUCCEEDED
            assert JobState.RUNNING in {update.state for update in updates}
            shares = [u.progress for u in updates if u.progress is not None]
            assert shares == sorted(shares)
            assert all(0.0 <= share <= 1.0 for share in shares)


class TestServices:
    async def test_ecotaxa_restarts_a_job_that_failed(self) -> None:
        async with service("ecotaxa") as it:
            job = await it.create(BAD)
            assert isinstance(await failure(job.wait()), JobFailed)
            it.plan = QUICK
            await job.restart()
            assert (await job.wait()).state == "F"
            assert it.happened("restarted") == 1

    async def test_ecotaxa_gives_log_and_file(self) -> None:
        async with service("ecotaxa") as it:
            job = await it.create(QUICK)
            final = await job.wait()
            assert "FINISHED" in await job.log()
            async with await job.file() as download:
                assert download.filename == final.result["out_file"]
                assert len(await download.read()) > 0

    async def test_vidispine_runs_a_job_again(self) -> None:
        async with service("vidispine") as it:
            job = await it.create(QUICK)
            await job.wait()
            again = await job.rerun(priority="HIGH")
            assert again != job
            assert (await again.wait()).priority == "HIGH"
            assert it.happened("rerun") == 1

    async def test_vidispine_tells_the_problems_of_a_job(self) -> None:
        async with service("vidispine", waiting=1.0) as it:
            job = await it.create(Plan(queued=0.0, running=100.0))
            assert (await job.problems()).problem == []
            await asyncio.sleep(50.0)
            await job.refresh()
            assert (job.raw_status, job.state) == ("WAITING", JobState.PENDING)
            (problem,) = (await job.problems()).problem
            assert problem.type == "StorageOffline"

    async def test_leia_handles_know_their_submitter(self) -> None:
        async with service("leia") as it:
            job = await it.create(QUICK)
            assert job.submitter_id == "app-1"
            assert it.client.job("x").submitter_id is None
            assert it.client.job("y", submitter_id="z").submitter_id == "z"
            assert ",z" in it.client.job("y", submitter_id="z").ref
            assert it.client.job_from_ref(job.ref).submitter_id == "app-1"

    async def test_leia_a_submitter_that_is_told_replaces_a_guess(self) -> None:
        async with service("leia", submitter_id="other", tells_submitter=False) as it:
            created = await it.create(LONG)
            async with it.another() as other:
                job = other.job(created.id)
                assert isinstance(await failure(job.wait(timeout=10.0)), WaitTimeout)
                assert job.submitter_id == "app-1"  # what the client logged in as
                assert other.job(job.id, submitter_id="other") == job
                assert job.submitter_id == "other"
                assert other.job(job.id).submitter_id == "other"
                before = it.server.requests["admin_get_jobs"]
                assert isinstance(await failure(job.wait(timeout=10.0)), WaitTimeout)
                assert it.server.requests["admin_get_jobs"] == before
                await job.cancel()
            assert it.happened("cancelled") == 1

    async def test_leia_a_submitter_that_is_told_replaces_an_earlier_one(self) -> None:
        async with service("leia") as it:
            job = it.client.job("x", submitter_id="first")
            assert it.client.job("x", submitter_id="second") == job
            assert job.submitter_id == "second"
            assert it.client.job_from_ref(it.client.job("x").ref).submitter_id == "second"

    async def test_leia_a_submitter_that_an_answer_confirmed_stays(self) -> None:
        async with service("leia") as it:
            job = it.client.job((await it.create(LONG)).id)
            await job.refresh()
            assert it.client.job(job.id, submitter_id="other").submitter_id == "app-1"

    @pytest.mark.parametrize("job_id", ["", ".", "..", 7, None])
    @pytest.mark.parametrize("name", ["leia", "vidispine", "bsubio"])
    async def test_ids_that_are_none_are_refused(self, name: str, job_id: Any) -> None:
        async with service(name) as it:
            with pytest.raises(InvalidArgument) as caught:
                it.client.job(job_id)
            assert caught.value.argument == "job_id"

    @pytest.mark.parametrize("job_id", ["7", 0, -7, True, None, 7.0])
    async def test_ids_of_ecotaxa_are_positive_ints(self, job_id: Any) -> None:
        async with service("ecotaxa") as it:
            with pytest.raises(InvalidArgument) as caught:
                it.client.job(job_id)
            assert caught.value.argument == "job_id"


class TestJobList:
    async def test_it_is_a_sequence_of_handles_with_a_total(self) -> None:
        async with service("bsubio") as it:
            created = [await it.create(LONG) for _ in range(3)]
            found = await it.client.jobs.list_jobs(limit=2)
            assert isinstance(found, JobList)
            assert (len(found), found.total) == (2, 3)
            assert list(found) == [created[2], created[1]]
            assert found[0] == created[2]
            assert isinstance(found[:1], JobList)
            assert list(found[:1]) == [created[2]]
            assert created[1] in found
            assert repr(found) == "<JobList of 2 jobs, total 3>"
            assert found == await it.client.jobs.list_jobs(limit=2)
            assert found != list(found)
            with pytest.raises(TypeError):
                hash(found)
