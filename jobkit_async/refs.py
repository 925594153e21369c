"""References to jobs: short, printable, free of secrets, good in another process.

``jk1:<service>:<deployment>:<id>[,<scope>][:<created>]``, where the deployment is a digest of the
base URL (ids of one server mean nothing, or another job, on the next), the parts of the key are
percent-encoded, and ``created`` is the Unix time of the job's creation, if known.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import attrs

from jobkit_async.errors import InvalidArgument

__all__ = ["Ref", "deployment_of"]

_FORM: Final = re.compile(
    r"jk1:(?P<service>[a-z0-9_-]+):(?P<deployment>[0-9a-f]{8}):"
    r"(?P<id>[^:,\s]+)(?:,(?P<scope>[^:,\s]+))?(?::(?P<created>[0-9]{1,10}))?"
)
LONGEST: Final = 4096


@attrs.frozen
class Ref:
    """A reference, taken apart.

    Attributes:
        service: Name of the service.
        deployment: Digest of the base URL, 8 hexadecimal digits.
        id: The job's id, as text.
        scope: What else the service needs to find it (Leia: the submitter), or None.
        created: Unix time of its creation in whole seconds, or None.
    """

    service: str
    deployment: str
    id: str
    scope: str | None = None
    created: int | None = None

    def __str__(self) -> str:
        parts = quote(self.id, safe="")
        if self.scope is not None:
            parts += "," + quote(self.scope, safe="")
        created = "" if self.created is None else f":{self.created}"
        return f"jk1:{self.service}:{self.deployment}:{parts}{created}"

    @classmethod
    def parse(cls, text: object) -> Ref:
        """Take a reference apart.

        Raises:
            InvalidArgument: It is no reference.
        """
        if not isinstance(text, str):
            raise InvalidArgument("ref", f"a str is due, not {type(text).__name__}")
        match = _FORM.fullmatch(text.strip()) if len(text) <= LONGEST else None
        if match is None:
            raise InvalidArgument(
                "ref", "it is no job reference, which looks like jk1:<service>:<8 digits>:<id>"
            )
        scope, created = match["scope"], match["created"]
        return cls(
            match["service"],
            match["deployment"],
            _part(match["id"]),
            None if scope is None else _part(scope),
            None if created is None else int(created),
        )


def _part(text: str) -> str:
    try:
        part = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidArgument("ref", f"{text!r} is no id") from None
    if part in (".", ".."):
        raise InvalidArgument("ref", f"{part!r} is no id")
    return part


def deployment_of(base_url: str) -> str:
    """Digest of a base URL: 8 hexadecimal digits of its origin and path."""
    parts = urlsplit(base_url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = parts.port or default
    place = f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}{parts.path.rstrip('/')}"
    return hashlib.sha256(place.encode()).hexdigest()[:8]
