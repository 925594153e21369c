"""A FastAPI application that transcodes videos with Vidispine.

Try it against an embedded Vidispine, and open http://127.0.0.1:8000::

    pip install "jobkit-async[examples]"
    python examples/web/fastapi_app.py

In earnest, with several workers, from this folder::

    export VIDISPINE_USERNAME=... VIDISPINE_PASSWORD=... VIDISPINE_BASE_URL=https://...
    export PUBLIC_URL=https://app.example JOBS_DB=/var/lib/app/jobs.sqlite
    export CALLBACK_SECRET=... VIDISPINE_NOTIFICATION=VX-N1
    uvicorn --factory fastapi_app:make_app --workers 4 --timeout-graceful-shutdown 3
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypedDict

import uvicorn
from desk import Desk, open_desk
from embedded import a_vidispine, arguments
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from store import Row, Store

from jobkit_async import CallbackReceiver, InvalidArgument, JobkitError, Polling, VidispineClient
from jobkit_async.services.vidispine import models

log = logging.getLogger("example.app")

PAGE = Path(__file__).with_name("page.html")


class State(TypedDict):
    """What lives as long as the application."""

    client: VidispineClient
    desk: Desk


class Wanted(BaseModel):
    """What a visitor wants to be done."""

    document: str = Field(min_length=1, max_length=200)


async def desk_of(request: Request) -> Desk:
    """The desk of this process."""
    desk: Desk = request.state.desk
    return desk


async def row_of(row_id: str, desk: Annotated[Desk, Depends(desk_of)]) -> Row:
    """The job that a path names."""
    row = await desk.find(row_id)
    if row is None:
        raise HTTPException(404, "there is no such job")
    return row


AtDesk = Annotated[Desk, Depends(desk_of)]
OfPath = Annotated[Row, Depends(row_of)]
router = APIRouter()


@router.get("/", response_class=FileResponse)
async def form() -> FileResponse:
    """The form."""
    return FileResponse(PAGE)


@router.post("/jobs", status_code=201)
async def start(wanted: Wanted, request: Request, desk: AtDesk) -> dict[str, str]:
    """Start a job; where its page is."""
    client: VidispineClient = request.state.client
    document = models.KeyValueType(key="document", value=wanted.document)
    job = await client.jobs.create_custom_job(
        "TRANSCODE",
        models.SimpleMetadataType(field=[document]),
        notification=os.environ.get("VIDISPINE_NOTIFICATION"),
    )
    row = await desk.add(job)
    return {"id": row.id, "page": f"/jobs/{row.id}"}


@router.get("/jobs/{row_id}", response_class=FileResponse)
async def page(row: OfPath) -> FileResponse:
    """The page of a job."""
    return FileResponse(PAGE)


@router.get("/jobs/{row_id}/events", response_class=StreamingResponse)
async def events(row: OfPath, desk: AtDesk) -> StreamingResponse:
    """What happens to a job, as server-sent events."""
    return StreamingResponse(
        desk.stream(row),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """What visitors are told where the service cannot do what they want."""
    return JSONResponse({"detail": str(error)}, 422 if isinstance(error, InvalidArgument) else 502)


def make_app() -> FastAPI:
    """The application, as the environment says."""
    # With a secret of its own the address of callbacks outlives the process.
    receiver = CallbackReceiver(
        os.environ["PUBLIC_URL"] + "/callbacks", secret=os.environ.get("CALLBACK_SECRET")
    )

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[State]:
        # One client for all requests. Visitors want to see progress: look every two seconds.
        client = VidispineClient.from_env(polling=Polling(max_interval=2.0))
        store = Store(Path(os.environ["JOBS_DB"]), owner=f"{socket.gethostname()} {os.getpid()}")
        async with client, open_desk(client, store) as desk:
            log.info("notifications go to %s", receiver.url_for(client))
            yield {"client": client, "desk": desk}

    app = FastAPI(title="Jobs", lifespan=life)
    app.include_router(router)
    app.mount("/callbacks", receiver)
    app.add_exception_handler(JobkitError, refuse)
    return app


if __name__ == "__main__":
    with a_vidispine(arguments(__doc__)) as port:
        uvicorn.run(make_app(), port=port, timeout_graceful_shutdown=3)
