# Generated from jobkit_async.services.bsubio.endpoints: change that, not this, and run
#     python -m jobkit_async.codegen jobkit_async.services.bsubio.endpoints
"""The API classes of bsubio, generated from its endpoint table."""

from __future__ import annotations

from jobkit_async.joblist import JobList
from jobkit_async.service import ServiceApi
from jobkit_async.transfer import Content

from . import endpoints, models
from .job import BsubioJob

__all__ = [
    "BsubioJobsApi",
]


class BsubioJobsApi(ServiceApi[BsubioJob]):
    """The operations of bsub.io's JobsApi page."""

    __slots__ = ()

    async def cancel_job(self, job_id: str) -> models.CancelJob200Response:
        """Cancel a job that is pending or in progress.

        Args:
            job_id: Id of the job, a UUID.

        Returns:
            What the service answers to a cancellation.

        Raises:
            BadRequest: The job cannot be cancelled: it has ended, or was never submitted.
        """
        value: models.CancelJob200Response = await self._value(endpoints.CANCEL_JOB, job_id)
        return value

    async def create_job(self, create_job_request: models.CreateJobRequest) -> BsubioJob:
        """Create a job; upload its data next, then submit it.

        Args:
            create_job_request: What to create.

        Returns:
            A handle on the job.

        Raises:
            BadRequest: The job type is unknown.
            OutcomeUnknown: The answer was lost; list_jobs(status='created') shows the job if it was
                created.
        """
        return await self._job(endpoints.CREATE_JOB, create_job_request)

    async def delete_job(self, job_id: str) -> None:
        """Delete a job that has finished or failed.

        Args:
            job_id: Id of the job, a UUID.

        Raises:
            Conflict: The job has not ended yet.
        """
        await self._none(endpoints.DELETE_JOB, job_id)

    async def get_job(self, job_id: str) -> BsubioJob:
        """Read one job.

        Args:
            job_id: Id of the job, a UUID.

        Returns:
            A handle on the job.
        """
        return await self._job(endpoints.GET_JOB, job_id)

    async def list_jobs(
        self, *, status: str | None = None, limit: int | None = None
    ) -> JobList[BsubioJob]:
        """List your own jobs.

        The service has no paging: what lies beyond ``limit`` cannot be listed. ``total`` of the
        result counts the matches before the limit.

        Args:
            status: Only jobs with this status. Known words: ``models.JobStatus``.
            limit: The most jobs to return, 1 to 100. The service assumes 20.

        Returns:
            Handles on the jobs; ``total`` is the number of matches.
        """
        return await self._jobs(endpoints.LIST_JOBS, status, limit)

    async def submit_job(self, job_id: str) -> models.SubmitJob200Response:
        """Queue a job whose data has been uploaded.

        Args:
            job_id: Id of the job, a UUID.

        Returns:
            What the service answers to a submission.

        Raises:
            BadRequest: The job has no data yet, or was submitted before.
            OutcomeUnknown: The answer was lost; get_job() shows a status beyond 'loaded' if the job
                was submitted.
        """
        value: models.SubmitJob200Response = await self._value(endpoints.SUBMIT_JOB, job_id)
        return value

    async def upload_job_data(
        self, job_id: str, token: str, file: Content
    ) -> models.UploadJobData200Response:
        """Upload the data that a job works on.

        Args:
            job_id: Id of a job in status ``created``.
            token: The job's upload token, ``job.data.upload_token`` right after its creation.
            file: The data; it is streamed, so it may be large.

        Returns:
            What the service answers to an upload.

        Raises:
            Unauthorized: The upload token or the api key is wrong.
            PayloadTooLarge: The data is too large.
            OutcomeUnknown: The answer was lost; get_job() shows the status 'loaded' and data_size
                if the upload arrived.
        """
        value: models.UploadJobData200Response = await self._value(
            endpoints.UPLOAD_JOB_DATA, job_id, token, file
        )
        return value
