"""Many jobs awaited to their end, by us and by the official clients in a pool of 64 threads.

The services are embedded servers in a process of their own. All jobs are sent off at one moment;
how long they last is log-normal, with a sigma of 0.6, and no job lasts longer than three medians.
Each contender runs in a fresh process, and has waited for a few jobs before. The case is
SERVICE/CONTENDER.

- ``ours``: ``as_completed`` over all handles, with the pacing that a client has by default.
- ``official``: each thread asks for a job by ``get_job``, sleeps for ``--interval`` seconds, asks
  again until it has ended, and takes the next. It learns of a job only once its turn has come.

``wall`` is the time from the begin to the news of the last end, ``cpu`` the processor time of the
client's process for each job, ``growth`` how far its resident memory rises. ``requests`` are those
for each job, of whatever kind, and ``delay`` is the mean time from a job's true end to the news of
it. ``by official`` is our number by theirs. ``server`` is the share of the time in which the
server was busy.
"""

from __future__ import annotations

import argparse
import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from benchmarks.child import child
from benchmarks.crowd import WARM_UP, Fate, fates
from benchmarks.embedded import EmbeddedServer
from benchmarks.peers import without
from benchmarks.report import Note, Row, row_of
from benchmarks.resident import forget_most, most_resident, resident
from benchmarks.waiters import KEY, Found, Work, measure

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--jobs", "100", "--median", "0.5", "--interval", "0.2")
SERVICES: Final = ("bsubio", "vidispine")
SHORT: Final = Fate(0.05, failed=False)
"""What becomes of the jobs that come first."""
MIB: Final = 1 << 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--jobs", type=int, default=1000, help="jobs that are awaited")
    parser.add_argument("--median", type=float, default=5.0, help="seconds that half of them last")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds that threads sleep")
    parser.add_argument("--repeat", type=int, default=1, help="how often each case is run")


def run(options: argparse.Namespace) -> Iterator[Row | Note]:
    """Measure, and report what was found."""
    plan = fates(options.jobs, options.median)
    for service in SERVICES:
        sides = ["ours"]
        missing = without(service)
        if missing is None:
            sides.append("official")
        else:
            yield Note(case=f"{service}/official", text=missing)
        runs: dict[str, list[_Run]] = {side: [] for side in sides}
        for turn in range(options.repeat):
            for side in sorted(sides, reverse=turn % 2 > 0):
                runs[side].append(_measured(side, service, plan, options.interval))
        yield from _rows(service, runs)


@attrs.frozen
class _Run:
    """What it took to await all jobs; seconds, bytes, and numbers for each job."""

    wall: float
    cpu: float
    growth: int
    requests: float
    delay: float
    server: float


def _measured(side: str, service: str, plan: Sequence[Fate], interval: float) -> _Run:
    with EmbeddedServer(service, KEY, [SHORT] * WARM_UP + [*plan]) as server, child() as call:
        pause = interval if side == "official" else None
        work = Work(service, server.base_url, [*server.begin(WARM_UP)], pause)
        call(measure, side, work)
        ends = server.begin(len(plan))
        before = server.told()
        found, growth = call(grown, side, attrs.evolve(work, jobs=[*ends]))
        after = server.told()
    if found.failed != sum(fate.failed for fate in plan):
        raise ValueError(f"{side}: {found.failed} jobs are said to have failed")
    began = min(end - fate.seconds for end, fate in zip(ends.values(), plan, strict=True))
    wall = max(found.known) - began
    late = [known - end for known, end in zip(found.known, ends.values(), strict=True)]
    return _Run(
        wall=wall,
        cpu=found.cpu / len(plan),
        growth=growth,
        requests=(after.requests - before.requests) / len(plan),
        delay=statistics.fmean(late),
        server=(after.cpu - before.cpu) / wall,
    )


NUMBERS: Final[dict[str, tuple[str, Callable[[_Run], float]]]] = {
    "wall": ("s", lambda run: run.wall),
    "cpu": ("us/job", lambda run: 1e6 * run.cpu),
    "growth": ("MiB", lambda run: run.growth / MIB),
    "requests": ("requests/job", lambda run: run.requests),
    "delay": ("s", lambda run: run.delay),
    "server": ("", lambda run: run.server),
}


def _rows(service: str, runs: dict[str, list[_Run]]) -> Iterator[Row]:
    for side, found in runs.items():
        for metric, (unit, number) in NUMBERS.items():
            yield row_of([number(run) for run in found], f"{service}/{side}", metric, unit)
    if "official" in runs:
        pairs = list(zip(runs["ours"], runs["official"], strict=True))
        for metric in ("wall", "cpu", "growth", "requests", "delay"):
            _, number = NUMBERS[metric]
            ratios = [number(ours) / number(theirs) for ours, theirs in pairs]
            yield row_of(ratios, f"{service}/ours", f"{metric} by official")


def grown(side: str, work: Work) -> tuple[Found, int]:
    """Wait for all jobs, in a process of its own; also, how far its memory rises in bytes."""
    gc.collect()
    forget_most()
    before = resident()
    found = measure(side, work)
    return found, max(0, most_resident() - before)
