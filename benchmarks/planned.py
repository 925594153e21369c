"""Our pacing of one job at a time, without the tracker: what it plans, and at which price."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.workloads import Law
from jobkit_async import Polling
from jobkit_async.polling.durations import Durations
from jobkit_async.polling.schedule import Waited

__all__ = ["learned", "planned"]


def learned(training: Sequence[float], kind: object = "job") -> Durations:
    """What is known after some jobs have ended one by one."""
    durations = Durations()
    now = 0.0
    for lasted in training:
        durations.ended(kind, now, lasted, now + lasted)
        durations.grid(kind, list)
        now += lasted
    return durations


def planned(law: Law, durations: Durations, polling: Polling) -> list[float]:
    """The ages at which one job is looked at until no job lasts that long."""
    plan = durations.inspection("job", polling.delay_price, list)
    looks: list[float] = []
    age = 0.0
    while age < law.longest:
        at = plan.next_look(age) if plan is not None else None
        gap = polling.gap(Waited(age=age, looks=0, shared=1.0)) if at is None else at - age
        age += polling.within(gap)
        looks.append(age)
    return looks
