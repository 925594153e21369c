"""The handle of a Vidispine job."""

from __future__ import annotations

from typing import ClassVar, cast

from jobkit_async.job import Job
from jobkit_async.request import arguments
from jobkit_async.services.vidispine import endpoints, models
from jobkit_async.states import JobState

__all__ = ["VidispineJob"]


class VidispineJob(Job[models.JobType]):
    """A Vidispine job."""

    __slots__ = ()

    service: ClassVar[str] = "vidispine"

    @property
    def id(self) -> str:
        """The job's id, such as ``VX-21``."""
        return cast(str, self._record.key)

    async def rerun(self, *, priority: str | None = None) -> VidispineJob:
        """Start a new job that does the same again.

        Args:
            priority: Priority of the new job; that of this one by default.

        Returns:
            The handle of the new job.

        Raises:
            OutcomeUnknown: The answer was lost.
        """
        row = endpoints.CREATE_DUPLICATE_JOB
        job = await self._home._start(row, *arguments(row, job_id=self.id, priority=priority))
        return cast(VidispineJob, job)

    async def problems(self) -> models.JobProblemListType:
        """The unresolved problems that hold the job up."""
        answer = await self._home._call(endpoints.GET_JOB_PROBLEMS, self.id)
        return cast(models.JobProblemListType, answer)

    async def _cancel(self) -> None:
        # The service accepts an abortion of a job that has ended, and does nothing.
        before = await self._home._look(self._record)
        if before.state is JobState.CANCELLED:
            return
        if before.state.ended:
            self._ended()
        row = endpoints.ABORT_JOB
        await self._home._call(row, *arguments(row, job_id=self.id))
