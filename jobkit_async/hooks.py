"""Hooks: what a user's own code is told of requests, repetitions, looks and detected ends.

A :class:`Reporter` stands between a client and its hooks. It is None where no hooks were given, and
then no event is made. Events hold no credentials, no bodies and no query strings.
"""

from __future__ import annotations

import inspect
import logging
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import attrs

from jobkit_async.errors import InvalidArgument
from jobkit_async.states import JobState

__all__ = [
    "EndEvent",
    "Hooks",
    "LookEvent",
    "Reporter",
    "RequestEvent",
    "RetryEvent",
    "combine_hooks",
]

_log = logging.getLogger("jobkit_async.hooks")


@attrs.frozen(kw_only=True)
class RequestEvent:
    """One request is over: answered, closed or failed. A repetition is one of its own.

    Attributes:
        service: Name of the service.
        operation: Name of the operation, such as ``"get_job"``.
        method: The HTTP method.
        route: Path of the operation below the base URL, with the names of its parameters in
            braces in the place of their values.
        host: Host of the service.
        port: Its port.
        status: HTTP status of the answer; None where none came.
        error: Class of what went wrong on the way, such as
            :class:`~jobkit_async.RequestTimeout`, or :class:`asyncio.CancelledError`. None where
            nothing did, whatever its status.
        whole: Whether the answer was read to its end. If not, though nothing went wrong, a
            download was closed early, or a long refusal was not read on.
        seconds: From sending to the last byte of the answer; a download's end when it was read.
        attempt: Which try of its call this was, from 1.
        sent: Bytes of the request's body, or of the content that was uploaded; None for an upload
            that got no answer.
        received: Bytes of the answer's body, decompressed.
        poll: Whether waiting asked for it, and no call.
    """

    service: str
    operation: str
    method: str
    route: str
    host: str
    port: int
    status: int | None
    error: type[BaseException] | None
    whole: bool
    seconds: float
    attempt: int
    sent: int | None
    received: int
    poll: bool


@attrs.frozen(kw_only=True)
class RetryEvent:
    """A call is about to be repeated.

    Attributes:
        service: Name of the service.
        operation: Name of the operation.
        attempt: Which try has just failed, from 1.
        pause: Seconds until the next.
        error: Class of the error that it failed with.
        status: HTTP status of that error, or None.
    """

    service: str
    operation: str
    attempt: int
    pause: float
    error: type[BaseException]
    status: int | None


@attrs.frozen(kw_only=True)
class LookEvent:
    """The client has looked at the jobs that are waited for, or at some of them.

    Jobs that a look at many leaves open are read on their own; such reads are a look as well.

    Attributes:
        service: Name of the service.
        asked: Jobs that it was about.
        seen: Jobs that were sighted, at their end or on their way.
        ended: Jobs whose end was detected.
        missing: Jobs that the service said it does not know.
        failed: Jobs whose part of the look failed.
        requests: Requests that it took.
        seconds: How long it took.
    """

    service: str
    asked: int
    seen: int
    ended: int
    missing: int
    failed: int
    requests: int
    seconds: float


@attrs.frozen(kw_only=True)
class EndEvent:
    """The end of a job that is waited for was detected; told once, however many wait for it.

    Attributes:
        service: Name of the service.
        kind: Type of the job in the service's own words, where it tells one.
        state: How the job ended.
        delay: Seconds from the end, by the service's clock, to its detection. None where the
            service does not tell them, or the job had ended before anybody waited for it.
        duration: Seconds from the job's creation to its end, by the same clock; None likewise.
        looks: Looks at the job before the one that showed its end.
    """

    service: str
    kind: str | None
    state: JobState
    delay: float | None
    duration: float | None
    looks: int


class Hooks:
    """Override what you want to be told of, and pass an instance to a client as ``hooks=``.

    Methods are called at once, in the event loop's thread, so they should be quick; they cannot be
    coroutines. What one of them raises is logged, once for each kind of it, and has no effect
    otherwise.
    """

    def on_request(self, event: RequestEvent) -> None:
        """A request is over. Called in the context (``contextvars``) in which it began."""

    def on_retry(self, event: RetryEvent) -> None:
        """A call is about to be repeated."""

    def on_look(self, event: LookEvent) -> None:
        """The client has looked at jobs that are waited for."""

    def on_end(self, event: EndEvent) -> None:
        """The end of a job was detected."""


class _Combined(Hooks):
    """Several hooks as one; a reporter tells each of them by itself."""

    def __init__(self, parts: tuple[Hooks, ...]) -> None:
        self.parts = parts


def combine_hooks(*hooks: Hooks) -> Hooks:
    """Several hooks as one, told in this order.

    Raises:
        InvalidArgument: One of them is no :class:`Hooks`, or has a method that is none or a
            coroutine.
    """
    return _Combined(tuple(part for one in hooks for part in _parts(one)))


_KINDS: Final = ("on_request", "on_retry", "on_look", "on_end")
EventT = TypeVar("EventT")
Listeners = tuple[Callable[[EventT], None], ...]


class Reporter:
    """Tells a client's hooks what happens, and keeps from the client what they raise.

    Args:
        hooks: What the user passed.
        service: Name of the service.
        base_url: Where it is.

    Attributes:
        poll: Whether it tells of the requests of waiting.
        requests: Number of requests that it has told of.

    Raises:
        InvalidArgument: That is no :class:`Hooks`, or one of its methods is none, or a coroutine.
    """

    def __init__(self, hooks: object, *, service: str, base_url: str) -> None:
        parts = _parts(hooks)
        self._listeners: dict[str, Listeners[Any]] = {
            kind: tuple(getattr(part, kind) for part in parts if _overrides(part, kind))
            for kind in _KINDS
        }
        self._logged: set[tuple[str, type[BaseException]]] = set()
        self._service = service
        split = urlsplit(base_url)
        self._host = split.hostname or ""
        self._port = split.port or (443 if split.scheme == "https" else 80)
        self.poll = False
        self.requests = 0

    def for_polls(self) -> Reporter:
        """The same for the requests of waiting."""
        twin = Reporter.__new__(Reporter)
        twin.__dict__.update(self.__dict__)
        twin.poll = True
        return twin

    def request(
        self,
        *,
        operation: str,
        method: str,
        route: str,
        status: int | None,
        error: type[BaseException] | None,
        whole: bool,
        seconds: float,
        attempt: int,
        sent: int | None,
        received: int,
    ) -> None:
        """A request is over; arguments as in :class:`RequestEvent`."""
        self.requests += 1
        if self._listeners["on_request"]:
            event = RequestEvent(
                service=self._service,
                operation=operation,
                method=method,
                route=route,
                host=self._host,
                port=self._port,
                status=status,
                error=error,
                whole=whole,
                seconds=seconds,
                attempt=attempt,
                sent=sent,
                received=received,
                poll=self.poll,
            )
            self._tell("on_request", event)

    def retry(self, operation: str, attempt: int, pause: float, error: BaseException) -> None:
        """A call is about to be repeated; arguments as in :class:`RetryEvent`."""
        if self._listeners["on_retry"]:
            event = RetryEvent(
                service=self._service,
                operation=operation,
                attempt=attempt,
                pause=pause,
                error=type(error),
                status=getattr(error, "status", None),
            )
            self._tell("on_retry", event)

    def look(
        self,
        *,
        asked: int,
        seen: int,
        ended: int,
        missing: int,
        failed: int,
        requests: int,
        seconds: float,
    ) -> None:
        """The client has looked at jobs; arguments as in :class:`LookEvent`."""
        if self._listeners["on_look"]:
            event = LookEvent(
                service=self._service,
                asked=asked,
                seen=seen,
                ended=ended,
                missing=missing,
                failed=failed,
                requests=requests,
                seconds=seconds,
            )
            self._tell("on_look", event)

    def end(
        self,
        *,
        kind: str | None,
        state: JobState,
        delay: float | None,
        duration: float | None,
        looks: int,
    ) -> None:
        """An end was detected; arguments as in :class:`EndEvent`."""
        if self._listeners["on_end"]:
            event = EndEvent(
                service=self._service,
                kind=kind,
                state=state,
                delay=delay,
                duration=duration,
                looks=looks,
            )
            self._tell("on_end", event)

    def _tell(self, kind: str, event: object) -> None:
        for listener in self._listeners[kind]:
            try:
                listener(event)
            except (Exception, CancelledError) as error:  # noqa: BLE001 - logged, and kept here
                if (kind, type(error)) not in self._logged:
                    self._logged.add((kind, type(error)))
                    _log.exception(
                        "%s raised in %s; it is not logged again", type(error).__name__, kind
                    )


def _parts(hooks: object) -> tuple[Hooks, ...]:
    """The hooks that hooks consist of, checked."""
    if isinstance(hooks, _Combined):
        return hooks.parts
    if not isinstance(hooks, Hooks):
        raise InvalidArgument("hooks", f"a Hooks is due, not {_name(hooks)}")
    for kind in _KINDS:
        if not callable(method := getattr(hooks, kind)):
            raise InvalidArgument("hooks", f"{kind} is no method, but a {type(method).__name__}")
        if inspect.iscoroutinefunction(method):
            raise InvalidArgument("hooks", f"{kind} is a coroutine; it has to be a plain method")
    return (hooks,)


def _name(hooks: object) -> str:
    return f"the class {hooks.__name__} itself" if isinstance(hooks, type) else type(hooks).__name__


def _overrides(hooks: Hooks, kind: str) -> bool:
    """Whether hooks do anything about a kind of event."""
    return getattr(getattr(hooks, kind), "__func__", None) is not getattr(Hooks, kind)
