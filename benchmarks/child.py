"""Measurements in processes of their own, so that none sees what another left behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

__all__ = ["in_child"]

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


def in_child(function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """Call a function of a module in a fresh interpreter.

    Returns:
        What it returned; both that and the arguments have to be picklable.

    Raises:
        BrokenProcessPool: The process died.
        Exception: What the function raised.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()
