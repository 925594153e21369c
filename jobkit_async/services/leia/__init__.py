"""Leia: apply and train models, follow the jobs."""

from __future__ import annotations

from jobkit_async.spec import ServiceSpec

__all__ = ["SPEC"]

SPEC = ServiceSpec(
    name="leia",
    package=__name__,
    client_name="client:LeiaClient",
    fake_name="fake:FakeLeia",
    statuses_name="models:Statuses",
    callbacks_name="callbacks:CALLBACKS",
)
