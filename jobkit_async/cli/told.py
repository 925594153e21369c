"""How ends of jobs are told: in lines for people, and in lines of JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import attrs
import click

from jobkit_async import codec
from jobkit_async.cli.common import span
from jobkit_async.errors import JobkitError
from jobkit_async.job import Job

__all__ = ["JsonLines", "Lines", "News", "Teller", "age_of"]


@attrs.frozen
class News:
    """The end of a wait.

    Attributes:
        job: The job.
        error: What the wait raised, or None.
        at: When that was.
    """

    job: Job[Any]
    error: JobkitError | None = None
    at: datetime = attrs.field(factory=lambda: datetime.now(UTC))


def age_of(job: Job[Any], at: datetime | None = None) -> float | None:
    """Seconds since a job was created; None where that is not known.

    Args:
        job: The job.
        at: The moment to count to; by default now.
    """
    if job.created_at is None:
        return None
    return max(0.0, ((at or datetime.now(UTC)) - job.created_at).total_seconds())


class Teller:
    """Is told of ends; this one keeps them to itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def ended(self, news: News) -> None:
        """A wait has ended."""

    def draw(self) -> None:
        """Some time has gone by."""


class Lines(Teller):
    """A line for each job: its id, its state, its age, and why it did not succeed."""

    def ended(self, news: News) -> None:
        job = news.job
        words = [str(job.id), str(job.state), span(age_of(job, news.at)), str(news.error or "")]
        click.echo(" ".join(" ".join(filter(None, words)).split()))


class JsonLines(Teller):
    """A JSON object for each job, with its newest snapshot."""

    def ended(self, news: News) -> None:
        job, error = news.job, news.error
        document = {
            "service": job.service,
            "id": job.id,
            "ref": job.ref,
            "state": job.state,
            "status": job.raw_status,
            "error": None
            if error is None
            else {"type": type(error).__name__, "message": str(error)},
            "data": codec.plain(job.data),
        }
        click.echo(json.dumps(document, ensure_ascii=False))
