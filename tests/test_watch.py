"""The watch for secrets sees them wherever the library could show one."""

from __future__ import annotations

import asyncio
import base64
import logging
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jobkit_async import DecodeError, JobkitError, JobLost
from jobkit_async.auth import StaticAuth
from jobkit_async.request import Request

Opened = Callable[..., Awaitable[Any]]
SECRETS = [
    "bsub-key",
    "eco-token",
    "leia-token",
    "planted-api-key",
    "up-0123456789abcdef01234567",
    base64.b64encode(b"us er:p:w").decode(),
    base64.b64encode(b"user:secret").decode(),
]


@pytest.fixture
def taken(watch: Any) -> Callable[[], list[str]]:
    """What the watch has found by now, which does not count any more."""

    def take() -> list[str]:
        found, watch.found = watch.found, []
        return [text.partition(":")[0] for text in found]

    return take


@pytest.mark.parametrize("secret", SECRETS)
def test_a_log_line(secret: str, taken: Callable[[], list[str]]) -> None:
    log = logging.getLogger("jobkit_async.transport")
    log.debug("GET %s", "/v1/jobs")
    assert taken() == []
    log.debug("GET /v1/jobs?token=%s", secret)
    assert taken() == ["log"]


def test_the_cause_of_a_logged_error(taken: Callable[[], list[str]]) -> None:
    try:
        try:
            raise OSError("planted-token")
        except OSError as error:
            raise RuntimeError("harmless") from error
    except RuntimeError:
        logging.getLogger("asyncio").exception("what nobody retrieved")
    assert taken() == ["log"]


@pytest.mark.parametrize("secret", SECRETS)
def test_an_error_and_its_attributes(secret: str, taken: Callable[[], list[str]]) -> None:
    JobkitError("harmless")
    assert taken() == []
    JobkitError(f"no {secret} here")
    DecodeError("odd", operation="op", body=f'["{secret}"]')
    JobLost("lost", ref=f"jk1:bsubio:00000000:{secret}")
    assert taken() == ["error"] * 3


def test_what_caused_an_error(taken: Callable[[], list[str]]) -> None:
    def fail(*, shown: bool) -> None:
        try:
            raise OSError("planted-token")
        except OSError as error:
            if shown:
                raise JobkitError("harmless") from error
            raise JobkitError("harmless") from None

    for shown in (True, False):
        with pytest.raises(JobkitError):
            fail(shown=shown)
        assert taken() == ["cause"] * shown


def test_an_error_counts_as_its_callers_see_it(taken: Callable[[], list[str]]) -> None:
    error = JobkitError("about planted-token")
    error.args = ("about ***",)
    del error
    assert taken() == []


def test_a_warning(taken: Callable[[], list[str]]) -> None:
    with pytest.warns(UserWarning, match="odd"):
        warnings.warn("an odd planted-token", stacklevel=1)
    assert taken() == ["warning"]


@pytest.mark.parametrize("thing", [StaticAuth, Request])
async def test_a_repr(
    thing: Any,
    watch: Any,
    opened: Opened,
    recorder: Any,
    taken: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(thing, "__repr__", lambda _: "<planted-token>")
    watch._rows.clear()
    client = await opened("ecotaxa")
    recorder.say([])
    await client.jobs.list_jobs(for_admin=False)
    await client.aclose()
    assert set(taken()) == {"repr" if thing is StaticAuth else "request"}


async def test_it_looks_at_all_kinds(watch: Any, opened: Opened, recorder: Any) -> None:
    before = watch.looked.copy()
    client = (await opened("bsubio")).with_options(retries=0)
    recorder.say(status=500)
    with pytest.raises(JobkitError):
        await client.jobs.get_job("7")
    await client.aclose()
    await asyncio.sleep(0)
    kinds = {kind for kind, count in watch.looked.items() if count > before[kind]}
    assert {"log", "error", "repr"} <= kinds
