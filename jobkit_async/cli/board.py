"""The live table of ``jobkit wait``: as many jobs as fit, and how many there are of the rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobkit_async.cli.common import counts, span
from jobkit_async.cli.told import News, Teller, age_of
from jobkit_async.job import Job
from jobkit_async.states import JobState

__all__ = ["Board"]

LEAST: Final = (20, 5)
"""Columns and lines of the smallest terminal that shows a table."""
BESIDE: Final = 4
"""Lines beside those of jobs: the counts, the headings, the rest, and the cursor's."""
RECENT: Final = 3
"""The share of the lines that is kept for jobs that have ended of late is one in this many."""
_ORDER: Final = (JobState.NEEDS_INPUT, JobState.RUNNING, JobState.PENDING, JobState.UNKNOWN)
_STYLES: Final = {
    JobState.NEEDS_INPUT: "magenta",
    JobState.RUNNING: "cyan",
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
}


class Board(Teller):
    """Shows jobs in a table that is drawn anew now and then.

    Args:
        console: The terminal.
        service: Name of the service.
        jobs: The jobs.
        ended: What is known of those whose waits have ended, in the order of their ends.
    """

    def __init__(
        self,
        console: Console,
        service: str,
        jobs: Sequence[Job[Any]],
        ended: Mapping[Job[Any], News],
    ) -> None:
        self._console = console
        self._service = service
        self._jobs = jobs
        self._ended = ended
        self._began = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    @staticmethod
    def fits(console: Console) -> bool:
        """Whether a terminal is large enough for a table."""
        return console.width >= LEAST[0] and console.height >= LEAST[1]

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.draw()
        self._live.stop()

    def draw(self) -> None:
        self._live.update(self.picture(), refresh=True)

    def picture(self) -> RenderableType:
        """The table as of now."""
        width, lines = self._console.width, max(1, self._console.height - BESIDE)
        shown = self._shown(lines)
        states = Counter(job.state for job in self._jobs)
        head = f"{self._service} {span(time.monotonic() - self._began)}  {counts(states)}"
        parts: list[RenderableType] = [Text(head, no_wrap=True, overflow="ellipsis")]
        parts.append(self._table(shown, width))
        states.subtract(job.state for job in shown)
        rest = len(self._jobs) - len(shown)
        if rest:
            more = f"... and {rest} more: {counts(states)}"
            parts.append(Text(more, style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _shown(self, lines: int) -> list[Job[Any]]:
        """Those that are on their way, and those that ended last."""
        if len(self._jobs) <= lines:
            return list(self._jobs)
        groups: dict[JobState, list[Job[Any]]] = {state: [] for state in _ORDER}
        for job in self._jobs:
            if job not in self._ended and job.state in groups:
                groups[job.state].append(job)
        alive = [job for state in _ORDER for job in groups[state]]
        recent = min(len(self._ended), max(lines // RECENT, lines - len(alive)))
        ended = list(self._ended)[len(self._ended) - recent :]
        return [*alive[: lines - recent], *reversed(ended)]

    def _table(self, jobs: Sequence[Job[Any]], width: int) -> Table:
        table = Table(
            box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True, header_style="dim"
        )
        table.add_column("job", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("state", no_wrap=True, min_width=min(11, width // 2))
        if width >= 72:
            table.add_column("progress", width=16)
        if width >= 36:
            table.add_column("", justify="right", width=4, no_wrap=True)
        if width >= 52:
            table.add_column("age", justify="right", width=8, no_wrap=True)
            table.add_column("left", justify="right", width=8, no_wrap=True)
        for job in jobs:
            table.add_row(*self._cells(job, width))
        return table

    def _cells(self, job: Job[Any], width: int) -> list[RenderableType]:
        news = self._ended.get(job)
        done = 1.0 if job.state is JobState.SUCCEEDED else job.progress
        state = str(job.state).replace("_", " ")
        cells: list[RenderableType] = [str(job.id), Text(state, style=_STYLES.get(job.state, ""))]
        if width >= 72:
            cells.append("" if done is None else ProgressBar(total=1.0, completed=done, width=16))
        if width >= 36:
            cells.append("" if done is None else f"{done:.0%}")
        if width >= 52:
            cells.append(span(age_of(job, None if news is None else news.at)))
            left = job.time_left() if news is None else None
            cells.append("" if left is None else f"~{span(left)}")
        return cells
