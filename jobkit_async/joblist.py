"""Handles from a listing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

from jobkit_async.job import Job

__all__ = ["JobList"]

JobT_co = TypeVar("JobT_co", bound=Job[Any], covariant=True)


class JobList(Sequence[JobT_co]):
    """Handles from a listing, in its order.

    Attributes:
        total: How many jobs match in all, where the service tells; a listing may be cut.
    """

    __slots__ = ("_jobs", "total")

    def __init__(self, jobs: Sequence[JobT_co], *, total: int | None = None) -> None:
        self._jobs = tuple(jobs)
        self.total = total

    def __repr__(self) -> str:
        return f"<JobList of {len(self)} jobs, total {self.total}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JobList):
            return self._jobs == other._jobs and self.total == other.total
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal lists may hold handles that change

    def __len__(self) -> int:
        return len(self._jobs)

    @overload
    def __getitem__(self, index: int) -> JobT_co: ...
    @overload
    def __getitem__(self, index: slice) -> JobList[JobT_co]: ...
    def __getitem__(self, index: int | slice) -> JobT_co | JobList[JobT_co]:
        if isinstance(index, slice):
            return JobList(self._jobs[index], total=self.total)
        return self._jobs[index]
