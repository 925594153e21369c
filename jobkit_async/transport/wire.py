"""The transport itself: one request out, one answer back."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any, Final, NoReturn, cast
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
import attrs
from yarl import URL

from jobkit_async.answer import Answer, http_date
from jobkit_async.calls import Calls, CallTime
from jobkit_async.errors import (
    AnswerTooLarge,
    ClientClosed,
    InvalidArgument,
    OutcomeUnknown,
    RequestTimeout,
    TransportError,
    WrongEventLoop,
)
from jobkit_async.options import Limits
from jobkit_async.pool import Lane, Pool
from jobkit_async.request import Request
from jobkit_async.transfer import UploadBody
from jobkit_async.transport.bodies import body_of, stall_of
from jobkit_async.transport.checks import check_middlewares, check_session
from jobkit_async.transport.exchange import Exchange, Outage
from jobkit_async.transport.failures import behind, translate
from jobkit_async.transport.guards import never_again, ours_alone
from jobkit_async.transport.redirects import STATUSES, next_url
from jobkit_async.transport.reply import Reply

__all__ = ["REFUSAL", "Transport"]


REFUSAL: Final = 1 << 16
"""Bytes of a refusal that are read; only its beginning is ever shown."""


class Transport:
    """Sends requests to one base URL.

    Args:
        base_url: Where the service is; see :func:`check_base_url`.
        session: The caller's own aiohttp session, which is neither closed nor changed; None to
            have one made and closed here.
        user_agent: Makes the User-Agent header.
        limits: How many requests at once, and a second; and how much of an answer is held.
        middlewares: The caller's own, around every request.

    Raises:
        InvalidArgument: The session brings credentials or a base URL of its own, or trusts
            everybody; or the middlewares are none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        session: aiohttp.ClientSession | None,
        user_agent: Callable[[], str],
        limits: Limits,
        middlewares: Sequence[aiohttp.ClientMiddlewareType] | None = None,
    ) -> None:
        if session is not None:
            check_session(session, base_url)
        self.base_url = base_url
        self._session = session
        self._own = session is None
        self._user_agent = user_agent
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._clock_offset: float | None = None
        self._replies: WeakSet[Reply] = WeakSet()
        self._outage = Outage(urlsplit(base_url).netloc)
        self._middlewares = check_middlewares(() if middlewares is None else middlewares)
        self.calls: Final = Calls()
        self.limits: Final = limits
        self.pool: Final = Pool(_narrowed(limits, session))

    @property
    def closed(self) -> bool:
        """Whether it has been closed for good."""
        return self._closed

    async def open(self) -> None:
        """Bind to the running loop.

        Raises:
            ClientClosed: It has been closed.
            InvalidArgument: The caller's session is closed.
            WrongEventLoop: It, or the caller's session, belongs to another event loop.
        """
        if self._closed:
            raise ClientClosed("the client is closed; make a new one")
        self._check_loop()
        self._loop = asyncio.get_running_loop()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # the pool limits them
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        elif self._session.closed:
            raise InvalidArgument("session", "it is closed")
        elif getattr(self._session, "_loop", self._loop) is not self._loop:
            raise WrongEventLoop("the session was made in another event loop; make one in this")

    def shut(self) -> None:
        """Let nothing be sent any more, for good.

        Raises:
            WrongEventLoop: It was opened in another event loop.
        """
        self._check_loop()
        self._closed = True

    async def aclose(self) -> None:
        """Close for good; calls that are under way end with :class:`ClientClosed`."""
        self.shut()
        self.calls.end(lambda: ClientClosed("the client was closed during the call"))
        for reply in list(self._replies):
            reply.close(ClientClosed)
        if self._own and self._session is not None:
            await self._session.close()

    def check(self) -> None:
        """Raise unless a request can be sent now, from here.

        Raises:
            ClientClosed: The client is closed or was never opened.
            WrongEventLoop: It was opened in another event loop.
        """
        if self._closed:
            raise ClientClosed("the client is closed")
        if self._loop is None:
            raise ClientClosed("the client is not open: use it with 'async with'")
        self._check_loop()

    def _check_loop(self) -> None:
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise WrongEventLoop(
                "the client was opened in another event loop; make one client for each loop"
            )

    def service_time(self, at: float) -> float | None:
        """The service's Unix time at a time of the loop, or None while no answer told it."""
        offset = self._clock_offset
        return None if offset is None else at + offset

    # -- one call

    async def send(
        self, request: Request, headers: Mapping[str, str], *, time: CallTime, lane: Lane
    ) -> Answer:
        """Send a request and read the answer to its end.

        Args:
            request: What to send.
            headers: Further headers: the credentials and the caller's own.
            time: The time that the call has; it stands still while it waits for its turn.
            lane: Among whom it waits for its turn.

        Raises:
            TransportError: No answer, or not all of its headers.
            ApiError: A redirect that is not followed.
            AnswerTooLarge: The body exceeds the request's limit.
        """
        reply = await self._reply(request, headers, time=time, lane=lane)
        whole = reply.at_once()
        if whole is not None:
            try:
                _check_size(request, reply, len(whole))
            finally:
                reply.close()
            return Answer(reply.status, reply.headers, whole)
        # An upload has no time for all of it, but the answer to it has.
        bound = None
        if isinstance(request.body, UploadBody):
            bound = CallTime(attrs.evolve(time.timeout, call=time.timeout.attempt)).left
        cut: str | None = None
        body = io.BytesIO()  # whose value is not copied once more, unlike that of a bytearray
        try:
            with self.calls.under_way(bound):
                await self._read(request, reply, body)
        except TransportError as error:
            if isinstance(error, RequestTimeout | OutcomeUnknown):
                raise
            cut = "it was cut off"
        except TimeoutError as error:
            with reply.exchange.failing():
                self._fail(request, error, answered=True)
        finally:
            reply.close()
        return Answer(reply.status, reply.headers, body.getvalue(), cut)

    @staticmethod
    async def _read(request: Request, reply: Reply, body: io.BytesIO) -> None:
        """Take an answer in."""
        size = 0
        async for chunk in reply.chunks():
            size += body.write(chunk)
            if not 200 <= reply.status < 300 and size > REFUSAL:
                break
            _check_size(request, reply, size)

    async def stream(
        self, request: Request, headers: Mapping[str, str], *, time: CallTime, lane: Lane
    ) -> Reply:
        """Send a request and return as soon as the answer's headers are there.

        The request's turn lasts until the reply is closed. Arguments and errors as for
        :meth:`send`.
        """
        reply = await self._reply(request, headers, time=time, lane=lane)
        self._replies.add(reply)
        return reply

    async def _reply(
        self, request: Request, headers: Mapping[str, str], *, time: CallTime, lane: Lane
    ) -> Reply:
        """Send a request, and follow redirects."""
        urls = [URL(self.base_url + request.target, encoded=True)]
        while True:
            self.check()
            leave = self.pool.enter_now(lane)
            if leave is None or request.once or self._is_shut():
                leave = await self._turn(request, time, lane, leave)
            exchange = Exchange(request, self._outage)
            try:
                response = await self._ask(request, urls[-1], headers, time, exchange)
            except BaseException:
                leave()
                exchange.end()
                raise
            reply = Reply(
                request,
                response,
                exchange,
                calls=self.calls,
                fail=partial(self._fail, request, answered=True),
                leave=leave,
            )
            if response.status not in STATUSES:
                return reply
            reply.close()
            location = response.headers.get("Location")
            urls.append(next_url(request, response.status, location, urls, base_url=self.base_url))

    def _is_shut(self) -> bool:
        return self._session is None or self._session.closed

    async def _turn(
        self, request: Request, time: CallTime, lane: Lane, leave: Callable[[], None] | None
    ) -> Callable[[], None]:
        """Wait for the request's turn, unless it is there; what ends it is returned."""
        if leave is None:
            leave = await self._wait_for_turn(request, time, lane)
        try:
            if request.once:
                # Let the loop take note of idle connections that the server has closed: what is
                # sent on one of those is lost, and must not be sent again.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            self.check()
            if self._is_shut():
                raise ClientClosed("the session was closed")
        except BaseException:
            leave()
            raise
        return leave

    async def _wait_for_turn(
        self, request: Request, time: CallTime, lane: Lane
    ) -> Callable[[], None]:
        patience = time.timeout.call

        def starved() -> RequestTimeout:
            time.end()  # nothing more to try: the pool would not move for another try either
            return RequestTimeout(
                f"{request.operation}: it was not sent: the requests under way (there are "
                f"{self.pool.used}, unread downloads among them) left no room for it "
                f"within {patience:g} s",
                operation=request.operation,
            )

        with time.stopped(), self.calls.under_way(self.pool.patience(lane, patience), starved):
            return await self.pool.enter(lane)

    async def _ask(
        self,
        request: Request,
        url: URL,
        headers: Mapping[str, str],
        time: CallTime,
        exchange: Exchange,
    ) -> aiohttp.ClientResponse:
        """Send one request, and return the answer when its headers are there."""
        session = cast(aiohttp.ClientSession, self._session)
        upload = request.body if isinstance(request.body, UploadBody) else None
        timeout = time.timeout
        stalled = None
        if upload is not None:
            stalled = stall_of(upload, timeout)
        elif request.row.returns.kind == "bytes":
            stalled = time.left
        total = None if stalled else max(min(timeout.attempt, time.left()), 1e-3)
        # The last begins when the system has taken an upload, not when it has left. Where it cannot
        # be the first to come, it would only be one more timer.
        silent = timeout.read if upload is None and timeout.read < (total or math.inf) else None
        # Before the rest ends: that a connection never stood means that nothing was sent.
        connect = min(timeout.connect, 0.98 * (total or timeout.read))
        response: aiohttp.ClientResponse | BaseException
        try:
            stop = time.stopped() if upload is not None else nullcontext()
            with stop, self.calls.under_way(stalled):
                body, own = (None, {}) if request.body is None else await body_of(request)
                response = await session.request(
                    request.row.method,
                    url,
                    data=body,
                    skip_auto_headers=() if request.body is not None else ("Content-Type",),
                    allow_redirects=False,
                    raise_for_status=False,
                    auto_decompress=True,
                    timeout=_times(total, connect, silent),
                    **self._identified(
                        session,
                        {"User-Agent": self._user_agent(), **request.headers, **headers, **own},
                    ),
                )
        except BaseException as error:  # noqa: BLE001 - mapped or raised as it is
            if upload is not None:
                upload.close()
            response = error
        if isinstance(response, BaseException):
            # Out here, so that an error of aiohttp's that shows the request is nobody's context.
            with exchange.failing():
                self._fail(request, response)
        self._learn(response)
        exchange.answered(response.status)
        return response

    def _identified(
        self, session: aiohttp.ClientSession, headers: dict[str, str]
    ) -> dict[str, Any]:
        """The headers, and the middlewares."""
        own: list[Any] = [*self._middlewares]
        if session.trust_env:
            # aiohttp would add credentials of a .netrc file, or stumble over ours beside them.
            own.append(ours_alone(headers.pop("Authorization", None)))
        own.append(never_again)
        # A request's middlewares take the place of the session's, which are to stay; aiohttp
        # shows them nowhere else, and knows no other way to have some for one request.
        return {
            "headers": headers,
            "middlewares": (*getattr(session, "_middlewares", ()), *own),
        }

    def _learn(self, response: aiohttp.ClientResponse) -> None:
        date = http_date(response.headers.get("Date"))
        if date is not None:
            # The header is cut to whole seconds: half a second is the least error on average.
            self._clock_offset = date + 0.5 - asyncio.get_running_loop().time()

    def _fail(self, request: Request, error: BaseException, *, answered: bool = False) -> NoReturn:
        """Raise what a failure of aiohttp means to our callers."""
        session = cast(aiohttp.ClientSession, self._session)
        if isinstance(error, Exception) and (self._closed or session.closed):
            raise ClientClosed(
                f"{request.operation}: the client was closed during the call"
            ) from behind(error)
        translate(request, error, host=urlsplit(self.base_url).netloc, answered=answered)


def _check_size(request: Request, reply: Reply, size: int) -> None:
    if size > request.limit and 200 <= reply.status < 300:
        with reply.exchange.failing():
            raise AnswerTooLarge(
                f"it is larger than {request.limit >> 20} MiB",
                operation=request.operation,
                status=reply.status,
            )


@lru_cache(maxsize=32)
def _times(total: float | None, connect: float, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=total,
        connect=connect,
        sock_connect=connect,
        sock_read=read,
        ceil_threshold=math.inf,
    )


def _narrowed(limits: Limits, session: aiohttp.ClientSession | None) -> Limits:
    """Limits that a caller's session keeps too, so that nobody has to wait within it."""
    connector = session.connector if session is not None else None
    if connector is None:
        return limits
    most = [number for number in (connector.limit, connector.limit_per_host) if number]
    return attrs.evolve(limits, max_concurrent=min([limits.max_concurrent, *most]))
