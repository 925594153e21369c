"""An embedded Gridbatch: the four operations with their state machine and error bodies."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from itertools import takewhile
from typing import Any, ClassVar

import attrs
from aiohttp import web

from jobkit_async.fakes.ledger import Ending
from jobkit_async.fakes.server import FakeServer, Handler, Refusal
from jobkit_async.fakes.timeline import Plan, Timeline
from jobkit_async.states import JobState
from jobkit_gridbatch.models import JobStatus as S
from jobkit_gridbatch.source import STATES

__all__ = ["FakeGridbatch", "FakeGridbatchJob"]

MOST = 100
"""Jobs in one description, and on one page."""


@attrs.define(eq=False)
class FakeGridbatchJob:
    """One job of the embedded server."""

    id: str
    name: str
    queue: str
    definition: str
    parameters: dict[str, str]
    plan: Plan
    timeline: Timeline
    terminated: str | None = None


class FakeGridbatch(FakeServer[FakeGridbatchJob]):
    """An embedded Gridbatch server.

    Args:
        api_key: The key that it accepts.
        **options: As for :class:`~jobkit_async.fakes.server.FakeServer`.
    """

    service: ClassVar[str] = "gridbatch"
    states: ClassVar[Mapping[str, JobState]] = STATES

    def __init__(self, *, api_key: str = "grid-key", **options: Any) -> None:
        super().__init__(**options)
        self.api_key = api_key

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        return [
            ("submit_job", "POST", "/v1/submitjob", self._submit),
            ("describe_jobs", "POST", "/v1/describejobs", self._describe),
            ("list_jobs", "GET", "/v1/jobs", self._list),
            ("terminate_job", "POST", "/v1/jobs/{job_id}/terminate", self._terminate),
        ]

    def refuse(self, refusal: Refusal) -> web.Response:
        return web.json_response(
            {"message": refusal.reason}, status=refusal.status, headers=refusal.headers
        )

    def authorize(self, request: web.Request, operation: str) -> None:
        given = request.headers.get("Authorization", "")
        wanted = f"Bearer {self.api_key}".encode()
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), wanted):
            raise Refusal(401, "the key is missing or wrong")

    def ending(self, job_id: Any) -> Ending | None:
        ending = super().ending(job_id)
        if ending is not None and self.jobs[job_id].terminated is not None:
            return attrs.evolve(ending, state=JobState.CANCELLED)
        return ending

    # -- handlers

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        document = await _object(request)
        for name in ("jobName", "jobQueue", "jobDefinition"):
            if not isinstance(document.get(name), str) or not document[name]:
                raise Refusal(400, f"{name} is required")
        now = self.clock.time()
        job = FakeGridbatchJob(
            id=f"gb-{self._rng.getrandbits(64):016x}",
            name=document["jobName"],
            queue=document["jobQueue"],
            definition=document["jobDefinition"],
            parameters=document.get("parameters") or {},
            plan=self.plan(document["jobDefinition"]),
            timeline=Timeline(now, S.SUBMITTED),
        )
        job.timeline.go(
            now,
            (job.plan.queued * 0.5, S.RUNNABLE),
            (job.plan.queued * 0.5, S.STARTING),
            (job.plan.running * 0.1, S.RUNNING),
            (job.plan.running * 0.9, S.FAILED if job.plan.outcome == "failure" else S.SUCCEEDED),
        )
        self.jobs[job.id] = job
        self.note("submitted", job.id, type=job.definition)
        return web.json_response({"jobId": job.id, "jobName": job.name})

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        ids = (await _object(request)).get("jobs")
        if not isinstance(ids, list) or not all(isinstance(it, str) for it in ids):
            raise Refusal(400, "jobs must be a list of ids")
        if not 1 <= len(ids) <= MOST:
            raise Refusal(400, f"1 to {MOST} ids are taken at once")
        odd = next((it for it in ids if not it.startswith("gb-")), None)
        if odd is not None:
            raise Refusal(400, f"{odd!r} is no id")
        found = [self.jobs[it] for it in ids if it in self.jobs]
        return web.json_response({"jobs": [self._document(job) for job in found]})

    async def _list(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        limit = query.get("maxResults", str(MOST))
        if not limit.isdecimal() or not 1 <= int(limit) <= MOST:
            raise Refusal(400, f"maxResults must be between 1 and {MOST}")
        status = query.get("jobStatus")
        if status is not None and status not in set(S):
            raise Refusal(400, f"unknown status {status!r}")
        now = self.clock.time()
        queue = query.get("jobQueue")
        jobs = [job for job in reversed(self.jobs.values()) if queue in (None, job.queue)]
        if "after" in query:
            newer = sum(1 for _ in takewhile(lambda job: job.id != query["after"], jobs))
            jobs = jobs[newer + 1 :]
        jobs = [job for job in jobs if status in (None, job.timeline.status(now))]
        shown = ("jobId", "jobName", "status", "statusReason", "createdAt", "stoppedAt")
        page = [self._document(job) for job in jobs[: int(limit)]]
        return web.json_response({"jobs": [{name: job[name] for name in shown} for job in page]})

    async def _terminate(self, request: web.Request) -> web.StreamResponse:
        reason = (await _object(request)).get("reason")
        if not isinstance(reason, str) or not reason:
            raise Refusal(400, "reason is required")
        job = self.jobs.get(request.match_info["job_id"])
        if job is None:
            raise Refusal(404, "there is no such job")
        now = self.clock.time()
        if STATES[job.timeline.status(now)].ended:
            raise Refusal(409, "the job has ended")
        job.terminated = reason
        job.timeline.go(now, (0.0, S.FAILED))
        self.note("cancelled", job.id, reason=reason)
        return web.json_response({})

    # -- helpers

    def _document(self, job: FakeGridbatchJob) -> dict[str, Any]:
        now = self.clock.time()
        since, status = job.timeline.at(now)
        reason = job.terminated
        if reason is None and status == S.FAILED:
            reason = job.plan.message
        return {
            "jobId": job.id,
            "jobName": job.name,
            "jobQueue": job.queue,
            "jobDefinition": job.definition,
            "status": status,
            "statusReason": reason,
            "createdAt": self._milliseconds(job.timeline.since(now, S.SUBMITTED)),
            "startedAt": self._milliseconds(job.timeline.since(now, S.STARTING)),
            "stoppedAt": self._milliseconds(since) if STATES[status].ended else None,
            "parameters": job.parameters,
        }

    def _milliseconds(self, at: float | None) -> int | None:
        return None if at is None else round(self.clock.date(at).timestamp() * 1000)


async def _object(request: web.Request) -> dict[str, Any]:
    """The JSON object in a request's body."""
    try:
        document = await request.json()
    except ValueError:
        raise Refusal(400, "the body is no JSON") from None
    if not isinstance(document, dict):
        raise Refusal(400, "the body is no JSON object")
    return document
