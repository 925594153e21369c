"""The handle of a bsub.io job."""

from __future__ import annotations

from typing import ClassVar, cast

from jobkit_async.errors import BadRequest, InvalidArgument, NotFound
from jobkit_async.job import Job
from jobkit_async.redact import Secret
from jobkit_async.services.bsubio import endpoints, models
from jobkit_async.states import JobState
from jobkit_async.transfer import Content, UploadBody

__all__ = ["BsubioJob"]


class BsubioJob(Job[models.Job]):
    """A bsub.io job.

    After its creation the job needs its data, and then to be submitted::

        job = await client.jobs.create_job(models.CreateJobRequest(type="pdf/extract"))
        await job.upload("paper.pdf")
        await job.submit()
        final = await job.wait()
    """

    __slots__ = ()

    service: ClassVar[str] = "bsubio"

    @property
    def id(self) -> str:
        """The job's id, a UUID."""
        return cast(str, self._record.key)

    async def upload(
        self, file: Content, *, token: str | None = None
    ) -> models.UploadJobData200Response:
        """Upload the data that the job works on.

        Args:
            file: Bytes, a path, a binary file, an async iterable of bytes, or an ``Upload``.
            token: The job's upload token; by default that of the newest snapshot, read anew if
                there is none.

        Returns:
            What the service answers, with the number of bytes that arrived.

        Raises:
            InvalidArgument: There is no upload token any more: the job has its data already.
            PayloadTooLarge: The data is larger than the service takes.
            OutcomeUnknown: The answer was lost.
        """
        self._home._check()
        upload = UploadBody("file", file)
        await upload.check()
        if token is None:
            data = self.data
            token = data.upload_token if data is not None else None
        if token is None:
            token = (await self.refresh()).upload_token
        if token is None:
            raise InvalidArgument(
                "token", f"job {self.id} shows no upload token; its status is {self.raw_status}"
            )
        token = Secret(token)
        answer = await self._home._call(endpoints.UPLOAD_JOB_DATA, self.id, token, upload)
        return cast(models.UploadJobData200Response, answer)

    async def submit(self) -> None:
        """Queue the job, whose data has been uploaded.

        Raises:
            BadRequest: The job has no data yet, or was submitted before.
            OutcomeUnknown: The answer was lost.
        """
        await self._home._call(endpoints.SUBMIT_JOB, self.id)

    async def _cancel(self) -> None:
        try:
            await self._home._call(endpoints.CANCEL_JOB, self.id)
        except (BadRequest, NotFound):
            sighting = await self._look_for_end()
            if sighting is None:
                if self._record.cancelled:
                    return
                raise
            if sighting.state is JobState.CANCELLED:
                return
            if sighting.state.ended:
                self._ended()
            raise
