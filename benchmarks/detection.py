"""How late ends are noticed, against the optimum at equal requests.

One job is awaited at a time. R is the number of status requests per finished job, D the mean delay
of detection in seconds, and score the least possible D at this R, for somebody who knows the law,
divided by D. The looks come from the real tracker on a service in memory; R and D are integrated
over the law exactly, and averaged over training sets, each the durations of some finished jobs.
What comes out of prices other than the default is what Polling(delay_price=...) gives.

Workloads: A log-normal, median 60 s, sigma 1. B log-normal, median 600 s, sigma 0.5. C
log-uniform from 1 s to 1 h. D two modes, half 5 s +- 10 %, half 300 s +- 5 %. E the regime shifts:
after 30 jobs of A all durations are five times as long.

``lead`` is how far another policy scores above ours with 30 learned jobs, at that policy's own R.
``instants`` is the largest difference between a look in memory and the same look over HTTP at an
embedded server, over 200 jobs.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from typing import Any, Final

import attrs

from benchmarks.dated import DatedSource
from benchmarks.memory_source import MemoryClient
from benchmarks.optimum import best_delay, requests_and_delay
from benchmarks.planned import learned, planned
from benchmarks.report import Row
from benchmarks.virtual import run as run_virtually
from benchmarks.workloads import LAWS, Law, LogNormal
from jobkit_async import ExponentialBackoff, FixedInterval, Polling, VidispineClient
from jobkit_async.polling.schedule import Policy, Waited
from jobkit_async.service import ServiceClient
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.testing import FakeVidispine, Plan

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--workloads", "A", "D", "--sets", "5")
REQUESTS: Final = (5, 10, 20)
SHIFT: Final = 5.0


def _quadratic(waited: Waited) -> float:
    return float((waited.looks + 1) ** 2)


OTHERS: Final[Mapping[str, Policy]] = {
    "fixed10": FixedInterval(10.0),
    "fixed30": FixedInterval(30.0),
    "double60": ExponentialBackoff(1.0, 2.0, 60.0),
    "grow20": ExponentialBackoff(1.0, 1.5, 20.0),
    "quadratic": _quadratic,
}
"""What others do."""

MARKS: Final[Mapping[tuple[str, str, int], float]] = {
    **{(name, "learned30", wanted): 0.9 for name in "ABC" for wanted in REQUESTS},
    ("D", "learned30", 20): 0.9,
    ("D", "learned30", 10): 0.5,
    ("D", "learned30", 5): 0.3,
    **{(name, "learned10", wanted): 0.8 for name in "AB" for wanted in REQUESTS},
    **{("C", "learned10", wanted): 0.85 for wanted in REQUESTS},
    **{("C", "cold", wanted): 0.75 for wanted in REQUESTS},
    **{("A", "cold", wanted): 0.55 for wanted in REQUESTS},
    **{("E", "shifted20", wanted): 0.8 for wanted in REQUESTS},
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--sets", type=int, default=40, help="training sets (default 40)")
    parser.add_argument(
        "--workloads", nargs="+", default=[*LAWS, "E"], choices=[*LAWS, "E"], help="default all"
    )
    parser.add_argument("--jobs", type=int, default=200, help="jobs over HTTP (default 200)")


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Measure all policies on all workloads, each workload in a process of its own."""
    scores: dict[str, list[float]] = {}
    names = options.workloads
    with ProcessPoolExecutor(mp_context=get_context("spawn"), max_workers=os.cpu_count()) as pool:
        for rows in pool.map(_workload, names, repeat(options.sets), repeat(options.jobs)):
            for row in rows:
                workload, policy, *_ = row.case.split("/")
                if row.metric == "score" and workload != "E":
                    scores.setdefault(policy, []).append(row.value)
                yield row
    means = {policy: sum(values) / len(values) for policy, values in scores.items()}
    for policy, mean in means.items():
        whole = {*LAWS} <= {*names}
        least = means["double60"] if policy == "cold" and whole else None
        yield Row(case=f"all/{policy}", metric="score", value=mean, least=least)


def _workload(name: str, sets: int, jobs: int) -> list[Row]:
    return list(_shifted(sets) if name == "E" else _steady(name, sets, jobs))


def _steady(name: str, sets: int, jobs: int) -> Iterator[Row]:
    law = LAWS[name]
    trainings = {count: _trainings(law, count, sets) for count in (10, 30)}
    for wanted in REQUESTS:
        yield from _ours(name, law, "cold", [[]], wanted)
        yield from _ours(name, law, "learned10", trainings[10], wanted)
        yield from _ours(name, law, "learned30", trainings[30], wanted)
    for policy, gaps in OTHERS.items():
        yield from _theirs(name, law, policy, gaps, trainings[30])
    difference = _difference(law, jobs)
    yield Row(case=f"{name}/http", metric="instants", value=difference, unit="s", most=0.001)


def _shifted(sets: int) -> Iterator[Row]:
    after = LogNormal(SHIFT * 60.0, 1.0)
    old = _trainings(LAWS["A"], 30, sets)
    for count in (5, 10, 20):
        new = _trainings(after, count, sets, seed=1)
        both = [[*first, *second] for first, second in zip(old, new, strict=True)]
        for wanted in REQUESTS:
            yield from _ours("E", after, f"shifted{count}", both, wanted)


def _trainings(law: Law, count: int, sets: int, *, seed: int = 0) -> list[list[float]]:
    """The durations of some finished jobs, several times."""
    rngs = [random.Random(1000 * seed + k) for k in range(sets)]
    return [[law.draw(rng) for _ in range(count)] for rng in rngs]


def _ours(
    name: str, law: Law, policy: str, trainings: Sequence[Sequence[float]], wanted: int
) -> Iterator[Row]:
    price = _price(law, trainings, wanted)
    looks = [_looks(law, training, _polling(price)) for training in trainings]
    requests, delay = _mean(requests_and_delay(each, law) for each in looks)
    case = f"{name}/{policy}/R{wanted}"
    yield from _numbers(name, case, requests, delay, MARKS.get((name, policy, wanted)))


def _theirs(
    name: str, law: Law, policy: str, gaps: Policy, trainings: Sequence[Sequence[float]]
) -> Iterator[Row]:
    looks = _looks(law, [], attrs.evolve(_polling(1.0), policy=gaps))
    requests, delay = requests_and_delay(looks, law)
    case = f"{name}/{policy}/R{requests:.1f}"
    score = None
    for row in _numbers(name, case, requests, delay, None):
        score = row.value
        yield row
    assert score is not None  # noqa: S101 - there are three rows
    if requests > 1.5:  # with fewer there is no price at which we would ask so rarely
        price = _price(law, trainings, requests)
        mine = [_looks(law, training, _polling(price)) for training in trainings]
        r, d = _mean(requests_and_delay(each, law) for each in mine)
        lead = score - _score(name, r, d)
        yield Row(case=case, metric="lead", value=lead, most=0.06)


def _numbers(
    name: str, case: str, requests: float, delay: float, mark: float | None
) -> Iterator[Row]:
    yield Row(case=case, metric="R", value=requests, unit="requests/job")
    yield Row(case=case, metric="D", value=delay, unit="s")
    yield Row(case=case, metric="score", value=_score(name, requests, delay), least=mark)


def _score(name: str, requests: float, delay: float) -> float:
    if name == "E":  # A, stretched
        return SHIFT * best_delay("A", requests) / delay
    return best_delay(name, requests) / delay


def _mean(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    rows = list(pairs)
    return sum(r for r, _ in rows) / len(rows), sum(d for _, d in rows) / len(rows)


def _polling(price: float) -> Polling:
    """Our own pacing, between bounds that leave it free, with a random phase that repeats."""
    rng = random.Random(7)
    return Polling(delay_price=price, min_interval=0.02, max_interval=36_000.0, rng=rng)


# -- which price gives so many requests: without the tracker, which takes longer


def _price(law: Law, trainings: Sequence[Sequence[float]], wanted: float) -> float:
    """The price at which our own pacing takes so many requests per job."""
    known = [learned(training) for training in trainings]
    low, high = math.log(1e-3), math.log(1e5)
    for _ in range(14):
        price = math.exp(0.5 * (low + high))
        requests, _ = _mean(
            requests_and_delay(planned(law, durations, _polling(price)), law) for durations in known
        )
        if requests > wanted:
            low = math.log(price)
        else:
            high = math.log(price)
    return math.exp(0.5 * (low + high))


# -- the real tracker, in memory and over HTTP


def _looks(law: Law, training: Sequence[float], polling: Polling) -> list[float]:
    """The ages at which the tracker looks at a job after some others have ended."""

    async def main() -> list[float]:
        source = DatedSource()
        async with MemoryClient(source, polling) as client:
            for seconds in training:
                await source.begin(client, seconds).wait()
            source.looks.clear()
            now = asyncio.get_running_loop().time()
            waiting = asyncio.ensure_future(source.begin(client).wait())
            while not source.looks or source.looks[-1] - now < law.longest:  # noqa: ASYNC110
                await asyncio.sleep(law.longest)
            waiting.cancel()
            await asyncio.wait([waiting])
            looks = [look - now for look in source.looks]
            last = next(i for i, look in enumerate(looks) if look >= law.longest)
            return looks[: last + 1]

    return run_virtually(main())


def _difference(law: Law, jobs: int) -> float:
    """The largest difference between a look in memory and the same over HTTP, in seconds."""
    (durations,) = _trainings(law, jobs, 1, seed=2)
    (training,) = _trainings(law, 30, 1, seed=3)
    memory = run_virtually(_in_memory(durations, training, _polling(5.0)))
    http = run_virtually(_over_http(durations, training, _polling(5.0)), sockets=True)
    if [len(looks) for looks in memory] != [len(looks) for looks in http]:
        return math.inf
    return max(
        abs(one - other)
        for mine, theirs in zip(memory, http, strict=True)
        for one, other in zip(mine, theirs, strict=True)
    )


def _freeze(client: ServiceClient[Any, Any], kind: str, training: Sequence[float]) -> None:
    """Let a client know some finished jobs, and learn nothing more."""
    outlook = client._tracker._outlook
    outlook.durations = learned(training, (kind, "whole"))
    outlook.ended = lambda *_, **__: None  # type: ignore[method-assign]  # learning is frozen


async def _in_memory(
    durations: Sequence[float], training: Sequence[float], polling: Polling
) -> list[list[float]]:
    source = DatedSource()
    looks: list[list[float]] = []
    async with MemoryClient(source, polling) as client:
        _freeze(client, "job", training)
        for seconds in durations:
            source.looks.clear()
            now = asyncio.get_running_loop().time()
            await source.begin(client, seconds).wait()
            looks.append([look - now for look in source.looks])
    return looks


async def _over_http(
    durations: Sequence[float], training: Sequence[float], polling: Polling
) -> list[list[float]]:
    left = iter(durations)

    def planner(_rng: random.Random, _kind: str) -> Plan:
        return Plan(queued=0.0, running=next(left))

    looks: list[list[float]] = []
    async with (
        FakeVidispine(planner=planner, record=True) as server,
        VidispineClient(
            username=server.username,
            password=server.password,
            base_url=server.base_url,
            polling=polling,
        ) as client,
    ):
        _freeze(client, "CUSTOM", training)
        for _ in durations:
            server.seen.clear()
            now = asyncio.get_running_loop().time()
            job = await client.jobs.create_custom_job("CUSTOM", SimpleMetadataType())
            await job.wait()
            looks.append([seen.at - now for seen in server.seen if seen.operation == "get_job"])
    return looks
