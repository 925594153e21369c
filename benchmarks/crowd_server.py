"""A server in a process of its own that shows many jobs as they run to their end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from multiprocessing.connection import Connection
from typing import Any, Final, Literal

import attrs

from benchmarks.crowd import CROWDS, Fate
from benchmarks.served import Server, answer_all

__all__ = ["CrowdServer", "Told"]


@attrs.frozen
class Told:
    """What a server has done so far.

    Attributes:
        cpu: Seconds of the processor.
        asked: Requests since the jobs began, by what they asked for.
    """

    cpu: float
    asked: Counter[str]


class CrowdServer(Server):
    """Runs the server; use it with ``with``.

    Args:
        service: Whose jobs they are.
        fates: What becomes of them.
    """

    def __init__(self, service: str, fates: Sequence[Fate]) -> None:
        super().__init__(_serve, service, fates)

    def begin(self) -> float:
        """All jobs begin.

        Returns:
            When, by ``time.monotonic()``, which is the same in all processes.
        """
        began: float = self._tell("begin")
        return began

    def told(self) -> Told:
        """What it has done."""
        told: Told = self._tell("told")
        return told

    def _tell(self, word: Literal["begin", "told"]) -> Any:
        self._pipe.send(word)
        return self._pipe.recv()


HEAD: Final = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: {date}\r\n"
    "{more}Content-Length: {size}\r\n\r\n"
)


def _serve(pipe: Connection, service: str, fates: Sequence[Fate]) -> None:
    crowd = CROWDS[service](fates)
    date = _date()

    def answer(request: bytes) -> bytes:
        path = request.split(b" ", 2)[1].decode("ascii")
        body, more = crowd.answer(path, time.monotonic())
        head = HEAD.format(date=date(time.time()), more=more, size=len(body))
        return head.encode() + body

    def told(word: str) -> float | Told:
        if word == "told":
            return Told(time.process_time(), crowd.asked)
        now = time.monotonic()
        crowd.begin(now, time.time())
        return now

    answer_all(pipe, answer, told)


def _date() -> Callable[[float], str]:
    """Makes a date of a time, anew only once a second."""
    second, text = 0, ""

    def date(now: float) -> str:
        nonlocal second, text
        if int(now) != second:
            second = int(now)
            text = formatdate(second, usegmt=True)
        return text

    return date
