"""The benchmarks run, and report in the form that they promise; how fast they are is not tested."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import math
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks import MODULES, everything, plots
from benchmarks.__main__ import main
from benchmarks.crowd import WARM_UP, EcotaxaCrowd, Fate, LeiaCrowd, fates
from benchmarks.crowd_server import CrowdServer
from benchmarks.decoders import Want, decoder
from benchmarks.everything import as_markdown
from benchmarks.listings import SERVICES, job_id
from benchmarks.optimum import requests_and_delay
from benchmarks.report import Note, Row, as_json, row_of
from benchmarks.shortfalls import SHORTFALLS
from benchmarks.waiters import Work, measure
from benchmarks.workloads import LAWS
from jobkit_async.states import JobState

ROOT = Path(__file__).parent.parent
MEMORY = ("memory", "--jobs", "200", "--finished", "2000")
TRANSFER = ("transfer", "--mib", "3", "--repeat", "1")
LOOP = ("loop", "--jobs", "200", "--bytes", "200000", "--repeat", "1")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "marked"),
    [
        pytest.param(
            MEMORY,
            {"job/one", "job/chunks", "job+handle/one", "job+handle/chunks"}
            | {"awaiter/one", "awaiter/chunks", "finished"},
            id="memory",
        ),
        pytest.param(
            LOOP, {"awaited", "gzip", "released", "wait_all", "closed", "chunks"}, id="loop"
        ),
    ],
)
def test_each_line_of_json_is_one_number(arguments: tuple[str, ...], marked: set[str]) -> None:
    done = run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({(row["case"], row["metric"]) for row in rows}) == len(rows)
    for row in rows:
        assert set(row) - {"spread"} in (
            {"case", "metric", "value", "unit"},
            {"case", "metric", "value", "unit", "mark", "met"},
        )
        assert isinstance(row["value"], float)
        assert row["unit"] in ("B", "MiB", "ms")
        if "mark" in row:
            assert row["met"] is (row["value"] <= row["mark"])
    assert {row["case"] for row in rows if "mark" in row} == marked
    sizes = [row["value"] for row in rows if row["unit"] == "B" and row["metric"] == "bytes"]
    assert all(size > 0 for size in sizes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "marked"),
    [
        (
            ("detection", "--workloads", "D", "--sets", "2", "--jobs", "5"),
            {f"D/learned30/R{wanted}" for wanted in (5, 10, 20)} | {"D/http", "D/double60/R6.8"},
        ),
        (("batching", "--jobs", "1", "20", "--least", "50"), set()),
        (TRANSFER, {"down/chunks", "down/save", "up/iterable", "up/path"}),
        (
            ("scale", "--jobs", "200", "2000", "--repeat", "1"),
            {"200/chunks", "200/one", "2000/chunks", "2000/one"},
        ),
    ],
)
def test_those_that_take_longer(arguments: tuple[str, ...], marked: set[str]) -> None:
    done = run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({(row["case"], row["metric"]) for row in rows}) == len(rows)
    assert marked <= {row["case"] for row in rows if "mark" in row}
    assert all(row["value"] >= 0.0 for row in rows if row["metric"] in ("R", "D", "score"))


def run_without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same where a package is not installed."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from benchmarks.__main__ import main; main({[*arguments]!r})"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def installed(*packages: str) -> set[str]:
    return {name for name in packages if importlib.util.find_spec(name) is not None}


@pytest.mark.slow
def test_import_tells_marks_of_each_client_and_leaves_out_what_is_not_installed() -> None:
    done = run_without("vidispine", "import", "--repeat", "2", "--json")
    assert done.returncode == 0
    notes = done.stderr.splitlines()
    there = installed("bsubio")
    assert len(notes) == 2 - len(there)
    assert notes[-1].startswith("official/vidispine: left out, as vidispine cannot be imported")
    rows = {(row["case"], row["metric"]): row for row in map(json.loads, done.stdout.splitlines())}
    clients = {f"client/{name}" for name in ("bsubio", "ecotaxa", "leia", "vidispine")}
    official = {f"official/{name}{part}" for name in there for part in ("", "/client")}
    cases = {"jobkit_async", "dependencies", *clients, *official}
    assert {case for case, _ in rows} == cases
    marked = {key for key, row in rows.items() if "mark" in row}
    assert marked == {("jobkit_async", "wall"), *((case, "ratio") for case in clients)}
    for row in rows.values():
        low, high = row["spread"]
        assert 0.0 < low <= row["value"] <= high
    # Whoever makes a client loads the dependencies, and the package alone loads none of them.
    assert rows["jobkit_async", "wall"]["value"] < rows["dependencies", "wall"]["value"]


@pytest.mark.slow
def test_call_compares_with_who_is_there() -> None:
    done = run_without("httpx", "call", "--calls", "64", "--repeat", "1", "--json")
    assert done.returncode == 0
    there = installed("bsubio", "vidispine")
    assert len(done.stderr.splitlines()) == 4 - len(there)
    rows = {(row["case"], row["metric"]): row for row in map(json.loads, done.stdout.splitlines())}
    for name in ("bsubio", "vidispine"):
        for at_once in (1, 64):
            sides = {"aiohttp", "ours", *({"official"} if name in there else ())}
            for side in sides:
                assert rows[f"{name}/{at_once}/{side}", "cpu"]["value"] > 0.0
                assert rows[f"{name}/{at_once}/{side}", "server"]["value"] > 0.0
            marked = {key for key, row in rows.items() if "mark" in row}
            ours = f"{name}/{at_once}/ours"
            assert {metric for case, metric in marked if case == ours} == {
                f"by {side}" for side in sides - {"ours"}
            }


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["bsubio", "pydantic"])
def test_decode_compares_with_the_official_models_that_are_there(lacking: str) -> None:
    done = run_without(lacking, "decode", "--jobs", "120", "--repeat", "2", "--json")
    assert done.returncode == 0
    needs = {"bsubio": "bsubio", "ecotaxa": "pydantic", "leia": "pydantic"}
    needs["vidispine"] = "vidispine"
    there = installed(*needs.values()) - {lacking}
    left_out = {name for name, package in needs.items() if package not in there}
    notes = done.stderr.splitlines()
    assert {note.split(":")[0] for note in notes} == {f"official/{name}" for name in left_out}
    rows = {(row["case"], row["metric"]): row for row in map(json.loads, done.stdout.splitlines())}
    wants = ("full", "polling", "first look")
    cases = {f"{want}/{name}" for want in wants for name in needs}
    assert {case for case, _ in rows} == cases
    for case in cases:
        assert {(case, name) for name in ("ours", "ours, cpu", "json", "msgspec")} <= {*rows}
    compared = {case for case in cases if case.split("/")[1] not in left_out}
    assert {case for case, metric in rows if metric == "official"} == compared
    marked = {(case, "ratio") for case in compared if not case.startswith("first look")}
    assert {key for key, row in rows.items() if "mark" in row} == marked
    assert all(row["value"] > 0.0 for row in rows.values())


@pytest.mark.slow
def test_wait_compares_with_who_is_there() -> None:
    done = run_without("azure", "wait", "--jobs", "40", "--median", "0.3", "--json")
    assert done.returncode == 0
    note = "azure: left out, as azure.core cannot be imported; the extra bench has what lacks"
    assert done.stderr.splitlines() == [note]
    rows = {(row["case"], row["metric"]): row for row in map(json.loads, done.stdout.splitlines())}
    marked = [key for key, row in rows.items() if "mark" in row]
    metrics = {f"{metric} by gather" for metric in ("requests", "delay", "cpu")}
    for name in ("ecotaxa", "leia"):
        assert {metric for case, metric in marked if case == f"{name}/40/paced"} == metrics
        for side in ("ours", "paced", "gather"):
            case = f"{name}/40/{side}"
            numbers = {metric: row["value"] for (c, metric), row in rows.items() if c == case}
            assert numbers["requests"] > 0.0
            assert 0.0 < numbers["delay"] < numbers["wall"]
            assert 0.0 < numbers["busy"] <= 1.0
            assert 0.0 < numbers["server"] < 1.0
        by_hand = rows[f"{name}/40/gather", "final"]["value"]
        assert by_hand == (1.0 if name == "leia" else 0.0)
        assert rows[f"{name}/40/gather", "requests"]["value"] >= 1.0


@pytest.mark.slow
def test_threads_compares_with_the_official_clients_that_are_there() -> None:
    arguments = ("--jobs", "30", "--median", "0.3", "--interval", "0.1", "--json")
    done = run_without("bsubio", "threads", *arguments)
    assert done.returncode == 0
    there = installed("vidispine")
    assert len(done.stderr.splitlines()) == 2 - len(there)
    rows = {(row["case"], row["metric"]): row for row in map(json.loads, done.stdout.splitlines())}
    sides = {"bsubio/ours", "vidispine/ours", *(f"{name}/official" for name in there)}
    assert {case for case, _ in rows} == sides
    for side in sides:
        for metric in ("wall", "cpu", "requests", "delay", "server"):
            assert rows[side, metric]["value"] > 0.0
        assert rows[side, "growth"]["value"] >= 0.0
        assert rows[side, "delay"]["value"] < rows[side, "wall"]["value"]
    assert all(("vidispine/ours", "cpu by official") in rows for _ in there)


@pytest.mark.slow
@pytest.mark.skipif(not installed("azure"), reason="the extra bench is not installed")
@pytest.mark.parametrize("service", ["ecotaxa", "leia"])
def test_all_who_wait_learn_of_each_end_after_it(service: str) -> None:
    plan = fates(20, 0.1)
    ids = [job_id(service, index) for index in range(20)]
    with CrowdServer(service, plan) as server:
        for side in ("ours", "gather", "azure"):
            began = server.begin()
            found = measure(side, Work(service, server.base_url, ids, 0.05))
            assert found.failed == sum(fate.failed for fate in plan)
            for known, fate in zip(found.known, plan, strict=True):
                assert fate.seconds <= known - began < 5.0
            assert server.told().asked["status"] >= 1


def test_a_crowd_shows_its_jobs_as_they_end() -> None:
    plan = [Fate(2.0, failed=False), Fate(1.0, failed=True), Fate(3.0, failed=False)]
    ecotaxa = EcotaxaCrowd(plan)
    ecotaxa.begin(100.0, 1_800_000_000.0)
    seen = json.loads(ecotaxa.answer("/jobs/?for_admin=False", 101.5)[0])
    assert [row["state"] for row in seen] == ["R", "E", "R"] + ["F"] * WARM_UP
    assert [row["progress_pct"] for row in seen[:3]] == [75, 100, 50]
    one = json.loads(ecotaxa.answer("/jobs/2/", 101.5)[0])
    assert one == seen[1]
    dates = [datetime.fromisoformat(one[name]) for name in ("creation_date", "updated_on")]
    assert dates[0] == datetime.fromtimestamp(1_800_000_000, UTC).replace(tzinfo=None)
    assert dates[1] - dates[0] == timedelta(seconds=1)
    assert ecotaxa.asked == {"status": 2}

    leia = LeiaCrowd(plan)
    leia.begin(100.0, 1_800_000_000.0)
    ids = [job_id("leia", index) for index in range(3)]
    words = json.loads(leia.answer(f"/admin/app-1/job/{','.join(ids)}/status", 102.0)[0])
    assert [words[each] for each in ids] == ["PROCESSED", "FAILED", "PROCESSING"]
    path = "/admin/job?submitter_id=app-1&status=PROCESSED&sort=-finished_time&offset=0&limit=100"
    body, more = leia.answer(path, 103.0)
    newest = [row["id"] for row in json.loads(body)][:2]
    assert newest == [ids[2], ids[0]]
    assert more == f"Content-Range: 0-{WARM_UP + 1}/{WARM_UP + 2}\r\n"
    leia.answer(f"/admin/app-1/job/{ids[0]}", 103.0)
    assert leia.asked == {"status": 1, "final": 2}


def test_all_writes_a_page_of_the_marks_and_survives_one_that_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def in_child(_: object, module: str, *, quick: bool) -> list[Row | Note]:
        assert quick
        if module == "memory":
            raise OSError("no memory")
        if module == "decode":
            return [Note(case="official/bsubio", text="left out")]
        if module == "loop":
            return [
                Row(case="awaited", metric="own slice", value=25.0, unit="ms", most=20.0),
                row_of([3.0, 5.0, 4.0], "awaited", "turn", "ms"),
            ]
        return [row_of([0.5, 1.5, 1.0], f"c-{module}", "ratio", least=0.9)]

    monkeypatch.setattr(everything, "in_child", in_child)
    page = tmp_path / "page.md"
    assert main(["all", "--quick", "--results", str(page)]) == 1
    out, err = capsys.readouterr()
    notes = ["memory: broke off: OSError: no memory", "decode/official/bsubio: left out"]
    assert err.splitlines() == notes
    numbers, marks = out.split("\n\n")
    versions, head, *rows = numbers.splitlines()
    assert "Python" in versions
    assert head.split()[0] == "case"
    assert [row.split()[0] for row in rows if " turn " in row] == ["loop/awaited"]
    count, _, *marked = marks.splitlines()
    most = len(MODULES) - 2
    assert count == f"{most - 1} of {most} marks are met."
    assert [row.split()[0].split("/")[0] for row in marked] == [
        name for name in MODULES if name not in ("memory", "decode")
    ]
    lines = [json.loads(line) for line in page.with_suffix(".jsonl").read_text().splitlines()]
    awaited = {"case": "loop/awaited", "metric": "turn", "value": 4.0, "unit": "ms"}
    assert awaited | {"spread": [3.5, 4.5]} in lines
    text = page.read_text()
    assert f"{os.cpu_count()} cores" in text
    assert count in text
    assert "| loop/awaited | own slice | 25.000 |  | ms | <= 20 | NO |  |" in text
    assert "| import/c-importing | ratio | 1.000 | 0.750 - 1.250 |  | >= 0.9 | yes |  |" in text
    assert "turn" not in text
    for note in notes:
        assert f"- {note}" in text
    assert main(["all", "--quick", "--json", "--results", str(page)]) == 1
    cases = [json.loads(line)["case"] for line in capsys.readouterr().out.splitlines()]
    assert cases.count("loop/awaited") == 2


def some_rows(path: Path) -> Path:
    rows = [
        ("detection/A/learned30/R5", "R", 5.0),
        ("detection/A/learned30/R5", "D", 10.0),
        ("detection/A/fixed10/R9.0", "R", 9.0),
        ("detection/A/fixed10/R9.0", "D", 5.0),
        ("memory/all/one/1000", "bytes", 2000.0),
        ("memory/all/one/1000", "rss", 2500.0),
        ("scale/1000/ours", "cpu", 3.0),
        ("scale/10000/ours", "cpu", 3.5),
    ]
    lines = as_json(Row(case=case, metric=metric, value=value) for case, metric, value in rows)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.skipif(not installed("matplotlib"), reason="the extra plots is not installed")
def test_pictures_are_drawn_of_what_there_are_numbers_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plots, "best_delay", lambda _, requests: 40.0 / requests)
    rows, folder = some_rows(tmp_path / "rows.jsonl"), tmp_path / "drawn"
    found: list[dict[str, bytes]] = []
    for _ in range(2):
        assert main(["plots", "--rows", str(rows), "--folder", str(folder)]) == 0
        out, err = capsys.readouterr()
        assert out.splitlines() == [str(folder / f"{name}.svg") for name in ("delay", "jobs")]
        assert err == f"wait: left out, as {rows} has no numbers for it\n"
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    drawn, again = found
    assert drawn == again  # one that is kept in the repository changes only with its numbers
    delay = drawn["delay.svg"].decode()
    for text in ("ours, 30 jobs ended", "every 10 s", "optimum", "A: log-normal"):
        assert text in delay
    assert "one request for all jobs" in drawn["jobs.svg"].decode()


def test_nothing_is_drawn_without_matplotlib(tmp_path: Path) -> None:
    rows = some_rows(tmp_path / "rows.jsonl")
    done = run_without("matplotlib", "plots", "--rows", str(rows), "--folder", str(tmp_path))
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr == "plots: nothing is drawn without matplotlib, of the extra plots\n"
    assert [*tmp_path.iterdir()] == [rows]


@pytest.mark.parametrize("name", [*MODULES])
def test_each_benchmark_has_the_options_of_a_quick_run(name: str) -> None:
    benchmark = importlib.import_module(f"benchmarks.{MODULES[name]}")
    parser = argparse.ArgumentParser()
    benchmark.add_options(parser)
    quick, full = parser.parse_args(benchmark.QUICK), parser.parse_args([])
    assert vars(quick) != vars(full)


@pytest.mark.parametrize("kind", ["mixed", "alive"])
@pytest.mark.parametrize("contender", ["ours", "json"])
@pytest.mark.parametrize("service", [*SERVICES])
def test_listings_are_what_the_services_own_code_reads(
    service: str, contender: str, kind: str
) -> None:
    want: Want = "full" if kind == "mixed" else "polling"
    with asyncio.Runner() as runner:
        found = decoder(contender, service, want, 30, runner.get_loop())()
    assert len(found) == 30
    if contender == "ours" and kind == "alive":
        assert set(found) == {job_id(service, index) for index in range(30)}
        assert {sighting.state for sighting in found.values()} == {JobState.RUNNING}


def test_a_row_of_repeats_has_their_median_and_quartiles() -> None:
    row = row_of([5.0, 1.0, 3.0, 2.0, 4.0], "c", "m", "ms", most=2.5)
    assert (row.value, row.spread, row.met) == (3.0, (2.0, 4.0), False)
    assert row_of([7.0], "c", "m").spread == (7.0, 7.0)
    assert [json.loads(line) for line in as_json([row, Row(case="d", metric="m", value=1.0)])] == [
        {"case": "c", "metric": "m", "value": 3.0, "unit": "ms", "mark": 2.5, "met": False}
        | {"spread": [2.0, 4.0]},
        {"case": "d", "metric": "m", "value": 1.0, "unit": ""},
    ]


@pytest.mark.parametrize("name", [*LAWS])
def test_requests_and_delay_are_those_of_jobs_that_are_drawn(name: str) -> None:
    law, rng = LAWS[name], random.Random(1)
    looks = [10.0 * k for k in range(1, 2000)]
    requests, delay = requests_and_delay(looks, law)
    drawn = [law.draw(rng) for _ in range(20_000)]
    needed = [math.ceil(seconds / 10.0) for seconds in drawn]
    assert requests == pytest.approx(sum(needed) / len(drawn), rel=0.03)
    late = [10.0 * count - seconds for count, seconds in zip(needed, drawn, strict=True)]
    assert delay == pytest.approx(sum(late) / len(drawn), rel=0.03)


@pytest.mark.slow
def test_without_json_there_are_versions_and_a_table() -> None:
    done = run(*LOOP)
    assert (done.returncode, done.stderr) == (0, "")
    versions, head, *rows = done.stdout.splitlines()
    for name in ("Python", "jobkit_async", "aiohttp", "msgspec", "cores"):
        assert name in versions
    assert head.split() == ["case", "metric", "value", "spread", "unit", "mark", "met"]
    assert {row.split()[0] for row in rows} == {
        "awaited",
        "gzip",
        "released",
        "wait_all",
        "closed",
        "chunks",
    }


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("memory", "--jobs", "many")])
def test_what_cannot_be_run_is_told(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode != 0
    assert "usage: python -m benchmarks" in done.stderr


def test_the_page_explains_marks_that_are_not_met() -> None:
    assert {*SHORTFALLS} <= {*MODULES}
    for value, quick in ((2.0, False), (0.5, False), (2.0, True)):
        rows = [Row(case="call/x", metric="ratio", value=value, most=1.0)]
        text = "\n".join(as_markdown(rows, [], quick=quick))
        assert (SHORTFALLS["call"] in text) == (value > 1.0 and not quick)
        assert SHORTFALLS["scale"] not in text
