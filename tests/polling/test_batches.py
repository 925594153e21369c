"""A source made of one row: chunks, odd ids, odd jobs, a service that wants fewer requests."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from jobkit_async import ApiError, DecodeError, JobState, NotFound
from jobkit_async.answer import Answer
from jobkit_async.endpoint import POST, SAFE, Endpoint, body, jobs
from jobkit_async.errors import api_error
from jobkit_async.model import camel
from jobkit_async.polling.batches import BatchSource
from jobkit_async.polling.source import Sighting

pytestmark = pytest.mark.looptime


@attrs.frozen(kw_only=True, field_transformer=camel)
class Snapshot:
    job_id: str
    status: str


ROW = Endpoint(
    "describe",
    POST,
    "/describe",
    body("ids", dict, doc="Ids.", required=True),
    returns=jobs(Snapshot, at="found.jobs", key=("job_id",)),
    repeat=SAFE,
    summary="Describe jobs.",
)


def sight(data: Snapshot) -> Sighting[Snapshot]:
    return Sighting(state=JobState.RUNNING, raw_status=data.status, data=data)


class Service:
    """Stands in for a caller: knows what it is asked, and answers as ``refuse`` lets it."""

    def __init__(self, refuse: Callable[[Sequence[str]], Exception | None]) -> None:
        self.asked: list[list[str]] = []
        self.rng = random.Random(1)
        self._refuse = refuse

    async def answer(self, row: Endpoint, ids: dict[str, list[str]]) -> Answer:
        assert row is ROW
        self.asked.append(ids["ids"])
        error = self._refuse(ids["ids"])
        if error is not None:
            raise error
        found = [self.document(key) for key in ids["ids"] if "unknown" not in key]
        return Answer(200, {}, json.dumps({"found": {"jobs": [*found, stranger()]}}).encode())

    def document(self, key: str) -> dict[str, Any]:
        return {"jobId": key, "status": 7 if "broken" in key else "up"}


def stranger() -> dict[str, Any]:
    return {"jobId": "nobody asked", "status": "up"}


def source_of(
    refuse: Callable[[Sequence[str]], Exception | None] = lambda ids: None, batch: int = 100
) -> tuple[BatchSource[Snapshot], Service]:
    service: Any = Service(refuse)
    return (
        BatchSource(service, ROW, arguments=lambda ids: ({"ids": ids},), sight=sight, batch=batch),
        service,
    )


def asks(*keys: str) -> dict[str, Any]:
    return {key: SimpleNamespace(seen_at=None, alive_at=None, detail=False) for key in keys}


def many(count: int) -> list[str]:
    return [f"job-{number}" for number in range(count)]


def bad_for(word: str, status: int = 400) -> Callable[[Sequence[str]], Exception | None]:
    """Refuses what has an id with this word in it."""

    def refuse(ids: Sequence[str]) -> Exception | None:
        odd = any(word in key for key in ids)
        return api_error(status, operation="describe", reason="odd id") if odd else None

    return refuse


async def test_chunks_are_as_large_as_they_may_be() -> None:
    source, service = source_of()
    observed = await source.observe(asks(*many(250)))
    assert [len(ids) for ids in service.asked] == [100, 100, 50]
    assert set(observed.seen) == set(many(250))
    assert (observed.missing, observed.failed, observed.cost) == ([], {}, 3)
    assert observed.seen["job-7"].data == Snapshot(job_id="job-7", status="up")
    assert source.batch == 100
    assert await source.finish(["job-7"]) == {}


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_one_odd_id_harms_no_other(status: int) -> None:
    source, service = source_of(bad_for("odd", status))
    observed = await source.observe(asks(*many(60), "odd", *many(99)[60:]))
    assert set(observed.seen) == set(many(99))
    # What is not found is read alone, and becomes a NotFound there.
    assert (observed.missing, [*observed.failed]) == (
        (["odd"], []) if status == 404 else ([], ["odd"])
    )
    assert observed.cost == len(service.asked) <= 16


async def test_a_service_that_refuses_everything_is_not_asked_for_each() -> None:
    source, service = source_of(bad_for("job"))
    observed = await source.observe(asks(*many(100)))
    assert set(observed.failed) == set(many(100))
    assert len(service.asked) == 1 + 2 + 4


async def test_many_odd_ids_are_found_in_a_few_looks() -> None:
    odd = [f"odd-{number}" for number in range(5)]
    source, _ = source_of(bad_for("odd"))
    keys = many(95)
    for place, key in enumerate(odd):  # one in each quarter
        keys.insert(place * 20, key)
    seen: set[str] = set()
    for _ in range(8):
        seen |= set((await source.observe(asks(*keys))).seen)
    assert seen == set(many(95))


async def test_unknown_jobs_are_missing_and_odd_ones_fail_alone() -> None:
    source, _ = source_of()
    observed = await source.observe(asks("job-1", "unknown-2", "broken-3"))
    assert set(observed.seen) == {"job-1"}
    assert observed.missing == ["unknown-2"]
    assert isinstance(observed.failed["broken-3"], DecodeError)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_service_that_wants_fewer_requests_gets_no_more(status: int) -> None:
    refusal = api_error(status, operation="describe", reason="slow down", retry_after=5.0)
    source, service = source_of(lambda ids: refusal, batch=10)
    observed = await source.observe(asks(*many(200)))
    assert set(observed.failed) == set(many(200))
    assert len(service.asked) <= 4  # those that were under way


async def test_what_is_no_answer_fails_its_chunk() -> None:
    error = ValueError("garbage")
    source, service = source_of(lambda ids: error if "job-0" in ids else None, batch=10)
    observed = await source.observe(asks(*many(20)))
    assert observed.failed == dict.fromkeys(many(10), error)
    assert set(observed.seen) == set(many(20)[10:])
    assert len(service.asked) == 2


async def test_single_reads() -> None:
    source, service = source_of(bad_for("odd"))
    assert (await source.read("job-1")).raw_status == "up"
    assert service.asked == [["job-1"]]
    with pytest.raises(NotFound, match="no job has this id"):
        await source.read("unknown-2")
    with pytest.raises(DecodeError):
        await source.read("broken-3")
    with pytest.raises(ApiError, match="odd id"):
        await source.read("odd")
