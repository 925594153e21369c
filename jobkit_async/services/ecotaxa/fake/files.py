"""The files that jobs of the embedded EcoTaxa produce."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from jobkit_async.services.ecotaxa.models import JobType

__all__ = ["MEDIA_TYPES", "ROWS", "SUFFIXES", "content_of"]

ROWS = "object_id\ttaxon\n1\tCalanoida\n2\tCopepoda\n"
SUFFIXES: Mapping[str, str] = {
    JobType.GEN_EXPORT: "zip",
    JobType.GENERAL_EXPORT: "zip",
    JobType.SUMMARY_EXPORT: "tsv",
    JobType.BACKUP_EXPORT: "zip",
    JobType.DARWIN_CORE_EXPORT: "zip",
}
MEDIA_TYPES = {"tsv": "text/tab-separated-values; charset=utf-8", "zip": "application/zip"}


def content_of(name: str) -> bytes:
    """What is in the file of this name."""
    if not name.endswith(".zip"):
        return ROWS.encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("export.tsv"), ROWS)
    return archive.getvalue()
