"""How the rest of a file is asked for after its transfer broke off. Pure decisions (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

import attrs

__all__ = ["Rest", "Version", "end_of_part", "length_of"]

_STRONG_TAG: Final = re.compile(r'"[!#-~]*"')
_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE | re.ASCII)
_LENGTH: Final = re.compile(r"bytes \*/(\d{1,18})", re.IGNORECASE | re.ASCII)


class Rest(Enum):
    """What an answer to the question for the rest of a file is."""

    PART = "the rest"
    NOTHING = "nothing: all had come"
    WHOLE = "all of it again"
    CHANGED = "the file has changed"
    WRONG = "something else than the rest"


def length_of(headers: Mapping[str, str]) -> int | None:
    """Number of bytes of a body as it will be read, or None where its headers do not tell."""
    length = headers.get("Content-Length", "")
    if not length.isascii() or not length.isdigit() or "Content-Encoding" in headers:
        return None
    return int(length)


def end_of_part(headers: Mapping[str, str]) -> int | None:
    """Position in the file after the last byte of a part, or None if they tell of none."""
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    return None if found is None else int(found[2]) + 1


@attrs.frozen
class Version:
    """What tells one version of a file from another.

    Attributes:
        size: Number of bytes; None where nothing told it.
        validator: A strong ETag, or a Last-Modified that is as good, for If-Range; None without.
        fixed: Whether there is only ever one version.
        in_parts: Whether parts can be asked for, as far as one can know before.
    """

    size: int | None
    validator: str | None
    fixed: bool
    in_parts: bool

    @classmethod
    def of(cls, headers: Mapping[str, str], *, fixed: bool) -> Version:
        """The version that an answer brings.

        Args:
            headers: Headers of the answer.
            fixed: Whether there is only ever one version.
        """
        size, validator = length_of(headers), _validator(headers)
        offers = headers.get("Accept-Ranges", "").strip().lower()
        # Parts of what is compressed are parts of its compressed form.
        in_parts = "Content-Encoding" not in headers and (
            offers != "none"
            if validator is not None
            else fixed and offers == "bytes" and size is not None
        )
        return cls(size, validator, fixed, in_parts)

    def ask(self, at: int) -> dict[str, str]:
        """Headers that ask for the rest of this version.

        Args:
            at: How many bytes there are already.
        """
        headers = {"Range": f"bytes={at}-"}
        return headers if self.validator is None else {**headers, "If-Range": self.validator}

    def judge(self, status: int, headers: Mapping[str, str], at: int) -> Rest:
        """What came when the rest was asked for.

        Args:
            status: HTTP status of the answer: 2xx, or 416.
            headers: Its headers.
            at: How many bytes there are already.
        """
        if status == 416:
            found = _LENGTH.fullmatch(headers.get("Content-Range", ""))
            ended = found is not None and int(found[1]) == at and self.size in (None, at)
            return Rest.NOTHING if ended else Rest.WRONG
        if status != 206:
            same = self.fixed or self.validator == _validator(headers)
            return Rest.WHOLE if same else Rest.CHANGED
        if self.validator is not None and _differs(self.validator, headers):
            return Rest.CHANGED
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or "Content-Encoding" in headers:
            return Rest.WRONG
        first, last = int(found[1]), int(found[2])
        size = None if found[3] == "*" else int(found[3])
        if self.validator is None and size != self.size:
            return Rest.CHANGED
        if first != at or last < first or (size is not None and last >= size):
            return Rest.WRONG
        return Rest.PART if None in (size, self.size) or size == self.size else Rest.WRONG

    def with_size_of(self, headers: Mapping[str, str]) -> Version:
        """This version with the size that an answer with a part of it tells, if none did before."""
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if self.size is not None or found is None or found[3] == "*":
            return self
        return attrs.evolve(self, size=int(found[3]))


def _validator(headers: Mapping[str, str]) -> str | None:
    tag = headers.get("ETag", "")
    if _STRONG_TAG.fullmatch(tag):
        return tag
    modified = headers.get("Last-Modified", "")
    changed, sent = _time(modified), _time(headers.get("Date", ""))
    # Within the second in which it was sent the file may have changed again.
    return modified if changed is not None and sent is not None and changed < sent else None


def _differs(validator: str, headers: Mapping[str, str]) -> bool:
    told = headers.get("ETag" if validator.startswith('"') else "Last-Modified")
    return told is not None and told != validator


def _time(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
