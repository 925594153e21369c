"""Resident memory of this process, in bytes."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["forget_most", "most_resident", "resident"]

STATUS = Path("/proc/self/status")
PEAK = Path("/proc/self/clear_refs")


def resident() -> int:
    """What there is now; where the system does not tell, the most there ever was."""
    return _told("VmRSS")


def most_resident() -> int:
    """The most there ever was, or since :func:`forget_most`."""
    return _told("VmHWM")


def forget_most() -> None:
    """Count the most from now on, where the system lets us."""
    with suppress(OSError):
        PEAK.write_text("5")


def _told(name: str) -> int:
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10
