"""Files on their way in and out: what an upload takes and what a download gives."""

from __future__ import annotations

from jobkit_async.transfer.download import Download, Reopen, Stream
from jobkit_async.transfer.upload import CHUNK, Content, Progress, Source, Upload, UploadBody

__all__ = [
    "CHUNK",
    "Content",
    "Download",
    "Progress",
    "Reopen",
    "Source",
    "Stream",
    "Upload",
    "UploadBody",
]
