"""Carries operations out: credentials, repetitions, decoding; and the options of a call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import attrs

from jobkit_async.answer import Answer, check, read, refusal
from jobkit_async.auth import Auth
from jobkit_async.endpoint import Endpoint, Repeat, ResultKind
from jobkit_async.errors import (
    InvalidArgument,
    JobkitError,
    Unauthorized,
)
from jobkit_async.redact import redact
from jobkit_async.request import Request, build, check_header
from jobkit_async.retry import Retry, RetryState
from jobkit_async.transfer import Download, UploadBody
from jobkit_async.transport import Reply, Transport

__all__ = ["TIMEOUT", "Caller", "Options", "check_count", "check_headers"]

TIMEOUT: Final = 30.0
"""Seconds that one request may take, unless said otherwise."""


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
        state = RetryState(row.repeat, self.options.retry, self.rng)

        async def send(more: Mapping[str, str]) -> Reply:
            async def attempt(request: Request, headers: Mapping[str, str]) -> Reply:
                timeout = self.options.timeout
                # As it is: its size is told then, and a rest can be asked for.
                plain = {"Accept-Encoding": "identity", **headers, **more}
                reply = await self.transport.stream(request, plain, timeout=timeout)
                if 200 <= reply.status < 300 or (more and reply.status == 416):
                    return reply
                raise await self._refusal(request, reply)

            return cast(Reply, await self._repeat(row, arguments, attempt))

        async def reopen(error: JobkitError, headers: Mapping[str, str], *, headway: bool) -> Reply:
            nonlocal state
            if headway:
                state = RetryState(row.repeat, self.options.retry, self.rng)
            pause = state.pause(error)
            if pause is None:
                raise error
            await asyncio.sleep(pause)
            return await send(headers)

        return Download(
            await send({}),
            operation=row.name,
            reopen=reopen if row.repeat is Repeat.SAFE else None,
            fixed=row.returns.fixed,
        )

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
        if isinstance(request.body, UploadBody):
            await request.body.check()
        state = RetryState(row.repeat, self.options.retry, self.rng)
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
                if state.done_before(error):
                    return _done(row)
                pause = state.pause(error)
                if pause is None or not request.rewindable:
                    raise
                await asyncio.sleep(pause)


def _scrub(error: JobkitError, request: Request) -> None:
    """Take credentials out of an error's message, into which a server may have echoed them."""
    error.args = tuple(redact(str(arg), request.secrets) for arg in error.args)


def _done(row: Endpoint) -> Any:
    """What stands for the lost answer of an earlier attempt that took effect."""
    result = row.returns
    return result.type() if result.kind is ResultKind.VALUE and attrs.has(result.type) else None


def check_count(retries: object) -> int:
    """A number of repetitions, checked.

    Raises:
        InvalidArgument: It is no number from 0 on.
    """
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


def check_headers(headers: object) -> dict[str, str]:
    """Further headers of requests, checked.

    Raises:
        InvalidArgument: One cannot be sent, or belongs to the client.
    """
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
