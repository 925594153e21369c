"""What the README and the documentation say in tables, trees and links holds."""

from __future__ import annotations

import ast
import inspect
import re
from configparser import ConfigParser
from pathlib import Path

import pytest
from rich.console import Console

from jobkit_async import (
    Hooks,
    JobkitError,
    JobState,
    Limits,
    Polling,
    Retry,
    Timeout,
    Waited,
    errors,
)
from jobkit_async.cli.board import Board
from jobkit_async.cli.demo import table
from jobkit_async.demo import DemoResult, ServiceResult
from jobkit_async.registry import GROUP, find_service, service_names
from jobkit_async.states import Need
from jobkit_async.testing import plugin

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jobkit_async"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str, *headings: str) -> list[list[str]]:
    """The cells of the one table with these headings."""
    lines = page(name).splitlines()
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


# -- the architecture


def layers(contract: str) -> list[str]:
    """The layers of a contract, the lowest first; those on one line as a set would have them."""
    parser = ConfigParser()
    parser.read(ROOT / ".importlinter")
    lines = parser[f"importlinter:contract:{contract}"]["layers"].split("\n")
    return [name.strip(" ()") for line in reversed(lines) if line for name in line.split("|")]


def rooms() -> list[str]:
    return [
        name
        for room, _ in rows("docs/architecture.md", "room", "what it is")
        for name in codes(room)
    ]


def modules(folder: Path) -> set[str]:
    """Names of the modules and packages in a folder."""
    packages = {found.parent.name for found in folder.glob("*/__init__.py")}
    return packages | {found.stem for found in folder.glob("*.py")} - {"__init__"}


def test_every_room_stands_in_the_table_in_the_order_of_the_imports() -> None:
    top = list(dict.fromkeys(room.partition("/")[0] for room in rooms()))
    assert top == layers("house")
    assert set(top) == modules(PACKAGE)


def test_every_part_of_polling_stands_in_the_table() -> None:
    named = [room.removeprefix("polling/") for room in rooms() if room.startswith("polling/")]
    assert sorted(named) == sorted(layers("polling"))
    assert set(named) == modules(PACKAGE / "polling")


def test_every_file_of_a_service_stands_in_the_table() -> None:
    files = rows("docs/architecture.md", "file", "by", "what")
    named = {Path(name).stem for file, _, _ in files for name in codes(file)} - {"__init__"}
    assert named == set(layers("service"))
    for service in service_names():
        some = set() if find_service(service).callbacks else {"callbacks"}
        assert modules(PACKAGE / "services" / service) == named - some


def strings(tree: ast.AST) -> set[str]:
    """What a module imports from, and its strings, documentation left out."""
    expressions = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    found = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in expressions:
            found.add(str(node.value))
    return found


def test_the_four_are_named_only_where_the_page_says() -> None:
    names = re.compile(rf"\b({'|'.join(service_names())})\b")
    naming = {
        file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for file in PACKAGE.rglob("*.py")
        if any(map(names.search, strings(ast.parse(file.read_text(encoding="utf-8")))))
    }
    (sentence,) = re.findall(r"The four are named only [^.]*\.", page("docs/architecture.md"))
    assert naming == {"services", *codes(sentence)}


# -- clients, errors, logs


def test_the_table_of_credentials() -> None:
    table = rows("docs/quick_start.md", "client", "credentials", "environment")
    assert len(table) == len(service_names())
    for (client, credentials, environment), name in zip(table, service_names(), strict=True):
        found = find_service(name).client
        assert codes(client) == [found.__name__]
        settings = {*found._settings} - {"base_url"}
        assert {f"{name}_{argument}".upper() for argument in {*found._credentials, *settings}} == {
            *codes(environment)
        }
        named = {*codes(credentials)}
        assert named <= inspect.signature(found).parameters.keys()
        assert named == {*found._credentials}


def test_how_often_calls_are_repeated() -> None:
    assert Retry() == Retry(retries=2, base=0.5, cap=20.0)
    repeats = " ".join(page("docs/clients.md").split())
    pauses = "up to 0.5 s, then 1 s, or after the service's Retry-After of up to 20 s"
    assert f"repeated up to twice, after a random pause of {pauses}." in repeats


def test_the_defaults_of_times_and_limits() -> None:
    assert Timeout() == Timeout(connect=15, read=30, attempt=30, call=120)
    assert Limits() == Limits(64, None, max_body=64 << 20, max_listing=256 << 20)
    text = " ".join(page("docs/clients.md").split())
    for said in (
        "`connect` (15)",
        "signs of life (30)",
        "`attempt` (30;",
        "pauses (120;",
        "at once (64)",
        "64 MiB; 256 MiB of a listing",
        "An eighth of the room",
        "gives 0.1 back",
    ):
        assert said in text


def test_the_tree_of_errors() -> None:
    above = ["JobkitError"]
    drawn: set[tuple[str, ...]] = {("JobkitError", "Exception")}
    branches = re.findall(
        r"^((?:│   |    )*)[├└]── (\w+)(?: \((\w+)\))?", page("docs/errors.md"), re.MULTILINE
    )
    for indent, name, builtin in branches:
        del above[1 + len(indent) // 4 :]
        drawn.add((name, above[-1], builtin) if builtin else (name, above[-1]))
        above.append(name)
    classes = [found for found in vars(errors).values() if isinstance(found, type)]
    assert drawn == {
        (found.__name__, *(base.__name__ for base in found.__bases__))
        for found in classes
        if issubclass(found, JobkitError)
    }


def test_the_table_of_errors() -> None:
    """It has each class that is raised itself, in the order of the tree."""
    table = rows("docs/errors.md", "error", "when", "what to do")
    kinds = {"JobkitError", "TransportError"}
    tree = re.findall(r"[├└]── (\w+)", page("docs/errors.md"))
    assert [name for error, _, _ in table for name in codes(error)] == [
        name for name in tree if name not in kinds
    ]


def test_the_loggers() -> None:
    files = (file for file in PACKAGE.rglob("*.py") if "testing" not in file.parts)
    sources = "".join(file.read_text(encoding="utf-8") for file in files)
    names = set(re.findall(r"getLogger\((.*?)\)", sources))
    table = rows("docs/observability.md", "logger", "level", "what it tells")
    assert {f'"{name}"' for logger, _, _ in table for name in codes(logger)} == names
    levels = {name for _, level, _ in table for name in codes(level)}
    used = set(re.findall(r"_log\.(\w+)\(", sources))
    assert {name.lower() for name in levels} == used - {"exception", "isEnabledFor"}


# -- hooks and OpenTelemetry


def test_the_hooks() -> None:
    table = rows("docs/observability.md", "method", "event", "when")
    methods = {name: method for name, method in vars(Hooks).items() if name.startswith("on_")}
    assert [name for row in table for name in codes(row[0])] == [*methods]
    for name, event, _ in table:
        (method,), (taken,) = codes(name), codes(event)
        assert inspect.signature(methods[method]).parameters["event"].annotation == taken


def test_the_metrics() -> None:
    source = (PACKAGE / "otel.py").read_text(encoding="utf-8")
    made = re.findall(r'create_\w+\(\s*"([\w.]+)",\s*"([^"]+)"', source)
    table = rows("docs/observability.md", "metric", "unit", "what it tells")
    told = {(name, unit) for row, unit, _ in table for name in codes(row)}
    assert told == {(name, "" if unit.startswith("{") else unit) for name, unit in made}


# -- tests of users


def test_the_fixtures() -> None:
    table = rows("docs/testing.md", "fixture", "what it is")
    named = [name for fixtures, _ in table for name in codes(fixtures)]
    assert sorted([*named, "server_fixture"]) == sorted(plugin.__all__)


# -- waiting


def test_the_needs() -> None:
    table = rows("docs/waiting.md", "`needs`", "which job", "what to do")
    assert [need for row in table for need in codes(row[0])] == [*Need]


def test_the_delays_of_the_default_policy() -> None:
    units = {"s": 1.0, "min": 60.0, "h": 3600.0}

    def seconds(text: str) -> float:
        return sum(float(n) * units[unit] for n, unit in re.findall(r"([\d.]+) (s|min|h)\b", text))

    for age, gap, delay in rows("docs/waiting.md", "age of the job", "gap", "mean delay"):
        due = Polling().gap(Waited(age=seconds(age), looks=1, shared=1.0))
        assert seconds(gap) == pytest.approx(due, abs=0.5)
        assert seconds(delay) == pytest.approx(due / 2, abs=0.5)
    assert Polling().gap(Waited(age=9000.0, looks=1, shared=1.0)) == 300.0


# -- the demo


def test_the_demo_prints_such_a_table() -> None:
    (shown,) = re.findall(r"^```text\n(.*?)\n\n", page("README.md"), re.MULTILINE | re.DOTALL)
    services: list[ServiceResult] = []
    for line in shown.splitlines()[3:]:
        name, *numbers = line.replace("s ", " ").removesuffix("s").split()
        ends = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
        outcomes = dict(zip(ends, map(int, numbers), strict=False))
        services.append(
            ServiceResult(
                service=name,
                jobs=sum(outcomes.values()),
                outcomes=outcomes,
                requests=int(numbers[3]),
                status_requests=int(numbers[4]),
                mean_delay=float(numbers[6]),
                p95_delay=float(numbers[7]),
            )
        )
    assert [service.service for service in services] == service_names()
    console = Console(width=80, highlight=False)
    with console.capture() as capture:
        console.print(table(DemoResult(services, [], 12.7)))
    printed = [line.rstrip() for line in capture.get().splitlines()]
    assert [line for line in printed if line] == shown.splitlines()


def test_the_picture_of_a_wait() -> None:
    """It has the columns of today's table, and loads nothing from elsewhere."""
    picture = page("docs/images/wait.svg")
    board = Board(Console(width=84), "ecotaxa", [], {})
    headings = {str(column.header) for column in board._table([], 84).columns} - {""}
    words = {
        text.replace("&#160;", " ").strip() for text in re.findall(r">([^<>]+)</text>", picture)
    }
    assert headings <= {word for text in words for word in text.split()}
    assert {found[0] for found in re.findall(r"url\((.*?)\)", picture)} == {"#"}
    assert "href" not in picture


# -- links, and the commands of contributors


def test_every_link_leads_somewhere() -> None:
    for file in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", file.read_text(encoding="utf-8")):
            if target.startswith("https://"):
                continue
            path, _, anchor = target.partition("#")
            other = (file.parent / path).resolve()
            assert other.is_file(), f"{file.name}: {target}"
            headings = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings}
            assert not anchor or anchor in anchors, f"{file.name}: {target}"


def test_the_quick_checks_are_those_of_continuous_integration() -> None:
    fences = re.findall(
        r"^```console\n(.*?)^```", page("CONTRIBUTING.md"), re.MULTILINE | re.DOTALL
    )
    quick = fences[1].splitlines()
    script = page(".ci/run")
    static = script[script.index("\nruff format") : script.index("\nEND\n")]
    assert quick == [*static.split("\n")[1:], "python -m pytest -q -n auto"]
    assert fences[2].strip() in script


def test_the_group_of_services() -> None:
    assert f'[project.entry-points."{GROUP}"]' in page("CONTRIBUTING.md")
