"""Carries operations out: credentials, repetitions, decoding; and the options of a call."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import attrs

from jobkit_async.answer import Answer, check, read, refusal
from jobkit_async.auth import Auth
from jobkit_async.calls import CallTime
from jobkit_async.endpoint import Endpoint, Repeat, ResultKind
from jobkit_async.errors import (
    ClientClosed,
    InvalidArgument,
    JobkitError,
    RequestTimeout,
    Unauthorized,
    kind_of,
)
from jobkit_async.hooks import Reporter
from jobkit_async.options import Retry, Timeout
from jobkit_async.pool import Lane
from jobkit_async.redact import forget_frames, redact
from jobkit_async.request import Request, build, check_header
from jobkit_async.retry import Budget, RetryState
from jobkit_async.transfer import Download, UploadBody
from jobkit_async.transport import REFUSAL, Reply, Transport

__all__ = ["Caller", "Options", "check_headers"]

_log = logging.getLogger("jobkit_async.transport")


@attrs.frozen(kw_only=True)
class Options:
    """What a view of a client may change.

    Attributes:
        timeout: How long the parts of a call may take.
        retry: How often a call that may be repeated is repeated.
        headers: Further headers of every request.
        reporter: Who tells the hooks of requests and repetitions, or None.
    """

    timeout: Timeout = attrs.field(factory=Timeout)
    retry: Retry = attrs.field(factory=Retry)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    reporter: Reporter | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Caller:
    """Carries operations out: credentials, repetitions, decoding.

    Attributes:
        transport: Where requests go.
        auth: The credentials; None for a log-in.
        options: Timeouts and the like.
        budget: What all callers of a client together may spend on repetitions.
        rng: Where jitter comes from.
        lane: Among whom its requests wait for their turn.
        on_answer: Is told each answer that came, whatever its status; of a file's, none of its
            body.
    """

    transport: Transport
    auth: Auth | None
    options: Options
    budget: Budget
    rng: random.Random
    lane: Lane = Lane.CALLS
    on_answer: Callable[[Answer], None] | None = None

    async def value(self, row: Endpoint, *arguments: Any) -> Any:
        """Carry an operation out.

        Returns:
            The decoded value: models, or for a listing of jobs a list of models and the total.
        """

        async def attempt(request: Request, headers: Mapping[str, str], time: CallTime) -> Any:
            return read(request, await self._send(request, headers, time))

        return await self._repeat(row, arguments, attempt)

    async def answer(self, row: Endpoint, *arguments: Any) -> Answer:
        """Carry an operation out; a good answer, not decoded."""

        async def attempt(request: Request, headers: Mapping[str, str], time: CallTime) -> Answer:
            answer = await self._send(request, headers, time)
            check(request, answer)
            return answer

        return cast(Answer, await self._repeat(row, arguments, attempt))

    async def download(self, row: Endpoint, *arguments: Any) -> Download:
        """Carry an operation out whose answer is a file."""
        state, number = self._retries(row), 0

        async def send(more: Mapping[str, str]) -> Reply:
            async def attempt(
                request: Request, headers: Mapping[str, str], time: CallTime
            ) -> Reply:
                nonlocal number
                number = request.attempt
                # As it is: its size is told then, and a rest can be asked for.
                plain = {"Accept-Encoding": "identity", **headers, **more}
                reply = await self.transport.stream(request, plain, time=time, lane=self.lane)
                if self.on_answer is not None:
                    self.on_answer(Answer(reply.status, reply.headers, b""))
                if 200 <= reply.status < 300 or (more and reply.status == 416):
                    return reply
                raise await self._refusal(request, reply, time)

            return cast(Reply, await self._repeat(row, arguments, attempt, after=number))

        async def reopen(error: JobkitError, headers: Mapping[str, str], *, headway: bool) -> Reply:
            nonlocal state
            if headway:
                state = self._retries(row)
            pause = state.pause(error, self.options.timeout.call)
            if pause is None:
                raise error
            if self.options.reporter is not None:
                self.options.reporter.retry(row.name, number, pause, error)
            with self.transport.calls.under_way():
                await asyncio.sleep(pause)
            return await send(headers)

        return Download(
            await send({}),
            operation=row.name,
            reopen=reopen if row.repeat is Repeat.SAFE else None,
            fixed=row.returns.fixed,
        )

    def _retries(self, row: Endpoint) -> RetryState:
        return RetryState(row.repeat, self.options.retry, self.budget, self.rng)

    async def _send(self, request: Request, headers: Mapping[str, str], time: CallTime) -> Answer:
        answer = await self.transport.send(request, headers, time=time, lane=self.lane)
        if self.on_answer is not None:
            self.on_answer(answer)
        return answer

    async def _refusal(self, request: Request, reply: Reply, time: CallTime) -> JobkitError:
        body = bytearray()
        try:
            with self.transport.calls.under_way(time.left):
                async for chunk in reply.chunks():
                    body += chunk
                    if len(body) > REFUSAL:
                        break
        except ClientClosed:
            raise
        except (JobkitError, TimeoutError):
            pass  # the status says enough
        finally:
            reply.close()
        return refusal(request, Answer(reply.status, reply.headers, bytes(body)))

    async def _repeat(
        self,
        row: Endpoint,
        arguments: tuple[Any, ...],
        attempt: Callable[..., Any],
        *,
        after: int = 0,
    ) -> Any:
        """Carry a request out, once there is something to send.

        Args:
            row: The operation.
            arguments: Its arguments.
            attempt: Makes one attempt.
            after: How many attempts the call has seen before.
        """
        self.transport.check()
        request = build(row, arguments, self.transport.limits)
        time = CallTime(self.options.timeout)
        # Nothing else of it: the variables of this frame may be shown with an error.
        upload = request.body if isinstance(request.body, UploadBody) else None
        if upload is None:
            return await self._attempts(request, attempt, time, after)
        try:
            with self.transport.calls.under_way(time.left, lambda: _nothing(row, time)):
                await upload.check()
                await upload.begin()
            return await self._attempts(request, attempt, time, after)
        finally:
            upload.close()

    async def _attempts(
        self, request: Request, attempt: Callable[..., Any], time: CallTime, number: int
    ) -> Any:
        """Attempt a request until it succeeds or its error stands.

        A loop of ours and no middleware of aiohttp's: what follows from an attempt is decided by
        what lies above HTTP, such as an answer that was cut off, a log-in that has expired, or a
        404 that says that the attempt before has worked.
        """
        row = request.row
        reporter = self.options.reporter
        outer = sys.exception()
        state = self._retries(row)
        before: JobkitError | None = None
        renewed = False
        while True:
            number += 1
            headers: Mapping[str, str] = {}
            secrets: tuple[str, ...] = ()
            if self.auth is not None:
                headers = await self._credentials(row, self.auth, time)
                secrets = self.auth.secrets()
            told = request.attempted(number, reporter, secrets)
            try:
                result = await attempt(told, {**self.options.headers, **headers}, time)
            except Unauthorized as error:
                _scrub(error, told, outer)
                # Nothing was carried out, so even what must not be sent twice may be sent again.
                better = self.auth is not None and self.auth.renew(headers)
                if renewed or not better or not request.rewindable:
                    raise
                renewed = True
                if reporter is not None:
                    reporter.retry(row.name, number, 0.0, error)
            except JobkitError as error:
                _scrub(error, told, outer)
                if state.done_before(error):
                    return _done(row)
                pause = state.pause(error, time.left()) if request.rewindable else None
                if pause is None:
                    if isinstance(error, RequestTimeout) and time.over:
                        raise _over(row, time, before) from (before or error)
                    raise
                self.transport.check()  # closing ends pauses, but none that begins later
                if reporter is not None:
                    reporter.retry(row.name, number, pause, error)
                before = error
                _log.info("%s: %s; again in %.3f s", row.name, kind_of(error), pause)
                with self.transport.calls.under_way():
                    await asyncio.sleep(pause)
            else:
                self.budget.give()
                return result

    async def _credentials(self, row: Endpoint, auth: Auth, time: CallTime) -> Mapping[str, str]:
        """The headers to send, after a log-in if one is due."""
        headers = auth.at_hand()
        if headers is not None:
            return headers
        with self.transport.calls.under_way(time.left, lambda: _over(row, time, None)):
            return await auth.headers()


def _scrub(error: JobkitError, request: Request, outer: BaseException | None) -> None:
    """Take credentials out of an error: a server may have echoed them, and frames hold them."""
    forget_frames(error, outer)
    error.args = tuple(redact(str(arg), request.secrets) for arg in error.args)


def _over(row: Endpoint, time: CallTime, before: JobkitError | None) -> RequestTimeout:
    """The error of a call whose time is over."""
    told = f"; the attempt before ended with: {before}" if before is not None else ""
    return RequestTimeout(
        f"{row.name}: the time of the call, {time.timeout.call:g} s, is over{told}",
        operation=row.name,
    )


def _nothing(row: Endpoint, time: CallTime) -> RequestTimeout:
    """The error of an upload for which there is nothing to send."""
    return RequestTimeout(
        f"{row.name}: it was not sent: nothing came from the path to be uploaded "
        f"within {time.timeout.call:g} s",
        operation=row.name,
    )


def _done(row: Endpoint) -> Any:
    """What stands for the lost answer of an earlier attempt that took effect."""
    result = row.returns
    return result.type() if result.kind is ResultKind.VALUE and attrs.has(result.type) else None


_RESERVED: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "if-range",
        "keep-alive",
        "proxy-authorization",
        "range",
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
