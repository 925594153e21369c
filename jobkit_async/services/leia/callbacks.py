"""How Leia calls back: once a job has ended, it posts the job to the address that it was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from jobkit_async import codec

__all__ = ["CALLBACKS", "LeiaCallbacks"]


@attrs.frozen(kw_only=True)
class _Job:
    id: str
    status: str


_skim = codec.Skimmer(_Job)


class LeiaCallbacks:
    """The calls of Leia, of which nothing but the job's id is used."""

    expected: Final = "a job of Leia as JSON, with its id and status"

    def key(self, body: bytes) -> str | None:
        """The id of the job that was posted."""
        job = _skim(body)
        return None if job is None else job.id

    def promises(self, arguments: Mapping[str, Any], url: str) -> bool:
        """Whether the address is among the arguments, or in the body that takes it as well."""
        in_body = getattr(arguments.get("body"), "callback_url", None)
        return url in (arguments.get("callback_url"), in_body)


CALLBACKS: Final = LeiaCallbacks()
