"""The base of clients and of generated API classes.

One call goes: generated method → :class:`ServiceApi` → :class:`Caller` (credentials, repetitions)
→ ``request`` (pure) → ``transport`` → ``request`` and ``codec`` → value or handle.
"""

from __future__ import annotations

import asyncio
import copy
import math
import os
import random
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from inspect import Parameter, signature
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar, cast
from weakref import WeakValueDictionary

import attrs

from jobkit_async.auth import Auth
from jobkit_async.endpoint import Endpoint, Repeat, ResultKind
from jobkit_async.errors import (
    DecodeError,
    InvalidArgument,
    JobkitError,
    OutcomeUnknown,
    Unauthorized,
)
from jobkit_async.job import Job, JobList
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Sighting, Source
from jobkit_async.polling.tracker import Tracker
from jobkit_async.redact import blot
from jobkit_async.refs import Ref, deployment_of
from jobkit_async.request import (
    Answer,
    Request,
    build,
    check,
    check_header,
    check_id,
    read,
    refusal,
)
from jobkit_async.retry import Course, Retry
from jobkit_async.transfer import Cargo, Download
from jobkit_async.transport import Reply, Transport, check_base_url

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Caller", "Options", "ServiceApi", "ServiceClient"]

DataT = TypeVar("DataT")
JobT = TypeVar("JobT", bound=Job[Any])
ValueT = TypeVar("ValueT")

TIMEOUT: Final = 30.0
"""Seconds that one request may take, unless said otherwise."""
REMEMBERED: Final = 10_000
"""Cancellations that are remembered after the last handle of their job has gone."""


@attrs.frozen(kw_only=True)
class Options:
    """What a view of a client may change.

    Attributes:
        timeout: Seconds that one request may take; for a transfer, between two signs of life.
        retry: How often a call that may be repeated is repeated.
        headers: Further headers of every request.
    """

    timeout: float = TIMEOUT
    retry: Retry = attrs.field(factory=Retry)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class Caller:
    """Carries operations out: credentials, repetitions, decoding.

    Attributes:
        transport: Where requests go.
        auth: The credentials; None for a log-in.
        options: Timeouts and the like.
        rng: Where jitter comes from.
    """

    transport: Transport
    auth: Auth | None
    options: Options
    rng: random.Random

    async def value(self, row: Endpoint, *arguments: Any) -> Any:
        """Carry an operation out.

        Returns:
            The decoded value: models, or for a listing of jobs a list of models and the total.
        """

        async def attempt(request: Request, headers: Mapping[str, str]) -> Any:
            return read(request, await self._send(request, headers))

        return await self._repeat(row, arguments, attempt)

    async def answer(self, row: Endpoint, *arguments: Any) -> Answer:
        """Carry an operation out; a good answer, not decoded."""

        async def attempt(request: Request, headers: Mapping[str, str]) -> Answer:
            answer = await self._send(request, headers)
            check(request, answer)
            return answer

        return cast(Answer, await self._repeat(row, arguments, attempt))

    async def download(self, row: Endpoint, *arguments: Any) -> Download:
        """Carry an operation out whose answer is a file."""

        async def attempt(request: Request, headers: Mapping[str, str]) -> Download:
            timeout = self.options.timeout
            reply = await self.transport.stream(request, headers, timeout=timeout)
            if not 200 <= reply.status < 300:
                raise await self._refusal(request, reply)
            return Download(reply, operation=row.name)

        return cast(Download, await self._repeat(row, arguments, attempt))

    async def _send(self, request: Request, headers: Mapping[str, str]) -> Answer:
        return await self.transport.send(request, headers, timeout=self.options.timeout)

    @staticmethod
    async def _refusal(request: Request, reply: Reply) -> JobkitError:
        body = bytearray()
        try:
            async for chunk in reply.chunks():
                body += chunk
                if len(body) > 1 << 16:
                    break
        except JobkitError:
            pass  # the status says enough
        finally:
            reply.close()
        return refusal(request, Answer(reply.status, reply.headers, bytes(body)))

    async def _repeat(
        self, row: Endpoint, arguments: tuple[Any, ...], attempt: Callable[..., Any]
    ) -> Any:
        """Attempt a request until it succeeds or its error stands."""
        self.transport.check()
        request = build(row, arguments)
        if isinstance(request.body, Cargo):
            await request.body.check()
        course = Course(row.repeat, self.options.retry, self.rng)
        renewed = False
        while True:
            headers: Mapping[str, str] = {}
            told = request
            if self.auth is not None:
                headers = await self.auth.headers()
                told = attrs.evolve(request, secrets=(*request.secrets, *self.auth.secrets()))
            try:
                return await attempt(told, {**self.options.headers, **headers})
            except Unauthorized as error:
                _scrub(error, told)
                # Nothing was carried out, so even what must not be sent twice may be sent again.
                better = self.auth is not None and self.auth.renew(headers)
                if renewed or not better or not request.rewindable:
                    raise
                renewed = True
            except JobkitError as error:
                _scrub(error, told)
                if course.done_before(error):
                    return _done(row)
                pause = course.pause(error)
                if pause is None or not request.rewindable:
                    raise
                await asyncio.sleep(pause)


def _scrub(error: JobkitError, request: Request) -> None:
    """Take credentials out of an error's message, into which a server may have echoed them."""
    error.args = tuple(blot(str(arg), request.secrets) for arg in error.args)


def _done(row: Endpoint) -> Any:
    """What stands for the lost answer of an earlier attempt that took effect."""
    result = row.returns
    return result.type() if result.kind is ResultKind.VALUE and attrs.has(result.type) else None


class ServiceClient(Generic[JobT, DataT]):
    """The base of the services' clients.

    Args:
        auth: The credentials.
        base_url: Where the service is.
        session: The caller's own aiohttp session; it is neither closed nor changed.
        polling: How jobs are waited for.
        timeout: Seconds that one request may take; for a transfer, between two signs of life.
        allow_plain_http: Whether credentials may travel over plain http to other machines.
    """

    service: ClassVar[str]
    """Name of the service."""
    default_base_url: ClassVar[str]
    _job_class: ClassVar[Callable[..., Any]]
    _source_class: ClassVar[Callable[..., Source[Any]]]
    _environment: ClassVar[tuple[str, ...]]
    """Names of the arguments that ``from_env`` looks for, as ``<SERVICE>_<ARGUMENT>``."""

    def __init__(
        self,
        *,
        auth: Callable[[Caller], Auth] | Auth,
        base_url: str,
        session: aiohttp.ClientSession | None,
        polling: Polling | None,
        timeout: float | None,
        allow_plain_http: bool,
    ) -> None:
        polling = Polling() if polling is None else polling
        if not isinstance(polling, Polling):
            raise InvalidArgument("polling", f"a Polling is due, not {type(polling).__name__}")
        base_url = check_base_url(base_url, allow_plain_http=allow_plain_http)
        self.base_url: Final = base_url
        self.deployment: Final = deployment_of(base_url)
        transport = Transport(
            base_url, session=session, user_agent=f"jobkit_async/{version('jobkit-async')}"
        )
        options = Options(timeout=_check_seconds(timeout))
        rng = polling.rng or random.Random()
        anonymous = Caller(transport, None, options, rng)
        self._caller = Caller(transport, auth(anonymous) if callable(auth) else auth, options, rng)
        # Polls are not repeated by the caller: the tracker paces failures by itself.
        polls = attrs.evolve(self._caller, options=attrs.evolve(options, retry=Retry(retries=0)))
        self._records: WeakValueDictionary[Any, Record[DataT]] = WeakValueDictionary()
        self._cancelled: OrderedDict[Any, None] = OrderedDict()
        self._source: Source[DataT] = self._make_source(polls)
        self.tracker: Final = Tracker(
            self._source, polling, name=self.service, service_time=transport.service_time
        )

    def __repr__(self) -> str:
        state = "closed" if self._caller.transport.closed else f"{len(self.tracker)} jobs awaited"
        return f"<{type(self).__name__} {self.base_url}, {state}>"

    def _make_source(self, caller: Caller) -> Source[DataT]:
        return self._source_class(caller, self._record_of)

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """A client with credentials from environment variables.

        The variables are named after the service and the argument, such as ``BSUBIO_API_KEY`` or
        ``VIDISPINE_BASE_URL``.

        Args:
            **options: Further arguments of the client; they win over the environment.

        Raises:
            InvalidArgument: The environment lacks the credentials, or has two kinds of them.
        """
        found: dict[str, Any] = {}
        for name in (*cls._environment, "base_url"):
            value = os.environ.get(f"{cls.service}_{name}".upper())
            if value:
                found[name] = value
        found.update(options)
        for name, parameter in signature(cls).parameters.items():
            if parameter.default is Parameter.empty and name not in found:
                raise InvalidArgument(name, f"set {cls.service.upper()}_{name.upper()}")
        return cls(**found)

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
        await self.tracker.aclose()
        await self._caller.transport.aclose()

    def check(self) -> None:
        """Raise unless the client can be used now, from here.

        Raises:
            ClientClosed: It is closed, or was never opened.
            WrongEventLoop: It was opened in another event loop.
        """
        self._caller.transport.check()

    def with_options(
        self,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """A view of this client with other options; it shares everything else.

        Args:
            timeout: Seconds that one request may take.
            retries: The most repetitions of a call that may be repeated.
            headers: Further headers of every request, added to those of this view.

        Raises:
            InvalidArgument: One of them is out of bounds, or a header cannot be sent or belongs
                to the client.
        """
        options = self._caller.options
        if timeout is not None:
            options = attrs.evolve(options, timeout=_check_seconds(timeout))
        if retries is not None:
            retry = attrs.evolve(options.retry, retries=_check_count(retries))
            options = attrs.evolve(options, retry=retry)
        if headers is not None:
            options = attrs.evolve(options, headers={**options.headers, **_check_headers(headers)})
        view = copy.copy(self)
        view._caller = attrs.evolve(self._caller, options=options)
        return view

    # -- jobs

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
            raise InvalidArgument("ref", str(error)) from error
        record = self._record_of(key, parsed.scope)
        if parsed.created is not None and record.created_at is None:
            record.set_created(parsed.created, self._caller.transport.service_time(_now()), _now())
        return self._handle(record)

    def _key_of(self, job_id: Any) -> Any:
        """A job's id as the service's own type, checked."""
        return check_id("job_id", job_id)

    def _parse_key(self, text: str) -> Any:
        """A job's id from a reference, checked."""
        return self._key_of(text)

    def _record_of(
        self, key: Any, scope: str | None = None, *, sure: bool = False
    ) -> Record[DataT]:
        """What is known of a job; made where nothing is."""
        record = self._records.get(key)
        if record is None:
            record = Record(key, cancelled=key in self._cancelled)
            self._records[key] = record
        if scope is not None and (sure or record.scope is None):
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
        now = _now()
        counted = record.observe(self._source.sight(data), asked_at=asked_at, now=now)
        if counted is not None:
            self.tracker.notice(record, counted)
        if row.repeat is Repeat.ONCE:
            record.born, record.dated = (
                asked_at,
                True,
            )  # what was just made needs no clock of the service
        elif record.created_at is not None:
            service_now = self._caller.transport.service_time(now)
            record.set_created(record.created_at.timestamp(), service_now, now)
        return self._handle(record)

    async def scope(self) -> str | None:
        """What else the service needs to find a job of which it is not known; None for most."""
        return None

    async def look(self, record: Record[DataT]) -> Sighting[DataT]:
        """Read a job in full, and note what was seen in its record; for handles."""
        asked_at = _now()
        sighting = await self._make_source(self._caller).read(record.key)
        counted = record.observe(sighting, asked_at=asked_at, now=_now())
        if counted is None:
            return sighting
        self.tracker.notice(record, counted)
        return counted

    async def call(self, row: Endpoint, *arguments: Any) -> Any:
        """Carry an operation out; for handles and generated classes."""
        with self._changing(row, arguments):
            return await self._caller.value(row, *arguments)

    async def start(self, row: Endpoint, *arguments: Any) -> JobT:
        """Carry an operation out whose answer is a job; for handles and generated classes."""
        asked_at = _now()
        return self._adopt(row, arguments, await self.call(row, *arguments), asked_at)

    async def download(self, row: Endpoint, *arguments: Any) -> Download:
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
        try:
            yield
        except OutcomeUnknown:
            self._touch(key)
            raise
        self._touch(key, starts=row.starts, cancels=row.cancels)

    def _touch(self, key: Any, *, starts: bool = False, cancels: bool = False) -> None:
        if cancels:
            self._cancelled[key] = None
            if len(self._cancelled) > REMEMBERED:
                self._cancelled.popitem(last=False)
        record = self._records.get(key)
        if record is not None:
            record.touch(_now(), starts=starts, cancels=cancels)
            self.tracker.look_soon(key)


class ServiceApi(Generic[JobT]):
    """The base of the generated API classes: one method for each kind of result."""

    __slots__ = ("_client",)

    def __init__(self, client: ServiceClient[JobT, Any]) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}>"

    async def _job(self, row: Endpoint, *arguments: Any) -> JobT:
        return await self._client.start(row, *arguments)

    async def _jobs(self, row: Endpoint, *arguments: Any) -> JobList[JobT]:
        asked_at = _now()
        value = await self._client.call(row, *arguments)
        found, total = value or ([], 0)
        return JobList(
            [self._client._adopt(row, arguments, data, asked_at) for data in found], total=total
        )

    async def _value(self, row: Endpoint, *arguments: Any) -> Any:
        return await self._client.call(row, *arguments)

    async def _text(self, row: Endpoint, *arguments: Any) -> str:
        return cast(str, await self._client.call(row, *arguments))

    async def _none(self, row: Endpoint, *arguments: Any) -> None:
        await self._client.call(row, *arguments)

    async def _download(self, row: Endpoint, *arguments: Any) -> Download:
        return await self._client.download(row, *arguments)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _check_seconds(timeout: object) -> float:
    if timeout is None:
        return TIMEOUT
    good = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not good or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise InvalidArgument("timeout", f"a positive number of seconds is due, not {timeout!r}")
    return float(timeout)


def _check_count(retries: object) -> int:
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise InvalidArgument("retries", f"a number from 0 on is due, not {retries!r}")
    return retries


_RESERVED: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "te",
        "token",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def _check_headers(headers: object) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise InvalidArgument("headers", f"a mapping is due, not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidArgument("headers", "names and values are str")
        if not name or not all(33 <= ord(c) < 127 and c not in '()<>@,;:\\"/[]?={}' for c in name):
            raise InvalidArgument("headers", f"{name!r} is no name of a header")
        if name.lower() in _RESERVED:
            raise InvalidArgument("headers", f"{name} is set by the client itself")
        check_header("headers", value)
    return dict(headers)
