"""The receiver as an ASGI application, without any library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from jobkit_async.callbacks.receiver import CallbackReceiver, Message

__all__ = ["serve"]

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Gone(Exception):
    """The caller has hung up."""


async def serve(receiver: CallbackReceiver, scope: Message, receive: Receive, send: Send) -> None:
    """Serve one connection: a request, or the life of a server that runs nothing else."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
    elif scope["type"] == "http":
        await _respond(receiver, scope, receive, send)


async def _live(receive: Receive, send: Send) -> None:
    phase = ""
    while phase != "shutdown":
        phase = (await receive())["type"].rpartition(".")[2]
        await send({"type": f"lifespan.{phase}.complete"})


async def _respond(
    receiver: CallbackReceiver, scope: Message, receive: Receive, send: Send
) -> None:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    length = lengths[0].decode("latin-1") if lengths else None
    try:
        answer = await receiver.answer(scope["method"], scope["path"], length, _chunks(receive))
    except _Gone:
        return
    body = answer.text.encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    if body:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        yield message.get("body", b"")
        more = message.get("more_body", False)
