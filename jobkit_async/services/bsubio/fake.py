"""An embedded bsub.io: the seven operations with their state machine and error bodies."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping
from datetime import datetime
from email import message_from_bytes
from email.message import Message
from typing import Any, ClassVar, Literal, cast

import attrs
from aiohttp import web

from jobkit_async.fakes.ledger import Ending
from jobkit_async.fakes.server import FakeServer, Handler, Refusal
from jobkit_async.fakes.timeline import Plan, Timeline
from jobkit_async.services.bsubio.models import JobStatus as S
from jobkit_async.states import JobState

__all__ = ["FakeBsubio", "FakeBsubioJob"]

_LIVE = (S.PENDING, S.CLAIMED, S.PREPARING, S.PROCESSING)
_OVER = (S.FINISHED, S.FAILED)
CANCELLED = "CANCELLED"
"""The ``error_code`` of a job that was cancelled here; the real one is not documented."""


@attrs.define(eq=False)
class FakeBsubioJob:
    """One job of the embedded server."""

    id: str
    type: str
    plan: Plan
    timeline: Timeline
    upload_token: str
    data: bytes = b""
    cancelled: bool = False
    removed: bool = False


class FakeBsubio(FakeServer[FakeBsubioJob]):
    """An embedded bsub.io server.

    Args:
        api_key: The key that it accepts.
        cancelled_as: What becomes of a cancelled job, which the service does not document:
            ``"failed"`` leaves it as failed, ``"removed"`` makes it unknown (404).
        **options: As for :class:`~jobkit_async.fakes.server.FakeServer`.
    """

    service: ClassVar[str] = "bsubio"
    states: ClassVar[Mapping[str, JobState]] = {
        S.CREATED: JobState.NEEDS_INPUT,
        S.LOADED: JobState.NEEDS_INPUT,
        S.PENDING: JobState.PENDING,
        S.CLAIMED: JobState.RUNNING,
        S.PREPARING: JobState.RUNNING,
        S.PROCESSING: JobState.RUNNING,
        S.FINISHED: JobState.SUCCEEDED,
        S.FAILED: JobState.FAILED,
    }

    def __init__(
        self,
        *,
        api_key: str = "bsub-key",
        cancelled_as: Literal["failed", "removed"] = "failed",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.api_key = api_key
        self._cancelled_as = cancelled_as

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        return [
            ("create_job", "POST", "/v1/jobs", self._create),
            ("list_jobs", "GET", "/v1/jobs", self._list),
            ("get_job", "GET", "/v1/jobs/{job_id}", self._get),
            ("delete_job", "DELETE", "/v1/jobs/{job_id}", self._delete),
            ("submit_job", "POST", "/v1/jobs/{job_id}/submit", self._submit),
            ("cancel_job", "POST", "/v1/jobs/{job_id}/cancel", self._cancel),
            ("upload_job_data", "POST", "/v1/upload/{job_id}", self._upload),
        ]

    def refuse(self, refusal: Refusal) -> web.Response:
        return web.json_response(
            {"success": False, "error": refusal.reason},
            status=refusal.status,
            headers=refusal.headers,
        )

    def authorize(self, request: web.Request, operation: str) -> None:
        given = request.headers.get("Authorization", "")
        wanted = f"Bearer {self.api_key}".encode()
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), wanted):
            raise Refusal(401, "invalid or missing API key")

    def ending(self, job_id: Any) -> Ending | None:
        ending = super().ending(job_id)
        if ending is not None and self.jobs[job_id].cancelled:
            return attrs.evolve(ending, state=JobState.CANCELLED)
        return ending

    # -- handlers

    async def _create(self, request: web.Request) -> web.StreamResponse:
        document = await self._json(request)
        job_type = document.get("type")
        if not isinstance(job_type, str) or not job_type:
            raise Refusal(400, "type is required")
        now = self.clock.time()
        job = FakeBsubioJob(
            id=str(uuid.UUID(int=self._rng.getrandbits(128), version=4)),
            type=job_type,
            plan=self.plan(job_type),
            timeline=Timeline(now, S.CREATED),
            upload_token=f"up-{self._rng.getrandbits(96):024x}",
        )
        self.jobs[job.id] = job
        self.note("created", job.id, type=job_type)
        return self._ok(self._document(job), status=201)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        token = request.query.get("token", "")
        if job.timeline.status(self.clock.time()) != S.CREATED:
            raise Refusal(400, "data has been uploaded already")
        if not hmac.compare_digest(token.encode(), job.upload_token.encode()):
            raise Refusal(401, "invalid upload token")
        data = _file_part(request.headers.get("Content-Type", ""), await request.read())
        if job.timeline.status(self.clock.time()) != S.CREATED:  # it may have changed meanwhile
            raise Refusal(400, "data has been uploaded already")
        job.data = data
        job.timeline.go(self.clock.time(), (0.0, S.LOADED))
        self.note("uploaded", job.id, size=len(data))
        answer = {"success": True, "message": "Data uploaded", "data_size": len(data)}
        return web.json_response(answer)

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        now = self.clock.time()
        if job.timeline.status(now) != S.LOADED:
            raise Refusal(400, "job cannot be submitted in its present status")
        plan = job.plan
        job.timeline.go(
            now,
            (0.0, S.PENDING),
            (plan.queued, S.CLAIMED),
            (plan.running * 0.05, S.PREPARING),
            (plan.running * 0.05, S.PROCESSING),
            (plan.running * 0.9, S.FAILED if plan.outcome == "failure" else S.FINISHED),
        )
        self.note("submitted", job.id)
        return web.json_response({"success": True, "message": "Job submitted"})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return self._ok(self._document(self._find(request)))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        limit = self._limit(request.query.get("limit", "20"))
        wanted = request.query.get("status")
        if wanted is not None and wanted not in set(S):
            raise Refusal(400, f"unknown status {wanted!r}")
        now = self.clock.time()
        found = [
            job
            for job in reversed(self.jobs.values())
            if not job.removed and wanted in (None, job.timeline.status(now))
        ]
        if wanted in _OVER:
            found.sort(key=lambda job: job.timeline.at(now)[0], reverse=True)
        page = [self._document(job) for job in found[:limit]]
        return self._ok({"jobs": page, "total": len(found)})

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        now = self.clock.time()
        if job.timeline.status(now) not in _LIVE:
            raise Refusal(400, "job cannot be cancelled in its present status")
        job.cancelled = True
        job.timeline.go(now, (0.0, S.FAILED))
        job.removed = self._cancelled_as == "removed"
        self.note("cancelled", job.id)
        return web.json_response({"success": True, "message": "Job cancelled"})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        if job.timeline.status(self.clock.time()) not in _OVER:
            raise Refusal(409, "job is still in progress")
        job.removed = True
        self.note("removed", job.id)
        return web.Response(status=204)

    # -- helpers

    @staticmethod
    def _ok(data: object, status: int = 200) -> web.Response:
        return web.json_response({"success": True, "data": data}, status=status)

    @staticmethod
    async def _json(request: web.Request) -> dict[str, Any]:
        try:
            document = await request.json()
        except ValueError:
            raise Refusal(400, "the body is no JSON") from None
        if not isinstance(document, dict):
            raise Refusal(400, "the body is no JSON object")
        return cast("dict[str, Any]", document)

    @staticmethod
    def _limit(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= 100:
            raise Refusal(400, "limit must be between 1 and 100")
        return int(text)

    def _find(self, request: web.Request) -> FakeBsubioJob:
        job = self.jobs.get(request.match_info["job_id"])
        if job is None or job.removed:
            raise Refusal(404, "job not found")
        return job

    def _date_of(self, at: float | None) -> str | None:
        return None if at is None else _iso(self.clock.date(at))

    def _document(self, job: FakeBsubioJob) -> dict[str, Any]:
        now = self.clock.time()
        since, status = job.timeline.at(now)
        document: dict[str, Any] = {
            "id": job.id,
            "status": status,
            "type": job.type,
            "user_id": "usr-1",
            "data_size": len(job.data),
            "claimed_by": None if job.timeline.since(now, S.CLAIMED) is None else "worker-1",
            "error_code": None,
            "error_message": None,
            "created_at": self._date_of(job.timeline.since(now, S.CREATED)),
            "updated_at": self._date_of(since),
            "claimed_at": self._date_of(job.timeline.since(now, S.CLAIMED)),
            "finished_at": self._date_of(since) if status in _OVER else None,
        }
        if status == S.CREATED:
            document["upload_token"] = job.upload_token
        if status == S.FAILED:
            document["error_code"] = CANCELLED if job.cancelled else "EFAILED"
            document["error_message"] = "cancelled" if job.cancelled else job.plan.message
        return document


def _file_part(content_type: str, body: bytes) -> bytes:
    """The content of the part named ``file`` of a multipart body."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_maintype() != "multipart" or not boundary:
        raise Refusal(400, "multipart/form-data expected")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise Refusal(400, "the multipart body is broken off")
    for part in parts[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if message_from_bytes(head).get_param("name", header="content-disposition") == "file":
            return content
    raise Refusal(400, "file is required")


def _iso(date: datetime) -> str:
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")
