"""Clients from the environment: an argument wins, and whoever brings credentials uses those."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from jobkit_async import InvalidArgument, LeiaClient, VidispineClient
from jobkit_async.registry import find_service

pytestmark = pytest.mark.looptime

FOUND: Mapping[str, Mapping[str, str]] = {
    "bsubio": {"api_key": "found-key"},
    "ecotaxa": {"token": "found-token", "username": "found@example.org", "password": "found"},
    "leia": {"api_key": "found-key", "token": "found-token"},
    "vidispine": {"username": "found", "password": "found"},
}
"""All credentials that a service knows, in the environment at once."""
GIVEN = [
    ("bsubio", {"api_key": "given-key"}),
    ("ecotaxa", {"token": "given-token"}),
    ("ecotaxa", {"username": "given@example.org", "password": "given"}),
    ("leia", {"api_key": "given-key"}),
    ("leia", {"token": "given-token"}),
    ("vidispine", {"username": "given", "password": "given"}),
]
given = pytest.mark.parametrize(
    ("name", "credentials"), GIVEN, ids=[f"{name}-{'-'.join(given)}" for name, given in GIVEN]
)


@pytest.fixture(autouse=True)
def _nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("BSUBIO_", "ECOTAXA_", "LEIA_", "VIDISPINE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets a service's variables."""

    def variables(service: str, **values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"{service}_{name}".upper(), value)

    return variables


async def read(client: Any) -> None:
    """A call that takes good credentials."""
    match client.service:
        case "bsubio":
            await client.jobs.list_jobs()
        case "ecotaxa":
            await client.jobs.list_jobs(for_admin=False)
        case "leia":
            await client.models.admin_get_models()
        case "vidispine":
            await client.jobs.get_jobs()


def accepting(name: str, credentials: Mapping[str, str]) -> Any:
    """A server that lets nobody in but by these."""
    spec = find_service(name)
    others = {
        argument: "nobody"
        for argument in ("api_key", "token", "username", "password")
        if argument in FOUND[name]
    }
    return spec.fake(**{**others, **credentials})


@given
async def test_credentials_in_the_environment_are_used(
    name: str, credentials: dict[str, str], export: Any
) -> None:
    async with accepting(name, credentials) as server:
        export(name, base_url=server.base_url, **credentials)
        async with find_service(name).client.from_env() as client:
            await read(client)


@given
async def test_credentials_that_are_given_win_over_all_in_the_environment(
    name: str, credentials: dict[str, str], export: Any
) -> None:
    async with accepting(name, credentials) as server:
        export(name, base_url=server.base_url, **FOUND[name])
        async with find_service(name).client.from_env(**credentials) as client:
            await read(client)


@given
async def test_a_credential_that_is_given_as_none_is_not_given(
    name: str, credentials: dict[str, str], export: Any
) -> None:
    async with accepting(name, credentials) as server:
        export(name, base_url=server.base_url, **credentials)
        absent = dict.fromkeys(FOUND[name].keys() - credentials.keys())
        async with find_service(name).client.from_env(**absent) as client:
            await read(client)


async def test_half_of_what_is_given_is_not_made_whole_by_the_environment(export: Any) -> None:
    export("vidispine", **FOUND["vidispine"])
    with pytest.raises(InvalidArgument) as caught:
        VidispineClient.from_env(password="given")
    assert caught.value.argument == "username"


async def test_two_kinds_that_are_both_found_are_refused_by_name(export: Any) -> None:
    export("leia", **FOUND["leia"])
    with pytest.raises(InvalidArgument, match="both were given") as caught:
        LeiaClient.from_env()
    assert caught.value.argument in FOUND["leia"]
    assert "found-" not in str(caught.value)


@given
def test_a_base_url_that_is_given_wins_too(
    name: str, credentials: dict[str, str], export: Any
) -> None:
    export(name, base_url="https://found.example", **credentials)
    make = find_service(name).client
    assert make.from_env().base_url == "https://found.example"
    assert make.from_env(base_url="https://given.example").base_url == "https://given.example"


async def test_a_submitter_of_leia_is_no_credential(export: Any) -> None:
    """It says whose jobs they are, and not who asks: who asks is found as ever."""
    async with accepting("leia", {"api_key": "found-key"}) as server:
        export("leia", base_url=server.base_url, api_key="found-key")
        async with LeiaClient.from_env(submitter_id="app-7") as client:
            await read(client)
            assert await client._scope() == "app-7"


async def test_a_submitter_of_leia_is_found_beside_credentials_that_are_given(export: Any) -> None:
    export("leia", api_key="found-key", submitter_id="app-7")
    client = LeiaClient.from_env(token="given-token")
    assert await client._scope() == "app-7"
