"""What the embedded Leia answers: the documents of jobs, of their results, and of models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from jobkit_async.fakes.clock import Clock
from jobkit_async.services.leia import models
from jobkit_async.services.leia.fake.jobs import OVER, TRAIN, FakeLeiaJob, FakeLeiaModel

__all__ = [
    "APPLICATION_ID",
    "application_document",
    "fields_of",
    "job_document",
    "model_document",
    "part_document",
    "prediction",
    "result_document",
]

S = models.Statuses

APPLICATION_ID: Final = "app-1"
"""Id of the one application that can log in."""


def application_document(api_key: str) -> dict[str, Any]:
    """The one application, which ``api_key`` logs in."""
    return {
        "id": APPLICATION_ID,
        "application_name": "Embedded",
        "application_type": models.ApplicationTypes.ADMIN,
        "first_name": "Ada",
        "last_name": "Example",
        "email": "ada@leia.example",
        "api_key": api_key,
        "creation_time": "2018-11-07T16:02:29.761Z",
        "default_job_callback_url": None,
        "dedicated_workers": False,
        "job_counts": {},
    }


def job_document(job: FakeLeiaJob, clock: Clock, *, tells_submitter: bool) -> dict[str, Any]:
    """A job as of now. Not all servers tell the submitter."""
    now = clock.time()
    since, status = job.timeline.at(now)
    document: dict[str, Any] = {
        "id": job.id,
        "status": status,
        "job_type": job.job_type,
        "application_id": job.application_id,
        "document_ids": job.document_ids,
        "model_id": job.model_id,
        "execute_after_id": job.execute_after_id,
        "parent_job_id": job.parent_job_id,
        "callback_url": job.callback_url,
        "page_range": job.page_range,
        "creation_time": _date_of(clock, job.created),
        "starting_time": _date_of(clock, job.timeline.since(now, S.STARTING)),
        "finished_time": _date_of(clock, since) if status in OVER else None,
        "reason": None,
        "http_code": None,
        "result_type": None,
        "result": None,
        "ws_id": "ws-1",
    }
    if tells_submitter:
        document["submitter_id"] = job.submitter_id
    if status == S.PROCESSED:
        document |= {"result_type": job.result_type, "result": result_document(job, clock)}
    elif status == S.FAILED and job.timeline.since(now, S.READY) is None:
        document |= {"reason": f"job {job.execute_after_id} failed", "http_code": 400}
    elif status == S.FAILED:
        document |= {"reason": job.plan.message, "http_code": 500}
    return document


def result_document(job: FakeLeiaJob, clock: Clock) -> Any:
    """What a job results in: a training in its model."""
    return model_document(job.model, clock) if job.job_type == TRAIN else job.result


def prediction(format_type: str | None, document_ids: list[str]) -> tuple[str | None, Any]:
    """Type and value of a prediction. None of the documented types fits key-value items."""
    if format_type == models.FormatTypes.CLASSIFICATION:
        category = {"category": "invoice", "accuracy": 0.97, "score": 0.93}
        return models.ResultTypes.CLASSIFICATION, category
    return None, [{"key": "document", "value": document_id} for document_id in document_ids]


def part_document(
    job: FakeLeiaJob, part: Mapping[str, Any], clock: Clock, new_id: Callable[[], str]
) -> dict[str, Any]:
    """What a part of a conditional job results in; ``new_id`` gives made documents their ids."""
    document_ids = part.get("document_ids") or job.document_ids
    if part.get("job_type") != models.JobTypes.TRANSFORM:
        kind, result = prediction(part.get("format_type"), document_ids)
        return {"result_type": kind, "result": result}
    made = [
        {
            "id": new_id(),
            "application_id": job.application_id,
            "creation_time": _iso(clock.date(job.created)),
            "filename": f"{document_id}.{part.get('output_type')}",
            "original_id": document_id,
        }
        for document_id in document_ids
    ]
    return {"result_type": models.ResultTypes.LIST_DOCUMENT, "result": made}


def fields_of(result: Any) -> Mapping[str, Any]:
    """The fields of a result that conditions can name."""
    return result if isinstance(result, dict) else {item["key"]: item["value"] for item in result}


def model_document(model: FakeLeiaModel | None, clock: Clock) -> dict[str, Any]:
    """A model as of now; empty where there is none."""
    if model is None:
        return {}
    since = model.since(clock.time())
    return {
        "id": model.id,
        "name": model.name,
        "short_name": model.short_name,
        "application_id": model.application_id,
        "model_type": model.model_type,
        "model_module": model.model_module,
        "model_clazz": "Model",
        "input_types": model.input_types,
        "output_format": ["key", "value"],
        "creation_time": _date_of(clock, model.created if since is None else since),
        "description": model.description,
        "size": len(model.contents),
        "md5sum": hashlib.md5(model.contents, usedforsecurity=False).hexdigest(),
        "speed": models.Speed.FAST,
        "tags": model.tags,
        "ttl": model.ttl,
        "allowed_application_ids": model.allowed_application_ids,
        "allow_all_applications": model.allow_all_applications,
    }


def _date_of(clock: Clock, at: float | None) -> str | None:
    return None if at is None else _iso(clock.date(at))


def _iso(date: datetime) -> str:
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")
