"""The client of Gridbatch."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, ClassVar, Final, Unpack

from jobkit_async.auth import bearer
from jobkit_async.caller import Caller
from jobkit_async.endpoint import Endpoint
from jobkit_async.polling.source import Source
from jobkit_async.service import ClientOptions, ServiceClient
from jobkit_gridbatch import endpoints, models
from jobkit_gridbatch.api import GridbatchJobsApi
from jobkit_gridbatch.job import GridbatchJob
from jobkit_gridbatch.source import gridbatch_source

__all__ = ["GridbatchClient"]

PAGE: Final = 100
"""Jobs on one page of a listing."""


class GridbatchClient(ServiceClient[GridbatchJob, models.Job]):
    """A client of Gridbatch; use it with ``async with``.

    Args:
        api_key: The account's key.
        **options: As of every client; see :class:`~jobkit_async.service.ClientOptions`.
    """

    service = "gridbatch"
    default_base_url = "https://api.gridbatch.example"
    _job_class = GridbatchJob
    _credentials: ClassVar[tuple[str, ...]] = ("api_key",)

    def __init__(self, *, api_key: str, **options: Unpack[ClientOptions]) -> None:
        super().__init__(auth=bearer("api_key", api_key), **options)

    def _make_source(self, caller: Caller) -> Source[models.Job]:
        return gridbatch_source(caller)

    def _shows_all(self, row: Endpoint, arguments: tuple[Any, ...]) -> bool:
        return row is endpoints.DESCRIBE_JOBS

    @property
    def jobs(self) -> GridbatchJobsApi:
        """The operations."""
        return GridbatchJobsApi(self)

    async def iter_jobs(
        self, *, job_queue: str | None = None, job_status: str | None = None
    ) -> AsyncGenerator[GridbatchJob, None]:
        """All jobs, newest first, page by page.

        Args:
            job_queue: Only jobs of this queue.
            job_status: Only jobs of this status. Known words: ``models.JobStatus``.

        Raises:
            JobkitError: A page could not be read.
        """
        after: str | None = None
        while True:
            page = await self.jobs.list_jobs(
                job_queue=job_queue, job_status=job_status, after=after, max_results=PAGE
            )
            for job in page:
                yield job
            if len(page) < PAGE:
                return
            after = page[-1].id
