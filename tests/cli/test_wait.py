"""``jobkit wait`` and ``jobkit list``: in lines, in JSON, in a terminal; and how they end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jobkit_async.cli import commands
from jobkit_async.cli.common import span
from jobkit_async.fakes.timeline import Plan
from jobkit_async.polling.schedule import Polling

PATIENCE = 30
CODE = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('jobkit_async', run_name='__main__', alter_sys=True)"
)
COMMAND = [sys.executable, "-c", CODE]
"""A process that hears Ctrl-C even where this one was started without ears for it."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its terminals are others")


def jobkit(*arguments: str, piped: str | bytes | None = None, **environment: str) -> Result:
    env = {"COLUMNS": "200", **environment}
    return CliRunner().invoke(commands, arguments, env=env, input=piped)


def for_hours(rng: Any, job_type: str) -> Plan:
    return Plan(queued=0.0, running=7200.0)


def jobs_of(served: Any, count: int = 1, kind: str = "Good") -> list[str]:
    """Ids of new jobs on an embedded EcoTaxa."""
    return served.do(lambda: [str(served.server.create_job(kind).id) for _ in range(count)])


class Terminal:
    """A command in a terminal of its own.

    Args:
        arguments: Those of the command.
        columns: Width of the terminal.
        lines: Its height.
    """

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        # Nothing is to be done between fork and exec where there are threads, so it takes the
        # terminal for its own, as Ctrl-C and questions need it, when it runs.
        code = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {CODE}"
        # A library may have set these two for this process, behind Python's back.
        others = {name: os.environ[name] for name in os.environ if name not in ("COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**others, "TERM": "xterm"},
        )
        os.close(slave)
        self.written = ""

    def read(self, until: str | None = None) -> str:
        """Read on, until some text has come or to the end; all that was written so far."""
        patience = time.monotonic() + PATIENCE
        while until is None or until not in self.written:
            if not select.select([self._master], [], [], max(0.0, patience - time.monotonic()))[0]:
                self._process.kill()
            try:
                piece = os.read(self._master, 1 << 16)
            except OSError:  # it is how a terminal ends on Linux
                piece = b""
            if not piece:
                break
            self.written += piece.decode(errors="replace")
        return self.written

    def press(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._master, keys)

    def end(self) -> int:
        """Read to the end; the exit status."""
        self.read()
        os.close(self._master)
        return self._process.wait(PATIENCE)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# -- in lines


def test_all_succeed(serve_it: Callable[..., Any]) -> None:
    first, second = jobs_of(serve_it("ecotaxa"), 2)
    result = jobkit("wait", "ecotaxa", first, second, first)
    assert (result.exit_code, result.exception) == (0, None)
    lines = sorted(result.stdout.splitlines())
    assert [re.fullmatch(r"(\d+) succeeded \d+s", line)[1] for line in lines] == [first, second]  # type: ignore[index]
    assert re.fullmatch(r"2 succeeded of 2 jobs, in \d+s\n", result.stderr)


def test_some_fail(serve_it: Callable[..., Any]) -> None:
    served = serve_it("ecotaxa")
    good, bad = jobs_of(served)[0], jobs_of(served, kind="bad")[0]
    result = jobkit("wait", "ecotaxa", good, bad)
    assert result.exit_code == 1
    assert re.search(
        rf"^{bad} failed \d+s ecotaxa job {bad} failed: \S", result.stdout, re.MULTILINE
    )
    assert "1 succeeded, 1 failed of 2 jobs" in result.stderr


def test_an_unknown_job_is_told_after_its_grace(
    serve_it: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_it("ecotaxa")
    monkeypatch.setitem(Polling.__init__.__kwdefaults__, "lost_after", 0.3)
    result = jobkit("wait", "ecotaxa", "99", "98")
    assert result.exit_code == 1
    assert re.search(r"^99 unknown ecotaxa job 99 is lost", result.stdout, re.MULTILINE)


def test_a_question_is_no_success(serve_it: Callable[..., Any]) -> None:
    served = serve_it("ecotaxa")
    job = served.do(lambda: served.server.create_job("FileImport", question={"who": 1}).id)
    result = jobkit("wait", "ecotaxa", str(job))
    assert result.exit_code == 1
    assert "needs_input" in result.stdout
    assert "needs input before it goes on: answer" in result.stdout


def test_lines_of_json(serve_it: Callable[..., Any]) -> None:
    served = serve_it("ecotaxa")
    good, bad = jobs_of(served)[0], jobs_of(served, kind="bad")[0]
    result = jobkit("wait", "ecotaxa", "--json", good, bad)
    assert result.exit_code == 1
    told = {str(line["id"]): line for line in map(json.loads, result.stdout.splitlines())}
    assert told[good]["error"] is None
    assert (told[good]["state"], told[good]["status"]) == ("succeeded", "F")
    assert told[good]["data"]["id"] == int(good)
    assert told[good]["ref"].startswith("jk1:ecotaxa:")
    assert told[bad]["error"]["type"] == "JobFailed"
    again = jobkit("wait", "ecotaxa", told[good]["ref"])
    assert again.exit_code == 0


def test_the_time_is_over(serve_it: Callable[..., Any]) -> None:
    served = serve_it("ecotaxa", planner=for_hours)
    ids = jobs_of(served, 3)
    result = jobkit("wait", "ecotaxa", "--timeout", "0", *ids)
    assert result.exit_code == 124
    assert result.stdout == ""
    assert "the time is over: 3 jobs go on. To wait for them again:" in result.stderr
    refs = re.findall(r"^jk1:ecotaxa:\S+$", result.stderr, re.MULTILINE)
    assert [ref.split(":")[3] for ref in refs] == ids
    one = jobkit("wait", "ecotaxa", "--timeout", "0.2", ids[0])
    assert one.exit_code == 124
    assert f"\njobkit wait ecotaxa {refs[0]}\n" in one.stderr


@pytest.mark.parametrize("service", ["bsubio", "vidispine", "leia", "ecotaxa"])
def test_jobs_of_any_service_are_listed_and_awaited(
    serve_it: Callable[..., Any], service: str
) -> None:
    served = serve_it(service)
    server = served.server
    if service == "bsubio":
        request = '{"type": "t"}'
        made = jobkit("call", service, "create_job", "--create-job-request", request)
        job_id = json.loads(made.stdout)["id"]
    elif service == "leia":
        model = served.do(lambda: server.add_model("m").id)
        made = jobkit(
            *("call", service, "admin_apply_model_async", "--application-id", "app-1"),
            *("--model-id", model, "--document-ids", "doc-1", "--document-ids", "doc-2"),
        )
        job_id = json.loads(made.stdout)["id"]
    else:
        job_id = str(served.do(lambda: server.create_job("INGEST").id))
    listed = jobkit("list", service)
    assert listed.exit_code == 0, listed.stderr
    assert listed.stdout.split()[0] == job_id
    assert json.loads(jobkit("list", service, "--json").stdout)["ref"].startswith("jk1:")
    result = jobkit("wait", service, "-", piped=listed.stdout)
    assert result.exit_code == (1 if service == "bsubio" else 0), result.stderr
    assert result.stdout.startswith(f"{job_id} ")


def test_the_services_are_listed_and_jobs_up_to_a_limit(serve_it: Callable[..., Any]) -> None:
    jobs_of(serve_it("ecotaxa"), 5)
    assert len(jobkit("list", "ecotaxa", "--limit", "3").stdout.splitlines()) == 3
    for words in (["list", "ecotaxa"], ["list"]):  # nobody reads, as once head(1) has enough
        read, write = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "jobkit_async", *words]
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
        os.close(write)
        assert (done.returncode, done.stderr) == (1, b"")
    assert jobkit("list").stdout.splitlines() == [
        "bsubio 7 operations",
        "ecotaxa 7 operations",
        "leia 15 operations",
        "vidispine 10 operations",
    ]


# -- what cannot be understood


@pytest.mark.parametrize(
    ("arguments", "piped", "problem"),
    [
        (["ecotaxy", "1"], None, "there is no service 'ecotaxy'; did you mean 'ecotaxa'?"),
        (["ecotaxa"], None, "Missing argument 'ID...'"),
        (["ecotaxa", "one"], None, "argument 1: 'one' is no id of an EcoTaxa job"),
        (["ecotaxa", "0"], None, "argument 1: 0 is too small"),
        (["ecotaxa", "1", "jk1:leia:00000000:x"], None, "argument 2: it is a job of leia; this is"),
        (["ecotaxa", "jk1:ecotaxa:00000000:1"], None, "argument 1: it is a job of another depl"),
        (["ecotaxa", "jk1:nonsense"], None, "argument 1: it is no job reference, which looks like"),
        (["ecotaxa", "jk9:ecotaxa:00000000:1"], None, "argument 1: it is no job reference"),
        (["ecotaxa", "-"], "", "there are no jobs to wait for: standard input names none"),
        (["ecotaxa", "-"], "\n # none\n", "there are no jobs to wait for"),
        (["ecotaxa", "-"], "1\n\nx y\n", "line 3: 'x' is no id of an EcoTaxa job"),
        (["ecotaxa", "-"], "a\n" * 9, "line 5: 'a' is no id of an EcoTaxa job\nand 4 more"),
        (["ecotaxa", "-"], b"\xff\xfe", "standard input is no text in UTF-8"),
        (["ecotaxa", "--timeout", "-1", "1"], None, "-1.0 is not in the range x>=0"),
        (["ecotaxa", "--timeout", "nan", "1"], None, "timeout"),
    ],
)
def test_what_cannot_be_understood(
    serve_it: Callable[..., Any], arguments: list[str], piped: str | bytes | None, problem: str
) -> None:
    served = serve_it("ecotaxa")
    result = jobkit("wait", *arguments, piped=piped)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert problem in result.stderr
    assert served.server.requests.total() == 0


def test_without_standard_input(serve_it: Callable[..., Any]) -> None:
    serve_it("ecotaxa")
    command = ["sh", "-c", '"$0" "$@" <&-', *COMMAND, "wait", "ecotaxa", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "standard input cannot be read: it is closed" in done.stderr


def test_without_credentials(serve_it: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve_it("ecotaxa")
    monkeypatch.delenv("ECOTAXA_TOKEN")
    result = jobkit("wait", "ecotaxa", "1")
    assert result.exit_code == 2
    ways = "set ECOTAXA_USERNAME and ECOTAXA_PASSWORD, or ECOTAXA_TOKEN"
    assert f"there are no credentials for ecotaxa: {ways}" in result.stderr
    monkeypatch.setenv("ECOTAXA_TOKEN", "wrong-token")
    result = jobkit("call", "ecotaxa", "get_job", "--job-id", "1")
    assert result.exit_code == 1
    assert "HTTP 401" in result.stderr or "HTTP 403" in result.stderr
    assert served.server.requests.total() > 0


# -- in a terminal


def test_a_table_of_few(serve_it: Callable[..., Any]) -> None:
    def a_while(rng: Any, job_type: str) -> Plan:
        return Plan(queued=0.0, running=3.0, outcome="failure" if job_type == "bad" else "success")

    served = serve_it("ecotaxa", planner=a_while)
    (good,), (bad,) = jobs_of(served), jobs_of(served, kind="bad")
    time.sleep(1.0)  # by the service's clock, which tells whole seconds, they have an age
    terminal = Terminal("wait", "ecotaxa", good, bad)
    assert terminal.end() == 1
    text = plain(terminal.written)
    assert re.search(rf"{good} +running +[━╸╺]+ +\d+% +\d+s +~\d+s", text)
    assert re.search(rf"{bad} +failed ", text)
    assert re.search(rf"{good} +succeeded +━{{16}} +100% +\d+s", text)
    assert f"{bad} failed: ecotaxa job {bad} failed: " in text
    assert "1 succeeded, 1 failed of 2 jobs, in " in text
    assert "Traceback" not in text


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 10), (21, 6)])
def test_a_table_of_a_thousand(serve_it: Callable[..., Any], columns: int, lines: int) -> None:
    served = serve_it("ecotaxa", planner=for_hours)
    ids = jobs_of(served, 1000)
    terminal = Terminal("wait", "ecotaxa", *ids, columns=columns, lines=lines)
    terminal.read("running")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    written = terminal.written
    table, _, rest = plain(written).partition("interrupted: ")
    frames = re.split(r"(?=ecotaxa \d+s)", table)
    shown = [line for line in frames[-1].replace("^C", "").splitlines() if line.strip()]
    assert len(shown) <= lines
    assert max(map(len, shown)) <= columns
    assert f"... and {1000 - (lines - 4)} more" in frames[-1]
    assert "running" in frames[-1]
    assert rest.startswith("1000 jobs go on. To wait for them again:")
    assert len(re.findall(r"^jk1:ecotaxa:[0-9a-f]{8}:\d+:\d+\r?$", rest, re.MULTILINE)) == 1000
    assert served.do(lambda: served.server.requests["erase_job"]) == 0
    assert len(written) < 200_000
    assert "Traceback" not in rest


def test_a_terminal_too_narrow_for_a_table_gets_lines(serve_it: Callable[..., Any]) -> None:
    (job,) = jobs_of(serve_it("ecotaxa"))
    terminal = Terminal("wait", "ecotaxa", job, columns=12)
    assert terminal.end() == 0
    assert re.match(rf"{job} succeeded \d+s\r\n", terminal.written)


def test_credentials_are_asked_for_and_not_shown(
    serve_it: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve_it("bsubio", api_key="planted-key")
    monkeypatch.delenv("BSUBIO_API_KEY")
    terminal = Terminal("call", "bsubio", "list_jobs")
    terminal.read("bsubio api key: ")
    terminal.press(b"planted-key\n")
    assert terminal.end() == 0
    assert "planted-key" not in terminal.written
    assert terminal.written.rstrip().endswith("[]")
    assert served.do(lambda: served.server.requests["list_jobs"]) == 1


# -- a thousand, piped, and Ctrl-C


def test_a_thousand_piped(serve_it: Callable[..., Any], tmp_path: Path) -> None:
    served = serve_it("ecotaxa")
    ids = jobs_of(served, 1000)
    result = jobkit("wait", "ecotaxa", "-", piped="".join(f"{job}\n" for job in ids))
    assert result.exit_code == 0
    assert sorted(int(line.split()[0]) for line in result.stdout.splitlines()) == [
        int(job) for job in ids
    ]
    assert "1000 succeeded of 1000 jobs" in result.stderr
    assert served.do(served.server.requests.total) < 20


def test_ctrl_c_leaves_the_jobs_alone(serve_it: Callable[..., Any]) -> None:
    def mixed(rng: Any, job_type: str) -> Plan:
        return Plan(queued=0.0, running=7200.0 if job_type == "long" else 0.0)

    served = serve_it("ecotaxa", planner=mixed)
    (short,), longer = jobs_of(served), jobs_of(served, 2, "long")
    process = subprocess.Popen(
        [*COMMAND, "wait", "ecotaxa", "--json", short, *longer],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["id"] == int(short)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "interrupted: 2 jobs go on. To wait for them again:" in err
    refs = [line for line in err.splitlines() if line.startswith("jk1:")]
    assert [ref.split(":")[3] for ref in refs] == longer
    assert "Traceback" not in err
    lines = "".join(f"{ref}\n" for ref in refs)
    assert jobkit("wait", "ecotaxa", "-", "--timeout", "0", piped=lines).exit_code == 124


def test_the_exit_status_of_a_process(serve_it: Callable[..., Any]) -> None:
    served = serve_it("ecotaxa")
    (bad,) = jobs_of(served, kind="bad")
    command = [*COMMAND, "wait", "ecotaxa", bad]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{bad} failed ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (723, "12m 03s"),
        (12000, "3h 20m"),
        (863000, "9d 23h"),
    ],
)
def test_times_in_few_characters(seconds: float, text: str) -> None:
    assert span(seconds) == text
