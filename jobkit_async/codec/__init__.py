"""Bytes to attrs models and back; the only module that knows cattrs and msgspec.

Its errors tell the place, and leave the body to those who know what in it is secret. Full models
are structured by cattrs, strictly: a number is no string and a string no number, so
that an answer of the wrong shape is an error with a place and not a surprise later. Listings can
be split into raw slices first, of which only what polling needs is decoded.
"""

from __future__ import annotations

from jobkit_async.codec.decoding import (
    NULL,
    Raw,
    decode,
    parse,
    pluck,
    split,
    split_slices,
    structure,
)
from jobkit_async.codec.encoding import encode, plain, secrets_of
from jobkit_async.codec.skimming import Skimmed, Skimmer

__all__ = [
    "NULL",
    "Raw",
    "Skimmed",
    "Skimmer",
    "decode",
    "encode",
    "parse",
    "plain",
    "pluck",
    "secrets_of",
    "split",
    "split_slices",
    "structure",
]
