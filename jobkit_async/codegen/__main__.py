"""The command line: ``python -m jobkit_async.codegen [--check] [TABLE_MODULE ...]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobkit_async.codegen import CodegenError, generate, tables
from jobkit_async.errors import TableError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the API classes, or check them.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0, or 1 where the check found a file that is not current, or 2 where nothing could be
        generated.
    """
    parser = argparse.ArgumentParser(
        prog="python -m jobkit_async.codegen",
        description="Write the API classes of services from their endpoint tables.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if not current")
    parser.add_argument(
        "tables",
        nargs="*",
        metavar="TABLE_MODULE",
        help="importable modules with a TABLE; all services of this package by default",
    )
    options = parser.parse_args(arguments)
    try:
        files = [generate(module) for module in options.tables or tables()]
    except (CodegenError, TableError) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    status = 0
    for file in files:
        fault = file.fault()
        if fault is None:
            if not options.check:
                sys.stdout.write(f"{file.path}: current\n")
        elif options.check:
            sys.stderr.write(f"{file.path}: {fault}; run {parser.prog} {file.module}\n")
            status = 1
        else:
            file.write()
            sys.stdout.write(f"{file.path}: written, was {fault}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
