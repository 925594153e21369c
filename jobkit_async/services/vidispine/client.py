"""The client of Vidispine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from jobkit_async.auth import basic
from jobkit_async.caller import Caller
from jobkit_async.checks import check_flag
from jobkit_async.endpoint import Endpoint
from jobkit_async.hooks import Hooks
from jobkit_async.options import Limits, Retry, Timeout
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Source
from jobkit_async.service import ServiceClient
from jobkit_async.services.vidispine import models
from jobkit_async.services.vidispine.api import VidispineJobsApi
from jobkit_async.services.vidispine.job import VidispineJob
from jobkit_async.services.vidispine.source import VidispineSource

if TYPE_CHECKING:
    import aiohttp

__all__ = ["VidispineClient"]


class VidispineClient(ServiceClient[VidispineJob, models.JobType]):
    """A client of Vidispine (VidiCore); use it with ``async with``.

    Args:
        username: Name of the user.
        password: The user's password.
        all_users: Whether waiting may look at the jobs of all users, and not only at those that
            this user has started.
        base_url: Where the service is, such as ``https://vidispine.example/API``.
        session: Your own aiohttp session; it is neither closed nor changed.
        polling: How jobs are waited for.
        timeout: How long a call may take, as a :class:`~jobkit_async.Timeout`; or the seconds of
            one attempt, 30 by default, and for a transfer, between two signs of life.
        retry: How often a call that may be repeated is, and after what pauses.
        limits: How many requests at once, and a second; how much of an answer is held in memory.
        headers: Further headers of every request, also of log-ins and status requests.
        middlewares: aiohttp middlewares of your own around every request; they come within those
            of your session. One that sends a request again has to know which can be.
        allow_plain_http: Whether credentials may travel over plain http to other machines.
        hooks: What to tell of requests, repetitions, looks and ends; see
            :class:`~jobkit_async.Hooks`.

    Raises:
        InvalidArgument: An argument cannot be used; the message says what is allowed.
    """

    service = "vidispine"
    default_base_url = "http://localhost:8080/API"
    _job_class = VidispineJob
    _credentials: ClassVar[tuple[str, ...]] = ("username", "password")

    def __init__(
        self,
        *,
        username: str,
        password: str,
        all_users: bool = False,
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
        self._all_users = check_flag("all_users", all_users)
        super().__init__(
            auth=basic(username, password),
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

    def _make_source(self, caller: Caller) -> Source[models.JobType]:
        return VidispineSource(caller, all_users=self._all_users)

    def _shows_all(self, row: Endpoint, arguments: tuple[Any, ...]) -> bool:
        names = [param.name for param in row.params]
        return "metadata" in names and arguments[names.index("metadata")] is True

    @property
    def jobs(self) -> VidispineJobsApi:
        """The operations of the JobApi page."""
        return VidispineJobsApi(self)

    def job(self, job_id: str) -> VidispineJob:
        """A handle of a job whose id is known. No I/O.

        Raises:
            InvalidArgument: That is no id.
        """
        return self._handle(self._record_of(self._key_of(job_id)))
