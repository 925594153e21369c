"""How Leia's jobs are observed: by the one request for the statuses of given ids.

It takes up to 100 ids of one submitter. Where an answer as a whole is an error, the chunk is cut in
two until the odd ids are found. Full snapshots of jobs that end together come from the listing.

A submitter that nobody has confirmed is a guess: the statuses are asked for under it, but a job
that they lack is read through the listing by its id, which needs no submitter.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import attrs

from jobkit_async import codec
from jobkit_async.caller import Caller
from jobkit_async.errors import ApiError, DecodeError, Forbidden, JobkitError, NotFound, api_error
from jobkit_async.polling.record import Record, RecordOf
from jobkit_async.polling.source import Ask, Key, Observed, Sighting, fan_out, throttles
from jobkit_async.request import arguments
from jobkit_async.services.leia import endpoints
from jobkit_async.services.leia.models import Job, Statuses
from jobkit_async.states import JobState, Need

__all__ = ["STATES", "LeiaSource", "sight"]

STATES: Final[Mapping[str, JobState]] = {
    Statuses.BLOCKED: JobState.NEEDS_INPUT,
    Statuses.WAITING: JobState.PENDING,
    Statuses.READY: JobState.PENDING,
    Statuses.STARTING: JobState.RUNNING,
    Statuses.LOADING_MODEL: JobState.RUNNING,
    Statuses.PROCESSING: JobState.RUNNING,
    Statuses.PROCESSED: JobState.SUCCEEDED,
    Statuses.FAILED: JobState.FAILED,
    Statuses.CANCELED: JobState.CANCELLED,
}

CHUNK: Final = 100
"""The most ids in one request."""
CHUNK_BYTES: Final = 4096
"""The most bytes of ids in one URL."""
SMALLEST_CHUNK: Final = 256
"""Bytes of ids below which an URL is not shortened any further."""
FEW: Final = 4
"""So many full snapshots are read one by one; more come from the listing."""
QUARTERS: Final = 4
"""So many parts of a chunk that are all refused end the search for the odd id among them."""
TOO_LONG: Final = 414
"""The status of an answer to an URL that is too long."""
PARALLEL: Final = 4
"""Requests for statuses that are under way at once."""


@attrs.frozen(kw_only=True)
class _Row:
    """What tells whether a job of the listing is wanted."""

    id: str


_skim = codec.Skimmer(_Row)


def sight(job: Job) -> Sighting[Job]:
    """What a job's snapshot shows."""
    state = STATES.get(job.status, JobState.UNKNOWN)
    return Sighting(
        state=state,
        raw_status=job.status,
        kind=job.job_type,
        created_at=job.creation_time,
        started_at=job.starting_time,
        ended_at=job.finished_time,
        needs=Need.START if state is JobState.NEEDS_INPUT else None,
        reason=job.reason,
        final=state.ended,
        data=job,
    )


def _made_of(word: str) -> Sighting[Job]:
    """What a status alone shows."""
    state = STATES.get(word, JobState.UNKNOWN)
    needs = Need.START if state is JobState.NEEDS_INPUT else None
    return Sighting(state=state, raw_status=word, needs=needs, final=state.ended)


_KNOWN: Final[Mapping[str, Sighting[Job]]] = {word: _made_of(word) for word in STATES}
"""The same for all jobs of one status, by which the tracker sees that nothing has changed."""


def _sight_some(page: codec.Skimmed[_Row], wanted: Collection[Key]) -> dict[Key, Sighting[Job]]:
    """What a page of the listing shows of the wanted jobs; odd ones are left to single reads."""
    found: dict[Key, Sighting[Job]] = {}
    for index, row in enumerate(page.rows):
        if row is not None and row.id in wanted:
            with suppress(DecodeError):
                job = codec.decode(bytes(page.raw(index)), Job, operation="admin_get_jobs")
                found[row.id] = sight(job)
    return found


class LeiaSource:
    """Observes the jobs of one Leia log-in.

    Args:
        call: Carries operations out.
        records: What is known of jobs; their scope is the submitter.
        guess: The submitter to try where none is known, or None.
    """

    def __init__(
        self,
        call: Caller,
        records: RecordOf[Job],
        *,
        guess: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._call = call
        self._records = records
        self._guess = guess
        self._chunk_bytes = CHUNK_BYTES
        self._shuffles = False

    @property
    def batch(self) -> int | None:
        """The most ids in one request."""
        return CHUNK

    def sight(self, data: Job) -> Sighting[Job]:
        """What a full snapshot shows."""
        return sight(data)

    # -- single reads

    async def read(self, key: Key) -> Sighting[Job]:
        """Read one job in full; without a confirmed submitter, through the listing."""
        record = self._records(key)
        if record.scope is not None and record.scope_sure:
            return sight(await self._call.value(endpoints.ADMIN_GET_JOB, record.scope, key))
        row = endpoints.ADMIN_GET_JOBS
        found, _ = await self._call.value(row, *arguments(row, job_id=key))
        job = next((job for job in found if job.id == key), None)
        if job is None:
            raise api_error(404, operation=row.name, reason="no job has this id")
        self._confirm(record, job.submitter_id)
        return sight(job)

    @staticmethod
    def _confirm(record: Record[Job], submitter_id: str | None) -> None:
        if submitter_id is not None:
            record.scope, record.scope_sure = submitter_id, True

    async def finish(self, keys: Collection[Key]) -> Mapping[Key, Sighting[Job] | Exception]:
        """Read jobs in full that have ended: many of one submitter and status, from the listing."""
        results: dict[Key, Sighting[Job] | Exception] = {}
        groups: dict[tuple[str, str], set[Key]] = defaultdict(set)
        for key in keys:
            record = self._records(key)
            if record.scope is not None and record.newest is not None:
                groups[record.scope, record.newest.raw_status].add(key)
        # The largest come first, for a refusal ends it.
        for (submitter, status), group in sorted(groups.items(), key=lambda it: -len(it[1])):
            if len(group) > FEW:
                try:
                    results.update(await self._listed(submitter, status, group))
                except JobkitError as error:  # the service throttles: single reads would not help
                    results.update(dict.fromkeys(set(keys) - results.keys(), error))
                    break
        return results

    async def _listed(
        self, submitter: str, status: str, wanted: set[Key]
    ) -> dict[Key, Sighting[Job]]:
        """Those of the wanted jobs that stand among the newest endings of a kind.

        They may be spread among the endings of others: pages are read as long as each saves more
        than :data:`FEW` single reads.

        Raises:
            JobkitError: The service throttles.
        """
        row = endpoints.ADMIN_GET_JOBS
        found: dict[Key, Sighting[Job]] = {}
        offset = 0
        while len(found) < len(wanted):
            try:
                answer = await self._call.answer(
                    row,
                    *arguments(
                        row,
                        submitter_id=submitter,
                        status=status,
                        sort="-finished_time",
                        offset=offset,
                        limit=CHUNK,
                    ),
                )
                page = _skim.all(answer.body, operation=row.name)
            except JobkitError as error:
                if throttles(error):
                    raise
                break  # the rest is read one by one, where an error has a job to belong to
            here = _sight_some(page, wanted)
            more = here.keys() - found.keys()
            found.update(here)
            offset += len(page.rows)
            if len(page.rows) < CHUNK or len(more) <= FEW:
                break
        return found

    # -- statuses of many

    async def observe(self, asks: Mapping[Key, Ask]) -> Observed[Job]:
        """Ask for the statuses of these jobs, submitter by submitter."""
        groups: dict[tuple[str | None, bool], list[Key]] = defaultdict(list)
        records = {key: self._records(key) for key in asks}
        if any(record.scope is None for record in records.values()):
            guess = await self._guessed()
            for record in records.values():
                record.scope = guess if record.scope is None else record.scope
        for key, record in records.items():
            groups[record.scope, record.scope_sure].append(key)
        alone = groups.pop((None, False), [])
        look = _Look(records)
        chunks: list[tuple[str, tuple[Key, ...]]] = []
        for (submitter, _), keys in groups.items():
            if self._shuffles:
                self._call.rng.shuffle(keys)
            if submitter is not None:
                chunks += [(submitter, chunk) for chunk in self._chunks(keys)]
        self._shuffles = False
        await fan_out(lambda chunk: self._chunk(look, *chunk), chunks, limit=PARALLEL)
        return Observed(
            seen=look.seen,
            missing=[*alone, *look.missing],
            failed=look.failed,
            cost=look.cost,
        )

    async def _guessed(self) -> str | None:
        """The submitter to try; None, and not an error, where it cannot be told."""
        try:
            return await self._guess()
        except JobkitError:
            return None

    def _chunks(self, keys: Iterable[Key]) -> list[tuple[Key, ...]]:
        chunks: list[tuple[Key, ...]] = []
        chunk: list[Key] = []
        size = 0
        for key in keys:
            # Nearly all ids are of letters and digits, and there may be thousands of them.
            plain = key.isascii() and key.isalnum()
            length = (len(key) if plain else len(quote(key, safe=""))) + 1
            if chunk and (len(chunk) == CHUNK or size + length > self._chunk_bytes):
                chunks.append(tuple(chunk))
                chunk, size = [], 0
            chunk.append(key)
            size += length
        if chunk:
            chunks.append(tuple(chunk))
        return chunks

    async def _chunk(self, look: _Look, submitter: str, keys: tuple[Key, ...]) -> None:
        """Ask for one chunk; where it is refused as a whole, find the ids that spoil it."""
        parts = [keys]
        while parts:
            errors = await asyncio.gather(*(self._ask(look, submitter, part) for part in parts))
            refused = [
                (part, error)
                for part, error in zip(parts, errors, strict=True)
                if error is not None
            ]
            # Where every quarter is refused it is not for one odd id: the service refuses all, or
            # there are many. The next look mixes them, so that a part without any turns up.
            hopeless = len(refused) == len(parts) >= QUARTERS
            self._shuffles = self._shuffles or hopeless
            parts = []
            for part, error in refused:
                guessed = not any(self._records(key).scope_sure for key in part)
                if guessed and isinstance(error, Forbidden):
                    look.missing.extend(part)  # through the listing, which needs no submitter
                elif isinstance(error, NotFound) and (hopeless or len(part) == 1):
                    look.missing.extend(part)
                elif hopeless or len(part) == 1:
                    look.failed.update(dict.fromkeys(part, error))
                else:
                    parts += [part[: len(part) // 2], part[len(part) // 2 :]]

    async def _ask(self, look: _Look, submitter: str, keys: tuple[Key, ...]) -> ApiError | None:
        """Ask for the statuses of some jobs.

        Returns:
            The error, if it may be the fault of a single id among them.
        """
        if look.refusal is not None:
            look.failed.update(dict.fromkeys(keys, look.refusal))
            return None
        look.cost += 1
        row = endpoints.ADMIN_GET_JOB_STATUSES
        try:
            answer = await self._call.answer(row, submitter, keys)
            words = codec.decode(answer.body, dict[str, Any], operation=row.name)
        except Exception as error:  # noqa: BLE001 - belongs to these jobs only
            if isinstance(error, ApiError) and error.status == TOO_LONG:
                self._chunk_bytes = max(SMALLEST_CHUNK, self._chunk_bytes // 2)
            guessed = not any(self._records(key).scope_sure for key in keys)
            if isinstance(error, Forbidden) and guessed:
                return error
            if isinstance(error, ApiError) and _may_be_one_id(error):
                return error
            if throttles(error):
                look.refusal = error
            look.failed.update(dict.fromkeys(keys, error))
            return None
        for key in keys:
            word = words.get(key)
            if isinstance(word, str):
                look.seen[key] = _KNOWN.get(word) or _made_of(word)
                look.records[key].scope_sure = True
            else:
                look.missing.append(key)
        return None


def _may_be_one_id(error: ApiError) -> bool:
    """Whether a single odd id, or their number, can be why many were refused."""
    hint: float | None = getattr(error, "retry_after", None)
    return error.status in (400, 404, TOO_LONG, 422, 500) and hint is None


class _Look:
    """What the chunks of one look have told so far, and what is known of its jobs."""

    def __init__(self, records: Mapping[Key, Record[Job]]) -> None:
        self.records = records
        self.seen: dict[Key, Sighting[Job]] = {}
        self.missing: list[Key] = []
        self.failed: dict[Key, Exception] = {}
        self.cost = 0
        self.refusal: Exception | None = None
