"""The asyncio shell of polling: one loop for a client's jobs, their waiters and deadlines.

The loop asks the schedule whom to look at, has the source look, and hands what was seen to the
waiters. It runs only while somebody waits. Nothing that a waiter does, and nothing that a service
answers, can stop it for the others; if it breaks nevertheless, every waiter is told.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

from jobkit_async.errors import JobkitError, NotFound, RateLimited, ServerError
from jobkit_async.hooks import Reporter
from jobkit_async.polling.deadlines import Deadlines
from jobkit_async.polling.outlook import Outlook
from jobkit_async.polling.pace import Pace
from jobkit_async.polling.record import Record
from jobkit_async.polling.report import Report
from jobkit_async.polling.schedule import Polling, Schedule
from jobkit_async.polling.source import Key, Observed, Sighting, Source, fan_out
from jobkit_async.polling.watch import Entry, Verdict, VerdictKind, Watch
from jobkit_async.redact import forget_frames
from jobkit_async.states import JobState

__all__ = ["Tracker"]

_log = logging.getLogger("jobkit_async.polling")

DataT = TypeVar("DataT")

TICK: Final = 1e-6
"""Seconds by which a look may come early: timers fire a tick of the loop's clock too soon."""
SLICE: Final = 256
"""Jobs that are dealt with before the event loop gets its turn."""
LAST_LOOK: Final = 5.0
"""The most seconds before a deadline that the last look leaves."""
SHORTEST_TRIP: Final = 0.25
"""What a round trip is taken to last at least, in seconds."""
LONGEST_LOOK: Final = 60.0
"""The most seconds that a wait of a single look takes, where the service must not be asked yet."""
ODD_WORDS: Final = 100
"""Unknown status words that are remembered, so that each is logged once."""
SINGLE_READS: Final = 200
"""The most jobs that are read one by one in a single look."""


class Tracker(Generic[DataT]):
    """Follows the jobs of one client.

    Args:
        source: How the service observes many jobs.
        polling: When to ask.
        name: Name of the service, for the log.
        service_time: The service's Unix time at a time of the loop, or None where not known.
        reporter: Who tells the hooks of looks and ends, or None.
    """

    def __init__(
        self,
        source: Source[DataT],
        polling: Polling,
        *,
        name: str,
        service_time: Callable[[float], float | None] = lambda _: None,
        reporter: Reporter | None = None,
    ) -> None:
        self._source = source
        self._polling = polling
        self._name = name
        self._service_time = service_time
        self._report = None if reporter is None else Report(reporter, service_time)
        self._rng = polling.rng or random.Random()
        self._entries: dict[Key, Entry[DataT]] = {}
        # A record that an entry holds is not in here: a weak reference takes as much as a record.
        self._others: WeakValueDictionary[Key, Record[DataT]] = WeakValueDictionary()
        self._schedule = Schedule(polling, source.batch, self._rng, self._entries)
        self._outlook = Outlook(polling, self._population)
        self._pace = Pace(self._schedule, polling, source.batch, self._outlook)
        self._deadlines: Deadlines[DataT] = Deadlines()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._odd_words: set[str] = set()
        self._round_trip = 0.0
        self._task: asyncio.Task[None] | None = None
        self._bell: asyncio.Future[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        waiters = sum(len(entry.watches) for entry in self._entries.values())
        return f"<Tracker of {self._name}: {len(self._entries)} jobs, {waiters} waiters>"

    def __len__(self) -> int:
        return len(self._entries)

    # -- records

    def find(self, key: Key) -> Record[DataT] | None:
        """What is known of a job, if anything still is."""
        entry = self._entries.get(key)
        return self._others.get(key) if entry is None else entry.record

    def keep(self, record: Record[DataT]) -> None:
        """Let a new record be found as long as somebody holds it, or waits for its job."""
        self._others[record.key] = record

    def known(self) -> set[Key]:
        """The jobs of which anything is still known."""
        return {*self._entries, *self._others}

    # -- waiters

    def watch(
        self,
        record: Record[DataT],
        notify: Callable[[Verdict[DataT]], None],
        *,
        timeout: float | None = None,
        keep_input: bool = False,
        on_update: Callable[[Sighting[DataT]], None] | None = None,
    ) -> Watch[DataT]:
        """Begin to wait for a job.

        Args:
            record: The job.
            notify: Called once, with how the wait ended, unless :meth:`unwatch` comes first.
            timeout: Seconds until it ends with ``TIMEOUT``; 0 is one look, None for ever.
            keep_input: Whether to go on waiting while the job needs input.
            on_update: Called at each change of state, word, progress or message, and once with
                the first observation.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        once = timeout == 0
        watch = Watch(
            record,
            notify,
            keep_input=keep_input,
            on_update=on_update,
            once_after=now if once else None,
        )
        if self._closed:
            loop.call_soon(self._end, watch, Verdict(VerdictKind.CLOSED, record.newest))
            return watch
        entry = self._entries.get(record.key)
        if entry is None:
            if record.born is None:
                record.born = now
            # First of all, so that a policy that raises leaves nothing behind.
            at = now
            if on_update is None and not once:  # the others are told at once where the job stands
                at = self._pace.first_look(record, now, len(self._entries))
                if not self._outlook.may_fit:
                    loop.call_soon(self._outlook.allow_fit)
            entry = self._entries[record.key] = Entry(record)
            self._others.pop(record.key, None)
            self._schedule.add(record.key, at)
            if self._report is not None:
                self._report.awaited(entry, now)
        elif on_update is not None or once or record.alive_at is None:
            # It has something to tell the newcomer.
            self._schedule.add(record.key, now if once else self._pace.hurried(now))
        entry.add(watch)
        if timeout is not None:
            self._deadlines.add(watch, now + (timeout or LONGEST_LOOK), last_look=not once)
            self._arm()
        self._ring()
        return watch

    def unwatch(self, watch: Watch[DataT]) -> None:
        """Stop waiting; ``notify`` is not called any more. Can be repeated."""
        if watch.over:
            return
        watch.over = True
        self._deadlines.discard(watch)
        entry = self._entries.get(watch.record.key)
        if entry is not None:
            entry.discard(watch)
            if entry.abandoned:
                del self._entries[watch.record.key]
                self._others[watch.record.key] = entry.record
                self._schedule.tidy()
                if not self._entries:
                    self._deadlines.clear()
                    self._arm()
                    self._ring()

    def look_soon(self, key: Key) -> None:
        """A job that may be waited for has just been changed from here: look at it before long."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.looks = 0
            now = asyncio.get_running_loop().time()
            self._schedule.add(key, now + self._polling.min_interval)
            self._ring()

    async def aclose(self) -> None:
        """End all waits with ``CLOSED``, and the loop."""
        self._closed = True
        try:
            while len(self._entries) > SLICE:
                self._close(SLICE)
                await asyncio.sleep(0)
        finally:  # the rest at once, also if this is cancelled: nobody is left hanging
            self._close(len(self._entries))
            if self._task is not None:
                self._task.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _close(self, most: int) -> None:
        """End the waits for so many jobs with ``CLOSED``."""
        for entry in list(itertools.islice(self._entries.values(), most)):
            self._decide(entry, Verdict(VerdictKind.CLOSED, entry.record.newest))

    # -- the loop

    def _ring(self) -> None:
        if self._task is None and self._entries:
            # An empty context: the poll must not run under the span of whoever came first.
            self._task = asyncio.get_running_loop().create_task(
                self._run(), context=contextvars.Context(), name=f"jobkit_async-{self._name}"
            )
            self._task.add_done_callback(self._ended)
        elif self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._entries:
            await self._breathe()
            now = loop.time()
            soon = now + TICK
            lead = min(LAST_LOOK, 2.0 * max(SHORTEST_TRIP, self._round_trip))
            while due := self._deadlines.last_looks(soon, lead, SLICE):
                for watch in due:
                    self._schedule.add(watch.record.key, now)
                if len(due) == SLICE:
                    await asyncio.sleep(0)
            if not self._entries:
                break  # they went in the meantime, when there was no bell to ring
            wake = self._schedule.wake()
            if wake > soon:
                await self._sleep(loop, min(wake, self._deadlines.next_last_look(lead)))
            else:
                due_keys = await self._due(soon)
                if due_keys != []:  # it may be better to wait for more
                    await self._look(loop, now, due_keys)

    async def _due(self, soon: float) -> list[Key] | None:
        """The jobs to look at together, however many are due; None for all that there are."""
        due: list[Key] = []
        while self._schedule.wake() <= soon:
            keys = self._schedule.take(soon)
            if keys is None:
                return None
            due += keys
            if len(keys) > SLICE:
                await asyncio.sleep(0)
        return due

    async def _breathe(self) -> None:
        """Let jobs come while they do, so that waits that begin together are looked at together."""
        crowd = 0
        while len(self._entries) > crowd:
            crowd = len(self._entries)
            await asyncio.sleep(0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The loop is over: because nobody waits, or because it broke or was cancelled."""
        self._task = None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._broken(error)
        elif self._entries:
            self._ring()

    async def _sleep(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        self._bell = bell = loop.create_future()
        timer = loop.call_at(until, _set, bell) if until < float("inf") else None
        try:
            await bell
        finally:
            self._bell = None
            if timer is not None:
                timer.cancel()

    async def _look(
        self, loop: asyncio.AbstractEventLoop, asked_at: float, keys: list[Key] | None
    ) -> None:
        """Look at these jobs, or at all, and tell everybody what was seen."""
        if keys is None:
            asks = dict(self._entries)
        else:
            asks = {key: self._entries[key] for key in keys if key in self._entries}
        if not asks:
            return
        try:
            observed = await self._source.observe(asks)
        except Exception as error:  # noqa: BLE001 - counted, and told when it lasts
            await self._take_failures(loop, dict.fromkeys(asks, error))
            self._pace.looked(asked_at, loop.time(), cost=1, failed=True)
            skipped: set[Key] = set()
        else:
            self._measure(loop.time() - asked_at)
            if keys is None:
                self._outlook.all_seen_at = asked_at
            skipped = await self._take(loop, asked_at, asks, observed)
            read = sum(key in asks for key in observed.missing) - len(skipped)
            failed = len(observed.failed) == len(asks)
            self._pace.looked(asked_at, loop.time(), cost=observed.cost + read, failed=failed)
        if self._report is not None:
            self._report.looked(len(asks), loop.time() - asked_at)
        if not self._entries:
            return
        now = loop.time()
        for count, (key, entry) in enumerate(asks.items(), 1):
            if count % SLICE == 0:
                await asyncio.sleep(0)
            if key in skipped:
                continue
            entry.looks += 1
            for watch in entry.watches:
                if watch.once_after is not None and watch.once_after <= asked_at:
                    self._end(watch, entry.timeout())
        rest = [entry for key, entry in asks.items() if self._entries.get(key) is entry]
        self._outlook.allow_fit()
        if self._source.batch is None:
            self._pace.plan_all(now, rest, len(self._entries))
            rest = []
        for count, entry in enumerate(rest, 1):
            if self._entries.get(entry.record.key) is entry:
                self._pace.plan(now, entry, len(self._entries))
            if count % SLICE == 0:
                await asyncio.sleep(0)
                self._outlook.allow_fit()
        self._outlook.allow_fit()
        for key in skipped & self._entries.keys():
            entry = self._entries[key]
            in_haste = any(watch.once_after is not None for watch in entry.watches)
            if in_haste or (entry.tried_at == -math.inf and not self._pace.troubled):
                self._schedule.add(key, now)

    async def _take(
        self,
        loop: asyncio.AbstractEventLoop,
        asked_at: float,
        asks: Mapping[Key, Entry[DataT]],
        observed: Observed[DataT],
    ) -> set[Key]:
        """Take a look in; returns the jobs that it had to leave for the next."""
        ended = await self._take_sightings(loop, asked_at, asks, observed.seen)
        if ended:
            asked_at = loop.time()
            try:
                finals = await self._source.finish(ended)
            except Exception as error:  # noqa: BLE001 - counted, and told when it lasts
                finals = dict.fromkeys(ended, error)
            await self._take_results(loop, asked_at, asks, finals)
        missing = sorted(
            (key for key in observed.missing if key in asks),
            key=lambda key: max(_seen_at(asks[key]), asks[key].tried_at),
        )
        if missing:
            asked_at = loop.time()
            for key in missing[:SINGLE_READS]:
                asks[key].tried_at = asked_at
            results = await fan_out(self._source.read, missing[:SINGLE_READS])
            self._pace.troubled = any(map(_is_trouble, results.values()))
            await self._take_results(loop, asked_at, asks, results)
        if observed.failed:
            await self._take_failures(loop, observed.failed)
        return set(missing[SINGLE_READS:])

    async def _take_sightings(
        self,
        loop: asyncio.AbstractEventLoop,
        asked_at: float,
        asks: Mapping[Key, Entry[DataT]],
        seen: Mapping[Key, Sighting[DataT]],
    ) -> list[Key]:
        """Take sightings in; returns the jobs whose end was seen without a snapshot."""
        ended: list[Key] = []
        now = loop.time()  # the same for all, which by it are known to have been seen together
        for count, (key, sighting) in enumerate(seen.items(), 1):
            entry = self._entries.get(key) if key in asks else None
            if entry is not None and self._saw(entry, sighting, asked_at, now):
                ended.append(key)
            if count % SLICE == 0:
                await asyncio.sleep(0)
        return ended

    async def _take_results(
        self,
        loop: asyncio.AbstractEventLoop,
        asked_at: float,
        asks: Mapping[Key, Entry[DataT]],
        results: Mapping[Key, Sighting[DataT] | Exception],
    ) -> None:
        failures: dict[Key, Exception] = {}
        now = loop.time()  # the same for all, as above
        for count, (key, result) in enumerate(results.items(), 1):
            entry = self._entries.get(key) if key in asks else None
            if entry is None:
                continue
            if isinstance(result, Sighting):
                self._saw(entry, result, asked_at, now)
            elif isinstance(result, NotFound):
                if self._report is not None:
                    self._report.missed(key)
                self._decide(entry, entry.missed(now, self._polling))
            else:
                failures[key] = result
            if count % SLICE == 0:
                await asyncio.sleep(0)
        await self._take_failures(loop, failures)

    async def _take_failures(
        self, loop: asyncio.AbstractEventLoop, failures: Mapping[Key, Exception]
    ) -> None:
        if self._report is not None:
            self._report.failed(failures)
        for error in set(failures.values()):
            if isinstance(error, JobkitError):  # any other is a fault, which frames help to find
                forget_frames(error)
            hint = error.retry_after if isinstance(error, RateLimited | ServerError) else None
            if hint is not None:
                self._schedule.close_gate(loop.time() + hint)
            _log.info("%s: a look failed: %s", self._name, _kind(error))
        for count, (key, error) in enumerate(failures.items(), 1):
            entry = self._entries.get(key)
            if entry is not None:
                self._decide(entry, entry.failed(error, loop.time(), self._polling))
            if count % SLICE == 0:
                await asyncio.sleep(0)

    # -- one job

    def _saw(
        self, entry: Entry[DataT], sighting: Sighting[DataT], asked_at: float, now: float
    ) -> bool:
        """Take one sighting in; returns whether its end still lacks a snapshot."""
        record = entry.record
        if self._report is not None:
            self._report.saw(entry, sighting, now)
        entry.was_alive_at = record.alive_at or entry.was_alive_at
        known = record.newest
        counted = record.observe(sighting, asked_at=asked_at, now=now)
        if counted is None:
            entry.answered()
            return False
        if not record.dated and counted.created_at is not None:
            record.set_created(counted.created_at.timestamp(), self._service_time(now), now)
        if counted.started_at is not None and (record.started is None or record.start_spread):
            record.set_started(counted.started_at.timestamp(), self._service_time(now), now)
        is_new = known is None or not known.state.ended or known.data is None
        if is_new and counted.state.ended and counted.data is not None:
            self._outlook.ended(record, counted, entry.was_alive_at, now, before=known)
        self._tell(entry, counted, now)
        return counted.state.ended and counted.data is None

    def notice(self, record: Record[DataT], sighting: Sighting[DataT]) -> None:
        """A job that may be waited for was seen otherwise, by a call of its owner's."""
        entry = self._entries.get(record.key)
        if entry is not None and record.newest is sighting:
            self._tell(entry, sighting, asyncio.get_running_loop().time())

    def _tell(self, entry: Entry[DataT], counted: Sighting[DataT], now: float) -> None:
        """Tell those who follow a job what was seen, and its waiters what follows from it."""
        if counted.state is JobState.UNKNOWN and counted.raw_status not in self._odd_words:
            if len(self._odd_words) < ODD_WORDS:
                self._odd_words.add(counted.raw_status)
            _log.warning("unknown job status %r", counted.raw_status)
        for watch in entry.watches:
            if watch.on_update is not None and watch.is_news(counted):
                _call(watch.on_update, counted)
        self._decide(entry, entry.saw(counted, now, self._polling))

    def _decide(self, entry: Entry[DataT], verdict: Verdict[DataT] | None) -> None:
        """Tell everybody who waits for a job, but for those who wait on while it needs input."""
        if verdict is None:
            return
        if self._report is not None:
            self._report.decided(entry, verdict, asyncio.get_running_loop().time())
        for watch in entry.watches:
            if not (watch.keep_input and verdict.kind is VerdictKind.NEEDS_INPUT):
                self._end(watch, verdict)

    def _end(self, watch: Watch[DataT], verdict: Verdict[DataT]) -> None:
        if not watch.over:
            self.unwatch(watch)
            _call(watch.notify, verdict)

    def _arm(self) -> None:
        """Set the timer, which all deadlines share, to the next of them."""
        ends_at = self._deadlines.next_end()
        if self._alarm is not None:
            if self._alarm_at <= ends_at < float("inf"):
                return  # one that rings for nothing is cheaper than another one each time
            self._alarm.cancel()
            self._alarm = None
        if ends_at < float("inf"):
            loop = asyncio.get_running_loop()
            self._alarm, self._alarm_at = loop.call_at(ends_at, self._expire), ends_at

    def _expire(self) -> None:
        """The timer has rung: end some of the waits whose time is over, and set it again."""
        self._alarm = None
        # A timer may be early by a tick of the loop's clock, and what it was set for is due.
        now = max(self._alarm_at, asyncio.get_running_loop().time())
        for watch in self._deadlines.take_over(now, SLICE):
            entry = self._entries.get(watch.record.key)
            if entry is not None:
                self._end(watch, entry.timeout())
        self._arm()

    def _broken(self, error: BaseException) -> None:
        """The loop itself broke, or was cancelled by others: nobody is left hanging."""
        problem = f"the poll loop broke: {error!r}"
        cause = error if isinstance(error, Exception) else None
        if cause is not None:
            _log.error("%s: %s", self._name, problem, exc_info=cause)
        for entry in list(self._entries.values()):
            self._decide(entry, Verdict(VerdictKind.GAVE_UP, entry.record.newest, problem, cause))

    def _population(self) -> list[Record[DataT]]:
        return [entry.record for entry in self._entries.values()]

    def _measure(self, seconds: float) -> None:
        known = self._round_trip or seconds
        self._round_trip = known + 0.25 * (seconds - known)


def _seen_at(entry: Entry[Any]) -> float:
    """When a job was last sighted; those never seen come first."""
    return float("-inf") if entry.seen_at is None else entry.seen_at


def _kind(error: Exception) -> str:
    """What went wrong, without a word of what the service said."""
    status = getattr(error, "status", None)
    return type(error).__name__ if status is None else f"{type(error).__name__}, HTTP {status}"


def _call(function: Callable[[Any], None], value: Any) -> None:
    """Tell a waiter; whatever it raises is its own affair."""
    try:
        function(value)
    except Exception:  # noqa: BLE001 - logged; the other waiters come next
        _log.exception("a waiter's callback raised")


def _is_trouble(result: object) -> bool:
    return isinstance(result, Exception) and not isinstance(result, NotFound)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
