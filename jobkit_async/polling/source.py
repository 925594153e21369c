"""The protocol by which a service observes many jobs, and what an observation is.

Public for authors of services, see ``docs/own_service.md``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import anyio
import attrs

from jobkit_async.errors import RateLimited, hint_of
from jobkit_async.states import JobState, Need

__all__ = ["Ask", "Key", "Observed", "Sighting", "Source", "fan_out", "throttles"]

DataT = TypeVar("DataT")
ItemT = TypeVar("ItemT")
ValueT = TypeVar("ValueT")
Key = Any
"""What identifies a job to its service: a str or an int."""


@attrs.frozen(kw_only=True)
class Sighting(Generic[DataT]):
    """One observation of one job, in words that all services share.

    Attributes:
        state: Where the job stands.
        raw_status: The service's own word for it.
        progress: From 0 to 1, or None where the service does not tell.
        message: A line for people, or None.
        kind: Type of the job; jobs of one type are alike.
        created_at: When the job was created, by the service's clock.
        started_at: When it began to run, by the same clock.
        ended_at: When it ended, by the same clock.
        needs: What it waits for, in state ``NEEDS_INPUT``.
        question: What it asks, where it asks.
        reason: Cause of a failure, where the service tells one.
        mark: Something that changes whenever the service writes to the job, or None.
        final: Whether this end can never be undone.
        cancels: Whether this failure is what a cancelled job looks like on this service.
        data: The full snapshot, if the observation carried it.
    """

    state: JobState
    raw_status: str
    progress: float | None = None
    message: str | None = None
    kind: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    needs: Need | None = None
    question: Any = None
    reason: str | None = None
    mark: Any = None
    final: bool = False
    cancels: bool = False
    data: DataT | None = attrs.field(default=None, repr=False)

    @property
    def lacks_data(self) -> bool:
        """Whether it shows an end without the snapshot of that end."""
        return self.state.ended and self.data is None


class Ask(Protocol):
    """What a source may know of a job that it is to look at."""

    @property
    def seen_at(self) -> float | None:
        """Loop time at which the last sighting's request left; None if there was none."""
        ...

    @property
    def alive_at(self) -> float | None:
        """Loop time as of which the job is known to be on its way; None if it may need input."""
        ...

    @property
    def newest(self) -> Sighting[Any] | None:
        """The last sighting, which a source may give again where nothing has changed since."""
        ...

    @property
    def detail(self) -> bool:
        """Whether somebody watches the way and not only the end."""
        ...


@attrs.frozen(kw_only=True)
class Observed(Generic[DataT]):
    """What one look at many jobs told.

    A job in none of the three has not ended, as far as the look can tell.

    Attributes:
        seen: The jobs that were sighted.
        missing: Jobs that the look should have shown and did not: to be read one by one.
        failed: Jobs whose part of the look failed, and how.
        cost: Number of requests that the look itself took; reads of missing jobs are not in it.
    """

    seen: Mapping[Key, Sighting[DataT]] = attrs.field(factory=dict)
    missing: Iterable[Key] = ()
    failed: Mapping[Key, Exception] = attrs.field(factory=dict)
    cost: int = 1


class Source(Protocol[DataT]):
    """How a service observes many jobs."""

    @property
    def batch(self) -> int | None:
        """How many jobs one request answers for; None if one answers for all of them."""
        ...

    def sight(self, data: DataT) -> Sighting[DataT]:
        """What a full snapshot shows."""
        ...

    async def observe(self, asks: Mapping[Key, Ask]) -> Observed[DataT]:
        """Look at these jobs, by as few requests as it takes.

        Raises:
            JobkitError: The look failed for all of them.
        """
        ...

    async def read(self, key: Key) -> Sighting[DataT]:
        """Read one job in full.

        Raises:
            NotFound: The service does not know it.
            JobkitError: The read failed.
        """
        ...

    async def finish(self, keys: Collection[Key]) -> Mapping[Key, Sighting[DataT] | Exception]:
        """Read jobs in full that were sighted at their end without a snapshot.

        Returns:
            What can be had by fewer requests than jobs; the others will be read one by one.
        """
        ...


def throttles(error: Exception) -> bool:
    """Whether the service has answered that it wants fewer requests for now."""
    return isinstance(error, RateLimited) or hint_of(error) is not None


async def fan_out(
    call: Callable[[ItemT], Awaitable[ValueT]], items: Iterable[ItemT], *, limit: int = 8
) -> dict[ItemT, ValueT | Exception]:
    """Call a function for each item, a few at a time.

    Once the service throttles, nothing more is begun: the rest has the same error for its result.

    Args:
        call: The function; what it raises becomes its item's result.
        items: Its arguments.
        limit: How many calls may be under way at once.

    Returns:
        The results by item.
    """
    results: dict[ItemT, ValueT | Exception] = {}
    rest = iter(list(items))
    refusal: Exception | None = None

    async def work() -> None:
        nonlocal refusal
        for item in rest:
            if refusal is not None:
                results[item] = refusal
                continue
            try:
                results[item] = await call(item)
            except Exception as error:  # noqa: BLE001 - handed to the caller
                results[item] = error
                refusal = error if throttles(error) else refusal

    async with anyio.create_task_group() as group:
        for _ in range(limit):
            group.start_soon(work)
    return results
