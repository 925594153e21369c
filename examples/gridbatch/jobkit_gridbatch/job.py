"""The handle of a Gridbatch job."""

from __future__ import annotations

from typing import ClassVar, cast

from jobkit_async.errors import Conflict
from jobkit_async.job import Job
from jobkit_async.states import JobState
from jobkit_gridbatch import endpoints, models

__all__ = ["GridbatchJob"]


class GridbatchJob(Job[models.Job]):
    """A Gridbatch job."""

    __slots__ = ()

    service: ClassVar[str] = "gridbatch"

    @property
    def id(self) -> str:
        """The job's id."""
        return cast(str, self._record.key)

    async def _cancel(self) -> None:
        request = models.TerminateJobRequest(reason="cancelled by its owner")
        try:
            await self._home._call(endpoints.TERMINATE_JOB, self.id, request)
        except Conflict:
            sighting = await self._look_for_end()
            if sighting is None or not sighting.state.ended:
                raise
            if sighting.state is not JobState.CANCELLED:
                self._ended()
