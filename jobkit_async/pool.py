"""Turns of a client's requests: how many at once, how many a second, and whose is next."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final

from jobkit_async.options import Limits

__all__ = ["Lane", "Pool"]

PATIENCE: Final = 3
"""Calls that may go before a status request that could go as well."""


class Lane(Enum):
    """What a request is for."""

    LOGIN = "login"
    """Others wait for it: it is always next."""
    CALLS = "calls"
    POLLS = "polls"

    # They are keys of what each request looks up, and the hash of an Enum is a call in Python.
    __hash__ = object.__hash__


class Pool:
    """Gives requests their turns, first come, first served within each lane.

    An eighth of the room, if there is more than one place, is kept for status requests and as much
    for other calls; where both could go, calls go first, but not more than :data:`PATIENCE` in a
    row.

    Args:
        limits: How many requests at once, and a second.
    """

    def __init__(self, limits: Limits) -> None:
        self._room = limits.max_concurrent
        self._loop: asyncio.AbstractEventLoop | None = None
        kept = max(1, self._room // 8) if self._room > 1 else 0
        self._most = dict.fromkeys(Lane, self._room - kept) | {Lane.LOGIN: self._room}
        self._gap = 1.0 / limits.max_rps if limits.max_rps else 0.0
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._used = dict.fromkeys(Lane, 0)
        self._under_way = 0
        self._waiting: dict[Lane, OrderedDict[asyncio.Future[None], None]] = {
            lane: OrderedDict() for lane in Lane
        }
        self._moved = dict.fromkeys(Lane, 0.0)
        self._row = 0

    def __repr__(self) -> str:
        waiting = sum(map(len, self._waiting.values()))
        return f"<Pool {self.used} of {self._room} under way, {waiting} waiting>"

    @property
    def used(self) -> int:
        """Requests under way."""
        return self._under_way

    @property
    def room(self) -> int:
        """The most requests under way."""
        return self._room

    async def enter(self, lane: Lane) -> Callable[[], None]:
        """Wait for a turn.

        Returns:
            What gives the place back; called again, it does nothing.
        """
        leave = self.enter_now(lane)
        if leave is None:
            await self._wait(lane)
            leave = self._leaver(lane)
        return leave

    def enter_now(self, lane: Lane) -> Callable[[], None] | None:
        """The same where nobody has to wait; None if there is no turn to be had at once."""
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        if now < self._next or not self._may(lane) or self._whose() is not None:
            return None
        self._take(lane, now)
        return self._leaver(lane)

    def _leaver(self, lane: Lane) -> Callable[[], None]:
        held = True

        def leave() -> None:
            nonlocal held
            if held:
                held = False
                self._leave(lane)

        return leave

    def patience(self, lane: Lane, seconds: float) -> Callable[[], float]:
        """Seconds until a lane, in which somebody waits from now on, has not moved for so long.

        The pace counts on top: it may leave a lane alone until all that go before had their time.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        seconds += (PATIENCE + 2) * self._gap
        return lambda: max(0.0, max(since, self._moved[lane]) + seconds - loop.time())

    async def _wait(self, lane: Lane) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting[lane]
        queue[turn] = None
        self._hand_out()
        try:
            await turn
        except BaseException:
            queue.pop(turn, None)
            if turn.done() and not turn.cancelled():
                self._leave(lane)  # its turn had come in the same moment
            raise

    def _may(self, lane: Lane) -> bool:
        return self.used < self._room and self._used[lane] < self._most[lane]

    def _take(self, lane: Lane, now: float) -> None:
        self._used[lane] += 1
        self._under_way += 1
        self._next = max(self._next, now) + self._gap
        self._row = self._row + 1 if lane is Lane.CALLS else 0

    def _leave(self, lane: Lane) -> None:
        self._used[lane] -= 1
        self._under_way -= 1
        self._hand_out()

    def _hand_out(self, *, due: bool = False) -> None:
        """Give turns to all that can have theirs now; ``due``: the time of the next has come."""
        loop = self._loop  # not the running one: a place may come back where none runs
        if loop is None or loop.is_closed():
            return
        while (lane := self._whose()) is not None:
            now = loop.time()
            if now < self._next and not due:
                if self._timer is None:
                    self._timer = loop.call_at(self._next, self._tick)
                return
            turn, _ = self._waiting[lane].popitem(last=False)
            if not turn.done():
                due = False
                self._moved[lane] = now
                self._take(lane, now)
                turn.set_result(None)

    def _tick(self) -> None:
        self._timer = None
        # A timer may be early by less than the clock can tell.
        self._hand_out(due=True)

    def _whose(self) -> Lane | None:
        """The lane whose first is next, among those that can go."""
        if not any(self._waiting.values()):
            return None
        able = [lane for lane in Lane if self._waiting[lane] and self._may(lane)]
        if len(able) > 1 and Lane.LOGIN not in able and self._row >= PATIENCE:
            return Lane.POLLS
        return able[0] if able else None
