"""Jobs in memory whose ends are dated, as those of all four services are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from benchmarks.memory_source import MemoryClient, MemoryJob, MemorySource
from jobkit_async.polling.source import Ask, Observed, Sighting

__all__ = ["DatedSource"]

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
KIND: Final = "job"


class DatedSource(MemorySource):
    """A service in memory that tells when its jobs began and ended."""

    def __init__(self, batch: int | None = None) -> None:
        super().__init__(batch)
        self._born: dict[str, float] = {}
        self._count = 0

    async def observe(self, asks: Mapping[str, Ask]) -> Observed[str]:
        observed = await super().observe(asks)
        seen = {key: self._dated(key, sighting) for key, sighting in observed.seen.items()}
        return attrs.evolve(observed, seen=seen)

    def _dated(self, key: str, sighting: Sighting[str]) -> Sighting[str]:
        if not sighting.state.ended:
            return sighting
        born, end = self._born.pop(key), self.ends.pop(key)
        return attrs.evolve(
            sighting,
            kind=KIND,
            created_at=EPOCH + timedelta(seconds=born),
            ended_at=EPOCH + timedelta(seconds=end),
        )

    def begin(self, client: MemoryClient, seconds: float = math.inf) -> MemoryJob:
        """A job that has just been made.

        Args:
            client: The client of this service.
            seconds: How long it runs.
        """
        self._count += 1
        key = str(self._count)
        self._born[key] = asyncio.get_running_loop().time()
        job = client.submit(key, seconds)
        job._record.kind = KIND
        return job
