"""Keeps credentials out of whatever is shown: excerpts, messages, logs, reports of variables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from jobkit_async.errors import EXCERPT

__all__ = ["Hidden", "Secret", "excerpt", "forget_frames", "redact"]

_MEMBER = re.compile(
    r"""(?ix)
    (["']? \b \w* (?:token|api_?key|password|passwd|secret|authorization) ["']? \s* [:=] \s*)
    ( "(?:[^"\\]|\\.)*"? | '(?:[^'\\]|\\.)*'? | (?:bearer|basic)\s+\S+ | [^\s,;&}\]]+ )"""
)
_LOOK = 4096


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace credentials in a text by ``***``.

    Args:
        text: Any text, such as the beginning of an answer.
        secrets: Values known to be credentials. Besides them, the values of members that are
            named like one (``token``, ``password`` ...) are replaced.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _MEMBER.sub(r"\1***", text)


def excerpt(data: bytes, secrets: Iterable[str] = ()) -> str:
    """The beginning of a body as text for an error, at most ``errors.EXCERPT`` characters."""
    text = redact(data[:_LOOK].decode("utf-8", "replace"), secrets := tuple(secrets))
    if len(data) > _LOOK:  # a credential that the cut goes through would not be recognised
        text = text[: -max(map(len, secrets), default=0) or None]
    return text[:EXCERPT]


class Hidden(dict[str, Any]):
    """A dict whose values are not shown, such as headers with credentials."""

    def __repr__(self) -> str:
        return f"<hidden values of {', '.join(self)}>"


class Secret(str):
    """A text that is not shown where variables are."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def forget_frames(error: BaseException, outer: BaseException | None = None) -> None:
    """Take from an error, and from those it is linked to, the frames in which they arose.

    Their variables are requests with credentials and answers with upload tokens, which tools that
    report errors with variables would show, and which would stay in memory as long as the error.

    Args:
        error: An error of ours.
        outer: What the user was handling when the call began; it is not ours to change.
    """
    left: list[BaseException | None] = [error]
    met = {id(outer)}
    while left:
        one = left.pop()
        if one is not None and id(one) not in met:
            met.add(id(one))
            one.__traceback__ = None
            left += (one.__cause__, one.__context__)
