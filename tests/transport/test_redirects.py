"""Redirects: followed within the origin by what changes nothing, and refused otherwise."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from yarl import URL

from jobkit_async import ApiError, ServerError
from jobkit_async.endpoint import SAFE, Endpoint
from jobkit_async.errors import api_error
from jobkit_async.request import Request
from jobkit_async.services.bsubio import endpoints
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.transport.redirects import next_url

pytestmark = pytest.mark.looptime

Connect = Callable[..., Awaitable[Any]]
STATUSES = [301, 302, 303, 307, 308]


# -- followed


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/elsewhere?a=%2F%7e&b=c+d", "/elsewhere?a=%2F%7e&b=c+d"),
        ("/with space", "/with%20space"),
        ("next", "/sub/v1/next"),
        ("?page=2", "/sub/v1/jobs?page=2"),
        ("{url}/sub/v2/jobs#part", "/sub/v2/jobs"),
        ("//{host}/other", "/other"),
        ("/a/../b%2fc", "/b%2fc"),
    ],
)
async def test_a_read_follows_within_its_origin(
    serve: Any, connect: Connect, status: int, location: str, target: str
) -> None:
    server = await serve(b"", serve.jobs)
    host = server.url.removeprefix("http://")
    server._replies[0] = serve.http(status, Location=location.format(url=server.url, host=host))
    client = await connect("bsubio", f"{server.url}/sub")
    view = client.with_options(headers={"X-Trace": "7"})
    assert (await view.jobs.list_jobs()).total == 0
    assert server.targets == ["GET /sub/v1/jobs", f"GET {target}"]
    assert server.arrivals[1].headers == server.arrivals[0].headers
    assert server.arrivals[1].headers["Authorization"] == "Bearer bsub-key"
    assert server.arrivals[1].headers["X-Trace"] == "7"


async def test_a_download_follows(serve: Any, connect: Connect) -> None:
    server = await serve(serve.http(302, Location="/files/1"), serve.http(200, b"data"))
    client = await connect("ecotaxa", server.url)
    async with await client.jobs.get_job_file(1) as download:
        assert await download.read() == b"data"
    assert client._caller.transport.pool.used == 0


async def test_five_in_a_row(serve: Any, connect: Connect) -> None:
    hops = [serve.http(307, Location=f"/{hop}") for hop in range(6)]
    server = await serve(*hops[:5], serve.jobs)
    client = await connect("bsubio", server.url)
    assert (await client.jobs.list_jobs()).total == 0
    server = await serve(*hops, serve.jobs)
    client = await connect("bsubio", server.url)
    with pytest.raises(ApiError, match="more than 5 redirects in a row"):
        await client.jobs.list_jobs()
    assert len(server.arrivals) == 6
    assert client._caller.transport.pool.used == 0


async def test_what_fails_behind_a_redirect_is_repeated_from_the_start(
    serve: Any, connect: Connect
) -> None:
    hop = serve.http(302, Location="/x")
    server = await serve(hop, serve.http(503), hop, serve.jobs)
    client = await connect("bsubio", server.url)
    await client.jobs.list_jobs()
    assert server.targets == ["GET /v1/jobs", "GET /x"] * 2


# -- refused


@pytest.mark.parametrize(
    "locations", [["/v1/jobs"], ["/v1/jobs#part"], ["/a", "/v1/jobs"], ["/a", "/b", "/a"]]
)
async def test_a_circle(serve: Any, connect: Connect, locations: list[str]) -> None:
    server = await serve(*(serve.http(302, Location=location) for location in locations))
    client = await connect("bsubio", server.url)
    with pytest.raises(ApiError, match="in a circle within http://127"):
        await client.jobs.list_jobs()
    assert len(server.arrivals) == len(locations)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (
            "https://front.example/login?token=t0p-secret",
            r"a redirect to https://front\.example, .* for http://127\.0\.0\.1:\d+ alone",
        ),
        ("http://127.0.0.1:1/jobs", r"a redirect to http://127\.0\.0\.1:1,"),
        ("http://localhost/jobs", "a redirect to http://localhost,"),
        ("https://user:t0p-secret@front.example/", r"a redirect to https://front\.example,"),
        ("https://127.0.0.1/x", r"set base_url to https://127\.0\.0\.1/sub$"),
        ("file:///etc/t0p-secret", "a redirect to file:,"),
        ("javascript:t0p-secret", "a redirect to javascript:,"),
        ("https:///t0p-secret", "a redirect to https:,"),
        ("http://[::1/t0p-secret", "whose Location is no URL"),
        ("http://h:99999/t0p-secret", "whose Location is no URL"),
        ("", "a redirect to nowhere"),
        (None, "a redirect to nowhere"),
    ],
)
@pytest.mark.parametrize("call", ["list_jobs", "create_job", "get_job"])
async def test_elsewhere(
    serve: Any, connect: Connect, location: str | None, said: str, call: str
) -> None:
    headers = {} if location is None else {"Location": location}
    server = await serve(serve.http(302, b"moved", **headers))
    client = await connect("bsubio", f"{server.url}/sub")
    arguments = {"create_job": [CreateJobRequest(type="t")], "get_job": ["j"]}.get(call, [])
    with pytest.raises(ApiError, match=said) as caught:
        await getattr(client.jobs, call)(*arguments)
    assert (caught.value.status, caught.value.operation) == (302, call)
    assert "base_url" in str(caught.value)
    assert "t0p-secret" not in str(caught.value)
    assert caught.value.__context__ is None or "t0p" not in str(caught.value.__context__)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert len(server.arrivals) == 1
    assert client._caller.transport.pool.used == 0


async def test_credentials_in_the_location(serve: Any, connect: Connect) -> None:
    server = await serve(b"")
    host = server.url.removeprefix("http://")
    server._replies[0] = serve.http(302, Location=f"http://user:word@{host}/x")
    client = await connect("bsubio", server.url)
    with pytest.raises(ApiError, match="brings credentials of its own") as caught:
        await client.jobs.list_jobs()
    assert "word" not in str(caught.value)
    assert len(server.arrivals) == 1


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("call", ["submit_job", "cancel_job", "delete_job"])
async def test_what_changes_something_follows_nowhere(
    serve: Any, connect: Connect, status: int, call: str
) -> None:
    server = await serve(serve.http(status, Location="/elsewhere"))
    client = await connect("bsubio", server.url)
    with pytest.raises(ApiError, match="as this call changes something") as caught:
        await getattr(client.jobs, call)("j")
    assert caught.value.status == status
    assert len(server.arrivals) == 1


async def test_an_ecotaxa_restart_follows_nowhere_though_it_is_a_get(
    serve: Any, connect: Connect
) -> None:
    server = await serve(serve.http(302, Location="/elsewhere"))
    client = await connect("ecotaxa", server.url)
    with pytest.raises(ApiError, match="as this call changes something"):
        await client.jobs.restart_job(1)
    assert server.targets == ["GET /jobs/1/restart"]


@pytest.mark.parametrize("status", [300, 304, 305, 306])
async def test_other_statuses_are_no_redirects(serve: Any, connect: Connect, status: int) -> None:
    server = await serve(serve.http(status, Location="/elsewhere"))
    client = await connect("bsubio", server.url)
    with pytest.raises(ApiError) as caught:
        await client.jobs.list_jobs()
    assert caught.value.status == status
    assert len(server.arrivals) == 1


async def test_a_redirect_of_a_status_request_fails_no_wait(serve: Any, connect: Connect) -> None:
    done = serve.json({"success": True, "data": {"id": "j", "status": "finished"}})
    server = await serve(serve.http(302, Location="https://front.example/maintenance"), done)
    client = await connect("bsubio", server.url)
    final = await asyncio.wait_for(client.job("j").wait(), 1000)
    assert final.status == "finished"


def test_the_hint_of_https_is_for_the_same_host_only() -> None:
    row: Endpoint = endpoints.LIST_JOBS
    assert row.repeat is SAFE
    request = Request(row, "/v1/jobs", {})
    here = [URL("http://bsub.example:8080/v1/jobs")]
    for location, said in [
        ("https://bsub.example/v1/jobs", "set base_url to https://bsub.example/api"),
        ("https://bsub.example:8443/v1", "set base_url to https://bsub.example:8443/api"),
        ("https://www.bsub.example/v1/jobs", "check base_url"),
    ]:
        with pytest.raises(ApiError, match=said):
            next_url(request, 301, location, here, base_url="http://bsub.example:8080/api")
    with pytest.raises(ApiError, match="check base_url"):
        next_url(
            request,
            301,
            "http://bsub.example/v1",
            [URL("https://bsub.example/v1")],
            base_url="https://bsub.example",
        )


def test_it_is_an_error_of_the_service_but_no_breakdown() -> None:
    assert not isinstance(api_error(302, operation="op", reason="a redirect"), ServerError)
