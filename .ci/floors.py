"""The lowest versions of what the package needs that `pyproject.toml` allows, as pip constraints.

`aiohttp>=3.13.3` becomes `aiohttp==3.13.3`; so for the dependencies and the extra `cli`. What only
the tests need is left alone.
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["cli"]]:
    match = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
    if match is None:
        sys.exit(f"{requirement!r} tells no lowest version")
    sys.stdout.write("==".join(match.groups()) + "\n")
