"""The client of EcoTaxa."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from jobkit_async.auth import Auth, LoginAuth, bearer, one_of
from jobkit_async.caller import Caller
from jobkit_async.checks import check_flag, check_text
from jobkit_async.errors import InvalidArgument
from jobkit_async.hooks import Hooks
from jobkit_async.options import Limits, Retry, Timeout
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Source
from jobkit_async.service import ServiceClient
from jobkit_async.services.ecotaxa import endpoints, models
from jobkit_async.services.ecotaxa.api import EcotaxaJobsApi
from jobkit_async.services.ecotaxa.job import EcotaxaJob
from jobkit_async.services.ecotaxa.source import EcotaxaSource

if TYPE_CHECKING:
    import aiohttp

__all__ = ["EcotaxaClient"]


class EcotaxaClient(ServiceClient[EcotaxaJob, models.JobModel]):
    """A client of EcoTaxa; use it with ``async with``.

    Pass either ``token`` or ``username`` and ``password``; with the latter the client logs in by
    itself, and again when the token has expired.

    Args:
        token: A token from an earlier log-in; good for 31 days.
        username: The account's e-mail address.
        password: Its password.
        for_admin: Whether waiting may look at the jobs of all users; takes an administrator.
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
        allow_plain_http: Whether credentials may travel over plain http to other machines.
        hooks: What to tell of requests, repetitions, looks and ends; see
            :class:`~jobkit_async.Hooks`.

    Raises:
        InvalidArgument: An argument cannot be used; the message says what is allowed.
    """

    service = "ecotaxa"
    default_base_url = "https://ecotaxa.obs-vlfr.fr/api"
    _job_class = EcotaxaJob
    _credentials: ClassVar[tuple[str, ...]] = ("token", "username", "password")

    def __init__(
        self,
        *,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        for_admin: bool = False,
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
        way = one_of({"token": token}, {"username": username, "password": password})
        self._for_admin = check_flag("for_admin", for_admin)

        def auth(anonymous: Caller) -> Auth:
            if way == 0:
                return bearer("token", token)
            request = models.LoginReq(
                username=check_text("username", username, empty=False),
                password=check_text("password", password, empty=False),
            )

            async def log_in() -> str:
                return cast(str, await anonymous.value(endpoints.LOGIN, request))

            return LoginAuth("Authorization", "Bearer ", log_in, request.password)

        super().__init__(
            auth=auth,
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

    def _make_source(self, caller: Caller) -> Source[models.JobModel]:
        return EcotaxaSource(caller, for_admin=self._for_admin)

    @property
    def jobs(self) -> EcotaxaJobsApi:
        """The operations of the JobsApi page."""
        return EcotaxaJobsApi(self)

    def job(self, job_id: int) -> EcotaxaJob:
        """A handle of a job whose id is known. No I/O.

        Raises:
            InvalidArgument: That is no id.
        """
        return self._handle(self._record_of(self._key_of(job_id)))

    async def iter_jobs(self) -> AsyncGenerator[EcotaxaJob, None]:
        """All jobs, of your own or, with the client's ``for_admin``, of all users.

        The service has no pages: one request lists them all, in no particular order.

        Raises:
            JobkitError: The listing could not be read.
        """
        for job in await self.jobs.list_jobs(self._for_admin):
            yield job

    def _key_of(self, job_id: Any) -> int:
        if not isinstance(job_id, int) or isinstance(job_id, bool):
            raise InvalidArgument("job_id", f"an int is due, not {type(job_id).__name__}")
        if job_id < 1:
            raise InvalidArgument("job_id", f"{job_id} is too small: at least 1")
        return job_id

    def _parse_key(self, text: str) -> int:
        if not (text.isascii() and text.isdecimal()):
            raise InvalidArgument("ref", f"{text!r} is no id of an EcoTaxa job")
        return self._key_of(int(text))
