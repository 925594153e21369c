"""All benchmarks, one after the other, each in a process of its own.

The table has all numbers, each case with its benchmark's name in front; below it stands a summary
of those that have a mark. The summary is also written to a file, in Markdown, and all numbers to
one beside it, as lines of JSON, from which ``plots`` draws. With ``--quick`` all are run in a small
size, which shows that they work, and little more.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import attrs

from benchmarks import MODULES, report
from benchmarks.child import in_child
from benchmarks.report import Note, Row
from benchmarks.shortfalls import SHORTFALLS

__all__ = ["ROWS", "add_options", "as_markdown", "as_table", "run"]

RESULTS = Path(__file__).parent / "RESULTS.md"
ROWS = RESULTS.with_suffix(".jsonl")
PACKAGES = (
    *("jobkit_async", "aiohttp", "anyio", "attrs", "cattrs", "msgspec", "yarl"),
    *("bsubio", "vidispine", "pydantic", "azure-core", "httpx"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--quick", action="store_true", help="all in a small size")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="where to write the summary to"
    )


def run(options: argparse.Namespace) -> Iterator[Row | Note]:
    """Measure, write the summary, and report what was found."""
    rows: list[Row] = []
    notes: list[Note] = []
    for name, module in MODULES.items():
        try:
            found = in_child(measure, module, quick=options.quick)
        except Exception as error:  # noqa: BLE001 - the others can tell their numbers
            text = f"broke off: {type(error).__name__}: {error}"
            found = [Note(case=name, text=text, fault=True)]
        for each in found:
            if isinstance(each, Row):
                rows.append(attrs.evolve(each, case=f"{name}/{each.case}"))
                yield rows[-1]
            else:
                notes.append(each if each.fault else attrs.evolve(each, case=f"{name}/{each.case}"))
                yield notes[-1]
    lines = as_markdown(rows, notes, quick=options.quick)
    _write(options.results, lines)
    _write(options.results.with_suffix(ROWS.suffix), report.as_json(rows))


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def measure(module: str, *, quick: bool) -> list[Row | Note]:
    """Run one benchmark as its name on the command line would."""
    benchmark = import_module(f"benchmarks.{module}")
    parser = argparse.ArgumentParser()
    benchmark.add_options(parser)
    return list(benchmark.run(parser.parse_args(benchmark.QUICK if quick else ())))


def as_table(rows: Iterable[Row]) -> Iterator[str]:
    """All numbers, and the summary of those with a mark."""
    shown = list(rows)
    yield from report.as_table(shown)
    marked = [row for row in shown if row.mark is not None]
    yield ""
    yield _count(marked)
    yield from report.table(marked)


def as_markdown(rows: Iterable[Row], notes: Sequence[Note], *, quick: bool) -> Iterator[str]:
    """The summary as a page: with what it was measured, the marks, and what was left out."""
    marked = [row for row in rows if row.mark is not None]
    option = " --quick" if quick else ""
    yield "# Results"
    yield ""
    yield f"Written by `python -m benchmarks all{option}` on {datetime.now(UTC):%Y-%m-%d}."
    if quick:
        yield "It was a quick run: the sizes are too small for the marks to say much."
    yield ""
    yield f"- {platform.python_implementation()} {platform.python_version()}, {platform.platform()}"
    yield f"- {os.cpu_count()} cores, {_memory()}"
    yield f"- {', '.join(_versions())}"
    yield ""
    yield _count(marked)
    yield ""
    yield _line(report.HEAD)
    yield _line("--:" if name == "value" else "---" for name in report.HEAD)
    for row in marked:
        yield _line(report.cells_of(row))
    missed = {row.case.partition("/")[0] for row in marked if not row.met}
    explained = [(name, SHORTFALLS[name]) for name in SHORTFALLS if name in missed and not quick]
    if explained:
        yield ""
        yield "What profiles say of the marks that are not met:"
        yield ""
        yield from (f"- `{name}`: {text}" for name, text in explained)
    if notes:
        yield ""
        yield "What was left out:"
        yield ""
        yield from (f"- {note}" for note in notes)


def _count(marked: Sequence[Row]) -> str:
    return f"{sum(row.met for row in marked)} of {len(marked)} marks are met."


def _line(cells: Iterable[str]) -> str:
    joined = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| {joined} |"


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"no {name}"


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "memory unknown"
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{size / (1 << 30):.1f} GiB of memory"
