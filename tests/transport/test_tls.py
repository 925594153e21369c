"""Certificates: verified always, refused with the reason, and not asked for again."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import trustme

from jobkit_async import BsubioClient, ConnectFailed, InvalidArgument, Polling
from jobkit_async.services.bsubio.models import CreateJobRequest

pytestmark = pytest.mark.looptime(False)

Connect = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("operation", ["list_jobs", "create_job"])
@pytest.mark.parametrize(
    ("host", "expires", "trusted", "why"),
    [
        ("127.0.0.1", None, False, "unable to get local issuer certificate|self-signed"),
        ("127.0.0.1", PAST, True, "certificate has expired"),
        ("other.example", None, True, "IP address mismatch"),
    ],
)
async def test_a_certificate_that_is_no_good(
    serve: Any,
    connect: Connect,
    longest: Any,
    authority: trustme.CA,
    operation: str,
    host: str,
    expires: datetime | None,
    trusted: bool,
    why: str,
) -> None:
    server = await serve(serve.jobs, ssl=server_side(authority.issue_cert(host, not_after=expires)))
    tls = trusting(authority) if trusted else ssl.create_default_context()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        client = await connect("bsubio", server.url, session=session, polling=Polling(rng=longest))
        arguments = [CreateJobRequest(type="t")] if operation == "create_job" else []
        with pytest.raises(ConnectFailed, match=rf"certificate was refused: .*({why})") as caught:
            await getattr(client.jobs, operation)(*arguments)
    assert caught.value.certificate
    assert server.arrivals == []
    assert longest.asked == []  # no pause: another attempt would meet the same certificate


async def test_a_certificate_that_is_good(
    serve: Any, connect: Connect, authority: trustme.CA
) -> None:
    server = await serve(serve.jobs, ssl=server_side(authority.issue_cert("127.0.0.1")))
    connector = aiohttp.TCPConnector(ssl=trusting(authority))
    async with aiohttp.ClientSession(connector=connector) as session:
        client = await connect("bsubio", server.url, session=session)
        assert (await client.jobs.list_jobs()).total == 0


async def test_a_fingerprint_of_another_certificate(
    serve: Any, connect: Connect, authority: trustme.CA
) -> None:
    server = await serve(serve.jobs, ssl=server_side(authority.issue_cert("127.0.0.1")))
    connector = aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(bytes(32)))
    async with aiohttp.ClientSession(connector=connector) as session:
        client = await connect("bsubio", server.url, session=session)
        with pytest.raises(ConnectFailed, match="fingerprint") as caught:
            await client.jobs.submit_job("j")
    assert caught.value.certificate
    assert server.arrivals == []


def careless() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def nameless() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


@pytest.mark.parametrize(
    "make", [lambda: False, careless, nameless], ids=["False", "CERT_NONE", "any host"]
)
async def test_a_session_that_trusts_everybody_is_refused(make: Callable[[], Any]) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=make())) as session:
        with pytest.raises(InvalidArgument, match="does not verify TLS certificates") as caught:
            BsubioClient(api_key="k", session=session)
        assert caught.value.argument == "session"
        for url in ("https://127.0.0.1:8443", "https://localhost", "http://127.0.0.1"):
            BsubioClient(api_key="k", session=session, base_url=url)


@pytest.mark.parametrize("make", [lambda: True, ssl.create_default_context], ids=["True", "own"])
async def test_a_session_that_verifies_is_taken(make: Callable[[], Any]) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=make())) as session:
        BsubioClient(api_key="k", session=session)


async def test_a_proxy_that_refuses_has_let_nothing_through(serve: Any, connect: Connect) -> None:
    proxy = await serve(serve.http(407, b"log in", Proxy_Authenticate="Basic"))
    async with aiohttp.ClientSession(proxy=proxy.url) as session:
        client = await connect("bsubio", "https://service.invalid", session=session)
        with pytest.raises(ConnectFailed, match="the proxy refuses it with HTTP 407") as caught:
            await client.with_options(retries=0).jobs.submit_job("j")
    assert not caught.value.certificate
    assert proxy.targets == ["CONNECT service.invalid:443"]
