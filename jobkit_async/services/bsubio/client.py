"""The client of bsub.io."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from jobkit_async.auth import bearer
from jobkit_async.caller import Caller
from jobkit_async.hooks import Hooks
from jobkit_async.options import Limits, Retry, Timeout
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Source
from jobkit_async.service import ServiceClient
from jobkit_async.services.bsubio import models
from jobkit_async.services.bsubio.api import BsubioJobsApi
from jobkit_async.services.bsubio.job import BsubioJob
from jobkit_async.services.bsubio.source import BsubioSource

if TYPE_CHECKING:
    import aiohttp

__all__ = ["BsubioClient"]


class BsubioClient(ServiceClient[BsubioJob, models.Job]):
    """A client of bsub.io; use it with ``async with``.

    Args:
        api_key: An API key from the service's dashboard.
        base_url: Where the service is.
        session: Your own aiohttp session; it is neither closed nor changed.
        polling: How jobs are waited for.
        timeout: How long a call may take, as a :class:`~jobkit_async.Timeout`; or the seconds of
            one attempt, 30 by default, and for a transfer, between two signs of life.
        retry: How often a call that may be repeated is, and after what pauses.
        limits: How many requests at once, and a second; how much of an answer is held in memory.
        headers: Further headers of every request, also of log-ins and status requests.
        middlewares: aiohttp middlewares of your own around every request; they come within those
            of your session. One that sends a request again has to know which can be.
        allow_plain_http: Whether the key may travel over plain http to other machines.
        hooks: What to tell of requests, repetitions, looks and ends; see
            :class:`~jobkit_async.Hooks`.

    Raises:
        InvalidArgument: An argument cannot be used; the message says what is allowed.
    """

    service = "bsubio"
    default_base_url = "https://app.bsub.io"
    _job_class = BsubioJob
    _credentials: ClassVar[tuple[str, ...]] = ("api_key",)

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = default_base_url,
        session: aiohttp.ClientSession | None = None,
        polling: Polling | None = None,
        timeout: float | Timeout | None = None,
        retry: Retry | None = None,
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        middlewares: Sequence[aiohttp.ClientMiddlewareType] | None = None,
        allow_plain_http: bool = False,
        hooks: Hooks | None = None,
    ) -> None:
        super().__init__(
            auth=bearer("api_key", api_key),
            base_url=base_url,
            session=session,
            polling=polling,
            timeout=timeout,
            retry=retry,
            limits=limits,
            headers=headers,
            middlewares=middlewares,
            allow_plain_http=allow_plain_http,
            hooks=hooks,
        )

    def _make_source(self, caller: Caller) -> Source[models.Job]:
        return BsubioSource(caller)

    @property
    def jobs(self) -> BsubioJobsApi:
        """The operations of the JobsApi page."""
        return BsubioJobsApi(self)

    def job(self, job_id: str) -> BsubioJob:
        """A handle of a job whose id is known. No I/O.

        Raises:
            InvalidArgument: That is no id.
        """
        return self._handle(self._record_of(self._key_of(job_id)))
