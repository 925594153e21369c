"""EcoTaxa: follow jobs, answer their questions, fetch their files."""

from __future__ import annotations

from jobkit_async.spec import ServiceSpec

__all__ = ["SPEC"]

SPEC = ServiceSpec(
    name="ecotaxa",
    package=__name__,
    client_name="client:EcotaxaClient",
    fake_name="fake:FakeEcotaxa",
    statuses_name="models:DBJobState",
)
