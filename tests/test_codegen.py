"""The generator of API classes, on a toy table and on the four tables of the package."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import random
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import pytest

from jobkit_async.codegen import CodegenError, generate, tables
from jobkit_async.codegen.__main__ import main
from jobkit_async.codegen.spelling import Fault
from jobkit_async.codegen.writer import METHODS, layout
from jobkit_async.endpoint import Endpoint, ResultKind, Table
from jobkit_async.errors import TableError

# looptime asks every test for its event loop. Where none was ever set, Python before 3.14 makes one
# for the asking, which nobody closes.
asyncio.set_event_loop(None)

ROOT = Path(__file__).parents[1]
TOY = Path(__file__).parent / "data" / "codegen" / "toy"
SERVICES = ("bsubio", "ecotaxa", "leia", "vidispine")
HANDLES = {
    "bsubio": "BsubioJob",
    "ecotaxa": "EcotaxaJob",
    "leia": "LeiaJob",
    "vidispine": "VidispineJob",
}
RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
needs_ruff = pytest.mark.skipif(RUFF is None, reason="ruff is not installed")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def toy(folder: Path) -> Path:
    """The toy package, in a folder of its own."""
    return Path(shutil.copytree(TOY, folder / "toy", ignore=shutil.ignore_patterns("__pycache__")))


# -- the toy table


def test_golden(toy: Path) -> None:
    golden = (TOY / "api.py").read_bytes().decode()
    assert generate("toy.endpoints").text == golden


def test_what_the_package_itself_imports_does_not_matter(toy: Path) -> None:
    (toy / "api.py").write_text("this is not Python")
    assert main(["toy.endpoints"]) == 0
    assert (toy / "api.py").read_bytes() == (TOY / "api.py").read_bytes()


def test_generating_leaves_no_half_initialised_package_behind(toy: Path) -> None:
    generate("toy.endpoints")
    assert not [name for name in sys.modules if name.partition(".")[0] == "toy"]
    assert importlib.import_module("toy").ToyJobsApi.__name__ == "ToyJobsApi"


def test_imported_from_a_package(toy: Path) -> None:
    check_api(importlib.import_module("toy.endpoints"), importlib.import_module("toy.api"))


def test_imported_as_top_level_modules(folder: Path) -> None:
    for name in ("endpoints", "models", "job"):
        text = (TOY / f"{name}.py").read_text().replace("from . import", "import")
        (folder / f"{name}.py").write_text(text)
    importlib.invalidate_caches()
    assert main(["endpoints"]) == 0
    text = (folder / "api.py").read_text()
    assert "\nimport endpoints\nimport models\nfrom job import ToyJob\n" in text
    assert "from ." not in text
    check_api(importlib.import_module("endpoints"), importlib.import_module("api"))


def test_types_from_elsewhere_are_imported_whole(folder: Path) -> None:
    write_table(folder, "returns=value(shapes.Circle)", head="import shapes")
    (folder / "shapes.py").write_text("import attrs\n\n@attrs.frozen\nclass Circle:\n    r: int\n")
    text = generate("table").text
    assert "\nimport shapes\n" in text
    assert "async def do(self) -> shapes.Circle:" in text


# -- what is checked in


def test_the_services_are_found() -> None:
    assert tables() == [f"jobkit_async.services.{name}.endpoints" for name in SERVICES]


def test_checked_in_files_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("service", SERVICES)
def test_checked_in_classes_say_what_the_rows_say(service: str) -> None:
    package = f"jobkit_async.services.{service}"
    table = importlib.import_module(f"{package}.endpoints")
    check_api(table, importlib.import_module(f"{package}.api"))


def test_methods_are_short() -> None:
    lengths = {
        name: method_lengths(ROOT / "jobkit_async" / "services" / name / "api.py")
        for name in SERVICES
    }
    every = [length for lines in lengths.values() for length in lines]
    assert len(every) == 39
    assert median(every) <= 20
    assert {name: median(lines) for name, lines in lengths.items() if median(lines) > 20} == {}


def method_lengths(path: Path) -> list[int]:
    """Lines of each method, from signature to return."""
    return [
        node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef) and node.end_lineno is not None
    ]


def recording(cls: type, handed: list[Any]) -> Any:
    """An object of a generated class that notes what its methods hand on, and to which method."""

    def method(name: str) -> Any:
        async def note(self: Any, row: Endpoint, *arguments: Any) -> Any:
            handed.append((name, row, *arguments))
            return None if name == "_none" else handed[-1]

        return note

    return type("Recording", (cls,), {name: method(name) for name in METHODS.values()})(None)


def check_api(table: ModuleType, api: ModuleType) -> None:
    """Compare a module of generated classes with its table."""
    found: Table = table.TABLE
    assert api.__all__ == sorted(it.class_name for it in found.apis)
    for group in found.apis:
        cls = getattr(api, group.class_name)
        methods = {name: it for name, it in vars(cls).items() if inspect.isfunction(it)}
        assert list(methods) == [row.name for row in group.rows]
        assert (inspect.getdoc(cls) or "").rstrip(".") == group.doc.rstrip(".")
        assert not hasattr(cls(None), "__dict__")
        for row in group.rows:
            check_method(row, methods[row.name])


def check_method(row: Endpoint, method: Any) -> None:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    assert [it.name for it in parameters] == [param.name for param in row.params]
    hints = typing.get_type_hints(method)
    assert set(hints) == {param.name for param in row.params} | {"return"}
    for param, parameter in zip(row.params, parameters, strict=True):
        if param.required:
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            assert parameter.default is parameter.empty
        else:
            assert parameter.kind is parameter.KEYWORD_ONLY
            assert parameter.default is None
            assert type(None) in typing.get_args(hints[param.name])
        assert f"{param.name}: " in method.__doc__
    if row.returns.kind is ResultKind.VALUE and row.returns.type is not dict:
        assert hints["return"] == row.returns.type
    assert method.__doc__.startswith(row.summary)


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        pytest.param(name, row.name, id=f"{name}.{row.name}")
        for name in SERVICES
        for api in importlib.import_module(f"jobkit_async.services.{name}.endpoints").TABLE.apis
        for row in api.rows
    ],
)
async def test_methods_hand_on_their_row_and_all_arguments(service: str, operation: str) -> None:
    module = importlib.import_module(f"jobkit_async.services.{service}.api")
    table: Table = importlib.import_module(f"jobkit_async.services.{service}.endpoints").TABLE
    row = table.row(operation)
    group = next(api for api in table.apis if row in api.rows)
    handed: list[Any] = []
    call = getattr(recording(getattr(module, group.class_name), handed), operation)
    kind = METHODS[row.returns.kind]
    arguments = {param.name: object() for param in row.params}
    required = {param.name: arguments[param.name] for param in row.params if param.required}
    some = [required.get(param.name) for param in row.params]
    given = [await call(**arguments), await call(*required.values())]
    assert handed == [(kind, row, *arguments.values()), (kind, row, *some)]
    assert given == ([None, None] if row.returns.kind is ResultKind.NONE else handed)


@pytest.mark.parametrize("service", SERVICES)
def test_handles_are_those_of_the_service(service: str) -> None:
    api = importlib.import_module(f"jobkit_async.services.{service}.api")
    table: Table = importlib.import_module(f"jobkit_async.services.{service}.endpoints").TABLE
    kinds = {ResultKind.JOB: HANDLES[service], ResultKind.JOBS: f"JobList[{HANDLES[service]}]"}
    kinds |= {ResultKind.TEXT: "str", ResultKind.BYTES: "Download", ResultKind.NONE: "None"}
    for group in table.apis:
        for row in group.rows:
            method = getattr(getattr(api, group.class_name), row.name)
            if row.returns.kind is not ResultKind.VALUE:
                assert method.__annotations__["return"] == kinds[row.returns.kind]


# -- the command


def test_writing_tells_what_it_did_and_leaves_nothing_else(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = toy / "api.py"
    api.unlink()
    before = {path.name for path in toy.iterdir()}
    assert main(["toy.endpoints"]) == 0
    assert capsys.readouterr() == (f"{api}: written, was missing\n", "")
    assert {path.name for path in toy.iterdir()} - before - {"__pycache__"} == {"api.py"}
    assert b"\r" not in api.read_bytes()
    stamp = api.stat().st_mtime_ns
    assert main(["toy.endpoints"]) == 0
    assert capsys.readouterr() == (f"{api}: current\n", "")
    assert api.stat().st_mtime_ns == stamp


def test_a_failed_write_leaves_the_old_file(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (toy / "api.py").write_text("old")
    before = {path.name for path in toy.iterdir()} | {"__pycache__"}

    def refuse(self: Path, target: Path) -> Path:
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no room"):
        main(["toy.endpoints"])
    assert (toy / "api.py").read_text() == "old"
    assert {path.name for path in toy.iterdir()} <= before


def test_check_is_silent_about_what_is_current(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check", "toy.endpoints"]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_reports_and_writes_nothing(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = toy / "api.py"
    due = api.read_bytes()
    for content, fault in (
        (due[:1000], "truncated"),
        (due[:-1], "truncated"),
        (b"", "truncated"),
        (due + b"\n", "stale"),
        (due.replace(b"\n", b"\r\n"), "stale"),
        (b"\xff\xfe" + due, "stale"),
    ):
        api.write_bytes(content)
        assert main(["--check", "toy.endpoints"]) == 1
        assert capsys.readouterr() == (
            "",
            f"{api}: {fault}; run python -m jobkit_async.codegen toy.endpoints\n",
        )
        assert api.read_bytes() == content
    api.unlink()
    assert main(["--check", "toy.endpoints"]) == 1
    assert "missing" in capsys.readouterr().err
    assert not api.exists()


def test_check_fails_after_any_changed_byte(toy: Path) -> None:
    api = toy / "api.py"
    due = api.read_bytes()
    rng = random.Random(20)
    for place in [0, len(due) - 1, *(rng.randrange(len(due)) for _ in range(30))]:
        changed = bytearray(due)
        changed[place] ^= rng.randrange(1, 256)
        api.write_bytes(changed)
        assert main(["--check", "toy.endpoints"]) == 1, f"byte {place} became {changed[place]}"
    file = generate("toy.endpoints")
    for place in rng.sample(range(len(due)), 400):
        changed = bytearray(due)
        changed[place] ^= rng.randrange(1, 256)
        api.write_bytes(changed)
        assert file.fault() == "stale", f"byte {place} became {changed[place]}"


def test_check_names_every_file_that_is_not_current(
    folder: Path, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(folder, "returns=none()")
    (toy / "api.py").write_text("")
    assert main(["--check", "toy.endpoints", "table"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        f"{toy / 'api.py'}: truncated",
        f"{folder / 'api.py'}: missing",
    ]


def test_runs_as_a_module(toy: Path) -> None:
    (toy / "api.py").unlink()
    command = [sys.executable, "-m", "jobkit_async.codegen"]
    places = {"PYTHONPATH": str(ROOT), "PATH": ""}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            cwd=toy.parent,
            env=places,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("--check", "toy.endpoints").returncode == 1
    assert run("toy.endpoints").returncode == 0
    assert (toy / "api.py").read_bytes() == (TOY / "api.py").read_bytes()
    assert run("--check").returncode == 0
    assert run("nothing.endpoints").returncode == 2


# -- what is refused


def write_table(folder: Path, rest: str, *, name: str = "do", head: str = "") -> Path:
    """Write a module ``table`` with one row, made of ``rest``."""
    path = folder / "table.py"
    path.write_text(
        "from jobkit_async.endpoint import *\n"
        f"{head}\n"
        "row = Endpoint(\n"
        f"    {name!r}, GET, '/do', {rest},\n"
        f"    repeat=SAFE{'' if 'summary=' in rest else ', summary={!r}'.format('Do it.')},\n"
        ")\n"
        f"globals()[{name.upper()!r}] = row\n"
        "TABLE = Table(service='made', job='job:MadeJob', apis=(\n"
        "    Api('jobs', 'MadeApi', row, doc='Made.'),\n"
        "))\n"
    )
    importlib.invalidate_caches()
    return path


@pytest.mark.parametrize(
    ("name", "rest", "problem"),
    [
        ("class", "returns=none()", "no public method can have this name"),
        ("_do", "returns=none()", "no public method can have this name"),
        ("do", "query('class', doc='D.'), returns=none()", "have the name 'class'"),
        ("do", "query('self', doc='D.'), returns=none()", "have the name 'self'"),
        ("do", "query('table', doc='D.'), returns=none()", "have the name 'table'"),
        ("do", "query('__x', doc='D.'), returns=none()", "have the name '__x'"),
        ("do", "query('str', doc='D.'), returns=value(str)", "have the name 'str'"),
        ("do", f"returns=none(), summary={'x' * 90!r}", "summary is longer than one line"),
        ("do", "returns=none(), summary='A.\\nB.'", "summary is longer than one line"),
        ("do", "returns=none(), summary='\"Do\" it.'", "cannot begin with a quote"),
        ("do", 'returns=none(), note=\'A """ B.\'', "three quotes"),
        ("do", "returns=value('Later')", "'Later' cannot be written as an annotation"),
        ("d" * 90, "returns=none()", "too long for a line"),
    ],
)
def test_rows_that_cannot_become_methods(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, rest: str, problem: str
) -> None:
    write_table(folder, rest, name=name)
    with pytest.raises(TableError, match=rf"^made\.{name}: "):
        generate("table")
    assert main(["table"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"made.{name}: " in err
    assert problem in err
    assert not (folder / "api.py").exists()


def test_a_row_has_a_constant_of_its_name(folder: Path) -> None:
    path = write_table(folder, "returns=none()")
    path.write_text(path.read_text().replace("'DO'", "'DO_IT'"))
    with pytest.raises(TableError, match=r"^made\.do: the row is not the constant DO of table$"):
        generate("table")


def test_the_constant_is_the_row_itself(folder: Path) -> None:
    path = write_table(folder, "returns=none()")
    path.write_text(path.read_text().replace("= row\n", "= object()\n"))
    with pytest.raises(TableError, match="not the constant DO"):
        generate("table")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot import table: ModuleNotFoundError"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("1 +", "cannot import table: SyntaxError"),
        ("raise RuntimeError('boom')", "cannot import table: RuntimeError: boom"),
        ("x = 1", "table has no TABLE"),
        ("TABLE = {}", "table has no TABLE"),
    ],
)
def test_modules_that_are_no_tables(
    folder: Path, toy: Path, capsys: pytest.CaptureFixture[str], text: str | None, problem: str
) -> None:
    if text is not None:
        (folder / "table.py").write_text(text)
        importlib.invalidate_caches()
    (toy / "api.py").unlink()
    assert main(["toy.endpoints", "table"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("python -m jobkit_async.codegen: ")
    assert problem in err
    assert not (toy / "api.py").exists(), "one bad table, and nothing is written"


def test_a_faulty_table_names_its_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(folder, "path('id', doc='Id.'), returns=none()")
    assert main(["table"]) == 2
    assert "made.do: the path has the slots" in capsys.readouterr().err


def test_a_table_does_not_overwrite_itself(folder: Path) -> None:
    write_table(folder, "returns=none()").rename(folder / "api.py")
    importlib.invalidate_caches()
    with pytest.raises(CodegenError, match=r"api is no file that an api\.py can stand beside"):
        generate("api")


def test_a_missing_package_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no_such_package.endpoints"]) == 2
    assert "cannot import no_such_package.endpoints" in capsys.readouterr().err


# -- layout


@pytest.mark.parametrize(
    ("items", "due"),
    [
        # 100 columns fit, 101 do not
        (["a" * 90], ["    call(" + "a" * 90 + ")"]),
        (["a" * 91], ["    call(", "        " + "a" * 91, "    )"]),
        (["a" * 44, "b" * 44], ["    call(" + "a" * 44 + ", " + "b" * 44 + ")"]),
        (["a" * 44, "b" * 45], ["    call(", "        " + "a" * 44 + ", " + "b" * 45, "    )"]),
        (["a" * 45, "b" * 45], ["    call(", "        " + "a" * 45 + ", " + "b" * 45, "    )"]),
        (
            ["a" * 45, "b" * 46],
            ["    call(", "        " + "a" * 45 + ",", "        " + "b" * 46 + ",", "    )"],
        ),
        ([], ["    call()"]),
    ],
)
def test_layout_by_width(items: list[str], due: list[str]) -> None:
    assert layout("    ", "call(", items, ")") == due
    assert all(len(line) <= 100 for line in due)


def test_layout_of_a_lone_self() -> None:
    tail = f") -> {'R' * 90}:"
    assert layout("    ", "async def f(", ["self"], tail) == [
        "    async def f(",
        "        self,",
        f"    {tail}",
    ]


def test_layout_refuses_what_ruff_would_break_elsewhere() -> None:
    with pytest.raises(Fault, match="too long for a line"):
        layout("", "call(", ["a" * 97], ")")
    assert layout("", "call(", ["a" * 96], ")") == ["call(", "    " + "a" * 96, ")"]


def ruff(*arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
    assert RUFF is not None
    return subprocess.run(
        [RUFF, *arguments, "-"],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


@needs_ruff
@pytest.mark.parametrize("service", [*SERVICES, "toy"])
def test_ruff_has_nothing_to_say(service: str) -> None:
    path = f"jobkit_async/services/{service}/api.py"
    text = (TOY / "api.py" if service == "toy" else ROOT / path).read_text()
    for command in (["format", "--diff"], ["check", "--no-cache"]):
        done = ruff(*command, "--stdin-filename", path, stdin=text)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_ruff
def test_layout_is_that_of_ruff() -> None:
    rng = random.Random(7)
    lines = ["class A:"]
    for number in range(400):
        names = [f"{'p' * rng.randint(1, 30)}{it}" for it in range(rng.choice([0, 1, 2, 3, 8]))]
        result = rng.choice(["None", "M" * rng.randint(1, 60), f"list[{'M' * rng.randint(1, 40)}]"])
        operation = f"{'f' * rng.randint(1, 40)}{number}"
        head = rng.choice(
            ["await self._none(", "return await self._job(", f"v: {result} = await g("]
        )
        due = [
            *layout("    ", f"async def {operation}(", ["self", *names], f") -> {result}:"),
            *layout("        ", head, [f"endpoints.{operation.upper()}", *names], ")"),
        ]
        lines += [*due, ""]
    text = "\n".join(lines[:-1]) + "\n"
    done = ruff("format", "--diff", "--stdin-filename", "x.py", stdin=text)
    assert done.returncode == 0, done.stdout
