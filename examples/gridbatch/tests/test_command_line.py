"""The command line knows Gridbatch by its entry point."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

JOBKIT = [sys.executable, "-m", "jobkit_async"]


def test_it_serves_gridbatch() -> None:
    # A process that hears Ctrl-C even where this one was started without ears for it.
    code = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('jobkit_async', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", code, "serve", "gridbatch", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline()]
        while "Ctrl-C" not in told[-1]:
            told.append(process.stdout.readline())
            assert told[-1], told
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert re.match(r"gridbatch listens on http://127\.0\.0\.1:\d+\n", told[0])
    assert any("GridbatchClient(api_key='grid-key', base_url=" in line for line in told)
    assert any("export GRIDBATCH_API_KEY=grid-key" in line for line in told)


def test_a_name_that_nearly_fits() -> None:
    done = subprocess.run(
        [*JOBKIT, "serve", "gridbach"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "did you mean 'gridbatch'?" in done.stderr
