"""Writes the API classes from the endpoint tables: ``python -m jobkit_async.codegen``.

Every table module gets a neighbour ``api.py`` with one class per
:class:`~jobkit_async.endpoint.Api` and one method per row. The file is checked in, so that editors,
type checkers and grep see real signatures; ``--check`` tells whether it is what its table says.

The layout is that of ``ruff format``, which is not called for it. Only the table module is
imported, and the packages around it are not initialised: they would import the very file that is
to be written, which may be missing or broken.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

import attrs

from jobkit_async.codegen.writer import file_text
from jobkit_async.endpoint import Table

__all__ = ["ApiFile", "CodegenError", "generate", "tables"]

SERVICES: Final = "jobkit_async.services"


class CodegenError(Exception):
    """A module cannot be imported, or has no table."""


@attrs.frozen
class ApiFile:
    """A generated file.

    Attributes:
        module: Name of the table module.
        path: Where the file belongs.
        text: What it has to hold.
    """

    module: str
    path: Path
    text: str

    def fault(self) -> str | None:
        """What is wrong with the file on disk: missing, truncated, stale, or nothing."""
        due = self.text.encode()
        try:
            found = self.path.read_bytes()
        except FileNotFoundError:
            return "missing"
        if found == due:
            return None
        return "truncated" if due.startswith(found) else "stale"

    def write(self) -> None:
        """Put the file in place, as a whole or not at all."""
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            draft.write_bytes(self.text.encode())
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)


def tables() -> list[str]:
    """Names of the table modules of this package's services, sorted."""
    roots = [Path(root) for root in importlib.import_module(SERVICES).__path__]
    return [
        f"{SERVICES}.{name}.endpoints"
        for name in sorted(found.name for found in pkgutil.iter_modules(map(str, roots)))
        if any((root / name / "endpoints.py").is_file() for root in roots)
    ]


def generate(module: str) -> ApiFile:
    """Generate the API classes of one table, without writing them.

    Args:
        module: Name of the table module. It has a constant ``TABLE``, and for every row one that is
            named like the operation, in capitals.

    Raises:
        CodegenError: The module cannot be imported, or has no table.
        TableError: A row cannot become a method.
    """
    with _imported(module) as found:
        table = getattr(found, "TABLE", None)
        if not isinstance(table, Table):
            raise CodegenError(f"{module} has no TABLE that is a jobkit_async.endpoint.Table")
        source = Path(found.__file__ or "")
        if source.stem in {"", "api"}:
            raise CodegenError(f"{module} is no file that an api.py can stand beside")
        return ApiFile(module, source.with_name("api.py"), file_text(found, table))


@contextmanager
def _imported(name: str) -> Generator[ModuleType]:
    """A table module, imported for the moment."""
    before = set(sys.modules)
    parts = name.split(".")
    packages = [".".join(parts[:count]) for count in range(1, len(parts))]
    root = next((package for package in packages if package not in sys.modules), name)
    try:
        yield _import(name, packages)
    finally:
        for new in set(sys.modules) - before:
            if f"{new}.".startswith(f"{root}."):
                del sys.modules[new]


def _import(name: str, packages: Sequence[str]) -> ModuleType:
    try:
        for package in packages:
            if package not in sys.modules and (spec := importlib.util.find_spec(package)):
                sys.modules[package] = importlib.util.module_from_spec(spec)
        return importlib.import_module(name)
    except Exception as error:  # an import runs code, which may raise anything
        raise CodegenError(f"cannot import {name}: {type(error).__name__}: {error}") from error
