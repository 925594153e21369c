"""The pytest fixture ``fake_gridbatch``, found by its entry point."""

from __future__ import annotations

from jobkit_async.testing.plugin import server_fixture

__all__ = ["fake_gridbatch"]

fake_gridbatch = server_fixture("gridbatch")
