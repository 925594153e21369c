"""Files on their way in and out: what an upload takes and what a download gives."""

from __future__ import annotations

from jobkit_async.transfer.download import Download, Stream
from jobkit_async.transfer.upload import CHUNK, Cargo, Content, Source, Upload

__all__ = ["CHUNK", "Cargo", "Content", "Download", "Source", "Stream", "Upload"]
