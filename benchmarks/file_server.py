"""A plain aiohttp server in a process of its own that gives files and takes them."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from benchmarks.served import AppServer

__all__ = ["FileServer"]


class FileServer(AppServer):
    """Runs the server; use it with ``with``.

    Its addresses are those of Leia's models: the contents of any model are the file, and whatever
    is sent as a new model is read and counted.

    Args:
        file: What it gives.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(_app, file)


def _app(file: Path) -> web.Application:
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

    app = web.Application()
    app.router.add_get("/admin/{application}/model/{model}/file_contents", give)
    app.router.add_post("/admin/{application}/model", take)
    return app
