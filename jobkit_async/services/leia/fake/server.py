"""The server: routes, credentials, and what each operation does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, Final, Literal

from aiohttp import web

from jobkit_async.fakes.server import FakeServer, Handler, Refusal
from jobkit_async.fakes.timeline import Timeline
from jobkit_async.services.leia import models
from jobkit_async.services.leia.fake.arguments import (
    MODEL_QUERY,
    check_word,
    flag_from,
    model_attributes,
    read_arguments,
    read_object,
)
from jobkit_async.services.leia.fake.documents import (
    APPLICATION_ID,
    application_document,
    fields_of,
    job_document,
    model_document,
    part_document,
    prediction,
    result_document,
)
from jobkit_async.services.leia.fake.jobs import OVER, TRAIN, FakeLeiaJob, FakeLeiaModel, settle
from jobkit_async.services.leia.fake.listing import find_jobs, find_models, page_of
from jobkit_async.services.leia.fake.rules import read_rules
from jobkit_async.states import JobState

__all__ = ["FakeLeia"]

S = models.Statuses

_CONDITIONAL: Final = "conditional"


class FakeLeia(FakeServer[FakeLeiaJob]):
    """An embedded Leia server with one application, an admin.

    Every document id is taken for an existing document, every application id in a path for an
    existing application. A conditional job runs as one job: the jobs of its rules show in its
    result only. A job's callback is made once, when it has ended, to addresses on this machine; see
    ``calls``.

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
    first_steps: ClassVar[str] = """\
It has no models yet. A client makes one for the application {submitter_id}, and a job:

    application, name = "{submitter_id}", "invoices"
    model = await client.models.admin_create_model(b"...", name, application, short_name=name)
    job = await client.models.admin_apply_model_async(application, name, ["doc-1"])"""
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
        api_key = (await read_object(request)).get("api_key")
        if not isinstance(api_key, str):
            raise Refusal(400, "'api_key' is a required property")
        if api_key != self.api_key:
            raise Refusal(403, "bad api key")
        token = f"tok-{self._id()}"
        self._tokens.add(token)
        return web.json_response(
            {"token": token, "application": application_document(self.api_key)}
        )

    async def _whoami(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(application_document(self.api_key))

    # -- handlers: jobs

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        job = self._find_job(request)
        now = self.clock.time()
        if job.timeline.status(now) in OVER:
            raise Refusal(404, "job not found, or over already")
        job.timeline.go(now, (0.0, S.CANCELED))
        self.note("cancelled", job.id)
        self._expect_ends(job, *settle(job, now))
        return web.Response(status=204)

    async def _create_conditional(self, request: web.Request) -> web.StreamResponse:
        given = await read_arguments(request, models.ConditionalBody)
        after_id = request.match_info["execute_after_id"]
        rules = read_rules(given.get("rules"))
        job = self._add_job(_CONDITIONAL, request, {**given, "execute_after_id": after_id})
        after = self.jobs[after_id]
        fields = fields_of(result_document(after, self.clock))
        job.document_ids = after.document_ids
        job.result_type = models.ResultTypes.CONDITIONAL
        job.result = {
            rule.id: [part_document(job, part, self.clock, self._id) for part in rule.parts]
            for rule in rules
            if rule.fits(fields)
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
        found = find_jobs(self.jobs, request, self.clock)
        return page_of(request.query, "job", found, self._job_document)

    async def _start(self, request: web.Request) -> web.StreamResponse:
        job = self._find_job(request)
        now = self.clock.time()
        if job.timeline.status(now) != S.BLOCKED:
            raise Refusal(404, "job not found, or not blocked")
        job.timeline.go(now, *job.steps(now))
        self.note("started", job.id)
        self._expect_ends(job, *settle(job, now))
        return web.json_response(self._job_document(job))

    # -- handlers: models

    async def _apply(self, request: web.Request) -> web.StreamResponse:
        given = await read_arguments(request, models.ApplyBody)
        document_ids = request.match_info["document_ids"].split(",")
        if given.get("tag") is not None and len(document_ids) > 1:
            raise Refusal(400, "with a tag, exactly one document id is expected")
        if given.get("page_range") is not None and given.get("execute_after_id") is None:
            raise Refusal(400, "page_range needs execute_after_id")
        check_word(given.get("format_type"), models.FormatTypes)
        model = self._find_model(request, by_short_name=True)
        job = self._add_job(models.JobTypes.PREDICT, request, given, model=model)
        job.document_ids = document_ids
        job.result_type, job.result = prediction(given.get("format_type"), document_ids)
        return web.json_response(self._job_document(job))

    async def _create_model(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if request.content_type != "application/octet-stream":
            raise Refusal(415, "application/octet-stream expected")
        if not query.get("name"):
            raise Refusal(400, "Missing query parameter 'name'")
        attributes = model_attributes(request)
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
        attributes = model_attributes(request)
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
        found = find_models(self.models, request, self.clock)
        return page_of(request.query, "model", found, self._model_document)

    async def _tag(self, request: web.Request) -> web.StreamResponse:
        model, tag = self._find_model(request), request.match_info["tag"]
        if tag not in model.tags:
            model.tags.append(tag)
            self.note("tagged", model.id, tag=tag)
        return web.json_response(self._model_document(model))

    async def _train(self, request: web.Request) -> web.StreamResponse:
        given = await read_arguments(request, models.TrainBody, MODEL_QUERY)
        attributes = model_attributes(request)
        attributes["name"] = given.get("model_name") or request.match_info["model_module"]
        job = self._add_job(TRAIN, request, given)
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

    # -- helpers

    def _job_document(self, job: FakeLeiaJob) -> dict[str, Any]:
        return job_document(job, self.clock, tells_submitter=self._tells_submitter)

    def _model_document(self, model: FakeLeiaModel) -> dict[str, Any]:
        return model_document(model, self.clock)

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
        blocked = flag_from(given.get("block_processing") or False)
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
            callback_headers=given.get("callback_headers") or {},
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
        self._expect_ends(job)
        return job

    def _expect_ends(self, *jobs: FakeLeiaJob) -> None:
        """Have callbacks made of jobs whose future has changed, where they are asked for."""
        for job in jobs:
            at, status = job.timeline.at(math.inf)
            if job.callback_url is not None and status in OVER:
                self.calls.at(at, partial(self._call_back, job, job.callback_url))

    def _call_back(self, job: FakeLeiaJob, url: str) -> None:
        if job.called_back or job.timeline.status(self.clock.time()) not in OVER:
            return  # it has been planned anew, and another time is set
        job.called_back = True
        self.calls.make(job.id, url, lambda: self._job_document(job), job.callback_headers)
