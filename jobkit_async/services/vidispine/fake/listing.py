"""The listing of jobs of the embedded Vidispine: filters and order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from jobkit_async.fakes.clock import Clock
from jobkit_async.services.vidispine.fake.arguments import (
    flag_of,
    invalid,
    metadata_pairs,
    span_of,
    words_of,
)
from jobkit_async.services.vidispine.fake.documents import date_of, metadata_of
from jobkit_async.services.vidispine.fake.jobs import OVER, FakeVidispineJob
from jobkit_async.services.vidispine.models import Priority

__all__ = ["find_jobs", "sort_jobs"]


def find_jobs(
    jobs: Iterable[FakeVidispineJob], request: web.Request, username: str, clock: Clock
) -> list[FakeVidispineJob]:
    """The jobs that the query of a request asks for; by default the own ones of the user."""
    now = clock.time()
    own = flag_of(request, "user", default=True)
    types, wanted = words_of(request, "type"), words_of(request, "state")
    started, finished = span_of(request, "starttime"), span_of(request, "finishtime")
    pairs = metadata_pairs(request)
    found: list[FakeVidispineJob] = []
    for job in jobs:
        if job.removed or (own and job.user != username):
            continue
        if types is not None and job.type not in types:
            continue
        at, status = job.timeline.at(now)
        if wanted is not None and status not in wanted:
            continue
        if started and not _within(job.started(now), started, clock):
            continue
        if finished and not _within(at if status in OVER else None, finished, clock):
            continue
        if pairs and not _has(metadata_of(job, status), pairs):
            continue
        found.append(job)
    return found


def sort_jobs(found: list[FakeVidispineJob], order: str, now: float) -> list[FakeVidispineJob]:
    """The same jobs by the fields of ``order``, the most important one first."""
    ranks = {str(word): rank for rank, word in enumerate(reversed(Priority))}

    def start(job: FakeVidispineJob) -> float:
        at = job.started(now)
        return float("-inf") if at is None else at

    keys: dict[str, Callable[[FakeVidispineJob], Any]] = {
        "jobId": lambda job: job.number,
        "type": lambda job: job.type,
        "state": lambda job: job.timeline.status(now),
        "user": lambda job: job.user,
        "startTime": start,
        "priority": lambda job: ranks[job.priority],
    }
    # The least important field first: sorting is stable.
    for part in reversed(order.split(",") if order else []):
        match part.split():
            case [field, ("asc" | "desc") as direction] if field in keys:
                found.sort(key=keys[field], reverse=direction == "desc")
            case _:
                raise invalid("sort", f"{part.strip()!r} is no '<field> asc|desc'")
    return found


def _within(at: float | None, span: tuple[datetime | None, datetime | None], clock: Clock) -> bool:
    if at is None:
        return False
    date, (since, until) = date_of(at, clock), span
    return (since is None or since <= date) and (until is None or date <= until)


def _has(data: Mapping[str, str], pairs: list[tuple[str, str]]) -> bool:
    return all(data.get(key) == text for key, text in pairs)
