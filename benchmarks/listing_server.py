"""A server in a process of its own that sends a prepared EcoTaxa listing."""

from __future__ import annotations

import asyncio
import gzip
import json
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from aiohttp import web

from benchmarks.served import AppServer

__all__ = ["ListingServer"]


class ListingServer(AppServer):
    """Runs the server; use it with ``with``.

    Args:
        jobs: Number of jobs in the listing, with the ids from 1 on.
        size: Bytes of the listing, about.
    """

    def __init__(self, jobs: int, size: int) -> None:
        context = get_context("spawn")
        self._ended = context.Value("i", 0)
        self._asked = context.Value("i", 0)
        super().__init__(_app, self._ended, self._asked, jobs, size)

    def url(self, coding: str) -> str:
        """A base URL; the listing is sent as ``identity`` or as ``gzip``."""
        return f"{self.base_url}/{coding}"

    def begin(self) -> None:
        """All jobs run, and nobody has asked."""
        self._ended.value = self._asked.value = 0

    def end_all(self) -> None:
        """All jobs have ended."""
        self._ended.value = 1

    async def asked(self, times: int) -> None:
        """Until it has been asked for the listing so often."""
        while self._asked.value < times:  # noqa: ASYNC110 - told by another process
            await asyncio.sleep(0.01)


def _app(
    ended: Synchronized[int], asked: Synchronized[int], jobs: int, size: int
) -> web.Application:
    bodies: dict[tuple[str, int], bytes] = {}
    for end in (0, 1):
        body = _listing(jobs, size, ended=bool(end))
        bodies["identity", end] = body
        bodies["gzip", end] = gzip.compress(body, 4)

    async def listing(request: web.Request) -> web.Response:
        asked.value += 1
        coding = request.match_info["coding"]
        headers = {"Content-Encoding": coding} if coding == "gzip" else {}
        return web.Response(
            body=bodies[coding, ended.value], content_type="application/json", headers=headers
        )

    app = web.Application()
    app.router.add_get("/{coding}/jobs/", listing)
    return app


def _listing(jobs: int, size: int, *, ended: bool) -> bytes:
    """The listing: import jobs with the column mappings that make real ones large."""
    rows = [_row(index, 0, ended=ended) for index in range(jobs)]
    lacking = size // jobs - len(json.dumps(rows[-1]))
    columns = max(0, lacking) // len(json.dumps({"object_lat_000": "n000"}))
    return json.dumps([_row(index, columns, ended=ended) for index in range(jobs)]).encode()


def _row(index: int, columns: int, *, ended: bool) -> dict[str, Any]:
    mapping = {f"object_lat_{column:03}": f"n{column:03}" for column in range(columns)}
    return {
        "id": index + 1,
        "owner_id": 760,
        "type": "FileImport",
        "params": {"prj_id": 4711, "req": {"source_path": f"/import/{index}.zip", "taxo": {}}},
        "result": {"rowcount": index} if ended else {},
        "errors": [],
        "question": {},
        "reply": {},
        "inside": {"mapping": mapping},
        "state": "F" if ended else "R",
        "step": None,
        "progress_pct": 100 if ended else index % 100,
        "progress_msg": "Done" if ended else f"Working on row {index}",
        "creation_date": "2026-03-01T10:00:05.123456",
        "updated_on": f"2026-03-01T10:{index % 60:02}:05.654321",
    }
