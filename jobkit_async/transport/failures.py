"""What failures of aiohttp mean to our callers."""

from __future__ import annotations

import ssl
from typing import Final, NoReturn

import aiohttp

from jobkit_async.errors import (
    ConnectFailed,
    ConnectionLost,
    JobkitError,
    OutcomeUnknown,
    RequestTimeout,
)
from jobkit_async.request import Request
from jobkit_async.transfer import UploadBody
from jobkit_async.transport.guards import Lost

__all__ = ["behind", "translate"]

_MISTRUSTED: Final = (
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ServerFingerprintMismatch,
)
_UNCONNECTED: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    *_MISTRUSTED,
)
"""What aiohttp raises when nothing of the request has been sent."""
_FOREIGN: Final = (aiohttp.ClientError, OSError, EOFError)
"""What aiohttp raises when something went wrong on the way; anything else is raised as it is."""


def translate(
    request: Request, error: BaseException, *, host: str, answered: bool = False
) -> NoReturn:
    """Raise what a failure of aiohttp means to our callers.

    Args:
        request: The request that failed.
        error: What aiohttp raised.
        host: Where the service is, for the message.
        answered: Whether the answer's headers had arrived.
    """
    name = request.operation
    if not isinstance(error, Exception):
        raise error
    if not isinstance(error, _FOREIGN):
        raise error
    upload = request.body if isinstance(request.body, UploadBody) else None
    if upload is not None and upload.failure is not None and not answered:
        raise upload.failure
    if isinstance(error, JobkitError):
        raise error
    if isinstance(error, _UNCONNECTED):
        failed = ConnectFailed(
            f"{name}: no connection to {host}: {_cause(error)}",
            operation=name,
        )
        failed.certificate = isinstance(error, _MISTRUSTED)
        raise failed from behind(error)
    cause = behind(error)
    lost = answered and isinstance(error, TimeoutError)  # it began to answer, and went silent
    if request.once and (lost or not answered):
        raise OutcomeUnknown(
            f"{name}: the answer was lost, so it may or may not have taken effect; "
            f"{request.row.recover}",
            operation=name,
        ) from cause
    if isinstance(error, TimeoutError):
        raise RequestTimeout(f"{name}: no answer in time", operation=name) from cause
    broke = error.__cause__ if isinstance(error.__cause__, Lost) else None
    what = type(error).__name__ if broke is None else str(broke)
    gone = ConnectionLost(f"{name}: the connection was lost ({what})", operation=name)
    gone.stale = broke is not None and broke.stale
    raise gone from cause


def behind(error: BaseException) -> BaseException | None:
    """What may be shown of a failure as the cause of an error of ours.

    Some errors of aiohttp's show the request, its query and its headers, others the connection's
    key, in which a proxy's password is.
    """
    if isinstance(error, aiohttp.ClientResponseError):
        return None
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        return _inner(error)
    return error


def _inner(error: BaseException) -> BaseException | None:
    return getattr(error, "os_error", None) or getattr(error, "certificate_error", None)


def _cause(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy refuses it with HTTP {error.status}"
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return "the server's certificate is not the one with the given fingerprint"
    inner = _inner(error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"the server's certificate was refused: {inner.verify_message}"
    return str(inner or "it took too long")
