"""The server: routes, credentials, and what each operation does."""

from __future__ import annotations

import base64
import hmac
import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, ClassVar

from aiohttp import web

from jobkit_async.fakes.server import FakeServer, Handler, Refusal
from jobkit_async.fakes.timeline import Timeline
from jobkit_async.services.vidispine.fake.arguments import (
    NamedRefusal,
    data_filter,
    flag_of,
    invalid,
    metadata_pairs,
    number_of,
    priority_of,
    read_entries,
    read_only,
    wants_text,
)
from jobkit_async.services.vidispine.fake.documents import (
    full,
    job_document,
    notification_document,
    problem_list,
)
from jobkit_async.services.vidispine.fake.jobs import LIVE, OVER, FakeVidispineJob
from jobkit_async.services.vidispine.fake.listing import find_jobs, sort_jobs
from jobkit_async.services.vidispine.models import JobStatus as S
from jobkit_async.services.vidispine.models import JobTypeName, Priority
from jobkit_async.states import JobState

__all__ = ["FakeVidispine"]

_WARNINGS = 0.1
"""The share of successes that end with a warning."""


class FakeVidispine(FakeServer[FakeVidispineJob]):
    """An embedded Vidispine server.

    It speaks JSON, and plain text where the service does; who accepts only XML gets a 406. Lists
    without elements are left out of its answers. Where ``get_jobs`` gives no order, jobs come in
    the order of their creation. A job that names a notification of :meth:`add_notification` is
    notified of at each change of its status; see ``calls``. Ids of others are taken and have no
    effect.

    Args:
        username: The user that it admits, and the one who owns what is created over HTTP.
        password: The user's password.
        abort_delay: Seconds from the request to abort a job to its end.
        waiting: Share of the jobs, 0 to 1, that stand still for the third fifth of their run
            because of a problem that then solves itself.
        **options: As for :class:`~jobkit_async.fakes.server.FakeServer`.
    """

    service: ClassVar[str] = "vidispine"
    prefix: ClassVar[str] = "/API"
    states: ClassVar[Mapping[str, JobState]] = {
        S.READY: JobState.PENDING,
        S.STARTED: JobState.RUNNING,
        S.WAITING: JobState.PENDING,
        S.ABORTED_PENDING: JobState.RUNNING,
        S.FINISHED: JobState.SUCCEEDED,
        S.FINISHED_WARNING: JobState.SUCCEEDED,
        S.FAILED_TOTAL: JobState.FAILED,
        S.ABORTED: JobState.CANCELLED,
    }

    def __init__(
        self,
        *,
        username: str = "user",
        password: str = "secret",  # noqa: S107 - of a server that only tests talk to
        abort_delay: float = 1.0,
        waiting: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.username = username
        self.password = password
        self._abort_delay = abort_delay
        self._waiting = waiting
        self._notifications: dict[str, tuple[str, frozenset[str]]] = {}

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        return [
            ("get_all_job_problems", "GET", "/job/problem", read_only(self._all_problems)),
            ("create_custom_job", "POST", "/job", self._create),
            ("get_jobs", "GET", "/job", read_only(self._list)),
            ("delete_jobs", "DELETE", "/job", self._delete),
            ("get_job", "GET", "/job/{job_id}", read_only(self._get)),
            ("update_job", "PUT", "/job/{job_id}", self._update),
            ("abort_job", "DELETE", "/job/{job_id}", self._abort),
            ("create_duplicate_job", "POST", "/job/{job_id}/re-run", self._rerun),
            ("get_job_problems", "GET", "/job/{job_id}/problem", read_only(self._problems)),
            ("get_job_types", "GET", "/jobtype", read_only(self._types)),
        ]

    def refuse(self, refusal: Refusal) -> web.Response:
        if isinstance(refusal, NamedRefusal):
            return web.json_response(refusal.document, status=refusal.status)
        text = None if refusal.status == 401 else refusal.reason
        return web.Response(status=refusal.status, text=text, headers=refusal.headers)

    def authorize(self, request: web.Request, operation: str) -> None:
        given = request.headers.get("Authorization", "")
        pair = base64.b64encode(f"{self.username}:{self.password}".encode())
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), b"Basic " + pair):
            challenge = {"WWW-Authenticate": 'Basic realm="vidispine"'}
            raise Refusal(401, "unauthorized", headers=challenge)

    def create_job(
        self, job_type: str, *, user: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> FakeVidispineJob:
        """Create a job by other means than HTTP.

        Args:
            job_type: The type.
            user: Whose job it is; that of the admitted user by default.
            metadata: Its metadata.
        """
        return self._new(job_type, user or self.username, Priority.MEDIUM, metadata or {})

    def add_notification(
        self, url: str, *, actions: Collection[str] = ("CREATE", "UPDATE", "STOP")
    ) -> str:
        """Set up a placeholder notification, as an administrator does.

        Args:
            url: Where it posts, on this machine: when the status changes of a job that was
                created with it.
            actions: Which changes it tells: the first status, later ones, the last.

        Returns:
            Its id, for the argument ``notification`` of ``create_custom_job``.
        """
        name = f"VX-N{len(self._notifications) + 1}"
        self._notifications[name] = url, frozenset(actions)
        return name

    # -- handlers

    async def _create(self, request: web.Request) -> web.StreamResponse:
        wants_text(request)
        job_type = request.query.get("type", "")
        if not job_type:
            raise invalid("type", "a job type is required")
        priority = priority_of(request) or Priority.MEDIUM
        metadata = dict(metadata_pairs(request)) | await read_entries(request)
        notification = request.query.get("notification")
        job = self._new(job_type, self.username, priority, metadata, notification)
        return web.json_response(self._document(job))

    async def _rerun(self, request: web.Request) -> web.StreamResponse:
        wants_text(request)
        old = self._find(request)
        priority = priority_of(request) or old.priority
        job = self._new(old.type, self.username, priority, old.metadata)
        self.note("rerun", old.id, new=job.id)
        return web.json_response(self._document(job))

    async def _update(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        # The service documents a default here too, so a call without a priority sets one.
        job.priority = priority_of(request) or Priority.MEDIUM
        self.note("updated", job.id, priority=job.priority)
        return web.Response()

    async def _abort(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        cleanup = flag_of(request, "cleanup", default=True)
        now = self.clock.time()
        status = job.timeline.status(now)
        if status not in LIVE:
            return web.Response()
        end, how = job.end
        if status == S.READY and not cleanup:
            job.timeline.go(now, (0.0, S.ABORTED))
        elif status != S.READY and end < now + self._abort_delay:
            job.timeline.go(now, (0.0, S.ABORTED_PENDING), (end - now, how))
        else:
            job.timeline.go(now, (0.0, S.ABORTED_PENDING), (self._abort_delay, S.ABORTED))
        self._expect_steps(job)
        self.note("cancelled", job.id, reason=request.query.get("reason"), cleanup=cleanup)
        return web.Response()

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        ids = [job_id.strip() for job_id in request.query.get("id", "").split(",")]
        if not any(ids):
            raise invalid("id", "at least one job id is required")
        now = self.clock.time()
        for job_id in ids:
            job = self.jobs.get(job_id)
            if job is not None and not job.removed:
                job.removed = True
                job.timeline.go(now)
                self.note("removed", job.id)
        return web.Response()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        if wants_text(request, offered=True):
            return web.Response(text=job.timeline.status(self.clock.time()))
        return web.json_response(self._document(job, data=data_filter(request), log=True))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        as_text = wants_text(request, offered=True)
        first = max(1, number_of(request, "first", default=1, least=0))
        number = number_of(request, "number", default=100, least=1)
        data, log = data_filter(request), flag_of(request, "step")
        found = find_jobs(self.jobs.values(), request, self.username, self.clock)
        found = sort_jobs(found, request.query.get("sort", ""), self.clock.time())
        page = found[first - 1 : first - 1 + number]
        if as_text:
            return web.Response(text="\r\n".join(job.id for job in page))
        if flag_of(request, "idonly"):
            documents = [{"jobId": job.id} for job in page]
        else:
            documents = [self._document(job, data=data, log=log) for job in page]
        return web.json_response(full({"hits": len(found), "job": documents}))

    async def _types(self, request: web.Request) -> web.StreamResponse:
        names = list(dict.fromkeys([*JobTypeName, *(job.type for job in self.jobs.values())]))
        if wants_text(request, offered=True):
            return web.Response(text="\r\n".join(names))
        return web.json_response({"hits": len(names), "uri": names})

    async def _all_problems(self, request: web.Request) -> web.StreamResponse:
        wants_text(request)
        return self._problem_list(*self.jobs.values())

    async def _problems(self, request: web.Request) -> web.StreamResponse:
        wants_text(request)
        return self._problem_list(self._find(request))

    # -- jobs

    def _new(
        self,
        job_type: str,
        user: str,
        priority: str,
        metadata: Mapping[str, str],
        notification: str | None = None,
    ) -> FakeVidispineJob:
        now = self.clock.time()
        plan = self.plan(job_type)
        # Both are drawn for every job, so that an option changes no more than it says.
        waits, warns = self._rng.random() < self._waiting, self._rng.random() < _WARNINGS
        if plan.outcome == "failure":
            how = S.FAILED_TOTAL
        else:
            how = S.FINISHED_WARNING if warns else S.FINISHED
        timeline = Timeline(now, S.READY)
        fifth = plan.running / 5
        wait = ((2 * fifth, S.WAITING), (fifth, S.STARTED)) if waits else ()
        rest = 2 * fifth if waits else plan.running
        timeline.go(now, (plan.queued, S.STARTED), *wait, (rest, how))
        number = len(self.jobs) + 1
        job = FakeVidispineJob(
            id=f"VX-{number}",
            number=number,
            type=job_type,
            user=user,
            priority=priority,
            metadata=dict(metadata),
            plan=plan,
            timeline=timeline,
            end=(now + plan.queued + plan.running, how),
            notification=notification,
        )
        self.jobs[job.id] = job
        self.note("created", job.id, type=job_type, user=user)
        self._expect_steps(job)
        return job

    def _expect_steps(self, job: FakeVidispineJob) -> None:
        """Have a job notified of whose future has changed, where that is asked for."""
        if job.notification in self._notifications:
            for at, _ in job.timeline.history(math.inf)[len(job.notified) :]:
                self.calls.at(
                    at, partial(self._notify, job, *self._notifications[job.notification])
                )

    def _notify(self, job: FakeVidispineJob, url: str, actions: frozenset[str]) -> None:
        at, status = step = job.timeline.at(self.clock.time())
        if job.removed or step in job.notified:
            return  # it has been planned anew, and other times are set
        job.notified.append(step)
        number = len(job.notified)
        action = "STOP" if status in OVER else "CREATE" if number == 1 else "UPDATE"
        if action in actions:
            document = notification_document(job, at, status, action, number, self.clock)
            self.calls.make(job.id, url, lambda: document)

    def _find(self, request: web.Request) -> FakeVidispineJob:
        job_id = request.match_info["job_id"]
        job = self.jobs.get(job_id)
        if job is None or job.removed:
            raise NamedRefusal(404, "notFound", type="job", id=job_id)
        return job

    def _document(
        self,
        job: FakeVidispineJob,
        *,
        data: Callable[[str], bool] | None = None,
        log: bool = False,
    ) -> dict[str, Any]:
        return job_document(job, self.clock, data=data, log=log)

    def _problem_list(self, *jobs: FakeVidispineJob) -> web.Response:
        return web.json_response(problem_list(jobs, self.clock.time()))
