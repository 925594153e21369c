"""Hooks that make spans and metrics of OpenTelemetry; for the extra ``otel``.

Each try of a request becomes a span of kind ``CLIENT`` beneath the span that is current where the
call is made, named and attributed by the stable part of the semantic conventions for HTTP clients.
The status requests of waiting belong to no call, so their spans are roots. ``url.full`` is left
out: queries can hold upload tokens and metadata.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from jobkit_async.hooks import EndEvent, Hooks, LookEvent, RequestEvent, RetryEvent

__all__ = ["OpenTelemetryHooks"]

_REQUEST_BOUNDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
"""Bounds in seconds that the semantic conventions ask for."""
_DELAY_BOUNDS: Final = (
    *(0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
)
"""Bounds in seconds around the gaps between two looks."""


class OpenTelemetryHooks(Hooks):
    """Tells OpenTelemetry what a client does; several clients may share one.

    Metrics, besides ``http.client.request.duration`` (s):

    - ``jobkit.looks``: looks at the jobs that are waited for, by ``jobkit.service``
    - ``jobkit.status_requests``: requests that these took, by ``jobkit.service``
    - ``jobkit.jobs.ended``: ends that were detected, by ``jobkit.service`` and ``jobkit.state``
    - ``jobkit.detection.delay`` (s): from a job's end to its detection, by ``jobkit.service``
    - ``jobkit.retries``: repetitions of calls, by ``jobkit.service``, ``jobkit.operation`` and
      ``error.type``

    Args:
        tracer_provider: Where spans go; by default the global provider.
        meter_provider: Where metrics go; by default the global provider.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        ours = version("jobkit-async")
        self._tracer = trace.get_tracer("jobkit_async", ours, tracer_provider)
        meter = metrics.get_meter("jobkit_async", ours, meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_REQUEST_BOUNDS,
        )
        self._looks = meter.create_counter(
            "jobkit.looks", "{look}", "Looks at the jobs that are waited for."
        )
        self._status_requests = meter.create_counter(
            "jobkit.status_requests", "{request}", "Requests that looks took."
        )
        self._ended = meter.create_counter(
            "jobkit.jobs.ended", "{job}", "Ends of jobs that were detected."
        )
        self._delay = meter.create_histogram(
            "jobkit.detection.delay",
            "s",
            "From a job's end to its detection.",
            explicit_bucket_boundaries_advisory=_DELAY_BOUNDS,
        )
        self._retries = meter.create_counter("jobkit.retries", "{retry}", "Repetitions of calls.")

    def on_request(self, event: RequestEvent) -> None:
        end = time.time_ns()
        shared: dict[str, str | int] = {
            "http.request.method": event.method,
            "server.address": event.host,
            "server.port": event.port,
        }
        if event.status is not None:
            shared["http.response.status_code"] = event.status
        if event.error is not None:
            shared["error.type"] = _name(event.error)
        elif event.status is not None and event.status >= 400:
            shared["error.type"] = str(event.status)
        attributes: dict[str, str | int | bool] = {
            **shared,
            "jobkit.service": event.service,
            "jobkit.operation": event.operation,
            "jobkit.poll": event.poll,
        }
        if event.status is not None and not event.whole:
            attributes["jobkit.whole"] = False
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
        span = self._tracer.start_span(
            f"{event.method} {event.route}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=end - round(event.seconds * 1e9),
        )
        if "error.type" in shared:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)
        # With the span as context, so that its trace can be the example of a measurement.
        self._duration.record(event.seconds, shared, trace.set_span_in_context(span))
        if event.poll:
            self._status_requests.add(1, _service(event))

    def on_retry(self, event: RetryEvent) -> None:
        kind = _name(event.error) if event.status is None else str(event.status)
        named = {"jobkit.operation": event.operation, "error.type": kind}
        self._retries.add(1, {**_service(event), **named})

    def on_look(self, event: LookEvent) -> None:
        self._looks.add(1, _service(event))

    def on_end(self, event: EndEvent) -> None:
        self._ended.add(1, {**_service(event), "jobkit.state": event.state.value})
        if event.delay is not None:
            self._delay.record(event.delay, _service(event))


def _service(event: Any) -> Mapping[str, str]:
    return {"jobkit.service": event.service}


def _name(error: type[BaseException]) -> str:
    """Name of an error's class as ``error.type`` wants it: in full, but for builtins."""
    return (
        error.__name__
        if error.__module__ == "builtins"
        else (f"{error.__module__}.{error.__qualname__}")
    )
