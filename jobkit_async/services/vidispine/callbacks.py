"""How Vidispine calls back: notifications, which are set up on the server and named to a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jobkit_async import codec

__all__ = ["CALLBACKS", "VidispineCallbacks"]

LARGEST: Final = 1 << 18
"""The most bytes of a notification, which holds a job's metadata and no files."""


class VidispineCallbacks:
    """The notifications of Vidispine: keys and values, of which only the job's id is used."""

    expected: Final = "a notification of Vidispine about a job as JSON, with a field jobId"

    def key(self, body: bytes) -> str | None:
        """The id of the job that is notified of."""
        pairs = codec.pluck(body, at=("field",)) if len(body) <= LARGEST else None
        for pair in pairs if isinstance(pairs, list) else ():
            if isinstance(pair, dict) and pair.get("key") == "jobId":
                key = pair.get("value")
                return key if isinstance(key, str) else None
        return None

    def promises(self, arguments: Mapping[str, Any], url: str) -> bool:
        """Whether the job was given a notification; where that leads, only the server knows."""
        return arguments.get("notification") is not None


CALLBACKS: Final = VidispineCallbacks()
