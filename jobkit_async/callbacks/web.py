"""The receiver as a sub-application of ``aiohttp.web``."""

from __future__ import annotations

from aiohttp import web

from jobkit_async.callbacks.receiver import CallbackReceiver

__all__ = ["application"]


def application(receiver: CallbackReceiver) -> web.Application:
    """An application that hands everything below it to a receiver."""

    async def take(request: web.Request) -> web.Response:
        try:
            answer = await receiver.answer(
                request.method,
                request.match_info["token"],
                request.headers.get("Content-Length"),
                request.content.iter_any(),
            )
        except web.RequestPayloadError:  # such as one that cannot be unpacked
            return web.Response(status=400, text="the body cannot be read")
        return web.Response(
            status=answer.status, text=answer.text or None, headers=dict(answer.headers)
        )

    app = web.Application()
    app.router.add_route("*", "/{token}", take)
    return app
