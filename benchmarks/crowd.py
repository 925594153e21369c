"""Many jobs that begin at one moment, and what their service shows of them at any time.

A server that makes each answer anew takes longer for it than the clients that it is there to
measure. So whatever can be is written beforehand, and only dates and progress are filled in.
"""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs

import attrs

from benchmarks.listings import SERVICES
from benchmarks.workloads import LogNormal

__all__ = [
    "CROWDS",
    "SUBMITTER",
    "WARM_UP",
    "Crowd",
    "EcotaxaCrowd",
    "Fate",
    "LeiaCrowd",
    "fates",
]

SIGMA: Final = 0.6
LONGEST: Final = 3.0
"""So many medians are the longest that a job lasts."""
WARM_UP: Final = 8
"""So many jobs have ended before the others begin; they come last."""
SUBMITTER: Final = "app-1"
"""Who submitted Leia's jobs, where paths have to tell."""
HOLES: Final = {
    **dict.fromkeys(("creation_date", "creation_time", "starting_time"), "@created@"),
    **dict.fromkeys(("updated_on", "finished_time"), "@updated@"),
    "progress_pct": "@percent@",
}
"""What stands in a template for members that are filled in."""
PLACES: Final = {
    "@created@": '"%(created)s"',
    "@updated@": '"%(updated)s"',
    "@percent@": "%(percent)d",
}
PAGE: Final = 100
"""The most jobs in a page of Leia's listing."""


@attrs.frozen
class Fate:
    """How many seconds a job lasts, and whether it fails."""

    seconds: float
    failed: bool


def fates(jobs: int, median: float) -> list[Fate]:
    """What becomes of so many jobs, one in ten of which fails; the same in every process."""
    law, rng = LogNormal(median, SIGMA), random.Random(5)
    found: list[Fate] = []
    while len(found) < jobs:
        seconds = law.draw(rng)
        if seconds <= LONGEST * median:
            found.append(Fate(seconds, rng.random() < 0.1))
    return found


class Crowd(ABC):
    """The jobs of a service, by their places in its listings; the last of them ended long ago.

    Args:
        fates: What becomes of the others.

    Attributes:
        asked: Number of requests by what they asked for: ``status``, or ``final`` for what takes
            full jobs once their end is known.
    """

    service: ClassVar[str]
    date_end: ClassVar[str] = ""
    """What follows a date, which is in UTC."""

    def __init__(self, fates: Sequence[Fate]) -> None:
        self._fates = [*fates, *[Fate(0.0, failed=False)] * WARM_UP]
        self._alive = [self._template(i, "running") for i in range(len(self._fates))]
        self._over = [
            self._template(i, "failed" if fate.failed else "succeeded")
            for i, fate in enumerate(self._fates)
        ]
        self._order = sorted(range(len(self._fates)), key=lambda i: self._fates[i].seconds)
        self.begin(0.0, 0.0)

    def begin(self, now: float, date: float) -> None:
        """All jobs begin anew, and nobody has asked.

        Args:
            now: The time, in seconds of the clock by which answers are asked for.
            date: The Unix time that this is.
        """
        self.asked: Counter[str] = Counter()
        self._began, self._date = now, date
        self._created = self._date_at(0.0)
        self._shown: list[bytes | None] = [None] * len(self._fates)
        self._ended: dict[bool, list[int]] = {False: [], True: []}
        self._left = self._order[::-1]

    @abstractmethod
    def answer(self, path: str, now: float) -> tuple[bytes, str]:
        """The body of an answer, and lines to add to its head.

        Args:
            path: What is asked for, with the query.
            now: When.
        """

    def _template(self, index: int, phase: str) -> bytes:
        """A job's JSON text, with places for what is to be filled in."""
        row: dict[str, Any] = dict(SERVICES[self.service](index, phase, 0))
        for name in row.keys() & HOLES.keys():
            if row[name] is not None:
                row[name] = HOLES[name]
        text = json.dumps(row).replace("%", "%%")
        for hole, place in PLACES.items():
            text = text.replace(f'"{hole}"', place)
        return text.encode()

    def _pass(self, now: float) -> float:
        """Let those end whose time has come.

        Returns:
            How old they are, or would be.
        """
        age = now - self._began
        while self._left and self._fates[self._left[-1]].seconds <= age:
            index = self._left.pop()
            fate = self._fates[index]
            self._shown[index] = self._filled(self._over[index], fate.seconds, 100)
            self._ended[fate.failed].append(index)
        return age

    def _row(self, index: int, age: float) -> bytes:
        """A full job."""
        shown = self._shown[index]
        if shown is not None:
            return shown
        seconds = self._fates[index].seconds
        percent = int(100.0 * age / seconds)
        return self._filled(self._alive[index], 0.01 * percent * seconds, percent)

    def _filled(self, template: bytes, updated: float, percent: int) -> bytes:
        date = self._date_at(updated)
        return template % {b"created": self._created, b"updated": date, b"percent": percent}

    def _date_at(self, age: float) -> bytes:
        date = datetime.fromtimestamp(self._date + age, UTC).replace(tzinfo=None)
        return f"{date.isoformat(timespec='milliseconds')}{self.date_end}".encode()


class EcotaxaCrowd(Crowd):
    """Single jobs, and the complete listing."""

    service = "ecotaxa"

    def answer(self, path: str, now: float) -> tuple[bytes, str]:
        age = self._pass(now)
        self.asked["status"] += 1
        _, _, job_id, *_ = path.split("/")
        if job_id and not job_id.startswith("?"):
            return self._row(int(job_id) - 1, age), ""
        rows = b",".join([self._row(index, age) for index in range(len(self._fates))])
        return b"[" + rows + b"]", ""


class LeiaCrowd(Crowd):
    """Single jobs, the statuses of given ones, and pages of those that ended last."""

    service = "leia"
    date_end = "Z"

    def answer(self, path: str, now: float) -> tuple[bytes, str]:
        age = self._pass(now)
        _, _, who, *rest = path.split("/")
        if not rest:
            self.asked["final"] += 1
            return self._page(parse_qs(who.partition("?")[2]))
        _, job_ids, *status = rest
        if not status:
            self.asked["final"] += 1
            return self._row(_place(job_ids), age), ""
        self.asked["status"] += 1
        words = {job_id: self._word(_place(job_id)) for job_id in job_ids.split(",")}
        return json.dumps(words).encode(), ""

    def _word(self, index: int) -> str:
        if self._shown[index] is None:
            return "PROCESSING"
        return "FAILED" if self._fates[index].failed else "PROCESSED"

    def _page(self, query: dict[str, list[str]]) -> tuple[bytes, str]:
        ended = {"PROCESSED": self._ended[False], "FAILED": self._ended[True]}
        found = ended.get(query["status"][0], [])
        first = int(query["offset"][0])
        newest = range(len(found) - 1 - first, max(-1, len(found) - 1 - first - PAGE), -1)
        rows = b",".join([self._shown[found[at]] or b"" for at in newest])
        last = max(first, first + len(newest) - 1)
        return b"[" + rows + b"]", f"Content-Range: {first}-{last}/{len(found)}\r\n"


def _place(job_id: str) -> int:
    """The place of one of Leia's jobs."""
    return int(job_id[16:], 16)


CROWDS: Final[dict[str, type[Crowd]]] = {"ecotaxa": EcotaxaCrowd, "leia": LeiaCrowd}
