"""``jobkit call``: all operations, from the endpoint tables."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from click.testing import CliRunner, Result

from jobkit_async import NotFound, Upload, codec
from jobkit_async.caller import Caller
from jobkit_async.cli import commands
from jobkit_async.cli.call import _Operations
from jobkit_async.endpoint import Endpoint, Place
from jobkit_async.registry import find_service, service_names

ROWS = [
    (name, row)
    for name in service_names()
    for api in find_service(name).table.apis
    for row in api.rows
]


def jobkit(*arguments: str, piped: str | bytes | None = None) -> Result:
    return CliRunner().invoke(commands, arguments, env={"COLUMNS": "200"}, input=piped)


def spelled(row: Endpoint, name: str, value: Any, tmp_path: Path) -> list[str]:
    """An argument as options of the command line."""
    flag = f"--{name.replace('_', '-')}"
    param = next(param for param in row.params if param.name == name)
    if param.place in (Place.RAW, Place.MULTIPART):
        path = tmp_path / "data.bin"
        path.write_bytes(value)
        return [flag, str(path)]
    if isinstance(value, bool):
        return [flag]
    if isinstance(value, datetime):
        return [flag, value.isoformat()]
    if isinstance(value, list):
        return [text for element in value for text in (flag, str(element))]
    if isinstance(value, dict) or attrs.has(type(value)):
        return [flag, json.dumps(codec.plain(value))]
    return [flag, str(value)]


def test_there_are_39() -> None:
    assert len(ROWS) == 39


@pytest.mark.parametrize(("service", "row"), ROWS, ids=lambda it: getattr(it, "name", it))
def test_every_operation_takes_all_its_arguments(
    service: str,
    row: Endpoint,
    tmp_path: Path,
    sample_argument: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("API_KEY", "USERNAME", "PASSWORD", "TOKEN", "BASE_URL"):
        monkeypatch.delenv(f"{service}_{name}".upper(), raising=False)
    login = {"bsubio": "API_KEY", "ecotaxa": "TOKEN", "leia": "TOKEN"}.get(service, "USERNAME")
    monkeypatch.setenv(f"{service}_{login}".upper(), "planted")
    monkeypatch.setenv(f"{service}_PASSWORD".upper(), "planted")
    monkeypatch.setenv(f"{service}_BASE_URL".upper(), "http://127.0.0.1:1")
    if service in ("ecotaxa", "leia"):
        monkeypatch.delenv(f"{service}_PASSWORD".upper())
    monkeypatch.setenv("BSUBIO_TOKEN", "up-1")
    called: list[tuple[Endpoint, tuple[Any, ...]]] = []

    async def repeat(self: Caller, row: Endpoint, arguments: Any, attempt: Any, **rest: Any) -> Any:
        called.append((row, arguments))
        raise NotFound("none", status=404, operation=row.name)

    monkeypatch.setattr(Caller, "_repeat", repeat)
    given = {param.name: sample_argument(service, param) for param in row.params}
    words: list[str] = []
    for param in row.params:
        if not param.secret:
            words += spelled(row, param.name, given[param.name], tmp_path)
    result = jobkit("call", service, row.name, *words)
    assert (result.exit_code, result.stderr) == (1, "Error: none\n"), result.output
    ((made, arguments),) = called
    assert made is row
    for param, argument in zip(row.params, arguments, strict=True):
        wanted = given[param.name]
        if param.secret:
            assert argument == "up-1"
        elif isinstance(argument, Upload):
            assert Path(argument.data).read_bytes() == wanted  # type: ignore[arg-type]
        elif isinstance(wanted, list):
            assert list(argument) == wanted
        else:
            assert argument == wanted
    # Long lines are broken, also at hyphens.
    text = "".join(jobkit("call", service, row.name, "--help").stdout.split())
    for param in row.params:
        assert (f"--{param.name.replace('_', '-')}" in text) is not param.secret
        for word in param.words or ():
            assert str(word).replace(" ", "") in text


@pytest.mark.parametrize("service", service_names())
def test_the_operations_are_listed(service: str) -> None:
    text = jobkit("call", service).output
    rows = [row for name, row in ROWS if name == service]
    assert all(f"\n  {row.name} " in text for row in rows)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["leja", "x"], "there is no service 'leja'; did you mean 'leia'?"),
        (["xyz", "x"], "there is no service 'xyz'; there are bsubio, ecotaxa,"),
        (
            ["bsubio", "get_jobs"],
            "there is no operation 'get_jobs' of bsubio; did you mean 'get_job",
        ),
        (["bsubio", "dance"], "there is no operation 'dance' of bsubio; there are cancel_job, "),
        (["bsubio", "get-job"], "Missing option '--job-id'"),
        (["ecotaxa", "list_jobs"], "Missing option '--for-admin'"),
        (["leia", "admin_get_job_statuses", "--submitter-id", "a"], "Missing option '--job-ids'"),
        (["bsubio", "get_job", "--job-i", "7"], "No such option"),
        (["bsubio", "get_job", "--job-id", ".."], "job_id: "),
        (["bsubio", "list_jobs", "--limit", "101"], "101 is not in the range 1<=x<=100"),
        (["ecotaxa", "get_job", "--job-id", "x"], "'x' is not a valid integer"),
        (["ecotaxa", "get_job", "--job-id", "0"], "0 is not in the range x>=1"),
        (["leia", "admin_get_jobs", "--created-after", "then"], "'then' is no date as of ISO 8601"),
        (["bsubio", "create_job", "--create-job-request", "{"], "this is no JSON: "),
        (["bsubio", "create_job", "--create-job-request", "[]"], "a JSON object is due"),
        (["bsubio", "create_job", "--create-job-request", "@/no/such"], "this is no JSON: "),
        (
            ["bsubio", "create_job", "--create-job-request", '{"typ": "t"}'],
            "CreateJobRequest has no member 'typ'; did you mean 'type'?",
        ),
        (["bsubio", "create_job", "--create-job-request", '{"type": 7}'], "a string is due"),
        (["bsubio", "create_job", "--create-job-request", "{}"], "this member is missing"),
        (
            ["bsubio", "upload_job_data", "--job-id", "7", "--file", "/no/such"],
            "File '/no/such' does not exist",
        ),
    ],
)
def test_what_cannot_be_understood(
    serve_it: Callable[..., Any], arguments: list[str], problem: str
) -> None:
    served = {name: serve_it(name) for name in ("bsubio", "ecotaxa", "leia")}
    result = jobkit("call", *arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert problem in result.stderr
    assert sum(one.server.requests.total() for one in served.values()) == 0


def test_a_job_of_bsubio_from_first_to_last(
    serve_it: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve_it("bsubio")
    request = tmp_path / "request.json"
    request.write_text('{"type": "pdf/extract"}', encoding="utf-8")
    made = jobkit("call", "bsubio", "create_job", "--create-job-request", f"@{request}")
    job = json.loads(made.stdout)
    assert (made.exit_code, job["status"], job["type"]) == (0, "created", "pdf/extract")
    upload = ["call", "bsubio", "upload_job_data", "--job-id", job["id"], "--file"]
    result = jobkit(*upload, "-", piped=b"data")
    assert result.exit_code == 2
    assert "this takes a token, which is no option: set BSUBIO_TOKEN" in result.stderr
    monkeypatch.setenv("BSUBIO_TOKEN", job["upload_token"])
    piped = jobkit(*upload, "-", piped=b"piped data")
    assert json.loads(piped.stdout)["data_size"] == 10
    submitted = jobkit("call", "bsubio", "submit_job", "--job-id", job["id"])
    assert json.loads(submitted.stdout)["success"] is True
    listed = jobkit("call", "bsubio", "list_jobs", "--status", "finished", "--limit", "3")
    assert [one["id"] for one in json.loads(listed.stdout)] == [job["id"]]
    deleted = jobkit("call", "bsubio", "delete_job", "--job-id", job["id"])
    assert (deleted.exit_code, deleted.stdout) == (0, "")
    gone = jobkit("call", "bsubio", "get_job", "--job-id", job["id"])
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert gone.stderr.startswith("Error: get_job: HTTP 404: ")
    assert served.server.ledger.count("submitted", job["id"]) == 1


def test_files_and_logs_of_ecotaxa(
    serve_it: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve_it("ecotaxa")
    job = served.do(served.server.create_job)
    job.file = b"plankton\x00\xff"
    monkeypatch.chdir(tmp_path)
    call = ["call", "ecotaxa", "get_job_file", "--job-id", str(job.id)]
    first = jobkit(*call)
    assert first.exit_code == 0
    assert (tmp_path / first.stdout.strip()).read_bytes() == job.file
    again = jobkit(*call)
    assert again.exit_code == 1
    assert f"{first.stdout.strip()} is here already; say where to with --output" in again.stderr
    assert jobkit(*call, "--output", "other.bin").stdout == "other.bin\n"
    assert (tmp_path / "other.bin").read_bytes() == job.file
    out = jobkit(*call, "--output", "-")
    assert (out.stdout_bytes, out.stderr) == (job.file, "10 bytes\n")
    log = jobkit("call", "ecotaxa", "get_job_log_file", "--job-id", str(job.id))
    assert log.exit_code == 0
    assert len(log.stdout.splitlines()) >= 1
    assert not log.stdout.startswith('"')


def test_models_of_leia(serve_it: Callable[..., Any], tmp_path: Path) -> None:
    serve_it("leia")
    archive = tmp_path / "model.zip"
    archive.write_bytes(b"PK")
    made = jobkit(
        *("call", "leia", "admin_create_model", "--body", str(archive), "--name", "m"),
        *("--application-id", "app-1", "--tags", "a", "--tags", "b", "--allow-all-applications"),
    )
    assert made.exit_code == 0, made.stderr
    model = json.loads(made.stdout)
    assert (model["name"], model["tags"]) == ("m", ["a", "b"])
    listed = json.loads(jobkit("call", "leia", "admin_get_models", "--no-only-mine").stdout)
    assert [one["id"] for one in listed] == [model["id"]]
    statuses = jobkit(
        *("call", "leia", "admin_get_job_statuses", "--submitter-id", "app-1"),
        *("--job-ids", "a"),
    )
    assert statuses.exit_code in (0, 1)


def test_no_option_takes_a_credential() -> None:
    ctx = click.Context(commands)
    for name in service_names():
        operations = _Operations(find_service(name))
        for operation in operations.list_commands(ctx):
            command = operations.get_command(ctx, operation)
            assert command is not None
            names = {option for param in command.params for option in param.opts}
            assert not names & {"--token", "--api-key", "--password"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["jobkit", "wai"], {"wait"}),
        (["jobkit", "wait", "e"], {"ecotaxa"}),
        (["jobkit", "call", ""], {*service_names()}),
        (["jobkit", "call", "bsubio", "get"], {"get_job"}),
        (["jobkit", "call", "bsubo", "get"], set()),
        (["jobkit", "call", "bsubio", "get_jobs", "--"], {"--help"}),
        (["jobkit", "call", "bsubio", "list_jobs", "--"], {"--status", "--limit", "--help"}),
        (
            ["jobkit", "call", "bsubio", "list_jobs", "--status", "p"],
            {"pending", "preparing", "processing"},
        ),
    ],
)
def test_shells_complete(
    words: list[str], found: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    result = CliRunner().invoke(
        commands, [], prog_name="jobkit", env={"_JOBKIT_COMPLETE": "bash_complete"}
    )
    assert {line.partition(",")[2] for line in result.stdout.splitlines() if line} == found
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_pipe_that_nobody_reads() -> None:
    code = "from jobkit_async.cli import main; main()"
    command = f"{sys.executable} -c '{code}' call leia admin_get_jobs --help | head -c 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=30, check=True
    )
    assert "Traceback" not in done.stderr
