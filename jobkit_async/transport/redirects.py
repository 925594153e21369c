"""Where a redirect may lead: decided before anything is sent there."""

from __future__ import annotations

from typing import Final, NoReturn
from urllib.parse import urlsplit

from yarl import URL

from jobkit_async.endpoint import Repeat
from jobkit_async.errors import api_error
from jobkit_async.redact import redact
from jobkit_async.request import Request

__all__ = ["HOPS", "STATUSES", "next_url"]

HOPS: Final = 5
"""The most redirects of one request that are followed."""
STATUSES: Final = frozenset({301, 302, 303, 307, 308})


def next_url(
    request: Request, status: int, location: str | None, before: list[URL], *, base_url: str
) -> URL:
    """Where a redirected request is to be sent to.

    Only what changes nothing follows, and only within the origin that the credentials are for.

    Args:
        request: The request.
        status: The status of the answer.
        location: Its Location header.
        before: Where the request has been sent to so far, the last of which redirects.
        base_url: Where the service is said to be.

    Raises:
        ApiError: It is not followed; the message says where it points and what to do.
    """

    def refuse(why: str) -> NoReturn:
        raise api_error(
            status, operation=request.operation, reason=redact(why, request.secrets)
        ) from None

    here = before[-1]
    if not location:
        refuse("a redirect to nowhere: it has no Location; check base_url")
    try:
        # As the service wrote it, unless it wrote what a URL cannot hold.
        plain = location.isascii() and location.isprintable() and " " not in location
        there = here.join(URL(location, encoded=plain)).with_fragment(None)
        origin = _origin(there)
    except ValueError:
        refuse("a redirect whose Location is no URL; check base_url")
    if origin != _origin(here):
        if (here.scheme, there.scheme, here.host) == ("http", "https", there.host):
            better = f"{origin}{urlsplit(base_url).path}"
            refuse(f"a redirect to {origin}, which is not followed: set base_url to {better}")
        refuse(
            f"a redirect to {origin}, which is not followed: the credentials are for "
            f"{_origin(here)} alone; check base_url"
        )
    if there.user is not None or there.password is not None:
        refuse(f"a redirect within {origin} that brings credentials of its own is not followed")
    if request.row.repeat is not Repeat.SAFE or request.row.method != "GET":
        refuse(
            f"a redirect within {origin}, which is not followed, as this call changes something "
            "and could be carried out twice; check base_url"
        )
    if there in before:
        refuse(f"redirects in a circle within {origin}; check base_url")
    if len(before) > HOPS:
        refuse(f"more than {HOPS} redirects in a row within {origin}; check base_url")
    return there


def _origin(url: URL) -> str:
    """Scheme, host and port of a URL, or as much as it has of them."""
    if url.scheme not in ("http", "https") or not url.host:
        return f"{url.scheme}:"
    return str(url.origin())
