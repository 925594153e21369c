"""The text of a generated file: imports, classes, methods, in the layout of ``ruff format``."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Final

from jobkit_async.codegen.docstrings import WIDTH, docstring, quoted, summary_line
from jobkit_async.codegen.spelling import Fault, Imports, parameter_type, result_type
from jobkit_async.endpoint import Api, Endpoint, ResultKind, Table
from jobkit_async.errors import TableError

__all__ = ["file_text", "layout"]

METHODS: Final = {
    ResultKind.JOB: "_job",
    ResultKind.JOBS: "_jobs",
    ResultKind.BYTES: "_download",
    ResultKind.TEXT: "_text",
    ResultKind.VALUE: "_value",
    ResultKind.NONE: "_none",
}
"""The method of ``ServiceApi`` for each kind of result."""


def file_text(module: ModuleType, table: Table) -> str:
    """The text of one file."""
    imports = Imports(module.__name__, table.job)
    classes = [line for api in table.apis for line in _class(api, module, table, imports)]
    lines = [
        f"# Generated from {module.__name__}: change that, not this, and run",
        f"#     python -m jobkit_async.codegen {module.__name__}",
    ]
    params = {param.name for api in table.apis for row in api.rows for param in row.params}
    if params & set(dir(builtins)):
        lines.append("# ruff: noqa: A002 - parameters are named as the service names them")
    lines += [f'"""The API classes of {table.service}, generated from its endpoint table."""', ""]
    lines += ["from __future__ import annotations", *imports.lines(), "", "__all__ = ["]
    lines += [*(f'    "{name}",' for name in sorted(api.class_name for api in table.apis)), "]"]
    return "\n".join([*lines, *classes, ""])


def _class(api: Api, module: ModuleType, table: Table, imports: Imports) -> Iterator[str]:
    where = api.class_name
    try:
        yield from ("", "")
        yield from layout("", f"class {where}(", [f"ServiceApi[{imports.handle}]"], "):")
        yield f"    {quoted(summary_line(api.doc, indent=4))}"
        yield from ("", "    __slots__ = ()")
        for row in api.rows:
            where = row.name
            _check(row, module, imports)
            yield from ("", *_method(row, imports))
    except Fault as fault:
        raise TableError(f"{table.service}.{where}: {fault}") from None


def _check(row: Endpoint, module: ModuleType, imports: Imports) -> None:
    constant = row.name.upper()
    if getattr(module, constant, None) is not row:
        raise Fault(f"the row is not the constant {constant} of {module.__name__}")
    if row.name.startswith("_") or keyword.iskeyword(row.name):
        raise Fault("no public method can have this name")
    taken = {"self", imports.table}
    if row.returns.kind is ResultKind.VALUE:
        taken |= {*re.findall(r"(?<![\w.])\w+", result_type(row.returns, imports))}
    for param in row.params:
        if param.name in taken or param.name.startswith("__") or keyword.iskeyword(param.name):
            raise Fault(f"no parameter can have the name {param.name!r} here")


def _method(row: Endpoint, imports: Imports) -> Iterator[str]:
    parameters = ["self"]
    for param in row.params:
        annotation = parameter_type(param, imports)
        if param.required:
            parameters.append(f"{param.name}: {annotation}")
        else:
            parameters += [] if "*" in parameters else ["*"]
            parameters.append(f"{param.name}: {annotation} | None = None")
    result = result_type(row.returns, imports)
    yield from layout("    ", f"async def {row.name}(", parameters, f") -> {result}:")
    yield from docstring(row, imports)
    arguments = [f"{imports.table}.{row.name.upper()}", *(param.name for param in row.params)]
    call = f"await self.{METHODS[row.returns.kind]}("
    match row.returns.kind:
        case ResultKind.NONE:
            yield from layout(" " * 8, call, arguments, ")")
        case ResultKind.VALUE:  # ServiceApi gives Any, and this gives it a type
            value = "value"
            while value in arguments:
                value += "_"
            yield from layout(" " * 8, f"{value}: {result} = {call}", arguments, ")")
            yield f"        return {value}"
        case _:
            yield from layout(" " * 8, f"return {call}", arguments, ")")


def layout(indent: str, head: str, items: Sequence[str], tail: str) -> list[str]:
    """Items in brackets: all on one line, else on a line of their own, else one a line."""
    lines = [f"{indent}{head}{', '.join(items)}{tail}"]
    if len(lines[0]) > WIDTH:
        lines = [indent + head, f"{indent}    {', '.join(items)}", indent + tail]
        if len(lines[1]) > WIDTH or items == ["self"]:  # a lone parameter gets its comma, too
            lines[1:2] = [f"{indent}    {item}," for item in items]
    for line in lines:
        if len(line) > WIDTH:
            raise Fault(f"this is too long for a line: {line.strip()}")
    return lines
