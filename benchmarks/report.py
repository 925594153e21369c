"""What a benchmark reports, and how that is printed.

A benchmark yields rows, and notes on what it left out, which go to standard error.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import attrs

__all__ = ["HEAD", "Note", "Row", "as_json", "as_table", "cells_of", "row_of", "table", "versions"]


@attrs.frozen(kw_only=True)
class Row:
    """One number.

    Attributes:
        case: What was measured.
        metric: Which of its numbers this is.
        value: The number.
        unit: Its unit; empty where it has none.
        most: The mark, where the number must not exceed one.
        least: The mark, where the number must reach one.
        spread: The quartiles of the repeats that the number is the median of.
        note: A remark for people; only the table has it.
    """

    case: str
    metric: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def mark(self) -> float | None:
        """The bound that the number is held against, or None."""
        return self.least if self.most is None else self.most

    @property
    def met(self) -> bool:
        """Whether the number keeps to its mark; True without one."""
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )


@attrs.frozen(kw_only=True)
class Note:
    """A remark on something that has no number, as it could not be measured.

    Attributes:
        case: What it is about.
        text: The remark.
        fault: Whether a benchmark broke off.
    """

    case: str
    text: str
    fault: bool = False

    def __str__(self) -> str:
        return f"{self.case}: {self.text}"


def row_of(
    repeats: Sequence[float],
    case: str,
    metric: str,
    unit: str = "",
    *,
    most: float | None = None,
    least: float | None = None,
    note: str = "",
) -> Row:
    """The median of repeats, and their quartiles as the spread; the rest as for :class:`Row`."""
    value = statistics.median(repeats)
    spread = (value, value)
    if len(repeats) > 1:
        low, _, high = statistics.quantiles(repeats, n=4, method="inclusive")
        spread = (low, high)
    return Row(
        case=case,
        metric=metric,
        value=value,
        unit=unit,
        most=most,
        least=least,
        spread=spread,
        note=note,
    )


def as_json(rows: Iterable[Row]) -> Iterator[str]:
    """One JSON object a line, as soon as its number is there."""
    for row in rows:
        line: dict[str, Any] = {
            "case": row.case,
            "metric": row.metric,
            "value": round(row.value, 6),
            "unit": row.unit,
        }
        if row.mark is not None:
            line |= {"mark": row.mark, "met": row.met}
        if row.spread is not None:
            line["spread"] = [round(bound, 6) for bound in row.spread]
        yield json.dumps(line)


def as_table(rows: Iterable[Row]) -> Iterator[str]:
    """The versions, and a table for people once the last number is there."""
    yield versions()
    yield from table(rows)


def table(rows: Iterable[Row]) -> Iterator[str]:
    """A table for people, once the last number is there."""
    cells = [HEAD, *map(cells_of, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        texts = [
            text.rjust(width) if column == 2 else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(texts).rstrip()


HEAD: Final = ("case", "metric", "value", "spread", "unit", "mark", "met", "")
"""The heads of a table's columns; the last is for remarks."""


def cells_of(row: Row) -> tuple[str, ...]:
    """What stands in a table about a row, column by column."""
    mark, met = "", ""
    if row.mark is not None:
        mark = f"{'>=' if row.most is None else '<='} {row.mark:g}"
        met = "yes" if row.met else "NO"
    spread = "" if row.spread is None else " - ".join(f"{bound:,.3f}" for bound in row.spread)
    return row.case, row.metric, f"{row.value:,.3f}", spread, row.unit, mark, met, row.note


def versions() -> str:
    """What the numbers were measured with, in one line."""
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("jobkit_async", "aiohttp", "msgspec")
    )
    return (
        f"Python {platform.python_version()}, {packages}, {platform.platform()}, "
        f"{os.cpu_count()} cores"
    )
