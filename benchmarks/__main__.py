"""The command line: ``python -m benchmarks NAME [--json] [OPTIONS]``.

A benchmark is a module of this package with two functions::

    def add_options(parser: argparse.ArgumentParser) -> None: ...
    def run(options: argparse.Namespace) -> Iterable[Row]: ...

``run`` yields its rows as they come; those of a long run can be read before its end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from benchmarks.report import as_json, as_table

NAMES = ("detection", "batching", "memory", "loop", "transfer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark and print what it reports.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0 once it ran, whether or not the marks are met. What keeps it from running is raised.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What it costs.")
    parser.add_argument("name", choices=NAMES, help="which benchmark to run")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, no table")
    given = sys.argv[1:] if arguments is None else arguments
    name = next((word for word in given if word in NAMES), None)
    if name is None:
        parser.parse_args(given)  # help, or what is wrong with the command line
        return 1
    benchmark = import_module(f"benchmarks.{name}")
    parser.description = benchmark.__doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    benchmark.add_options(parser)
    options = parser.parse_args(given)
    rows = benchmark.run(options)
    for line in as_json(rows) if options.json else as_table(rows):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
