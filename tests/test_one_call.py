"""One client call at a time, with aioresponses in the place of the network.

What a user's own tests may do too. A mocked answer needs a response class that has a stream writer,
which aiohttp 3.14 asks for and aioresponses does not set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientConnectionError, ClientResponse
from aioresponses import CallbackResult, aioresponses

from jobkit_async import (
    BsubioClient,
    Conflict,
    ConnectionLost,
    EcotaxaClient,
    JobState,
    LeiaClient,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    VidispineClient,
)
from jobkit_async.services.bsubio.models import CreateJobRequest

BASE = "https://api.example"


class Response(ClientResponse):
    """An answer as aioresponses makes it, complete enough for aiohttp."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"stream_writer": Mock(output_size=0), **options})


@pytest.fixture
def mocked() -> Iterator[aioresponses]:
    with aioresponses() as mock:
        yield mock


def answer(payload: Any, **options: Any) -> dict[str, Any]:
    return {"payload": payload, "response_class": Response, **options}


async def test_a_job_is_created_on_bsubio(mocked: aioresponses) -> None:
    document = {"id": "j-1", "status": "created", "type": "t", "upload_token": "up-1"}
    body = answer({"success": True, "data": document}, status=201)
    mocked.post(f"{BASE}/v1/jobs", **body)
    async with BsubioClient(api_key="key", base_url=BASE) as client:
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
    assert (job.id, job.state, job.raw_status) == ("j-1", JobState.NEEDS_INPUT, "created")
    assert job.data is not None
    assert job.data.upload_token == "up-1"
    ((call,),) = mocked.requests.values()
    assert call.kwargs["headers"]["Authorization"] == "Bearer key"
    assert call.kwargs["data"] == b'{"type":"t"}'
    assert call.kwargs["allow_redirects"] is False


async def test_a_job_is_read_on_ecotaxa(mocked: aioresponses) -> None:
    document = {
        "id": 7,
        "owner_id": 1,
        "type": "GenExport",
        "creation_date": "2026-01-01T00:00:00",
        "updated_on": "2026-01-01T00:00:01.5",
        "state": "R",
        "progress_pct": 40,
        "progress_msg": "Writing",
        "a member of the future": [1],
    }
    mocked.get(f"{BASE}/jobs/7/", **answer(document))
    async with EcotaxaClient(token="t", base_url=BASE) as client:
        job = await client.jobs.get_job(7)
    assert (job.state, job.progress, job.message) == (JobState.RUNNING, 0.4, "Writing")


async def test_statuses_are_asked_for_on_leia(mocked: aioresponses) -> None:
    mocked.get(f"{BASE}/admin/s/job/a,b/status", **answer({"a": "READY", "b": "THAWING"}))
    async with LeiaClient(token="t", base_url=BASE) as client:
        words = await client.jobs.admin_get_job_statuses("s", ["a", "b"])
    assert words == {"a": "READY", "b": "THAWING"}


async def test_an_empty_listing_on_vidispine(mocked: aioresponses) -> None:
    mocked.get(f"{BASE}/job?state=READY", **answer({"hits": 0}))
    async with VidispineClient(username="u", password="p", base_url=BASE) as client:
        jobs = await client.jobs.get_jobs(state=["READY"])
    assert (list(jobs), jobs.total) == ([], 0)


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFound), (409, Conflict), (429, RateLimited)]
)
async def test_what_the_service_refuses(
    mocked: aioresponses, status: int, error: type[Exception]
) -> None:
    body = answer({"success": False, "error": "no"}, status=status, headers={"Retry-After": "77"})
    mocked.delete(f"{BASE}/v1/jobs/j", **body)
    async with BsubioClient(api_key="key", base_url=BASE) as client:
        with pytest.raises(error, match="no") as caught:
            await client.jobs.delete_job("j")
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == 77.0


async def test_a_lost_answer(mocked: aioresponses) -> None:
    mocked.get(f"{BASE}/v1/jobs/j", exception=ClientConnectionError("gone"), repeat=True)
    mocked.post(f"{BASE}/v1/jobs/j/submit", exception=ClientConnectionError("gone"))
    async with BsubioClient(api_key="key", base_url=BASE) as client:
        once = client.with_options(retries=0)
        with pytest.raises(ConnectionLost):
            await once.jobs.get_job("j")
        with pytest.raises(OutcomeUnknown, match=r"get_job\(\) shows"):
            await client.jobs.submit_job("j")
    assert sum(map(len, mocked.requests.values())) == 2


async def test_a_log_in_comes_first(mocked: aioresponses) -> None:
    sent: list[Any] = []

    def log_in(url: Any, **options: Any) -> CallbackResult:
        sent.append(options["data"])
        return CallbackResult(payload="token-1", response_class=Response)

    mocked.post(f"{BASE}/login", callback=log_in)
    mocked.get(f"{BASE}/jobs/?for_admin=false", **answer([]))
    async with EcotaxaClient(username="me@example", password="word", base_url=BASE) as client:
        assert len(await client.jobs.list_jobs(for_admin=False)) == 0
    assert sent == [b'{"username":"me@example","password":"word"}']
    (listing,) = [calls[0] for (method, _), calls in mocked.requests.items() if method == "GET"]
    assert listing.kwargs["headers"]["Authorization"] == "Bearer token-1"
