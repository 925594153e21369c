"""Types as source text, and the imports that they need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

from jobkit_async.endpoint import BODIES, Param, Result, ResultKind

__all__ = ["Fault", "Imports", "parameter_type", "result_type"]

BY_NAME: Final = frozenset({"collections.abc", "datetime", "typing"})
"""Modules whose names are imported one by one."""


class Fault(Exception):
    """A row cannot become a method; the message does not say yet which row."""


class Imports:
    """Spells types, and remembers on the way what a file has to import.

    Args:
        module: Name of the table module.
        job: Where the handle class is, as in the table.
    """

    def __init__(self, module: str, job: str) -> None:
        self.package, _, self.table = module.rpartition(".")
        home, _, self.handle = job.partition(":")
        self.own = {module.partition(".")[0]}
        if not self.package:
            self.own |= {home.partition(".")[0], "models"}
        self.modules: set[str] = set()
        self.names: dict[str, set[str]] = {}
        self.module(module)
        self.name(f".{home}" if self.package else home, self.handle)
        self.name("jobkit_async.service", "ServiceApi")

    def lines(self) -> Iterator[str]:
        """The import statements, in sections and sorted as ruff has them."""
        sections: list[list[str]] = [[], [], [], []]
        for module in sorted(self.modules, key=str.lower):
            sections[self._section(module)].append(f"import {module}")
        for module in sorted(self.names, key=str.lower):
            names = ", ".join(sorted(self.names[module]))
            sections[self._section(module)].append(f"from {module} import {names}")
        for lines in filter(None, sections):
            yield from ("", *lines)

    def _section(self, module: str) -> int:
        """Standard library, what is installed, the table's own project, neighbours."""
        root = module.partition(".")[0]
        if not root:
            return 3
        return 0 if root in sys.stdlib_module_names else 2 if root in self.own else 1

    def name(self, module: str, name: str) -> str:
        """A name that is imported from its module."""
        self.names.setdefault(module, set()).add(name)
        return name

    def module(self, module: str) -> None:
        """A module that is imported as such."""
        package, _, name = module.rpartition(".")
        if package and package == self.package:
            self.name(".", name)
        else:
            self.modules.add(module)

    def spelled(self, type_: Any) -> str:
        """A type as source."""
        if type_ is Any:
            return self.name("typing", "Any")
        if type_ is None or type_ is NoneType:
            return "None"
        if type_ is dict:
            return f"dict[str, {self.spelled(Any)}]"
        origin, arguments = get_origin(type_), [self.spelled(it) for it in get_args(type_)]
        if origin in {UnionType, Union}:
            return " | ".join(arguments)
        if origin is not None:
            return f"{self.spelled_class(origin)}[{', '.join(arguments)}]"
        if not isinstance(type_, type) or "<locals>" in type_.__qualname__:
            raise Fault(f"{type_!r} cannot be written as an annotation")
        return self.spelled_class(type_)

    def spelled_class(self, cls: type, *, imported: bool = True) -> str:
        """A class as source; what only a docstring names need not be imported."""
        module, name = cls.__module__, cls.__qualname__
        if module == "builtins":
            return name
        if module in BY_NAME:
            return self.name(module, name)
        if imported:
            self.module(module)
        package, _, last = module.rpartition(".")
        return f"{last if package == self.package else module}.{name}"


def parameter_type(param: Param, imports: Imports) -> str:
    """What callers pass; words stay open, so they are str."""
    if param.place in BODIES and param.type is bytes:
        return imports.name("jobkit_async.transfer", "Content")
    if param.type is dict:
        return f"{imports.name('collections.abc', 'Mapping')}[str, {imports.spelled(Any)}]"
    if param.is_list:
        sequence = imports.name("collections.abc", "Sequence")
        return f"{sequence}[{imports.spelled(param.element)}]"
    return imports.spelled(param.type)


def result_type(result: Result, imports: Imports) -> str:
    """What callers get."""
    match result.kind:
        case ResultKind.JOB:
            return imports.handle
        case ResultKind.JOBS:
            return f"{imports.name('jobkit_async.joblist', 'JobList')}[{imports.handle}]"
        case ResultKind.BYTES:
            return imports.name("jobkit_async.transfer", "Download")
        case ResultKind.TEXT:
            return "str"
        case ResultKind.VALUE:
            return imports.spelled(result.type)
        case ResultKind.NONE:
            return "None"
