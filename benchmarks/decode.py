"""What it costs to decode a listing of jobs, in milliseconds, against the official clients.

Each contender has a process of its own, warmed up with the very bytes; all of them decode in turn.
The bytes are those of the services' listings; nothing is sent. A number is the time of one listing,
the median of the repeats, and what was decoded is thrown away outside of the time.

- ``full/NAME``: into full typed models. Half of the jobs have succeeded, some have failed.
- ``polling/NAME``: into what polling needs of jobs that run: id, state and progress. It is what the
  service's source does in a look that awaits them all, where one in ten has been written to since
  the look before. In Leia's case these are ten answers with the statuses of the same jobs, and no
  listing.
- ``first look/NAME``: the same where none of them has been seen before.

``ours`` is this library, ``official`` the vendor's models: of the packages bsubio and vidispine,
and for EcoTaxa and Leia pydantic models with the fields of the generated clients. ``ratio`` is ours
by theirs, the median of the rounds; theirs are always full models of the listing, as they have no
others. ``json`` and ``msgspec`` parse the bytes that we take into plain dicts and lists, which is
the floor; ``pydantic`` makes the official models straight from bytes. ``cpu`` is the time of the
processor.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from typing import Final

import attrs

from benchmarks.child import child
from benchmarks.decoders import CONTENDERS, PACKAGE_OF, Decode, Want, decoder
from benchmarks.listings import SERVICES
from benchmarks.peers import without
from benchmarks.report import Note, Row, row_of

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--jobs", "100", "--repeat", "3")
MOST_FULL: Final = {"bsubio": 1.0, "ecotaxa": 1.0, "leia": 1.0, "vidispine": 0.2}
"""Of our time by the official client's, for full models."""
MOST_POLLING: Final = 0.25
"""The same for what polling needs."""
WARM_UP: Final = 5
"""How often a contender decodes the bytes before it counts."""
LEAST: Final = 0.01
"""Seconds that are measured in one go: what is shorter is decoded several times."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--jobs", type=int, default=1000, help="jobs in a listing")
    parser.add_argument("--repeat", type=int, default=21, help="how often each contender is run")


def run(options: argparse.Namespace) -> Iterator[Row | Note]:
    """Measure, and report what was found."""
    for service in SERVICES:
        contenders = [*CONTENDERS]
        missing = without(PACKAGE_OF[service])
        if missing is not None:
            yield Note(case=f"official/{service}", text=missing)
            contenders = [name for name in contenders if name not in ("official", "pydantic")]
        if service == "vidispine":
            contenders = [
                name for name in contenders if name != "pydantic"
            ]  # it has no such models
        with ExitStack() as stack:
            children = {name: stack.enter_context(child()) for name in contenders}
            wants: tuple[Want, ...] = ("full", "polling", "first look")
            for want in wants:
                runs: dict[str, list[_Run]] = {name: [] for name in contenders}
                for turn in range(options.repeat):
                    for name in sorted(contenders, reverse=turn % 2 > 0):
                        call = children[name]
                        runs[name].append(call(measure, name, service, want, options.jobs))
                yield from _rows(service, want, runs)


@attrs.frozen
class _Run:
    """Seconds of the clock and of the processor for one listing."""

    wall: float
    cpu: float


def _rows(service: str, want: Want, runs: dict[str, list[_Run]]) -> Iterator[Row]:
    case = f"{want}/{service}"
    for name, found in runs.items():
        yield row_of([1000.0 * each.wall for each in found], case, name, "ms")
        yield row_of([1000.0 * each.cpu for each in found], case, f"{name}, cpu", "ms")
    if "official" in runs:
        most = {"full": MOST_FULL[service], "polling": MOST_POLLING}.get(want)
        pairs = list(zip(runs["ours"], runs["official"], strict=True))
        yield row_of([ours.wall / theirs.wall for ours, theirs in pairs], case, "ratio", most=most)
        yield row_of([ours.cpu / theirs.cpu for ours, theirs in pairs], case, "cpu ratio")


# -- in the process of a contender


def measure(contender: str, service: str, want: Want, jobs: int) -> _Run:
    """Decode once more, or several times if it is soon done."""
    decode, times = _warmed_up(contender, service, want, jobs)
    gc.collect()
    begun, cpu = time.perf_counter(), time.process_time()
    for _ in range(times - 1):
        decode()
    last = decode()
    took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    del last
    return _Run(took / times, cpu / times)


@cache
def _warmed_up(contender: str, service: str, want: Want, jobs: int) -> tuple[Decode, int]:
    decode = decoder(contender, service, want, jobs, asyncio.new_event_loop())
    quickest = LEAST
    for _ in range(WARM_UP):
        begun = time.perf_counter()
        found = len(decode())
        quickest = min(quickest, time.perf_counter() - begun)
        if found != jobs:
            raise ValueError(f"{contender} found {found} of {jobs} jobs")
    return decode, max(1, round(LEAST / quickest))
