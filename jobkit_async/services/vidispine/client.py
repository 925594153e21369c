"""The client of Vidispine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

from jobkit_async.auth import basic
from jobkit_async.caller import Caller
from jobkit_async.checks import check_flag
from jobkit_async.endpoint import Endpoint
from jobkit_async.hooks import Hooks
from jobkit_async.options import Limits, Retry, Timeout
from jobkit_async.paging import all_items
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Source
from jobkit_async.service import ServiceClient
from jobkit_async.services.vidispine import models
from jobkit_async.services.vidispine.api import VidispineJobsApi
from jobkit_async.services.vidispine.job import VidispineJob
from jobkit_async.services.vidispine.source import VidispineSource

if TYPE_CHECKING:
    import aiohttp

__all__ = ["VidispineClient"]


class VidispineClient(ServiceClient[VidispineJob, models.JobType]):
    """A client of Vidispine (VidiCore); use it with ``async with``.

    Args:
        username: Name of the user.
        password: The user's password.
        all_users: Whether waiting may look at the jobs of all users, and not only at those that
            this user has started.
        base_url: Where the service is, such as ``https://vidispine.example/API``.
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

    service = "vidispine"
    default_base_url = "http://localhost:8080/API"
    _job_class = VidispineJob
    _credentials: ClassVar[tuple[str, ...]] = ("username", "password")

    def __init__(
        self,
        *,
        username: str,
        password: str,
        all_users: bool = False,
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
        self._all_users = check_flag("all_users", all_users)
        super().__init__(
            auth=basic(username, password),
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

    def _make_source(self, caller: Caller) -> Source[models.JobType]:
        return VidispineSource(caller, all_users=self._all_users)

    def _shows_all(self, row: Endpoint, arguments: tuple[Any, ...]) -> bool:
        names = [param.name for param in row.params]
        return "metadata" in names and arguments[names.index("metadata")] is True

    @property
    def jobs(self) -> VidispineJobsApi:
        """The operations of the JobApi page."""
        return VidispineJobsApi(self)

    def job(self, job_id: str) -> VidispineJob:
        """A handle of a job whose id is known. No I/O.

        Raises:
            InvalidArgument: That is no id.
        """
        return self._handle(self._record_of(self._key_of(job_id)))

    async def iter_jobs(
        self,
        *,
        jobmetadata: Sequence[str] | None = None,
        field: Sequence[str] | None = None,
        starttime_to: str | None = None,
        user: bool | None = None,
        type: Sequence[str] | None = None,  # noqa: A002 - the service's word
        starttime_from: str | None = None,
        step: bool | None = None,
        state: Sequence[str] | None = None,
        sort: str = "jobId asc",
        metadata: bool | None = None,
        finishtime_from: str | None = None,
        finishtime_to: str | None = None,
    ) -> AsyncGenerator[VidispineJob, None]:
        """All jobs that match, page by page, each of them once.

        No job is left out that matches from first to last, though others come and go, as long as
        the jobs keep their order: an id never changes, a state does. Jobs that come to match, or
        cease to, while the pages are read may be among them or not; so it is with jobs that are
        equal by ``sort`` if the service does not keep their order.

        Args:
            jobmetadata: As for ``jobs.get_jobs``, and so are all the others.
            field: Names of the metadata to include.
            starttime_to: Only jobs that started at or before this moment.
            user: Whether to leave out the jobs of other users; by default unless the client was
                made with ``all_users``.
            type: Only jobs of these types.
            starttime_from: Only jobs that started at or after this moment.
            step: Whether to include the log of steps.
            state: Only jobs in these states.
            sort: What to sort by; by id by default.
            metadata: Whether to include the metadata of the jobs.
            finishtime_from: Only jobs that ended at or after this moment.
            finishtime_to: Only jobs that ended at or before this moment.

        Raises:
            JobkitError: A page could not be read.
        """
        own = False if user is None and self._all_users else user

        async def fetch(offset: int, limit: int) -> tuple[Sequence[VidispineJob], int | None]:
            page = await self.jobs.get_jobs(
                jobmetadata=jobmetadata,
                field=field,
                starttime_to=starttime_to,
                user=own,
                first=offset + 1 if offset else None,
                type=type,
                starttime_from=starttime_from,
                step=step,
                number=limit,
                state=state,
                sort=sort,
                metadata=metadata,
                finishtime_from=finishtime_from,
                finishtime_to=finishtime_to,
            )
            return page, page.total

        async with aclosing(all_items(fetch, lambda job: job.id)) as found:
            async for job in found:
                yield job
