"""Docstrings in Google style, from what a row says about itself."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, cast

import attrs

from jobkit_async.codegen.spelling import Fault, Imports
from jobkit_async.endpoint import Endpoint, Param, Repeat, Result, ResultKind
from jobkit_async.errors import api_error

__all__ = ["WIDTH", "docstring", "quoted", "summary_line"]

WIDTH: Final = 100
"""Columns of a line, as in the project's ruff settings."""


def docstring(row: Endpoint, imports: Imports) -> Iterator[str]:
    """The lines of a method's docstring, with their indentation and quotes."""
    lines = ["", *_wrap(_sentence(row.note), 8, 8)] if row.note else []
    for title, entries in (
        ("Args", [f"{param.name}: {_argument(param, imports)}" for param in row.params]),
        ("Returns", _returns(row.returns)),
        ("Raises", _raises(row)),
    ):
        if entries:
            lines += ["", f"        {title}:"]
        for entry in entries:
            lines += _wrap(entry, 12, 16)
    summary = summary_line(row.summary, indent=8)
    text = "\n".join([summary, *lines, "        "] if lines else [summary])
    yield from f"        {quoted(text)}".split("\n")


def quoted(text: str) -> str:
    """A docstring as source."""
    if '"""' in text:
        raise Fault("three quotes in a row cannot stand in a docstring")
    return f'r"""{text}"""' if "\\" in text else f'"""{text}"""'


def summary_line(text: str, *, indent: int) -> str:
    """A summary, if it can be the first line of a docstring."""
    text = _sentence(text)
    if "\n" in text or len(text) > WIDTH - indent - len('r""""""'):
        raise Fault("the summary is longer than one line")
    if text.startswith('"'):
        raise Fault("a summary cannot begin with a quote")
    return text


def _argument(param: Param, imports: Imports) -> str:
    text = param.doc.rstrip(".")
    bounds = [str(bound) for bound in (param.least, param.most) if bound is not None]
    if len(bounds) == 2:
        text += f", {' to '.join(bounds)}"
    elif bounds and not re.search(rf"\b{bounds[0]}\b", text):  # else it says so already
        text += f", {bounds[0]} or {'less' if param.least is None else 'more'}"
    text = _sentence(text)
    if param.element is datetime:
        text += " Without a time zone it is UTC."
    if param.words is not None:
        text += f" Known words: ``{imports.spelled_class(param.words, imported=False)}``."
    if param.default is not None:
        text += f" The service assumes {_assumed(param.default)}."
    return text


def _assumed(default: Any) -> str:
    if isinstance(default, list | tuple):
        return ", ".join(map(_assumed, cast(Sequence[Any], default))) or "none"
    return f"``{default}``" if isinstance(default, str) else str(default)


def _returns(result: Result) -> list[str]:
    match result.kind:
        case ResultKind.NONE:
            return []
        case ResultKind.JOB:
            return ["A handle on the job."]
        case ResultKind.JOBS if result.total or result.total_header:
            return ["Handles on the jobs; ``total`` is the number of matches."]
        case ResultKind.JOBS:
            return ["Handles on the jobs."]
        case ResultKind.BYTES:
            return ["The file; it holds a connection until it is read or closed."]
        case ResultKind.TEXT:
            return ["The text."]
        case ResultKind.VALUE:
            doc = vars(result.type).get("__doc__") if attrs.has(result.type) else None
            if doc and doc.strip():
                return [_sentence(doc.strip().splitlines()[0])]
            return [
                "What the service answers."
                if result.empty_on is None
                else "What the service answers; empty if nothing matches."
            ]


def _raises(row: Endpoint) -> list[str]:
    meanings: dict[str, list[str]] = {}
    for status, meaning in sorted(row.errors.items()):
        error = type(api_error(status, operation=row.name, reason="")).__name__
        meanings.setdefault(error, []).append(meaning.rstrip("."))
    lines = [f"{error}: {_sentence('; or '.join(texts))}" for error, texts in meanings.items()]
    if row.repeat is Repeat.ONCE:
        lines.append(f"OutcomeUnknown: The answer was lost; {row.recover.rstrip('.')}.")
    return lines


def _wrap(text: str, first: int, rest: int) -> list[str]:
    """Lines of a docstring; a literal in double backquotes stays in one piece."""
    whole = re.sub(r"``.*?``", lambda match: match[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(
        whole,
        WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines]


def _sentence(text: str) -> str:
    """A text with a capital in front, unless that is a name, and a full stop behind."""
    text = text.strip()
    if re.match(r"[a-z]+\b(?![_.(])", text):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
