"""An embedded EcoTaxa: the seven operations and the log-in, with states, routing and error bodies.

No operation of this API creates a job; :meth:`FakeEcotaxa.create_job` does.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import random
import re
import zipfile
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import attrs
from aiohttp import web

from jobkit_async.fakes.ledger import Ending
from jobkit_async.fakes.server import FakeServer, Handler, Refusal
from jobkit_async.fakes.timeline import Plan, Timeline
from jobkit_async.services.ecotaxa.models import DBJobState as S
from jobkit_async.services.ecotaxa.models import JobType
from jobkit_async.states import JobState

__all__ = ["FakeEcotaxa", "FakeEcotaxaJob"]

_FIRST_REPORT = 0.1
"""Share of a stretch of running that passes before the job says anything new."""
_ROUNDING = 1e-6
"""Added to shares of time, so that a report which is due now is not missed by a float's width."""
_ROWS = "object_id\ttaxon\n1\tCalanoida\n2\tCopepoda\n"
_SUFFIXES: Mapping[str, str] = {
    JobType.GEN_EXPORT: "zip",
    JobType.GENERAL_EXPORT: "zip",
    JobType.SUMMARY_EXPORT: "tsv",
    JobType.BACKUP_EXPORT: "zip",
    JobType.DARWIN_CORE_EXPORT: "zip",
}
_MEDIA_TYPES = {"tsv": "text/tab-separated-values; charset=utf-8", "zip": "application/zip"}
_VALIDATING = (JobType.FILE_IMPORT, JobType.SIMPLE_IMPORT)
"""Types that fail with complaints about the data; others fail with a traceback."""
_TRUTHS = {
    **dict.fromkeys(("1", "on", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "off", "f", "false", "n", "no"), False),
}

_Write = tuple[S, dict[str, Any]]
"""A state that is entered, and what is written to the job then."""
_Step = tuple[float, S, dict[str, Any]]
"""The same, a delay after the step before."""


class _Invalid(Refusal):
    """422: each fault says where in the request it is, what it is, and its type."""

    def __init__(self, *faults: tuple[Sequence[str | int], str, str]) -> None:
        super().__init__(422, faults[0][1])
        self.detail = [{"loc": loc, "msg": msg, "type": type_} for loc, msg, type_ in faults]


@attrs.define(eq=False)
class FakeEcotaxaJob:
    """One job of the embedded server.

    Attributes:
        id: The id that it was created with; the service negates it once the job is removed.
        type: The job type.
        owner_id: Id of its owner.
        plan: What is to become of it.
        timeline: Its states.
        params: What it was started with.
        asks: What it still has to ask, or waits to be told.
        file_name: Name of the file that it produces, or None; tests may change it.
        file: What is in that file, where tests want something particular.
        killed: Whether its last end was a kill.
        removed: Whether it was erased after its end.
    """

    id: int
    type: str
    owner_id: int
    plan: Plan
    timeline: Timeline
    params: dict[str, Any]
    asks: dict[str, Any]
    file_name: str | None
    row: dict[str, Any] = attrs.field(repr=False)
    """What was written to it, as of the last look."""
    due: deque[tuple[float, dict[str, Any]]] = attrs.field(factory=deque, repr=False)
    """What will be written to it, by loop time."""
    stretch: float = 0.0
    """Seconds of running before it ends or asks."""
    span: tuple[int, int] = (0, 100)
    """Percent done at the begin and at the end of that stretch."""
    file: bytes | None = attrs.field(default=None, repr=False)
    emptied: bool = False
    killed: bool = False
    removed: bool = False

    @property
    def number(self) -> int:
        """The id by which the service knows it now."""
        return -self.id if self.removed else self.id

    def plan_anew(self, now: float, steps: Iterable[_Step]) -> None:
        """Give it another future; what has been written up to ``now`` stays."""
        self.settle(now)
        steps = list(steps)
        self.timeline.go(now, *((delay, state) for delay, state, _ in steps))
        at = now
        self.due.clear()
        for delay, _, changes in steps:
            at += delay
            if changes:
                self.due.append((at, {**changes, "updated_on": at}))
        self.settle(now)

    def settle(self, now: float) -> None:
        """Write what was due by ``now``."""
        while self.due and self.due[0][0] <= now:
            self.row.update(self.due.popleft()[1])
        first, last = self.span
        if self.due and first < last and self.stretch > 0:
            since, state = self.timeline.at(now)
            share = (now - since) / self.stretch + _ROUNDING
            if state == S.RUNNING and share >= _FIRST_REPORT:
                done = min(int((last - first) * share), last - first - 1)
                self.row["progress_pct"] = first + done
                self.row["progress_msg"] = "Working"
                self.row["updated_on"] = since + self.stretch * done / (last - first)


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
        detail = refusal.detail if isinstance(refusal, _Invalid) else refusal.reason
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
        suffix = _SUFFIXES.get(job_type)
        plan = self.plan(job_type)
        job = FakeEcotaxaJob(
            id=job_id,
            type=str(job_type),
            owner_id=self.user_id if owner_id is None else owner_id,
            plan=plan,
            timeline=Timeline(now, S.PENDING),
            params=dict(params or {}),
            asks=_question(plan) if question is None else dict(question),
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
        job.plan_anew(now, _attempt(job))
        self.note("created", job_id, type=job.type)
        return job

    def expire_tokens(self) -> None:
        """Let no token be valid any more that was given out so far."""
        self._tokens.clear()

    # -- handlers

    async def _login(self, request: web.Request) -> web.StreamResponse:
        document = await self._json(request)
        if document is None:
            raise _Invalid((["body"], "field required", "value_error.missing"))
        given = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
        if missing := [name for name in ("username", "password") if name not in given]:
            raise _Invalid(
                *((["body", name], "field required", "value_error.missing") for name in missing)
            )
        if (given["username"], given["password"]) != self._account:
            raise Refusal(403, "Wrong user name or password")
        token = f"signed-{next(self._logins)}"
        self._tokens.add(token)
        return web.json_response(token)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._document(self._find(request), self.clock.time()))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        given = request.query.getall("for_admin", ["false"])[-1]
        everybody = _TRUTHS.get(given.lower())
        if everybody is None:
            message = "value could not be parsed to a boolean"
            raise _Invalid((["query", "for_admin"], message, "type_error.bool"))
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
            _kill(job, now)
            self._remove(job)
        elif not (old and state == S.ASKING):
            _kill(job, now)
            self.note("cancelled", job.id)
            await asyncio.sleep(self._kill_delay)
        return web.json_response(None)

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        number = self._number(request)
        document = await self._json(request)
        if not isinstance(document, dict | None):
            raise _Invalid((["body"], "value is not a valid dict", "type_error.dict"))
        reply = cast("dict[str, Any]", document or {})
        job = self._find(request, number)
        now = self.clock.time()
        if job.timeline.status(now) == S.ASKING:
            steps: list[_Step] = [
                (0.0, S.PENDING, {"reply": reply, "progress_msg": "Proceeding"}),
            ]
            job.asks = _unanswered(job.asks, reply)
            if not reply or job.asks:
                job.span = (50, 50)
                look = job.plan.running * _FIRST_REPORT
                steps.append((job.plan.queued, S.RUNNING, {}))
                steps.append((look, *_asking(job)) if reply else (look, *_crash("no answer")))
            else:
                steps.extend(_attempt(job, begin=50))
            job.plan_anew(now, steps)
            self.note("answered", job.id, reply=reply)
        return web.json_response(None)

    async def _restart(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        now = self.clock.time()
        if job.timeline.status(now) == S.ERROR:
            job.plan = self.plan(job.type)
            job.asks = job.asks or _question(job.plan)
            job.killed = job.emptied = False
            waiting: _Step = (0.0, S.PENDING, {"progress_msg": "Restarting"})
            job.plan_anew(now, [waiting, *_attempt(job)])
            self.note("restarted", job.id)
        return web.json_response(None)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        name = job.file_name
        if name is None or job.emptied or job.timeline.status(self.clock.time()) != S.FINISHED:
            if self._era == "2023":
                return web.Response(text="NOT FOUND")
            raise Refusal(500, "Traceback (most recent call last):\nFileNotFoundError: no file")
        data = _content(name) if job.file is None else job.file
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Type": _MEDIA_TYPES.get(name.rpartition(".")[2], "unknown"),
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

    @staticmethod
    async def _json(request: web.Request) -> Any:
        """The body: None where there is none, and text that is not said to be JSON as it is."""
        text = await request.text()
        if not text:
            return None
        if request.content_type != "application/json":
            return text
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise _Invalid((["body", error.pos], str(error), "value_error.jsondecode")) from None

    @staticmethod
    def _number(request: web.Request) -> int:
        try:
            return int(request.match_info["job_id"])
        except ValueError:
            message = "value is not a valid integer"
            raise _Invalid((["path", "job_id"], message, "type_error.integer")) from None

    def _find(self, request: web.Request, number: int | None = None) -> FakeEcotaxaJob:
        wanted = self._number(request) if number is None else number
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


def _question(plan: Plan) -> dict[str, Any]:
    if plan.outcome != "question":
        return {}
    return {"missing_users": ["Jane Doe"], "missing_taxa": ["Calanoida"]}


def _unanswered(question: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """The question less what the reply answers; empty if that is all of it."""
    left: dict[str, Any] = {}
    for key, asked in question.items():
        answer = reply.get(key.removeprefix("missing_"))
        if isinstance(asked, list):
            known = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
            left[key] = [name for name in cast("list[str]", asked) if known.get(name) is None]
        else:
            left[key] = asked if answer is None else None
    return left if any(left.values()) else {}


def _attempt(job: FakeEcotaxaJob, *, begin: int = 0) -> list[_Step]:
    """A run from ``begin`` percent on: to the question if there is one, else to the end."""
    end = 50 if job.asks else 100
    job.span = (begin, end)
    job.stretch = job.plan.running * (end - begin) / 100
    state, changes = _asking(job) if job.asks else _end(job)
    return [(job.plan.queued, S.RUNNING, {}), (job.stretch, state, changes)]


def _end(job: FakeEcotaxaJob) -> _Write:
    if job.plan.outcome != "failure":
        result: dict[str, Any] = {"rowcount": _ROWS.count("\n") - 1}
        if job.file_name is not None:
            result["out_file"] = job.file_name
        return S.FINISHED, {
            "progress_pct": 100,
            "progress_msg": "Done",
            "result": result,
            "errors": [],
        }
    if job.type in _VALIDATING:
        lines = job.plan.message.splitlines()
        message = f"{len(lines)} error(s) during run"
        return S.ERROR, {"progress_pct": 99, "progress_msg": message, "errors": lines}
    state, changes = _crash(job.plan.message)
    return state, {"progress_pct": 99, **changes}


def _asking(job: FakeEcotaxaJob) -> _Write:
    return S.ASKING, {"question": job.asks, "progress_pct": 50, "progress_msg": "Asking"}


def _crash(message: str) -> _Write:
    lines = ["Traceback (most recent call last):", *f"RuntimeError: {message}".splitlines()]
    return S.ERROR, {"progress_msg": message, "errors": lines}


def _kill(job: FakeEcotaxaJob, now: float) -> None:
    job.killed = True
    job.plan_anew(now, [(0.0, S.ERROR, {"progress_msg": "Killed"})])


def _content(name: str) -> bytes:
    if not name.endswith(".zip"):
        return _ROWS.encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("export.tsv"), _ROWS)
    return archive.getvalue()
