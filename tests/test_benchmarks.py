"""The benchmarks run, and report in the form that they promise; how fast they are is not tested."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.optimum import requests_and_delay
from benchmarks.workloads import LAWS

ROOT = Path(__file__).parent.parent
MEMORY = ("memory", "--jobs", "200", "--finished", "2000")
TRANSFER = ("transfer", "--mib", "3", "--runs", "1")
LOOP = ("loop", "--jobs", "200", "--bytes", "200000", "--runs", "1")


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
        assert set(row) in (
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
    ],
)
def test_those_that_take_longer(arguments: tuple[str, ...], marked: set[str]) -> None:
    done = run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({(row["case"], row["metric"]) for row in rows}) == len(rows)
    assert marked <= {row["case"] for row in rows if "mark" in row}
    assert all(row["value"] >= 0.0 for row in rows if row["metric"] in ("R", "D", "score"))


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
    assert head.split() == ["case", "metric", "value", "unit", "mark", "met"]
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
