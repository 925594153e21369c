"""Checks of arguments that several rooms need; each names the argument and what is due."""

from __future__ import annotations

import math

from jobkit_async.errors import InvalidArgument

__all__ = ["check_seconds", "check_text", "has_controls", "has_surrogates"]


def check_text(name: str, value: object, *, empty: bool = True) -> str:
    """A text, if UTF-8 can express it.

    Args:
        name: Name of the argument.
        value: Its value.
        empty: Whether it may be empty.

    Raises:
        InvalidArgument: It is no str, empty where it must not be, or holds a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidArgument(name, f"a str is due, not {type(value).__name__}")
    if not value and not empty:
        raise InvalidArgument(name, "it is empty")
    if has_surrogates(value):
        raise InvalidArgument(name, "the text holds a lone surrogate")
    return str.__str__(value)  # an enumeration's member goes out by its value


def check_seconds(name: str, value: object, *, zero: bool = False, infinite: bool = False) -> float:
    """A number of seconds.

    Args:
        name: Name of the argument.
        value: Its value.
        zero: Whether it may be 0.
        infinite: Whether it may be infinite.

    Raises:
        InvalidArgument: It is not, or is negative.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.nan
        if 0.0 < seconds < math.inf or (zero and seconds == 0.0):
            return seconds
        if infinite and seconds == math.inf:
            return seconds
    least = "from 0 on" if zero else "above 0"
    raise InvalidArgument(name, f"a number of seconds {least} is due, not {_shown(value)}")


def _shown(value: object) -> str:
    try:
        return repr(value)[:100]
    except ValueError:  # Python refuses to write thousands of digits
        return f"this {type(value).__name__}"


def has_controls(text: str) -> bool:
    """Whether a text holds line breaks or other control characters."""
    return any(ord(letter) < 32 or ord(letter) == 127 for letter in text)


def has_surrogates(text: str) -> bool:
    """Whether a text holds a lone surrogate, which UTF-8 cannot express."""
    return any(0xD800 <= ord(letter) < 0xE000 for letter in text) if not text.isascii() else False
