"""The listings of the embedded Leia: filters, order and pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from aiohttp import web

from jobkit_async.fakes.clock import Clock
from jobkit_async.fakes.server import Refusal
from jobkit_async.services.leia import models
from jobkit_async.services.leia.fake.arguments import (
    check_word,
    date_from,
    flag_from,
    number_from,
)
from jobkit_async.services.leia.fake.documents import APPLICATION_ID
from jobkit_async.services.leia.fake.jobs import OVER, FakeLeiaJob, FakeLeiaModel

__all__ = ["find_jobs", "find_models", "page_of"]

S = models.Statuses
T = TypeVar("T")

PAGE: Final = 20
"""Length of a page where no limit is given; the service's own is not documented."""
MOST: Final = 100
"""Length of the longest page, as the header ``Accept-Range`` tells it."""

_JOB_FILTERS: Final = (
    "submitter_id",
    "application_id",
    "job_type",
    "model_id",
    "execute_after_id",
    "parent_job_id",
    "status",
)
_JOB_TIMES: Final = ("creation_time", "starting_time", "finished_time")
_JOB_SORT: Final = {*_JOB_FILTERS, *_JOB_TIMES, "document_ids"} - {"execute_after_id"}
_MODEL_FILTERS: Final = ("model_type", "name", "short_name")
_MODEL_SORT: Final = ("application_id", "creation_time", "name", "description", "model_type")


def find_jobs(
    jobs: Mapping[str, FakeLeiaJob], request: web.Request, clock: Clock
) -> list[FakeLeiaJob]:
    """The jobs that a query asks for, in its order."""
    query, now = request.query, clock.time()
    check_word(query.get("job_type"), models.JobTypes)
    check_word(query.get("status"), S)
    wanted = [(name, query[name]) for name in _JOB_FILTERS if name in query]
    document_id = query.get("document_id")
    created = _created(query, clock)
    # The listing of one job stands in for reading it, so it does not look at all of them.
    some: Iterable[FakeLeiaJob] = jobs.values()
    if "job_id" in query:
        some = [job for job in [jobs.get(query["job_id"])] if job is not None]
    found = [
        job
        for job in some
        if all(_job_field(job, name, now) == value for name, value in wanted)
        and (document_id is None or document_id in job.document_ids)
        and created(job.created)
    ]
    _sort(query, _JOB_SORT, found, lambda job, name: _job_field(job, name, now))
    return found


def find_models(
    held: Mapping[str, FakeLeiaModel], request: web.Request, clock: Clock
) -> list[FakeLeiaModel]:
    """The models that a query asks for, in its order."""
    query, now = request.query, clock.time()
    check_word(query.get("model_type"), models.ModelTypes)
    for word in query.getall("input_types", []):
        check_word(word, models.ModelInputTypes)
    wanted = [(name, query[name]) for name in _MODEL_FILTERS if name in query]
    owner = query.get("application_id")
    only_mine = flag_from(query.get("only_mine", False))
    created = _created(query, clock)

    def fits(model: FakeLeiaModel) -> bool:
        since = model.since(now)
        if since is None or not created(since):
            return False
        if only_mine and model.application_id != (owner or APPLICATION_ID):
            return False
        return (
            query.get("model_id") in (None, model.id)
            and (owner is None or model.usable_by(owner))
            and all(getattr(model, name) == value for name, value in wanted)
            and query.get("description", "") in (model.description or "")
            and set(query.getall("input_types", [])) <= set(model.input_types)
            and set(query.getall("tags", [])) <= set(model.tags)
        )

    def field(model: FakeLeiaModel, name: str) -> Any:
        return model.since(now) if name == "creation_time" else getattr(model, name)

    found = [model for model in held.values() if fits(model)]
    _sort(query, _MODEL_SORT, found, field)
    return found


def page_of(
    query: Mapping[str, str], unit: str, found: list[T], document: Callable[[T], dict[str, Any]]
) -> web.Response:
    """One page of what was found, or the refusal of an empty one."""
    offset = number_from(query.get("offset", "0"), least=0)
    limit = min(number_from(query.get("limit", str(PAGE)), least=1), MOST)
    page = found[offset : offset + limit]
    headers = {"Content-Range": "0-0/0", "Accept-Range": f"{unit} {MOST}"}
    if not page:
        raise Refusal(404, f"no {unit} found", headers=headers)
    headers["Content-Range"] = f"{offset}-{offset + len(page) - 1}/{len(found)}"
    return web.json_response([document(item) for item in page], headers=headers)


def _created(query: Mapping[str, str], clock: Clock) -> Callable[[float], bool]:
    after, before = date_from(query.get("created_after")), date_from(query.get("created_before"))

    def fits(created: float) -> bool:
        if after is None and before is None:
            return True
        date = clock.date(created)
        return (after is None or date > after) and (before is None or date < before)

    return fits


def _job_field(job: FakeLeiaJob, name: str, now: float) -> Any:
    match name:
        case "status":
            return job.timeline.status(now)
        case "creation_time":
            return job.created
        case "starting_time":
            return job.timeline.since(now, S.STARTING)
        case "finished_time":
            return job.timeline.since(now, *OVER)
        case _:
            return getattr(job, name)


def _sort(
    query: Mapping[str, str], allowed: Iterable[str], found: list[T], field: Callable[[T, str], Any]
) -> None:
    def by(name: str) -> Callable[[T], tuple[bool, Any]]:
        def key(item: T) -> tuple[bool, Any]:
            given = field(item, name)
            return given is not None, given

        return key

    # Sorting is stable: by the last field first, by the first field last.
    for text in reversed([part for part in query.get("sort", "").split(",") if part]):
        name = text.removeprefix("-")
        if name not in allowed:
            raise Refusal(400, f"cannot sort by {name!r}")
        found.sort(key=by(name), reverse=text.startswith("-"))
