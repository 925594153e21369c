"""The clock of an embedded server: the running loop's, so that virtual time works."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

__all__ = ["Clock"]


class Clock:
    """Tells the time in seconds of the running event loop, and as the server's dates.

    Args:
        epoch: The server's date when the clock is made; the present one by default.
    """

    def __init__(self, epoch: datetime | None = None) -> None:
        self._start = asyncio.get_running_loop().time()
        self._epoch = epoch or datetime.now(UTC)

    def time(self) -> float:
        """Seconds of the running loop, the scale of all times in the ledger."""
        now = asyncio.get_running_loop().time()
        # Time runs backwards once: from the fixture that made the server, in real time, to the
        # test that uses it in virtual time.
        self._start = min(self._start, now)
        return now

    def date(self, at: float | None = None) -> datetime:
        """The server's date at a loop time, by default now."""
        now = self.time()
        return self._epoch + timedelta(seconds=(now if at is None else at) - self._start)

    def http_date(self) -> str:
        """The Date header of an answer given now."""
        return format_datetime(self.date().replace(microsecond=0), usegmt=True)
