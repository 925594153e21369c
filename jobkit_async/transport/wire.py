"""The transport itself: one request out, one answer back."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NoReturn, cast
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
from yarl import URL

from jobkit_async.answer import Answer, http_date
from jobkit_async.calls import Calls
from jobkit_async.endpoint import Repeat
from jobkit_async.errors import (
    AnswerTooLarge,
    ClientClosed,
    ConnectFailed,
    ConnectionLost,
    InvalidArgument,
    JobkitError,
    OutcomeUnknown,
    RequestTimeout,
    TransportError,
    WrongEventLoop,
)
from jobkit_async.redact import redact
from jobkit_async.request import Request
from jobkit_async.transfer import UploadBody
from jobkit_async.transport.bodies import body_of, stall_of
from jobkit_async.transport.checks import check_session
from jobkit_async.transport.guards import Lost, never_again, ours_alone

__all__ = ["Reply", "Transport"]

_log = logging.getLogger("jobkit_async.transport")


CONNECT_TIMEOUT: Final = 15.0
"""The most seconds that it may take to connect."""
CHUNK: Final = 1 << 18
"""The most bytes of a body that are taken at once, however many have been unpacked."""
BREATH: Final = 1 << 20
"""Bytes of a body that are taken in before the event loop gets its turn."""
REFUSAL: Final = 1 << 16
"""Bytes of a refusal that are read; only its beginning is ever shown."""

_FOREIGN: Final = (aiohttp.ClientError, OSError, EOFError)
"""What aiohttp raises when something went wrong on the way; anything else is raised as it is."""


class Reply:
    """An answer whose body is still to be read; what a download streams from."""

    def __init__(self, transport: Transport, request: Request, response: Any) -> None:
        self._transport = transport
        self._request = request
        self._response: aiohttp.ClientResponse = response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer; names compare without case."""
        return self._response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, decompressed, in chunks as they come, of :data:`CHUNK` bytes at the most."""
        chunks = self._response.content.iter_chunked(CHUNK)
        while True:
            chunk: bytes | BaseException | None
            try:
                with self._transport.calls.under_way():
                    chunk = await anext(chunks, None)
            except BaseException as error:  # noqa: BLE001 - mapped or raised as it is
                chunk = error
            if isinstance(chunk, BaseException):
                self._transport.translate(self._request, chunk, answered=True)
            if chunk is None:
                break
            yield chunk

    def close(self) -> None:
        """Give the connection back: to the pool if the body was read to its end."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()
        if isinstance(self._request.body, UploadBody):
            self._request.body.close()


class Transport:
    """Sends requests to one base URL.

    Args:
        base_url: Where the service is; see :func:`check_base_url`.
        session: The caller's own aiohttp session, which is neither closed nor changed; None to
            have one made and closed here.
        user_agent: The User-Agent header.

    Raises:
        InvalidArgument: The session brings credentials or a base URL of its own.
    """

    def __init__(
        self, base_url: str, *, session: aiohttp.ClientSession | None, user_agent: str
    ) -> None:
        if session is not None:
            check_session(session)
        self.base_url = base_url
        self._session = session
        self._own = session is None
        self._user_agent = user_agent
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._clock_offset: float | None = None
        self._replies: WeakSet[Reply] = WeakSet()
        self.calls: Final = Calls()

    @property
    def closed(self) -> bool:
        """Whether it has been closed for good."""
        return self._closed

    async def open(self) -> None:
        """Bind to the running loop.

        Raises:
            ClientClosed: It has been closed.
            InvalidArgument: The caller's session is closed.
        """
        if self._closed:
            raise ClientClosed("the client is closed; make a new one")
        self._check_loop()
        self._loop = asyncio.get_running_loop()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
            )
        elif self._session.closed:
            raise InvalidArgument("session", "it is closed")

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
            reply.close()
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
        self,
        request: Request,
        headers: Mapping[str, str],
        *,
        timeout: float,
    ) -> Answer:
        """Send a request and read the answer to its end.

        Args:
            request: What to send.
            headers: Further headers: the credentials and the caller's own.
            timeout: Seconds for all of it; for an upload, between two signs of life.

        Raises:
            TransportError: No answer, or not all of its headers.
            AnswerTooLarge: The body exceeds the request's limit.
        """
        reply = await self.stream(request, headers, timeout=timeout)
        body = io.BytesIO()  # whose value is not copied once more, unlike that of a bytearray
        size, breath = 0, BREATH
        cut: str | None = None
        try:
            async for chunk in reply.chunks():
                size += body.write(chunk)
                if size >= breath:
                    breath = size + BREATH
                    await asyncio.sleep(0)  # chunks that are there already come without a pause
                if not 200 <= reply.status < 300 and size > REFUSAL:
                    break
                if size > request.limit:
                    raise AnswerTooLarge(
                        f"it is larger than {request.limit >> 20} MiB",
                        operation=request.operation,
                        status=reply.status,
                    )
        except TransportError as error:
            if isinstance(error, RequestTimeout | OutcomeUnknown):
                raise
            cut = "it was cut off"
        finally:
            reply.close()
        return Answer(reply.status, reply.headers, body.getvalue(), cut)

    async def stream(
        self,
        request: Request,
        headers: Mapping[str, str],
        *,
        timeout: float,
    ) -> Reply:
        """Send a request and return as soon as the answer's headers are there.

        Arguments and errors as for :meth:`send`.
        """
        self.check()
        session = cast(aiohttp.ClientSession, self._session)
        if session.closed:
            raise ClientClosed("the session was closed")
        upload = request.body if isinstance(request.body, UploadBody) else None
        streams = upload is not None or request.row.returns.kind == "bytes"
        started = time.monotonic()
        response: aiohttp.ClientResponse | BaseException
        try:
            with self.calls.under_way(stall_of(upload, timeout) if upload is not None else None):
                response = await session.request(
                    request.row.method,
                    URL(self.base_url + request.target, encoded=True),
                    data=await body_of(request),
                    skip_auto_headers=() if request.body is not None else ("Content-Type",),
                    allow_redirects=False,
                    raise_for_status=False,
                    auto_decompress=True,
                    timeout=aiohttp.ClientTimeout(
                        total=None if streams else timeout,
                        sock_connect=min(CONNECT_TIMEOUT, timeout),
                        sock_read=timeout,
                    ),
                    **self._identified(
                        session,
                        request,
                        {"User-Agent": self._user_agent, **request.headers, **headers},
                    ),
                )
        except BaseException as error:  # noqa: BLE001 - mapped or raised as it is
            if upload is not None:
                upload.close()
            _log.debug(
                "%s %s: %s after %.3f s",
                request.row.method,
                _shown(request),
                type(error).__name__,
                time.monotonic() - started,
            )
            response = error
        if isinstance(response, BaseException):
            # Out here, so that an error of aiohttp's that shows the request is nobody's context.
            self.translate(request, response)
        self._learn(response)
        _log.debug(
            "%s %s: %d in %.3f s",
            request.row.method,
            _shown(request),
            response.status,
            time.monotonic() - started,
        )
        reply = Reply(self, request, response)
        self._replies.add(reply)
        return reply

    def _identified(
        self, session: aiohttp.ClientSession, request: Request, headers: dict[str, str]
    ) -> dict[str, Any]:
        """The headers, and the middlewares where some are due."""
        own: list[Any] = []
        if request.row.repeat is not Repeat.SAFE:
            own.append(never_again)
        if session.trust_env:
            # aiohttp would add credentials of a .netrc file, or stumble over ours beside them.
            own.append(ours_alone(headers.pop("Authorization", None)))
        if not own:
            return {"headers": headers}
        # A request's middlewares take the place of the session's, which aiohttp does not show;
        # the caller's are to stay.
        return {
            "headers": headers,
            "middlewares": (*getattr(session, "_middlewares", ()), *own),
        }

    def _learn(self, response: aiohttp.ClientResponse) -> None:
        date = http_date(response.headers.get("Date"))
        if date is not None:
            # The header is cut to whole seconds: half a second is the least error on average.
            self._clock_offset = date + 0.5 - asyncio.get_running_loop().time()

    def translate(
        self, request: Request, error: BaseException, *, answered: bool = False
    ) -> NoReturn:
        """Raise what a failure of aiohttp means to our callers.

        Args:
            request: The request that failed.
            error: What aiohttp raised.
            answered: Whether the answer's headers had arrived.
        """
        name = request.operation
        if not isinstance(error, Exception):
            raise error
        if self._closed or (self._session is not None and self._session.closed):
            raise ClientClosed(f"{name}: the client was closed during the call") from error
        if not isinstance(error, _FOREIGN):
            raise error
        upload = request.body if isinstance(request.body, UploadBody) else None
        if upload is not None and upload.failure is not None and not answered:
            raise InvalidArgument(
                upload.argument, f"reading it failed: {upload.failure}"
            ) from upload.failure
        if isinstance(error, JobkitError):
            raise error
        if isinstance(
            error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
        ) and not isinstance(error, Lost):
            raise ConnectFailed(
                f"{name}: no connection to {urlsplit(self.base_url).netloc}: {_cause(error)}",
                operation=name,
            ) from error
        # aiohttp's own text and repr show the request, its query and its headers: they stay out.
        cause = None if isinstance(error, aiohttp.ClientResponseError) else error
        lost = answered and isinstance(error, TimeoutError)  # it began to answer, and went silent
        if request.once and (lost or not answered):
            raise OutcomeUnknown(
                f"{name}: the answer was lost, so it may or may not have taken effect; "
                f"{request.row.recover}",
                operation=name,
            ) from cause
        if isinstance(error, TimeoutError):
            raise RequestTimeout(f"{name}: no answer in time", operation=name) from cause
        raise ConnectionLost(
            f"{name}: the connection was lost ({type(error).__name__})", operation=name
        ) from cause


def _cause(error: BaseException) -> str:
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
    return str(inner or "it took too long")


def _shown(request: Request) -> str:
    """Path and query for the log."""
    return redact(request.target, request.secrets)
