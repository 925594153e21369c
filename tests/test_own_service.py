"""A service from elsewhere: the guide to one, and the package that it is taken from."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "own_service.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "gridbatch"
PACKAGE = EXAMPLE / "jobkit_gridbatch"
SOURCES = {file.name: file.read_text(encoding="utf-8") for file in PACKAGE.glob("*.py")}
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [
        re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)
        for indent, found, body in FENCE.findall(GUIDE)
        if found == language
    ]


def table(*headings: str) -> list[list[str]]:
    lines = GUIDE.splitlines()
    first = lines.index(f"| {' | '.join(headings)} |") + 2
    found: list[list[str]] = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    assert found
    return found


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# -- the guide and the package


def test_every_block_is_a_part_of_the_package() -> None:
    tests = [file.read_text(encoding="utf-8") for file in (EXAMPLE / "tests").glob("*.py")]
    texts = [*SOURCES.values(), *tests]
    found = blocks("py")
    assert len(found) == 9
    for block in found:
        assert any(block in text for text in texts), block
    (settings,) = blocks("toml")
    assert settings in (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")
    assert len(blocks("console")) == 2
    assert len(FENCE.findall(GUIDE)) == 12


def test_every_file_is_in_the_guide() -> None:
    named = [name for file, _ in table("file", "what it says") for name in codes(file)]
    assert {*named} == {"pyproject.toml", *SOURCES} - {"api.py"}


def test_its_extras_are_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    settings = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    (needed,) = settings["optional-dependencies"]["test"]
    (names,) = re.findall(r"^jobkit-async\[(.*)\]$", needed)
    assert {*names.split(",")} <= {*extras["optional-dependencies"]}
    assert f"'.[{names}]'" in blocks("console")[0]


# -- what is public for authors of services


def public() -> dict[str, list[str] | None]:
    """For each public module its public names; None for all that it exports."""
    return {
        codes(module)[0]: None if names == "all that it exports" else codes(names)
        for module, names in table("module", "names")
    }


def imports() -> Iterator[tuple[str, str, str]]:
    """What the package imports from the library: file, module, name."""
    for file, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if isinstance(node, ast.Import):
                assert not any(it.name.startswith("jobkit_async") for it in node.names)
            elif module.startswith("jobkit_async"):
                yield from ((file, module, it.name) for it in node.names)  # type: ignore[union-attr]  # an ImportFrom


def test_public_names_are_there() -> None:
    for module, names in public().items():
        found = importlib.import_module(module)
        for name in names or found.__all__:
            if "()" not in name and name != "rng":
                assert hasattr(found, name), f"{module}.{name}"
                assert name in found.__all__, f"{module}.{name}"


def test_the_package_imports_what_is_public_and_nothing_else() -> None:
    listed = public()
    generated = {"jobkit_async.joblist", "jobkit_async.service", "jobkit_async.transfer"}
    errors = importlib.import_module("jobkit_async.errors")
    checked = 0
    for file, module, name in imports():
        if file == "api.py":
            assert module in generated
            continue
        names = listed[module]
        if module == "jobkit_async.errors":
            kind = getattr(errors, name)
            assert name == "api_error" or issubclass(kind, errors.JobkitError)
        else:
            assert names is None or name in names, f"{module}.{name}"
        checked += 1
    assert checked > 20


def test_the_package_uses_no_other_private_name() -> None:
    allowed = {
        name.removesuffix("()").rpartition(".")[2]
        for _, names in table("class", "names")
        for name in codes(names)
    } | {"_record", "_home"}
    for file in SOURCES.keys() - {"api.py"}:
        tree = ast.parse(SOURCES[file])
        own = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                assert node.attr in allowed | own, f"{file}: {node.attr}"


# -- the package itself


@pytest.fixture
def announced(tmp_path: Path) -> Any:
    """Runs a module of Python where the package is as good as installed."""
    settings = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "jobkit_gridbatch-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: jobkit-gridbatch\nVersion: 0.1.0\n"
    )
    lines: list[str] = []
    for group, points in settings["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=EXAMPLE,
            env={
                "PATH": "",
                "PYTHONPATH": f"{tmp_path}:{EXAMPLE}",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.mark.slow
def test_its_tests_pass(announced: Any) -> None:
    done = announced("pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    (passed,) = re.findall(r"^(\d+ passed)", done.stdout, re.MULTILINE)
    assert f"`{passed}`" in GUIDE


def test_its_generated_file_is_current(announced: Any) -> None:
    done = announced("jobkit_async.codegen", "--check", "jobkit_gridbatch.endpoints")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "python -m jobkit_async.codegen jobkit_gridbatch.endpoints\n" in blocks("console")


@pytest.mark.slow
def test_the_guide_from_a_fresh_clone(tmp_path: Path) -> None:
    """Its command, literally, where there is nothing but Python: what is tested is installed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    clone, base = tmp_path / "clone", tmp_path / "bin"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((ROOT / name).read_bytes())
    base.mkdir()
    python = Path(sys.base_prefix) / "bin" / "python3"
    (base / "python3").symlink_to(python)
    done = subprocess.run(
        ["bash", "-c", f'export PATH="{base}:$PATH"; unset PYTHONPATH; {blocks("console")[0]}'],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (passed,) = re.findall(r"^(\d+ passed)", done.stdout, re.MULTILINE)
    assert f"`{passed}`" in GUIDE
    where = subprocess.run(
        [clone / ".venv/bin/python", "-c", "import jobkit_async; print(jobkit_async.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "site-packages" in where.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "checker", [["mypy", "--strict"], ["basedpyright", "--pythonpath", sys.executable]]
)
def test_its_types(checker: list[str], tmp_path: Path) -> None:
    pytest.importorskip(checker[0])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            *checker,
            "jobkit_gridbatch",
            *map(str, (EXAMPLE / "tests").glob("*.py")),
        ],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
