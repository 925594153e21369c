"""The receiver of callbacks: who may call, what a call is about, and whom it wakes.

A call is a hint and no more. Of what it says only the job's id is used, and only to read that job
from the service at once if somebody waits for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from weakref import ReferenceType, ref

import attrs

from jobkit_async.checks import check_count, check_number, check_text
from jobkit_async.errors import ClientClosed, InvalidArgument, WrongEventLoop
from jobkit_async.polling.tracker import Tracker
from jobkit_async.registry import find_service
from jobkit_async.service import ServiceClient
from jobkit_async.spec import CallbackFormat
from jobkit_async.transport import Transport

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Answer", "CallbackReceiver", "Message"]

_log = logging.getLogger("jobkit_async.callbacks")

Message = MutableMapping[str, Any]
"""A message of ASGI."""

SHORTEST_SECRET: Final = 16
"""The fewest characters of a secret."""
LONGEST_KEY: Final = 1000
"""The most characters of a job's id: ids are remembered, also those of unknown jobs."""
BURST: Final = 10.0
"""Seconds of calls at the highest rate that may come at once."""
BODY_TIME: Final = 30.0
"""Seconds in which the body of a call has to arrive."""


@attrs.frozen
class Answer:
    """What a caller is answered.

    Attributes:
        status: The HTTP status.
        text: A line for people; empty with 204.
        headers: Further headers.
    """

    status: int
    text: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class _Listener:
    """One client's waits, as long as the client lives."""

    transport: ReferenceType[Transport]
    tracker: ReferenceType[Tracker[Any]]


@attrs.frozen
class _Line:
    """Whom the calls to one address are for.

    Attributes:
        service: Name of the service.
        format: What its calls look like.
        listeners: Clients of that deployment of the service.
    """

    service: str
    format: CallbackFormat
    listeners: list[_Listener] = attrs.field(factory=list)


class CallbackReceiver:
    """Takes callbacks of services, and wakes those who wait for the jobs that they are about.

    It is an ASGI application, to be mounted in one of FastAPI, Starlette and others;
    :meth:`aiohttp_app` gives a sub-application for ``aiohttp.web``. Waits go on polling, at a
    slower pace for jobs that were made with an address of :meth:`url_for`: a call that is lost,
    late, doubled or forged changes no outcome.

    Args:
        public_url: Where the receiver is mounted, as the services reach it, such as
            ``https://app.example/callbacks``.
        secret: What the addresses are made from, at least 16 characters. With the same one they
            are the same after a restart and in all workers. By default they are new each time.
        max_body: The most bytes of a call; Leia's hold the results of their jobs.
        max_rate: The most calls a second; ten times as many may come at once.

    Raises:
        InvalidArgument: An argument cannot be used.
    """

    def __init__(
        self,
        public_url: str,
        *,
        secret: str | None = None,
        max_body: int = 4 << 20,
        max_rate: float = 100.0,
    ) -> None:
        self._public_url = _check_url(public_url)
        if secret is None:
            secret = secrets.token_urlsafe(32)
        elif len(check_text("secret", secret)) < SHORTEST_SECRET:
            raise InvalidArgument("secret", f"it has fewer than {SHORTEST_SECRET} characters")
        self._secret = secret.encode()
        self._max_body = check_count("max_body", max_body, 1)
        self._max_rate = check_number("max_rate", max_rate)
        self._lines: dict[bytes, _Line] = {}
        self._level = BURST * self._max_rate
        self._filled_at: float | None = None

    def __repr__(self) -> str:
        return f"<CallbackReceiver at {self._public_url}, {len(self._lines)} addresses>"

    def url_for(self, client: ServiceClient[Any, Any]) -> str:
        """The address for calls about the jobs of a client: nobody can guess it.

        Pass it as ``callback_url=`` to the operations of Leia that take one; for Vidispine, give
        it to the notification that your jobs name with ``notification=``. From then on the
        client's waits are woken by calls.

        Args:
            client: The client that waits for the jobs. Its service, and where that is, make the
                address.

        Raises:
            InvalidArgument: It is no client, or its service does not call back.
        """
        if not isinstance(client, ServiceClient):
            raise InvalidArgument("client", f"a client is due, not {type(client).__name__}")
        form = find_service(client.service).callbacks
        if form is None:
            raise InvalidArgument(
                "client", f"{client.service} does not call back; waits for its jobs poll"
            )
        token = self._token(f"{client.service}:{client.deployment}")
        url = f"{self._public_url}/{token}"
        line = self._lines.setdefault(token.encode(), _Line(client.service, form))
        client._callbacks[url] = form.promises
        others = (None, client._tracker)  # of clients that are gone, and of this one or its views
        line.listeners[:] = [each for each in line.listeners if each.tracker() not in others]
        line.listeners.append(_Listener(ref(client._caller.transport), ref(client._tracker)))
        return url

    def _token(self, place: str) -> str:
        digest = hmac.digest(self._secret, place.encode(), hashlib.sha256)
        return urlsafe_b64encode(digest).decode().rstrip("=")

    # -- taking calls

    async def answer(
        self, method: str, path: str, length: str | None, chunks: AsyncIterator[bytes]
    ) -> Answer:
        """Take a call in; for those who serve HTTP.

        Args:
            method: The HTTP method.
            path: The path of the request; what counts is its last segment.
            length: The Content-Length, or None.
            chunks: The body. It is not read where the call is refused before that.
        """
        line = self._line(path.rpartition("/")[2])
        if line is None:
            return Answer(404, "there is nothing here")
        answer = await self._take(line, method, length, chunks)
        if answer.text:
            _log.info("%s: a call was refused: %s", line.service, answer.text)
        return answer

    def _line(self, token: str) -> _Line | None:
        """Whom an address is for; in a time that tells nothing about near misses."""
        given = token.encode(errors="replace")
        found: _Line | None = None
        for known, line in self._lines.items():
            if hmac.compare_digest(known, given):
                found = line
        return found

    async def _take(
        self, line: _Line, method: str, length: str | None, chunks: AsyncIterator[bytes]
    ) -> Answer:
        if method != "POST":
            text = "a call is a POST"
            return Answer(405, text, (("Allow", "POST"),))
        wait = self._spend()
        if wait > 0.0:
            text = f"there are more than {self._max_rate:g} calls a second"
            retry = ("Retry-After", f"{max(1.0, wait):.0f}")
            return Answer(429, text, (retry,))
        try:
            async with asyncio.timeout(BODY_TIME):
                body = await self._read(length, chunks)
        except TimeoutError:
            return Answer(408, "the body has not come in time")
        if body is None:
            text = f"the body has more than {self._max_body} bytes"
            return Answer(413, text)
        key = line.format.key(body)
        if key is None or (isinstance(key, str) and len(key) > LONGEST_KEY):
            return Answer(400, f"this is not {line.format.expected}")
        woken = [self._wake(listener, key) for listener in line.listeners]
        _log.debug("%s: a call about a job, %d clients told", line.service, sum(woken))
        # Whether anybody knows the job is nobody's business.
        return Answer(204)

    async def _read(self, length: str | None, chunks: AsyncIterator[bytes]) -> bytes | None:
        """The body; None if it is too large."""
        if length is not None and length.isdecimal() and int(length[:20]) > self._max_body:
            return None
        body = bytearray()
        async for chunk in chunks:
            if len(body) + len(chunk) > self._max_body:
                return None
            body += chunk
        return bytes(body)

    def _spend(self) -> float:
        """Count one call; seconds until it would be allowed, 0 if it is."""
        now = asyncio.get_running_loop().time()
        if self._filled_at is not None:
            rise = max(0.0, now - self._filled_at) * self._max_rate
            self._level = min(BURST * self._max_rate, self._level + rise)
        self._filled_at = now
        if self._level < 1.0:
            return (1.0 - self._level) / self._max_rate
        self._level -= 1.0
        return 0.0

    @staticmethod
    def _wake(listener: _Listener, key: Any) -> bool:
        """Have a client look at a job, if it is open here; whether it is."""
        transport, tracker = listener.transport(), listener.tracker()
        if transport is None or tracker is None:
            return False
        try:
            transport.check()
        except ClientClosed:
            return False
        except WrongEventLoop:
            _log.warning("a call came in another event loop than the client's; it is left aside")
            return False
        tracker.nudge(key)
        return True

    # -- serving

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Serve ASGI."""
        from jobkit_async.callbacks import asgi  # noqa: PLC0415 - it knows this module

        await asgi.serve(self, scope, receive, send)

    def aiohttp_app(self) -> web.Application:
        """A new application for ``aiohttp.web``.

        It is to be added as a sub-application::

            app.add_subapp("/callbacks", receiver.aiohttp_app())
        """
        from jobkit_async.callbacks import web  # noqa: PLC0415 - it loads aiohttp's server

        return web.application(self)


def _check_url(public_url: object) -> str:
    """Where a receiver is mounted, without its trailing slash.

    Raises:
        InvalidArgument: It is no http or https URL, or carries more than host, port and path.
    """
    text = check_text("public_url", public_url)
    if any(letter <= " " or letter == "\x7f" for letter in text):
        raise InvalidArgument("public_url", "it holds spaces or control characters")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidArgument("public_url", f"it is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidArgument("public_url", "it must look like https://app.example/callbacks")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise InvalidArgument("public_url", "it carries user info, a query or a fragment")
    return text.rstrip("/")
