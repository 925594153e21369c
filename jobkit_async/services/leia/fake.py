"""An embedded Leia: log-in, the fifteen operations, and their error bodies.

Where the service documents nothing, the strictest reading is taken, or the choice is left to the
test: see the arguments of :class:`FakeLeia`.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, ClassVar, Final, Literal, TypeVar

import attrs
from aiohttp import web

from jobkit_async.fakes.server import FakeServer, Handler, Refusal
from jobkit_async.fakes.timeline import Plan, Timeline
from jobkit_async.services.leia import models
from jobkit_async.states import JobState

__all__ = ["FakeLeia", "FakeLeiaJob", "FakeLeiaModel"]

S = models.Statuses
T = TypeVar("T")

APPLICATION_ID: Final = "app-1"
"""Id of the one application that can log in."""
PAGE: Final = 20
"""Length of a page where no limit is given; the service's own is not documented."""
MOST: Final = 100
"""Length of the longest page, as the header ``Accept-Range`` tells it."""

_TRAIN: Final = "train"
_CONDITIONAL: Final = "conditional"
_OVER: Final = frozenset({S.PROCESSED, S.FAILED, S.CANCELED})
_JOB_FILTERS: Final = (
    "submitter_id",
    "application_id",
    "job_type",
    "model_id",
    "execute_after_id",
    "parent_job_id",
    "status",
)
_JOB_TIMES: Final = ("creation_time", "starting_time", "finished_time")
_JOB_SORT: Final = {*_JOB_FILTERS, *_JOB_TIMES, "document_ids"} - {"execute_after_id"}
_MODEL_FILTERS: Final = ("model_type", "name", "short_name")
_MODEL_SORT: Final = ("application_id", "creation_time", "name", "description", "model_type")
_MODEL_TEXTS: Final = ("name", "short_name", "description")
_MODEL_QUERY: Final = frozenset(
    {*_MODEL_TEXTS, "ttl", "tags", "allowed_application_ids", "allow_all_applications"}
)
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$in": lambda value, given: value in given,
    "$nin": lambda value, given: value not in given,
}


@attrs.define(eq=False, kw_only=True)
class FakeLeiaModel:
    """One model of the embedded server.

    ``trained_by`` is the job whose result it is: there is no model until that job is processed.
    """

    id: str
    name: str
    application_id: str
    created: float
    contents: bytes = attrs.field(repr=False)
    short_name: str | None = None
    description: str | None = None
    model_type: str = models.ModelTypes.KEY_VALUE_EXTRACTION
    model_module: str = "leia.models.generic"
    input_types: list[str] = attrs.field(factory=lambda: [str(models.ModelInputTypes.IMAGE)])
    tags: list[str] = attrs.field(factory=list)
    ttl: int = 200
    allowed_application_ids: list[str] = attrs.field(factory=list)
    allow_all_applications: bool = False
    trained_by: FakeLeiaJob | None = attrs.field(default=None, repr=False)

    def since(self, now: float) -> float | None:
        """Since when there is this model, as of ``now``; None if there is none yet."""
        if self.trained_by is None:
            return self.created
        return self.trained_by.timeline.since(now, S.PROCESSED)

    def usable_by(self, application_id: str) -> bool:
        """Whether an application owns it, or is allowed to use it."""
        return (
            self.allow_all_applications
            or application_id == self.application_id
            or application_id in self.allowed_application_ids
        )


@attrs.define(eq=False, kw_only=True)
class FakeLeiaJob:
    """One job of the embedded server.

    ``model`` is what it applies or trains, ``after`` the job that must be processed first, and
    ``dependents`` are the jobs that wait for this one.
    """

    id: str
    job_type: str
    submitter_id: str
    application_id: str
    document_ids: list[str]
    created: float
    plan: Plan
    timeline: Timeline
    model: FakeLeiaModel | None = attrs.field(default=None, repr=False)
    after: FakeLeiaJob | None = attrs.field(default=None, repr=False)
    dependents: list[FakeLeiaJob] = attrs.field(factory=list, repr=False)
    parent_job_id: str | None = None
    callback_url: str | None = None
    page_range: str | None = None
    model_params: dict[str, Any] = attrs.field(factory=dict)
    result_type: str | None = None
    result: Any = attrs.field(default=None, repr=False)

    @property
    def model_id(self) -> str | None:
        """Id of the model that it applies; a training applies none."""
        return None if self.model is None or self.job_type == _TRAIN else self.model.id

    @property
    def execute_after_id(self) -> str | None:
        """Id of the job that must be processed first."""
        return None if self.after is None else self.after.id

    def steps(self, now: float) -> list[tuple[float, str]]:
        """What will become of it from ``now`` on, as steps of a timeline; the first has no delay.

        A job that waits for another one learns its future from that one's plan. Where that one
        waits too, or is blocked, the future is open until :meth:`FakeLeia._settle` is called.
        """
        wait, came_to = 0.0, str(S.PROCESSED)
        if self.after is not None:
            at, came_to = self.after.timeline.at(math.inf)
            if came_to not in _OVER:
                return [(0.0, S.WAITING)]
            wait = max(0.0, at - now)
        steps: list[tuple[float, str]] = [(0.0, S.WAITING)] if wait else []
        if came_to != S.PROCESSED:
            return [*steps, (wait, S.FAILED)]
        running = self.plan.running
        return [
            *steps,
            (wait, S.READY),
            (self.plan.queued, S.STARTING),
            (running * 0.05, S.LOADING_MODEL),
            (running * 0.05, S.PROCESSING),
            (running * 0.9, S.FAILED if self.plan.outcome == "failure" else S.PROCESSED),
        ]


class FakeLeia(FakeServer[FakeLeiaJob]):
    """An embedded Leia server with one application, an admin.

    Every document id is taken for an existing document, every application id in a path for an
    existing application. Callbacks are noted in the job and never made. A conditional job runs as
    one job: the jobs of its rules show in its result only.

    Args:
        api_key: The key that it accepts at log-in.
        token: A token that is good without a log-in, until :meth:`expire_tokens`.
        submitter_id: The submitter of every job. By default the application that logs in; the
            service does not document that it always is.
        tells_submitter: Whether jobs tell their submitter, which not all servers do.
        unknown_ids: What an unknown id does to a request for statuses, which the service does not
            document: ``"omit"`` leaves it out, ``"404"`` refuses the whole request.
        max_url: Bytes of path and query beyond which the answer is 414.
        **options: As for :class:`~jobkit_async.fakes.server.FakeServer`.

    Attributes:
        models: The models by id. A deleted one is gone; a trained one is there from the start,
            and shows once its job is processed.
    """

    service: ClassVar[str] = "leia"
    prefix: ClassVar[str] = "/leia/1.0.0"
    states: ClassVar[Mapping[str, JobState]] = {
        S.BLOCKED: JobState.NEEDS_INPUT,
        S.WAITING: JobState.PENDING,
        S.READY: JobState.PENDING,
        S.STARTING: JobState.RUNNING,
        S.LOADING_MODEL: JobState.RUNNING,
        S.PROCESSING: JobState.RUNNING,
        S.PROCESSED: JobState.SUCCEEDED,
        S.FAILED: JobState.FAILED,
        S.CANCELED: JobState.CANCELLED,
    }

    def __init__(
        self,
        *,
        api_key: str = "leia-key",
        token: str = "leia-token",  # noqa: S107 - opens nothing but this server
        submitter_id: str = APPLICATION_ID,
        tells_submitter: bool = True,
        unknown_ids: Literal["omit", "404"] = "omit",
        max_url: int = 8000,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.api_key = api_key
        self.models: dict[str, FakeLeiaModel] = {}
        self._tokens = {token}
        self._submitter_id = submitter_id
        self._tells_submitter = tells_submitter
        self._unknown_ids = unknown_ids
        self._max_url = max_url

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        job = "/admin/{submitter_id}/job/{job_id}"
        after = "/admin/{application_id}/job/conditional/{execute_after_id}"
        every = "/admin/{application_id}/model"
        model = every + "/{model_id}"
        train = every + "/{model_module}/train/{documents_tag}"
        return [
            ("login", "POST", "/login", self._login),
            ("whoami", "GET", "/whoami", self._whoami),
            ("admin_cancel_job", "DELETE", job, self._cancel),
            ("admin_create_conditional_job", "POST", after, self._create_conditional),
            ("admin_get_job", "GET", job, self._get_job),
            ("admin_get_job_statuses", "GET", job + "/status", self._get_statuses),
            ("admin_get_jobs", "GET", "/admin/job", self._get_jobs),
            ("admin_start_job", "POST", job + "/start", self._start),
            ("admin_apply_model_async", "POST", model + "/apply/{document_ids}", self._apply),
            ("admin_create_model", "POST", every, self._create_model),
            ("admin_delete_model", "DELETE", model, self._delete_model),
            ("admin_edit_model", "PATCH", model, self._edit_model),
            ("admin_get_model", "GET", model, self._get_model),
            ("admin_get_model_contents", "GET", model + "/file_contents", self._get_contents),
            ("admin_get_models", "GET", "/admin/model", self._get_models),
            ("admin_tag_model", "POST", model + "/tag/{tag}", self._tag),
            ("admin_train_model_async", "POST", train, self._train),
            ("admin_untag_model", "DELETE", model + "/tag/{tag}", self._untag),
        ]

    def refuse(self, refusal: Refusal) -> web.Response:
        return web.json_response(
            {
                "detail": refusal.reason,
                "status": refusal.status,
                "title": HTTPStatus(refusal.status).phrase,
                "type": "about:blank",
            },
            status=refusal.status,
            headers=refusal.headers,
            content_type="application/problem+json",
        )

    def authorize(self, request: web.Request, operation: str) -> None:
        if len(request.raw_path.encode()) > self._max_url:
            raise Refusal(414, "the URL is too long")
        if operation != "login" and request.headers.get("token") not in self._tokens:
            raise Refusal(401, "not logged in, or not an admin")

    def expire_tokens(self) -> None:
        """Make all tokens invalid, the one given at the start too; a log-in gives a new one."""
        self._tokens.clear()

    def add_model(
        self,
        name: str,
        contents: bytes = b"",
        *,
        application_id: str = APPLICATION_ID,
        **attributes: Any,
    ) -> FakeLeiaModel:
        """Add a model, as an upload does, but without a request.

        Args:
            name: Its name.
            contents: Its file.
            application_id: The application that owns it.
            **attributes: Further attributes of :class:`FakeLeiaModel`, such as ``short_name``.

        Returns:
            The model, with a new id.
        """
        model = FakeLeiaModel(
            id=self._id(),
            name=name,
            application_id=application_id,
            created=self.clock.time(),
            contents=contents,
            **attributes,
        )
        self.models[model.id] = model
        # That a trained model comes to be is known once its job has ended, and not noted here.
        if model.trained_by is None:
            self.note("model_created", model.id, name=name)
        return model

    # -- handlers: log-in

    async def _login(self, request: web.Request) -> web.StreamResponse:
        api_key = (await self._json(request)).get("api_key")
        if not isinstance(api_key, str):
            raise Refusal(400, "'api_key' is a required property")
        if api_key != self.api_key:
            raise Refusal(403, "bad api key")
        token = f"tok-{self._id()}"
        self._tokens.add(token)
        return web.json_response({"token": token, "application": self._application()})

    async def _whoami(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._application())

    # -- handlers: jobs

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        job = self._find_job(request)
        now = self.clock.time()
        if job.timeline.status(now) in _OVER:
            raise Refusal(404, "job not found, or over already")
        job.timeline.go(now, (0.0, S.CANCELED))
        self.note("cancelled", job.id)
        self._settle(job, now)
        return web.Response(status=204)

    async def _create_conditional(self, request: web.Request) -> web.StreamResponse:
        given = await self._given(request, models.ConditionalBody)
        after_id = request.match_info["execute_after_id"]
        if not isinstance(given.get("rules") or {}, dict):
            raise Refusal(400, "rules are an object")
        rules = [(rule_id, *_rule(rule)) for rule_id, rule in (given.get("rules") or {}).items()]
        job = self._add_job(_CONDITIONAL, request, {**given, "execute_after_id": after_id})
        after = self.jobs[after_id]
        fields = _fields(self._result(after))
        job.document_ids = after.document_ids
        job.result_type = models.ResultTypes.CONDITIONAL
        job.result = {
            rule_id: [self._part(job, part) for part in parts]
            for rule_id, conditions, parts in rules
            if all(name in fields and _holds(fields[name], wanted) for name, wanted in conditions)
        }
        return web.json_response(self._job_document(job))

    async def _get_job(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._job_document(self._find_job(request)))

    async def _get_statuses(self, request: web.Request) -> web.StreamResponse:
        now = self.clock.time()
        statuses: dict[str, str] = {}
        for job_id in request.match_info["job_id"].split(","):
            job = self.jobs.get(job_id)
            if job is not None and job.submitter_id == request.match_info["submitter_id"]:
                statuses[job_id] = job.timeline.status(now)
            elif self._unknown_ids == "404":
                raise Refusal(404, "job not found")
        return web.json_response(statuses)

    async def _get_jobs(self, request: web.Request) -> web.StreamResponse:
        query, now = request.query, self.clock.time()
        _check_word(query.get("job_type"), models.JobTypes)
        _check_word(query.get("status"), S)
        wanted = [(name, query[name]) for name in _JOB_FILTERS if name in query]
        document_id = query.get("document_id")
        created = self._created(query)
        # The listing of one job stands in for reading it, so it does not look at all of them.
        some: Iterable[FakeLeiaJob] = self.jobs.values()
        if "job_id" in query:
            some = [job for job in [self.jobs.get(query["job_id"])] if job is not None]
        found = [
            job
            for job in some
            if all(_job_field(job, name, now) == value for name, value in wanted)
            and (document_id is None or document_id in job.document_ids)
            and created(job.created)
        ]
        _sort(query, _JOB_SORT, found, lambda job, name: _job_field(job, name, now))
        return _page(query, "job", found, self._job_document)

    async def _start(self, request: web.Request) -> web.StreamResponse:
        job = self._find_job(request)
        now = self.clock.time()
        if job.timeline.status(now) != S.BLOCKED:
            raise Refusal(404, "job not found, or not blocked")
        job.timeline.go(now, *job.steps(now))
        self.note("started", job.id)
        self._settle(job, now)
        return web.json_response(self._job_document(job))

    # -- handlers: models

    async def _apply(self, request: web.Request) -> web.StreamResponse:
        given = await self._given(request, models.ApplyBody)
        document_ids = request.match_info["document_ids"].split(",")
        if given.get("tag") is not None and len(document_ids) > 1:
            raise Refusal(400, "with a tag, exactly one document id is expected")
        if given.get("page_range") is not None and given.get("execute_after_id") is None:
            raise Refusal(400, "page_range needs execute_after_id")
        _check_word(given.get("format_type"), models.FormatTypes)
        model = self._find_model(request, by_short_name=True)
        job = self._add_job(models.JobTypes.PREDICT, request, given, model=model)
        job.document_ids = document_ids
        job.result_type, job.result = _prediction(given.get("format_type"), document_ids)
        return web.json_response(self._job_document(job))

    async def _create_model(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if request.content_type != "application/octet-stream":
            raise Refusal(415, "application/octet-stream expected")
        if not query.get("name"):
            raise Refusal(400, "Missing query parameter 'name'")
        attributes = self._attributes(request)
        contents = await request.read()
        if not contents:
            raise Refusal(400, "the body is no model")
        model = self.add_model(
            contents=contents,
            application_id=request.match_info["application_id"],
            tags=query.getall("tags", []),
            **attributes,
        )
        return web.json_response(self._model_document(model))

    async def _delete_model(self, request: web.Request) -> web.StreamResponse:
        model = self._find_model(request)
        del self.models[model.id]
        self.note("model_deleted", model.id)
        return web.Response(status=204)

    async def _edit_model(self, request: web.Request) -> web.StreamResponse:
        model = self._find_model(request)
        attributes = self._attributes(request)
        for name, given in attributes.items():
            setattr(model, name, given)
        self.note("model_edited", model.id, **attributes)
        return web.json_response(self._model_document(model))

    async def _get_model(self, request: web.Request) -> web.StreamResponse:
        model = self._find_model(request, by_short_name=True)
        return web.json_response(self._model_document(model))

    async def _get_contents(self, request: web.Request) -> web.StreamResponse:
        model = self._find_model(request, by_short_name=True)
        return web.Response(body=model.contents, content_type="application/octet-stream")

    async def _get_models(self, request: web.Request) -> web.StreamResponse:
        query, now = request.query, self.clock.time()
        _check_word(query.get("model_type"), models.ModelTypes)
        for word in query.getall("input_types", []):
            _check_word(word, models.ModelInputTypes)
        wanted = [(name, query[name]) for name in _MODEL_FILTERS if name in query]
        owner = query.get("application_id")
        only_mine = _flag(query.get("only_mine", False))
        created = self._created(query)

        def fits(model: FakeLeiaModel) -> bool:
            since = model.since(now)
            if since is None or not created(since):
                return False
            if only_mine and model.application_id != (owner or APPLICATION_ID):
                return False
            return (
                query.get("model_id") in (None, model.id)
                and (owner is None or model.usable_by(owner))
                and all(getattr(model, name) == value for name, value in wanted)
                and query.get("description", "") in (model.description or "")
                and set(query.getall("input_types", [])) <= set(model.input_types)
                and set(query.getall("tags", [])) <= set(model.tags)
            )

        def field(model: FakeLeiaModel, name: str) -> Any:
            return model.since(now) if name == "creation_time" else getattr(model, name)

        found = [model for model in self.models.values() if fits(model)]
        _sort(query, _MODEL_SORT, found, field)
        return _page(query, "model", found, self._model_document)

    async def _tag(self, request: web.Request) -> web.StreamResponse:
        model, tag = self._find_model(request), request.match_info["tag"]
        if tag not in model.tags:
            model.tags.append(tag)
            self.note("tagged", model.id, tag=tag)
        return web.json_response(self._model_document(model))

    async def _train(self, request: web.Request) -> web.StreamResponse:
        given = await self._given(request, models.TrainBody, _MODEL_QUERY)
        attributes = self._attributes(request)
        attributes["name"] = given.get("model_name") or request.match_info["model_module"]
        job = self._add_job(_TRAIN, request, given)
        job.model = self.add_model(
            contents=b"PK\x05\x06" + bytes(18),  # an empty ZIP archive
            application_id=job.application_id,
            model_module=request.match_info["model_module"],
            tags=request.query.getall("tags", []),
            trained_by=job,
            **attributes,
        )
        job.result_type = models.ResultTypes.MODEL
        return web.json_response(self._job_document(job))

    async def _untag(self, request: web.Request) -> web.StreamResponse:
        model, tag = self._find_model(request), request.match_info["tag"]
        if tag not in model.tags:
            raise Refusal(404, "the model has no such tag")
        model.tags.remove(tag)
        self.note("untagged", model.id, tag=tag)
        return web.Response()

    # -- helpers: what came

    @staticmethod
    async def _json(request: web.Request) -> dict[str, Any]:
        if not request.body_exists:
            return {}
        if request.content_type != "application/json":
            raise Refusal(415, "application/json expected")
        try:
            document = await request.json()
        except ValueError:
            raise Refusal(400, "the body is no JSON") from None
        if document is not None and not isinstance(document, dict):
            raise Refusal(400, "the body is no JSON object")
        return document or {}

    async def _given(
        self, request: web.Request, model: type, more: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """What body and query say. Which of them wins is not documented; here the query does.

        A query parameter that is no own one of the operation is a member of ``model_params``:
        that is how the service's OpenAPI document writes an object in a query.
        """
        said = await self._json(request)
        own = more.union(field.name for field in attrs.fields(model))
        loose = {name: text for name, text in request.query.items() if name not in own}
        model_params = {**(said.get("model_params") or {}), **loose}
        return {**said, **request.query, "model_params": model_params}

    @staticmethod
    def _attributes(request: web.Request) -> dict[str, Any]:
        query = request.query
        attributes: dict[str, Any] = {name: query[name] for name in _MODEL_TEXTS if name in query}
        if "ttl" in query:
            attributes["ttl"] = _number(query["ttl"])
        if "allow_all_applications" in query:
            attributes["allow_all_applications"] = _flag(query["allow_all_applications"])
        # An empty list clears; a repeated parameter can say so by one empty value only.
        if "allowed_application_ids" in query:
            ids = query.getall("allowed_application_ids")
            attributes["allowed_application_ids"] = [text for text in ids if text]
        return attributes

    def _created(self, query: Mapping[str, str]) -> Callable[[float], bool]:
        after, before = _date(query.get("created_after")), _date(query.get("created_before"))

        def fits(created: float) -> bool:
            if after is None and before is None:
                return True
            date = self.clock.date(created)
            return (after is None or date > after) and (before is None or date < before)

        return fits

    def _find_job(self, request: web.Request) -> FakeLeiaJob:
        job = self.jobs.get(request.match_info["job_id"])
        if job is None:
            raise Refusal(404, "job not found")
        if job.submitter_id != request.match_info["submitter_id"]:
            raise Refusal(403, "not the owner of the job")
        return job

    def _find_model(self, request: web.Request, *, by_short_name: bool = False) -> FakeLeiaModel:
        owner, key = request.match_info["application_id"], request.match_info["model_id"]
        some: Iterable[FakeLeiaModel] = [self.models[key]] if key in self.models else []
        if not some and by_short_name:
            some = (model for model in self.models.values() if model.short_name == key)
        now = self.clock.time()
        for model in some:
            if model.application_id == owner and model.since(now) is not None:
                return model
        raise Refusal(404, "model not found")

    # -- helpers: what becomes of it

    def _id(self) -> str:
        return f"{self._rng.getrandbits(96):024x}"

    def _add_job(
        self,
        job_type: str,
        request: web.Request,
        given: Mapping[str, Any],
        *,
        model: FakeLeiaModel | None = None,
    ) -> FakeLeiaJob:
        after_id = given.get("execute_after_id")
        if after_id is not None and after_id not in self.jobs:
            raise Refusal(404, "job to execute after not found")
        blocked = _flag(given.get("block_processing") or False)
        now = self.clock.time()
        job = FakeLeiaJob(
            id=self._id(),
            job_type=job_type,
            submitter_id=self._submitter_id,
            application_id=request.match_info["application_id"],
            document_ids=[],
            created=now,
            plan=self.plan(job_type),
            timeline=Timeline(now, S.BLOCKED),
            model=model,
            after=None if after_id is None else self.jobs[after_id],
            callback_url=given.get("callback_url"),
            page_range=given.get("page_range"),
            model_params=given["model_params"],
        )
        if not blocked:
            (_, first), *rest = job.steps(now)
            job.timeline = Timeline(now, first)
            job.timeline.go(now, *rest)
        if job.after is not None:
            job.after.dependents.append(job)
        self.jobs[job.id] = job
        self.note("created", job.id, type=job_type)
        return job

    @staticmethod
    def _settle(job: FakeLeiaJob, now: float) -> None:
        """Plan anew what waits for a job whose own future has changed."""
        some = list(job.dependents)
        while some:
            dependent = some.pop()
            if dependent.timeline.status(now) == S.WAITING:
                steps = dependent.steps(now)
                dependent.timeline.go(now, *(steps[1:] if steps[0][1] == S.WAITING else steps))
                some += dependent.dependents

    def _result(self, job: FakeLeiaJob) -> Any:
        return self._model_document(job.model) if job.job_type == _TRAIN else job.result

    def _part(self, job: FakeLeiaJob, part: Mapping[str, Any]) -> dict[str, Any]:
        document_ids = part.get("document_ids") or job.document_ids
        if part.get("job_type") != models.JobTypes.TRANSFORM:
            kind, result = _prediction(part.get("format_type"), document_ids)
            return {"result_type": kind, "result": result}
        made = [
            {
                "id": self._id(),
                "application_id": job.application_id,
                "creation_time": _iso(self.clock.date(job.created)),
                "filename": f"{document_id}.{part.get('output_type')}",
                "original_id": document_id,
            }
            for document_id in document_ids
        ]
        return {"result_type": models.ResultTypes.LIST_DOCUMENT, "result": made}

    # -- helpers: what is answered

    def _date_of(self, at: float | None) -> str | None:
        return None if at is None else _iso(self.clock.date(at))

    def _application(self) -> dict[str, Any]:
        return {
            "id": APPLICATION_ID,
            "application_name": "Embedded",
            "application_type": models.ApplicationTypes.ADMIN,
            "first_name": "Ada",
            "last_name": "Example",
            "email": "ada@leia.example",
            "api_key": self.api_key,
            "creation_time": "2018-11-07T16:02:29.761Z",
            "default_job_callback_url": None,
            "dedicated_workers": False,
            "job_counts": {},
        }

    def _job_document(self, job: FakeLeiaJob) -> dict[str, Any]:
        now = self.clock.time()
        since, status = job.timeline.at(now)
        document: dict[str, Any] = {
            "id": job.id,
            "status": status,
            "job_type": job.job_type,
            "application_id": job.application_id,
            "document_ids": job.document_ids,
            "model_id": job.model_id,
            "execute_after_id": job.execute_after_id,
            "parent_job_id": job.parent_job_id,
            "callback_url": job.callback_url,
            "page_range": job.page_range,
            "creation_time": self._date_of(job.created),
            "starting_time": self._date_of(job.timeline.since(now, S.STARTING)),
            "finished_time": self._date_of(since) if status in _OVER else None,
            "reason": None,
            "http_code": None,
            "result_type": None,
            "result": None,
            "ws_id": "ws-1",
        }
        if self._tells_submitter:
            document["submitter_id"] = job.submitter_id
        if status == S.PROCESSED:
            document |= {"result_type": job.result_type, "result": self._result(job)}
        elif status == S.FAILED and job.timeline.since(now, S.READY) is None:
            document |= {"reason": f"job {job.execute_after_id} failed", "http_code": 400}
        elif status == S.FAILED:
            document |= {"reason": job.plan.message, "http_code": 500}
        return document

    def _model_document(self, model: FakeLeiaModel | None) -> dict[str, Any]:
        if model is None:
            return {}
        since = model.since(self.clock.time())
        return {
            "id": model.id,
            "name": model.name,
            "short_name": model.short_name,
            "application_id": model.application_id,
            "model_type": model.model_type,
            "model_module": model.model_module,
            "model_clazz": "Model",
            "input_types": model.input_types,
            "output_format": ["key", "value"],
            "creation_time": self._date_of(model.created if since is None else since),
            "description": model.description,
            "size": len(model.contents),
            "md5sum": hashlib.md5(model.contents, usedforsecurity=False).hexdigest(),
            "speed": models.Speed.FAST,
            "tags": model.tags,
            "ttl": model.ttl,
            "allowed_application_ids": model.allowed_application_ids,
            "allow_all_applications": model.allow_all_applications,
        }


def _iso(date: datetime) -> str:
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(400, f"{text!r} is no date") from None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def _flag(given: object) -> bool:
    text = str(given).lower()
    if text not in ("true", "false"):
        raise Refusal(400, f"{given!r} is no boolean")
    return text == "true"


def _number(text: str, least: float = -math.inf) -> int:
    try:
        number = int(text)
    except ValueError:
        raise Refusal(400, f"{text!r} is no integer") from None
    if number < least:
        raise Refusal(400, f"{number} is less than {least}")
    return number


def _check_word(given: str | None, words: type[StrEnum]) -> None:
    if given is not None and given not in list(words):
        raise Refusal(400, f"{given!r} is not one of {[str(word) for word in words]}")


def _job_field(job: FakeLeiaJob, name: str, now: float) -> Any:
    match name:
        case "status":
            return job.timeline.status(now)
        case "creation_time":
            return job.created
        case "starting_time":
            return job.timeline.since(now, S.STARTING)
        case "finished_time":
            return job.timeline.since(now, *_OVER)
        case _:
            return getattr(job, name)


def _sort(
    query: Mapping[str, str], allowed: Iterable[str], found: list[T], field: Callable[[T, str], Any]
) -> None:
    def by(name: str) -> Callable[[T], tuple[bool, Any]]:
        def key(item: T) -> tuple[bool, Any]:
            given = field(item, name)
            return given is not None, given

        return key

    # Sorting is stable: by the last field first, by the first field last.
    for text in reversed([part for part in query.get("sort", "").split(",") if part]):
        name = text.removeprefix("-")
        if name not in allowed:
            raise Refusal(400, f"cannot sort by {name!r}")
        found.sort(key=by(name), reverse=text.startswith("-"))


def _page(
    query: Mapping[str, str], unit: str, found: list[T], document: Callable[[T], dict[str, Any]]
) -> web.Response:
    offset = _number(query.get("offset", "0"), least=0)
    limit = min(_number(query.get("limit", str(PAGE)), least=1), MOST)
    page = found[offset : offset + limit]
    headers = {"Content-Range": "0-0/0", "Accept-Range": f"{unit} {MOST}"}
    if not page:
        raise Refusal(404, f"no {unit} found", headers=headers)
    headers["Content-Range"] = f"{offset}-{offset + len(page) - 1}/{len(found)}"
    return web.json_response([document(item) for item in page], headers=headers)


def _prediction(format_type: str | None, document_ids: list[str]) -> tuple[str | None, Any]:
    """Type and value of a prediction. None of the documented types fits key-value items."""
    if format_type == models.FormatTypes.CLASSIFICATION:
        category = {"category": "invoice", "accuracy": 0.97, "score": 0.93}
        return models.ResultTypes.CLASSIFICATION, category
    return None, [{"key": "document", "value": document_id} for document_id in document_ids]


def _fields(result: Any) -> Mapping[str, Any]:
    """The fields of a result that conditions can name."""
    return result if isinstance(result, dict) else {item["key"]: item["value"] for item in result}


def _rule(rule: Any) -> tuple[list[tuple[str, Any]], list[Mapping[str, Any]]]:
    """Conditions and jobs of a rule: an object with both, or a list of jobs with conditions."""
    carriers = [rule] if isinstance(rule, dict) else rule
    parts = rule.get("jobs", []) if isinstance(rule, dict) else rule
    if not isinstance(parts, list) or not all(isinstance(x, dict) for x in [*carriers, *parts]):
        raise Refusal(400, "a rule is an object, or a list of objects")
    return [pair for one in carriers for pair in one.get("conditions", {}).items()], parts


def _holds(value: Any, condition: Any) -> bool:
    if isinstance(condition, list):
        return all(_holds(value, one) for one in condition)
    if not isinstance(condition, dict) or not condition.keys() <= _OPERATORS.keys():
        return bool(value == condition)
    try:
        return all(_OPERATORS[name](value, given) for name, given in condition.items())
    except TypeError:  # values that cannot be compared
        return False
