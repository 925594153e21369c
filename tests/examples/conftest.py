"""Runs the example applications, each against its embedded service, on real sockets."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, web
from aiohttp.test_utils import unused_port

from jobkit_async import CallbackReceiver, VidispineClient
from jobkit_async.testing import FakeLeia, FakeVidispine, Plan

WEB = Path(__file__).parents[2] / "examples" / "web"
SECRET = "a secret of the tests"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the applications, from which they import each other."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(WEB))
    yield WEB
    for name in set(sys.modules) - before:
        if str(WEB) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


class Place:
    """One application with its service, which stay the same while the process comes and goes.

    Attributes:
        kind: ``fastapi`` or ``aiohttp``.
        server: The embedded service.
        url: Where the application is.
        plan: What becomes of the jobs that are started from now on.
    """

    def __init__(self, kind: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = kind
        self.path = path
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.plan = Plan(queued=0.05, running=0.3)
        self.set = monkeypatch.setenv
        fake: Any = FakeVidispine if kind == "fastapi" else FakeLeia
        self.server: Any = fake(planner=lambda rng, job_type: self.plan)

    def prepare(self) -> None:
        """Say in the environment what the application has to know."""
        self.set("PUBLIC_URL", self.url)
        self.set("CALLBACK_SECRET", SECRET)
        self.set("JOBS_DB", str(self.path))
        if self.kind == "fastapi":
            account = {"username": "user", "password": "secret", "base_url": self.server.base_url}
            for name, text in account.items():
                self.set(f"VIDISPINE_{name.upper()}", text)
            receiver = CallbackReceiver(f"{self.url}/callbacks", secret=SECRET)
            url = receiver.url_for(VidispineClient(**account))
            self.set("VIDISPINE_NOTIFICATION", self.server.add_notification(url))
        else:
            self.set("LEIA_API_KEY", self.server.api_key)
            self.set("LEIA_BASE_URL", self.server.base_url)
            self.server.add_model("invoices", short_name="invoices")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SimpleNamespace]:
        """One process's worth of the application, which ends in good order."""
        run = self._uvicorn if self.kind == "fastapi" else self._aiohttp
        async with run() as state:
            yield state

    @asynccontextmanager
    async def _aiohttp(self) -> AsyncIterator[SimpleNamespace]:
        import aiohttp_app

        app = await aiohttp_app.make_app()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            client, desk = app[aiohttp_app.CLIENT], app[aiohttp_app.DESK]
            yield SimpleNamespace(client=client, desk=desk)
        finally:
            await runner.cleanup()

    @asynccontextmanager
    async def _uvicorn(self) -> AsyncIterator[SimpleNamespace]:
        import fastapi_app
        import uvicorn

        config = uvicorn.Config(
            fastapi_app.make_app(),
            port=self.port,
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve())  # serve() would take the signals as well
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.01)
        try:
            yield SimpleNamespace(**server.lifespan.state)
        finally:
            server.should_exit = True
            await task


# FastAPI comes with an extra that the plain test command leaves out, and takes a second to load.
@pytest.fixture(params=[pytest.param("fastapi", marks=pytest.mark.slow), "aiohttp"])
async def place(
    request: pytest.FixtureRequest,
    examples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Place]:
    """An application of each kind."""
    if request.param == "fastapi":
        pytest.importorskip("fastapi", reason="the extra 'examples' is not installed")
        pytest.importorskip("uvicorn", reason="the extra 'examples' is not installed")
    it = Place(request.param, tmp_path / "jobs.sqlite", monkeypatch)
    async with it.server:
        it.prepare()
        yield it


@pytest.fixture
async def visitor() -> AsyncIterator[ClientSession]:
    """A session of somebody who visits."""
    async with ClientSession() as session:
        yield session


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits for something to become true."""

    async def wait(condition: Callable[[], Any], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while True:
                found = condition()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return
                await asyncio.sleep(0.01)

    return wait


# -- a browser


class Tab:
    """A page in a browser, driven by the protocol of its developer tools."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._count = 0
        self._session: dict[str, str] = {}
        self._target = ""

    async def open(self, url: str) -> None:
        self._target = (await self._say("Target.createTarget", url=url))["targetId"]
        attached = await self._say("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    async def run(self, script: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = await self._say("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    async def close(self) -> None:
        self._session = {}
        await self._say("Target.closeTarget", targetId=self._target)

    async def _say(self, method: str, **params: Any) -> Any:
        self._count += 1
        command = {"id": self._count, "method": method, "params": params, **self._session}
        await self._socket.send_json(command)
        while True:
            answer = await self._socket.receive_json(timeout=20.0)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    """A tab of a headless Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={tmp_path / 'profile'}",
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stderr is not None
        said: deque[str] = deque(maxlen=20)
        found = None
        async with asyncio.timeout(30.0):
            while found is None:
                line = (await process.stderr.readline()).decode(errors="replace")
                assert line, f"Chromium has not started: {''.join(said)}"
                said.append(line)
                found = re.search(r"DevTools listening on (ws://\S+)", line)
        async with ClientSession() as session, session.ws_connect(found[1]) as socket:
            yield Tab(socket)
    finally:
        process.kill()
        await process.communicate()
