"""Who we are: the headers that carry the credentials, and the log-ins that yield them."""

from __future__ import annotations

import asyncio
import base64
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from typing import Protocol

from jobkit_async.checks import check_text, has_controls
from jobkit_async.errors import ClientClosed, DecodeError, InvalidArgument, JobkitError
from jobkit_async.redact import Hidden, forget_frames
from jobkit_async.request import check_header

__all__ = ["Auth", "LoginAuth", "StaticAuth", "basic", "bearer", "one_of", "secret"]


class Auth(Protocol):
    """What the client asks of its credentials."""

    def at_hand(self) -> Mapping[str, str] | None:
        """The headers to send; None if a log-in is due."""
        ...

    async def headers(self) -> Mapping[str, str]:
        """The headers to send, after a log-in if one is due."""
        ...

    def renew(self, stale: Mapping[str, str]) -> bool:
        """The service answered 401 to these headers: whether asking again may give better ones."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """The credentials themselves, to be kept out of messages."""
        ...

    def close(self) -> None:
        """Stop a log-in that is under way."""


class StaticAuth:
    """Credentials that do not change: a key or a password goes into every request.

    Args:
        name: Name of the header.
        value: Its value.
        secrets: What in it must not be shown.
    """

    def __init__(self, name: str, value: str, *secrets: str) -> None:
        self._headers = Hidden({name: value})
        self._secrets = (value, *secrets)

    def __repr__(self) -> str:
        return f"<StaticAuth by {next(iter(self._headers))}>"

    def at_hand(self) -> Mapping[str, str]:
        return self._headers

    async def headers(self) -> Mapping[str, str]:
        return self._headers

    def renew(self, stale: Mapping[str, str]) -> bool:
        return False

    def secrets(self) -> tuple[str, ...]:
        return self._secrets

    def close(self) -> None:
        """Nothing is under way."""


class LoginAuth:
    """Credentials that a log-in yields; all concurrent calls share one log-in.

    Args:
        name: Name of the header.
        prefix: What stands in it before the token, such as ``"Bearer "``.
        log_in: Logs in and returns the token.
        secrets: The credentials that it logs in with.
    """

    def __init__(
        self, name: str, prefix: str, log_in: Callable[[], Awaitable[str]], *secrets: str
    ) -> None:
        self._name = name
        self._prefix = prefix
        self._log_in = log_in
        self._fixed = secrets
        self._token: str | None = None
        self._login: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<LoginAuth by {self._name}, {'logged in' if self._token else 'logged out'}>"

    def at_hand(self) -> Mapping[str, str] | None:
        return None if self._token is None else self._with(self._token)

    def _with(self, token: str) -> Mapping[str, str]:
        return Hidden({self._name: self._prefix + token})

    async def headers(self) -> Mapping[str, str]:
        while self._token is None:
            if self._login is None:
                # A task of its own, so that a caller that goes away does not take it from the
                # others; an empty context, so that it does not run under that caller's span.
                self._login = asyncio.get_running_loop().create_task(
                    self._once(), context=contextvars.Context()
                )
                self._login.add_done_callback(self._done)
            login = self._login
            failed: JobkitError | None = None
            try:
                await asyncio.shield(login)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if login.cancelled() and not (task is not None and task.cancelling()):
                    raise ClientClosed("the client was closed during the log-in") from None
                raise
            except JobkitError as error:
                failed = error
            if failed is not None:
                # All that wait for the log-in get the same: each is to have an error of its own.
                forget_frames(failed)
                raise copy(failed) from failed.__cause__
        return self._with(self._token)

    async def _once(self) -> None:
        token = await self._log_in()
        try:
            self._token = secret("token", token)
        except InvalidArgument as error:  # the service's fault, and no argument's
            problem = f"that is no token: {error}"
            raise DecodeError(problem, operation="login") from None

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._login is task:
            self._login = None
        if not task.cancelled():
            task.exception()  # retrieved, so that nobody warns if all callers have gone

    def renew(self, stale: Mapping[str, str]) -> bool:
        if self._token is not None and stale.get(self._name) == self._prefix + self._token:
            self._token = None
        return True

    def secrets(self) -> tuple[str, ...]:
        return (*self._fixed, self._token) if self._token else self._fixed

    def close(self) -> None:
        if self._login is not None:
            self._login.cancel()


def secret(name: str, value: object) -> str:
    """A credential, checked: a non-empty str that a header can hold.

    Raises:
        InvalidArgument: It is not; the message does not show it.
    """
    value = check_text(name, value)
    if not value.strip():
        raise InvalidArgument(name, "it is empty")
    return check_header(name, value)


def bearer(name: str, token: object) -> StaticAuth:
    """``Authorization: Bearer``; ``name`` is the argument that the token comes from."""
    token = secret(name, token)
    return StaticAuth("Authorization", f"Bearer {token}", token)


def basic(username: object, password: object) -> StaticAuth:
    """``Authorization: Basic``, in UTF-8.

    Raises:
        InvalidArgument: The user name has a colon, which the scheme cannot express, or one of
            them is empty or has control characters.
    """
    user = check_text("username", username, empty=False)
    word = check_text("password", password, empty=False)
    for name, text in (("username", user), ("password", word)):
        if has_controls(text):
            raise InvalidArgument(name, "it has line breaks or control characters")
    if ":" in user:
        raise InvalidArgument("username", "Basic authentication has no room for a colon in it")
    encoded = base64.b64encode(f"{user}:{word}".encode()).decode()
    return StaticAuth("Authorization", f"Basic {encoded}", encoded, word)


def one_of(*ways: Mapping[str, object]) -> int:
    """Which of several ways to log in was chosen.

    Args:
        *ways: For each the values of its arguments, by name; it counts as chosen if any of them
            is not None.

    Returns:
        Its position.

    Raises:
        InvalidArgument: None or several were chosen, or one of its arguments is missing.
    """
    hint = "pass " + " or ".join(" and ".join(f"{name}=" for name in way) for way in ways)
    chosen = [way for way in ways if any(value is not None for value in way.values())]
    if not chosen:
        raise InvalidArgument(next(iter(ways[0])), f"no credentials were given: {hint}")
    way = chosen[-1]
    if len(chosen) > 1:
        given = next(name for name, value in way.items() if value is not None)
        raise InvalidArgument(given, f"both were given: {hint}")
    for name, value in way.items():
        if value is None:
            raise InvalidArgument(name, f"it is missing: {hint}")
    return ways.index(way)
