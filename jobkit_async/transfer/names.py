"""The file name in a Content-Disposition header: data from outside, made fit for a folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["LONGEST", "file_name"]

LONGEST: Final = 255
"""The most bytes of a name that common file systems take."""

_PARAM: Final = re.compile(
    r"""; \s* ([^\s=;"]+) \s* = \s* (?: "((?:[^"\\]|\\.)*)"? | ([^;]*) )""", re.VERBOSE | re.DOTALL
)
_QUOTED: Final = re.compile(r"""\\(["\\])""")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_NOT_ON_WINDOWS: Final = re.compile(r'[<>:"|?*]')
_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:\.|$)", re.IGNORECASE
)
_CHARSETS: Final = frozenset({"utf-8", "iso-8859-1", "us-ascii"})


def file_name(disposition: str | None) -> str | None:
    """The file name that a service gives, reduced to one that stays inside any folder.

    No folders, drives, control characters or characters that Windows refuses, no dots or spaces
    at its ends, no name of a Windows device, and not longer than :data:`LONGEST` bytes.

    Args:
        disposition: The Content-Disposition header; its ``filename*`` wins over its ``filename``.

    Returns:
        The name, or None if there is none, or nothing of it is left.
    """
    if not disposition:
        return None
    if not disposition.isascii():
        disposition = _decoded(disposition)
    found: dict[str, str] = {}
    for name, quoted, bare in _PARAM.findall(disposition):
        found.setdefault(name.lower(), _QUOTED.sub(r"\1", quoted) if quoted else bare.strip())
    for text in (_extended(found.get("filename*", "")), found.get("filename")):
        if text and (name := _plain(text)):
            return name
    return None


def _decoded(header: str) -> str:
    """A header whose bytes are no UTF-8 in the charset that HTTP once had."""
    raw = header.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("iso-8859-1")


def _extended(text: str) -> str | None:
    """The value of ``filename*``: charset, language and percent-encoded name."""
    charset, _, rest = text.partition("'")
    _, mark, encoded = rest.partition("'")
    if not mark or charset.lower() not in _CHARSETS:
        return None
    try:
        return unquote_to_bytes(encoded).decode(charset)
    except UnicodeDecodeError:
        return None


def _plain(text: str) -> str:
    name = re.split(r"[/\\]", text)[-1]
    name = _DRIVE.sub("", name, count=1) if _DRIVE.match(name) else name
    name = "".join(filter(str.isprintable, _NOT_ON_WINDOWS.sub("_", name))).strip(". ")
    return _short(f"_{name}" if _DEVICE.match(name) else name)


def _short(name: str) -> str:
    if len(name.encode()) <= LONGEST:
        return name
    suffix = PurePosixPath(name).suffix.encode()
    if len(suffix) > 32:
        suffix = b""
    stem = name.encode()[: -len(suffix) or None][: LONGEST - len(suffix)].decode("utf-8", "ignore")
    return stem.rstrip(". ") + suffix.decode()
