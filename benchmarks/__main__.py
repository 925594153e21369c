"""The command line: ``python -m benchmarks NAME [--json] [OPTIONS]``.

A benchmark is a module of this package with two functions, and the options of a small run::

    QUICK: Final = (...)
    def add_options(parser: argparse.ArgumentParser) -> None: ...
    def run(options: argparse.Namespace) -> Iterable[Row | Note]: ...

``run`` yields its rows as they come; those of a long run can be read before its end. Notes are on
what was left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from types import ModuleType

from benchmarks import MODULES, everything, plots
from benchmarks.report import Note, Row, as_json, as_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark and print what it reports.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0 once it ran, whether or not the marks are met. What keeps it from running is raised; where
        all are run, one that breaks off does not keep the others from it, and the end is a 1.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What it costs.")
    names = (*MODULES, "all", "plots")
    parser.add_argument("name", choices=names, help="which benchmark to run; plots draws")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, no table")
    given = sys.argv[1:] if arguments is None else arguments
    name = next((word for word in given if word in names), None)
    if name is None:
        parser.parse_args(given)  # help, or what is wrong with the command line
        return 1
    others: dict[str, ModuleType] = {"all": everything, "plots": plots}
    benchmark = others.get(name) or import_module(f"benchmarks.{MODULES[name]}")
    parser.description = benchmark.__doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    benchmark.add_options(parser)
    options = parser.parse_args(given)
    if name == "plots":
        for drawn in plots.draw(options):
            stream = sys.stderr if isinstance(drawn, Note) else sys.stdout
            stream.write(f"{drawn}\n")
        return 0
    faults: list[Note] = []
    rows = _rows(benchmark.run(options), faults)
    show = everything.as_table if name == "all" else as_table
    for line in as_json(rows) if options.json else show(rows):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 1 if faults else 0


def _rows(found: Iterable[Row | Note], faults: list[Note]) -> Iterator[Row]:
    """The rows alone; notes go to standard error at once."""
    for each in found:
        if isinstance(each, Row):
            yield each
            continue
        sys.stderr.write(f"{each}\n")
        if each.fault:
            faults.append(each)


if __name__ == "__main__":
    sys.exit(main())
