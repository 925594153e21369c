"""What it costs, measured: ``python -m benchmarks NAME [--json]``; see README.md."""

from __future__ import annotations

from typing import Final

__all__ = ["MODULES"]

MODULES: Final = {
    "detection": "detection",
    "batching": "batching",
    "memory": "memory",
    "loop": "loop",
    "transfer": "transfer",
    "import": "importing",
    "call": "call",
    "decode": "decode",
    "scale": "scale",
    "wait": "wait",
    "threads": "threads",
}
"""The benchmarks by name, and the modules of this package that they are."""
