"""The packages of others that benchmarks compare with: the extra ``bench``, or a part of it."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["without"]


def without(*packages: str) -> str | None:
    """Why a comparison with these packages is left out; None where all of them are there."""
    missing = [name for name in packages if not _is_there(name)]
    if not missing:
        return None
    return (
        f"left out, as {' and '.join(missing)} cannot be imported; the extra bench has what lacks"
    )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # not even what it is a part of
        return False
