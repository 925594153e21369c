"""Models of the made-up service."""

from __future__ import annotations

from enum import StrEnum

import attrs


class Color(StrEnum):
    RED = "red"


@attrs.frozen(kw_only=True)
class Task:
    """One task.

    Attributes:
        id: Its number.
    """

    id: int | None = None


@attrs.frozen(kw_only=True)
class Silent:
    id: int | None = None
