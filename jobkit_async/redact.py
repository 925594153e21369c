"""Keeps credentials out of whatever is shown: excerpts, messages, logs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from jobkit_async.errors import EXCERPT

__all__ = ["excerpt", "redact"]

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
