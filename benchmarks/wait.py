"""Many jobs awaited to their end, over real sockets and in real time, by us and by others.

All jobs are sent off at one moment. How long they last is log-normal, with a sigma of 0.6, and no
job lasts longer than three medians; one in ten fails. Each contender has a process of its own, and
waits for all of them. The server, in another process, puts its answers together from bytes that
were made beforehand. The case is SERVICE/JOBS/CONTENDER.

- ``gather``: what people write by hand: a coroutine for each job, which asks by plain aiohttp,
  sleeps for ``--interval`` seconds, and asks again. With more jobs than it can ask for in that time
  it holds itself up, and is late.
- ``azure``: azure-core's ``AsyncLROPoller`` for each job, with its own polling method at the same
  interval, its own aiohttp transport, and only those policies that it needs.
- ``paced``: ours, with ``Polling(min_interval=...)`` such that it is nearly as late as ``gather``;
  a run before it shows how late that makes us.
- ``ours``: ours, with the pacing that a client has by default, however late the others are.

On EcoTaxa a job is asked for its full snapshot each time; on Leia for its status, by the operation
that is there for it, and for the snapshot at its end. We take ``as_completed`` over all handles.
Each contender ends with the parsed snapshots of all jobs; ours are typed.

``requests`` are status requests for each job, ``final`` the others. ``delay`` is the mean time from
a job's true end to the moment at which whoever awaits it has its snapshot; 95 % of the delays are
below ``delay, 95 %``. ``cpu`` is the processor time of the client's process for each job. ``by``
somebody is our number by theirs. ``busy`` and ``server`` are the shares of the time in which the
processes of the client and of the server were: a server below 1 held up nobody.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from benchmarks.child import child
from benchmarks.crowd import WARM_UP, Fate, fates
from benchmarks.crowd_server import CrowdServer
from benchmarks.listings import job_id
from benchmarks.peers import without
from benchmarks.report import Note, Row, row_of
from benchmarks.waiters import Work, measure

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--jobs", "100", "--median", "0.5", "--interval", "0.2")
SERVICES: Final = ("ecotaxa", "leia")
MOST_REQUESTS: Final = 1 / 50
OURS: Final = ("paced", "ours")
PACE: Final = 1.15
"""Our least interval by the mean delay of ``gather``, in the run that sets the pace."""
EARLIER: Final = 0.93
"""How late we try to be then by that delay: in each run it is another by some percent."""
MOST_CPU: Final = {"ecotaxa": 1 / 10, "leia": 1 / 4}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument(
        "--jobs", type=int, nargs="+", default=[1000, 10_000], help="jobs that are awaited at once"
    )
    parser.add_argument("--median", type=float, default=5.0, help="seconds that half of them last")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds that others sleep")
    parser.add_argument("--repeat", type=int, default=1, help="how often each case is run")


def run(options: argparse.Namespace) -> Iterator[Row | Note]:
    """Measure, and report what was found."""
    others = ["gather"]
    missing = without("azure.core")
    if missing is None:
        others.append("azure")
    else:
        yield Note(case="azure", text=missing)
    for service in SERVICES:
        for jobs in options.jobs:
            plan = fates(jobs, options.median)
            runs: dict[str, list[_Run]] = {side: [] for side in (*others, *OURS)}
            for _ in range(options.repeat):
                for side in others:
                    runs[side].append(_measured(side, service, plan, options.interval))
                theirs = runs["gather"][-1].delay
                pace = PACE * theirs
                pace *= EARLIER * theirs / _measured("ours", service, plan, pace).delay
                runs["paced"].append(_measured("ours", service, plan, pace))
                runs["ours"].append(_measured("ours", service, plan, None))
            yield from _rows(service, jobs, runs)


@attrs.frozen
class _Run:
    """What it took to await all jobs.

    Attributes:
        interval: Seconds between two questions for a job, at least; 0 where it was left to us.
        requests: Status requests for each job.
        final: Other requests for each job.
        cpu: Seconds of the processor for each job.
        wall: Seconds, from the begin to the end of all.
        server: Seconds that the server was busy.
        delays: Seconds from each job's end to the news of it.
    """

    interval: float
    requests: float
    final: float
    cpu: float
    wall: float
    server: float
    delays: Sequence[float]

    @property
    def delay(self) -> float:
        """The mean delay."""
        return statistics.fmean(self.delays)


def _measured(side: str, service: str, plan: Sequence[Fate], interval: float | None) -> _Run:
    ids = [job_id(service, index) for index in range(len(plan) + WARM_UP)]
    with CrowdServer(service, plan) as server, child() as call:
        work = Work(service, server.base_url, ids[len(plan) :], interval)
        call(measure, side, work)
        before = server.told().cpu
        began = server.begin()
        found = call(measure, side, attrs.evolve(work, jobs=ids[: len(plan)]))
        told = server.told()
    if found.failed != sum(fate.failed for fate in plan):
        raise ValueError(f"{side}: {found.failed} jobs are said to have failed")
    return _Run(
        interval=interval or 0.0,
        requests=told.asked["status"] / len(plan),
        final=told.asked["final"] / len(plan),
        cpu=found.cpu / len(plan),
        wall=max(found.known) - began,
        server=told.cpu - before,
        delays=[at - began - fate.seconds for at, fate in zip(found.known, plan, strict=True)],
    )


NUMBERS: Final[dict[str, tuple[str, Callable[[_Run], float]]]] = {
    "requests": ("requests/job", lambda run: run.requests),
    "final": ("requests/job", lambda run: run.final),
    "delay": ("s", lambda run: run.delay),
    "delay, 95 %": ("s", lambda run: statistics.quantiles(run.delays, n=20)[-1]),
    "cpu": ("us/job", lambda run: 1e6 * run.cpu),
    "wall": ("s", lambda run: run.wall),
    "busy": ("", lambda run: run.cpu * len(run.delays) / run.wall),
    "server": ("", lambda run: run.server / run.wall),
}


def _rows(service: str, jobs: int, runs: dict[str, list[_Run]]) -> Iterator[Row]:
    case = f"{service}/{jobs}"
    for side, found in runs.items():
        if side != "ours":
            yield row_of([run.interval for run in found], f"{case}/{side}", "interval", "s")
        for metric, (unit, number) in NUMBERS.items():
            yield row_of([number(run) for run in found], f"{case}/{side}", metric, unit)
    marks = {"requests": MOST_REQUESTS, "delay": 1.0, "cpu": MOST_CPU[service]}
    for mine in OURS:
        for side in [side for side in runs if side not in OURS]:
            pairs = list(zip(runs[mine], runs[side], strict=True))
            for metric, mark in marks.items():
                _, number = NUMBERS[metric]
                ratios = [number(ours) / number(theirs) for ours, theirs in pairs]
                most = mark if mine == "paced" else None
                late = statistics.median(ours.delay / theirs.delay for ours, theirs in pairs)
                note = f"at {late:.2f} of its delay" if metric != "delay" else ""
                name = f"{metric} by {side}"
                yield row_of(ratios, f"{case}/{mine}", name, most=most, note=note)
