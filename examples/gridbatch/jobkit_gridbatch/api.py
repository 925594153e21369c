# Generated from jobkit_gridbatch.endpoints: change that, not this, and run
#     python -m jobkit_async.codegen jobkit_gridbatch.endpoints
"""The API classes of gridbatch, generated from its endpoint table."""

from __future__ import annotations

from jobkit_async.joblist import JobList
from jobkit_async.service import ServiceApi

from . import endpoints, models
from .job import GridbatchJob

__all__ = [
    "GridbatchJobsApi",
]


class GridbatchJobsApi(ServiceApi[GridbatchJob]):
    """The operations of Gridbatch."""

    __slots__ = ()

    async def submit_job(self, submit_job_request: models.SubmitJobRequest) -> GridbatchJob:
        """Submit a job to a queue.

        Args:
            submit_job_request: What to run.

        Returns:
            A handle on the job.

        Raises:
            BadRequest: There is no such queue or definition.
            OutcomeUnknown: The answer was lost; list_jobs() shows the job among the newest if it
                was submitted.
        """
        return await self._job(endpoints.SUBMIT_JOB, submit_job_request)

    async def describe_jobs(
        self, describe_jobs_request: models.DescribeJobsRequest
    ) -> JobList[GridbatchJob]:
        """Read up to 100 jobs at once.

        Jobs that the service does not know are left out.

        Args:
            describe_jobs_request: Which jobs.

        Returns:
            Handles on the jobs.

        Raises:
            BadRequest: More than 100 ids, or one that cannot be an id.
        """
        return await self._jobs(endpoints.DESCRIBE_JOBS, describe_jobs_request)

    async def list_jobs(
        self,
        *,
        job_queue: str | None = None,
        job_status: str | None = None,
        after: str | None = None,
        max_results: int | None = None,
    ) -> JobList[GridbatchJob]:
        """List jobs, newest first.

        Args:
            job_queue: Only jobs of this queue.
            job_status: Only jobs of this status. Known words: ``models.JobStatus``.
            after: Id of the last job of the page before.
            max_results: The most jobs to return, 1 to 100. The service assumes 100.

        Returns:
            Handles on the jobs.
        """
        return await self._jobs(endpoints.LIST_JOBS, job_queue, job_status, after, max_results)

    async def terminate_job(
        self, job_id: str, terminate_job_request: models.TerminateJobRequest
    ) -> None:
        """Terminate a job, whether it waits or runs; it ends as a failed one.

        Args:
            job_id: Id of the job.
            terminate_job_request: Why.

        Raises:
            Conflict: The job has ended already.
        """
        await self._none(endpoints.TERMINATE_JOB, job_id, terminate_job_request)
