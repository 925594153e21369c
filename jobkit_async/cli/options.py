"""The options of an operation, from its row in the endpoint table."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import attrs
import click
from click.shell_completion import CompletionItem

from jobkit_async import codec
from jobkit_async.cli.common import ParamType, nearest
from jobkit_async.endpoint import BODIES, Endpoint, Param, Place, ResultKind
from jobkit_async.errors import DecodeError
from jobkit_async.model import wire_name

__all__ = ["flag_of", "options_of"]

_FILE: Final = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)


class _Word(ParamType):
    """Any text, with words that are known."""

    name = "text"

    def __init__(self, words: type[StrEnum]) -> None:
        self._words = words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(str(word)) for word in self._words if word.startswith(incomplete)]


class _Moment(ParamType):
    """A date and time."""

    name = "date"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date as of ISO 8601, such as 2026-03-01T10:00:00Z", param)


class _Json(ParamType):
    """A JSON object, or ``@`` and the path of a file that holds one; ``@-`` is standard input.

    Args:
        type_: The model that it is of, or dict.
    """

    name = "json"

    def __init__(self, type_: Any) -> None:
        self._type = type_

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        text = value
        try:
            if value == "@-":
                text = sys.stdin.buffer.read().decode()
            elif value.startswith("@"):
                text = Path(value[1:]).read_text(encoding="utf-8")
            document = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            self.fail(f"this is no JSON: {error}", param)
        if not isinstance(document, dict):
            self.fail('a JSON object is due, such as \'{"name": "value"}\'', param)
        if not attrs.has(self._type):
            return document
        self._check_names(document, param)
        try:
            model = codec.structure(document, self._type, operation=self._type.__name__)
        except DecodeError as error:
            self.fail(str(error), param)
        return model

    def _check_names(self, document: dict[str, Any], param: click.Parameter | None) -> None:
        """A name that is not known would be left out without a word."""
        known = [wire_name(field) for field in attrs.fields(self._type)]
        for name in document:
            if name not in known:
                self.fail(
                    f"{self._type.__name__} has no member {name!r}; {nearest(name, known)}", param
                )


def options_of(row: Endpoint) -> list[click.Parameter]:
    """The options of a command that carries an operation out; credentials are none."""
    options: list[click.Parameter] = [_option(param) for param in row.params if not param.secret]
    if row.returns.kind is ResultKind.BYTES:
        options.append(
            click.Option(
                ["output_path", "--output"],
                metavar="PATH",
                type=click.Path(allow_dash=True),
                help="Where to save the file: a file, a folder, or - for standard output. Without "
                "it here, under the name that the service gives.",
            )
        )
    return options


def flag_of(param: Param) -> str:
    """The option that a parameter is given by."""
    return "--" + param.name.replace("_", "-")


def _option(param: Param) -> click.Option:
    flag = flag_of(param)
    if param.type is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    # Else a flag that is not given would be one that is off. Where a default is said, click takes
    # what is required for given.
    unset: dict[str, Any] = {"default": None} if param.type is bool else {}
    return click.Option(
        [param.name, flag],
        type=_type(param),
        required=param.required,
        multiple=param.is_list,
        help=_help(param),
        **unset,
    )


def _type(param: Param) -> ParamType:
    if param.place is Place.JSON or param.type is dict:
        return _Json(param.type)
    if param.place in BODIES:
        return _FILE
    if param.words is not None:
        return _Word(param.words)
    if param.element is int:
        return click.IntRange(min=param.least, max=param.most)
    if param.element is datetime:
        return _Moment()
    return click.BOOL if param.element is bool else click.STRING


def _help(param: Param) -> str:
    said = [param.doc]
    if param.is_list:
        said.append("Can be repeated.")
    if param.words is not None:
        said.append(f"Known words: {', '.join(param.words)}.")
    if attrs.has(param.type):
        names = ", ".join(wire_name(field) for field in attrs.fields(param.type))
        said.append(f"A JSON object with {names}; or @FILE.")
    elif param.type is dict:
        said.append("A JSON object, or @FILE.")
    elif param.place in BODIES:
        said.append("A path, or - for standard input.")
    if param.default is not None:
        said.append(f"The service assumes {param.default}.")
    return " ".join(said).replace("``", "")
