"""How Vidispine's jobs are observed: by what has ended since the last look.

The listing can be asked for jobs that ended after a given time, with their metadata and steps: its
cost follows the endings, not the jobs that are awaited. The time is the service's own, less an
overlap. What else is to be known is read from the listing without that filter, newest first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import attrs

from jobkit_async import codec
from jobkit_async.caller import Caller
from jobkit_async.errors import DecodeError
from jobkit_async.model import camel
from jobkit_async.polling.endings import Vouching
from jobkit_async.polling.source import Ask, Key, Observed, Sighting
from jobkit_async.request import arguments
from jobkit_async.services.vidispine import endpoints
from jobkit_async.services.vidispine.models import JobStatus as S
from jobkit_async.services.vidispine.models import JobTaskType, JobType
from jobkit_async.states import JobState

__all__ = ["STATES", "VidispineSource", "sight"]

STATES: Final[Mapping[str, JobState]] = {
    S.READY: JobState.PENDING,
    S.WAITING: JobState.PENDING,
    S.HOLD: JobState.PENDING,
    S.STARTED: JobState.RUNNING,
    S.VIDINET_JOB: JobState.RUNNING,
    S.ABORTED_PENDING: JobState.RUNNING,
    S.ABORT_PENDING: JobState.RUNNING,
    S.FINISHED: JobState.SUCCEEDED,
    S.FINISHED_WARNING: JobState.SUCCEEDED,
    S.FAILED_TOTAL: JobState.FAILED,
    S.ABORTED: JobState.CANCELLED,
}

PAGE: Final = 100
"""Jobs in one page of a listing."""
OVERLAP: Final = 5.0
"""Seconds by which a look reaches back beyond the last: clocks differ, and pages shift."""
FARTHEST: Final = 3600.0
"""The most seconds that a look reaches back; jobs unseen for longer are looked for otherwise."""
MOST_PAGES: Final = 50
"""The most pages that a look at the endings reads."""
MANY: Final = 4
"""More jobs than this to be seen, and the listing is swept before any is read on its own."""
SWEEP_EVERY: Final = 300.0
"""Seconds from one sweep for deleted jobs to the next."""


def sight(job: JobType) -> Sighting[JobType]:
    """What a job's snapshot shows."""
    word = job.status or ""
    state = STATES.get(word, JobState.UNKNOWN)
    step = job.current_step
    progress = None
    if state is JobState.SUCCEEDED:
        progress = 1.0
    elif step is not None and job.total_steps is not None and job.total_steps > 0:
        # Bounded before it is divided: the ratio of whole numbers may be no float.
        progress = min(max(step.number, 0), job.total_steps) / job.total_steps
    return Sighting(
        state=state,
        raw_status=word,
        progress=progress,
        message=step.description if step is not None else None,
        kind=job.type,
        ended_at=job.finished,
        created_at=job.started,  # the creation is not told; an age counts from the start as well
        reason=_reason(job) if state is JobState.FAILED else None,
        final=state.ended,
        data=job,
    )


def _reason(job: JobType) -> str | None:
    """What the job says of its failure, in its metadata or in the log of its tasks."""
    for pair in job.data:
        if pair.key == "errorMessage" and pair.value:
            return pair.value
    tasks = job.log.task if job.log is not None else []
    return next((task.error_message for task in _all(tasks) if task.error_message), None)


def _all(tasks: Iterable[JobTaskType]) -> Iterator[JobTaskType]:
    for task in tasks:
        yield task
        yield from _all(task.sub_task)


@attrs.frozen(kw_only=True, field_transformer=camel)
class _Row:
    job_id: str


_skim = codec.Skimmer(_Row)


class _Found:
    """What the pages of one look have shown so far."""

    def __init__(self) -> None:
        self.seen: dict[Key, Sighting[JobType]] = {}
        self.failed: dict[Key, Exception] = {}

    def take(self, key: str, raw: codec.Raw) -> None:
        """Take one job in; one that cannot be read spoils nothing but itself."""
        try:
            self.seen[key] = sight(codec.decode(bytes(raw), JobType, operation="get_jobs"))
        except DecodeError as error:
            self.failed[key] = error


class VidispineSource:
    """Observes the jobs of one Vidispine user.

    Args:
        call: Carries operations out.
        all_users: Whether to list the jobs of all users.
    """

    def __init__(self, call: Caller, *, all_users: bool = False) -> None:
        self._call = call
        self._all_users = all_users
        self._vouching = Vouching()
        self._swept_at: float | None = None

    @property
    def batch(self) -> int | None:
        """One look answers for all jobs."""
        return None

    def sight(self, data: JobType) -> Sighting[JobType]:
        """What a full snapshot shows."""
        return sight(data)

    async def read(self, key: Key) -> Sighting[JobType]:
        """Read one job in full, with its metadata."""
        row = endpoints.GET_JOB
        return sight(await self._call.value(row, *arguments(row, job_id=key, metadata=True)))

    async def finish(self, keys: Collection[Key]) -> Mapping[Key, Sighting[JobType] | Exception]:
        """Nothing: each job is read on its own."""
        return {}

    async def observe(self, asks: Mapping[Key, Ask]) -> Observed[JobType]:
        """Look at what has ended; sweep the listing for those whom that look cannot vouch for."""
        if len(asks) <= 1:
            return Observed(missing=list(asks), cost=0)
        looked_at = asyncio.get_running_loop().time()
        found = _Found()
        since, cost = await self._endings(found, asks, looked_at)
        seen, failed = found.seen, found.failed
        unsure = self._vouching.settle(asks, {**seen, **failed}, since=since, looked_at=looked_at)
        wanted = [key for key, ask in asks.items() if ask.detail and key not in seen]
        wanted = list(dict.fromkeys([*wanted, *unsure]))
        if self._swept_at is None:
            self._swept_at = looked_at
        elif looked_at - self._swept_at >= SWEEP_EVERY:
            self._swept_at = looked_at
            wanted = [key for key in asks if key not in seen]
        wanted = [key for key in wanted if key not in failed]
        if len(wanted) > MANY:
            cost += await self._sweep(found, set(wanted))
            swept = [key for key in wanted if key in seen]
            self._vouching.saw(key for key in swept if not seen[key].state.ended)
            wanted = [key for key in wanted if key not in seen and key not in failed]
        return Observed(seen=seen, missing=wanted, failed=failed, cost=cost)

    async def _endings(
        self, found: _Found, asks: Mapping[Key, Ask], looked_at: float
    ) -> tuple[float, int]:
        """Find what has ended; since when that is all of it, and the number of requests."""
        service_now = self._call.transport.service_time(looked_at)
        if service_now is None:
            return float("inf"), 0
        since = max(self._vouching.reach(asks, looked_at), looked_at - FARTHEST)
        from_ = datetime.fromtimestamp(service_now - (looked_at - since) - OVERLAP, UTC)
        text = from_.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        pages, complete = await self._pages(found, asks, MOST_PAGES, finishtime_from=text)
        told = self._call.transport.service_time(looked_at)
        if told is not None and abs(told - service_now) > OVERLAP / 2:
            complete = False  # the service's clock was set: it was asked for the wrong time
        return since if complete else float("inf"), pages

    async def _sweep(self, found: _Found, wanted: set[Key]) -> int:
        """Find those of the wanted jobs that the listing shows; the number of pages read."""
        most = 2 + 2 * len(wanted) // PAGE
        pages, _ = await self._pages(found, wanted, most, enough=wanted, sort="jobId desc")
        return pages

    async def _pages(
        self,
        found: _Found,
        wanted: Collection[Key],
        most: int,
        *,
        enough: set[Key] | None = None,
        **filters: str,
    ) -> tuple[int, bool]:
        """Page through a listing; returns the number of pages, and whether it was read to its end.

        Pages overlap by one job, since a live listing shifts and some servers count from 0.
        """
        row = endpoints.GET_JOBS
        user = None if not self._all_users else False
        first = 1
        for page in range(1, most + 1):
            answer = await self._call.answer(
                row,
                *arguments(
                    row, user=user, first=first, number=PAGE, metadata=True, step=True, **filters
                ),
            )
            hits = codec.pluck(answer.body, at=("hits",))
            raws = self._raws(answer.body, hits, first)
            for raw in raws:
                skimmed = _skim(raw)
                if skimmed is not None and skimmed.job_id in wanted:
                    found.take(skimmed.job_id, raw)
            reached = first - 1 + len(raws)
            done = enough is not None and enough <= found.seen.keys() | found.failed.keys()
            if done or len(raws) <= 1 or (isinstance(hits, int) and reached >= hits):
                return page, True
            first = reached
        return most, False

    @staticmethod
    def _raws(body: bytes, hits: object, first: int) -> list[codec.Raw]:
        if isinstance(hits, int) and first > hits and codec.pluck(body, at=("job",)) is None:
            return []  # the list is left out where it is empty
        return codec.split(body, at=("job",), operation="get_jobs")
