"""The server: routes, credentials, and what each operation does."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs
from aiohttp import web

from jobkit_async.fakes.ledger import Ending
from jobkit_async.fakes.server import FakeServer, Handler, Refusal
from jobkit_async.fakes.timeline import Timeline
from jobkit_async.services.ecotaxa.fake.arguments import (
    Invalid,
    for_admin,
    job_number,
    read_account,
    read_reply,
)
from jobkit_async.services.ecotaxa.fake.files import MEDIA_TYPES, SUFFIXES, content_of
from jobkit_async.services.ecotaxa.fake.jobs import FIRST_REPORT, FakeEcotaxaJob, Step
from jobkit_async.services.ecotaxa.fake.runs import (
    asking,
    attempt,
    crash,
    kill,
    question_of,
    unanswered,
)
from jobkit_async.services.ecotaxa.models import DBJobState as S
from jobkit_async.services.ecotaxa.models import JobType
from jobkit_async.states import JobState

__all__ = ["FakeEcotaxa"]


class FakeEcotaxa(FakeServer[FakeEcotaxaJob]):
    """An embedded EcoTaxa server, with one user who has an account.

    Args:
        token: A token that it accepts from the start, besides those it gives out.
        username: Who can log in.
        password: And how.
        admin: Whether that user is an administrator.
        front_end: Where redirects lead: the host that users see, which is not this server.
        kill_delay: Seconds that the answer to a killing erase takes; the job is dead before.
        era: ``"now"`` archives an erased job under its negated id; ``"2023"`` deletes it, waiting
            ones included, lets asking ones be, knows no ranges, and has a 200 for a missing file.
        **options: As for :class:`~jobkit_async.fakes.server.FakeServer`.
    """

    service: ClassVar[str] = "ecotaxa"
    prefix: ClassVar[str] = "/api"
    states: ClassVar[Mapping[str, JobState]] = {
        S.PENDING: JobState.PENDING,
        S.RUNNING: JobState.RUNNING,
        S.ASKING: JobState.NEEDS_INPUT,
        S.ERROR: JobState.FAILED,
        S.FINISHED: JobState.SUCCEEDED,
    }
    user_id: ClassVar[int] = 1
    """Id of the user with the account."""

    def __init__(
        self,
        *,
        token: str = "eco-token",  # noqa: S107 - what tests log in with is no secret
        username: str = "user@example.org",
        password: str = "secret",  # noqa: S107 - what tests log in with is no secret
        admin: bool = False,
        front_end: str = "https://front.invalid",
        kill_delay: float = 0.0,
        era: Literal["now", "2023"] = "now",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.admin = admin
        self._tokens = {token}
        self._account = (username, password)
        self._front_end = front_end
        self._kill_delay = kill_delay
        self._era = era
        self._logins = itertools.count(1)
        # Of its own, so that the number of listings does not change what is drawn for jobs.
        self._order = random.Random(self._rng.getrandbits(64))

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        return [
            ("login", "POST", "/login", self._login),
            ("erase_job", "DELETE", "/jobs/{job_id}", self._erase),
            ("get_job", "GET", "/jobs/{job_id}/", self._get),
            ("get_job_file", "GET", "/jobs/{job_id}/file", self._file),
            ("get_job_log_file", "GET", "/jobs/{job_id}/log", self._log),
            ("list_jobs", "GET", "/jobs/", self._list),
            ("reply_job_question", "POST", "/jobs/{job_id}/answer", self._reply),
            ("restart_job", "GET", "/jobs/{job_id}/restart", self._restart),
            ("redirect", "*", "/jobs", self._redirect),
            ("redirect", "*", "/login/", self._redirect),
            (
                "redirect",
                "*",
                "/jobs/{job_id}/{operation:file|log|answer|restart}/",
                self._redirect,
            ),
        ]

    def refuse(self, refusal: Refusal) -> web.Response:
        if refusal.status == 500:
            return web.Response(status=500, text=f"-- BACK-END --\n{refusal.reason}\n")
        detail = refusal.detail if isinstance(refusal, Invalid) else refusal.reason
        return web.json_response({"detail": detail}, status=refusal.status, headers=refusal.headers)

    def authorize(self, request: web.Request, operation: str) -> None:
        if operation in ("login", "redirect"):
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        token = given if scheme.lower() == "bearer" else request.cookies.get("session")
        if not token:
            raise Refusal(403, "Not authenticated")
        if token not in self._tokens:
            raise Refusal(
                401, "Could not validate credentials", headers={"WWW-Authenticate": "Bearer"}
            )

    def ending(self, job_id: Any) -> Ending | None:
        ending = super().ending(job_id)
        if ending is not None and self.jobs[job_id].killed:
            return attrs.evolve(ending, state=JobState.CANCELLED)
        return ending

    # -- for tests

    def create_job(
        self,
        job_type: str = JobType.GEN_EXPORT,
        *,
        params: Mapping[str, Any] | None = None,
        owner_id: int | None = None,
        question: Mapping[str, Any] | None = None,
    ) -> FakeEcotaxaJob:
        """Create a job, as other parts of the service do.

        Args:
            job_type: Its type; decides on the file that it produces and on how it fails.
            params: What it was started with.
            owner_id: Id of its owner; by default that of the user with the account.
            question: What it asks half-way through, then to go on as planned. A list under
                ``missing_users`` is answered by an object under ``users``, and so on.

        Returns:
            The job, which waits to be run.
        """
        now = self.clock.time()
        job_id = len(self.jobs) + 1
        suffix = SUFFIXES.get(job_type)
        plan = self.plan(job_type)
        job = FakeEcotaxaJob(
            id=job_id,
            type=str(job_type),
            owner_id=self.user_id if owner_id is None else owner_id,
            plan=plan,
            timeline=Timeline(now, S.PENDING),
            params=dict(params or {}),
            asks=question_of(plan) if question is None else dict(question),
            file_name=suffix and f"export_{job_id}.{suffix}",
            row={
                "creation_date": self._date_of(now),
                "updated_on": now,
                "result": {},
                "errors": [],
                "question": {},
                "reply": {},
                "progress_pct": None,
                "progress_msg": None,
            },
        )
        self.jobs[job_id] = job
        job.plan_anew(now, attempt(job))
        self.note("created", job_id, type=job.type)
        return job

    def expire_tokens(self) -> None:
        """Let no token be valid any more that was given out so far."""
        self._tokens.clear()

    # -- handlers

    async def _login(self, request: web.Request) -> web.StreamResponse:
        if await read_account(request) != self._account:
            raise Refusal(403, "Wrong user name or password")
        token = f"signed-{next(self._logins)}"
        self._tokens.add(token)
        return web.json_response(token)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._document(self._find(request), self.clock.time()))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        everybody = for_admin(request)
        if everybody and not self.admin:
            raise Refusal(403, "You can't do this.")
        found = [
            job
            for job in self.jobs.values()
            if not job.removed and (everybody or job.owner_id == self.user_id)
        ]
        self._order.shuffle(found)
        now = self.clock.time()
        return web.json_response([self._document(job, now) for job in found])

    async def _erase(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        now = self.clock.time()
        state = job.timeline.status(now)
        old = self._era == "2023"
        if job.removed:
            job.removed = False
            self.note("revived", job.id)
        elif state in (S.ERROR, S.FINISHED):
            self._remove(job)
        elif old and state == S.PENDING:
            kill(job, now)
            self._remove(job)
        elif not (old and state == S.ASKING):
            kill(job, now)
            self.note("cancelled", job.id)
            await asyncio.sleep(self._kill_delay)
        return web.json_response(None)

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        number = job_number(request)
        reply = await read_reply(request)
        job = self._find(request, number)
        now = self.clock.time()
        if job.timeline.status(now) == S.ASKING:
            steps: list[Step] = [
                (0.0, S.PENDING, {"reply": reply, "progress_msg": "Proceeding"}),
            ]
            job.asks = unanswered(job.asks, reply)
            if not reply or job.asks:
                job.span = (50, 50)
                look = job.plan.running * FIRST_REPORT
                steps.append((job.plan.queued, S.RUNNING, {}))
                steps.append((look, *asking(job)) if reply else (look, *crash("no answer")))
            else:
                steps.extend(attempt(job, begin=50))
            job.plan_anew(now, steps)
            self.note("answered", job.id, reply=reply)
        return web.json_response(None)

    async def _restart(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        now = self.clock.time()
        if job.timeline.status(now) == S.ERROR:
            job.plan = self.plan(job.type)
            job.asks = job.asks or question_of(job.plan)
            job.killed = job.emptied = False
            waiting: Step = (0.0, S.PENDING, {"progress_msg": "Restarting"})
            job.plan_anew(now, [waiting, *attempt(job)])
            self.note("restarted", job.id)
        return web.json_response(None)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        name = job.file_name
        if name is None or job.emptied or job.timeline.status(self.clock.time()) != S.FINISHED:
            if self._era == "2023":
                return web.Response(text="NOT FOUND")
            raise Refusal(500, "Traceback (most recent call last):\nFileNotFoundError: no file")
        data = content_of(name) if job.file is None else job.file
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Type": MEDIA_TYPES.get(name.rpartition(".")[2], "unknown"),
        }
        if self._era == "2023":
            return web.Response(body=data, headers=headers)
        headers["Accept-Ranges"] = "bytes"
        wanted = request.headers.get("Range")
        if wanted is None:
            return web.Response(body=data, headers=headers)
        found = re.fullmatch(r"bytes=(\d+)-", wanted)
        if found is None or int(found[1]) >= len(data):
            raise Refusal(416, "Requested range not satisfiable")
        start = int(found[1])
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return web.Response(status=206, body=data[start:], headers=headers)

    async def _log(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        history = job.timeline.history(self.clock.time())
        lines = (f"{self._date_of(at)} job {job.id} is {S(state).name}\n" for at, state in history)
        return web.Response(text="".join(lines))

    async def _redirect(self, request: web.Request) -> web.StreamResponse:
        path, mark, query = request.raw_path.partition("?")
        other = path[:-1] if path.endswith("/") else path + "/"
        location = f"{self._front_end}{other}{mark}{query}"
        return web.Response(status=307, headers={"Location": location})

    # -- helpers

    def _find(self, request: web.Request, number: int | None = None) -> FakeEcotaxaJob:
        wanted = job_number(request) if number is None else number
        job = self.jobs.get(abs(wanted))
        if job is None or job.number != wanted or (job.removed and self._era == "2023"):
            raise Refusal(404, "Not found.")
        if job.owner_id != self.user_id and not self.admin:
            raise Refusal(403, "You can't do this.")
        return job

    def _remove(self, job: FakeEcotaxaJob) -> None:
        job.removed = job.emptied = True
        self.note("removed", job.id)

    def _date_of(self, at: float) -> str:
        return self.clock.date(at).replace(tzinfo=None).isoformat()

    def _document(self, job: FakeEcotaxaJob, now: float) -> dict[str, Any]:
        job.settle(now)
        return {
            "id": job.number,
            "owner_id": job.owner_id,
            "type": job.type,
            "params": job.params,
            "inside": {},
            "state": job.timeline.status(now),
            "step": None,
            **job.row,
            "updated_on": self._date_of(job.row["updated_on"]),
        }
