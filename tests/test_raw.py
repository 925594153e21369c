"""The raw answer of an operation, along with its value."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jobkit_async import (
    BsubioClient,
    EcotaxaClient,
    InvalidArgument,
    NotFound,
    RawResponse,
    Retry,
    ServerError,
    with_raw_response,
)
from jobkit_async.testing import FakeEcotaxa

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def answers() -> list[web.Response | Exception]:
    return []


@pytest.fixture
async def client(answers: list[web.Response]) -> AsyncIterator[BsubioClient]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return answers.pop(0)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app, host="127.0.0.1") as server:
        url = str(server.make_url("/"))
        retry = Retry(base=0.001)
        async with BsubioClient(api_key="bsub-key", base_url=url, retry=retry) as client:
            yield client


def good(**headers: str) -> web.Response:
    document = {"success": True, "data": {"id": "j-1", "status": "pending"}}
    return web.json_response(document, headers=headers)


async def test_value_and_answer(client: BsubioClient, answers: list[web.Response]) -> None:
    answers.append(good(**{"x-request-id": "r-17", "X-Hits": "3"}))
    answer = await with_raw_response(client.jobs.get_job, "j-1")
    assert isinstance(answer, RawResponse)
    assert (answer.value.id, answer.value.raw_status) == ("j-1", "pending")
    assert (answer.status, answer.request_id, answer.headers["x-hits"]) == (200, "r-17", "3")
    assert b'"pending"' in answer.body
    assert "x-request-id" not in repr(answer).lower()
    # What the handle does later is its own affair.
    answers.append(good())
    await answer.value.refresh()
    assert answer.value == client.job("j-1")
    assert answer.value._home._caller.on_answer is None  # type: ignore[attr-defined]


async def test_the_last_attempt_counts(client: BsubioClient, answers: list[web.Response]) -> None:
    answers += [web.Response(status=503, headers={"X-Request-Id": "first"}), good()]
    answer = await with_raw_response(client.jobs.get_job, job_id="j-1")
    assert (answer.status, answer.request_id) == (200, None)


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"X-Request-Id": "a", "X-Correlation-Id": "b"}, "a"),
        ({"Request-Id": "c"}, "c"),
        ({"X-Correlation-Id": "b"}, "b"),
        ({"X-Amzn-RequestId": "d"}, "d"),
        ({"X-Request-Id": "e" * 500}, "e" * 128),
        ({"X-Request-Id": " "}, None),
        ({}, None),
    ],
)
async def test_the_names_of_requests(
    client: BsubioClient,
    answers: list[web.Response],
    headers: dict[str, str],
    name: str | None,
) -> None:
    answers.append(good(**headers))
    assert (await with_raw_response(client.jobs.get_job, "j-1")).request_id == name
    answers.append(web.Response(status=404, headers=headers))
    with pytest.raises(NotFound) as raised:
        await client.jobs.get_job("j-1")
    assert raised.value.request_id == name
    assert pickle.loads(pickle.dumps(raised.value)).request_id == name


async def test_a_name_that_echoes_a_credential(
    client: BsubioClient, answers: list[web.Response]
) -> None:
    answers.append(web.Response(status=404, headers={"X-Request-Id": "of-bsub-key"}))
    with pytest.raises(NotFound) as raised:
        await client.jobs.get_job("j-1")
    assert raised.value.request_id is not None
    assert "bsub-key" not in raised.value.request_id


async def test_a_failure_in_an_envelope(client: BsubioClient, answers: list[web.Response]) -> None:
    document = {"success": False, "error": "no such job"}
    answers.append(web.json_response(document, headers={"X-Request-Id": "r-18"}))
    with pytest.raises(Exception, match="no such job") as raised:
        await with_raw_response(client.jobs.get_job, "j-1")
    assert getattr(raised.value, "request_id", None) == "r-18"


async def test_a_view_keeps_its_options(client: BsubioClient, answers: list[web.Response]) -> None:
    answers += [web.Response(status=503), good()]
    with pytest.raises(ServerError):
        await with_raw_response(client.with_options(retries=0).jobs.get_job, "j-1")


async def test_of_a_download_the_head() -> None:
    async with FakeEcotaxa() as server:
        job = server.create_job()
        job.timeline.go(0.0, (0.0, "F"))
        async with EcotaxaClient(token="eco-token", base_url=server.base_url) as client:
            answer = await with_raw_response(client.jobs.get_job_file, job.id)
            assert (answer.status, answer.body) == (200, b"")
            assert int(answer.headers["Content-Length"]) == len(await answer.value.read()) > 0


@pytest.mark.parametrize("what", [print, len, object(), "get_job"])
async def test_only_operations_have_raw_answers(what: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"operation: .* as client\.jobs\.get_job"):
        await with_raw_response(what)


async def test_what_a_handle_does_is_none(client: BsubioClient) -> None:
    with pytest.raises(InvalidArgument, match="operation"):
        await with_raw_response(client.job("j-1").wait)
