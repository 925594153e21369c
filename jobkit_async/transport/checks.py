"""What a client is given to send with, and where to: checked before anything is sent."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from jobkit_async.checks import check_flag
from jobkit_async.errors import InvalidArgument

if TYPE_CHECKING:
    from aiohttp import ClientMiddlewareType

__all__ = ["check_base_url", "check_middlewares", "check_session"]

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def check_session(session: object, base_url: str) -> None:
    """See that a caller's session may carry the credentials.

    It leaves them and the base URL to the client, and verifies who it talks to.

    Args:
        session: The session.
        base_url: Where the client talks to.

    Raises:
        InvalidArgument: It does not, or it is none.
    """
    if not isinstance(session, aiohttp.ClientSession):
        raise InvalidArgument("session", f"an aiohttp session is due, not {type(session).__name__}")
    if getattr(session, "_default_auth", None) is not None:
        raise InvalidArgument("session", "it brings its own auth=; the client logs in by itself")
    if "Authorization" in session.headers:
        raise InvalidArgument(
            "session", "it brings its own Authorization header; the client logs in by itself"
        )
    if getattr(session, "_base_url", None) is not None:
        raise InvalidArgument("session", "it brings its own base_url; pass base_url= to the client")
    parts = urlsplit(base_url)
    if parts.scheme == "https" and parts.hostname not in _LOOPBACK and _trusts_all(session):
        raise InvalidArgument(
            "session",
            "its connector does not verify TLS certificates, or not whose they are, so that "
            "anybody could pose as the service; give the connector "
            "ssl=ssl.create_default_context(cafile=...) with the certificate to trust",
        )


def _trusts_all(session: aiohttp.ClientSession) -> bool:
    # aiohttp shows what a connector was given nowhere else.
    tls = getattr(session.connector, "_ssl", True)
    if isinstance(tls, ssl.SSLContext):
        return tls.verify_mode is ssl.CERT_NONE or not tls.check_hostname
    return tls is False


def check_middlewares(middlewares: object) -> tuple[ClientMiddlewareType, ...]:
    """The caller's middlewares, if they can be called.

    Raises:
        InvalidArgument: They are no sequence, or one of them is no function.
    """
    if isinstance(middlewares, str) or not isinstance(middlewares, Sequence):
        raise InvalidArgument("middlewares", f"a sequence is due, not {type(middlewares).__name__}")
    for middleware in middlewares:
        if not callable(middleware):
            raise InvalidArgument("middlewares", f"{middleware!r} is no function")
    return tuple(middlewares)


def check_base_url(base_url: object, *, allow_plain_http: bool) -> str:
    """A base URL without its trailing slash, if credentials may be sent there.

    Args:
        base_url: ``https://host[:port][/path]``; plain http only to loopback, or where allowed.
        allow_plain_http: Whether plain http is allowed to any host.

    Raises:
        InvalidArgument: It is no such URL, or it carries user info, a query or a fragment; or the
            other is no bool.
    """
    if not isinstance(base_url, str):
        raise InvalidArgument("base_url", f"a str is due, not {type(base_url).__name__}")
    if any(letter <= " " or letter == "\x7f" for letter in base_url):
        raise InvalidArgument("base_url", "it holds spaces or control characters")
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
        url = URL(base_url)
        (url.raw_host or "").encode("idna")  # as the look-up of its address does
    except UnicodeError:
        raise InvalidArgument("base_url", "its host is no name that can be looked up") from None
    except ValueError as error:
        raise InvalidArgument("base_url", f"it is no URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise InvalidArgument("base_url", "it must start with https:// (or http://)")
    if not host or port == 0:
        raise InvalidArgument("base_url", "it names no host")
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument(
            "base_url", "it carries user info; pass credentials as arguments of the client"
        )
    if parts.query or parts.fragment or "?" in base_url or "#" in base_url:
        raise InvalidArgument("base_url", "it carries a query or a fragment")
    allowed = check_flag("allow_plain_http", allow_plain_http)
    if parts.scheme == "http" and host not in _LOOPBACK and not allowed:
        raise InvalidArgument(
            "base_url",
            "plain http would show the credentials to everybody on the way; use https, or pass "
            "allow_plain_http=True",
        )
    return str(url).rstrip("/")
