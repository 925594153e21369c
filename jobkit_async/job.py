"""Handles of remote jobs."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Generic, Literal, NoReturn, Protocol, TypeVar

import attrs

from jobkit_async.checks import check_seconds
from jobkit_async.endpoint import Endpoint
from jobkit_async.errors import (
    ClientClosed,
    InvalidArgument,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobkitError,
    JobLost,
    JobNeedsInput,
    NotFound,
    PollingFailed,
    WaitTimeout,
)
from jobkit_async.polling.record import Record
from jobkit_async.polling.source import Sighting
from jobkit_async.polling.tracker import Tracker
from jobkit_async.polling.watch import Verdict, VerdictKind, Watch
from jobkit_async.refs import Ref
from jobkit_async.states import JobState
from jobkit_async.transfer import Download

__all__ = ["Home", "Job", "JobUpdate", "OnInput"]

DataT = TypeVar("DataT")
DataT_co = TypeVar("DataT_co", covariant=True)

OnInput = Literal["raise", "keep"]
"""What a wait does with a job that needs input: end, or go on waiting."""

_ENDS: Final = {
    VerdictKind.SUCCEEDED: JobState.SUCCEEDED,
    VerdictKind.FAILED: JobState.FAILED,
    VerdictKind.CANCELLED: JobState.CANCELLED,
}


class Home(Protocol[DataT]):
    """What a handle needs of the client that it came from."""

    @property
    def service(self) -> str:
        """Name of the service."""
        ...

    @property
    def deployment(self) -> str:
        """Digest of the base URL."""
        ...

    @property
    def _tracker(self) -> Tracker[DataT]:
        """Follows the client's jobs."""
        ...

    def _check(self) -> None:
        """Raise unless the client can be used now, from here."""

    async def _call(self, row: Endpoint, *arguments: Any) -> Any:
        """Carry an operation out; the decoded value."""
        ...

    async def _start(self, row: Endpoint, *arguments: Any) -> Any:
        """Carry an operation out whose answer is a job; its handle."""
        ...

    async def _download(self, row: Endpoint, *arguments: Any) -> Download:
        """Carry an operation out whose answer is a file."""
        ...

    async def _scope(self) -> str | None:
        """What else the service needs to find a job of which it is not known."""
        ...

    async def _look(self, record: Record[DataT]) -> Sighting[DataT]:
        """Read a job in full, and note what was seen in its record."""
        ...


@attrs.frozen(kw_only=True)
class JobUpdate:
    """A change that was seen of a job.

    Attributes:
        state: Where the job stands.
        raw_status: The service's own word for it.
        progress: From 0 to 1, or None where the service does not tell.
        message: A line for people, or None.
        at: When it was seen, by this machine's clock.
    """

    state: JobState
    raw_status: str
    progress: float | None
    message: str | None
    at: datetime


class Job(ABC, Generic[DataT_co]):
    """A handle of one remote job.

    Handles are cheap, and equal if they are of the same job. All handles of a job that one client
    gave out share what is known of it. They are made by the client, by its operations, or by
    ``client.job(...)`` and ``client.job_from_ref(...)``.
    """

    __slots__ = ("_home", "_record")

    service: ClassVar[str]
    """Name of the service."""

    def __init__(self, home: Home[DataT_co], record: Record[DataT_co]) -> None:
        self._home = home
        self._record = record

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._record.key} {self.state.value}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Job):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, str, Any]:
        return (self.service, self._home.deployment, self._record.key)

    # -- what is known; no I/O

    @property
    @abstractmethod
    def id(self) -> str | int:
        """The job's id."""

    @property
    def ref(self) -> str:
        """A reference that takes the job up again in any process; it holds no secrets."""
        record, created = self._record, self.created_at
        epoch = None if created is None else int(created.timestamp())
        return str(
            Ref(
                self.service,
                self._home.deployment,
                str(record.key),
                record.scope,
                epoch if epoch is not None and 0 <= epoch < 10**10 else None,
            )
        )

    @property
    def state(self) -> JobState:
        """Where the job stands, by the newest observation; ``UNKNOWN`` before the first."""
        newest = self._record.newest
        return JobState.UNKNOWN if newest is None else newest.state

    @property
    def raw_status(self) -> str | None:
        """The service's own word for :attr:`state`."""
        newest = self._record.newest
        return None if newest is None else newest.raw_status

    @property
    def progress(self) -> float | None:
        """From 0 to 1, or None where the service does not tell."""
        newest = self._record.newest
        return None if newest is None else newest.progress

    @property
    def message(self) -> str | None:
        """A line for people, or None."""
        newest = self._record.newest
        return None if newest is None else newest.message

    @property
    def created_at(self) -> datetime | None:
        """When the job was created, by the service's clock, in UTC; None where not known."""
        return self._record.created_at

    @property
    def data(self) -> DataT_co | None:
        """The newest full snapshot, the service's own model; it may be older than :attr:`state`."""
        return self._record.data

    @property
    def data_at(self) -> datetime | None:
        """When :attr:`data` was received, by this machine's clock, in UTC."""
        return self._record.data_at

    def time_left(self) -> float | None:
        """About how many seconds the job has left; no I/O.

        It is the median by what this client has seen of jobs of its type and by the job's
        progress, so as many jobs take longer as do not.

        Returns:
            The seconds, or None where nothing tells, or where the job is not known to be on its
            way: before it was seen, at its end, or where it needs input.
        """
        if self._record.alive_at is None:
            return None
        return self._home._tracker.time_left(self._record)

    # -- the remote job

    async def refresh(self) -> DataT_co:
        """Read the job now.

        Returns:
            The full snapshot, the service's own model.

        Raises:
            NotFound: The service does not know the job.
            JobkitError: The read failed.
        """
        self._home._check()
        sighting = await self._home._look(self._record)
        assert sighting.data is not None  # noqa: S101 - a full read has one
        return sighting.data

    async def wait(
        self, timeout: float | None = None, *, check: bool = True, on_input: OnInput = "raise"
    ) -> DataT_co:
        """Wait for the job's end.

        Any number of waits for any number of jobs share their status requests. Giving up (by
        ``timeout`` or by cancelling the task) leaves the remote job and all other waits alone.

        Args:
            timeout: Seconds; 0 is one look, None waits for as long as it takes.
            check: Whether a job that failed or was cancelled raises. Otherwise its snapshot is
                returned too.
            on_input: Whether a job that needs input raises (``"raise"``), or the wait goes on
                until somebody has provided it (``"keep"``).

        Returns:
            A full snapshot that was read at the job's end or later, the service's own model.

        Raises:
            JobFailed: The job failed.
            JobCancelled: The job was cancelled.
            JobNeedsInput: The job will not go on by itself.
            JobLost: The service no longer knows the job.
            WaitTimeout: The time is over, and the job goes on.
            PollingFailed: The job could not be followed any longer.
            ClientClosed: The client is closed.
            InvalidArgument: An argument is out of bounds.
        """
        check_timeout(timeout)
        if on_input not in ("raise", "keep"):
            raise InvalidArgument("on_input", f"'raise' or 'keep' is due, not {on_input!r}")
        verdict = self._known_end()
        if verdict is None:
            self._home._check()
            future = asyncio.get_running_loop().create_future()
            watch = self._watch(_Answer(future), timeout=timeout, keep_input=on_input == "keep")
            try:
                verdict = await future
            finally:
                self._home._tracker.unwatch(watch)
        error = self._error(verdict)
        ended = verdict.kind in (VerdictKind.FAILED, VerdictKind.CANCELLED)
        data = self._result(verdict)
        if data is not None and (error is None or (ended and not check)):
            return data
        raise error or PollingFailed(f"{self._name} ended without a snapshot", ref=self.ref)

    async def updates(self) -> AsyncGenerator[JobUpdate, None]:
        """Follow the job's changes.

        The first update is what is seen first; each change is told once. A reader that is slower
        than the job misses what lies between. The iteration ends when the job has ended or needs
        input. Whoever leaves it early closes it, so that nothing is polled for nobody::

            async with aclosing(job.updates()) as updates:
                async for update in updates:
                    ...

        Raises:
            JobLost: The service no longer knows the job.
            PollingFailed: The job could not be followed any longer.
            ClientClosed: The client is closed.
        """
        newest = self._record.newest
        if self._known_end() is not None and newest is not None:
            yield _update(newest)
            return
        self._home._check()
        bell = asyncio.Event()
        news: list[Sighting[DataT_co]] = []
        end: list[Verdict[DataT_co]] = []

        def on_update(sighting: Sighting[DataT_co]) -> None:
            news[:] = [sighting]
            bell.set()

        def notify(verdict: Verdict[DataT_co]) -> None:
            end.append(verdict)
            bell.set()

        watch = self._watch(notify, on_update=on_update)
        try:
            while not end or news:
                await bell.wait()
                bell.clear()
                if news:
                    yield _update(news.pop())
            error = self._error(end[0])
            if isinstance(error, JobLost | PollingFailed | ClientClosed):
                raise error
        finally:
            self._home._tracker.unwatch(watch)

    async def cancel(self) -> None:
        """Cancel the remote job.

        Returns once the service has accepted it, also if the job was cancelled before; the job
        may take a while to stop, which :meth:`wait` waits for.

        Raises:
            JobEnded: The job has ended otherwise.
            JobkitError: The service refused, or could not be reached.
        """
        self._home._check()
        await self._cancel()

    @abstractmethod
    async def _cancel(self) -> None:
        """The service's own way of cancelling."""

    def _ended(self, how: str = "") -> NoReturn:
        raise JobEnded(
            how or f"{self._name} has ended already ({self.raw_status})",
            ref=self.ref,
            snapshot=self.data,
        )

    async def _look_for_end(self) -> Sighting[DataT_co] | None:
        """Look at the job before or after cancelling it; None if the service does not know it."""
        try:
            return await self._home._look(self._record)
        except NotFound:
            return None

    # -- waiting, for here and waiting.py

    @property
    def _name(self) -> str:
        return f"{self.service} job {self._record.key}"

    def _known_end(self) -> Verdict[DataT_co] | None:
        """The end that is known already, and final."""
        newest = self._record.newest
        if newest is None or not self._record.over:
            return None
        kind = next(kind for kind, state in _ENDS.items() if state is newest.state)
        return Verdict(kind, newest)

    def _watch(
        self,
        notify: Callable[[Verdict[DataT_co]], None],
        *,
        timeout: float | None = None,
        keep_input: bool = False,
        on_update: Callable[[Sighting[DataT_co]], None] | None = None,
    ) -> Watch[DataT_co]:
        return self._home._tracker.watch(
            self._record,
            notify,
            timeout=timeout,
            keep_input=keep_input,
            on_update=on_update,
        )

    def _result(self, verdict: Verdict[DataT_co]) -> DataT_co | None:
        sighting = verdict.sighting
        return self.data if sighting is None or sighting.data is None else sighting.data

    def _error(self, verdict: Verdict[DataT_co]) -> JobkitError | None:
        """The exception that a verdict amounts to; None for success."""
        kind, sighting, name = verdict.kind, verdict.sighting, self._name
        if kind is VerdictKind.SUCCEEDED:
            return None
        if kind is VerdictKind.CLOSED:
            return ClientClosed(f"the client was closed while {name} was awaited")
        ref, snapshot = self.ref, self._result(verdict)
        error: JobkitError
        if kind is VerdictKind.FAILED:
            reason = sighting.reason if sighting is not None else None
            error = JobFailed(
                f"{name} failed: {reason or 'the service gives no reason'}",
                ref=ref,
                snapshot=snapshot,
                reason=reason,
            )
        elif kind is VerdictKind.CANCELLED:
            error = JobCancelled(f"{name} was cancelled", ref=ref, snapshot=snapshot)
        elif kind is VerdictKind.NEEDS_INPUT and sighting is not None:
            needs = sighting.needs.value if sighting.needs is not None else ""
            error = JobNeedsInput(
                f"{name} needs input before it goes on: {needs}",
                ref=ref,
                snapshot=snapshot,
                needs=needs,
                question=sighting.question,
            )
        elif kind is VerdictKind.TIMEOUT:
            seen = "it was not seen" if sighting is None else f"it is {sighting.raw_status!r}"
            trouble = f"; {verdict.problem}" if verdict.problem else ""
            error = WaitTimeout(
                f"{name} has not ended in time: {seen}{trouble}", ref=ref, snapshot=snapshot
            )
        elif kind is VerdictKind.LOST:
            error = JobLost(f"{name} is lost: {verdict.problem}", ref=ref, snapshot=snapshot)
        else:
            error = PollingFailed(
                f"{name} could not be followed: {verdict.problem}", ref=ref, snapshot=snapshot
            )
        error.__cause__ = verdict.cause
        return error


class _Answer:
    """Hands a verdict to the task that waits for it; takes less memory than a closure."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Verdict[Any]]) -> None:
        self._future = future

    def __call__(self, verdict: Verdict[Any]) -> None:
        if not self._future.done():
            self._future.set_result(verdict)


def _update(sighting: Sighting[Any]) -> JobUpdate:
    return JobUpdate(
        state=sighting.state,
        raw_status=sighting.raw_status,
        progress=sighting.progress,
        message=sighting.message,
        at=datetime.now(UTC),
    )


def check_timeout(timeout: object) -> None:
    """See that this is a wait's timeout: None, or seconds from 0 on.

    Raises:
        InvalidArgument: It is not.
    """
    if timeout is not None:
        check_seconds("timeout", timeout, zero=True, infinite=True)
