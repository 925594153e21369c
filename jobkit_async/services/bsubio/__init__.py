"""bsub.io: create a job, upload its data, submit it, wait."""

from __future__ import annotations

from jobkit_async.spec import ServiceSpec

__all__ = ["SPEC"]

SPEC = ServiceSpec(
    name="bsubio",
    package=__name__,
    client_name="client:BsubioClient",
    fake_name="fake:FakeBsubio",
)
