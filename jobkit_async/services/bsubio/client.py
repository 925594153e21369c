"""The client of bsub.io."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from jobkit_async.auth import bearer
from jobkit_async.caller import Caller
from jobkit_async.errors import JobkitError, OutcomeUnknown
from jobkit_async.hooks import Hooks
from jobkit_async.options import Limits, Retry, Timeout
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Source
from jobkit_async.service import ServiceClient
from jobkit_async.services.bsubio import models
from jobkit_async.services.bsubio.api import BsubioJobsApi
from jobkit_async.services.bsubio.job import BsubioJob
from jobkit_async.services.bsubio.source import PAGE, BsubioSource
from jobkit_async.transfer import Content, UploadBody

if TYPE_CHECKING:
    import aiohttp

__all__ = ["BsubioClient"]


class BsubioClient(ServiceClient[BsubioJob, models.Job]):
    """A client of bsub.io; use it with ``async with``.

    Args:
        api_key: An API key from the service's dashboard.
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
        allow_plain_http: Whether the key may travel over plain http to other machines.
        hooks: What to tell of requests, repetitions, looks and ends; see
            :class:`~jobkit_async.Hooks`.

    Raises:
        InvalidArgument: An argument cannot be used; the message says what is allowed.
    """

    service = "bsubio"
    default_base_url = "https://app.bsub.io"
    _job_class = BsubioJob
    _credentials: ClassVar[tuple[str, ...]] = ("api_key",)

    def __init__(
        self,
        *,
        api_key: str,
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
        super().__init__(
            auth=bearer("api_key", api_key),
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
        return BsubioSource(caller)

    @property
    def jobs(self) -> BsubioJobsApi:
        """The operations of the JobsApi page."""
        return BsubioJobsApi(self)

    def job(self, job_id: str) -> BsubioJob:
        """A handle of a job whose id is known. No I/O.

        Raises:
            InvalidArgument: That is no id.
        """
        return self._handle(self._record_of(self._key_of(job_id)))

    async def run(self, type: str, data: Content) -> BsubioJob:  # noqa: A002 - the service's word
        """Create a job, upload its data and submit it.

        If the answer to the upload or the submission is lost, the job tells whether it has arrived,
        and if so, this goes on. Nothing is sent twice.

        Args:
            type: The job type, such as ``"pdf/extract"``.
            data: Bytes, a path, a binary file, an async iterable of bytes, or an ``Upload``.

        Returns:
            A handle on the job, which is on its way.

        Raises:
            InvalidArgument: The data cannot be read; if so from the first, no job was created.
            OutcomeUnknown: An answer was lost, and the job does not show what it meant.
            JobkitError: One of the three failed. If the job has been created, a note on the error
                tells its ref: it stays there, for want of its data or of being submitted.
        """
        self._check()
        await UploadBody("data", data).check()
        job = await self.jobs.create_job(models.CreateJobRequest(type=type))
        try:
            try:
                await job.upload(data)
            except OutcomeUnknown:
                if (await job.refresh()).status in (None, models.JobStatus.CREATED):
                    raise
            try:
                await job.submit()
            except OutcomeUnknown:
                waits = (None, models.JobStatus.CREATED, models.JobStatus.LOADED)
                if (await job.refresh()).status in waits:
                    raise
        except JobkitError as error:
            error.add_note(f"The job was created, and was not seen to be on its way: {job.ref}")
            raise
        return job

    async def iter_jobs(self, *, status: str | None = None) -> AsyncGenerator[BsubioJob, None]:
        """Your own jobs, as many as the service shows.

        A listing shows at most 100 jobs, and the service has no further pages. Where there are
        more, those of each status are listed on their own, so that up to 100 of each are found.
        ``total`` of what ``jobs.list_jobs()`` returns tells how many there are.

        Args:
            status: Only jobs with this status. Known words: ``models.JobStatus``.

        Raises:
            JobkitError: A listing could not be read.
        """
        seen: set[str] = set()
        listing = await self.jobs.list_jobs(status=status, limit=PAGE)
        statuses = iter(() if status is not None else models.JobStatus)
        cut = listing.total is None or listing.total > len(listing)
        while True:
            for job in listing:
                if job.id not in seen:
                    seen.add(job.id)
                    yield job
            following = next(statuses, None) if cut and len(seen) >= PAGE else None
            if following is None:
                return
            listing = await self.jobs.list_jobs(status=following, limit=PAGE)
