"""How bsub.io's jobs are observed: by what has ended since the last look.

There is no request for given ids, and a listing shows at most 100 jobs. So a look asks for 100
finished and 100 failed jobs: its cost follows the endings, not the jobs that are awaited. If a
listing shows the newest endings first, it shows all of them back to its oldest; otherwise more have
ended than it shows if its ``total`` has grown by more than the ids that are new. Whoever may have
ended unseen is read one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from jobkit_async import codec
from jobkit_async.caller import Caller
from jobkit_async.errors import DecodeError
from jobkit_async.model import aware
from jobkit_async.polling.endings import Vouching
from jobkit_async.polling.source import Ask, Key, Observed, Sighting, fan_out
from jobkit_async.services.bsubio import endpoints
from jobkit_async.services.bsubio.models import Job
from jobkit_async.services.bsubio.models import JobStatus as S
from jobkit_async.states import JobState, Need

__all__ = ["STATES", "BsubioSource", "sight"]

STATES: Final[Mapping[str, JobState]] = {
    S.CREATED: JobState.NEEDS_INPUT,
    S.LOADED: JobState.NEEDS_INPUT,
    S.PENDING: JobState.PENDING,
    S.CLAIMED: JobState.RUNNING,
    S.PREPARING: JobState.RUNNING,
    S.PROCESSING: JobState.RUNNING,
    S.FINISHED: JobState.SUCCEEDED,
    S.FAILED: JobState.FAILED,
}
_NEEDS: Final[Mapping[str, Need]] = {S.CREATED: Need.UPLOAD, S.LOADED: Need.SUBMIT}
_ENDS: Final = (S.FINISHED, S.FAILED)
_ON_THEIR_WAY: Final = frozenset(
    word for word, state in STATES.items() if state in (JobState.PENDING, JobState.RUNNING)
)
_LIVE: Final = tuple(status for status in S if status not in _ENDS)

PAGE: Final = 100
"""The most jobs that a listing shows."""
FEW: Final = 2
"""So many jobs are read one by one: a look at the endings takes two requests as well."""
MANY: Final = 8
"""More jobs than this to be seen alive, and the listings of live jobs are looked at first."""
STALE: Final = 2
"""Jobs that each look reads besides, those unseen for longest: a deleted job is in no listing."""
MARGIN: Final = 2.0
"""Seconds by which the service's clock may be misjudged: its Date header has whole seconds."""


def sight(job: Job) -> Sighting[Job]:
    """What a job's snapshot shows."""
    status = job.status or ""
    return Sighting(
        state=STATES.get(status, JobState.UNKNOWN),
        raw_status=status,
        kind=job.type,
        created_at=job.created_at,
        started_at=job.claimed_at,
        ended_at=job.finished_at,
        needs=_NEEDS.get(status),
        reason=": ".join(filter(None, (job.error_code, job.error_message))) or None,
        mark=job.updated_at,
        final=status in _ENDS,
        cancels=status == S.FAILED,
        data=job,
    )


@attrs.frozen(kw_only=True)
class _Row:
    id: str
    finished_at: datetime | None = None


@attrs.frozen(kw_only=True)
class _LiveRow(_Row):
    status: str | None = None
    type: str | None = None
    created_at: datetime | None = None
    claimed_at: datetime | None = None
    updated_at: datetime | None = None


@attrs.frozen(kw_only=True)
class _Listing:
    jobs: codec.Raw = codec.NULL
    total: Any = None


@attrs.frozen(kw_only=True)
class _Envelope:
    data: _Listing


_AT: Final = ("data", "jobs")
_skim = codec.Skimmer(_LiveRow)
_skim_odd = codec.Skimmer(_Row)
_open = codec.Skimmer(_Envelope)


@attrs.frozen
class _Page:
    """One listing.

    Attributes:
        jobs: The awaited jobs in it.
        failed: Those of them that cannot be read.
        rows: What was skimmed of all of its jobs, in its order.
        total: How many jobs match in all.
    """

    jobs: Mapping[str, Sighting[Job]]
    failed: Mapping[str, Exception]
    rows: list[_Row]
    total: int

    @property
    def ids(self) -> set[str]:
        """Ids of the jobs in it."""
        return {row.id for row in self.rows}

    @property
    def complete(self) -> bool:
        """Whether it shows all that match."""
        return self.total <= len(self.rows)

    def oldest_end(self) -> datetime | None:
        """The oldest ending in it, if it shows the newest endings first; None otherwise."""
        ends = [row.finished_at for row in self.rows]
        # One without an offset compares with no other, and is UTC, as it is for the models.
        dates = [aware(end) for end in ends if end is not None]
        if len(dates) < len(ends) or dates != sorted(dates, reverse=True):
            return None
        return dates[-1] if dates else None


def _sight_live(row: _LiveRow) -> Sighting[Job]:
    """What a row shows of a job on its way, whose snapshot nobody has asked for."""
    status = row.status or ""
    return Sighting(
        state=STATES[status],
        raw_status=status,
        kind=row.type,
        created_at=_date(row.created_at),
        started_at=_date(row.claimed_at),
        mark=_date(row.updated_at),
    )


def _date(date: datetime | None) -> datetime | None:
    return None if date is None else aware(date)


def _elements(body: bytes) -> tuple[Any, codec.Skimmed[_LiveRow]]:
    """What a listing says of the total, and its jobs; members of it may be missing or null."""
    listing = _open(body)
    if listing is not None and bytes(listing.data.jobs) == b"null":
        return listing.data.total, codec.Skimmed((), list)
    if listing is not None:
        return listing.data.total, _skim.elements(listing.data.jobs, at=_AT, operation="list_jobs")
    return None, _skim.all(body, at=_AT, operation="list_jobs")


def _sight_raw(raw: codec.Raw) -> Sighting[Job]:
    """What a row shows if it is decoded in full."""
    return sight(codec.decode(bytes(raw), Job, operation="list_jobs"))


def _sight_row(row: _LiveRow, before: Sighting[Job] | None) -> Sighting[Job]:
    """What a row shows of a job on its way: the sighting before, if nothing has changed since."""
    if (
        before is not None
        and row.updated_at is not None
        and before.mark == row.updated_at  # which is never so of a date without an offset
        and before.raw_status == row.status
    ):
        return before
    return _sight_live(row)


class BsubioSource:
    """Observes the jobs of one bsub.io account.

    Args:
        call: Carries operations out.
    """

    def __init__(self, call: Caller) -> None:
        self._call = call
        self._vouching = Vouching()
        self._pages: dict[str, _Page] = {}

    @property
    def batch(self) -> int | None:
        """One look answers for all jobs."""
        return None

    def sight(self, data: Job) -> Sighting[Job]:
        """What a full snapshot shows."""
        return sight(data)

    async def read(self, key: Key) -> Sighting[Job]:
        """Read one job in full."""
        return sight(await self._call.value(endpoints.GET_JOB, key))

    async def finish(self, keys: Collection[Key]) -> Mapping[Key, Sighting[Job] | Exception]:
        """Nothing: each job is read on its own."""
        return {}

    async def observe(self, asks: Mapping[Key, Ask]) -> Observed[Job]:
        """Look at what has ended; have those read for whom that look cannot vouch."""
        if len(asks) <= FEW:
            return Observed(missing=list(asks), cost=0)
        looked_at = asyncio.get_running_loop().time()
        pages = {str(status): await self._page(status, asks) for status in _ENDS}
        seen = {key: sighting for page in pages.values() for key, sighting in page.jobs.items()}
        failed = {key: error for page in pages.values() for key, error in page.failed.items()}
        since = max(self._shown_since(status, page) for status, page in pages.items())
        self._pages = pages
        unsure = self._vouching.settle(asks, {**seen, **failed}, since=since, looked_at=looked_at)
        wanted = [key for key, ask in asks.items() if ask.detail and key not in seen]
        wanted = [key for key in dict.fromkeys([*wanted, *unsure]) if key not in failed]
        cost = len(pages)
        if len(wanted) > MANY:
            alive = await self._alive(set(wanted), asks)
            seen.update(alive)
            self._vouching.saw(key for key, it in alive.items() if not it.state.ended)
            wanted = [key for key in wanted if key not in alive]
            cost += len(_LIVE)
        wanted = wanted or self._vouching.stalest(asks, {*seen, *failed}, STALE)
        return Observed(seen=seen, missing=wanted, failed=failed, cost=cost)

    async def _alive(
        self, wanted: Collection[Key], asks: Mapping[Key, Ask]
    ) -> dict[Key, Sighting[Job]]:
        """Those of the wanted jobs that the listings of live jobs show."""
        pages = await fan_out(lambda status: self._page(status, asks), _LIVE)
        found: dict[Key, Sighting[Job]] = {}
        for page in pages.values():
            if isinstance(page, Exception):
                raise page
            found.update((key, seen) for key, seen in page.jobs.items() if key in wanted)
        return found

    async def _page(self, status: str, asks: Mapping[Key, Ask]) -> _Page:
        answer = await self._call.answer(endpoints.LIST_JOBS, status, PAGE)
        total, found = _elements(answer.body)
        jobs: dict[str, Sighting[Job]] = {}
        failed: dict[str, Exception] = {}
        rows: list[_Row] = []
        for index, live in enumerate(found.rows):
            row = live or _skim_odd(found.raw(index))
            if row is None:
                continue
            rows.append(row)
            if (ask := asks.get(row.id)) is not None:
                if live is not None and live.status in _ON_THEIR_WAY:
                    jobs[row.id] = _sight_row(live, ask.newest)
                    continue
                try:
                    jobs[row.id] = _sight_raw(found.raw(index))
                except DecodeError as error:  # one odd job spoils nothing but itself
                    failed[row.id] = error
        # Where the service does not tell the total, a full page may hide more.
        told = isinstance(total, int)
        return _Page(jobs, failed, rows, total if told else len(rows) + (len(found.rows) >= PAGE))

    def _shown_since(self, status: str, page: _Page) -> float:
        """Loop time from which on a page of endings shows every ending; infinity if unknown."""
        if page.complete:
            return float("-inf")
        since = float("inf")
        oldest = page.oldest_end()
        before, looked_at = self._pages.get(status), self._vouching.looked_at
        if before is not None and looked_at is not None:
            new = page.ids - before.ids
            if oldest is None:
                joined = page.total - before.total <= len(new)
            else:  # newest first: whatever is newer than a job that was there before is shown
                joined = len(new) < len(page.rows)
            since = looked_at if joined else since
        now = asyncio.get_running_loop().time()
        service_now = self._call.transport.service_time(now)
        if oldest is not None and service_now is not None:
            since = min(since, now - (service_now - oldest.timestamp()) + MARGIN)
        return since
