"""One request out, one answer back: the only user of aiohttp's client.

aiohttp's exceptions become ours here and nowhere else. Every request passes through a middleware
which hides a lost connection from aiohttp, because aiohttp would send some methods again by itself;
what is repeated is decided above. Every request waits for its turn in the client's pool first.
"""

from __future__ import annotations

from jobkit_async.transport.checks import check_base_url
from jobkit_async.transport.reply import Reply
from jobkit_async.transport.wire import REFUSAL, Transport

__all__ = ["REFUSAL", "Reply", "Transport", "check_base_url"]
