"""What importing loads, and what it leaves for later. Each question has a process of its own."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from typing import Any

import pytest

import jobkit_async

HEAVY = [
    *("aiohttp", "cattrs", "msgspec", "yarl", "anyio", "click", "rich", "pytest", "hypothesis"),
    "opentelemetry",
]


def run(code: str) -> Any:
    """What a fresh interpreter prints as JSON at the end of this code."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import json, sys\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return json.loads(process.stdout)


def loaded_by(code: str) -> set[str]:
    return set(run(f"{code}\nprint(json.dumps(list(sys.modules)))"))


@pytest.mark.parametrize(
    "code",
    [
        "import jobkit_async",
        "import jobkit_async; jobkit_async.JobState.SUCCEEDED",
        "from jobkit_async import JobState",
        "from jobkit_async import Hooks, RequestEvent, combine_hooks",
        "import jobkit_async; jobkit_async.JobFailed; jobkit_async.InvalidArgument",
        "import jobkit_async; dir(jobkit_async)",
        "import jobkit_async; hasattr(jobkit_async, 'nonsense')",
        "from jobkit_async.services.bsubio import models",
        "from jobkit_async.services.ecotaxa import models",
        "from jobkit_async.services.vidispine import models",
        "from jobkit_async.services.bsubio import SPEC",
    ],
)
def test_what_must_not_be_loaded(code: str) -> None:
    loaded = loaded_by(code)
    assert {name for name in HEAVY if name in loaded} == set()
    assert not {name for name in loaded if name.startswith("jobkit_async.") and "fake" in name}


def test_the_pytest_plugin_costs_those_nothing_who_use_it_not() -> None:
    # pytest imports it in every test run of whoever has the library installed.
    loaded = loaded_by("import jobkit_async.testing.plugin")
    assert {"aiohttp", "cattrs", "msgspec", "yarl"} & loaded == set()
    assert not {name for name in loaded if name.startswith("jobkit_async.") and "fake" in name}


def test_models_of_leia_load_no_http_library() -> None:
    loaded = loaded_by("from jobkit_async.services.leia import models")
    assert {name for name in HEAVY if name in loaded} == set()


def test_one_client_loads_no_other_service() -> None:
    loaded = loaded_by("from jobkit_async import BsubioClient")
    services = {name for name in loaded if name.startswith("jobkit_async.services.")}
    assert {name.split(".")[2] for name in services} == {"bsubio"}
    assert not {"click", "rich", "pytest", "aiohttp.web"} & loaded


def test_only_the_extra_loads_opentelemetry() -> None:
    clients = "from jobkit_async import *\nHooks, BsubioClient, EcotaxaClient, LeiaClient"
    assert "opentelemetry" not in loaded_by(f"{clients}, VidispineClient")
    assert "opentelemetry" in loaded_by("import jobkit_async.otel")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'jobkit_async' has no attribute 'nonsense'"):
        jobkit_async.nonsense  # noqa: B018
    with pytest.raises(ImportError, match="nonsense"):
        from jobkit_async import nonsense  # noqa: F401


def test_dir_shows_all_that_is_public() -> None:
    shown = dir(jobkit_async)
    assert shown == sorted(shown)
    assert set(jobkit_async.__all__) <= set(shown)
    assert run("import jobkit_async; print(json.dumps(dir(jobkit_async)))").count("JobState") == 1


@pytest.mark.parametrize("name", jobkit_async.__all__)
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(jobkit_async, name)
    assert getattr(jobkit_async, name) is value
    if isinstance(value, type):
        assert value.__name__ == name
        assert value.__module__.startswith("jobkit_async.")


def test_the_names_are_those_of_the_type_checkers_block() -> None:
    """The lazy names and those that editors see come from the same modules."""
    tree = ast.parse(inspect.getsource(jobkit_async))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {name: f"jobkit_async.{home}" for name, home in jobkit_async._HOME_OF.items()}
    assert seen == lazy
    assert sorted(jobkit_async.__all__) == sorted(lazy)


def test_a_star_import_gives_what_is_public() -> None:
    code = "from jobkit_async import *\nprint(json.dumps('wait_all' in globals()))"
    assert run(code) is True


@pytest.mark.slow
def test_the_modules_of_the_package_import_on_their_own() -> None:
    """Each first, in one process each time it is forgotten: no import depends on another's luck."""
    code = """
import importlib, pkgutil, jobkit_async
names = [m.name for m in pkgutil.walk_packages(jobkit_async.__path__, "jobkit_async.")]
names = [name for name in names if not name.endswith("__main__")]
for name in names:
    for loaded in [key for key in sys.modules if key.startswith("jobkit_async")]:
        del sys.modules[loaded]
    importlib.import_module(name)
print(json.dumps(len(names)))
"""
    assert run(code) > 40
