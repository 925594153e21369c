"""References to jobs: stable text that takes a job up again, in its own deployment only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from jobkit_async import InvalidArgument
from jobkit_async.refs import LONGEST, Ref, deployment_of

any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
any_id = any_text.filter(lambda text: text not in (".", ".."))


@given(
    id=any_text,
    scope=st.none() | any_text,
    created=st.none() | st.integers(0, 10**11),
    service=st.sampled_from(["bsubio", "leia", "my-own_service2"]),
)
@example(id=":", scope=",", created=0, service="leia")
@example(id=",", scope=":1", created=None, service="leia")
@example(id="a:1767225600", scope=None, created=None, service="leia")
@example(id="%2C", scope="%", created=None, service="leia")
@example(id=" \n", scope="\t ", created=None, service="leia")
@example(id="jk1:leia:00000000:x", scope=None, created=None, service="leia")
def test_what_is_written_is_read(
    id: str,  # noqa: A002 - as the attribute
    scope: str | None,
    created: int | None,
    service: str,
) -> None:
    ref = Ref(service, "0123abcd", id, scope, created)
    text = str(ref)
    assert Ref.parse(text) == ref
    assert Ref.parse(f" {text}\n") == ref  # as it comes out of a file
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set(" \"'\\/")


@given(
    text=st.text(max_size=60) | st.text("jk1:,%ab0.", max_size=30).map("jk1:a:00000000:".__add__)
)
def test_any_text_is_a_ref_or_refused(text: str) -> None:
    found: Ref | InvalidArgument
    try:
        found = Ref.parse(text)
    except InvalidArgument as error:
        found = error
    if isinstance(found, Ref):
        assert Ref.parse(str(found)) == found
    else:
        assert found.argument == "ref"


def test_known_texts() -> None:
    # The form is a promise: refs are kept in databases.
    digest = "dbce9a18"
    assert deployment_of("https://app.bsub.io") == digest
    for ref, text in (
        (Ref("bsubio", digest, "6513270e-269e"), f"jk1:bsubio:{digest}:6513270e-269e"),
        (Ref("leia", digest, "5dce", "a,b:c"), f"jk1:leia:{digest}:5dce,a%2Cb%3Ac"),
        (Ref("ecotaxa", digest, "7", None, 1767225600), f"jk1:ecotaxa:{digest}:7:1767225600"),
        (Ref("leia", digest, "ü/", "s", 0), f"jk1:leia:{digest}:%C3%BC%2F,s:0"),
    ):
        assert str(ref) == text
        assert Ref.parse(text) == ref


def test_a_ref_has_a_longest_length() -> None:
    text = str(Ref("bsubio", "00000000", "x"))
    assert Ref.parse(text + "x" * (LONGEST - len(text)))
    with pytest.raises(InvalidArgument):
        Ref.parse(text + "x" * (LONGEST - len(text) + 1))


@pytest.mark.parametrize(
    "base_url",
    [
        "https://example.org/api",
        "https://example.org/api/",
        "https://example.org/api//",
        "https://example.org:443/api",
        "https://EXAMPLE.org:443/api/",
        "HTTPS://example.org/api",
        "https://ann:secret@example.org/api",
    ],
)
def test_spellings_of_one_deployment(base_url: str) -> None:
    assert deployment_of(base_url) == deployment_of("https://example.org/api")


def test_other_deployments() -> None:
    urls = [
        "https://example.org",
        "http://example.org",
        "https://example.org:8443",
        "https://example.org/api",
        "https://example.org/API",
        "https://example.org/api/v2",
        "https://example.com",
        "https://www.example.org",
    ]
    digests = {deployment_of(url) for url in urls}
    assert len(digests) == len(urls)
    assert all(len(digest) == 8 and int(digest, 16) >= 0 for digest in digests)
    assert deployment_of("http://example.org:80") == deployment_of("http://example.org")


@given(job_id=any_id, submitter_id=st.none() | any_id)
async def test_any_job_is_found_again_by_its_ref(
    job_id: str, submitter_id: str | None, connect: Callable[..., Any]
) -> None:
    here, there = connect("leia"), connect("leia")
    job = here.job(job_id, submitter_id=submitter_id)
    found = there.job_from_ref(job.ref)
    assert (found.id, found.submitter_id) == (job_id, submitter_id)
    assert found == job
    assert hash(found) == hash(job)
    for service in ("bsubio", "vidispine"):
        client = connect(service)
        assert client.job_from_ref(client.job(job_id).ref).id == job_id


@given(job_id=st.integers(1, 2**63))
async def test_any_number_is_found_again_by_its_ref(
    job_id: int, connect: Callable[..., Any]
) -> None:
    client = connect("ecotaxa")
    found = client.job_from_ref(client.job(job_id).ref)
    assert found.id == job_id
    assert type(found.id) is int


@pytest.mark.parametrize(
    "created_at",
    [
        "2026-03-01T10:00:00Z",
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",  # what a service in Go writes where there is no date
        "9999-12-31T23:59:59Z",
    ],
)
async def test_the_ref_of_a_job_that_was_seen(
    created_at: str,
    opened: Callable[..., Awaitable[Any]],
    connect: Callable[..., Any],
    recorder: Any,
) -> None:
    client = await opened("bsubio")
    recorder.say({"success": True, "data": {"id": "7", "created_at": created_at}})
    job = await client.jobs.get_job("7")
    assert connect("bsubio").job_from_ref(job.ref) == job


async def test_refs_hold_no_secrets(connect: Callable[..., Any]) -> None:
    for service, job_id, secrets in (
        ("bsubio", "7", ["bsub-key"]),
        ("ecotaxa", 7, ["eco-token"]),
        ("leia", "7", ["leia-token"]),
        ("vidispine", "VX-7", ["p:w", "us er", "dXMgZXI6cDp3"]),
    ):
        ref = connect(service).job(job_id).ref
        assert not any(secret in ref for secret in secrets)
