"""Measurements in processes of their own, so that none sees what another left behind."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import ParamSpec, Protocol, TypeVar

__all__ = ["Child", "child", "in_child"]

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class Child(Protocol):
    """Calls a function of a module in an interpreter that stays; as for :func:`in_child`."""

    def __call__(
        self, function: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs
    ) -> ResultT: ...


@contextmanager
def child() -> Generator[Child, None, None]:
    """A fresh interpreter for several calls; it is gone at the end of the ``with`` block."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:

        def call(function: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
            return pool.submit(function, *args, **kwargs).result()

        yield call


def in_child(function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """Call a function of a module in a fresh interpreter.

    Returns:
        What it returned; both that and the arguments have to be picklable.

    Raises:
        BrokenProcessPool: The process died.
        Exception: What the function raised.
    """
    with child() as call:
        return call(function, *args, **kwargs)
