"""Gridbatch: submit jobs to queues, describe up to 100 of them at once, list, terminate."""

from __future__ import annotations

from jobkit_async.spec import ServiceSpec

__all__ = ["SPEC"]

SPEC = ServiceSpec(
    name="gridbatch",
    package=__name__,
    client_name="client:GridbatchClient",
    fake_name="fake:FakeGridbatch",
)
