"""The jobs of a web application in SQLite: what has to outlive a process, and who follows what.

A job is kept by its ``ref``, which any process can take up again. A process that follows a job
holds a claim on it for a while, and renews it; where a process is gone, its claims run out, and
another one takes its jobs over.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, TypeVar

ResultT = TypeVar("ResultT")

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    ref TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    message TEXT NOT NULL DEFAULT '',
    ended INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL,
    claimed_until REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS open_jobs ON jobs (claimed_until) WHERE NOT ended;
"""


class Row(NamedTuple):
    """A job as it is kept.

    Attributes:
        id: What it is called in this application; it cannot be guessed.
        ref: What takes it up again.
        state: How it ended, or ``pending``.
        message: What there is to say about that.
        ended: Whether it has.
    """

    id: str
    ref: str
    state: str
    message: str
    ended: bool


class Store:
    """Keeps jobs in a file, which several processes may share.

    Args:
        path: The file.
        owner: Who claims jobs; a process each.
        clock: Tells the time in seconds; all processes need the same.
    """

    def __init__(self, path: Path, owner: str, clock: Callable[[], float] = time.time) -> None:
        self._owner = owner
        self._clock = clock
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=10.0, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(SCHEMA)

    async def add(self, ref: str, lease: float) -> Row:
        """Keep a new job, and claim it for so many seconds."""
        row = Row(secrets.token_urlsafe(12), ref, "pending", "", ended=False)
        until = self._clock() + lease

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO jobs (id, ref, owner, claimed_until) VALUES (?, ?, ?, ?)",
                (row.id, ref, self._owner, until),
            )

        await self._run(insert)
        return row

    async def find(self, row_id: str) -> Row | None:
        """A job by its id; None if there is none."""

        def select(connection: sqlite3.Connection) -> Row | None:
            found = connection.execute(
                "SELECT id, ref, state, message, ended FROM jobs WHERE id = ?", (row_id,)
            ).fetchone()
            return None if found is None else Row._make([*found[:4], bool(found[4])])

        return await self._run(select)

    async def finish(self, row_id: str, state: str, message: str) -> None:
        """Note how a job ended."""

        def update(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE jobs SET ended = 1, state = ?, message = ? WHERE id = ?",
                (state, message, row_id),
            )

        await self._run(update)

    async def renew(self, row_ids: Collection[str], lease: float) -> None:
        """Go on claiming jobs for so many seconds."""
        until = self._clock() + lease

        def update(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE jobs SET claimed_until = ? WHERE id = ? AND owner = ?",
                [(until, row_id, self._owner) for row_id in row_ids],
            )

        await self._run(update)

    async def claim(self, lease: float) -> list[Row]:
        """Claim the open jobs that nobody claims any more."""
        now = self._clock()

        def update(connection: sqlite3.Connection) -> list[Row]:
            found = connection.execute(
                "UPDATE jobs SET owner = ?, claimed_until = ? "
                "WHERE NOT ended AND claimed_until <= ? RETURNING id, ref, state, message",
                (self._owner, now + lease, now),
            ).fetchall()
            return [Row._make([*each, False]) for each in found]

        return await self._run(update)

    async def release(self) -> None:
        """Leave all open jobs to others, at once."""

        def update(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE jobs SET claimed_until = 0 WHERE NOT ended AND owner = ?", (self._owner,)
            )

        await self._run(update)

    async def aclose(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._connection.close)

    async def _run(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Do something in one transaction, in a thread: a disk may be slow."""

        def transact() -> ResultT:
            with self._lock, self._connection:
                return work(self._connection)

        return await asyncio.to_thread(transact)
