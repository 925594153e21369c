"""Both type checkers agree with the files in ``typing``: with what they say is right and wrong.

A mistake there carries an ignore, and an ignore that nothing needs is an error, so an error that
the checkers no longer see fails the test. The code in the documentation is checked too, as a user's
own: in a folder of its own, strictly, without any setting of this project.
"""

from __future__ import annotations

import re
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


def check(command: list[str], files: list[Path], cwd: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", *command, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.fixture
def pages(tmp_path: Path) -> list[Path]:
    """Each Python block of the README and of the documentation in a file of its own."""
    files: list[Path] = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for number, code in enumerate(blocks):
            files.append(tmp_path / f"{page.stem.lower()}_{number}.py")
            files[-1].write_text(code, encoding="utf-8")
    assert {file.stem for file in files} >= {"readme_0", "readme_1", "clients_0", "waiting_0"}
    return files


needs_mypy = pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
needs_basedpyright = pytest.mark.skipif(
    find_spec("basedpyright") is None, reason="basedpyright is not installed"
)


@pytest.mark.slow
@needs_mypy
def test_mypy() -> None:
    check(["mypy", "--strict", "--warn-unused-ignores"], FILES, ROOT)


@pytest.mark.slow
@needs_mypy
def test_mypy_on_the_pages(pages: list[Path], tmp_path: Path) -> None:
    check(["mypy", "--strict"], pages, tmp_path)


@pytest.mark.slow
@needs_mypy
@pytest.mark.skipif(find_spec("fastapi") is None, reason="FastAPI is not installed")
def test_mypy_on_the_web_applications(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "web"
    options = ["--strict", "--cache-dir", str(tmp_path)]
    check(["mypy", *options], sorted(folder.glob("*.py")), folder)


@pytest.mark.slow
@needs_basedpyright
def test_basedpyright() -> None:
    check(["basedpyright", "--pythonpath", sys.executable], FILES, ROOT)


@pytest.mark.slow
@needs_basedpyright
def test_basedpyright_on_the_pages(pages: list[Path], tmp_path: Path) -> None:
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    # Named by the folder: files on the command line would leave the settings aside.
    check(["basedpyright", "--pythonpath", sys.executable], [], tmp_path)
