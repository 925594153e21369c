"""The pages make a site, without a single warning, and the reference leaves nothing out."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import jobkit_async
from jobkit_async import testing

ROOT = Path(__file__).parents[1]
NEEDED = ("sphinx", "furo", "myst_parser")


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in NEEDED), reason="the extra docs is not installed"
)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = ["sphinx", "-q", "-E", "-W", "--keep-going", "-d", "../trees", ROOT / "docs", "."]
    site = tmp_path / "site"
    site.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        cwd=site,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} | {"index", "api", "operations"}
    assert pages <= {page.stem for page in site.glob("*.html")}
    shown = (site / "api.html").read_text(encoding="utf-8")
    for name in jobkit_async.__all__:
        assert f'id="jobkit_async.{name}"' in shown, name
    shown = (site / "operations.html").read_text(encoding="utf-8")
    for operation in ("BsubioJobsApi.create_job", "LeiaModelsApi.admin_untag_model"):
        assert re.search(rf'id="jobkit_async\.services\.\w+\.api\.{operation}"', shown), operation


def test_the_reference_has_all_public_names_once() -> None:
    text = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    ours, _, servers = text.partition(".. currentmodule:: jobkit_async.testing\n")
    for part, names in ((ours, jobkit_async.__all__), (servers, testing.__all__)):
        found = re.findall(r"^\.\. (?:auto\w+|data):: ([\w]+)$", part, re.MULTILINE)
        assert sorted(found) == sorted(names)


def test_every_page_stands_in_the_contents() -> None:
    text = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$", text, re.MULTILINE)
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} | {"api", "operations"}
    assert sorted(listed) == sorted(pages)
