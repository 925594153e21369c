"""Reads of single jobs, beside the poll loop: a slow answer holds up nobody but its own job."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import attrs

from jobkit_async.errors import hint_of
from jobkit_async.polling.source import Key, Sighting, Source, throttles
from jobkit_async.polling.turns import SLICE, TICK

__all__ = ["ReadResult", "Reads"]

DataT = TypeVar("DataT")

PARALLEL: Final = 8
"""Reads that are under way at once; as many again may be for those in haste."""


@attrs.frozen
class ReadResult(Generic[DataT]):
    """What the read of one job has come to.

    Attributes:
        asked_at: Loop time at which it left.
        came_at: Loop time of the answer; the same for those that came together.
        result: What it showed, or how it failed.
    """

    asked_at: float
    came_at: float
    result: Sighting[DataT] | Exception


class Reads(Generic[DataT]):
    """Reads jobs, a few at a time; those that have ended come first.

    Once the service throttles, nothing more is begun: the rest has the same error for its result.

    Args:
        source: Reads them.
        took: Called with results as they come, those of one moment together.
        broke: Called if a task of this breaks, or is cancelled by others.
        gap: Seconds from one read to the next at least; reads of ends are not held back.
        name: Name of the service, for the tasks.
    """

    def __init__(
        self,
        source: Source[DataT],
        took: Callable[[Mapping[Key, ReadResult[DataT]]], None],
        broke: Callable[[BaseException], None],
        *,
        gap: float = 0.0,
        name: str,
    ) -> None:
        self._source = source
        self._took = took
        self._broke = broke
        self._gap = gap
        self._name = name
        self._held: set[Key] = set()
        self._ends: list[Key] = []
        self._queue: OrderedDict[Key, bool] = OrderedDict()  # and whether it has ended
        self._results: dict[Key, ReadResult[DataT]] = {}
        self._seen_ended: set[Key] = set()
        self._passed_over: dict[Key, None] = {}  # by a refusal; they come first the next time
        self._refused_until = -math.inf
        self._refusal: Exception | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._handing_over: asyncio.Handle | None = None
        self._next = 0.0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Reads of {len(self._held)} jobs, {len(self._queue)} of them waiting>"

    def __contains__(self, key: Key) -> bool:
        """Whether a job is being read, or is to be, or the result is yet to be handed over."""
        return key in self._held

    @property
    def idle(self) -> bool:
        """Whether all reads have begun."""
        return not self._queue

    def finish(self, keys: Iterable[Key]) -> None:
        """Have jobs read in full that have ended, by few requests where the source knows how."""
        new = [key for key in keys if key not in self._held]
        self._held.update(new)
        self._ends += new
        if self._is_refused():
            return
        if self._ends and (self._finishing is None or self._finishing.done()):
            self._finishing = self._begin(self._finish())

    def read(self, keys: Iterable[Key], *, ended: bool = False, first: bool = False) -> int:
        """Have jobs read, one by one.

        Args:
            keys: The jobs; those that are held already are left out.
            ended: Whether they have ended.
            first: Whether they come before those that wait already.

        Returns:
            Number of jobs that were not held already.
        """
        keys = list(keys)
        if first:
            self.hurry(keys)
        new = [key for key in keys if key not in self._held]
        self._enqueue(new, ended=ended, first=first)
        return len(new)

    def hurry(self, keys: Iterable[Key]) -> None:
        """Let jobs that are to be read already come before the others, and not wait for these."""
        waiting = [key for key in keys if key in self._queue]
        self._advance(waiting)
        self._begin_workers(len(waiting), 2 * PARALLEL, most=1)

    def _advance(self, keys: Iterable[Key]) -> None:
        for key in reversed([*keys]):
            self._queue.move_to_end(key, last=False)

    def drop(self, key: Key) -> bool:
        """Nobody wants to know any more; what is under way goes on.

        Returns:
            Whether it was the last that waited.
        """
        self._passed_over.pop(key, None)
        self._seen_ended.discard(key)
        if self._queue.pop(key, None) is None:
            return False
        self._held.discard(key)
        return not self._queue

    def saw_end(self, key: Key) -> None:
        """A job was seen at its end while an older read of it may be under way."""
        self._seen_ended.add(key)

    def take_end(self, key: Key) -> bool:
        """Whether that was so; asked once the read is over."""
        seen = key in self._seen_ended
        self._seen_ended.discard(key)
        return seen

    def refuse(self, error: Exception) -> None:
        """The service throttles: what has not begun has this error for its result.

        So has all that is asked for as long as the service said that it does not want to be.
        """
        if error is not self._refusal:
            now = asyncio.get_running_loop().time()
            self._refusal, self._refused_until = error, now + (hint_of(error) or 0.0)
        self._give_up(error)

    def _is_refused(self) -> bool:
        """Whether the service still throttles; then all that waits has that for its result."""
        refused = asyncio.get_running_loop().time() < self._refused_until - TICK
        if refused and self._refusal is not None:
            self._give_up(self._refusal)
        return refused

    def _give_up(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        waiting = [*self._ends, *self._queue]
        for key in self._queue:
            self._passed_over.setdefault(key)
        self._results.update((key, ReadResult(now, now, error)) for key in waiting)
        self._ends.clear()
        self._queue.clear()
        self._hand_over_soon()

    async def aclose(self) -> None:
        """End all of it."""
        self._closed = True
        self._queue.clear()
        tasks = self._workers if self._finishing is None else [*self._workers, self._finishing]
        for task in tasks:
            task.cancel()
        if self._handing_over is not None:
            self._handing_over.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- tasks

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # An empty context: a read must not run under the span of whoever came first.
        task = asyncio.get_running_loop().create_task(
            work, context=contextvars.Context(), name=f"jobkit_async-{self._name}-reads"
        )
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not self._closed:
            self._broke(error)

    def _enqueue(self, keys: Collection[Key], *, ended: bool, first: bool) -> None:
        self._held.update(keys)
        self._queue.update(dict.fromkeys(keys, ended))
        if self._is_refused():
            return
        if first:
            self._advance(keys)
        elif self._passed_over:
            new = {*keys}
            self._advance(key for key in self._passed_over if key in new)
        self._begin_workers(len(keys), PARALLEL)
        if first and not ended:
            self._begin_workers(len(keys), 2 * PARALLEL, most=1)

    def _begin_workers(self, count: int, limit: int, most: float = math.inf) -> None:
        """Have so many more at work, within a limit for all; each reads the most so many jobs."""
        # One that is done has left nothing waiting; the others may be busy for long.
        self._workers = [worker for worker in self._workers if not worker.done()]
        for _ in range(min(count, limit - len(self._workers))):
            self._workers.append(self._begin(self._work(most)))

    async def _finish(self) -> None:
        loop = asyncio.get_running_loop()
        while self._ends:
            keys, self._ends = self._ends, []
            asked_at = loop.time()
            try:
                found = await self._source.finish(keys)
            except Exception as error:  # noqa: BLE001 - counted, and told when it lasts
                found = dict.fromkeys(keys, error)
            except BaseException:
                self._held.difference_update(keys)
                raise
            now = loop.time()
            self._results.update(
                (key, ReadResult(asked_at, now, found[key])) for key in keys if key in found
            )
            for result in found.values():
                if isinstance(result, Exception) and throttles(result):
                    self.refuse(result)
                    break
            self._enqueue([key for key in keys if key not in found], ended=True, first=True)
            self._hand_over_soon()

    async def _work(self, most: float) -> None:
        loop = asyncio.get_running_loop()
        while self._queue and most > 0:
            most -= 1
            if self._gap and not next(iter(self._queue.values())):
                at = self._next = max(loop.time(), self._next + self._gap)
                await asyncio.sleep(at - loop.time())
                if not self._queue:
                    break
            key, _ = self._queue.popitem(last=False)
            self._passed_over.pop(key, None)
            asked_at = loop.time()
            try:
                result: Sighting[DataT] | Exception = await self._source.read(key)
            except Exception as error:  # noqa: BLE001 - its job's affair
                result = error
                if throttles(error):
                    self._passed_over = {key: None, **self._passed_over}
                    self.refuse(error)
            except BaseException:
                self._held.discard(key)
                raise
            self._results[key] = ReadResult(asked_at, loop.time(), result)
            self._hand_over_soon()

    def _hand_over_soon(self) -> None:
        if self._handing_over is None and self._results and not self._closed:
            self._handing_over = asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Hand over a slice of the results; those of one moment come together."""
        self._handing_over = None
        results = dict(islice(self._results.items(), SLICE))
        for key in results:
            del self._results[key]
            self._held.discard(key)
        try:
            self._took(results)
        except Exception as error:  # noqa: BLE001 - a fault, which nobody is to wait for in vain
            self._broke(error)
        self._hand_over_soon()
