"""What the embedded Vidispine answers: the documents of jobs, of their tasks, and of problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from jobkit_async.fakes.clock import Clock
from jobkit_async.services.vidispine.fake.jobs import OVER, SUCCEEDED, FakeVidispineJob
from jobkit_async.services.vidispine.models import JobStatus as S
from jobkit_async.services.vidispine.models import StepStatus

__all__ = [
    "date_of",
    "full",
    "job_document",
    "metadata_of",
    "notification_document",
    "problem_list",
]

_STILL: Mapping[str, S] = {
    S.WAITING: S.WAITING,
    S.ABORTED_PENDING: S.ABORTED_PENDING,
    S.ABORTED: S.ABORTED_PENDING,
}
"""Where a job's work stands still: the status since which it does."""
_STEP_STATUS: Mapping[str, StepStatus] = {
    S.WAITING: StepStatus.WAITING,
    S.FINISHED: StepStatus.FINISHED,
    S.FINISHED_WARNING: StepStatus.FINISHED,
    S.FAILED_TOTAL: StepStatus.FAILED_TOTAL,
    S.ABORTED: StepStatus.DISAPPEARED,
}
"""The status of a job's last step. What is said of a step whose task was killed is not known."""
_STEPS = ("Prepare", "Process", "Store")
_STORAGE = "VX-1"
"""The storage that waiting jobs wait for."""


def job_document(
    job: FakeVidispineJob,
    clock: Clock,
    *,
    data: Callable[[str], bool] | None = None,
    log: bool = False,
) -> dict[str, Any]:
    """A job as of now; ``data`` tells which metadata to show, ``log`` whether to show its tasks."""
    now = clock.time()
    at, status = job.timeline.at(now)
    start = job.started(now)
    document: dict[str, Any] = {
        "jobId": job.id,
        "status": status,
        "type": job.type,
        "priority": job.priority,
        "user": job.user,
        "started": _iso(start, clock),
        "finished": _iso(at, clock) if status in OVER else None,
    }
    if start is not None:
        tasks = _tasks(job, start, now, clock)
        last = tasks[-1]
        document["currentStep"] = {
            "number": last["step"],
            "status": last["status"],
            "description": last["description"],
        }
        document["totalSteps"] = len(_STEPS)
        if log:
            document["log"] = {"task": tasks}
    if status == S.WAITING:
        document["waiting"] = {
            "resourceType": "storage",
            "resourceId": _STORAGE,
            "requirement": "online",
        }
    if data is not None:
        entries = metadata_of(job, status)
        if "itemId" in entries:
            # The service makes this one up as it answers, so it cannot be filtered by.
            entries["item"] = entries["itemId"]
        document["data"] = _key_values({k: v for k, v in entries.items() if data(k)})
    return full(document)


def _tasks(job: FakeVidispineJob, start: float, now: float, clock: Clock) -> list[dict[str, Any]]:
    status = job.timeline.status(now)
    still = job.timeline.since(now, _STILL[status]) if status in _STILL else None
    moment = min(now, job.end[0]) if still is None else still
    length = job.plan.running / len(_STEPS)
    at_step = int((moment - start) / length) if length else len(_STEPS)
    tasks: list[dict[str, Any]] = []
    for index, description in enumerate(_STEPS[: at_step + 1]):
        begin = start + index * length
        percent = 100 * (moment - begin) / length if index == at_step else 100.0
        tasks.append(
            {
                "id": job.number * len(_STEPS) + index,
                "step": index + 1,
                "attempts": 1,
                "status": StepStatus.FINISHED,
                "timestamp": _iso(begin, clock),
                "description": description,
                "progress": {"value": round(percent, 3), "total": 100, "unit": "percent"},
            }
        )
    tasks[-1]["status"] = _STEP_STATUS.get(status, StepStatus.STARTED)
    if status == S.FAILED_TOTAL:
        tasks[-1]["errorMessage"] = job.plan.message
    return tasks


def problem_list(jobs: Iterable[FakeVidispineJob], now: float) -> dict[str, Any]:
    """The problems that jobs wait for."""
    problems = [
        {
            "id": job.number,
            "type": "StorageOffline",
            "job": [job.id],
            "data": _key_values({"storage": _STORAGE}),
        }
        for job in jobs
        if not job.removed and job.timeline.status(now) == S.WAITING
    ]
    return full({"problem": problems})


def notification_document(
    job: FakeVidispineJob, at: float, status: str, action: str, number: int, clock: Clock
) -> dict[str, Any]:
    """What is posted about a job that got a status at a time: keys and values, all of them texts.

    ``number`` tells the order of those about one job.
    """
    fields = {
        "jobId": job.id,
        "action": action,
        "status": status,
        "type": job.type,
        "user": job.user,
        "sequenceNumber": str(number),
        "totalSteps": str(len(_STEPS)),
    }
    start = job.started(at)
    if start is not None:
        fields["started"] = date_of(start, clock).isoformat(timespec="milliseconds")
        fields["started"] = fields["started"].replace("+00:00", "Z")
    return {"field": _key_values({**metadata_of(job, status), **fields})}


def metadata_of(job: FakeVidispineJob, status: str) -> dict[str, str]:
    """All metadata of a job in this status that listings can filter by."""
    data = dict(job.metadata)
    if status in SUCCEEDED:
        data.setdefault("itemId", f"VX-{job.number}")
    if status == S.FAILED_TOTAL:
        data["errorMessage"] = job.plan.message
    return data


def date_of(at: float, clock: Clock) -> datetime:
    """The date of a loop time, as it goes out."""
    date = clock.date(at)
    # Dates go out in milliseconds, and filters by them must find what they were read from.
    return date.replace(microsecond=date.microsecond // 1000 * 1000)


def _iso(at: float | None, clock: Clock) -> str | None:
    if at is None:
        return None
    return date_of(at, clock).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def _key_values(data: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": text} for key, text in data.items()]


def full(document: dict[str, Any]) -> dict[str, Any]:
    """Without the members that say nothing: the service leaves them out."""
    return {name: member for name, member in document.items() if member not in (None, [])}
