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
import random
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

from jobkit_async.errors import NotFound, hint_of
from jobkit_async.hooks import Reporter
from jobkit_async.polling.deadlines import Deadlines
from jobkit_async.polling.intake import Intake, call_safely
from jobkit_async.polling.nudges import Nudges
from jobkit_async.polling.outlook import Outlook
from jobkit_async.polling.pace import Pace
from jobkit_async.polling.reads import ReadResult, Reads
from jobkit_async.polling.record import Record
from jobkit_async.polling.report import Report
from jobkit_async.polling.schedule import Polling, Schedule
from jobkit_async.polling.source import Key, Observed, Sighting, Source, throttles
from jobkit_async.polling.turns import SLICE, TICK, in_slices
from jobkit_async.polling.watch import Entry, Verdict, VerdictKind, Watch

__all__ = ["Tracker"]

_log = logging.getLogger("jobkit_async.polling")

DataT = TypeVar("DataT")

LAST_LOOK: Final = 5.0
"""The most seconds before a deadline that the last look leaves."""
SHORTEST_TRIP: Final = 0.25
"""What a round trip is taken to last at least, in seconds."""
READS_WAITED_FOR: Final = 200
"""The most reads of single jobs for which the next look waits where requests are limited."""
LONGEST_LOOK: Final = 60.0
"""The most seconds that a wait of a single look takes, where the service must not be asked yet."""


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
        self._report = None if reporter is None else Report(reporter, service_time)
        rng = polling.rng or random.Random()
        self._entries: dict[Key, Entry[DataT]] = {}
        # A record that an entry holds is not in here: a weak reference takes as much as a record.
        self._others: WeakValueDictionary[Key, Record[DataT]] = WeakValueDictionary()
        self._schedule = Schedule(polling, source.batch, rng, self._entries)
        self._outlook = Outlook(polling, self._population)
        self._nudges = Nudges(polling.min_interval)
        self._pace = Pace(self._schedule, polling, source.batch, self._outlook, self._nudges)
        self._intake: Intake[DataT] = Intake(
            name=name,
            polling=polling,
            outlook=self._outlook,
            report=self._report,
            service_time=service_time,
            end=self._end,
        )
        gap = 0.0 if polling.max_rps is None else 1.0 / polling.max_rps
        self._reads: Reads[DataT] = Reads(source, self._took, self._broken, gap=gap, name=name)
        self._deadlines: Deadlines[DataT] = Deadlines()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._round_trip = 0.0
        self._looking = False
        self._obeyed: Exception | None = None
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
                if self._nudges.is_pending(record):
                    at = self._pace.hurried(now)
            entry = self._entries[record.key] = Entry(record)
            self._others.pop(record.key, None)
            self._schedule.add(record.key, at)
            if self._report is not None:
                self._report.awaited(record, now)
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
                self._nudges.left(entry)
                del self._entries[watch.record.key]
                self._others[watch.record.key] = entry.record
                if self._reads.drop(watch.record.key):
                    asyncio.get_running_loop().call_soon(self._plan_after_reads)
                if self._report is not None:
                    self._report.left(watch.record.key)
                self._schedule.tidy()
                if not self._entries:
                    self._deadlines.clear()
                    self._arm()
                    self._ring()

    def time_left(self, record: Record[DataT]) -> float | None:
        """Seconds that a job may have left; None where nothing tells."""
        return self._outlook.time_left(record, asyncio.get_running_loop().time())

    def look_soon(self, key: Key) -> None:
        """A job that may be waited for has just been changed from here: look at it before long."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.looks = 0
            now = asyncio.get_running_loop().time()
            self._schedule.add(key, now + self._polling.min_interval)
            self._ring()

    def promise(self, record: Record[DataT]) -> None:
        """The service is to call once a job has ended: fewer looks will do."""
        self._nudges.promise(record)

    def nudge(self, key: Key) -> None:
        """The service may have called about a job: if anybody waits for it, look at it now.

        Calls that come in close order lead to one look, and those about jobs for which nobody waits
        to none; they are remembered for whoever comes.
        """
        now = asyncio.get_running_loop().time()
        at = self._nudges.came(key, now)
        if key in self._entries:
            self._schedule.add(key, max(at, self._pace.hurried(now)))
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
            await self._reads.aclose()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _close(self, most: int) -> None:
        """End the waits for so many jobs with ``CLOSED``."""
        for entry in list(itertools.islice(self._entries.values(), most)):
            for watch in entry.watches:
                self._end(watch, Verdict(VerdictKind.CLOSED, entry.record.newest))

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
                self._reads.hurry([watch.record.key for watch in due])
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
                    self._looking = True
                    try:
                        await self._look(loop, now, due_keys)
                    finally:
                        self._looking = False
                    self._plan_after_reads()

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
            cost = 1
        else:
            self._measure(loop.time() - asked_at)
            if keys is None:
                self._outlook.all_seen_at = asked_at
            await self._take(loop, asked_at, asks, observed)
            cost = observed.cost
        if self._report is not None and cost:  # else all are to be read on their own
            self._report.looked(len(asks), loop.time() - asked_at)
        if not self._entries:
            return
        now = loop.time()
        left: list[Entry[DataT]] = []
        async with aclosing(in_slices(asks.items())) as slices:
            async for piece in slices:
                settled = [entry for key, entry in piece if key not in self._reads]
                self._looked(settled, asked_at)
                if self._source.batch is None:
                    left += settled
                else:
                    self._plan(settled, now)
        if any(map(self._awaits, left)):  # else the reads of all of them are waited for
            # Those that are being read are part of what the look has cost, and gain by the next.
            everyone = [entry for entry in asks.values() if self._awaits(entry)]
            self._outlook.allow_fit()
            self._pace.plan_all(now, everyone, len(self._entries))
        self._outlook.allow_fit()

    async def _take(
        self,
        loop: asyncio.AbstractEventLoop,
        asked_at: float,
        asks: Mapping[Key, Entry[DataT]],
        observed: Observed[DataT],
    ) -> None:
        """Take a look in, and have those jobs read on their own for which it takes that."""
        now = loop.time()  # the same for all, which by it are known to have been seen together
        ended: list[Key] = []
        quick = self._report is None
        async with aclosing(in_slices(observed.seen.items())) as slices:
            async for piece in slices:
                for key, sighting in piece:
                    entry = self._entries.get(key) if key in asks else None
                    if entry is None or (quick and entry.same_again(sighting, asked_at)):
                        continue
                    if sighting.lacks_data and key in self._reads:
                        self._reads.saw_end(key)
                        continue  # its snapshot is on the way, and must not count as out of date
                    if self._intake.saw(entry, sighting, asked_at, now):
                        ended.append(key)
        missing = [key for key in observed.missing if key in asks]
        # A job that was never seen takes a read now, and none next time.
        again = [key for key in missing if not observed.cost or asks[key].record.newest is not None]
        cost, reads = observed.cost + len(again), 0
        refusal = next(filter(throttles, observed.failed.values()), None)
        if refusal is not None:
            await self._take_failures(loop, dict.fromkeys([*ended, *missing], refusal))
        else:
            self._reads.finish(ended)
            missing = [key for key in missing if key in self._entries]
            soon = loop.time() + LAST_LOOK
            haste = [key for key in missing if self._entries[key].ends_by(soon)]
            reads = self._reads.read(haste, first=True)
            reads += self._reads.read(missing)
        if observed.failed:
            await self._take_failures(loop, observed.failed)
        failed = len(observed.failed) == len(asks)
        sent = observed.cost + min(reads, READS_WAITED_FOR)
        self._pace.looked(asked_at, loop.time(), cost=cost, sent=sent, failed=failed)

    async def _take_failures(
        self, loop: asyncio.AbstractEventLoop, failures: Mapping[Key, Exception]
    ) -> None:
        self._note_failures(loop, failures)
        async with aclosing(in_slices(failures.items())) as slices:
            async for piece in slices:
                for key, error in piece:
                    entry = self._entries.get(key)
                    if entry is not None:
                        self._intake.failed(entry, error, loop.time())

    def _note_failures(
        self, loop: asyncio.AbstractEventLoop, failures: Mapping[Key, Exception]
    ) -> None:
        for error in self._intake.note_failures(failures):
            hint = hint_of(error)
            if hint is not None and error is not self._obeyed:  # once, though many jobs have it
                self._obeyed = error
                self._schedule.close_gate(loop.time() + hint)
            if throttles(error):
                self._reads.refuse(error)

    def _took(self, results: Mapping[Key, ReadResult[DataT]]) -> None:
        """Take in what came of reads of single jobs, and plan the next looks at these."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        looked_at = [entry for key in results if (entry := self._entries.get(key)) is not None]
        if self._report is None:
            self._take_results(loop, looked_at, results)
        elif looked_at:
            began = min(read.asked_at for read in results.values())
            with self._report.apart(len(looked_at), now - began):
                self._take_results(loop, looked_at, results)
        for entry in looked_at:
            self._looked([entry], results[entry.record.key].asked_at)
        self._reads.finish(self._ended_since(results))
        rest = [entry for entry in looked_at if self._awaits(entry)]
        self._outlook.allow_fit()
        if self._source.batch is not None:
            self._plan(rest, now)
        elif self._schedule.has_plan:
            self._pace.plan_missed(now, rest)
        self._outlook.allow_fit()
        for entry in rest:
            if entry.in_haste:  # for somebody who came after the read had left
                self._schedule.add(entry.record.key, now)
        self._plan_after_reads()
        self._ring()

    def _ended_since(self, results: Mapping[Key, ReadResult[DataT]]) -> list[Key]:
        """The jobs whose end was seen after the read had left that does not show it."""
        return [
            key
            for key, read in results.items()
            if self._reads.take_end(key)
            and key in self._entries
            and isinstance(read.result, Sighting)
            and not read.result.state.ended
        ]

    def _plan_after_reads(self) -> None:
        """Plan the next look at all jobs where none is, as all of them had to be read."""
        idle = self._reads.idle and not self._schedule.has_plan and not self._looking
        if self._source.batch is None and idle and not self._closed:
            rest = [entry for key, entry in self._entries.items() if key not in self._reads]
            now = asyncio.get_running_loop().time()
            self._outlook.allow_fit()
            self._pace.plan_all(now, rest, len(self._entries))
            self._ring()

    def _take_results(
        self,
        loop: asyncio.AbstractEventLoop,
        looked_at: Collection[Entry[DataT]],
        results: Mapping[Key, ReadResult[DataT]],
    ) -> None:
        failures: dict[Key, Exception] = {}
        for entry in looked_at:
            read = results[entry.record.key]
            if isinstance(read.result, Sighting):
                self._intake.saw(entry, read.result, read.asked_at, read.came_at)
            elif not entry.record.is_news(read.asked_at):
                pass  # it was seen since, or has been changed from here
            elif isinstance(read.result, NotFound):
                self._intake.missed(entry, read.came_at)
            else:
                failures[entry.record.key] = read.result
        self._note_failures(loop, failures)
        for key, error in failures.items():
            if key in self._entries:
                self._intake.failed(self._entries[key], error, loop.time())

    def _looked(self, entries: Collection[Entry[DataT]], asked_at: float) -> None:
        """These jobs were looked at, and those are told who wait for one look only."""
        for entry in entries:
            for watch in entry.looked(asked_at):
                self._end(watch, entry.timeout())

    def _plan(self, entries: Collection[Entry[DataT]], now: float) -> None:
        """Plan the next looks at jobs that have just been looked at."""
        self._outlook.allow_fit()
        known = self._entries
        left = [entry for entry in entries if known.get(entry.record.key) is entry]
        self._pace.plan(now, left, len(known))

    def _awaits(self, entry: Entry[DataT]) -> bool:
        return self._entries.get(entry.record.key) is entry

    # -- one job

    def notice(self, record: Record[DataT], sighting: Sighting[DataT]) -> None:
        """A job that may be waited for was seen otherwise, by a call of its owner's."""
        entry = self._entries.get(record.key)
        if entry is not None and record.newest is sighting:
            self._intake.tell(entry, sighting, asyncio.get_running_loop().time())

    def _end(self, watch: Watch[DataT], verdict: Verdict[DataT]) -> None:
        if not watch.over:
            self.unwatch(watch)
            call_safely(watch.notify, verdict)

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
            for watch in entry.watches:
                self._end(watch, Verdict(VerdictKind.GAVE_UP, entry.record.newest, problem, cause))

    def _population(self) -> list[Record[DataT]]:
        return [entry.record for entry in self._entries.values()]

    def _measure(self, seconds: float) -> None:
        known = self._round_trip or seconds
        self._round_trip = known + 0.25 * (seconds - known)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
