"""The jobs of the embedded Leia, and the models that they apply or train."""

from __future__ import annotations

import math
from typing import Any, Final

import attrs

from jobkit_async.fakes.timeline import Plan, Timeline
from jobkit_async.services.leia import models

__all__ = ["OVER", "TRAIN", "FakeLeiaJob", "FakeLeiaModel", "settle"]

S = models.Statuses

TRAIN: Final = "train"
OVER: Final = frozenset({S.PROCESSED, S.FAILED, S.CANCELED})


@attrs.define(eq=False, kw_only=True)
class FakeLeiaModel:
    """One model of the embedded server.

    ``trained_by`` is the job whose result it is: there is no model until that job is processed.
    """

    id: str
    name: str
    application_id: str
    created: float
    contents: bytes = attrs.field(repr=False)
    short_name: str | None = None
    description: str | None = None
    model_type: str = models.ModelTypes.KEY_VALUE_EXTRACTION
    model_module: str = "leia.models.generic"
    input_types: list[str] = attrs.field(factory=lambda: [str(models.ModelInputTypes.IMAGE)])
    tags: list[str] = attrs.field(factory=list)
    ttl: int = 200
    allowed_application_ids: list[str] = attrs.field(factory=list)
    allow_all_applications: bool = False
    trained_by: FakeLeiaJob | None = attrs.field(default=None, repr=False)

    def since(self, now: float) -> float | None:
        """Since when there is this model, as of ``now``; None if there is none yet."""
        if self.trained_by is None:
            return self.created
        return self.trained_by.timeline.since(now, S.PROCESSED)

    def usable_by(self, application_id: str) -> bool:
        """Whether an application owns it, or is allowed to use it."""
        return (
            self.allow_all_applications
            or application_id == self.application_id
            or application_id in self.allowed_application_ids
        )


@attrs.define(eq=False, kw_only=True)
class FakeLeiaJob:
    """One job of the embedded server.

    ``model`` is what it applies or trains, ``after`` the job that must be processed first, and
    ``dependents`` are the jobs that wait for this one.
    """

    id: str
    job_type: str
    submitter_id: str
    application_id: str
    document_ids: list[str]
    created: float
    plan: Plan
    timeline: Timeline
    model: FakeLeiaModel | None = attrs.field(default=None, repr=False)
    after: FakeLeiaJob | None = attrs.field(default=None, repr=False)
    dependents: list[FakeLeiaJob] = attrs.field(factory=list, repr=False)
    parent_job_id: str | None = None
    callback_url: str | None = None
    callback_headers: dict[str, str] = attrs.field(factory=dict, repr=False)
    called_back: bool = False
    page_range: str | None = None
    model_params: dict[str, Any] = attrs.field(factory=dict)
    result_type: str | None = None
    result: Any = attrs.field(default=None, repr=False)

    @property
    def model_id(self) -> str | None:
        """Id of the model that it applies; a training applies none."""
        return None if self.model is None or self.job_type == TRAIN else self.model.id

    @property
    def execute_after_id(self) -> str | None:
        """Id of the job that must be processed first."""
        return None if self.after is None else self.after.id

    def steps(self, now: float) -> list[tuple[float, str]]:
        """What will become of it from ``now`` on, as steps of a timeline; the first has no delay.

        A job that waits for another one learns its future from that one's plan. Where that one
        waits too, or is blocked, the future is open until :func:`settle` is called.
        """
        wait, came_to = 0.0, str(S.PROCESSED)
        if self.after is not None:
            at, came_to = self.after.timeline.at(math.inf)
            if came_to not in OVER:
                return [(0.0, S.WAITING)]
            wait = max(0.0, at - now)
        steps: list[tuple[float, str]] = [(0.0, S.WAITING)] if wait else []
        if came_to != S.PROCESSED:
            return [*steps, (wait, S.FAILED)]
        running = self.plan.running
        return [
            *steps,
            (wait, S.READY),
            (self.plan.queued, S.STARTING),
            (running * 0.05, S.LOADING_MODEL),
            (running * 0.05, S.PROCESSING),
            (running * 0.9, S.FAILED if self.plan.outcome == "failure" else S.PROCESSED),
        ]


def settle(job: FakeLeiaJob, now: float) -> list[FakeLeiaJob]:
    """Plan anew what waits for a job whose own future has changed; those for which that is so."""
    settled: list[FakeLeiaJob] = []
    some = list(job.dependents)
    while some:
        dependent = some.pop()
        if dependent.timeline.status(now) == S.WAITING:
            steps = dependent.steps(now)
            dependent.timeline.go(now, *(steps[1:] if steps[0][1] == S.WAITING else steps))
            settled.append(dependent)
            some += dependent.dependents
    return settled
