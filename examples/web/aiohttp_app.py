"""An ``aiohttp.web`` application that reads documents with Leia.

Try it against an embedded Leia, and open http://127.0.0.1:8000::

    python examples/web/aiohttp_app.py

In earnest, with several workers, from this folder::

    export LEIA_API_KEY=... PUBLIC_URL=https://app.example CALLBACK_SECRET=...
    export JOBS_DB=/var/lib/app/jobs.sqlite
    gunicorn aiohttp_app:make_app --worker-class aiohttp.GunicornWebWorker --workers 4
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

from aiohttp import web
from desk import Desk, open_desk
from embedded import a_leia, arguments
from store import Row, Store

from jobkit_async import CallbackReceiver, InvalidArgument, JobkitError, LeiaClient, Polling

CLIENT = web.AppKey("client", LeiaClient)
DESK = web.AppKey("desk", Desk)
RECEIVER = web.AppKey("receiver", CallbackReceiver)

APPLICATION, MODEL = "app-1", "invoices"
PAGE = Path(__file__).with_name("page.html")

routes = web.RouteTableDef()


@routes.get("/")
async def form(request: web.Request) -> web.FileResponse:
    """The form."""
    return web.FileResponse(PAGE)


@routes.post("/jobs")
async def start(request: web.Request) -> web.Response:
    """Start a job; where its page is."""
    try:
        document = (await request.json())["document"]
    except (ValueError, TypeError, LookupError):
        return web.json_response({"detail": "a document is due, as JSON"}, status=422)
    client = request.app[CLIENT]
    try:
        job = await client.models.admin_apply_model_async(
            APPLICATION,
            MODEL,
            [document],
            callback_url=request.app[RECEIVER].url_for(client),
        )
    except JobkitError as error:
        status = 422 if isinstance(error, InvalidArgument) else 502
        return web.json_response({"detail": str(error)}, status=status)
    row = await request.app[DESK].add(job)
    return web.json_response({"id": row.id, "page": f"/jobs/{row.id}"}, status=201)


async def row_of(request: web.Request) -> Row:
    """The job that a path names."""
    row = await request.app[DESK].find(request.match_info["row_id"])
    if row is None:
        raise web.HTTPNotFound(text="there is no such job")
    return row


@routes.get("/jobs/{row_id}")
async def page(request: web.Request) -> web.FileResponse:
    """The page of a job."""
    await row_of(request)
    return web.FileResponse(PAGE)


@routes.get("/jobs/{row_id}/events")
async def events(request: web.Request) -> web.StreamResponse:
    """What happens to a job, as server-sent events."""
    row = await row_of(request)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    await response.prepare(request)
    async with aclosing(request.app[DESK].stream(row)) as chunks:
        async for chunk in chunks:
            await response.write(chunk)  # which fails once the visitor has gone
    return response


async def life(app: web.Application) -> AsyncIterator[None]:
    """One client for all requests, which looks every two seconds for its visitors; and a desk."""
    client = LeiaClient.from_env(polling=Polling(max_interval=2.0))
    store = Store(Path(os.environ["JOBS_DB"]), owner=f"{socket.gethostname()} {os.getpid()}")
    async with client, open_desk(client, store) as desk:
        app[CLIENT], app[DESK] = client, desk
        app[RECEIVER].url_for(client)
        yield


async def end_streams(app: web.Application) -> None:
    """The server is to stop, and waits for its visitors."""
    app[DESK].end_streams()


async def make_app() -> web.Application:
    """The application, as the environment says."""
    app = web.Application()
    # With a secret of its own the address of callbacks outlives the process.
    app[RECEIVER] = CallbackReceiver(
        os.environ["PUBLIC_URL"] + "/callbacks", secret=os.environ.get("CALLBACK_SECRET")
    )
    app.add_subapp("/callbacks", app[RECEIVER].aiohttp_app())
    app.add_routes(routes)
    app.cleanup_ctx.append(life)
    app.on_shutdown.append(end_streams)
    return app


if __name__ == "__main__":
    with a_leia(arguments(__doc__)) as port:
        web.run_app(make_app(), host="127.0.0.1", port=port)
