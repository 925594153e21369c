"""Listings to decode: jobs with the members and values that the embedded servers send.

They are the same every time. In a ``mixed`` listing half of the jobs have succeeded, one in ten has
failed, one waits and three run. In an ``alive`` one all run, and in a ``later`` one as well, where
one in ten has been written to since.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Literal

__all__ = ["SERVICES", "Kind", "body", "job_id", "statuses"]

Kind = Literal["mixed", "alive", "later"]

PHASES: Final = ("pending", *["running"] * 3, *["succeeded"] * 5, "failed")
"""Of ten jobs in a mixed listing."""
COLUMNS: Final = 20
"""Columns in the mapping of an EcoTaxa import."""
FAILURE: Final = "the file has no such column: object_lat"


def body(service: str, kind: Kind, jobs: int) -> bytes:
    """The body of an answer that lists so many jobs."""
    rows = [
        SERVICES[service](
            index,
            PHASES[index % 10] if kind == "mixed" else "running",
            int(kind == "later" and index % 10 == 0),
        )
        for index in range(jobs)
    ]
    shapes: dict[str, Any] = {
        "bsubio": {"success": True, "data": {"jobs": rows, "total": jobs}},
        "vidispine": {"hits": jobs, "job": rows},
    }
    return json.dumps(shapes.get(service, rows)).encode()


def statuses(ids: tuple[str, ...], kind: Kind = "alive") -> bytes:
    """Leia's answer to the question for the statuses of jobs that run."""
    words = dict.fromkeys(ids, "LOADING_MODEL")
    if kind == "later":
        words |= dict.fromkeys(ids[::10], "PROCESSING")
    return json.dumps(words).encode()


def job_id(service: str, index: int) -> Any:
    """The id of the job at this place of a listing."""
    ids: dict[str, Any] = {
        "bsubio": f"5f0c1a2e-7d41-4222-8333-{index:012d}",
        "ecotaxa": index + 1,
        "leia": f"5dceca1246eac2df{index:08x}",
        "vidispine": f"VX-{index + 1}",
    }
    return ids[service]


def _bsubio(index: int, phase: str, later: int) -> dict[str, Any]:
    started, ended = phase != "pending", phase in ("succeeded", "failed")
    words = {"succeeded": "finished", "failed": "failed", "running": "processing"}
    return {
        "id": job_id("bsubio", index),
        "status": words.get(phase, "pending"),
        "type": "pdf/extract",
        "user_id": "usr-1",
        "data_size": 1000 + index,
        "claimed_by": f"worker-{index % 8}" if started else None,
        "error_code": "EFAILED" if phase == "failed" else None,
        "error_message": FAILURE if phase == "failed" else None,
        "created_at": _date(0, index),
        "updated_at": _date(2 + later, index),
        "claimed_at": _date(1, index) if started else None,
        "finished_at": _date(2, index) if ended else None,
    }


def _ecotaxa(index: int, phase: str, later: int) -> dict[str, Any]:
    done = phase == "succeeded"
    words = {"pending": "P", "running": "R", "succeeded": "F", "failed": "E"}
    messages = {"running": f"Working on row {index}", "succeeded": "Done", "failed": FAILURE}
    return {
        "id": job_id("ecotaxa", index),
        "owner_id": 760,
        "type": "FileImport",
        "params": {"prj_id": 4711, "req": {"source_path": f"/import/{index}.zip", "taxo": {}}},
        "result": {"rowcount": index} if done else {},
        "errors": ["Traceback (most recent call last):", FAILURE] if phase == "failed" else [],
        "question": {},
        "reply": {},
        "inside": {"mapping": {f"object_{n:03}": f"n{n:03}" for n in range(COLUMNS)}},
        "state": words[phase],
        "step": None,
        "progress_pct": 100 if done else None if phase == "pending" else (index + later) % 100,
        "progress_msg": messages.get(phase),
        "creation_date": _date(0, index).removesuffix("Z") + "456",
        "updated_on": _date(2 + later, index).removesuffix("Z") + "321",
    }


def _leia(index: int, phase: str, _: int) -> dict[str, Any]:
    started, done = phase != "pending", phase == "succeeded"
    words = {"succeeded": "PROCESSED", "failed": "FAILED", "running": "PROCESSING"}
    return {
        "id": job_id("leia", index),
        "status": words.get(phase, "READY"),
        "job_type": "predict",
        "application_id": "5dceca1246eac2df484031ab",
        "document_ids": [f"5dceca1246eac2d0{index:08x}"],
        "model_id": "5dceca1246eac2df484031ac",
        "execute_after_id": None,
        "parent_job_id": None,
        "callback_url": None,
        "page_range": None,
        "creation_time": _date(0, index),
        "starting_time": _date(1, index) if started else None,
        "finished_time": _date(2, index) if done or phase == "failed" else None,
        "reason": FAILURE if phase == "failed" else None,
        "http_code": 500 if phase == "failed" else None,
        "result_type": "classification" if done else None,
        "result": {"category": "invoice", "accuracy": 0.97, "score": 0.93} if done else None,
        "ws_id": "ws-1",
        "submitter_id": "app-1",
    }


def _vidispine(index: int, phase: str, later: int) -> dict[str, Any]:
    words = {"pending": "READY", "running": "STARTED", "succeeded": "FINISHED"}
    job: dict[str, Any] = {
        "jobId": job_id("vidispine", index),
        "status": words.get(phase, "FAILED_TOTAL"),
        "type": "TRANSCODE",
        "priority": "MEDIUM",
        "user": "admin",
        "data": [{"key": "item", "value": f"VX-{index}"}, {"key": "tags", "value": "lowres"}],
    }
    if phase == "pending":
        return job
    steps = 3 if phase == "succeeded" else 1 + index % 3
    tasks = [_task(index, step, "FINISHED") for step in range(1, steps + 1)]
    last = tasks[-1]
    if phase == "running":
        last["status"] = "STARTED"
        last["progress"]["value"] = float((index + later) % 100)
    if phase == "failed":
        last |= {"status": "FAILED_TOTAL", "errorMessage": FAILURE}
        job["data"].append({"key": "errorMessage", "value": FAILURE})
    if phase != "running":
        job["finished"] = _vidispine_date(2, index)
    step = {"number": steps, "status": last["status"], "description": last["description"]}
    return job | {
        "started": _vidispine_date(1, index),
        "currentStep": step,
        "totalSteps": 3,
        "log": {"task": tasks},
    }


def _task(index: int, step: int, status: str) -> dict[str, Any]:
    return {
        "id": 3 * index + step,
        "step": step,
        "attempts": 1,
        "status": status,
        "timestamp": _vidispine_date(1, index + step),
        "description": ("Prepare", "Process", "Store")[step - 1],
        "progress": {"value": 100.0, "total": 100, "unit": "percent"},
    }


def _date(hour: int, index: int) -> str:
    return f"2026-03-01T{10 + hour}:{index // 60 % 60:02}:{index % 60:02}.{index % 1000:03}Z"


def _vidispine_date(hour: int, index: int) -> str:
    return _date(hour, index).replace("Z", "+0000")


SERVICES: Final[dict[str, Callable[[int, str, int], dict[str, Any]]]] = {
    "bsubio": _bsubio,
    "ecotaxa": _ecotaxa,
    "leia": _leia,
    "vidispine": _vidispine,
}
