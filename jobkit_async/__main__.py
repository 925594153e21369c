"""``python -m jobkit_async`` is ``jobkit``."""

from __future__ import annotations

from jobkit_async.cli import main

if __name__ == "__main__":
    main()
