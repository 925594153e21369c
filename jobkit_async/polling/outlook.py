"""How soon jobs may end, by what past jobs of their kind have shown. Pure.

Between the user's own policy and the cold rule stands what was learned: from the client's own
finished jobs, by type, and apart for a whole life and for the running part of it. A job whose type
nobody has told is taken for one like all others.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import partial, wraps
from itertools import islice
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from jobkit_async.model import aware
from jobkit_async.polling.durations import Durations, Life
from jobkit_async.polling.inspection import Grid
from jobkit_async.polling.progress import Progress, even
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Sighting
from jobkit_async.states import JobState

__all__ = ["Outlook"]

Params = ParamSpec("Params")
Result = TypeVar("Result")

LONGEST: Final = 1e8
"""Seconds beyond which a duration is none: a date that was not set stands for the year 1."""
SCANNED: Final = 10_000
"""Jobs among which those that run are sought."""
SAMPLE: Final = 256
"""Jobs that stand for all where there are more."""
CROWD: Final = 64
"""Jobs that stand for all in a decision on all of them."""
STEPS: Final = 48
"""Delays that such a decision looks at."""
VAGUE: Final = 0.1
"""Share of a running time by which the start may be misjudged, and still be of use."""
_WHOLE: Final = "whole"
_RUN: Final = "run"

Kind = tuple[str | None, str]

_log = logging.getLogger("jobkit_async.polling")

Method = Callable[Concatenate["Outlook", Params], Result]


def _or_nothing(method: Method[Params, Result]) -> Method[Params, Result | None]:
    """As if nothing had ever been learned, where what was learned cannot be reckoned with.

    To wait is what matters: numbers that nobody has thought of are to cost looks, and no wait.
    """

    @wraps(method)
    def guarded(self: Outlook, /, *args: Params.args, **kwargs: Params.kwargs) -> Result | None:
        try:
            return method(self, *args, **kwargs)
        except (ArithmeticError, LookupError, ValueError):
            _log.exception("what was learned of durations is dropped")
            self.forget()
            return None

    return guarded


class Outlook:
    """Learns from the ends of jobs, and tells the best next look at others.

    Args:
        polling: The price of a look, and the longest gap.
        population: Gives what is known of all jobs that are waited for.
    """

    def __init__(self, polling: Polling, population: Callable[[], Collection[Record[Any]]]) -> None:
        self._polling = polling
        self._population = population
        self.all_seen_at = -math.inf
        """Loop time of the last look that would have shown the end of any job."""
        self.forget()

    # -- learning

    @property
    def is_blank(self) -> bool:
        """Whether nothing has been learned yet."""
        return self.durations.is_empty and self.progress.is_empty

    @property
    def may_fit(self) -> bool:
        """Whether a law may be fitted; each time takes milliseconds."""
        return self.durations.fits_left > 0

    def allow_fit(self) -> None:
        """Allow one law to be fitted before this is called again, in another turn of the loop."""
        self.durations.fits_left = 1

    def forget(self) -> None:
        """Begin anew."""
        self.durations = Durations()
        self.progress = Progress()

    @_or_nothing
    def ended(
        self,
        record: Record[Any],
        sighting: Sighting[Any],
        alive_at: float | None,
        now: float,
        *,
        before: Sighting[Any] | None = None,
    ) -> None:
        """Learn from a job's end.

        Args:
            record: The job.
            sighting: The observation of its end, just taken in.
            alive_at: Loop time as of which it was last known to be on its way, if ever.
            now: Loop time.
            before: The observation before, at ``alive_at``.
        """
        if sighting.state is JobState.CANCELLED or record.seen_at is None:
            return  # how long it would have lasted is not known
        self._learn(
            (record.kind, _WHOLE),
            record.born if record.dated else None,
            _between(None if record.touched_at else sighting.created_at, sighting.ended_at),
            alive_at,
            record.seen_at,
            now,
        )
        if before is not None and before.progress is not None and alive_at is not None:
            begun = record.started if record.started is not None else record.born
            lasted = _between(sighting.created_at, sighting.ended_at)
            if begun is not None and record.born is not None:
                # Where the service does not tell the end, it lies between the last two looks.
                exact = lasted is not None and not record.touched_at
                end = record.born + (lasted or 0.0) if exact else 0.5 * (alive_at + record.seen_at)
                self.progress.ended(record.kind, alive_at - begun, before.progress, end - alive_at)
        ran = _between(sighting.started_at, sighting.ended_at)
        if ran is not None:
            self._learn((record.kind, _RUN), None, ran, alive_at, record.seen_at, now)

    def _learn(
        self,
        kind: Kind,
        born: float | None,
        exact: float | None,
        alive_at: float | None,
        seen_at: float,
        now: float,
    ) -> None:
        if exact is None:
            if born is None or seen_at <= born:
                return
            # It ended between two looks; where there was none before, nobody knows when.
            latest = seen_at - born
            earliest = max(latest / 4.0, (alive_at or born) - born)
            exact = math.sqrt(earliest * latest)
        self.durations.ended(kind, seen_at - exact if born is None else born, exact, now)
        if kind[0] is not None:
            anyone = (None, kind[1])
            self.durations.ended(anyone, seen_at - exact if born is None else born, exact, now)

    # -- deciding

    @_or_nothing
    def gap(self, record: Record[Any], now: float, price: float) -> float | None:
        """Seconds from a look at a job to the best next one; None where too little is known.

        Args:
            record: The job.
            now: Loop time of the look.
            price: How many seconds of delay another look is worth.
        """
        kind, age = self._life(record, now)
        foretold = self._foretold(record, now)
        if age is None:
            return None if foretold is None else self.progress.gap(*foretold, price)
        plan = self.durations.inspection(kind, price, lambda: self._running(kind))
        at = plan.next_look(age) if plan is not None else None
        if foretold is not None:
            grid = self.durations.grid(kind, lambda: self._running(kind))
            if at is None or grid is None or foretold[1] < grid.spread(age):
                return self.progress.gap(*foretold, price)
        return None if at is None else at - age

    @_or_nothing
    def time_left(self, record: Record[Any], now: float) -> float | None:
        """Seconds that a job may have left, as a median; None where nothing tells.

        It changes nothing: of the laws it takes those that are there.

        Args:
            record: The job.
            now: Loop time.
        """
        fits, self.durations.fits_left = self.durations.fits_left, 0
        try:
            kind, age = self._life(record, now)
            grid = None if age is None else self.durations.grid(kind, tuple)
        finally:
            self.durations.fits_left = fits
        foretold = self._foretold(record, now)
        by_law = None
        if grid is not None and age is not None:
            by_law = grid.left(age)
            if foretold is not None and by_law is not None and foretold[1] >= grid.spread(age):
                foretold = None
        if foretold is not None:
            return foretold[0]
        return self._evenly(record, now) if by_law is None else by_law

    def _evenly(self, record: Record[Any], now: float) -> float | None:
        """The seconds left if a job's work goes on as it did, by the progress last seen."""
        newest, seen_at = record.newest, record.seen_at
        begun = record.started if record.started is not None else record.born
        if newest is None or newest.progress is None or seen_at is None or begun is None:
            return None
        left = even(seen_at - begun, newest.progress) if record.dated else None
        return None if left is None else max(0.0, left - (now - seen_at))

    def _foretold(self, record: Record[Any], now: float) -> tuple[float, float] | None:
        """What the progress that was just seen tells of the seconds left, and its spread."""
        newest = record.newest
        begun = record.started if record.started is not None else record.born
        if newest is None or newest.progress is None or begun is None or not record.dated:
            return None
        seen_at = record.seen_at if record.seen_at is not None else now
        found = self.progress.left(record.kind, seen_at - begun, newest.progress)
        if found is None:
            return None
        left = found[0] - (now - seen_at)
        return (left, found[1]) if left > 0.25 * found[0] else None  # seen too long ago

    @_or_nothing
    def gap_of_all(
        self, records: Collection[Record[Any]], now: float, price: float
    ) -> float | None:
        """Seconds to the best next look that shows all of some jobs; None where nothing is known.

        The best rate of looks is the square root of the rate at which the jobs end; the next is due
        once that has summed up to one look, or the delay that may have come up to the price of one.
        """
        some = list(islice(records, 0, None, 1 + (len(records) - 1) // CROWD))
        share = len(records) / len(some)
        shortest, longest = self._polling.min_interval, self._polling.max_interval
        # Where jobs end fast the shortest gap decides, and their law is not worth a fit each time.
        with self.durations.roughly():
            chances = self._chances(some, now)
        if chances is not None:
            gap = _best_gap(chances, share, [shortest], price)
            if gap is not None:
                return gap
        chances = self._chances(some, now)
        if chances is None:
            return None
        ratio = (longest / shortest) ** (1.0 / STEPS)
        delays = [shortest * math.pow(ratio, i) for i in range(STEPS + 1 if ratio > 1.0 else 1)]
        gap = _best_gap(chances, share, delays, price)
        return longest if gap is None else gap

    def _chances(
        self, records: Iterable[Record[Any]], now: float
    ) -> list[Callable[[float], float]] | None:
        """The chances that jobs end within some seconds; None where nothing is known of any."""
        found = [(self._chance(record, now), now - (record.born or now)) for record in records]
        if all(chance is None for chance, _ in found):
            return None
        youngest = self._polling.min_interval
        return [chance or partial(_cold, max(youngest, age)) for chance, age in found]

    def _chance(self, record: Record[Any], now: float) -> Callable[[float], float] | None:
        """The chance that a job ends within some seconds; None where nothing is known of it."""
        kind, age = self._life(record, now)
        foretold = self._foretold(record, now)
        grid = None
        if age is not None:
            grid = self.durations.grid(kind, lambda: self._running(kind))
        if foretold is not None and (age is None or grid is None or foretold[1] < grid.spread(age)):
            return partial(_by_progress, *foretold)
        if age is None or grid is None or grid.over(age) > 1.0 - 1e-9:
            return None  # of no known kind, or older than all that was ever seen
        return partial(_by_law, grid, age)

    def _life(self, record: Record[Any], now: float) -> tuple[Kind, float | None]:
        """Whose law a job follows, and its age by that; no age where it is not known."""
        newest = record.newest
        if record.started is not None and newest is not None and newest.state is JobState.RUNNING:
            kind = (record.kind, _RUN)
            grid = self.durations.grid(kind, lambda: self._running(kind))
            if grid is not None and record.start_spread <= VAGUE * grid.median:
                return kind, max(0.0, now - record.started)
        age = None if record.born is None or not record.dated else max(0.0, now - record.born)
        return (record.kind, _WHOLE), age

    def _running(self, kind: Kind) -> Iterable[Life]:
        """Awaited jobs of a kind; some that stand for all where there are many."""
        records = self._population()
        step = 1 + max(0, len(records) - 1) // SCANNED
        lives: list[tuple[float, float]] = []
        for record in islice(records, 0, None, step):
            if kind[0] is not None and record.kind != kind[0]:
                continue
            born = record.started if kind[1] == _RUN else record.born if record.dated else None
            # It may have ended since it was last known to be on its way.
            alive_at = max(self.all_seen_at, record.alive_at or -math.inf)
            if born is not None and alive_at > born:
                lives.append((born, alive_at - born))
        chosen = lives[:: 1 + max(0, len(lives) - 1) // SAMPLE]
        weight = step * len(lives) / max(1, len(chosen))
        return [Life(born, lasted, weight) for born, lasted in chosen]


def _between(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from one time of the service's clock to another; None where they make no sense."""
    if start is None or end is None:
        return None
    seconds = (aware(end) - aware(start)).total_seconds()
    return seconds if 0.0 < seconds < LONGEST else None


def _best_gap(
    chances: Collection[Callable[[float], float]],
    share: float,
    delays: Iterable[float],
    price: float,
) -> float | None:
    """Seconds to the best next look at some jobs, or None if it comes after all of some delays.

    Args:
        chances: For each job that stands for the others, the chance that it ends within a time.
        share: For how many it stands.
        delays: The delays, rising.
        price: How many seconds of delay a look is worth.
    """
    looks, ends, waste, before = 0.0, 0.0, 0.0, 0.0
    for delay in delays:
        ended = share * sum([chance(delay) for chance in chances])
        rate = math.sqrt(max(ended - ends, 0.0) / (delay - before) / (2.0 * price))
        more = rate * (delay - before)
        wasted = 0.5 * (ends + ended) * (delay - before)
        parts = [
            (1.0 - looks) / more if looks + more >= 1.0 else 1.0,
            (price - waste) / wasted if waste + wasted >= price else 1.0,
        ]
        if min(parts) < 1.0:
            return before + min(parts) * (delay - before)
        looks, ends, waste, before = looks + more, ended, waste + wasted, delay
    return None


def _cold(age: float, delay: float) -> float:
    return math.log1p(delay / age)


def _by_law(grid: Grid, age: float, delay: float) -> float:
    over = grid.over(age)
    return (grid.over(age + delay) - over) / (1.0 - over)


def _by_progress(left: float, spread: float, delay: float) -> float:
    return 0.5 * math.erfc(-math.log(delay / left) / spread * math.sqrt(0.5))
