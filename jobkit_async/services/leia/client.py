"""The client of Leia."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, cast

from jobkit_async.auth import Auth, LoginAuth, StaticAuth, one_of, secret
from jobkit_async.caller import Caller
from jobkit_async.hooks import Hooks
from jobkit_async.options import Limits, Retry, Timeout
from jobkit_async.paging import all_items
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Source
from jobkit_async.request import check_id
from jobkit_async.service import ServiceClient
from jobkit_async.services.leia import endpoints, models
from jobkit_async.services.leia.api import LeiaJobsApi, LeiaModelsApi
from jobkit_async.services.leia.job import LeiaJob
from jobkit_async.services.leia.models import Model
from jobkit_async.services.leia.source import LeiaSource

if TYPE_CHECKING:
    import aiohttp

__all__ = ["LeiaClient"]


class LeiaClient(ServiceClient[LeiaJob, models.Job]):
    """A client of Leia; use it with ``async with``.

    Pass either ``api_key`` or ``token``; with the former the client logs in by itself, and again
    when the token has expired. All operations need an application of type ``admin``.

    Args:
        api_key: The application's API key.
        token: A token from a log-in of your own.
        submitter_id: Id of the application that submits the jobs which this client waits for;
            by default the one that it is logged in as. It only helps to find jobs whose answers
            do not tell their submitter.
        base_url: Where the service is.
        session: Your own aiohttp session; it is neither closed nor changed.
        polling: How jobs are waited for.
        timeout: How long a call may take, as a :class:`~jobkit_async.Timeout`; or the seconds of
            one attempt, 30 by default, and for a transfer, between two signs of life.
        retry: How often a call that may be repeated is, and after what pauses.
        limits: How many requests at once, and a second; how much of an answer is held in memory.
        headers: Further headers of every request, also of log-ins and status requests.
        middlewares: aiohttp middlewares of your own around every request; they come within those
            of your session. One that sends a request again has to know which can be.
        allow_plain_http: Whether credentials may travel over plain http to other machines.
        hooks: What to tell of requests, repetitions, looks and ends; see
            :class:`~jobkit_async.Hooks`.

    Raises:
        InvalidArgument: An argument cannot be used; the message says what is allowed.
    """

    service = "leia"
    default_base_url = "https://api.leia.io/leia/1.0.0"
    _job_class = LeiaJob
    _credentials: ClassVar[tuple[str, ...]] = ("api_key", "token")
    _settings: ClassVar[tuple[str, ...]] = ("base_url", "submitter_id")

    def __init__(
        self,
        *,
        api_key: str | None = None,
        token: str | None = None,
        submitter_id: str | None = None,
        base_url: str = default_base_url,
        session: aiohttp.ClientSession | None = None,
        polling: Polling | None = None,
        timeout: float | Timeout | None = None,
        retry: Retry | None = None,
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        middlewares: Sequence[aiohttp.ClientMiddlewareType] | None = None,
        allow_plain_http: bool = False,
        hooks: Hooks | None = None,
    ) -> None:
        way = one_of({"api_key": api_key}, {"token": token})
        self._found: dict[str, str | None] = {}  # shared with all views
        self._submitter = None if submitter_id is None else check_id("submitter_id", submitter_id)

        def auth(anonymous: Caller) -> Auth:
            if way == 1:
                word = secret("token", token)
                return StaticAuth("token", word, word)
            body = models.LoginBody(api_key=secret("api_key", api_key))

            async def log_in() -> str:
                answer = cast(models.LoginToken, await anonymous.value(endpoints.LOGIN, body))
                self._found["application"] = answer.application.id
                return answer.token

            return LoginAuth("token", "", log_in, body.api_key)

        super().__init__(
            auth=auth,
            base_url=base_url,
            session=session,
            polling=polling,
            timeout=timeout,
            retry=retry,
            limits=limits,
            headers=headers,
            middlewares=middlewares,
            allow_plain_http=allow_plain_http,
            hooks=hooks,
        )

    def _make_source(self, caller: Caller) -> Source[models.Job]:
        return LeiaSource(caller, self._record_of, guess=self._scope)

    async def _scope(self) -> str | None:
        """The submitter to try for a job whose submitter is not known; may log in for it."""
        if self._submitter is not None:
            return self._submitter
        if "application" not in self._found and self._caller.auth is not None:
            await self._caller.auth.headers()
        if "application" not in self._found:
            application = cast(models.Application, await self._caller.value(endpoints.WHOAMI))
            self._found["application"] = application.id
        return self._found["application"]

    @property
    def jobs(self) -> LeiaJobsApi:
        """The operations of the JobAdminApi page."""
        return LeiaJobsApi(self)

    @property
    def models(self) -> LeiaModelsApi:
        """The operations of the ModelAdminApi page."""
        return LeiaModelsApi(self)

    def job(self, job_id: str, *, submitter_id: str | None = None) -> LeiaJob:
        """A handle of a job whose id is known. No I/O.

        Args:
            job_id: Its id.
            submitter_id: Id of the application that submitted it, if known.

        Raises:
            InvalidArgument: One of them is no id.
        """
        scope = None if submitter_id is None else check_id("submitter_id", submitter_id)
        return self._handle(self._record_of(self._key_of(job_id), scope))

    async def iter_jobs(
        self,
        *,
        submitter_id: str | None = None,
        application_id: str | None = None,
        job_type: str | None = None,
        model_id: str | None = None,
        document_id: str | None = None,
        execute_after_id: str | None = None,
        parent_job_id: str | None = None,
        status: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        sort: str = "creation_time",
    ) -> AsyncGenerator[LeiaJob, None]:
        """All jobs that match, page by page, each of them once.

        No job is left out that matches from first to last, though others come and go, as long as
        the jobs keep their order: a job's creation never changes, its status does. Jobs that come
        to match, or cease to, while the pages are read may be among them or not; so it is with
        jobs that are equal by ``sort`` if the service does not keep their order.

        Args:
            submitter_id: As for ``jobs.admin_get_jobs``, and so are all the others.
            application_id: Only jobs on documents of this application.
            job_type: Only jobs of this type.
            model_id: Only jobs that apply this model.
            document_id: Only jobs that process this document.
            execute_after_id: Only jobs that wait, or waited, for this job.
            parent_job_id: Only jobs that are a part of this job.
            status: Only jobs with this status.
            created_after: Only jobs created after this moment.
            created_before: Only jobs created before this moment.
            sort: Fields to sort by; the oldest first by default.

        Raises:
            JobkitError: A page could not be read.
        """

        async def fetch(offset: int, limit: int) -> tuple[Sequence[LeiaJob], int | None]:
            page = await self.jobs.admin_get_jobs(
                submitter_id=submitter_id,
                application_id=application_id,
                job_type=job_type,
                model_id=model_id,
                document_id=document_id,
                execute_after_id=execute_after_id,
                parent_job_id=parent_job_id,
                status=status,
                created_after=created_after,
                created_before=created_before,
                sort=sort,
                offset=offset,
                limit=limit,
            )
            return page, page.total

        async with aclosing(all_items(fetch, lambda job: job.id)) as found:
            async for job in found:
                yield job

    async def iter_models(
        self,
        *,
        application_id: str | None = None,
        model_type: str | None = None,
        name: str | None = None,
        short_name: str | None = None,
        description: str | None = None,
        input_types: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        only_mine: bool | None = None,
        sort: str = "creation_time",
    ) -> AsyncGenerator[Model, None]:
        """All models that match, page by page, each of them once.

        What is said of :meth:`iter_jobs` holds for models too. The service does not tell how many
        there are, so the last page is followed by one request more.

        Args:
            application_id: As for ``models.admin_get_models``, and so are all the others.
            model_type: Only models of this type.
            name: Only models with this name.
            short_name: Only the model with this short name.
            description: Only models whose description contains this.
            input_types: Only models that read this.
            tags: Only models with these tags.
            created_after: Only models created after this moment.
            created_before: Only models created before this moment.
            only_mine: Whether to leave out models that the application may use but does not own.
            sort: Fields to sort by; the oldest first by default.

        Raises:
            JobkitError: A page could not be read.
        """

        async def fetch(offset: int, limit: int) -> tuple[Sequence[Model], None]:
            page = await self.models.admin_get_models(
                application_id=application_id,
                model_type=model_type,
                name=name,
                short_name=short_name,
                description=description,
                input_types=input_types,
                tags=tags,
                created_after=created_after,
                created_before=created_before,
                only_mine=only_mine,
                sort=sort,
                offset=offset,
                limit=limit,
            )
            return page, None

        async with aclosing(all_items(fetch, lambda model: model.id)) as found:
            async for model in found:
                yield model
