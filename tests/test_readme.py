"""Every code block of the README and of the documentation does what it says.

The two shell commands are run by ``.ci/run``, in a fresh copy with a fresh environment; here it is
only shown that these are the ones which it picks. What is no code is looked at by ``test_docs.py``,
and the types of the code by ``test_typing.py``.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer, unused_port
from multidict import CIMultiDict
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobkit_async import BsubioClient, BsubioJob, EcotaxaClient, LeiaClient, VidispineClient
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.testing import (
    FakeBsubio,
    FakeEcotaxa,
    FakeLeia,
    FakeServer,
    FakeVidispine,
    Plan,
)

ROOT = Path(__file__).parents[1]
BLOCKS = {
    "README.md": {"python": 2, "console": 2, "text": 1},
    "docs/architecture.md": {},
    "docs/callbacks.md": {"python": 2},
    "docs/cli.md": {"console": 2},
    "docs/clients.md": {"python": 7},
    "docs/errors.md": {"python": 1, "text": 1},
    "docs/observability.md": {"python": 2},
    "docs/own_service.md": {"console": 2, "py": 9, "toml": 1},
    "docs/quick_start.md": {"python": 4},
    "docs/recipes.md": {"python": 10},
    "docs/testing.md": {"python": 4, "toml": 1},
    "docs/waiting.md": {"python": 2},
    "docs/web.md": {"python": 1, "console": 1},
}
"""How many blocks of which language there are; each has its test below, in ``test_docs.py`` or in
``test_own_service.py``."""
CREDENTIALS = {
    "bsubio": {"api_key": "bsub-key"},
    "ecotaxa": {"token": "eco-token"},
    "leia": {"token": "leia-token"},
    "vidispine": {"username": "user", "password": "secret"},
}
AT_ONCE = Plan(queued=0.0, running=0.0)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [body for found, body in FENCE.findall(text) if found == language]


def execute(name: str, position: int = 0) -> dict[str, Any]:
    """Run a Python block of a page; what it defines."""
    space: dict[str, Any] = {"__name__": "readme"}
    exec(compile(blocks(name, "python")[position], name, "exec", dont_inherit=True), space)
    return space


def environment(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
    """Set the variables by which ``from_env()`` finds an embedded server."""
    for name, value in {"base_url": server.base_url, **CREDENTIALS[server.service]}.items():
        monkeypatch.setenv(f"{server.service}_{name}".upper(), value)


@contextmanager
def serving(**options: Any) -> Iterator[FakeBsubio]:
    """An embedded bsub.io in a thread of its own, as code with its own event loop needs it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> FakeBsubio:
        server = FakeBsubio(**options)
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_the_first_block_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text[: text.index("asyncio.run(main())")].count("\n") < 35
    assert text.count("\n") < 150  # more belongs into docs/
    plan = Plan(queued=0.0, running=0.01)
    with serving(api_key="your key", planner=lambda rng, job_type: plan) as server:
        monkeypatch.setitem(BsubioClient.__init__.__kwdefaults__, "base_url", server.base_url)
        # In a thread of its own: asyncio.run() leaves its mark on the thread's event loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(execute, "README.md").result(30)
        (job,) = server.jobs.values()
        assert job.data == b"%PDF-1.7 ..."
    assert capsys.readouterr().out.startswith("finished 20")


@pytest.mark.looptime
async def test_the_block_about_results(capsys: pytest.CaptureFixture[str]) -> None:
    read_all = execute("README.md", 1)["read_all"]
    async with (
        FakeLeia() as server,
        LeiaClient(token="leia-token", base_url=server.base_url) as client,
    ):
        server.add_model("invoices", short_name="invoices")
        server.next_jobs(Plan.fails("no text", after=5), Plan.succeeds(after=9))
        await read_all(client, ["doc-1", "doc-2"])
    failed, succeeded = capsys.readouterr().out.splitlines()
    assert "no text - to be taken up again as jk1:leia:" in failed
    assert "doc-2" in succeeded


@pytest.mark.looptime
async def test_the_block_about_many_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    follow = execute("docs/recipes.md")["follow"]
    async with FakeEcotaxa() as first, FakeLeia() as second:
        first.create_job()
        first.create_job("FileImport", question={"missing_users": ["me"]})
        second.add_model("invoices", short_name="invoices")
        async with (
            EcotaxaClient(token="eco-token", base_url=first.base_url) as ecotaxa,
            LeiaClient(token="leia-token", base_url=second.base_url) as leia,
        ):
            await follow(ecotaxa, leia)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 3
    assert sum("asks {'missing_users': ['me']}" in line for line in told) == 1
    assert sum("jk1:leia:" in line for line in told) == 1


def test_the_block_about_pacing() -> None:
    execute("docs/waiting.md")


def test_the_blocks_that_are_tests(tmp_path: Path) -> None:
    """In a project of their own, which has nothing but the settings that the page shows."""
    (settings,) = blocks("docs/testing.md", "toml")
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    tests = [
        *blocks("docs/testing.md", "python"),
        blocks("docs/callbacks.md", "python")[1],
        blocks("docs/recipes.md", "python")[8],
    ]
    for number, code in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(tests)} passed" in done.stdout


# -- the quick start


@pytest.mark.looptime
async def test_the_quick_start_with_bsubio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = execute("docs/quick_start.md")["main"]
    async with FakeBsubio(planner=lambda rng, job_type: Plan(running=60)) as server:
        environment(monkeypatch, server)
        await main()
    assert capsys.readouterr().out.startswith("finished 20")


async def test_the_quick_start_with_ecotaxa(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    main = execute("docs/quick_start.md", 1)["main"]
    monkeypatch.chdir(tmp_path)
    async with FakeEcotaxa(planner=lambda rng, job_type: AT_ONCE) as server:
        environment(monkeypatch, server)
        server.create_job().file = b"older"
        server.create_job().file = b"plankton"
        await main()
    name = capsys.readouterr().out.removeprefix("100 ").strip()
    assert (tmp_path / name).read_bytes() == b"plankton"


@pytest.mark.looptime
async def test_the_quick_start_with_leia(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = execute("docs/quick_start.md", 2)["main"]
    async with FakeLeia(planner=lambda rng, job_type: Plan(running=60)) as server:
        server.add_model("invoices", short_name="invoices")
        environment(monkeypatch, server)
        await main()
    told = capsys.readouterr().out
    assert told.startswith("PROCESSED ")
    assert "doc-2" in told


@pytest.mark.looptime
async def test_the_quick_start_with_vidispine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = execute("docs/quick_start.md", 3)["main"]
    async with FakeVidispine(planner=lambda rng, job_type: Plan(running=60), record=True) as server:
        environment(monkeypatch, server)
        await main()
        (job_id,) = server.jobs
    assert capsys.readouterr().out == f"{job_id} FINISHED\n"
    assert b"archive" in server.seen[0].body


# -- the recipes


@pytest.mark.looptime
async def test_the_recipe_for_all_outcomes() -> None:
    convert = execute("docs/recipes.md", 1)["convert"]
    async with (
        FakeBsubio() as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
    ):
        server.next_jobs(Plan.succeeds(after=60), Plan.fails("no text", after=5))
        good, bad = await convert(client, [b"one", b"two"])
    assert good is None
    assert bad is not None
    assert "no text" in bad


@pytest.mark.looptime
@pytest.mark.parametrize("lasts", [5.0, 7200.0])
async def test_the_recipe_for_deadlines(lasts: float) -> None:
    at_most = execute("docs/recipes.md", 2)["at_most"]
    async with (
        FakeBsubio() as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
    ):
        server.next_jobs(Plan.succeeds(after=lasts))
        job = await client.run("pdf/extract", b"data")
        final = await at_most(job, 60.0)
    assert (final is not None) is (lasts < 60)
    assert asyncio.get_running_loop().time() <= 61
    assert server.ledger.count("cancelled", job.id) == (lasts > 60)


@pytest.mark.looptime
async def test_the_recipe_for_a_job_that_ends_while_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_most = execute("docs/recipes.md", 2)["at_most"]
    cancel = BsubioJob.cancel

    async def too_late(job: BsubioJob) -> None:
        await asyncio.sleep(5)
        await cancel(job)

    monkeypatch.setattr(BsubioJob, "cancel", too_late)
    async with (
        FakeBsubio() as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
    ):
        server.next_jobs(Plan.succeeds(after=62))
        final = await at_most(await client.run("pdf/extract", b"data"), 60.0)
    assert final.status == "finished"


@pytest.mark.looptime
async def test_the_recipe_for_progress(capsys: pytest.CaptureFixture[str]) -> None:
    watch = execute("docs/recipes.md", 3)["watch"]
    async with (
        FakeEcotaxa(planner=lambda rng, job_type: Plan(running=60)) as server,
        EcotaxaClient(token="eco-token", base_url=server.base_url) as client,
    ):
        await watch(client.job(server.create_job().id))
    told = capsys.readouterr().out.splitlines()
    assert len(told) > 3
    assert re.fullmatch(r"running \d\d%", told[-3])
    assert told[-2:] == ["succeeded 100%", "the last word: succeeded"]


@pytest.mark.looptime
async def test_the_recipe_for_questions() -> None:
    with_answers = execute("docs/recipes.md", 4)["with_answers"]
    asked: list[Any] = []

    def reply(question: Any) -> dict[str, Any]:
        asked.append(question)
        return {"users": dict.fromkeys(question["missing_users"], 1)}

    async with (
        FakeEcotaxa() as server,
        EcotaxaClient(token="eco-token", base_url=server.base_url) as client,
    ):
        server.next_jobs(Plan.succeeds(after=60))
        job = server.create_job("FileImport", question={"missing_users": ["me"]})
        final = await with_answers(client.job(job.id), reply)
    assert final.reply == {"users": {"me": 1}}
    assert asked == [{"missing_users": ["me"]}]


async def test_the_recipe_for_uploads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    send = execute("docs/recipes.md", 5)["send"]
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7 ...")
    async with (
        FakeBsubio() as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
    ):
        job = await send(client, tmp_path / "paper.pdf")
        assert server.jobs[job.id].data == b"%PDF-1.7 ..."
    assert capsys.readouterr().out == "12 of 12 bytes\n"


@pytest.mark.looptime
async def test_the_recipe_for_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = execute("docs/recipes.md", 6)["go_on"]
    async with FakeVidispine(planner=lambda rng, job_type: Plan(running=60)) as server:
        environment(monkeypatch, server)
        async with VidispineClient.from_env() as client:
            job = await client.jobs.create_custom_job("TRANSCODE", SimpleMetadataType())
        assert (await go_on(job.ref)).status == "FINISHED"


async def test_the_recipe_for_a_web_page(monkeypatch: pytest.MonkeyPatch) -> None:
    make_app = execute("docs/recipes.md", 7)["make_app"]
    async with FakeLeia(planner=lambda rng, job_type: AT_ONCE) as server:
        server.add_model("invoices", short_name="invoices")
        environment(monkeypatch, server)
        async with TestClient(TestServer(make_app())) as browser:
            async with browser.post("/read/doc-7") as response:
                assert response.status == 202
                ref = (await response.json())["ref"]
            async with browser.get("/job", params={"ref": ref}) as response:
                assert (await response.json())["state"] == "succeeded"
        (job,) = server.jobs.values()
    assert job.document_ids == ["doc-7"]


def test_the_recipe_for_a_service(capsys: pytest.CaptureFixture[str]) -> None:
    execute("docs/recipes.md", 9)
    assert "leia LeiaClient\n" in capsys.readouterr().out


# -- the other pages


def test_the_block_about_policies() -> None:
    polling = execute("docs/waiting.md", 1)["polling"]
    assert polling.policy is not None


@pytest.mark.looptime
async def test_the_block_about_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = execute("docs/clients.md")["newest"]
    async with FakeVidispine(record=True) as server:
        account = {"username": "user", "password": "secret", "base_url": server.base_url}
        for name, value in account.items():
            monkeypatch.setenv(f"VIDISPINE_{name.upper()}", value)
        async with VidispineClient.from_env() as client:
            job = await client.jobs.create_custom_job("TRANSCODE", SimpleMetadataType())
        assert await newest() == [job.id]
        assert server.seen[-1].headers["X-Reason"] == "report"


async def test_the_block_about_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = execute("docs/clients.md", 4)["copy"]
    at_once = Plan(queued=0.0, running=0.0)
    async with (
        FakeEcotaxa(planner=lambda rng, job_type: at_once) as ecotaxa,
        FakeLeia() as leia,
        EcotaxaClient(token="eco-token", base_url=ecotaxa.base_url) as source,
        LeiaClient(api_key=leia.api_key, base_url=leia.base_url) as target,
    ):
        job = None
        while job is None or job.id < 17:
            job = ecotaxa.create_job()
        job.file = b"plankton"
        await copy(source, target, tmp_path)
        (model,) = leia.models.values()
    assert model.contents == b"plankton"
    assert capsys.readouterr().out == "8 of 8 bytes\n" * 2


@pytest.mark.looptime
async def test_the_block_about_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    careful_client = execute("docs/clients.md", 1)["careful_client"]
    async with FakeBsubio() as server:
        monkeypatch.setenv("BSUBIO_API_KEY", server.api_key)
        monkeypatch.setenv("BSUBIO_BASE_URL", server.base_url)
        async with careful_client() as client:
            for _ in range(11):
                await client.jobs.list_jobs()
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)  # ten a second


async def test_the_block_about_middlewares(monkeypatch: pytest.MonkeyPatch) -> None:
    traced_client = execute("docs/clients.md", 2)["traced_client"]
    async with FakeLeia(record=True) as server:
        monkeypatch.setenv("LEIA_API_KEY", server.api_key)
        monkeypatch.setenv("LEIA_BASE_URL", server.base_url)
        async with traced_client() as client:
            await client.models.admin_get_models()
    seen = [CIMultiDict(request.headers) for request in server.seen]
    assert len({headers["X-Correlation-Id"] for headers in seen}) == 2  # the log-in has its own


@pytest.mark.looptime
async def test_the_block_about_pages() -> None:
    unfinished = execute("docs/clients.md", 3)["unfinished"]
    async with FakeLeia() as server:
        model = server.add_model("invoices")
        async with LeiaClient(token="leia-token", base_url=server.base_url) as client:
            apply = client.models.admin_apply_model_async
            await (await apply("app-1", model.id, ["doc-1"])).wait(check=False)
            job = await apply("app-1", model.id, ["doc-1"])
            assert await unfinished(client) == [job.id]


@pytest.mark.looptime
async def test_the_block_about_taking_jobs_up_again(tmp_path: Path) -> None:
    space = execute("docs/clients.md", 5)
    async with FakeBsubio() as server:
        async with BsubioClient(api_key=server.api_key, base_url=server.base_url) as client:
            jobs = [await client.run("pdf/extract", b"data") for _ in range(3)]
            space["keep"](jobs, tmp_path / "refs")
        async with BsubioClient(api_key=server.api_key, base_url=server.base_url) as client:
            outcomes = await space["go_on"](client, tmp_path / "refs")
    assert [outcome.job.id for outcome in outcomes] == [job.id for job in jobs]
    assert all(outcome.state.ended for outcome in outcomes)


@pytest.mark.looptime
async def test_the_block_about_the_raw_answer(capsys: pytest.CaptureFixture[str]) -> None:
    traced = execute("docs/clients.md", 6)["traced"]
    async with (
        FakeBsubio() as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
    ):
        job = await client.run("pdf/extract", b"data")
        assert await traced(client, job.id) == "pending"
    assert re.fullmatch(r"200 application/json; charset=utf-8 \d+ None\n", capsys.readouterr().out)


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan(running=60), ""),
        (Plan(outcome="failure", message="out of paper"), "failed: EFAILED: out of paper"),
        (Plan(running=7200), "goes on, to be taken up again as jk1:bsubio:"),
        (None, "not to be had: bsubio job "),
    ],
)
async def test_the_block_about_errors(
    plan: Plan | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = execute("docs/errors.md")["result"]
    async with (
        FakeBsubio(planner=lambda rng, job_type: plan or Plan()) as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
    ):
        job: BsubioJob = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
        if plan is not None:
            await job.upload(b"data")
            await job.submit()
        final = await result(job)
    assert (final is not None) is (told == "")
    printed = capsys.readouterr().out
    assert printed.startswith(told)
    assert bool(printed) is bool(told)


@pytest.mark.looptime
async def test_the_blocks_about_hooks_and_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    bill = execute("docs/observability.md")["bill"]
    start = execute("docs/observability.md", 1)["start"]
    exporter = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    async with FakeBsubio() as server:
        monkeypatch.setenv("BSUBIO_API_KEY", server.api_key)
        monkeypatch.setenv("BSUBIO_BASE_URL", server.base_url)
        ref = await start(tracers, NoOpMeterProvider())
        hooks = await bill(list(server.jobs))
        assert sum(server.requests.values()) == 3 + sum(hooks.requests.values())
    assert all(job_id in ref for job_id in server.jobs)
    assert set(hooks.requests) == {"waiting"}
    assert len(hooks.delays) == 1
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans][:1] == ["POST /v1/jobs"]
    assert spans[-1].name == "start a job"
    assert all(span.parent == spans[-1].get_span_context() for span in spans[:-1])
    tracers.shutdown()


async def test_the_block_about_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    make_app = execute("docs/callbacks.md")["make_app"]
    plan = Plan(queued=0.0, running=0.1)
    port = unused_port()
    async with FakeLeia(planner=lambda rng, job_type: plan) as server:
        server.add_model("invoices", short_name="invoices")
        monkeypatch.setenv("LEIA_API_KEY", server.api_key)
        monkeypatch.setenv("LEIA_BASE_URL", server.base_url)
        monkeypatch.setenv("PUBLIC_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("SECRET", "sixteen letters or more")
        async with (
            TestClient(TestServer(make_app(), port=port)) as browser,
            browser.post("/predict") as response,
        ):
            assert (await response.json())["result"]
        assert [call.status for call in server.calls.made] == [204]


@pytest.mark.looptime
async def test_the_block_about_live_pages() -> None:
    events = execute("docs/web.md")["events"]
    async with (
        FakeBsubio(planner=lambda rng, job_type: Plan(queued=30, running=60)) as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
    ):
        job: BsubioJob = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
        await job.upload(b"data")
        await job.submit()
        told = [event async for event in events(job)]
    assert b'"state": "pending"' in told[0]
    assert b'"state": "succeeded"' in told[-2]
    assert told[-1].startswith(b"event: end")


def test_the_commands_of_the_web_applications() -> None:
    install, *commands = blocks("docs/web.md", "console")[0].splitlines()
    assert install.endswith("-e '.[examples]'")
    # They are run by examples/test_commands.py, by what the files themselves say.
    for command in commands:
        file = ROOT / command.split()[1]
        assert f"    python {command.split()[1]}\n" in file.read_text(encoding="utf-8")


def test_no_other_block_on_any_page() -> None:
    pages = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
    assert pages == list(BLOCKS)
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        found = Counter(language for language, _ in FENCE.findall(text))
        assert found == BLOCKS[page], page
        assert text.count("```") == 2 * found.total()  # a fence that names no language is none
    for other in (ROOT / "docs").glob("*.rst"):
        assert not re.search(
            r"^(?!\.\. ).*::$|code-block", other.read_text(encoding="utf-8"), re.MULTILINE
        )


def test_continuous_integration_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (definition,) = re.findall(r"^readme_command\(\).*$", script, re.MULTILINE)
    for command, word in zip(
        blocks("README.md", "console"), ("jobkit demo", "pytest"), strict=True
    ):
        assert command.count("\n") == 1
        assert f"readme_command {word}" in script.replace("'", "")
        done = subprocess.run(
            ["bash", "-c", f'tree={ROOT}; {definition}; readme_command "{word}"'],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == command
