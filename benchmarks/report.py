"""What a benchmark reports, and how that is printed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import attrs

__all__ = ["Row", "as_json", "as_table", "versions"]


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
        note: A remark for people; only the table has it.
    """

    case: str
    metric: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
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
        yield json.dumps(line)


def as_table(rows: Iterable[Row]) -> Iterator[str]:
    """The versions, and a table for people once the last number is there."""
    yield versions()
    cells = [("case", "metric", "value", "unit", "mark", "met", ""), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        texts = [
            text.rjust(width) if column == 2 else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(texts).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    mark, met = "", ""
    if row.mark is not None:
        mark = f"{'>=' if row.most is None else '<='} {row.mark:g}"
        met = "yes" if row.met else "NO"
    return row.case, row.metric, f"{row.value:,.3f}", row.unit, mark, met, row.note


def versions() -> str:
    """What the numbers were measured with, in one line."""
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("jobkit_async", "aiohttp", "msgspec")
    )
    return (
        f"Python {platform.python_version()}, {packages}, {platform.platform()}, "
        f"{os.cpu_count()} cores"
    )
