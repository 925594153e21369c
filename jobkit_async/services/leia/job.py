"""The handle of a Leia job."""

from __future__ import annotations

from typing import ClassVar, cast

from jobkit_async.errors import NotFound
from jobkit_async.job import Job
from jobkit_async.services.leia import endpoints, models
from jobkit_async.states import JobState

__all__ = ["LeiaJob"]


class LeiaJob(Job[models.Job]):
    """A Leia job.

    A ``BLOCKED`` job needs a start, which none of the client's operations gives; wait for it with
    ``on_input="keep"`` where somebody else will see to that.
    """

    __slots__ = ()

    service: ClassVar[str] = "leia"

    @property
    def id(self) -> str:
        """The job's id."""
        return cast(str, self._record.key)

    @property
    def submitter_id(self) -> str | None:
        """Id of the application that submitted the job, as far as it is known.

        It may be a guess until the job has been seen: the client's ``submitter_id``, or the
        application that the client logged in as.
        """
        return self._record.scope

    async def _cancel(self) -> None:
        if not self._record.scope_sure:
            await self._home._look(self._record)
        submitter = self._record.scope or await self._home._scope()
        try:
            await self._home._call(endpoints.ADMIN_CANCEL_JOB, submitter, self.id)
        except NotFound:
            # Unknown, or cancelled already, or ended: the answer is the same.
            sighting = await self._look_for_end()
            if sighting is None:
                raise
            if sighting.state is JobState.CANCELLED:
                return
            if sighting.state.ended:
                self._ended()
            raise
