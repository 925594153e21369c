# Generated from jobkit_async.services.vidispine.endpoints: change that, not this, and run
#     python -m jobkit_async.codegen jobkit_async.services.vidispine.endpoints
# ruff: noqa: A002 - parameters are named as the service names them
"""The API classes of vidispine, generated from its endpoint table."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit_async.joblist import JobList
from jobkit_async.service import ServiceApi

from . import endpoints, models
from .job import VidispineJob

__all__ = [
    "VidispineJobsApi",
]


class VidispineJobsApi(ServiceApi[VidispineJob]):
    """The operations of Vidispine's JobApi page."""

    __slots__ = ()

    async def abort_job(
        self, job_id: str, *, reason: str | None = None, cleanup: bool | None = None
    ) -> None:
        """Abort a job; it stays on record.

        The service only marks the job: right after this it is likely to be ``ABORTED_PENDING``. A
        job that has not started yet becomes ``ABORTED`` at once with ``cleanup=False``.

        Args:
            job_id: Id of the job, such as ``VX-21``.
            reason: Why, for people.
            cleanup: Whether to run the cleanup steps; a job that runs already cannot skip them. The
                service assumes True.
        """
        await self._none(endpoints.ABORT_JOB, job_id, reason, cleanup)

    async def create_custom_job(
        self,
        type: str,
        simple_metadata_type: models.SimpleMetadataType,
        *,
        jobmetadata: Sequence[str] | None = None,
        notification_data: str | None = None,
        priority: str | None = None,
        notification: str | None = None,
    ) -> VidispineJob:
        """Start a job of any type.

        Where a key stands in the document and in ``jobmetadata``, the document wins.

        Args:
            type: Name of the job type. Known words: ``models.JobTypeName``.
            simple_metadata_type: Metadata for the job; ``SimpleMetadataType()`` where there is
                nothing to say.
            jobmetadata: More metadata, each ``key=value``.
            notification_data: Text that is passed along with notifications about this job.
            priority: Priority of the job. Known words: ``models.Priority``. The service assumes
                ``MEDIUM``.
            notification: Id of the placeholder notification to use for this job.

        Returns:
            A handle on the job.

        Raises:
            BadRequest: The type, the priority or the metadata are not what the service takes.
            OutcomeUnknown: The answer was lost; get_jobs(type=[...], sort='jobId desc') shows the
                job if it was created.
        """
        return await self._job(
            endpoints.CREATE_CUSTOM_JOB,
            type,
            simple_metadata_type,
            jobmetadata,
            notification_data,
            priority,
            notification,
        )

    async def create_duplicate_job(
        self, job_id: str, *, priority: str | None = None
    ) -> VidispineJob:
        """Start a new job that does the same as an existing one.

        What comes back is the new job, with an id of its own. The old job stays as it is.

        Args:
            job_id: Id of the job to run again.
            priority: Priority of the new job; that of the old job where it is not given. Known
                words: ``models.Priority``.

        Returns:
            A handle on the job.

        Raises:
            OutcomeUnknown: The answer was lost; get_jobs(sort='jobId desc') shows the new job if it
                was created.
        """
        return await self._job(endpoints.CREATE_DUPLICATE_JOB, job_id, priority)

    async def delete_jobs(self, id: Sequence[str]) -> None:
        """Delete jobs and all that is recorded about them.

        Args:
            id: Ids of the jobs.
        """
        await self._none(endpoints.DELETE_JOBS, id)

    async def get_all_job_problems(self) -> models.JobProblemListType:
        """List the unsolved problems, each with the jobs that wait for it.

        Returns:
            Problems that are not solved yet.
        """
        value: models.JobProblemListType = await self._value(endpoints.GET_ALL_JOB_PROBLEMS)
        return value

    async def get_job(
        self, job_id: str, *, field: Sequence[str] | None = None, metadata: bool | None = None
    ) -> VidispineJob:
        """Read one job.

        ``data`` stays empty unless ``metadata`` or ``field`` asks for it.

        Args:
            job_id: Id of the job, such as ``VX-21``.
            field: Names of the metadata to include.
            metadata: Whether to include the job's metadata. The service assumes False.

        Returns:
            A handle on the job.
        """
        return await self._job(endpoints.GET_JOB, job_id, field, metadata)

    async def get_job_problems(self, job_id: str) -> models.JobProblemListType:
        """List the unsolved problems that affect one job.

        Args:
            job_id: Id of the job, such as ``VX-21``.

        Returns:
            Problems that are not solved yet.
        """
        value: models.JobProblemListType = await self._value(endpoints.GET_JOB_PROBLEMS, job_id)
        return value

    async def get_job_types(self) -> models.URIListType:
        """List the job types that the service knows.

        Returns:
            A list of names.
        """
        value: models.URIListType = await self._value(endpoints.GET_JOB_TYPES)
        return value

    async def get_jobs(
        self,
        *,
        jobmetadata: Sequence[str] | None = None,
        field: Sequence[str] | None = None,
        starttime_to: str | None = None,
        user: bool | None = None,
        first: int | None = None,
        type: Sequence[str] | None = None,
        starttime_from: str | None = None,
        step: bool | None = None,
        idonly: bool | None = None,
        number: int | None = None,
        state: Sequence[str] | None = None,
        sort: str | None = None,
        metadata: bool | None = None,
        finishtime_from: str | None = None,
        finishtime_to: str | None = None,
    ) -> JobList[VidispineJob]:
        """List jobs, your own unless said otherwise.

        Pages shift while jobs come and go, so the same job can stand on two of them. The order is
        not specified unless ``sort`` gives one. ``total`` of the result counts the matches on all
        pages.

        Args:
            jobmetadata: Only jobs with all of these metadata, each ``key=value``.
            field: Names of the metadata to include.
            starttime_to: Only jobs that started at or before this moment, as ISO 8601 text.
            user: Whether to leave out the jobs of other users. The service assumes True.
            first: Position of the first job to return, from 1. The service assumes 1.
            type: Only jobs of these types. Known words: ``models.JobTypeName``. The service assumes
                ``all``.
            starttime_from: Only jobs that started at or after this moment, as ISO 8601 text.
            step: Whether to include the log of steps. The service assumes False.
            idonly: Whether to return the ids and nothing else. The service assumes False.
            number: The most jobs to return, 1 or more. The service assumes 100.
            state: Only jobs in these states. Known words: ``models.JobStatus``. The service assumes
                ``all``.
            sort: What to sort by: ``jobId``, ``type``, ``state``, ``user``, ``startTime`` or
                ``priority``, each followed by `` asc`` or `` desc``, joined by commas.
            metadata: Whether to include the metadata of the jobs. The service assumes False.
            finishtime_from: Only jobs that ended at or after this moment, as ISO 8601 text.
            finishtime_to: Only jobs that ended at or before this moment, as ISO 8601 text.

        Returns:
            Handles on the jobs; ``total`` is the number of matches.
        """
        return await self._jobs(
            endpoints.GET_JOBS,
            jobmetadata,
            field,
            starttime_to,
            user,
            first,
            type,
            starttime_from,
            step,
            idonly,
            number,
            state,
            sort,
            metadata,
            finishtime_from,
            finishtime_to,
        )

    async def update_job(self, job_id: str, *, priority: str | None = None) -> None:
        """Change the priority of a job.

        Without ``priority`` the service may set its default, ``MEDIUM``.

        Args:
            job_id: Id of the job, such as ``VX-21``.
            priority: The new priority. Known words: ``models.Priority``. The service assumes
                ``MEDIUM``.
        """
        await self._none(endpoints.UPDATE_JOB, job_id, priority)
