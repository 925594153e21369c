"""Spans and metrics of OpenTelemetry, as its SDK's exporters in memory get them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from jobkit_async import (
    BsubioClient,
    BsubioJob,
    EcotaxaClient,
    JobFailed,
    NotFound,
    RequestTimeout,
    wait_all,
)
from jobkit_async.otel import OpenTelemetryHooks
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio, Plan

pytestmark = pytest.mark.looptime(end=1000)

ID = "00000000-0000-4000-8000-000000000007"


@attrs.frozen
class Telemetry:
    """Exporters in memory, and hooks that lead to them."""

    exporter: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    tracers: TracerProvider = attrs.field(factory=TracerProvider)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def counts(self, name: str) -> dict[tuple[Any, ...], float]:
        points = self.metrics()[name].data.data_points
        return {tuple(sorted(point.attributes.items())): point.value for point in points}


@pytest.fixture
def telemetry() -> Any:
    it = Telemetry()
    it.tracers.add_span_processor(SimpleSpanProcessor(it.exporter))
    yield it
    it.tracers.shutdown()


@pytest.fixture
def hooks(telemetry: Telemetry) -> Any:
    meters = MeterProvider([telemetry.reader])
    yield OpenTelemetryHooks(telemetry.tracers, meters)
    meters.shutdown()


@asynccontextmanager
async def opened(
    hooks: OpenTelemetryHooks, plan: Plan | None = None, **options: Any
) -> AsyncIterator[tuple[FakeBsubio, BsubioClient]]:
    async with FakeBsubio(planner=lambda rng, job_type: plan or Plan()) as server:
        given = {"base_url": server.base_url, "hooks": hooks, **options}
        async with BsubioClient(api_key=server.api_key, **given) as client:
            yield server, client


async def started(client: BsubioClient) -> BsubioJob:
    job = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
    await job.upload(b"data")
    await job.submit()
    return job


async def test_a_call_becomes_a_span_below_the_current_one(
    telemetry: Telemetry, hooks: Any
) -> None:
    before = time.time_ns()
    async with opened(hooks) as (server, client):
        tracer = telemetry.tracers.get_tracer("tests")
        with tracer.start_as_current_span("mine") as mine:
            job = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
            assert get_current_span() is mine
        await job.upload(b"data")
    (span,) = telemetry.named("POST /v1/jobs")
    assert span.kind is SpanKind.CLIENT
    assert span.parent == mine.get_span_context()
    assert span.context.trace_id == mine.get_span_context().trace_id
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": int(server.base_url.rpartition(":")[2]),
        "http.response.status_code": 201,
        "jobkit.service": "bsubio",
        "jobkit.operation": "create_job",
        "jobkit.poll": False,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert before - 1e9 < span.start_time <= span.end_time <= time.time_ns()
    assert span.instrumentation_scope.name == "jobkit_async"
    (upload,) = telemetry.named("POST /v1/upload/{jobId}")
    assert upload.parent is None


async def test_a_download_that_was_not_read_to_its_end(
    serve: Any, telemetry: Telemetry, hooks: Any
) -> None:
    server = await serve(serve.http(200, b"x" * 2_000_000))
    async with EcotaxaClient(token="t", base_url=server.url, hooks=hooks) as client:
        for _ in range(2):
            download = await client.jobs.get_job_file(7)
            if not telemetry.spans:
                await download.read()
            download.close()
    first, second = telemetry.spans
    assert "jobkit.whole" not in first.attributes
    assert second.attributes["jobkit.whole"] is False
    assert second.status.status_code is StatusCode.UNSET


async def test_polls_are_under_nobodys_span(telemetry: Telemetry, hooks: Any) -> None:
    async with opened(hooks) as (server, client):
        tracer = telemetry.tracers.get_tracer("tests")
        with tracer.start_as_current_span("mine"):
            job = await started(client)
            await job.wait()
    polls = [span for span in telemetry.spans if span.attributes.get("jobkit.poll")]
    assert len(polls) == server.requests["get_job"] > 1
    assert all(span.parent is None for span in polls)
    calls = [span for span in telemetry.spans if span.attributes.get("jobkit.poll") is False]
    assert len(calls) == 3
    assert all(span.parent is not None for span in calls)


async def test_errors_and_repetitions(serve: Any, telemetry: Telemetry, hooks: Any) -> None:
    server = await serve(serve.http(404), serve.hang)
    async with BsubioClient(api_key="k", base_url=server.url, hooks=hooks, timeout=2.0) as client:
        with pytest.raises(NotFound):
            await client.jobs.get_job(ID)
        with pytest.raises(RequestTimeout):
            await client.with_options(retries=1).jobs.list_jobs()
    (missing,) = telemetry.named("GET /v1/jobs/{jobId}")
    assert missing.status.status_code is StatusCode.ERROR
    assert missing.attributes["error.type"] == "404"
    first, second = telemetry.named("GET /v1/jobs")
    error = "jobkit_async.errors.RequestTimeout"
    for span, resent in ((first, None), (second, 1)):
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["error.type"] == error
        assert span.attributes.get("http.request.resend_count") == resent
        assert "http.response.status_code" not in span.attributes
        assert span.end_time - span.start_time == pytest.approx(2e9, rel=0.05)
    assert telemetry.counts("jobkit.retries") == {
        (
            ("error.type", error),
            ("jobkit.operation", "list_jobs"),
            ("jobkit.service", "bsubio"),
        ): 1
    }


async def test_metrics(telemetry: Telemetry, hooks: Any) -> None:
    plan = Plan(queued=1.0, running=20.0, outcome="failure")
    async with opened(hooks, plan) as (server, client):
        jobs = [await started(client) for _ in range(3)]
        for outcome in await wait_all(jobs):
            assert isinstance(outcome.error, JobFailed)
        total = sum(server.requests.values())
    found = telemetry.metrics()
    assert {name: metric.unit for name, metric in found.items()} == {
        "http.client.request.duration": "s",
        "jobkit.detection.delay": "s",
        "jobkit.jobs.ended": "{job}",
        "jobkit.looks": "{look}",
        "jobkit.status_requests": "{request}",
    }
    bsubio = ("jobkit.service", "bsubio")
    assert telemetry.counts("jobkit.jobs.ended") == {(bsubio, ("jobkit.state", "failed")): 3}
    assert telemetry.counts("jobkit.status_requests") == {(bsubio,): total - 9}
    (looks,) = telemetry.counts("jobkit.looks").values()
    assert 1 < looks <= total - 9
    (delay,) = found["jobkit.detection.delay"].data.data_points
    assert (delay.count, dict(delay.attributes)) == (3, {"jobkit.service": "bsubio"})
    assert 0.0 <= delay.min <= delay.max < 20.0
    durations = found["http.client.request.duration"].data.data_points
    assert sum(point.count for point in durations) == total
    assert {point.explicit_bounds[0] for point in durations} == {0.005}
    assert {frozenset(point.attributes) for point in durations} == {
        frozenset(
            {
                "http.request.method",
                "http.response.status_code",
                "server.address",
                "server.port",
            }
        )
    }


async def test_a_cancelled_call_is_an_error(serve: Any, telemetry: Telemetry, hooks: Any) -> None:
    server = await serve(serve.hang)
    async with BsubioClient(api_key="k", base_url=server.url, hooks=hooks) as client:
        call = asyncio.create_task(client.jobs.list_jobs())
        await asyncio.sleep(1)
        call.cancel()
        await asyncio.wait([call])
    (span,) = telemetry.spans
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


async def test_without_providers_the_global_ones_are_used() -> None:
    # None are set here, so that everything goes nowhere; and nothing fails.
    async with opened(OpenTelemetryHooks()) as (_, client):
        job = await started(client)
        assert (await job.wait()).status == "finished"
