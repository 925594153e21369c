"""Waiting for many jobs at once, of any services and clients."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from asyncio import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import attrs

from jobkit_async.errors import InvalidArgument, JobError, JobkitError
from jobkit_async.job import Job, check_timeout
from jobkit_async.polling.turns import SLICE
from jobkit_async.polling.watch import Verdict, Watch
from jobkit_async.states import JobState

__all__ = ["AsCompleted", "Outcome", "as_completed", "wait_all"]

JobT = TypeVar("JobT", bound=Job[Any])


@attrs.frozen
class Outcome(Generic[JobT]):
    """How one of several waits ended.

    Attributes:
        job: The handle, as it was passed in.
        state: Where the job stands.
        data: The full snapshot read at its end, if it succeeded, failed or was cancelled.
        error: What :meth:`Job.wait` would have raised, or None.
        done: Whether the wait had ended; False for what :func:`wait_all` did not wait for.
    """

    job: JobT
    state: JobState
    data: Any = attrs.field(default=None, repr=False)
    error: JobkitError | None = None
    done: bool = True

    def unwrap(self) -> Any:
        """The snapshot of a job that succeeded.

        Raises:
            JobkitError: :attr:`error`, or that the wait had not ended.
        """
        if self.error is not None:
            raise self.error
        if not self.done:
            raise JobError(f"{self.job._name} was not waited for to its end", ref=self.job.ref)
        return self.data


def _outcome(job: JobT, verdict: Verdict[Any]) -> Outcome[JobT]:
    error = job._error(verdict)
    ended = job.state.ended
    return Outcome(job, job.state, job._result(verdict) if ended else None, error)


def _handles(jobs: Iterable[JobT]) -> list[JobT]:
    if not isinstance(jobs, Iterable):
        raise InvalidArgument("jobs", f"job handles are due, not {type(jobs).__name__}")
    handles = list(jobs)
    for job in handles:
        if not isinstance(job, Job):
            raise InvalidArgument("jobs", f"a job handle is due, not {type(job).__name__}")
    return handles


def _check(handles: Iterable[Job[Any]]) -> None:
    """Raise if the client of a job that has to be looked at cannot be used."""
    for job in handles:
        if job._known_end() is None:
            job._home._check()


_Watches = list[tuple[Job[Any], Watch[Any]]]


def _unwatch_some(watches: _Watches, most: int) -> None:
    for job, watch in watches[-most:]:
        job._home._tracker.unwatch(watch)
    del watches[-most:]


async def _unwatch(watches: _Watches) -> None:
    """Stop waiting, and return once that is done; where this is cancelled, the rest at once."""
    try:
        while len(watches) > SLICE:
            _unwatch_some(watches, SLICE)
            await asyncio.sleep(0)
    finally:
        _unwatch_some(watches, len(watches) or 1)


def _unwatch_soon(watches: _Watches) -> None:
    """Stop waiting: for some at once, for more of them as the event loop goes on."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # collected after its loop's end
        _unwatch_some(watches, len(watches) or 1)
        return
    _unwatch_some(watches, SLICE)
    if watches:
        loop.call_soon(_unwatch_soon, watches)


async def wait_all(
    jobs: Iterable[JobT],
    *,
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> list[Outcome[JobT]]:
    """Wait for several jobs together, of any services and clients.

    Args:
        jobs: Their handles.
        timeout: Seconds; 0 is one look at each, None waits for as long as it takes.
        return_when: One of asyncio's constants: ``ALL_COMPLETED``, ``FIRST_COMPLETED``, or
            ``FIRST_EXCEPTION``, which is the first wait that ends in an error.

    Returns:
        The outcomes in the order of the handles. No job's error is raised: it is in its outcome.

    Raises:
        ClientClosed: The client of a job is closed.
        InvalidArgument: An argument is out of bounds.
    """
    handles = _handles(jobs)
    check_timeout(timeout)
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise InvalidArgument("return_when", f"one of asyncio's constants, not {return_when!r}")
    outcomes: list[Outcome[JobT] | None] = [None] * len(handles)
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = len(handles)

    def settle(index: int, verdict: Verdict[Any]) -> None:
        nonlocal left
        outcome = outcomes[index] = _outcome(handles[index], verdict)
        left -= 1
        first = return_when == FIRST_COMPLETED or (
            return_when == FIRST_EXCEPTION and outcome.error is not None
        )
        if (first or not left) and not finished.done():
            finished.set_result(None)

    _check(handles)
    watches: _Watches = []
    try:
        for index, job in enumerate(handles):
            if index % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            end = job._known_end()
            if end is not None:
                settle(index, end)
            else:
                watches.append((job, job._watch(partial(settle, index), timeout=timeout)))
        if left and not finished.done():
            await finished
    finally:
        await _unwatch(watches)
    results: list[Outcome[JobT]] = []
    for job, outcome in zip(handles, outcomes, strict=True):
        if len(results) % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        results.append(outcome or Outcome(job, job.state, done=False))
    return results


class AsCompleted(Generic[JobT]):
    """Outcomes of several waits as they come; made by :func:`as_completed`."""

    def __init__(self, jobs: Iterable[JobT]) -> None:
        self._ready: deque[Outcome[JobT]] = deque()
        self._waits: dict[JobT, Watch[Any]] = {}
        self._coming: dict[JobT, None] = {}
        self._error: Exception | None = None
        self._bell = asyncio.Event()
        handles = _handles(jobs)
        _check(handles)
        self._coming = dict.fromkeys(handles)
        try:
            self._begin_some()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<AsCompleted: {len(self._ready)} ready, {len(self) - len(self._ready)} to come>"

    def __len__(self) -> int:
        return len(self._ready) + len(self._waits) + len(self._coming)

    def add(self, job: JobT) -> None:
        """Wait for one more job; a job that is waited for already is not added twice.

        A job that needed input can be added again once it has been provided.

        Raises:
            ClientClosed: Its client is closed.
            InvalidArgument: It is no job handle.
        """
        (handle,) = _handles([job])
        if handle not in self._waits and handle not in self._coming:
            _check([handle])
            self._begin(handle)

    def _begin_some(self) -> None:
        """Begin some of the waits, and the rest of them as the event loop goes on."""
        for job in list(itertools.islice(self._coming, SLICE)):
            del self._coming[job]
            self._begin(job)
        if self._coming:
            asyncio.get_running_loop().call_soon(_begin_more, weakref.ref(self))

    def _begin(self, handle: JobT) -> None:
        end = handle._known_end()
        if end is not None:
            self._settle(handle, end)
            return
        myself = weakref.ref(self)  # what is thrown away must not be kept by those it waits for

        def notify(verdict: Verdict[Any]) -> None:
            waiting = myself()
            if waiting is not None and waiting._waits.pop(handle, None) is not None:
                waiting._settle(handle, verdict)

        self._waits[handle] = handle._watch(notify)

    def _settle(self, job: JobT, verdict: Verdict[Any]) -> None:
        self._ready.append(_outcome(job, verdict))
        self._bell.set()

    def close(self) -> None:
        """Stop waiting for what has not come yet. Can be repeated."""
        _unwatch_soon(self._let_go())

    def _let_go(self) -> _Watches:
        waits, self._waits, self._coming = self._waits, {}, {}
        self._bell.set()
        return list(waits.items())

    def __del__(self) -> None:
        # Left early without 'async with': nothing must go on being polled for nobody.
        if getattr(self, "_waits", None):
            self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await _unwatch(self._let_go())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[JobT]:
        while not self._ready:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if not self._waits and not self._coming:
                raise StopAsyncIteration
            self._bell.clear()
            await self._bell.wait()
        return self._ready.popleft()


def _begin_more(myself: Callable[[], AsCompleted[Any] | None]) -> None:
    waiting = myself()
    if waiting is None:
        return
    try:
        waiting._begin_some()
    except Exception as error:  # noqa: BLE001 - as of a policy, and told to whoever reads
        waiting._error = error
        waiting.close()


def as_completed(jobs: Iterable[JobT] = ()) -> AsCompleted[JobT]:
    """Wait for several jobs together, of any services and clients, and take them as they end.

    ::

        async with as_completed(jobs) as outcomes:
            async for outcome in outcomes:
                print(outcome.job, outcome.state)

    A wait that ends otherwise is an outcome too: a job that needs input, is lost, or whose client
    was closed. Leaving early leaves the remote jobs alone. Jobs can be added on the way.

    Args:
        jobs: Their handles.

    Raises:
        ClientClosed: The client of a job is closed.
        InvalidArgument: One of them is no job handle.
    """
    return AsCompleted(jobs)
