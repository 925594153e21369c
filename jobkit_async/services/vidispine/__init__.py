"""Vidispine (VidiCore): start, follow, abort and re-run jobs."""

from __future__ import annotations

from jobkit_async.spec import ServiceSpec

__all__ = ["SPEC"]

SPEC = ServiceSpec(
    name="vidispine",
    package=__name__,
    client_name="client:VidispineClient",
    fake_name="fake:FakeVidispine",
    callbacks_name="callbacks:CALLBACKS",
)
