"""What both applications do with jobs: remember them, follow them, and tell visitors of them.

One desk serves a process. It knows nothing of HTTP but the form of server-sent events.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from store import Row, Store

from jobkit_async import (
    ClientClosed,
    Job,
    JobCancelled,
    JobError,
    JobFailed,
    JobkitError,
    PollingFailed,
)
from jobkit_async.service import ServiceClient

LEASE = 60.0
"""Seconds after which others take over the jobs of a process that is gone."""
HEARTBEAT = 15.0
"""Seconds after which a silent stream gives a sign of life: does anybody still read it?"""

log = logging.getLogger("example.desk")

Client = ServiceClient[Any, Any]


class Desk:
    """Follows the jobs of this process; use it with :func:`open_desk`.

    Args:
        client: Where the jobs are.
        store: Where they are kept.
        lease: Seconds for which a job is claimed at a time.
        heartbeat: Seconds between signs of life in a stream.
    """

    def __init__(
        self, client: Client, store: Store, lease: float = LEASE, heartbeat: float = HEARTBEAT
    ) -> None:
        self._client = client
        self._store = store
        self._lease = lease
        self._heartbeat = heartbeat
        self._following: dict[str, asyncio.Task[None]] = {}
        self._closing = asyncio.Event()

    async def add(self, job: Job[Any]) -> Row:
        """Keep a job that has just been started, and follow it to its end."""
        row = await self._store.add(job.ref, self._lease)
        self._follow(row)
        return row

    async def find(self, row_id: str) -> Row | None:
        """A job by its id in this application; None if there is none."""
        return await self._store.find(row_id)

    # -- following

    async def keep_claims(self) -> None:
        """Follow what nobody follows, and go on claiming what is followed here; for ever."""
        while True:
            try:
                await self._store.renew(list(self._following), self._lease)
                for row in await self._store.claim(self._lease):
                    self._follow(row)
            except Exception:
                log.exception("the store is out of order")
            await asyncio.sleep(self._lease / 3)

    def _follow(self, row: Row) -> None:
        if row.id not in self._following:
            task = asyncio.create_task(self._wait(row))
            self._following[row.id] = task
            task.add_done_callback(lambda _: self._following.pop(row.id, None))

    async def _wait(self, row: Row) -> None:
        """Wait for a job, and note its end. What does not end here stays open, for the next."""
        try:
            state, message = await _outcome(self._client.job_from_ref(row.ref))
        except (PollingFailed, ClientClosed) as error:
            log.warning("job %s is left for later: %s", row.id, error)
            return
        except JobkitError as error:  # the service has forgotten it, or it is of another one
            state, message = "unknown", str(error)
        await self._store.finish(row.id, state, message)

    # -- telling

    async def stream(self, row: Row) -> AsyncGenerator[bytes, None]:
        """A job's changes as server-sent events, up to its end.

        All streams and waits of a process share their looks at the service; one that is left has
        no effect on the others.
        """
        async with aclosing(self._states(row)) as states:
            closing = asyncio.ensure_future(self._closing.wait())
            state = asyncio.ensure_future(anext(states, None))
            try:
                while True:
                    done, _ = await asyncio.wait(
                        [state, closing],
                        timeout=self._heartbeat,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    if closing in done:
                        return  # without an end: the browser comes back to the next process
                    if state not in done:
                        yield b": still here\n\n"
                        continue
                    told = state.result()
                    if told is None:
                        break
                    yield b"data: " + json.dumps(told).encode() + b"\n\n"
                    state = asyncio.ensure_future(anext(states, None))
            except ClientClosed:
                return
            finally:
                closing.cancel()
                state.cancel()
                await asyncio.wait([closing, state])
        yield b"event: end\ndata: {}\n\n"

    async def _states(self, row: Row) -> AsyncGenerator[dict[str, Any], None]:
        row = await self._store.find(row.id) or row  # it may have ended meanwhile
        if row.ended:
            yield _told(row.state, None, row.message)
            return
        try:
            job = self._client.job_from_ref(row.ref)
            async with aclosing(job.updates()) as updates:
                async for update in updates:
                    if not update.state.ended:
                        text = update.message or update.raw_status
                        yield _told(update.state.value, update.progress, text)
            if job.state.ended:
                state, message = await _outcome(job)  # which is known by now
                yield _told(state, None, message)
        except JobError as error:
            yield _told("unknown", None, str(error))

    def end_streams(self) -> None:
        """End all streams, so that a server that waits for its visitors can go."""
        self._closing.set()

    async def aclose(self) -> None:
        """Follow no more jobs here. They go on, and are left to the next process."""
        self.end_streams()
        tasks = list(self._following.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._store.release()


@asynccontextmanager
async def open_desk(client: Client, store: Store, **options: float) -> AsyncIterator[Desk]:
    """A desk for the life of a process; it takes up what others have left."""
    desk = Desk(client, store, **options)
    claims = asyncio.create_task(desk.keep_claims())
    try:
        yield desk
    finally:
        claims.cancel()
        await asyncio.wait([claims])
        await desk.aclose()
        await store.aclose()


async def _outcome(job: Job[Any]) -> tuple[str, str]:
    """How a job ends, and what there is to say about that."""
    try:
        await job.wait(on_input="keep")
    except JobFailed as error:
        return "failed", error.reason or ""
    except JobCancelled:
        return "cancelled", ""
    return "succeeded", ""


def _told(state: str, progress: float | None, message: str) -> dict[str, Any]:
    done = 1.0 if state == "succeeded" else progress
    return {"state": state, "progress": done, "message": message}
