"""Whose session it is, what of it reaches us, and how a client ends."""

from __future__ import annotations

import asyncio
import gzip
import re
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from jobkit_async import (
    BsubioClient,
    ClientClosed,
    ConnectFailed,
    DecodeError,
    EcotaxaClient,
    Hooks,
    InvalidArgument,
    JobkitError,
    NotFound,
    OutcomeUnknown,
    RequestEvent,
    RequestTimeout,
    WrongEventLoop,
    wait_all,
)
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio, FakeLeia

pytestmark = pytest.mark.looptime

Connect = Callable[..., Awaitable[Any]]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# -- the caller's session


async def test_it_is_neither_closed_nor_changed(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    async with aiohttp.ClientSession(
        headers={"X-Mine": "1", "User-Agent": "mine"}, cookies={"mine": "yes"}
    ) as session:
        session.cookie_jar.update_cookies({"host": "only"}, URL(server.url))
        before = (dict(session.headers), sorted(c.OutputString() for c in session.cookie_jar))
        client = await connect("bsubio", server.url, session=session)
        await client.jobs.list_jobs()
        with pytest.raises(JobkitError):
            await client.jobs.create_job(CreateJobRequest(type="t"))
        await client.aclose()
        after = (dict(session.headers), sorted(c.OutputString() for c in session.cookie_jar))
        assert after == before
        assert not session.closed
        async with session.get(server.url) as answer:
            assert answer.status == 200
    mine = server.arrivals[-1].headers
    assert (mine["X-Mine"], mine["User-Agent"], "Authorization" in mine) == ("1", "mine", False)
    ours = server.arrivals[0].headers
    assert ours["X-Mine"] == "1"
    assert ours["User-Agent"].startswith("jobkit_async/")


async def test_a_client_that_never_opened_leaves_it_alone() -> None:
    async with aiohttp.ClientSession() as session:
        client = BsubioClient(api_key="k", session=session)
        await client.aclose()
        assert not session.closed


async def test_its_raise_for_status_is_its_own(serve: Any, connect: Connect) -> None:
    server = await serve(serve.http(404, b"no such job"), serve.http(503), serve.jobs)
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        client = await connect("bsubio", server.url, session=session)
        with pytest.raises(NotFound, match="no such job"):
            await client.jobs.get_job("j")
        assert (await client.jobs.list_jobs()).total == 0


@pytest.mark.parametrize("timeout", [0.001, None], ids=["short", "none"])
async def test_its_timeout_is_its_own(serve: Any, connect: Connect, timeout: float | None) -> None:
    async def slow(arrival: Any, reader: Any, writer: Any) -> None:
        await asyncio.sleep(2)
        writer.write(serve.jobs)

    server = await serve(slow, serve.hang)
    theirs = aiohttp.ClientTimeout(total=timeout, sock_read=timeout)
    async with aiohttp.ClientSession(timeout=theirs) as session:
        client = await connect("bsubio", server.url, session=session, timeout=4)
        client = client.with_options(retries=0)
        await client.jobs.list_jobs()
        assert asyncio.get_running_loop().time() == 2.0
        with pytest.raises(RequestTimeout):
            await client.jobs.list_jobs()
        assert asyncio.get_running_loop().time() == 6.0


async def test_its_auto_decompress_is_its_own(serve: Any, connect: Connect) -> None:
    body = gzip.compress(b'{"success": true, "data": {"jobs": [], "total": 7}}')
    server = await serve(serve.http(200, body, Content_Encoding="gzip"))
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        client = await connect("bsubio", server.url, session=session)
        assert (await client.jobs.list_jobs()).total == 7


async def test_an_encoded_url_stays_as_it_is(serve: Any, connect: Connect) -> None:
    server = await serve(serve.http(404))
    async with aiohttp.ClientSession(requote_redirect_url=True) as session:
        client = await connect("bsubio", server.url, session=session)
        with pytest.raises(NotFound):
            await client.jobs.get_job("a/b?c#d%2Fe ü~")
    assert server.targets == ["GET /v1/jobs/a%2Fb%3Fc%23d%252Fe%20%C3%BC~"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (lambda: {"auth": aiohttp.BasicAuth("a", "b")}, "auth"),
        (lambda: {"headers": {"authorization": "Bearer x"}}, "Authorization"),
        (lambda: {"base_url": "http://127.0.0.1"}, "base_url"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # aiohttp on auth=
async def test_a_session_with_credentials_or_a_base_url_is_refused(
    options: Callable[[], dict[str, Any]], named: str
) -> None:
    async with aiohttp.ClientSession(**options()) as session:
        with pytest.raises(InvalidArgument, match=named) as caught:
            BsubioClient(api_key="k", session=session)
        assert caught.value.argument == "session"
        assert not session.closed


async def test_no_session_at_all_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="session") as caught:
        BsubioClient(api_key="k", session=object())  # type: ignore[arg-type]
    assert caught.value.argument == "session"


async def test_a_closed_session_is_refused() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    client = BsubioClient(api_key="k", session=session)
    with pytest.raises(InvalidArgument, match="closed"):
        await client.__aenter__()


async def test_a_session_that_is_closed_under_us(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    session = aiohttp.ClientSession()
    client = await connect("bsubio", server.url, session=session)
    await client.jobs.list_jobs()
    await session.close()
    with pytest.raises(ClientClosed, match="session"):
        await client.jobs.list_jobs()
    with pytest.raises(ClientClosed, match="session"):
        await client.jobs.create_job(CreateJobRequest(type="t"))
    assert len(server.arrivals) == 1


async def test_two_clients_share_one_session(serve: Any, connect: Connect) -> None:
    first, second = await serve(serve.jobs), await serve(serve.json([]))
    async with aiohttp.ClientSession() as session:
        one = await connect("bsubio", first.url, session=session)
        two = await connect("ecotaxa", second.url, session=session)
        await one.jobs.list_jobs()
        await two.jobs.list_jobs(for_admin=False)
        await one.aclose()
        await two.jobs.list_jobs(for_admin=False)
        with pytest.raises(ClientClosed):
            await one.jobs.list_jobs()
    assert [a.headers["Authorization"] for a in first.arrivals] == ["Bearer bsub-key"]
    assert [a.headers["Authorization"] for a in second.arrivals] == ["Bearer eco-token"] * 2


# -- proxies


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda url: monkeypatch.setenv("http_proxy", url)


async def test_a_proxy_of_the_environment(serve: Any, connect: Connect, through: Any) -> None:
    proxy = await serve(serve.jobs)
    through(proxy.url)
    async with aiohttp.ClientSession(trust_env=True) as session:
        client = await connect(
            "bsubio", "http://service.invalid/sub", session=session, allow_plain_http=True
        )
        await client.jobs.list_jobs(status="a b")
    assert proxy.targets == ["GET http://service.invalid/sub/v1/jobs?status=a%20b"]
    assert proxy.arrivals[0].headers["Authorization"] == "Bearer bsub-key"
    assert proxy.arrivals[0].headers["Host"] == "service.invalid"


async def test_a_proxys_password_is_in_no_error(connect: Connect, through: Any) -> None:
    through("http://ann:planted@127.0.0.1:1")
    async with aiohttp.ClientSession(trust_env=True) as session:
        client = await connect(
            "bsubio", "http://service.invalid", session=session, allow_plain_http=True
        )
        with pytest.raises(ConnectFailed) as caught:
            await client.with_options(retries=0).jobs.list_jobs()
    error: BaseException | None = caught.value
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    while error is not None:
        assert "planted" not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


async def test_no_proxy_of_the_environment(
    serve: Any, connect: Connect, through: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = await serve(serve.http(502)), await serve(serve.jobs)
    through(proxy.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with aiohttp.ClientSession(trust_env=True) as session:
        client = await connect("bsubio", server.url, session=session)
        await client.jobs.list_jobs()
    assert (len(proxy.arrivals), len(server.arrivals)) == (0, 1)


async def test_our_own_session_trusts_no_environment(
    serve: Any, connect: Connect, through: Any
) -> None:
    proxy, server = await serve(serve.http(502)), await serve(serve.jobs)
    through(proxy.url)
    client = await connect("bsubio", server.url)
    await client.jobs.list_jobs()
    assert (len(proxy.arrivals), len(server.arrivals)) == (0, 1)


async def test_a_proxy_of_the_session_loses_an_answer(serve: Any, connect: Connect) -> None:
    proxy = await serve(serve.drop)
    async with aiohttp.ClientSession(proxy=proxy.url) as session:
        client = await connect(
            "bsubio", "http://service.invalid", session=session, allow_plain_http=True
        )
        with pytest.raises(OutcomeUnknown):
            await client.jobs.submit_job("j")
    assert proxy.targets == ["POST http://service.invalid/v1/jobs/j/submit"]


@pytest.mark.parametrize(("service", "header"), [("bsubio", "Authorization"), ("leia", "token")])
async def test_netrc_does_not_take_the_place_of_our_credentials(
    serve: Any,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    header: str,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login netrc-user password netrc-word\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = await serve(serve.http(404, b"no such job"))
    async with aiohttp.ClientSession(trust_env=True) as session:
        client = await connect(service, server.url, session=session)
        # It is a session that brings credentials of its own: to be refused, or passed over. And
        # what is sent once must not say that it may have been sent, if it was not.
        for call in (
            (
                (lambda: client.models.admin_get_model("a", "m")),
                (lambda: client.models.admin_create_model(b"zip", "name", "a")),
            )
            if service == "leia"
            else (client.job("j").refresh, client.job("j").submit)
        ):
            with pytest.raises((InvalidArgument, NotFound)):
                await call()
    for arrival in server.arrivals:
        assert header in arrival.headers
        assert not arrival.headers.get("Authorization", "").startswith("Basic")


# -- our own session


@pytest.mark.looptime(False)
async def test_it_keeps_no_cookies(serve: Any, connect: Connect) -> None:
    server = await serve(
        serve.json({"success": True, "data": {"jobs": []}}, Set_Cookie="session=x; Path=/")
    )
    # By name: cookies of a bare address are kept by no session.
    client = await connect("bsubio", server.url.replace("127.0.0.1", "localhost"))
    await client.jobs.list_jobs()
    await client.jobs.list_jobs()
    assert [a.headers.get("Cookie") for a in server.arrivals] == [None, None]
    assert [a.connection for a in server.arrivals] == [1, 1]


async def test_what_every_request_brings(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs, serve.http(204))
    client = await connect("bsubio", server.url)
    await client.jobs.list_jobs()
    await client.jobs.delete_job("j")
    for arrival in server.arrivals:
        assert arrival.headers["Accept"] == "application/json"
        assert arrival.headers["User-Agent"].startswith("jobkit_async/")
        assert "Content-Type" not in arrival.headers
        assert "gzip" in arrival.headers["Accept-Encoding"]


# -- views


async def test_a_view_shares_all_but_its_options(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url)
    view = client.with_options(headers={"X-Trace": "1"})
    further = view.with_options(headers={"X-Other": "2"}, timeout=3)
    assert view._tracker is client._tracker is further._tracker
    assert view.job("j") == client.job("j")
    for caller in (client, view, further):
        await caller.jobs.list_jobs()
    assert [a.connection for a in server.arrivals] == [1, 1, 1]
    sent = [(a.headers.get("X-Trace"), a.headers.get("X-Other")) for a in server.arrivals]
    assert sent == [(None, None), ("1", None), ("1", "2")]
    await view.aclose()
    with pytest.raises(ClientClosed):
        await client.jobs.list_jobs()


async def test_headers_of_a_client_go_with_waits_and_log_ins_too(connect: Connect) -> None:
    sent: list[tuple[str, str | None, str | None]] = []

    async def note(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        headers = request.headers
        sent.append((request.url.path, headers.get("X-Trace"), headers.get("X-View")))
        return await handler(request)

    async with FakeLeia() as server:
        client = await connect(
            "leia",
            server.base_url,
            token=None,
            api_key=server.api_key,
            headers={"X-Trace": "1"},
            middlewares=[note],
        )
        model = server.add_model("invoices", b"weights")
        view = client.with_options(headers={"X-View": "2"})
        jobs = [
            await view.models.admin_apply_model_async(model.application_id, model.id, [document])
            for document in ("a", "b", "c")
        ]
        await wait_all(jobs)
    assert len(sent) == sum(server.requests.values())
    assert sent[0] == ("/leia/1.0.0/login", "1", None)
    assert {trace for _, trace, _ in sent} == {"1"}
    assert [view for _, _, view in sent].count("2") == len(jobs)


async def test_a_header_of_a_view_wins_over_ours(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url)
    await client.with_options(headers={"User-Agent": "me/1"}).jobs.list_jobs()
    assert server.arrivals[0].headers.getall("User-Agent") == ["me/1"]


async def test_a_header_of_a_view_in_another_case(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url)
    view = client.with_options(headers={"user-agent": "me/1", "accept-language": "de"})
    await view.with_options(headers={"USER-AGENT": "me/2"}).jobs.list_jobs()
    (arrival,) = server.arrivals
    assert arrival.headers.getall("User-Agent") == ["me/2"]
    assert arrival.headers.getall("Accept-Language") == ["de"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "x"},
        {"TOKEN": "x"},
        {"cookie": "a=b"},
        {"Host": "x"},
        {"Content-Length": "1"},
        {"X": "a\r\nY: b"},
        {"X Y": "a"},
        {"": "a"},
        {"X": "snow \u2603"},
        {"X": 1},
        ["X"],
    ],
)
async def test_headers_that_cannot_be_sent(connect: Connect, headers: Any) -> None:
    client = await connect("bsubio", "http://127.0.0.1:1")
    with pytest.raises(InvalidArgument) as caught:
        client.with_options(headers=headers)
    assert caught.value.argument == "headers"


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "3", True])
async def test_timeouts_that_are_none(connect: Connect, timeout: Any) -> None:
    client = await connect("bsubio", "http://127.0.0.1:1")
    for use in (client.with_options, lambda timeout: BsubioClient(api_key="k", timeout=timeout)):
        with pytest.raises(InvalidArgument) as caught:
            use(timeout=timeout)
        assert caught.value.argument == "timeout"


# -- the end of a client


async def test_it_can_be_closed_again_and_again(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url)
    await client.jobs.list_jobs()
    await asyncio.gather(client.aclose(), client.aclose())
    await client.aclose()
    assert "closed" in repr(client)
    with pytest.raises(ClientClosed):
        await client.__aenter__()


async def test_it_is_no_use_before_it_is_opened() -> None:
    client = BsubioClient(api_key="k")
    with pytest.raises(ClientClosed, match="async with"):
        await client.jobs.list_jobs()
    with pytest.raises(ClientClosed, match="async with"):
        await client.job("j").wait()


@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
@pytest.mark.parametrize("operation", ["list_jobs", "create_job"])
async def test_calls_that_are_under_way_end(
    serve: Any, connect: Connect, own: bool, operation: str
) -> None:
    server = await serve(serve.hang)
    async with aiohttp.ClientSession() as session:
        options = {} if own else {"session": session}
        client = await connect("bsubio", server.url, **options)
        arguments = [CreateJobRequest(type="t")] if operation == "create_job" else []
        task = asyncio.create_task(getattr(client.jobs, operation)(*arguments))
        await asyncio.sleep(1)
        await client.aclose()
        with pytest.raises(ClientClosed, match=operation):
            await task
        assert asyncio.get_running_loop().time() == 1.0
        assert len(server.arrivals) == 1


async def test_a_call_between_two_attempts_ends(serve: Any, connect: Connect) -> None:
    server = await serve(serve.http(503, Retry_After="9"))
    client = await connect("bsubio", server.url)
    task = asyncio.create_task(client.jobs.list_jobs())
    await asyncio.sleep(1)
    await client.aclose()
    with pytest.raises(ClientClosed):
        await task
    assert len(server.arrivals) == 1


async def test_a_download_whose_refusal_is_under_way_ends(serve: Any, connect: Connect) -> None:
    refusal = b"HTTP/1.1 503 X\r\nRetry-After: 9\r\nContent-Length: 99\r\n\r\nsorry"
    server = await serve(serve.stall(refusal))
    client = await connect("ecotaxa", server.url)
    task = asyncio.create_task(client.jobs.get_job_file(1))
    await asyncio.sleep(1)
    await client.aclose()
    with pytest.raises(ClientClosed):
        await task
    assert asyncio.get_running_loop().time() == 1.0
    assert len(server.arrivals) == 1


async def test_no_pause_begins_after_closing(serve: Any, connect: Connect) -> None:
    client: Any = None

    class Closing(Hooks):
        def on_request(self, event: RequestEvent) -> None:
            client._caller.transport.shut()

    server = await serve(serve.http(503, Retry_After="9"))
    client = await connect("bsubio", server.url, hooks=Closing())
    with pytest.raises(ClientClosed):
        await client.jobs.list_jobs()
    assert asyncio.get_running_loop().time() == 0.0


async def test_a_download_that_is_under_way_ends(serve: Any, connect: Connect) -> None:
    server = await serve(serve.stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
    client = await connect("ecotaxa", server.url)
    download = await client.jobs.get_job_file(1)
    task = asyncio.create_task(download.read())
    await asyncio.sleep(1)
    await client.aclose()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(task, 1000)
    assert asyncio.get_running_loop().time() == 1.0


@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
async def test_a_call_whose_body_is_under_way_ends(serve: Any, connect: Connect, own: bool) -> None:
    server = await serve(serve.stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
    async with aiohttp.ClientSession() as session:
        client = await connect("bsubio", server.url, **({} if own else {"session": session}))
        task = asyncio.create_task(client.jobs.list_jobs())
        await asyncio.sleep(1)
        await client.aclose()
        with pytest.raises(ClientClosed):
            await asyncio.wait_for(task, 1000)
        assert asyncio.get_running_loop().time() == 1.0


async def test_a_wait_that_is_open_ends_and_handles_go_on(connect: Connect) -> None:
    async with FakeBsubio() as server:
        client = await connect("bsubio", server.base_url, api_key=server.api_key)
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        task = asyncio.create_task(job.wait(on_input="keep"))
        await asyncio.sleep(1)
        await client.aclose()
        with pytest.raises(ClientClosed):
            await task
        assert job.data.type == "t"
        assert job.id in job.ref
        assert job.state.value in repr(job)
        for use in (job.refresh, job.wait, job.cancel, job.submit):
            with pytest.raises(ClientClosed):
                await use()
        with pytest.raises(ClientClosed):
            await job.upload(b"data")


@pytest.fixture
def other_loop() -> Callable[[Any], Any]:
    def run(make: Callable[[], Any]) -> Any:
        async def main() -> Any:
            return await make()

        return asyncio.run(main())

    return run


@pytest.mark.looptime(False)
async def test_a_session_of_another_event_loop_is_an_error(
    connect: Connect, other_loop: Callable[[Any], Any]
) -> None:
    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    session = await asyncio.to_thread(other_loop, make)
    with pytest.raises(WrongEventLoop, match="session was made in another event loop"):
        await connect("bsubio", "http://127.0.0.1:1", session=session)
    await asyncio.to_thread(other_loop, session.close)


async def test_another_event_loop_is_an_error(
    serve: Any, connect: Connect, other_loop: Any
) -> None:
    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url)
    await client.jobs.list_jobs()
    for use in (client.jobs.list_jobs, client.job("j").refresh, client.job("j").wait):
        with pytest.raises(WrongEventLoop):
            await asyncio.to_thread(other_loop, use)
    assert len(server.arrivals) == 1


@pytest.mark.looptime(False)
async def test_a_client_is_not_opened_in_a_second_event_loop(
    serve: Any, connect: Connect, other_loop: Any
) -> None:
    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url)
    with pytest.raises(WrongEventLoop):
        await asyncio.to_thread(other_loop, client.__aenter__)
    assert (await client.jobs.list_jobs()).total == 0


@pytest.mark.looptime(False)
async def test_nothing_is_left_unclosed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import asyncio, gc
        import aiohttp
        from jobkit_async import BsubioClient, EcotaxaClient
        from jobkit_async.services.bsubio.models import CreateJobRequest
        from jobkit_async.testing import FakeBsubio, FakeEcotaxa, Plan

        async def main():
            done = Plan(queued=0, running=0)
            async with FakeBsubio() as one, FakeEcotaxa(planner=lambda r, t: done) as two:
                async with BsubioClient(api_key=one.api_key, base_url=one.base_url) as client:
                    await client.jobs.create_job(CreateJobRequest(type="t"))
                async with EcotaxaClient(token="eco-token", base_url=two.base_url) as client:
                    job = client.job(two.create_job().id)
                    download = await job.file()
                    waiting = asyncio.create_task(job.wait())
                    await asyncio.sleep(0)
                await asyncio.gather(waiting, return_exceptions=True)
                async with aiohttp.ClientSession() as session:
                    async with EcotaxaClient(
                        token="eco-token", base_url=two.base_url, session=session
                    ) as client:
                        download = await client.jobs.get_job_file(job.id)
                BsubioClient(api_key="never opened")
            assert asyncio.all_tasks() == {asyncio.current_task()}
        asyncio.run(main())
        gc.collect()
        """)
    )
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-X", "dev", "-W", "error", str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (process.returncode, process.stderr) == (0, "")


# -- where credentials may go


@pytest.mark.parametrize(
    "url",
    [
        "http://service.example",
        "ftp://service.example",
        "https://user:word@service.example",
        "https://user@service.example",
        "https://service.example?key=1",
        "https://service.example#part",
        "https://",
        "service.example",
        "https://service.example:99999",
        "https://[::1",
        "",
        None,
        b"https://service.example",
    ],
)
async def test_base_urls_that_are_refused(url: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        EcotaxaClient(token="t", base_url=url)
    assert caught.value.argument == "base_url"
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://service.example/", "https://service.example"),
        ("https://service.example/sub//", "https://service.example/sub"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:1/x", "http://[::1]:1/x"),
        ("http://localhost", "http://localhost"),
    ],
)
async def test_base_urls_that_are_taken(url: str, kept: str) -> None:
    assert EcotaxaClient(token="t", base_url=url).base_url == kept
    assert EcotaxaClient(token="t", base_url="http://a.example", allow_plain_http=True).base_url


async def test_a_session_with_a_content_type_of_its_own(serve: Any, connect: Connect) -> None:
    server = await serve(serve.json({"success": True, "data_size": 4}))
    async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
        client = await connect("bsubio", server.url, session=session)
        await client.jobs.upload_job_data("j", "token", b"data")
        leia = await connect("leia", server.url, session=session)
        with pytest.raises(DecodeError):
            await leia.models.admin_create_model(b"data", "m", "app-1")
    form, bare = (arrival.headers for arrival in server.arrivals)
    (boundary,) = re.findall("multipart/form-data; boundary=(.+)", form["Content-Type"])
    assert server.arrivals[0].body.startswith(f"--{boundary}\r\n".encode())
    assert bare["Content-Type"] == "application/octet-stream"
