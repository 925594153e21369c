"""The runs of a job of the embedded EcoTaxa: to a question, to the end, or to a kill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from jobkit_async.fakes.timeline import Plan
from jobkit_async.services.ecotaxa.fake.files import ROWS
from jobkit_async.services.ecotaxa.fake.jobs import FakeEcotaxaJob, Step, Write
from jobkit_async.services.ecotaxa.models import DBJobState as S
from jobkit_async.services.ecotaxa.models import JobType

__all__ = ["asking", "attempt", "crash", "kill", "question_of", "unanswered"]

_VALIDATING = (JobType.FILE_IMPORT, JobType.SIMPLE_IMPORT)
"""Types that fail with complaints about the data; others fail with a traceback."""


def question_of(plan: Plan) -> dict[str, Any]:
    """What a job asks by its plan; empty if nothing."""
    if plan.outcome != "question":
        return {}
    return {"missing_users": ["Jane Doe"], "missing_taxa": ["Calanoida"]}


def unanswered(question: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """The question less what the reply answers; empty if that is all of it."""
    left: dict[str, Any] = {}
    for key, asked in question.items():
        answer = reply.get(key.removeprefix("missing_"))
        if isinstance(asked, list):
            known = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
            left[key] = [name for name in cast("list[str]", asked) if known.get(name) is None]
        else:
            left[key] = asked if answer is None else None
    return left if any(left.values()) else {}


def attempt(job: FakeEcotaxaJob, *, begin: int = 0) -> list[Step]:
    """A run from ``begin`` percent on: to the question if there is one, else to the end."""
    end = 50 if job.asks else 100
    job.span = (begin, end)
    job.stretch = job.plan.running * (end - begin) / 100
    state, changes = asking(job) if job.asks else _end(job)
    return [(job.plan.queued, S.RUNNING, {}), (job.stretch, state, changes)]


def _end(job: FakeEcotaxaJob) -> Write:
    if job.plan.outcome != "failure":
        result: dict[str, Any] = {"rowcount": ROWS.count("\n") - 1}
        if job.file_name is not None:
            result["out_file"] = job.file_name
        return S.FINISHED, {
            "progress_pct": 100,
            "progress_msg": "Done",
            "result": result,
            "errors": [],
        }
    if job.type in _VALIDATING:
        lines = job.plan.message.splitlines()
        message = f"{len(lines)} error(s) during run"
        return S.ERROR, {"progress_pct": 99, "progress_msg": message, "errors": lines}
    state, changes = crash(job.plan.message)
    return state, {"progress_pct": 99, **changes}


def asking(job: FakeEcotaxaJob) -> Write:
    """The stop at a question."""
    return S.ASKING, {"question": job.asks, "progress_pct": 50, "progress_msg": "Asking"}


def crash(message: str) -> Write:
    """The end by an error that nobody foresaw."""
    lines = ["Traceback (most recent call last):", *f"RuntimeError: {message}".splitlines()]
    return S.ERROR, {"progress_msg": message, "errors": lines}


def kill(job: FakeEcotaxaJob, now: float) -> None:
    """End a job by force."""
    job.killed = True
    job.plan_anew(now, [(0.0, S.ERROR, {"progress_msg": "Killed"})])
