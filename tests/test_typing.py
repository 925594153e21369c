"""Both type checkers agree with the files in ``typing``: with what they say is right and wrong.

A mistake there carries an ignore, and an ignore that nothing needs is an error, so an error that
the checkers no longer see fails the test.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((Path(__file__).parent / "typing").glob("*.py"))


def test_there_is_a_file_for_each_service() -> None:
    assert {file.stem for file in FILES} >= {"bsubio", "ecotaxa", "leia", "vidispine"}
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert "# pyright: reportUnnecessaryTypeIgnoreComment=true\n" in text
        assert "assert_type(" in text
        assert "# type: ignore[" in text


def check(command: list[str]) -> None:
    process = subprocess.run(
        [sys.executable, "-m", *command, *map(str, FILES)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy() -> None:
    check(["mypy", "--strict", "--warn-unused-ignores"])


@pytest.mark.slow
@pytest.mark.skipif(find_spec("basedpyright") is None, reason="basedpyright is not installed")
def test_basedpyright() -> None:
    check(["basedpyright", "--pythonpath", sys.executable])
