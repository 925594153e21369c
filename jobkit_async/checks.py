"""Checks of arguments that several rooms need; each names the argument and what is due."""

from __future__ import annotations

import math

from jobkit_async.errors import InvalidArgument

__all__ = [
    "check_count",
    "check_flag",
    "check_number",
    "check_seconds",
    "check_text",
    "has_controls",
    "has_surrogates",
]


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


def check_flag(name: str, value: object) -> bool:
    """A bool, and nothing that merely counts as one, such as the word "false".

    Raises:
        InvalidArgument: It is none.
    """
    if not isinstance(value, bool):
        raise InvalidArgument(name, f"a bool is due, not {type(value).__name__}")
    return value


def check_count(name: str, value: object, least: int = 0) -> int:
    """A whole number that is large enough.

    Args:
        name: Name of the argument.
        value: Its value.
        least: The smallest that it may be.

    Raises:
        InvalidArgument: It is none, or is too small.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidArgument(name, f"a number from {least} on is due, not {_shown(value)}")
    return value


def check_seconds(name: str, value: object, *, zero: bool = False, infinite: bool = False) -> float:
    """A number of seconds; arguments and errors as for :func:`check_number`."""
    return check_number(name, value, zero=zero, infinite=infinite, of=" of seconds")


def check_number(
    name: str, value: object, *, zero: bool = False, infinite: bool = False, of: str = ""
) -> float:
    """A number that is not negative.

    Args:
        name: Name of the argument.
        value: Its value.
        zero: Whether it may be 0.
        infinite: Whether it may be infinite.
        of: What it counts, for the error.

    Raises:
        InvalidArgument: It is not, or is negative.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.nan
        if 0.0 < number < math.inf or (zero and number == 0.0):
            return number
        if infinite and number == math.inf:
            return number
    least = "from 0 on" if zero else "above 0"
    raise InvalidArgument(name, f"a number{of} {least} is due, not {_shown(value)}")


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
