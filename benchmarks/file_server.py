"""A plain aiohttp server in a process of its own that gives files and takes them."""

from __future__ import annotations

import asyncio
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

__all__ = ["FileServer"]


class FileServer:
    """Runs the server; use it with ``with``.

    Its addresses are those of Leia's models: the contents of any model are the file, and whatever
    is sent as a new model is read and counted.

    Args:
        file: What it gives.
    """

    def __init__(self, file: Path) -> None:
        context = get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, file), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.base_url = f"http://127.0.0.1:{self._ours.recv()}"
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, file: Path) -> None:
    async def give(_: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    async def take(request: web.Request) -> web.Response:
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
        return web.json_response(
            {
                "id": "m",
                "name": "m",
                "model_type": "t",
                "model_module": "m",
                "model_clazz": "C",
                "input_types": [],
                "creation_time": "2026-03-01T10:00:05Z",
                "size": size,
            },
            status=201,
        )

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/admin/{application}/model/{model}/file_contents", give)
        app.router.add_post("/admin/{application}/model", take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())
