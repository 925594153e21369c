"""How long each step of an event loop holds it, and whose step it is."""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs

import jobkit_async.errors

__all__ = ["Kind", "Slice", "Slices", "new_loop"]

Kind = str
"""Whose step it is: ``own``, ``aiohttp`` or ``benchmark``."""

FLOOR: Final = 1e-4
"""Seconds from which on a step is worth being attributed."""
_HOMES: Final[dict[Kind, str]] = {
    "own": str(Path(jobkit_async.errors.__file__).parent),
    "aiohttp": str(Path(aiohttp.client.__file__).parent),
    "benchmark": str(Path(__file__).parent),
}


@attrs.frozen(kw_only=True)
class Slice:
    """One step of the loop: from when a callback or task is called to when it returns.

    Attributes:
        kind: Whose step it is.
        owner: The callback's or the task's name.
        seconds: How long it held the loop, without garbage collections.
        cpu: Processor time of the same; what is missing went to other processes.
    """

    kind: Kind
    owner: str
    seconds: float
    cpu: float


@attrs.define(eq=False)
class Slices:
    """The steps of an event loop, as far as they last.

    Attributes:
        slices: Those of more than :data:`FLOOR`.
        collections: Seconds of each garbage collection that fell into a step.
    """

    slices: list[Slice] = attrs.field(factory=list)
    collections: list[float] = attrs.field(factory=list)
    _collected: float = 0.0
    _began: float = 0.0

    def longest(self, kind: Kind, *, by_cpu: bool = False) -> Slice:
        """The longest of a kind, by the clock or by processor time; one of no length if none is."""
        none = Slice(kind=kind, owner="", seconds=0.0, cpu=0.0)
        of_kind = (each for each in self.slices if each.kind == kind)
        return max(of_kind, key=lambda each: each.cpu if by_cpu else each.seconds, default=none)

    @contextmanager
    def measured(self) -> Generator[None]:
        """Measure all steps that begin in here."""
        run: Any = asyncio.events.Handle._run

        def timed(handle: Any) -> None:
            callback = handle._callback  # forgotten when a step cancels its own handle
            self._collected = 0.0
            cpu, began = time.thread_time(), time.perf_counter()
            run(handle)
            seconds, cpu = time.perf_counter() - began, time.thread_time() - cpu
            if seconds >= FLOOR:
                collected = self._collected
                kind, owner = _attribute(callback)
                self.slices.append(
                    Slice(
                        kind=kind,
                        owner=owner,
                        seconds=seconds - collected,
                        cpu=max(0.0, cpu - collected),
                    )
                )

        setattr(asyncio.events.Handle, "_run", timed)  # noqa: B010 - a method to be put back
        gc.callbacks.append(self._on_collection)
        try:
            yield
        finally:
            gc.callbacks.remove(self._on_collection)
            setattr(asyncio.events.Handle, "_run", run)  # noqa: B010

    def _on_collection(self, phase: str, _: Any) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            seconds = time.perf_counter() - self._began
            self._collected += seconds
            self.collections.append(seconds)


def _attribute(callback: Any) -> tuple[Kind, str]:
    """Whose step a callback is; whatever is neither aiohttp's nor ours here counts as own work."""
    while isinstance(callback, partial):
        callback = callback.func
    holder = getattr(callback, "__self__", None)
    if isinstance(holder, asyncio.Task):
        code = getattr(holder.get_coro(), "cr_code", None)
        name = getattr(code, "co_qualname", "") or repr(holder.get_coro())
        return _kind(getattr(code, "co_filename", "")), f"{name} in {holder.get_name()}"
    name = getattr(callback, "__qualname__", repr(callback))
    if isinstance(holder, asyncio.BaseTransport):
        return "aiohttp", name  # it feeds aiohttp's parser
    code = getattr(callback, "__code__", None) or getattr(
        getattr(callback, "__func__", None), "__code__", None
    )
    return _kind(getattr(code, "co_filename", "")), name


def _kind(file: str) -> Kind:
    return next((kind for kind, home in _HOMES.items() if file.startswith(home)), "own")


class _Selector(selectors.DefaultSelector):
    """Tells how long the loop is busy between two waits for sockets and timers."""

    def __init__(self) -> None:
        super().__init__()
        self.since: float | None = None
        self.turns: list[float] = []

    def select(self, timeout: float | None = None) -> Any:
        if self.since is not None:
            self.turns.append(time.perf_counter() - self.since)
        ready = super().select(timeout)
        self.since = time.perf_counter()
        return ready


def new_loop() -> tuple[asyncio.AbstractEventLoop, list[float]]:
    """An event loop, and the seconds of each of its turns, which grows while it runs.

    A turn is all that happens between two looks at sockets: a program that shares the loop with
    us waits for it.
    """
    selector = _Selector()
    return asyncio.SelectorEventLoop(selector), selector.turns
