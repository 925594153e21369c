"""What importing costs, and what making the first client costs, in milliseconds.

Each contender runs in fresh isolated interpreters, all of them in turn; the first round, which
writes bytecode and fills the file cache, is not counted. Time begins once the bare interpreter is
up, so that what Python itself takes is in none of the numbers.

- ``jobkit_async``: the package alone.
- ``dependencies``: aiohttp, attrs, cattrs and msgspec, which a client cannot do without.
- ``client/NAME``: from the bare interpreter to the first client of a service. ``ratio`` is its time
  by that of the dependencies in the same round, the median of all rounds.
- ``official/NAME``: the vendor's package, imported alone and up to its first API object.

There are no official packages for Leia and EcoTaxa to be had from the extra.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import attrs

from benchmarks.peers import without
from benchmarks.report import Note, Row, row_of

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--repeat", "3")
MOST: Final = 30.0
"""Milliseconds that ``import jobkit_async`` may take."""
MOST_RATIO: Final = 1.15
"""Of the first client's time by that of importing the dependencies."""
DEPENDENCIES: Final = "import aiohttp, attrs, cattrs, msgspec"

CLIENTS: Final = {
    "bsubio": "BsubioClient(api_key='k')",
    "ecotaxa": "EcotaxaClient(token='t')",
    "leia": "LeiaClient(token='t')",
    "vidispine": "VidispineClient(base_url='http://127.0.0.1', username='u', password='p')",
}
OFFICIAL: Final = {
    "bsubio": "bsubio.JobsApi(bsubio.ApiClient())",
    "vidispine": "vidispine.JobApi(vidispine.ApiClient())",
}

_PROBE: Final = """
import time
wall, cpu = time.perf_counter(), time.process_time()
{code}
print([time.perf_counter() - wall, time.process_time() - cpu])
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--repeat", type=int, default=21, help="rounds that are counted")


def run(options: argparse.Namespace) -> Iterator[Row | Note]:
    """Measure, and report what was found."""
    codes = {"jobkit_async": "import jobkit_async", "dependencies": DEPENDENCIES}
    for name, client in CLIENTS.items():
        codes[f"client/{name}"] = f"import jobkit_async; jobkit_async.{client}"
    for name, api in OFFICIAL.items():
        missing = without(name)
        if missing is None:
            codes[f"official/{name}"] = f"import {name}"
            codes[f"official/{name}/client"] = f"import {name}; {api}"
        else:
            yield Note(case=f"official/{name}", text=missing)
    rounds = [_round(codes, turn) for turn in range(1 + options.repeat)][1:]
    base = [each["dependencies"] for each in rounds]
    for case in codes:
        runs = [each[case] for each in rounds]
        most = MOST if case == "jobkit_async" else None
        yield row_of([1000.0 * each.wall for each in runs], case, "wall", "ms", most=most)
        yield row_of([1000.0 * each.cpu for each in runs], case, "cpu", "ms")
        if case.startswith("client/"):
            pairs = list(zip(runs, base, strict=True))
            ratios = [ours.wall / bare.wall for ours, bare in pairs]
            yield row_of(ratios, case, "ratio", most=MOST_RATIO)
            yield row_of([ours.cpu / bare.cpu for ours, bare in pairs], case, "cpu ratio")


@attrs.frozen
class _Run:
    """Seconds of the clock and of the processor."""

    wall: float
    cpu: float


def _round(codes: dict[str, str], turn: int) -> dict[str, _Run]:
    """Each contender once, forwards and backwards by turns."""
    cases = sorted(codes, reverse=turn % 2 > 0)
    return {case: _run(codes[case]) for case in cases}


def _run(code: str) -> _Run:
    done = subprocess.run(  # noqa: S603 - the codes above are all there is
        [sys.executable, "-I", "-c", _PROBE.format(code=code)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return _Run(*json.loads(done.stdout))
