"""The base of clients and of generated API classes.

One call goes: generated method → :class:`ServiceApi` → ``caller`` (credentials, repetitions) →
``request`` (pure) → ``transport`` → ``answer`` and ``codec`` → value or handle.
"""

from __future__ import annotations

import asyncio
import copy
import os
import random
import sys
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from inspect import Parameter, signature
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Self,
    TypedDict,
    TypeVar,
    cast,
)

import attrs

from jobkit_async.auth import Auth
from jobkit_async.caller import Caller, Options, check_headers
from jobkit_async.checks import check_count
from jobkit_async.endpoint import Endpoint, Repeat
from jobkit_async.errors import DecodeError, InvalidArgument, JobkitError, OutcomeUnknown
from jobkit_async.hooks import Hooks, Reporter
from jobkit_async.job import Job
from jobkit_async.joblist import JobList
from jobkit_async.model import UNSET, Unset
from jobkit_async.options import Limits, Retry, Timeout
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Sighting, Source
from jobkit_async.polling.tracker import Tracker
from jobkit_async.polling.turns import SLICE
from jobkit_async.pool import Lane
from jobkit_async.redact import Hidden, forget_frames
from jobkit_async.refs import Ref, deployment_of
from jobkit_async.request import check_id
from jobkit_async.retry import Budget, may_have_worked
from jobkit_async.transfer import Download
from jobkit_async.transport import Transport, check_base_url

if TYPE_CHECKING:
    import aiohttp

__all__ = ["ClientOptions", "ServiceApi", "ServiceClient"]

DataT = TypeVar("DataT")
JobT = TypeVar("JobT", bound=Job[Any])
OptionsT = TypeVar("OptionsT")

Promises = Callable[[Mapping[str, Any], str], bool]
"""Whether the service, given these arguments of an operation, will call an address once the job
has ended."""

REMEMBERED: Final = 10_000
"""Cancellations that are remembered after the last handle of their job has gone."""
TOLD: Final = 5
"""The most faulty references that an error tells of."""


class ClientOptions(TypedDict, total=False):
    """What every client takes besides its credentials; all of it can be left out.

    A client of a service from elsewhere hands it on, as ``**options: Unpack[ClientOptions]``.
    """

    base_url: str
    session: aiohttp.ClientSession | None
    polling: Polling | None
    timeout: float | Timeout | None
    retry: Retry | None
    limits: Limits | None
    headers: Mapping[str, str] | None
    middlewares: Sequence[aiohttp.ClientMiddlewareType] | None
    allow_plain_http: bool
    hooks: Hooks | None


class ServiceClient(ABC, Generic[JobT, DataT]):
    """The base of the services' clients.

    A service's client says what the attributes below are, how its jobs are observed
    (:meth:`_make_source`), and has one property for each group of operations, named as in the
    table. What else begins with an underscore is the library's own.

    Args:
        auth: The credentials.
        base_url: Where the service is; by default :attr:`default_base_url`.
        session: The caller's own aiohttp session; it is neither closed nor changed.
        polling: How jobs are waited for.
        timeout: How long the parts of a call may take; a number is the seconds of one attempt.
        retry: How often a call that may be repeated is.
        limits: How many requests at once, and a second; how much of an answer is held.
        headers: Further headers of every request, also of log-ins and status requests.
        middlewares: The caller's own, around every request; within those of the session.
        allow_plain_http: Whether credentials may travel over plain http to other machines.
        hooks: What to tell of requests, repetitions, looks and ends; None for nobody.
    """

    service: ClassVar[str]
    """Name of the service."""
    default_base_url: ClassVar[str]
    """Where the service is, unless something else is said."""
    _job_class: ClassVar[Callable[..., Any]]
    """The class of its handles."""
    _credentials: ClassVar[tuple[str, ...]]
    """Names of the arguments that say who we are; ``from_env`` looks for them."""
    _settings: ClassVar[tuple[str, ...]] = ("base_url",)
    """Names of further arguments that ``from_env`` looks for."""

    def __init__(
        self,
        *,
        auth: Callable[[Caller], Auth] | Auth,
        base_url: str | Unset = UNSET,
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
        polling = _given("polling", Polling, polling)
        place = self.default_base_url if isinstance(base_url, Unset) else base_url
        base_url = check_base_url(place, allow_plain_http=allow_plain_http)
        self.base_url: Final = base_url
        self.deployment: Final = deployment_of(base_url)
        options = Options(
            timeout=Timeout() if timeout is None else Timeout.of(timeout),
            retry=_given("retry", Retry, retry),
            headers={} if headers is None else check_headers(headers),
        )
        transport = Transport(
            base_url,
            session=session,
            user_agent=_user_agent,
            limits=_given("limits", Limits, limits),
            middlewares=middlewares,
        )
        reporter = self._reporter(hooks)
        options = attrs.evolve(options, reporter=reporter)
        rng = polling.rng or random.Random()
        budget = Budget(options.retry.budget)
        anonymous = Caller(transport, None, options, budget, rng, Lane.LOGIN)
        self._caller = Caller(
            transport, auth(anonymous) if callable(auth) else auth, options, budget, rng
        )
        # Polls are not repeated by the caller: the tracker paces failures by itself.
        watcher = reporter and reporter.for_polls()
        alone = attrs.evolve(options, retry=Retry(retries=0), reporter=watcher)
        polls = attrs.evolve(self._caller, options=alone, lane=Lane.POLLS)
        self._cancelled: OrderedDict[Any, None] = OrderedDict()
        # By address; shared with all views, as the dict of what was cancelled is.
        self._callbacks: dict[str, Promises] = {}
        self._source: Source[DataT] = self._make_source(polls)
        self._tracker: Final = Tracker(
            self._source,
            polling,
            name=self.service,
            service_time=transport.service_time,
            reporter=watcher,
        )

    def __repr__(self) -> str:
        state = "closed" if self._caller.transport.closed else f"{len(self._tracker)} jobs awaited"
        return f"<{type(self).__name__} {self.base_url}, {state}>"

    def _reporter(self, hooks: Hooks | None) -> Reporter | None:
        """Who tells these hooks what happens."""
        if hooks is None:
            return None
        return Reporter(hooks, service=self.service, base_url=self.base_url)

    @abstractmethod
    def _make_source(self, caller: Caller) -> Source[DataT]:
        """How the service's jobs are observed, through a caller."""

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """A client with credentials from environment variables.

        The variables are named after the service and the argument, such as ``BSUBIO_API_KEY`` or
        ``VIDISPINE_BASE_URL``.

        Args:
            **options: Further arguments of the client; they win over the environment, and if any
                of them is a credential, its credentials are left aside.

        Raises:
            InvalidArgument: The environment lacks the credentials, or has two kinds of them.
        """
        outer = sys.exception()
        found = Hidden()
        given = any(options.get(name) is not None for name in cls._credentials)
        for name in (*(() if given else cls._credentials), *cls._settings):
            variable = f"{cls.service}_{name}".upper()
            if os.environ.get(variable):
                found[name] = os.environ[variable]
        found.update(options)
        for name, parameter in signature(cls).parameters.items():
            if parameter.kind is Parameter.VAR_KEYWORD:
                continue
            if parameter.default is Parameter.empty and name not in found:
                raise InvalidArgument(name, f"set {cls.service.upper()}_{name.upper()}")
        try:
            return cls(**found)
        except InvalidArgument as error:
            forget_frames(error, outer)
            raise

    # -- life

    async def __aenter__(self) -> Self:
        await self._caller.transport.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client for good. Open waits end with ``ClientClosed``. Can be repeated.

        Raises:
            WrongEventLoop: It was opened in another event loop.
        """
        self._caller.transport.shut()
        if self._caller.auth is not None:
            self._caller.auth.close()
        await self._tracker.aclose()
        await self._caller.transport.aclose()

    def _check(self) -> None:
        """Raise unless the client can be used now, from here.

        Raises:
            ClientClosed: It is closed, or was never opened.
            WrongEventLoop: It was opened in another event loop.
        """
        self._caller.transport.check()

    def with_options(
        self,
        *,
        timeout: float | Timeout | None = None,
        retries: int | None = None,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        hooks: Hooks | None = None,
    ) -> Self:
        """A view of this client with other options; it shares everything else.

        Args:
            timeout: How long the parts of a call may take; a number is the seconds of one
                attempt.
            retries: The most repetitions of a call that may be repeated.
            retry: The same with the pauses; its ``budget`` stays the client's.
            headers: Further headers of every request, added to those of this view.
            hooks: What to tell of this view's calls, in the place of the client's own. What
                waiting does is told to the latter.

        Raises:
            InvalidArgument: One of them is out of bounds, or a header cannot be sent or belongs
                to the client.
        """
        options = self._caller.options
        if timeout is not None:
            options = attrs.evolve(options, timeout=Timeout.of(timeout))
        if retry is not None:
            options = attrs.evolve(options, retry=_given("retry", Retry, retry))
        if retries is not None:
            fewer = attrs.evolve(options.retry, retries=check_count("retries", retries))
            options = attrs.evolve(options, retry=fewer)
        if headers is not None:
            options = attrs.evolve(options, headers={**options.headers, **check_headers(headers)})
        if hooks is not None:
            options = attrs.evolve(options, reporter=self._reporter(hooks))
        view = copy.copy(self)
        view._caller = attrs.evolve(self._caller, options=options)
        return view

    # -- jobs

    def job(self, job_id: Any) -> JobT:
        """A handle of a job whose id is known. No I/O.

        Raises:
            InvalidArgument: That is no id.
        """
        return self._handle(self._record_of(self._key_of(job_id)))

    def job_from_ref(self, ref: str) -> JobT:
        """The handle that a reference stands for. No I/O.

        Args:
            ref: What ``job.ref`` gave, in this process or another.

        Raises:
            InvalidArgument: It is no reference, or one of another service or deployment.
        """
        parsed = Ref.parse(ref)
        if parsed.service != self.service:
            raise InvalidArgument(
                "ref", f"it is a job of {parsed.service}; this is a client of {self.service}"
            )
        if parsed.deployment != self.deployment:
            raise InvalidArgument("ref", f"it is a job of another deployment than {self.base_url}")
        try:
            key = self._parse_key(parsed.id)
        except InvalidArgument as error:
            raise InvalidArgument("ref", str(error).removeprefix("ref: ")) from error
        record = self._record_of(key, parsed.scope)
        if parsed.created is not None and record.created_at is None:
            record.set_created(parsed.created, self._caller.transport.service_time(_now()), _now())
        return self._handle(record)

    async def jobs_from_refs(self, refs: Iterable[str]) -> JobList[JobT]:
        """The handles that many references stand for, such as the lines of a file. No I/O.

        Waiting for them shares its requests as ever. Their ages count from the creation that the
        references tell, so looks at jobs that have lasted for hours are as far apart as they were.

        Args:
            refs: What ``job.ref`` gave, in any process; lines that are blank or begin with ``#``
                are left out.

        Returns:
            The handles, in the order of the references.

        Raises:
            InvalidArgument: Some are no references, or of another service or deployment; the
                message tells which, by their numbers from 1.
        """
        if isinstance(refs, str):
            raise InvalidArgument("refs", "one text is one reference: pass a list of them")
        if not isinstance(refs, Iterable):
            raise InvalidArgument("refs", f"references are due, not {type(refs).__name__}")
        jobs: list[JobT] = []
        faults: list[str] = []
        for number, line in enumerate(cast("Iterable[Any]", refs), 1):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            ref = line.strip() if isinstance(line, str) else line
            if ref == "" or (isinstance(ref, str) and ref.startswith("#")):
                continue
            try:
                jobs.append(self.job_from_ref(ref))
            except InvalidArgument as error:
                problem = str(error).removeprefix("ref: ")
                faults.append(f"line {number}: {problem}")
        if faults:
            more = f"; and {len(faults) - TOLD} more" if len(faults) > TOLD else ""
            raise InvalidArgument("refs", "; ".join(faults[:TOLD]) + more)
        return JobList(jobs)

    def _key_of(self, job_id: Any) -> Any:
        """A job's id as the service's own type, checked; a str unless a client says otherwise."""
        return check_id("job_id", job_id)

    def _parse_key(self, text: str) -> Any:
        """A job's id from a reference, checked."""
        return self._key_of(text)

    def _record_of(
        self, key: Any, scope: str | None = None, *, sure: bool = False
    ) -> Record[DataT]:
        """What is known of a job; made where nothing is."""
        record = self._tracker.find(key)
        if record is None:
            record = Record.of(key, cancelled=key in self._cancelled)
            self._tracker.keep(record)
        if scope is not None and (sure or not record.scope_sure):
            record.scope, record.scope_sure = scope, sure or record.scope_sure
        return record

    def _handle(self, record: Record[DataT]) -> JobT:
        return cast(JobT, self._job_class(self, record))

    def _adopt(
        self, row: Endpoint, arguments: tuple[Any, ...], data: DataT, asked_at: float
    ) -> JobT:
        """The handle of a job that an answer shows."""
        key_name, *scope_names = row.returns.key
        key = getattr(data, key_name)
        if key is None:
            raise DecodeError("the job has no id", operation=row.name, path=f"$..{key_name}")
        scope: str | None = None
        for name in scope_names:
            given = dict(zip((param.name for param in row.params), arguments, strict=True))
            scope = given.get(name) or getattr(data, name, None)
        record = self._record_of(key, scope, sure=scope is not None)
        if row.repeat is Repeat.ONCE and self._callbacks:
            given = dict(zip((param.name for param in row.params), arguments, strict=True))
            if any(promises(given, url) for url, promises in self._callbacks.items()):
                self._tracker.promise(record)
        now = _now()
        sighting = self._source.sight(data)
        if not self._shows_all(row, arguments):
            sighting = attrs.evolve(sighting, data=None)
            record.keep(data)
        if not sighting.raw_status and (record.newest is not None or sighting.data is None):
            if row.repeat is Repeat.ONCE and record.newest is None:
                record.born, record.dated = asked_at, True
            return self._handle(record)  # ids alone say nothing else about the job
        counted = record.observe(sighting, asked_at=asked_at, now=now)
        if counted is not None:
            self._tracker.notice(record, counted)
        if row.repeat is Repeat.ONCE:
            # What was just made needs no clock of the service.
            record.born, record.dated = asked_at, True
        elif record.created_at is not None:
            service_now = self._caller.transport.service_time(now)
            record.set_created(record.created_at.timestamp(), service_now, now)
        return self._handle(record)

    def _shows_all(self, row: Endpoint, arguments: tuple[Any, ...]) -> bool:
        """Whether an operation's answer shows its jobs in full."""
        del row, arguments
        return True

    async def _scope(self) -> str | None:
        """What else the service needs to find a job of which it is not known; None for most."""
        return None

    async def _look(self, record: Record[DataT]) -> Sighting[DataT]:
        """Read a job in full, and note what was seen in its record; for handles."""
        asked_at = _now()
        sighting = await self._make_source(self._caller).read(record.key)
        counted = record.observe(sighting, asked_at=asked_at, now=_now())
        if counted is None:
            return sighting
        self._tracker.notice(record, counted)
        return counted

    async def _call(self, row: Endpoint, *arguments: Any) -> Any:
        """Carry an operation out; for handles and generated classes."""
        if row.changes is None:
            return await self._caller.value(row, *arguments)
        with self._changing(row, arguments):
            return await self._caller.value(row, *arguments)

    async def _start(self, row: Endpoint, *arguments: Any) -> JobT:
        """Carry an operation out whose answer is a job; for handles and generated classes."""
        asked_at = _now()
        return self._adopt(row, arguments, await self._call(row, *arguments), asked_at)

    async def _download(self, row: Endpoint, *arguments: Any) -> Download:
        """Carry an operation out whose answer is a file; for handles and generated classes."""
        return await self._caller.download(row, *arguments)

    @contextmanager
    def _changing(self, row: Endpoint, arguments: tuple[Any, ...]) -> Generator[None]:
        """Note what an operation does to a job that may be waited for."""
        if row.changes is None:
            yield
            return
        names = [param.name for param in row.params]
        key = arguments[names.index(row.changes)]
        record = self._cancelling(key) if row.cancels else None
        try:
            yield
        except (JobkitError, asyncio.CancelledError) as error:
            if row.cancels and _may_have_reached(error):
                self._touch(key, cancels=True)
            elif isinstance(error, OutcomeUnknown):
                self._touch(key)
            raise
        else:
            self._touch(key, starts=row.starts, cancels=row.cancels)
        finally:
            if record is not None and record.end_cancel():
                self._tracker.look_soon(key)

    def _cancelling(self, key: Any) -> Record[DataT] | None:
        """Note that a job is about to be cancelled; what is known of it, if it can be a job."""
        try:
            record = self._record_of(self._key_of(key))
        except InvalidArgument:
            return None  # which the call itself is about to say
        record.begin_cancel()
        return record

    def _touch(self, key: Any, *, starts: bool = False, cancels: bool = False) -> None:
        record = self._tracker.find(key)
        if record is not None and record.over:
            return  # nothing changes an end that is final
        if cancels:
            self._cancelled[key] = None
            if len(self._cancelled) > REMEMBERED:
                self._cancelled.popitem(last=False)
        if record is not None:
            record.touch(_now(), starts=starts, cancels=cancels)
            self._tracker.look_soon(key)


def _may_have_reached(error: BaseException) -> bool:
    """Whether a call that failed may have taken effect nevertheless."""
    if isinstance(error, JobkitError):
        return isinstance(error, OutcomeUnknown) or may_have_worked(error)
    return True  # given up by its caller, on the way


@cache
def _user_agent() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - as slow to import as cattrs

    return f"jobkit_async/{version('jobkit-async')}"


class ServiceApi(Generic[JobT]):
    """The base of the generated API classes: one method for each kind of result."""

    __slots__ = ("_client",)

    def __init__(self, client: ServiceClient[JobT, Any]) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}>"

    async def _job(self, row: Endpoint, *arguments: Any) -> JobT:
        return await self._client._start(row, *arguments)

    async def _jobs(self, row: Endpoint, *arguments: Any) -> JobList[JobT]:
        asked_at = _now()
        value = await self._client._call(row, *arguments)
        found, total = value or ([], 0)
        return JobList(
            [self._client._adopt(row, arguments, data, asked_at) for data in found], total=total
        )

    async def _value(self, row: Endpoint, *arguments: Any) -> Any:
        return await self._client._call(row, *arguments)

    async def _text(self, row: Endpoint, *arguments: Any) -> str:
        return cast(str, await self._client._call(row, *arguments))

    async def _none(self, row: Endpoint, *arguments: Any) -> None:
        await self._client._call(row, *arguments)

    async def _download(self, row: Endpoint, *arguments: Any) -> Download:
        return await self._client._download(row, *arguments)


def _given(name: str, cls: type[OptionsT], value: OptionsT | None) -> OptionsT:
    """What was given for an argument, or the default.

    Raises:
        InvalidArgument: It is of another type.
    """
    if value is None:
        return cls()
    if not isinstance(value, cls):
        raise InvalidArgument(name, f"a {cls.__name__} is due, not {type(value).__name__}")
    return value


def _now() -> float:
    return asyncio.get_running_loop().time()
