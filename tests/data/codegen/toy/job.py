"""The handle of the made-up service."""

from __future__ import annotations

from jobkit_async.job import Job

from . import models


class ToyJob(Job[models.Task]):
    """A toy job."""
