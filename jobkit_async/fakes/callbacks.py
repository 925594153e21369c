"""The calls that an embedded server makes about its jobs, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import attrs

from jobkit_async.checks import check_seconds
from jobkit_async.errors import InvalidArgument

__all__ = ["Call", "CallbackFaults", "Calls"]

_HERE: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@attrs.frozen(kw_only=True)
class CallbackFaults:
    """What goes wrong with the calls of an embedded server.

    Each is drawn on its own for each call, so calls about different jobs overtake each other where
    they are late.

    Attributes:
        lost: The share that is never made, 0 to 1.
        doubled: The share that is made twice; the second one may be late as well.
        late: The share that is late.
        delay: Seconds by which a late one is late at the most, drawn evenly.
        seed: Seeds the draws, so that a run can be repeated.

    Raises:
        InvalidArgument: A share is not between 0 and 1, or the delay is no number of seconds.
    """

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    delay: float = 30.0
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        for name in ("lost", "doubled", "late"):
            share = getattr(self, name)
            if not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
                raise InvalidArgument(name, f"a share from 0 to 1 is due, not {share!r}")
        check_seconds("delay", self.delay, zero=True)

    def times(self, rng: random.Random) -> list[float]:
        """How many seconds late a call is made, for each time that it is; empty if it is lost."""
        if rng.random() < self.lost:
            return []
        copies = 2 if rng.random() < self.doubled else 1
        return [
            self.delay * rng.random() if rng.random() < self.late else 0.0 for _ in range(copies)
        ]


@attrs.frozen
class Call:
    """A call that was made.

    Attributes:
        at: Loop time at which it left.
        job: Id of the job that it was about.
        url: Where it went.
        status: The HTTP status of the answer, or None where none came.
    """

    at: float
    job: str | int
    url: str
    status: int | None


class Calls:
    """Makes the calls of an embedded server when their time comes.

    Only addresses on this machine are called; what
    would go elsewhere is noted, and not made.

    Attributes:
        made: The calls that were made, oldest first.
    """

    def __init__(self) -> None:
        self.made: list[Call] = []
        self.faults = CallbackFaults()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._runs = False

    def __repr__(self) -> str:
        return f"<Calls: {len(self.made)} made, {len(self._heap)} due>"

    @property
    def faults(self) -> CallbackFaults:
        """What goes wrong with calls; it can be set at any time."""
        return self._faults

    @faults.setter
    def faults(self, faults: CallbackFaults) -> None:
        if not isinstance(faults, CallbackFaults):
            raise InvalidArgument("faults", f"CallbackFaults are due, not {type(faults).__name__}")
        self._faults = faults
        self._rng = random.Random(faults.seed)

    def start(self) -> None:
        """Make what falls due from now on, and what has fallen due meanwhile."""
        self._runs = True
        self._arm()

    async def aclose(self) -> None:
        """Make no more calls, until they are started again."""
        self._runs = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Have something done at a loop time, such as finding out whether a job has ended."""
        heapq.heappush(self._heap, (when, next(self._order), act))
        if self._runs:
            self._arm()

    def make(
        self,
        job: str | int,
        url: str,
        document: Callable[[], Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Make a call now, unless faults have it otherwise.

        Args:
            job: Id of the job that it is about.
            url: Where it goes.
            document: Gives what is sent as JSON.
            headers: Further headers.
        """
        headers = headers or {}

        now = asyncio.get_running_loop().time()
        for late in self.faults.times(self._rng):
            self.at(now + late, lambda: self._begin(job, url, document(), headers))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
        self._arm()

    def _begin(self, job: str | int, url: str, document: Any, headers: Mapping[str, str]) -> None:
        task = asyncio.get_running_loop().create_task(self._send(job, url, document, headers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(
        self, job: str | int, url: str, document: Any, headers: Mapping[str, str]
    ) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30.0))
        at = asyncio.get_running_loop().time()
        status: int | None = None
        try:
            if urlsplit(url).hostname in _HERE:
                async with self._session.post(
                    url, json=document, headers=headers, allow_redirects=False
                ) as response:
                    status = response.status
        except (aiohttp.ClientError, ValueError, TimeoutError):
            pass  # nobody there, or no address: the service goes on all the same
        self.made.append(Call(at, job, url, status))
