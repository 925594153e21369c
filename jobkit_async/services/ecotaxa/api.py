# Generated from jobkit_async.services.ecotaxa.endpoints: change that, not this, and run
#     python -m jobkit_async.codegen jobkit_async.services.ecotaxa.endpoints
"""The API classes of ecotaxa, generated from its endpoint table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit_async.joblist import JobList
from jobkit_async.service import ServiceApi
from jobkit_async.transfer import Download

from . import endpoints
from .job import EcotaxaJob

__all__ = [
    "EcotaxaJobsApi",
]


class EcotaxaJobsApi(ServiceApi[EcotaxaJob]):
    """The operations of EcoTaxa's JobsApi page."""

    __slots__ = ()

    async def erase_job(self, job_id: int) -> None:
        """Kill a job that has not ended, or remove one that has.

        A killed job is not removed: it stays, in state ``E`` with the message ``Killed``, until it
        is erased once more. Read the job first to know which of the two this will be.

        Args:
            job_id: Id of the job, 1 or above.

        Raises:
            Forbidden: The job is somebody else's.
            NotFound: The job is unknown, or removed already.
            OutcomeUnknown: The answer was lost; get_job() shows the state 'E' and the message
                'Killed' if it was killed, and 404 if it was removed.
        """
        await self._none(endpoints.ERASE_JOB, job_id)

    async def get_job(self, job_id: int) -> EcotaxaJob:
        """Read one job.

        Args:
            job_id: Id of the job, 1 or above.

        Returns:
            A handle on the job.

        Raises:
            Forbidden: The job is somebody else's.
        """
        return await self._job(endpoints.GET_JOB, job_id)

    async def get_job_file(self, job_id: int) -> Download:
        """Download the file that a job has produced.

        Look at the state first: where there is no file, servers up to 2023 answer 200 with the nine
        bytes ``NOT FOUND`` as plain text.

        Args:
            job_id: Id of a job in state ``F``, 1 or more.

        Returns:
            The file; it holds a connection until it is read or closed.

        Raises:
            Forbidden: The job is somebody else's.
            ServerError: There is no such file (yet).
        """
        return await self._download(endpoints.GET_JOB_FILE, job_id)

    async def get_job_log_file(self, job_id: int) -> str:
        """Read the log of a job; it can be read while the job runs.

        Args:
            job_id: Id of the job, 1 or above.

        Returns:
            The text.

        Raises:
            Forbidden: The job is somebody else's.
            ServerError: There is no log.
        """
        return await self._text(endpoints.GET_JOB_LOG_FILE, job_id)

    async def list_jobs(self, for_admin: bool) -> JobList[EcotaxaJob]:
        """List all jobs, in no particular order.

        The service has no paging: the answer is complete, and may be large.

        Args:
            for_admin: False for your own jobs, True for those of all users.

        Returns:
            Handles on the jobs.

        Raises:
            Forbidden: Only administrators see the jobs of all users.
        """
        return await self._jobs(endpoints.LIST_JOBS, for_admin)

    async def reply_job_question(
        self, job_id: int, *, body: Mapping[str, Any] | None = None
    ) -> None:
        """Answer the question of a job that asks; it then goes on.

        Success proves nothing: a job that does not ask ignores the answer, and one that is not
        content with it asks again or fails. Read the job afterwards.

        Args:
            job_id: Id of a job in state ``A``, 1 or more.
            body: The answer; what belongs into it depends on the question.

        Raises:
            Forbidden: The job is somebody else's.
            BadRequest: The answer is no JSON object.
            OutcomeUnknown: The answer was lost; get_job() shows the answer as its reply if it
                arrived.
        """
        await self._none(endpoints.REPLY_JOB_QUESTION, job_id, body)

    async def restart_job(self, job_id: int) -> None:
        """Restart a job that has failed or was killed.

        Success proves nothing: a job in any other state stays as it is. Errors, result and progress
        of the last run stand there until the new one has something to say.

        Args:
            job_id: Id of a job in state ``E``, 1 or more.

        Raises:
            Forbidden: The job is somebody else's.
            OutcomeUnknown: The answer was lost; get_job() shows a state other than 'E', or a later
                updated_on, if it was restarted.
        """
        await self._none(endpoints.RESTART_JOB, job_id)
