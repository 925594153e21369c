"""Keeps credentials out of whatever is shown: excerpts, messages, logs, reports of variables."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final

from jobkit_async.errors import EXCERPT

__all__ = ["Hidden", "Secret", "excerpt", "forget_frames", "redact"]

_MEMBER = re.compile(
    r"""(?ix)
    (["']? \b \w* (?:token|api_?key|password|passwd|secret|authorization) ["']? \s* [:=] \s*)
    ( "(?:[^"\\]|\\.)*"? | '(?:[^'\\]|\\.)*'? | (?:bearer|basic)\s+\S+ | [^\s,;&}\]]+ )"""
)
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
"""What is spelled the same everywhere."""
_LOOK = 4096
_LIBRARIES: Final = frozenset(
    {"aiohappyeyeballs", "aiohttp", "anyio", "attr", "cattrs", "jobkit_async", "msgspec", "yarl"}
)
"""In whose frames credentials are."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace credentials in a text by ``***``.

    Args:
        text: Any text, such as the beginning of an answer.
        secrets: Values known to be credentials; they are found as they are, as a JSON text spells
            them, and percent-encoded. Besides them, the values of members that are named like
            one (``token``, ``password`` ...) are replaced.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
            if not _PLAIN.fullmatch(secret):
                text = re.sub("".join(map(_spellings, secret)), "***", text)
    return _MEMBER.sub(r"\1***", text)


def _spellings(letter: str) -> str:
    """A pattern for a character as it is, or as it stands in a JSON text or a URL."""
    if _PLAIN.fullmatch(letter):
        return re.escape(letter)
    units = letter.encode("utf-16-be").hex()
    code = "".join(rf"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    percent = "".join(f"%{byte:02x}" for byte in letter.encode())
    ways = [json.dumps(letter)[1:-1], f"\\{letter}", letter, *("+" if letter == " " else "")]
    return f"(?:(?i:{code}|{percent})|{'|'.join(map(re.escape, ways))})"


def _longest(secret: str) -> int:
    """The most characters that a spelling of a credential has: 12 for what is no plain one."""
    return sum(1 if _PLAIN.fullmatch(letter) else 12 for letter in secret)


def excerpt(data: bytes, secrets: Iterable[str] = ()) -> str:
    """The beginning of a body as text for an error, at most ``errors.EXCERPT`` characters."""
    text = redact(data[:_LOOK].decode("utf-8", "replace"), secrets := tuple(secrets))
    if len(data) > _LOOK:  # a credential that the cut goes through would not be recognised
        text = text[: -max(map(_longest, secrets), default=0) or None]
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
    What arose in the user's own code, such as the source of an upload, keeps the frames of that,
    and its own links.

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
            ours = type(one).__module__.partition(".")[0] in _LIBRARIES
            one.__traceback__ = None if ours else _beyond(one.__traceback__)
            if one.__traceback__ is None:
                left += (one.__cause__, one.__context__)


def _beyond(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that lies in the user's code, if it ends there."""
    users: TracebackType | None = None
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if module in _LIBRARIES:
            users = None
        elif users is None and module not in sys.stdlib_module_names:
            users = traceback
        traceback = traceback.tb_next
    return users
