"""Whether advisories are within reach: whether any are found for a version that has some.

Arguments: a package and such a version of it. A mirror may answer, and know of none.
"""

import subprocess
import sys
import tempfile

package, version = sys.argv[1:]
with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
    wanted.write(f"{package}=={version}\n")
    wanted.flush()
    command = ["pip-audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are those of CI
            [*command, "--timeout", "5", "-r", wanted.name],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        found = done.returncode == 1 and "Fix Versions" in done.stdout
    except (OSError, subprocess.TimeoutExpired):
        found = False
sys.exit(0 if found else 1)
