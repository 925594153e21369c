"""The conformance checks: our own services pass, and what is broken on purpose is told."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import attrs
import pytest

from jobkit_async import InvalidArgument, JobState, Polling, registry
from jobkit_async.codegen.__main__ import main as codegen
from jobkit_async.registry import GROUP, find_service, service_names
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.spec import ServiceSpec
from jobkit_async.testing import NotConforming, check_service
from jobkit_async.testing.conformance import parts

ANSWERS: Mapping[str, Mapping[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "answers.json").read_text(encoding="utf-8")
)


async def bsubio(client: Any, server: Any) -> Any:
    job = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
    await job.upload(b"data")
    await job.submit()
    return job


async def ecotaxa(client: Any, server: Any) -> Any:
    return await client.jobs.get_job(server.create_job().id)


async def leia(client: Any, server: Any) -> Any:
    if not server.models:
        server.add_model("invoices", short_name="invoices")
    return await client.models.admin_apply_model_async("app-1", "invoices", ["doc-1"])


async def vidispine(client: Any, server: Any) -> Any:
    return await client.jobs.create_custom_job("TRANSCODE", SimpleMetadataType())


STARTS = {"bsubio": bsubio, "ecotaxa": ecotaxa, "leia": leia, "vidispine": vidispine}


@pytest.mark.parametrize("service", service_names())
def test_our_own_services_conform(service: str) -> None:
    check_service(service, start=STARTS[service], examples=ANSWERS[service])


# -- a service from elsewhere, broken on purpose

GRIDBATCH = Path(__file__).parents[1] / "examples" / "gridbatch"
EXAMPLES: dict[str, Any] = json.loads((GRIDBATCH / "tests" / "answers.json").read_text())


LOGIN = {"api_key": "grid-key"}


async def gridbatch(client: Any, server: Any) -> Any:
    models = sys.modules["jobkit_gridbatch.models"]
    request = models.SubmitJobRequest(job_name="f", job_queue="night", job_definition="render:3")
    return await client.jobs.submit_job(request)


@pytest.fixture
def spec_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Gridbatch as it is, or with something in one of its files replaced."""

    def make(file: str = "", old: str = "", new: str = "") -> ServiceSpec:
        source = GRIDBATCH / "jobkit_gridbatch"
        package = Path(shutil.copytree(source, tmp_path / "jobkit_gridbatch"))
        if file:
            text = (package / file).read_text()
            assert text.count(old) == 1
            (package / file).write_text(text.replace(old, new))
            if file == "endpoints.py":
                codegen(["jobkit_gridbatch.endpoints"])
        spec: ServiceSpec = importlib.import_module("jobkit_gridbatch").SPEC
        monkeypatch.setattr(parts, "find_service", lambda name: spec)
        return spec

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "jobkit_gridbatch"]:
            del sys.modules[name]

    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    forget()
    yield make
    forget()


def faults_of(spec: ServiceSpec, examples: Mapping[str, Any] = EXAMPLES) -> list[str]:
    with pytest.raises(NotConforming) as raised:
        check_service(spec, start=gridbatch, examples=examples)
    assert str(raised.value).startswith(f"{spec.name} does not conform:\n- ")
    return raised.value.faults


def test_a_service_from_elsewhere_conforms(spec_of: Callable[..., Any]) -> None:
    check_service(spec_of(), start=gridbatch, examples=EXAMPLES)


BROKEN = [
    # its parts
    ("endpoints.py", "/{jobId}/terminate", "/{job}/terminate", "terminate_job: the path has"),
    ("endpoints.py", 'service="gridbatch"', 'service="grid"', "its table calls the service 'gr"),
    (
        "endpoints.py",
        'returns=job(models.Job, key=("job_id",))',
        "returns=job(models.Job)",
        "submit_job: Job has no attribute 'id', which is to tell jobs apart",
    ),
    ("api.py", "Submit a job to", "Send a job to", "api.py is stale: run python -m jobkit_asy"),
    ("api.py", "async def list_jobs(", "async def list_them(", "list_jobs: GridbatchJobsApi has"),
    ("api.py", "job_status: str", "job_status: Strange", "list_jobs: its annotations do not res"),
    (
        "api.py",
        "self,\n        *,\n        job_queue: str | None = None,",
        "self,\n        job_queue: str,\n        *,",
        "required argum",
    ),
    ("models.py", 'FAILED = "FAILED"', 'FAILED = "FAILED"\n    X = "X"', "what status 'X' means"),
    ("source.py", "S.RUNNING: JobState.RUNNING", "S.RUNNING: 1", "'RUNNING' is to mean 1, which"),
    ("source.py", "S.FAILED: JobState.FAILED", "S.FAILED: JobState.RUNNING", "has failed"),
    (
        "fake.py",
        "= STATES\n",
        "= {**STATES, S.RUNNABLE: JobState.RUNNING}\n",
        "status 'RUNNABLE' means 'running' to its embedded server alone",
    ),
    ("fake.py", '"POST", "/v1/submitjob"', '"PUT", "/v1/submitjob"', "submit_job: its embedded"),
    ("fake.py", "*, api_key: str", "*, key: str", "its embedded server takes no api_key=, by"),
    ("client.py", "def jobs(", "def tasks(", "jobs of its client is no GridbatchJobsApi"),
    ("client.py", "_job_class = Gr", "_job_class = object  # Gr", "handles of its client are no"),
    ("client.py", "**options: Unpack[ClientOptions]", "", "its client takes no base_url="),
    ("job.py", '= "gridbatch"', '= "batch"', "its handle calls the service 'batch'"),
    # its answers
    ("models.py", "job_name: str | None = None", "job_name: int", "submit_job: the example of"),
    ("source.py", "raw_status=word", "raw_status=word.title()", "'Failed' is no member of the"),
    (
        "source.py",
        "STATES.get(word, JobState.UNKNOWN)",
        "STATES.get(word, JobState.RUNNING)",
        "'a word of next year' is seen as running",
    ),
    ("source.py", "final=state.ended", "final=True", "'RUNNING' is said to have ended for good"),
    # its embedded server
    ("fake.py", "if not hmac.", "if False and hmac.", "its embedded server lets everybody in"),
    (
        "fake.py",
        'service: ClassVar[str] = "gridbatch"',
        'service: ClassVar[str] = "gridbatch"\n    prefix: ClassVar[str] = "/planted-api_key-5f1c"',
        "a credential travels in the URL",
    ),
]
BROKEN_TOO = [
    ("fake.py", "jobs must be a list", "1" * 9, None),
    ("fake.py", 'ids = (await _object(request)).get("jobs")', "ids = 1 / 0", "server fails: "),
    ("job.py", "cast(str, self._record.key)", "self._record.key.upper()", "is another job than"),
    ("source.py", "reason=job.status_reason", "reason=None", "and the reason is None"),
    ("source.py", "cancels=word == S.FAILED", "cancels=False", "cancelled is found to have failed"),
    ("job.py", "except Conflict:", "except ZeroDivisionError:", "is no JobEnded, but Conflict"),
    ("client.py", "if len(page) < PAGE:", "if True or after:", None),
    ("client.py", "yield job", "yield self.job('gb-1')", "of 3 jobs iter_jobs() of its client"),
    ("job.py", "self._ended()", "pass", "cancelling a job that has ended is no JobEnded"),
    (
        "client.py",
        "    @property\n    def jobs",
        "    def __repr__(self) -> str: return f'by {self._caller.auth.secrets()}'\n\n"  # noqa: ISC004
        "    @property\n    def jobs",
        "a credential is shown: by (",
    ),
    ("fake.py", "if it in self.jobs]", "]", "A job that the service does not know any more: "),
]


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [*BROKEN, *(pytest.param(*case, marks=pytest.mark.slow) for case in BROKEN_TOO)],
)
def test_what_is_broken_is_told(
    file: str, old: str, new: str, fault: str | None, spec_of: Callable[..., Any], watch: Any
) -> None:
    spec = spec_of(file, old, new)
    if fault is None:  # which shows that it is not the mere change that is told
        check_service(spec, start=gridbatch, examples=EXAMPLES)
        return
    faults = faults_of(spec)
    assert any(fault in told for told in faults), faults
    if "credential" in fault:  # which our own watch for secrets has seen as well
        assert watch.found
        watch.found.clear()


def test_a_name_that_fits_into_no_reference(spec_of: Callable[..., Any]) -> None:
    spec = attrs.evolve(spec_of(), name="grid batch")
    assert "the name 'grid batch' is not of small letters" in faults_of(spec)[0]


def test_a_service_that_nobody_announces(
    spec_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of()
    monkeypatch.setattr(parts, "find_service", find_service)
    (fault,) = faults_of(spec)
    assert fault.startswith("no entry point 'gridbatch' of the group jobkit_async.services leads")


def test_examples_that_are_missing_or_too_many(spec_of: Callable[..., Any]) -> None:
    examples = {**EXAMPLES, "dance": {}, "describe_jobs": {"jobs": []}}
    del examples["list_jobs"]
    assert faults_of(spec_of(), examples) == [
        "dance: there is an example of its answer, and no such operation",
        "describe_jobs: the example of its answer has no job in it",
        "list_jobs: there is no example of its answer",
    ]


async def test_it_is_called_by_a_plain_function(spec_of: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="call it in a plain 'def' test"):
        check_service(spec_of(), start=gridbatch, examples=EXAMPLES)


def test_an_unknown_service_has_the_nearest_match() -> None:
    with pytest.raises(InvalidArgument, match="no service 'bsubo'; did you mean 'bsubio'"):
        check_service("bsubo", start=bsubio, examples={})


# -- how services are found


def announcing(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    points = EntryPoints(EntryPoint("made", value, GROUP) for value in values)
    monkeypatch.setattr(registry, "_announced", lambda: points)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["json:nothing"], "json:nothing cannot be loaded: AttributeError: "),
        (["nowhere:SPEC"], "nowhere:SPEC cannot be loaded: ModuleNotFoundError: "),
        (["json:dumps"], "json:dumps is no ServiceSpec"),
        (["b:SPEC", "a:SPEC"], "'made' is announced by a:SPEC and b:SPEC: uninstall one"),
    ],
)
def test_packages_that_announce_no_service(
    values: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    announcing(monkeypatch, *values)
    with pytest.raises(InvalidArgument, match=re.escape(f"service: {problem}")):
        find_service("made")


def test_a_package_that_is_found_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    announcing(monkeypatch, *["jobkit_async.services.leia:SPEC"] * 2)
    assert find_service("made").name == "leia"


# -- the base of clients from elsewhere


async def test_a_client_takes_the_options_of_every_client(
    spec_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of()
    monkeypatch.delenv("GRIDBATCH_API_KEY", raising=False)
    monkeypatch.setenv("GRIDBATCH_BASE_URL", "https://grid.example/v2")
    with pytest.raises(InvalidArgument, match="api_key: set GRIDBATCH_API_KEY"):
        spec.client.from_env()
    client = spec.client.from_env(api_key="k", polling=Polling(min_interval=7.0), timeout=3.0)
    assert client.base_url == "https://grid.example/v2"
    assert client._tracker._polling.min_interval == 7.0
    assert client._caller.options.timeout.attempt == 3.0
    assert spec.client(api_key="k").base_url == spec.client.default_base_url
    assert client.job("gb-1") == client.job("gb-1") != client.job("gb-2")
    with pytest.raises(InvalidArgument, match="job_id"):
        client.job("")


async def test_the_age_of_a_job_whose_creation_is_answered_by_its_id(
    spec_of: Callable[..., Any],
) -> None:
    spec = spec_of()
    async with spec.fake() as server, spec.client(**LOGIN, base_url=server.base_url) as client:
        before = asyncio.get_running_loop().time()
        job = await gridbatch(client, server)
        assert job.state is JobState.UNKNOWN
        assert job._record.dated
        assert before <= job._record.born <= asyncio.get_running_loop().time()
        assert job.data.job_name == "f"  # which is not the full snapshot that wait() gives
        assert (await job.refresh()).job_queue == "night"
