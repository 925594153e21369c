"""How EcoTaxa's jobs are observed: by its listing, which is complete and shows full jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

import attrs

from jobkit_async import codec
from jobkit_async.caller import Caller
from jobkit_async.errors import AnswerTooLarge, DecodeError, RequestTimeout, ServerError
from jobkit_async.model import aware
from jobkit_async.polling.source import Ask, Key, Observed, Sighting
from jobkit_async.services.ecotaxa import endpoints
from jobkit_async.services.ecotaxa.models import DBJobState as S
from jobkit_async.services.ecotaxa.models import JobModel
from jobkit_async.states import JobState, Need

__all__ = ["KILLED", "STATES", "EcotaxaSource", "sight"]

_log = logging.getLogger("jobkit_async.polling")

STATES: Final[Mapping[str, JobState]] = {
    S.PENDING: JobState.PENDING,
    S.RUNNING: JobState.RUNNING,
    S.ASKING: JobState.NEEDS_INPUT,
    S.ERROR: JobState.FAILED,
    S.FINISHED: JobState.SUCCEEDED,
}
KILLED: Final = "Killed"
"""The ``progress_msg`` of a job that was erased before its end."""
FEW: Final = 20
"""So many jobs are read one by one where the listing fails, which may be for its size."""
SLICE: Final = 512
"""Jobs that are looked at before the event loop gets its turn."""
IN_FULL: Final = 8
"""As how many more of these a job counts that is decoded in full, for it takes as much time."""


@attrs.frozen(kw_only=True)
class _Row:
    """What polling needs of a job; a snapshot has it too."""

    id: int
    state: str | None = None
    updated_on: datetime | None = None
    creation_date: datetime | None = None
    type: str | None = None
    progress_pct: float | None = None
    progress_msg: str | None = None


_skim = codec.Skimmer(_Row)
_IN_FULL: Final = frozenset({S.FINISHED, S.ERROR, S.ASKING})
"""Where somebody will want the full snapshot: at an end, or for a question."""


def sight(data: JobModel) -> Sighting[JobModel]:
    """What a job's snapshot shows."""
    return _sight(data, data)


def _sight(row: _Row | JobModel, data: JobModel | None) -> Sighting[JobModel]:
    word = row.state or ""
    state = STATES.get(word, JobState.UNKNOWN)
    reason = None
    if state is JobState.FAILED:
        reason = row.progress_msg or (data.errors[-1] if data is not None and data.errors else None)
    return Sighting(
        state=state,
        raw_status=word,
        progress=_progress(row),
        message=row.progress_msg,
        kind=row.type,
        created_at=_date(row.creation_date),
        ended_at=_date(row.updated_on) if state.ended else None,
        needs=Need.ANSWER if state is JobState.NEEDS_INPUT else None,
        question=data.question if data is not None and state is JobState.NEEDS_INPUT else None,
        reason=reason,
        mark=_mark(row.updated_on),
        final=state is JobState.SUCCEEDED,  # an error can be restarted
        cancels=state is JobState.FAILED and row.progress_msg == KILLED,
        data=data,
    )


def _progress(row: _Row | JobModel) -> float | None:
    percent = row.progress_pct
    if percent is None:
        return None
    return percent / 100.0 if 0.0 <= percent <= 100.0 else 0.0 if percent < 0.0 else 1.0


def _date(date: datetime | None) -> datetime | None:
    return None if date is None else aware(date)


def _mark(date: datetime | None) -> datetime | None:
    """A date that leaves UTC unsaid, as the service does: so most rows need no conversion."""
    return date if date is None or date.tzinfo is not UTC else date.replace(tzinfo=None)


class EcotaxaSource:
    """Observes the jobs of one EcoTaxa user.

    Args:
        call: Carries operations out.
        for_admin: Whether to list the jobs of all users, which takes an administrator.
    """

    def __init__(self, call: Caller, *, for_admin: bool = False) -> None:
        self._call = call
        self._for_admin = for_admin
        self._too_large = False

    @property
    def batch(self) -> int | None:
        """One listing answers for all jobs."""
        return None

    def sight(self, data: JobModel) -> Sighting[JobModel]:
        """What a full snapshot shows."""
        return sight(data)

    async def read(self, key: Key) -> Sighting[JobModel]:
        """Read one job in full."""
        return sight(await self._call.value(endpoints.GET_JOB, key))

    async def finish(self, keys: Collection[Key]) -> Mapping[Key, Sighting[JobModel] | Exception]:
        """Nothing: each job is read on its own."""
        return {}

    async def observe(self, asks: Mapping[Key, Ask]) -> Observed[JobModel]:
        """Look at the listing; a job that it lacks is to be read on its own."""
        if len(asks) <= 1 or self._too_large:
            return Observed(missing=list(asks), cost=0)
        try:
            answer = await self._call.answer(endpoints.LIST_JOBS, self._for_admin)
        except AnswerTooLarge as error:
            self._too_large = True
            _log.warning("ecotaxa: jobs are read one by one from now on: %s", error)
            return Observed(missing=list(asks))
        except (RequestTimeout, ServerError) as error:
            pause: float | None = getattr(error, "retry_after", None)
            if len(asks) > FEW or pause is not None:
                raise
            return Observed(missing=list(asks))
        seen: dict[Key, Sighting[JobModel]] = {}
        failed: dict[Key, Exception] = {}
        work = 0
        for part in _skim.slices(answer.body, operation="list_jobs"):
            for index, row in enumerate(part.rows):
                if row is not None and (ask := asks.get(row.id)) is not None:
                    if row.state not in _IN_FULL:
                        seen[row.id] = _sight_row(row, ask.newest)
                    else:
                        work += IN_FULL
                        try:
                            seen[row.id] = _sight_raw(part.raw(index))
                        except DecodeError as error:  # one odd job spoils nothing but itself
                            failed[row.id] = error
                work += 1
                if work >= SLICE:
                    work = 0
                    await asyncio.sleep(0)
        missing = [key for key in asks if key not in seen and key not in failed]
        return Observed(seen=seen, missing=missing, failed=failed)


def _sight_raw(raw: codec.Raw) -> Sighting[JobModel]:
    """What a row shows if it is decoded in full."""
    return sight(codec.decode(bytes(raw), JobModel, operation="list_jobs"))


def _sight_row(row: _Row, before: Sighting[JobModel] | None) -> Sighting[JobModel]:
    """What a row shows of a job on its way: the sighting before, if nothing has changed since."""
    if (
        before is not None
        and before.mark is not None
        and before.mark == _mark(row.updated_on)
        and before.raw_status == row.state
        and before.message == row.progress_msg
        and before.progress == _progress(row)
    ):
        return before
    return _sight(row, None)
