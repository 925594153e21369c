"""The handle of an EcoTaxa job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from jobkit_async.job import Job
from jobkit_async.services.ecotaxa import endpoints, models
from jobkit_async.services.ecotaxa.source import KILLED
from jobkit_async.states import JobState
from jobkit_async.transfer import Download

__all__ = ["EcotaxaJob"]


class EcotaxaJob(Job[models.JobModel]):
    """An EcoTaxa job.

    A job may stop to ask a question; :meth:`wait` raises ``JobNeedsInput`` then::

        try:
            final = await job.wait()
        except JobNeedsInput as asked:
            await job.answer(my_answer_to(asked.question))
            final = await job.wait()
    """

    __slots__ = ()

    service: ClassVar[str] = "ecotaxa"

    @property
    def id(self) -> int:
        """The job's id, unique on its server."""
        return cast(int, self._record.key)

    async def answer(self, reply: Mapping[str, Any]) -> None:
        """Answer the job's question; it goes on, or asks again where the answer lacks something.

        Args:
            reply: The answer, whose form depends on the job type.

        Raises:
            InvalidArgument: JSON cannot express it.
            OutcomeUnknown: The service's confirmation was lost.
        """
        await self._home._call(endpoints.REPLY_JOB_QUESTION, self.id, reply)

    async def restart(self) -> None:
        """Start the job again; has an effect only on one that ended in an error.

        Raises:
            OutcomeUnknown: The service's confirmation was lost.
        """
        await self._home._call(endpoints.RESTART_JOB, self.id)

    async def log(self) -> str:
        """The job's log so far.

        Raises:
            NotFound: The service does not know the job.
        """
        return cast(str, await self._home._call(endpoints.GET_JOB_LOG_FILE, self.id))

    async def file(self) -> Download:
        """The file that the job produced; use it with ``async with``.

        Raises:
            ServerError: There is none, or none yet: see that the job has succeeded first.
        """
        return await self._home._download(endpoints.GET_JOB_FILE, self.id)

    async def _cancel(self) -> None:
        # The service's one call kills a job that has not ended, and removes one that has.
        before = await self._home._look(self._record)
        if before.state.ended:
            if before.state is JobState.CANCELLED or before.message == KILLED:
                return
            self._ended()
        await self._home._call(endpoints.ERASE_JOB, self.id)
        after = await self._look_for_end()
        if after is None:
            if before.state is JobState.PENDING:
                return  # servers of 2023 remove at once what has not started
            self._ended(
                f"{self._name} ended just as it was to be cancelled, and the cancellation, "
                "coming too late, has removed it"
            )
        if after.state in (JobState.SUCCEEDED, JobState.FAILED):
            self._ended()
