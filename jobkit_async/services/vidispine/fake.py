"""An embedded Vidispine: the ten operations with their state machine, filters and error bodies."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import attrs
from aiohttp import web

from jobkit_async.fakes.server import FakeServer, Handler, Refusal
from jobkit_async.fakes.timeline import Plan, Timeline
from jobkit_async.services.vidispine.models import JobStatus as S
from jobkit_async.services.vidispine.models import JobTypeName, Priority, StepStatus
from jobkit_async.states import JobState

__all__ = ["FakeVidispine", "FakeVidispineJob"]

_LIVE = frozenset({S.READY, S.STARTED, S.WAITING})
_SUCCEEDED = frozenset({S.FINISHED, S.FINISHED_WARNING})
_OVER = _SUCCEEDED | {S.FAILED_TOTAL, S.ABORTED}
_STILL: Mapping[str, S] = {
    S.WAITING: S.WAITING,
    S.ABORTED_PENDING: S.ABORTED_PENDING,
    S.ABORTED: S.ABORTED_PENDING,
}
"""Where a job's work stands still: the status since which it does."""
_STEP_STATUS: Mapping[str, StepStatus] = {
    S.WAITING: StepStatus.WAITING,
    S.FINISHED: StepStatus.FINISHED,
    S.FINISHED_WARNING: StepStatus.FINISHED,
    S.FAILED_TOTAL: StepStatus.FAILED_TOTAL,
    S.ABORTED: StepStatus.DISAPPEARED,
}
"""The status of a job's last step. What is said of a step whose task was killed is not known."""
_WARNINGS = 0.1
"""The share of successes that end with a warning."""
_STEPS = ("Prepare", "Process", "Store")
_STORAGE = "VX-1"
"""The storage that waiting jobs wait for."""
_JSON = frozenset({"application/json"})
_TEXT = frozenset({"text/plain"})
_ANY = frozenset({"application/*", "*/*"})


@attrs.define(eq=False)
class FakeVidispineJob:
    """One job of the embedded server."""

    id: str
    number: int
    type: str
    user: str
    priority: str
    metadata: dict[str, str]
    plan: Plan
    timeline: Timeline
    end: tuple[float, str]
    """When and how it ends unless it is aborted."""
    removed: bool = False

    def started(self, now: float) -> float | None:
        """When it started; it starts only once, however often it waits after that."""
        return next((at for at, status in self.timeline.history(now) if status == S.STARTED), None)


class _Exception(Refusal):
    """A refusal with an ExceptionDocument: one member, named for the kind of the fault."""

    def __init__(self, status: int, kind: str, **members: str) -> None:
        super().__init__(status, kind)
        self.document = {kind: members}


def _invalid(context: str, explanation: str) -> _Exception:
    return _Exception(400, "invalidInput", context=context, explanation=explanation)


class FakeVidispine(FakeServer[FakeVidispineJob]):
    """An embedded Vidispine server.

    It speaks JSON, and plain text where the service does; who accepts only XML gets a 406. Lists
    without elements are left out of its answers. Where ``get_jobs`` gives no order, jobs come in
    the order of their creation.

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

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        return [
            ("get_all_job_problems", "GET", "/job/problem", _read(self._all_problems)),
            ("create_custom_job", "POST", "/job", self._create),
            ("get_jobs", "GET", "/job", _read(self._list)),
            ("delete_jobs", "DELETE", "/job", self._delete),
            ("get_job", "GET", "/job/{job_id}", _read(self._get)),
            ("update_job", "PUT", "/job/{job_id}", self._update),
            ("abort_job", "DELETE", "/job/{job_id}", self._abort),
            ("create_duplicate_job", "POST", "/job/{job_id}/re-run", self._rerun),
            ("get_job_problems", "GET", "/job/{job_id}/problem", _read(self._problems)),
            ("get_job_types", "GET", "/jobtype", _read(self._types)),
        ]

    def refuse(self, refusal: Refusal) -> web.Response:
        if isinstance(refusal, _Exception):
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

    # -- handlers

    async def _create(self, request: web.Request) -> web.StreamResponse:
        _wants_text(request)
        job_type = request.query.get("type", "")
        if not job_type:
            raise _invalid("type", "a job type is required")
        priority = _priority(request) or Priority.MEDIUM
        metadata = dict(_pairs(request)) | await _document(request)
        job = self._new(job_type, self.username, priority, metadata)
        return web.json_response(self._document(job))

    async def _rerun(self, request: web.Request) -> web.StreamResponse:
        _wants_text(request)
        old = self._find(request)
        priority = _priority(request) or old.priority
        job = self._new(old.type, self.username, priority, old.metadata)
        self.note("rerun", old.id, new=job.id)
        return web.json_response(self._document(job))

    async def _update(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        # The service documents a default here too, so a call without a priority sets one.
        job.priority = _priority(request) or Priority.MEDIUM
        self.note("updated", job.id, priority=job.priority)
        return web.Response()

    async def _abort(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        cleanup = _flag(request, "cleanup", default=True)
        now = self.clock.time()
        status = job.timeline.status(now)
        if status not in _LIVE:
            return web.Response()
        end, how = job.end
        if status == S.READY and not cleanup:
            job.timeline.go(now, (0.0, S.ABORTED))
        elif status != S.READY and end < now + self._abort_delay:
            job.timeline.go(now, (0.0, S.ABORTED_PENDING), (end - now, how))
        else:
            job.timeline.go(now, (0.0, S.ABORTED_PENDING), (self._abort_delay, S.ABORTED))
        self.note("cancelled", job.id, reason=request.query.get("reason"), cleanup=cleanup)
        return web.Response()

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        ids = [job_id.strip() for job_id in request.query.get("id", "").split(",")]
        if not any(ids):
            raise _invalid("id", "at least one job id is required")
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
        if _wants_text(request, offered=True):
            return web.Response(text=job.timeline.status(self.clock.time()))
        return web.json_response(self._document(job, data=_data_filter(request), log=True))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        as_text = _wants_text(request, offered=True)
        first = max(1, _number(request, "first", default=1, least=0))
        number = _number(request, "number", default=100, least=1)
        data, log = _data_filter(request), _flag(request, "step")
        found = self._sorted(self._matches(request), request.query.get("sort", ""))
        page = found[first - 1 : first - 1 + number]
        if as_text:
            return web.Response(text="\r\n".join(job.id for job in page))
        if _flag(request, "idonly"):
            documents = [{"jobId": job.id} for job in page]
        else:
            documents = [self._document(job, data=data, log=log) for job in page]
        return web.json_response(_full({"hits": len(found), "job": documents}))

    async def _types(self, request: web.Request) -> web.StreamResponse:
        names = list(dict.fromkeys([*JobTypeName, *(job.type for job in self.jobs.values())]))
        if _wants_text(request, offered=True):
            return web.Response(text="\r\n".join(names))
        return web.json_response({"hits": len(names), "uri": names})

    async def _all_problems(self, request: web.Request) -> web.StreamResponse:
        _wants_text(request)
        return self._problem_list(*self.jobs.values())

    async def _problems(self, request: web.Request) -> web.StreamResponse:
        _wants_text(request)
        return self._problem_list(self._find(request))

    # -- jobs

    def _new(
        self, job_type: str, user: str, priority: str, metadata: Mapping[str, str]
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
        )
        self.jobs[job.id] = job
        self.note("created", job.id, type=job_type, user=user)
        return job

    def _find(self, request: web.Request) -> FakeVidispineJob:
        job_id = request.match_info["job_id"]
        job = self.jobs.get(job_id)
        if job is None or job.removed:
            raise _Exception(404, "notFound", type="job", id=job_id)
        return job

    def _matches(self, request: web.Request) -> list[FakeVidispineJob]:
        now = self.clock.time()
        own = _flag(request, "user", default=True)
        types, wanted = _words(request, "type"), _words(request, "state")
        started, finished = _span(request, "starttime"), _span(request, "finishtime")
        pairs = _pairs(request)
        found: list[FakeVidispineJob] = []
        for job in self.jobs.values():
            if job.removed or (own and job.user != self.username):
                continue
            if types is not None and job.type not in types:
                continue
            at, status = job.timeline.at(now)
            if wanted is not None and status not in wanted:
                continue
            if started and not self._within(job.started(now), started):
                continue
            if finished and not self._within(at if status in _OVER else None, finished):
                continue
            if pairs and not _has(self._data(job, status), pairs):
                continue
            found.append(job)
        return found

    def _sorted(self, found: list[FakeVidispineJob], order: str) -> list[FakeVidispineJob]:
        now = self.clock.time()
        ranks = {str(word): rank for rank, word in enumerate(reversed(Priority))}

        def start(job: FakeVidispineJob) -> float:
            at = job.started(now)
            return float("-inf") if at is None else at

        keys: dict[str, Callable[[FakeVidispineJob], Any]] = {
            "jobId": lambda job: job.number,
            "type": lambda job: job.type,
            "state": lambda job: job.timeline.status(now),
            "user": lambda job: job.user,
            "startTime": start,
            "priority": lambda job: ranks[job.priority],
        }
        # The least important field first: sorting is stable.
        for part in reversed(order.split(",") if order else []):
            match part.split():
                case [field, ("asc" | "desc") as direction] if field in keys:
                    found.sort(key=keys[field], reverse=direction == "desc")
                case _:
                    raise _invalid("sort", f"{part.strip()!r} is no '<field> asc|desc'")
        return found

    def _within(self, at: float | None, span: tuple[datetime | None, datetime | None]) -> bool:
        if at is None:
            return False
        date, (since, until) = self._date_of(at), span
        return (since is None or since <= date) and (until is None or date <= until)

    # -- documents

    def _date_of(self, at: float) -> datetime:
        date = self.clock.date(at)
        # Dates go out in milliseconds, and filters by them must find what they were read from.
        return date.replace(microsecond=date.microsecond // 1000 * 1000)

    def _iso(self, at: float | None) -> str | None:
        if at is None:
            return None
        return self._date_of(at).isoformat(timespec="milliseconds").replace("+00:00", "+0000")

    @staticmethod
    def _data(job: FakeVidispineJob, status: str) -> dict[str, str]:
        data = dict(job.metadata)
        if status in _SUCCEEDED:
            data.setdefault("itemId", f"VX-{job.number}")
        if status == S.FAILED_TOTAL:
            data["errorMessage"] = job.plan.message
        return data

    def _document(
        self,
        job: FakeVidispineJob,
        *,
        data: Callable[[str], bool] | None = None,
        log: bool = False,
    ) -> dict[str, Any]:
        now = self.clock.time()
        at, status = job.timeline.at(now)
        start = job.started(now)
        document: dict[str, Any] = {
            "jobId": job.id,
            "status": status,
            "type": job.type,
            "priority": job.priority,
            "user": job.user,
            "started": self._iso(start),
            "finished": self._iso(at) if status in _OVER else None,
        }
        if start is not None:
            tasks = self._tasks(job, start, now)
            last = tasks[-1]
            document["currentStep"] = {
                "number": last["step"],
                "status": last["status"],
                "description": last["description"],
            }
            document["totalSteps"] = len(_STEPS)
            if log:
                document["log"] = {"task": tasks}
        if status == S.WAITING:
            document["waiting"] = {
                "resourceType": "storage",
                "resourceId": _STORAGE,
                "requirement": "online",
            }
        if data is not None:
            entries = self._data(job, status)
            if "itemId" in entries:
                # The service makes this one up as it answers, so it cannot be filtered by.
                entries["item"] = entries["itemId"]
            document["data"] = _key_values({k: v for k, v in entries.items() if data(k)})
        return _full(document)

    def _tasks(self, job: FakeVidispineJob, start: float, now: float) -> list[dict[str, Any]]:
        status = job.timeline.status(now)
        still = job.timeline.since(now, _STILL[status]) if status in _STILL else None
        moment = min(now, job.end[0]) if still is None else still
        length = job.plan.running / len(_STEPS)
        at_step = int((moment - start) / length) if length else len(_STEPS)
        tasks: list[dict[str, Any]] = []
        for index, description in enumerate(_STEPS[: at_step + 1]):
            begin = start + index * length
            percent = 100 * (moment - begin) / length if index == at_step else 100.0
            tasks.append(
                {
                    "id": job.number * len(_STEPS) + index,
                    "step": index + 1,
                    "attempts": 1,
                    "status": StepStatus.FINISHED,
                    "timestamp": self._iso(begin),
                    "description": description,
                    "progress": {"value": round(percent, 3), "total": 100, "unit": "percent"},
                }
            )
        tasks[-1]["status"] = _STEP_STATUS.get(status, StepStatus.STARTED)
        if status == S.FAILED_TOTAL:
            tasks[-1]["errorMessage"] = job.plan.message
        return tasks

    def _problem_list(self, *jobs: FakeVidispineJob) -> web.Response:
        now = self.clock.time()
        problems = [
            {
                "id": job.number,
                "type": "StorageOffline",
                "job": [job.id],
                "data": _key_values({"storage": _STORAGE}),
            }
            for job in jobs
            if not job.removed and job.timeline.status(now) == S.WAITING
        ]
        return web.json_response(_full({"problem": problems}))


def _read(handler: Handler) -> Handler:
    async def checked(request: web.Request) -> web.StreamResponse:
        # Seen on a running server: a content type without content is refused.
        if "Content-Type" in request.headers and not request.can_read_body:
            raise _invalid("Content-Type", "there is no payload of this type")
        return await handler(request)

    return checked


def _wants_text(request: web.Request, *, offered: bool = False) -> bool:
    """Whether the answer is to be plain text rather than JSON."""
    accept = ",".join(request.headers.getall("Accept", ["*/*"]))
    ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if ranges & _JSON:
        return False
    if offered and ranges & _TEXT:
        return True
    if ranges & _ANY:
        return False
    raise Refusal(406, "Not Acceptable")


async def _document(request: web.Request) -> dict[str, str]:
    """The entries of a SimpleMetadataDocument, which may be missing."""
    if not await request.read():
        return {}
    if request.content_type != "application/json":
        raise Refusal(415, "Unsupported Media Type")
    try:
        document: dict[str, Any] = await request.json()
        fields: list[dict[str, Any]] = document.get("field") or []
        return {_text(field["key"]): _text(field["value"]) for field in fields}
    except (AttributeError, KeyError, TypeError, ValueError):
        # It is no JSON, or not of this shape.
        raise _invalid("body", "a SimpleMetadataDocument is expected") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _pairs(request: web.Request) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for given in request.query.getall("jobmetadata", []):
        key, equals, text = given.partition("=")
        if not key or not equals:
            raise _invalid("jobmetadata", f"{given!r} is no key=value")
        pairs.append((key, text))
    return pairs


def _has(data: Mapping[str, str], pairs: list[tuple[str, str]]) -> bool:
    return all(data.get(key) == text for key, text in pairs)


def _priority(request: web.Request) -> str | None:
    given = request.query.get("priority")
    if given is not None and given not in set(Priority):
        raise _invalid("priority", f"unknown priority {given!r}")
    return given


def _flag(request: web.Request, name: str, *, default: bool = False) -> bool:
    given = request.query.get(name, str(default)).lower()
    if given not in {"true", "false"}:
        raise _invalid(name, f"{given!r} is neither true nor false")
    return given == "true"


def _number(request: web.Request, name: str, *, default: int, least: int) -> int:
    given = request.query.get(name, str(default))
    if not given.isdecimal() or int(given) < least:
        raise _invalid(name, f"{given!r} is no number from {least} on")
    return int(given)


def _csv(request: web.Request, name: str) -> set[str]:
    return {word.strip() for word in request.query.get(name, "").split(",")} - {""}


def _words(request: web.Request, name: str) -> set[str] | None:
    """The words to filter by, or None for no filter."""
    words = _csv(request, name)
    return None if not words or "all" in words else words


def _data_filter(request: web.Request) -> Callable[[str], bool] | None:
    """Which metadata to show, or None for no metadata at all."""
    fields = _csv(request, "field")
    if fields:
        return fields.__contains__
    return (lambda _: True) if _flag(request, "metadata") else None


def _span(request: web.Request, name: str) -> tuple[datetime | None, datetime | None] | None:
    """The moments to filter by, both inclusive, or None for no filter."""
    span = _moment(request, f"{name}-from"), _moment(request, f"{name}-to")
    return None if span == (None, None) else span


def _moment(request: web.Request, name: str) -> datetime | None:
    given = request.query.get(name)
    if given is None:
        return None
    try:
        date = datetime.fromisoformat(given)
    except ValueError:
        raise _invalid(name, f"{given!r} is no ISO 8601 timestamp") from None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _key_values(data: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": text} for key, text in data.items()]


def _full(document: dict[str, Any]) -> dict[str, Any]:
    """Without the members that say nothing: the service leaves them out."""
    return {name: member for name, member in document.items() if member not in (None, [])}
