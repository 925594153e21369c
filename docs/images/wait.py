"""Draws ``wait.svg``: what ``jobkit wait`` shows half-way, in a real run of two minutes.

``python docs/images/wait.py`` starts an embedded EcoTaxa with a few jobs, awaits them by the
command, and keeps the table as it stands after 45 seconds.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import threading
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

from jobkit_async.cli import board, commands, wait
from jobkit_async.testing import FakeEcotaxa, Plan

AFTER = 45.0
"""Seconds until the picture is taken."""
COMMAND = "jobkit wait ecotaxa 1 2 3 4 5 6 7 8 9"
PLANS = [
    Plan.succeeds(after=12),
    Plan.succeeds(after=25),
    Plan.fails("3 vignettes are missing", after=19),
    Plan.succeeds(after=55),
    Plan(running=40, outcome="question"),
    Plan.succeeds(after=63),
    Plan.succeeds(after=70, queued=8),
    Plan.succeeds(after=90, queued=30),
    Plan.succeeds(after=95, queued=80),
]


class Photographed(board.Board):
    """The table; it is drawn into the picture once, besides."""

    began = time.monotonic()
    paper: Console | None = Console(record=True, file=io.StringIO(), width=84, force_terminal=True)

    def draw(self) -> None:
        super().draw()
        if self.paper is not None and time.monotonic() - self.began > AFTER:
            self.paper.print(f"[bold]$[/bold] {COMMAND}", highlight=False)
            self.paper.print(self.picture())
            drawing = self.paper.export_svg(title="jobkit wait", unique_id="wait")
            # Nobody who looks at it is to fetch fonts from somewhere: any of one width will do.
            drawing = re.sub(r"@font-face \{.*?\}\s*", "", drawing, flags=re.DOTALL)
            Path(__file__).with_suffix(".svg").write_text(drawing, encoding="utf-8")
            type(self).paper = None


async def serve(ready: threading.Event) -> None:
    """Serve the jobs until this process ends."""
    async with FakeEcotaxa() as server:
        server.next_jobs(*PLANS)
        for _ in PLANS:
            server.create_job()
        os.environ.update(ECOTAXA_BASE_URL=server.base_url, ECOTAXA_TOKEN="eco-token")  # noqa: S106
        ready.set()
        await asyncio.Event().wait()


def main() -> None:
    """Run the command, and draw."""
    ready = threading.Event()
    threading.Thread(target=asyncio.run, args=(serve(ready),), daemon=True).start()
    ready.wait(10)
    terminal = partial(Console, file=io.StringIO(), width=84, height=24, force_terminal=True)
    with patch.multiple(wait, Console=terminal, Board=Photographed):
        commands.main(COMMAND.split()[1:], prog_name="jobkit")


if __name__ == "__main__":
    main()
