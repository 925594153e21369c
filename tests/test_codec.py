"""Any bytes become a value or a clear error; what is sent is what was said."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from importlib import import_module
from types import MappingProxyType, NoneType
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import example, given, settings

from jobkit_async import UNSET, DecodeError, InvalidArgument, codec
from jobkit_async.codec import converters, decoding, flat, skimming
from jobkit_async.model import Unset, wire, wire_name
from jobkit_async.services.bsubio import models as bsubio
from jobkit_async.services.ecotaxa import models as ecotaxa
from jobkit_async.services.leia import models as leia
from jobkit_async.services.vidispine import models as vidispine

SERVICES = ("bsubio", "ecotaxa", "leia", "vidispine")
MODELS = [
    pytest.param(service, cls, id=f"{service}-{cls.__name__}")
    for service in SERVICES
    for module in [import_module(f"jobkit_async.services.{service}.models")]
    for name in module.__all__
    if attrs.has(cls := getattr(module, name))
]
REQUESTS = [
    bsubio.CreateJobRequest,
    ecotaxa.LoginReq,
    leia.ApplyBody,
    leia.ConditionalBody,
    leia.TrainBody,
    leia.LoginBody,
    vidispine.SimpleMetadataType,
]

words = st.text(max_size=12)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
dates = st.datetimes(
    timezones=st.just(UTC) | st.just(timezone(timedelta(hours=2))),
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - bounds are naive
)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values that an attribute of this type can have."""
    if hint is Any:
        return json_values
    if attrs.has(hint):
        return instances(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is list:
        return st.lists(values_of(inner[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(words, values_of(inner[1]), max_size=3)
    if inner:
        return st.one_of(*map(values_of, inner))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: words,
        int: st.integers(-(2**53), 2**53),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        datetime: dates,
        type(None): st.none(),
        Unset: st.just(UNSET),
    }
    return plain[hint]


def instances(cls: Any) -> st.SearchStrategy[Any]:
    """Instances of a model; one that can hold itself does so seldom."""
    if cls in (vidispine.JobTaskType, vidispine.JobType):
        return st.deferred(lambda: _shallow(cls))
    hints = get_type_hints(cls)
    return st.builds(cls, **{f.name: values_of(hints[f.name]) for f in attrs.fields(cls)})


def _shallow(cls: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    fields = {
        f.name: values_of(hints[f.name])
        for f in attrs.fields(cls)
        if get_args(hints[f.name])[:1] != (cls,)
    }
    return st.builds(cls, **fields)


def read(cls: Any, value: Any) -> Any:
    """A model out of JSON that Python's own library wrote."""
    return codec.decode(json.dumps(value).encode(), cls, operation="op")


def attempt(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error by which it refuses."""
    try:
        return call()
    except (DecodeError, InvalidArgument) as error:
        return error


def failure(value: Any, type_: Any, at: tuple[str, ...] = ()) -> DecodeError:
    """The error that a value of another shape gives."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(DecodeError) as caught:
        codec.decode(data, type_, at=at, operation="op")
    assert caught.value.operation == "op"
    assert len(caught.value.body) <= 256
    return caught.value


# -- models


def test_every_model_has_a_sample(minimal: dict[str, dict[str, Any]]) -> None:
    known = {(param.values[0], param.values[1].__name__) for param in MODELS}
    assert {(service, name) for service in minimal for name in minimal[service]} == known


@pytest.mark.parametrize(("service", "cls"), MODELS)
def test_a_model_is_read_from_the_least_that_is_documented(
    service: str, cls: Any, minimal: dict[str, dict[str, Any]]
) -> None:
    least = minimal[service][cls.__name__]
    value = read(cls, least)
    assert type(value) is cls
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        if wire_name(field) not in least:
            assert getattr(value, field.name) in (None, [], {}, UNSET)
    assert read(cls, {**least, "added in version 99": [1, {"x": None}]}) == value
    for name in least:
        error = failure({key: least[key] for key in least if key != name}, cls)
        assert error.path == f"$.{name}"
        assert "missing" in str(error)
        field = next(f for f in attrs.fields(cls) if wire_name(f) == name)
        if NoneType in get_args(hints[field.name]):  # due, but a null spoils nothing
            assert getattr(read(cls, {**least, name: None}), field.name) is None
        elif isinstance(least[name], list):
            assert getattr(read(cls, {**least, name: None}), field.name) == []
        else:
            assert failure({**least, name: None}, cls).path == f"$.{name}"


@pytest.mark.parametrize(("service", "cls"), MODELS)
def test_null_reads_as_missing_where_a_member_may_be_missing(
    service: str, cls: Any, minimal: dict[str, dict[str, Any]]
) -> None:
    least = minimal[service][cls.__name__]
    nulls = {
        wire_name(field): None for field in attrs.fields(cls) if field.default is not attrs.NOTHING
    }
    value = read(cls, {**least, **nulls})
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        if wire_name(field) in nulls:
            empty = {list: [], dict: {}}.get(get_origin(hints[field.name]))
            assert getattr(value, field.name) == empty


@pytest.mark.parametrize(("service", "cls"), MODELS)
def test_a_model_is_an_object(service: str, cls: Any) -> None:
    for value in (None, [], "text", 1, 1.5, True, [{}]):
        assert failure(value, cls).path == "$"


@pytest.mark.parametrize(("service", "cls"), MODELS)
def test_any_instance_comes_back_from_its_json(service: str, cls: Any) -> None:
    @settings(max_examples=12)
    @given(value=instances(cls))
    def round_trip(value: Any) -> None:
        data = codec.encode("body", value, cls)
        back = codec.decode(data, cls, operation="op")
        # An empty list or dict and one that is null read the same, and dates are moments.
        assert back == value

    round_trip()


@pytest.mark.parametrize(("service", "cls"), MODELS)
def test_any_json_is_a_model_or_a_decode_error(
    service: str, cls: Any, minimal: dict[str, dict[str, Any]]
) -> None:
    names = st.sampled_from([wire_name(field) for field in attrs.fields(cls)] or ["x"])
    least = minimal[service][cls.__name__]
    near = st.dictionaries(names, json_values, max_size=5).map(lambda value: {**least, **value})

    @settings(max_examples=15)
    @given(value=json_values | near)
    def check(value: Any) -> None:
        result = attempt(lambda: read(cls, value))
        if isinstance(result, DecodeError):
            assert result.path.startswith("$")
            assert len(result.body) <= 256
        else:
            assert type(result) is cls

    check()


@given(
    data=st.binary(max_size=60)
    | words.map(str.encode)
    | json_values.map(json.dumps).map(str.encode)
)
@example(data=b"")
@example(data=b" \n")
@example(data=b"\xef\xbb\xbf")
@example(data=b"\xff\xfe{\x00}\x00")
@example(data=b"[" * 100_000)
@example(data=b'{"a":' * 100_000)
@example(data=b"NaN")
@example(data=b"1e999")
@example(data=b'"\\ud800"')
@example(data=b"-")
@example(data=b'{"id": "7"} trailing')
def test_any_bytes_are_a_value_or_a_decode_error(data: bytes) -> None:
    for type_ in (bsubio.Job, leia.Job, list[vidispine.JobType], dict[str, str], str):
        result = attempt(partial(codec.decode, data, type_, operation="op"))
        if isinstance(result, DecodeError):
            assert result.path.startswith("$")
            assert len(result.body) <= 256
        else:
            assert isinstance(result, get_origin(type_) or type_)
    raws = attempt(lambda: codec.split(data, operation="op"))
    if isinstance(raws, DecodeError):
        assert raws.path == "$"
    else:
        assert isinstance(raws, list)
    codec.pluck(data, at=("data", "total"))
    codec.Skimmer(Row)(data)


# What docs/clients.md says of odd answers, line by line.
@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"\xef\xbb\xbf{}", {}),
        (b'"\\u0000"', "\0"),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b"1" * 400, int("1" * 400)),
        (b"1" * 4300, int("1" * 4300)),
        (b"1e-999", 0.0),
        (b" \t\r\n{} \n", {}),
        (b"[" * 100 + b"]" * 100, ...),
        (b'{"a":' * 100 + b"1" + b"}" * 100, ...),
        (b'["' + b"[{" * 500 + b'"]', ["[{" * 500]),
        (b"[" + b",".join([b"[{}]"] * 500) + b"]", [[{}]] * 500),
    ],
)
def test_odd_texts_that_are_json(data: bytes, value: Any) -> None:
    parsed = codec.parse(data, operation="op")
    assert value is ... or parsed == value


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the answer is empty"),
        (b" \r\n", "the answer is empty"),
        (b"\xef\xbb\xbf", "the answer is empty"),
        *(
            (data, "no JSON: ")
            for data in [
                b"NaN",
                b"-Infinity",
                b"[1, Infinity]",
                b"1e999",
                b"-1e999",
                b"1" * 4301,
                b"-" + b"1" * 5000,
                b"1" * 5000 + b".5",
                b"01",
                b"1.",
                b"\0",
                b"{}\0",
                b'"a\0b"',
                b"{} {}",
                b"[1,]",
                b"'a'",
                b"\xff\xfe{\x00}\x00",
                b"{\x00}\x00",
                '{"a": 1}'.encode("utf-32"),
                b'"\xff"',
                b'{"\xff": 1}',
                b'"\xed\xa0\x80"',
                b'"\\ud800"',
                b'"\\udc00\\ud800"',
                b'{"\\ud800": 1}',
                b'{"a": 1',
            ]
        ),
        *(
            (data, "it is nested more than 100 levels deep")
            for data in [
                b"[" * 101 + b"]" * 101,
                b'{"a":' * 101 + b"1" + b"}" * 101,
                b'{"a":[' * 51 + b"]}" * 51,
                b"[" * 5000 + b"]" * 5000,
                b'{"a":' * 200_000,
            ]
        ),
    ],
)
def test_odd_texts_that_are_no_json(data: bytes, problem: str) -> None:
    error = failure(data, dict)
    assert str(error).startswith(f"op: cannot read the answer at $: {problem}")
    assert (error.path, len(str(error)) < 400) == ("$", True)


def test_an_error_shows_neither_long_names_nor_values() -> None:
    for value, type_, path in (
        ({"k" * 65: 1}, dict[str, str], "$.*"),
        ({"k" * 64: 1}, dict[str, str], "$." + "k" * 64),
        ({"id": "7", "created_at": "x" * 1000}, bsubio.Job, "$.created_at"),
        ({"id": "7", "created_at": "credential"}, bsubio.Job, "$.created_at"),
    ):
        error = failure(value, type_)
        assert error.path == path
        assert len(str(error)) < 200
        assert "xxx" not in str(error)
        assert "credential" not in str(error)


def test_a_long_path_is_cut_between_names() -> None:
    error = DecodeError("odd", operation="op", path="$" + ".abcdefghi" * 40)
    assert error.path == "$" + ".abcdefghi" * 25 + ".…"


def test_a_byte_order_mark_is_no_harm() -> None:
    data = b'\xef\xbb\xbf{"type": "x"}'
    assert codec.decode(data, bsubio.CreateJobRequest, operation="op").type == "x"
    assert codec.pluck(data, at=("type",)) == "x"
    assert list(map(bytes, codec.split(b"\xef\xbb\xbf[1]", operation="op"))) == [b"1"]


@pytest.mark.parametrize(
    ("value", "type_", "at", "path"),
    [
        (
            {"data": {"jobs": [{}, {"id": 3}]}},
            list[bsubio.Job],
            ("data", "jobs"),
            "$.data.jobs[1].id",
        ),
        ({"data": {}}, list[bsubio.Job], ("data", "jobs"), "$.data"),
        ({"data": []}, list[bsubio.Job], ("data", "jobs"), "$.data"),
        ({"data": {"jobs": {}}}, list[bsubio.Job], ("data", "jobs"), "$.data.jobs"),
        ({"data": None}, bsubio.Job, ("data",), "$.data"),
        ({"error": "x"}, bsubio.Job, ("data",), "$"),
        (
            {"jobId": "a", "currentStep": {"number": "1"}},
            vidispine.JobType,
            (),
            "$.currentStep.number",
        ),
        (
            {"jobId": "a", "log": {"task": [{"step": 1, "attempts": 1, "status": "x"}]}},
            vidispine.JobType,
            (),
            "$.log.task[0].timestamp",
        ),
        ({"jobId": "a", "totalSteps": True}, vidispine.JobType, (), "$.totalSteps"),
        ({"jobId": "a", "data": [{"key": "a"}]}, vidispine.JobType, (), "$.data[0].value"),
        ({"a": "READY", "b": 3}, dict[str, str], (), "$.b"),
        ({"id": "a", "created_at": "yesterday"}, bsubio.Job, (), "$.created_at"),
        ({"id": "a", "created_at": 1767225600}, bsubio.Job, (), "$.created_at"),
        ({"id": "a", "data_size": 1.5}, bsubio.Job, (), "$.data_size"),
        ({"id": "a", "data_size": "1"}, bsubio.Job, (), "$.data_size"),
    ],
)
def test_an_error_tells_where(value: Any, type_: Any, at: tuple[str, ...], path: str) -> None:
    assert failure(value, type_, at).path == path


def test_an_error_tells_what() -> None:
    assert "empty" in str(failure(b"", bsubio.Job))
    assert "no JSON" in str(failure(b"<html>", bsubio.Job))
    assert "a string is due, not a number" in str(failure({"id": 3}, bsubio.Job))
    assert "an object is due, not a list" in str(failure([], bsubio.Job))
    assert "a list is due, not an object" in str(failure({}, list[bsubio.Job]))


def test_text_of_jobs_is_not_coerced() -> None:
    for value in (1, 1.5, True, ["x"], {"x": 1}):
        failure({"status": value}, bsubio.Job)
    for value in ("true", 1, 0, "", []):
        failure({"success": value}, bsubio.Error)


@pytest.mark.parametrize("number", [7, 7.0, -1, 0])
def test_whole_numbers(number: float) -> None:
    size = read(bsubio.Job, {"data_size": number}).data_size
    assert (size, type(size)) == (int(number), int)


# -- dates


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T10:00:05", datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)),
        ("2026-03-01T10:00:05Z", datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)),
        ("2026-03-01T10:00:05+00:00", datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)),
        ("2026-03-01T10:00:05+0000", datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)),
        ("2026-03-01T12:00:05+02:00", datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)),
        ("2026-03-01T12:00:05.250+0200", datetime(2026, 3, 1, 10, 0, 5, 250_000, tzinfo=UTC)),
        ("2026-03-01T10:00:05.250", datetime(2026, 3, 1, 10, 0, 5, 250_000, tzinfo=UTC)),
        ("2026-03-01T10:00:05.25Z", datetime(2026, 3, 1, 10, 0, 5, 250_000, tzinfo=UTC)),
        ("2026-03-01T10:00:05.250000Z", datetime(2026, 3, 1, 10, 0, 5, 250_000, tzinfo=UTC)),
        ("2026-03-01T10:00:05.250000123Z", datetime(2026, 3, 1, 10, 0, 5, 250_000, tzinfo=UTC)),
        ("2026-03-01 10:00:05", datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_dates_as_services_write_them(text: str, moment: datetime) -> None:
    job = read(bsubio.Job, {"created_at": text})
    assert job.created_at == moment
    assert job.created_at.tzinfo is not None


@given(
    text=st.text(max_size=30) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?", fullmatch=True)
)
@example(text="")
@example(text="2026-02-30T00:00:00Z")
@example(text="2026-01-01T24:00:00Z")
@example(text="2026-01-01T00:00:60Z")
@example(text="-0001-01-01T00:00:00Z")
@example(text="2026-01-01T00:00:00+99:99")
@example(text="\N{ARABIC-INDIC DIGIT THREE}" * 4)
def test_any_text_is_a_date_or_a_decode_error(text: str) -> None:
    job = attempt(lambda: read(bsubio.Job, {"created_at": text}))
    if isinstance(job, DecodeError):
        assert job.path == "$.created_at"
    else:
        assert job.created_at.utcoffset() is not None


# -- requests


@pytest.mark.parametrize("cls", REQUESTS)
def test_requests_come_back_from_their_json(cls: Any) -> None:
    @given(value=instances(cls))
    def round_trip(value: Any) -> None:
        sent = json.loads(codec.encode("body", value, cls))
        names = {
            wire_name(field)
            for field in attrs.fields(cls)
            if getattr(value, field.name) is not UNSET
        }
        assert sent.keys() == names
        assert read(cls, sent) == value

    round_trip()


def test_what_is_unset_is_left_out_and_none_is_null() -> None:
    def sent(**members: Any) -> Any:
        return json.loads(codec.encode("body", leia.ApplyBody(**members), leia.ApplyBody))

    assert sent() == {}
    assert sent(tag=None) == {"tag": None}
    assert sent(tag=UNSET, page_range="0") == {"page_range": "0"}
    assert sent(block_processing=False, model_params={}) == {
        "block_processing": False,
        "model_params": {},
    }
    assert read(leia.ApplyBody, {}) == leia.ApplyBody()
    assert read(leia.ApplyBody, {"tag": None}).tag is None
    assert read(leia.ApplyBody, {}).tag is UNSET
    assert not UNSET


@given(value=st.dictionaries(words, json_values, max_size=4))
def test_any_json_object_is_sent_as_it_is(value: dict[str, Any]) -> None:
    assert json.loads(codec.encode("body", value)) == value


def test_other_containers_than_dict_and_list() -> None:
    value = MappingProxyType({"a": (1, 2), "b": OrderedDict(c=deque([3]))})
    assert json.loads(codec.encode("body", value)) == {"a": [1, 2], "b": {"c": [3]}}
    moment = {"at": datetime(2026, 3, 1, 10, tzinfo=UTC), "naive": datetime(2026, 3, 1)}  # noqa: DTZ001 - as callers may have it
    assert json.loads(codec.encode("body", moment)) == {
        "at": "2026-03-01T10:00:00+00:00",
        "naive": "2026-03-01T00:00:00+00:00",
    }
    models = {"nested": bsubio.CreateJobRequest(type="x"), "job": leia.TrainBody(model_name="n")}
    assert json.loads(codec.encode("body", models)) == {
        "nested": {"type": "x"},
        "job": {"model_name": "n"},
    }


@pytest.mark.parametrize("levels", [10, 100, 300, 600, 900, 1000, 2000, 50_000])
def test_deep_bodies_are_sent_or_refused(levels: int) -> None:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"x": value}
    data = attempt(lambda: codec.encode("body", value))
    if isinstance(data, InvalidArgument):
        assert data.argument == "body"
        assert levels > 100
    else:
        assert data.count(b"x") == levels


def test_numbers_that_are_none() -> None:
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(InvalidArgument) as caught:
            codec.encode("body", {"a": [{"b": bad}]})
        assert caught.value.argument == "body.a[0].b"


# -- listings, piecemeal


@attrs.frozen(kw_only=True)
class Row:
    """Some members of a job."""

    id: str
    state: str | None = attrs.field(default=None, metadata=wire("jobState"))
    percent: float | None = None
    at: datetime | None = None


@given(rows=st.lists(st.dictionaries(words, json_values, max_size=3), max_size=6))
def test_a_listing_is_cut_into_its_elements(rows: list[Any]) -> None:
    data = json.dumps({"data": {"jobs": rows, "total": len(rows)}}).encode()
    raws = codec.split(data, at=("data", "jobs"), operation="op")
    assert [json.loads(bytes(raw)) for raw in raws] == rows
    assert codec.pluck(data, at=("data", "total")) == len(rows)
    assert codec.pluck(data, at=("data", "jobs")) == rows
    assert codec.pluck(data, at=()) == json.loads(data)


elements = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(0, 99)},
        optional={
            "text": words
            | st.sampled_from(['}, {"id": 1', '"},{"id":', "}]", "\\\\", '\\"}, {"id"']),
            "inner": st.lists(st.fixed_dictionaries({"id": json_values}), max_size=3),
            "more": json_values,
        },
    )
    | json_values,
    max_size=12,
)


@given(
    rows=elements,
    size=st.integers(1, 120),
    separators=st.sampled_from([(", ", ": "), (",", ":"), (" ,\n ", " : ")]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
@example([{"id": 1, "text": '}, {"id": 1'}] * 3, 5, (", ", ": "), b"")
@example([{"id": 1, "inner": [{"id": 1}, {"id": 2}]}] * 3, 5, (", ", ": "), b"")
def test_a_listing_cut_in_slices_has_the_same_elements(
    rows: list[Any], size: int, separators: tuple[str, str], mark: bytes
) -> None:
    data = mark + json.dumps(rows, separators=separators).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "SLICE", size)
        slices = list(codec.split_slices(data, operation="op"))
    found = [bytes(raw) for slice_ in slices for raw in slice_]
    assert found == [bytes(raw) for raw in codec.split(data, operation="op")]


@given(
    rows=elements,
    size=st.integers(1, 120),
    at=st.integers(0, 400),
    junk=st.sampled_from([b"", b"]", b"}", b"{", b"[", b'"', b",", b'}, {"id": ', b"\\", b"\xff"]),
    cut=st.booleans(),
)
def test_a_broken_listing_cut_in_slices_has_the_same_fate(
    rows: list[Any], size: int, at: int, junk: bytes, cut: bool
) -> None:
    text = json.dumps(rows).encode()
    at = min(at, len(text))
    data = text[:at] + junk + (b"" if cut else text[at:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "SLICE", size)
        sliced = attempt(
            lambda: [
                bytes(raw) for part in codec.split_slices(data, operation="op") for raw in part
            ]
        )
    whole = attempt(lambda: [bytes(raw) for raw in codec.split(data, operation="op")])
    if isinstance(whole, DecodeError):
        assert isinstance(sliced, DecodeError)
        assert (sliced.path, sliced.operation) == (whole.path, whole.operation)
    else:
        assert sliced == whole


def test_a_large_listing_is_cut_in_slices_of_about_that_size() -> None:
    rows = [{"id": index, "text": "x" * 1000} for index in range(5000)]
    data = json.dumps(rows).encode()
    slices = list(codec.split_slices(data, operation="op"))
    sizes = [sum(len(bytes(raw)) for raw in part) for part in slices]
    assert [json.loads(bytes(raw)) for part in slices for raw in part] == rows
    assert len(slices) == len(data) // decoding.SLICE + 1
    assert max(sizes) < decoding.SLICE + 2000


@pytest.mark.parametrize(
    ("data", "at", "path"),
    [
        (b"", (), "$"),
        (b"null", (), "$"),
        (b"{}", (), "$"),
        (b"[1, 2", (), "$"),
        (b'{"data": {}}', ("data", "jobs"), "$.data"),
        (b'{"data": null}', ("data", "jobs"), "$.data"),
        (b'{"data": {"jobs": {}}}', ("data", "jobs"), "$.data.jobs"),
        (b"<html>", ("data",), "$"),
    ],
)
def test_what_is_no_listing(data: bytes, at: tuple[str, ...], path: str) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.split(data, at=at, operation="op")
    assert (caught.value.path, caught.value.operation) == (path, "op")


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"", ()),
        (b"{}", ("a",)),
        (b"[]", ("a",)),
        (b'{"a": {}}', ("a", "b")),
        (b'{"a": 1}', ("a", "b")),
        (b'{"a": ', ("a",)),
        (b"<html>", ("a",)),
    ],
)
def test_what_is_not_there_is_plucked_as_none(data: bytes, at: tuple[str, ...]) -> None:
    assert codec.pluck(data, at=at) is None


def test_skimming() -> None:
    skim = codec.Skimmer(Row)
    row = skim(b'{"id": "a", "jobState": "R", "percent": 3, "at": "2026-03-01T10:00:05Z", "x": []}')
    assert row is not None
    assert (row.id, row.state, row.percent) == ("a", "R", 3.0)
    assert row.at == datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)
    least = skim(b'{"id": "a"}')
    assert least is not None
    assert (least.state, least.percent, least.at) == (None, None, None)
    (raw,) = codec.split(b'[{"id": "b"}]', operation="op")
    assert getattr(skim(raw), "id", None) == "b"


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{}", b'{"id": 3}', b'{"id": "a", "percent": "x"}', b'{"id": "a"'],
)
def test_an_odd_element_is_skimmed_as_none(data: bytes) -> None:
    assert codec.Skimmer(Row)(data) is None


def test_a_listing_is_cut_once_an_element_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = []

    def cut(*args: Any, **named: Any) -> list[codec.Raw]:
        cuts.append(args)
        return elements(*args, **named)

    elements = skimming.elements
    monkeypatch.setattr(skimming, "elements", cut)
    found = codec.Skimmer(Row).all(b'[{"id": "a"}, {"id": "b", "x": 1}]', operation="op")
    assert [row and row.id for row in found.rows] == ["a", "b"]
    assert not cuts
    assert [bytes(found.raw(index)) for index in (1, 0)] == [b'{"id": "b", "x": 1}', b'{"id": "a"}']
    assert len(cuts) == 1


def test_an_odd_element_of_a_listing_spoils_no_other() -> None:
    found = codec.Skimmer(Row).all(b'[{"id": "a"}, {"id": 3}, null, {"id": "d"}]', operation="op")
    assert [row and row.id for row in found.rows] == ["a", None, None, "d"]
    assert bytes(found.raw(1)) == b'{"id": 3}'


@pytest.mark.parametrize("data", [b"", b"{}", b'{"a": []}', b"[", b"null"])
def test_what_is_no_listing_is_not_skimmed(data: bytes) -> None:
    with pytest.raises(DecodeError, match="no list"):
        codec.Skimmer(Row).all(data, operation="op")


def test_skimming_takes_the_dates_that_reading_takes() -> None:
    skim = codec.Skimmer(Row)
    for text in (
        "2026-03-01T10:00:05",
        "2026-03-01T10:00:05.250Z",
        "2026-03-01T10:00:05+00:00",
        "2026-03-01T10:00:05.000+0000",
    ):
        read(bsubio.Job, {"created_at": text})
        assert skim(json.dumps({"id": "a", "at": text}).encode()) is not None


# -- the quick ways say what the thorough ones say


@attrs.frozen(kw_only=True)
class Plain:
    """One field of each kind that is not looked at by cattrs."""

    text: str
    number: float | None = None
    flag: bool = True
    count: int = 3
    at: datetime | None = None
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    anything: Any = None
    many: dict[str, Any] = attrs.field(factory=dict)
    words: list[str | None] = attrs.field(factory=list)
    numbers: dict[str, list[int]] | None = None


PLAIN: dict[str, list[Any]] = {
    "text": ["t", None, 3, True, {}],
    "number": [1, 1.5, None, "1", True, 10**30],
    "flag": [False, None, 0, "true"],
    "count": [0, 3, 4.0, 4.5, None, False, "4", 10**30],
    "at": ["2026-03-01T10:00:05", "2026-03-01T10:00:05.5+02:00", "2026-03-01", None, "soon", 5],
    "since": ["2026-03-01T10:00:05", "2026-03-01 10:00:05Z", "2026-03-01T10:00", None, 5.5],
    "anything": [{"a": []}, None, "x"],
    "many": [{"a": {"b": 1}}, {}, None, [], "x"],
    "words": [["a", None], [], None, [3], {}],
    "numbers": [{"a": [1, 2.0]}, {"a": None}, {"a": ["1"]}, None, [], {}],
}


@pytest.mark.parametrize(
    ("member", "value"), [(name, value) for name, values in PLAIN.items() for value in values]
)
def test_what_is_taken_at_once_is_what_cattrs_takes(member: str, value: Any) -> None:
    assert flat.dates_of(Plain) == ["at", "since"]
    told = {"text": "t", member: value, "more": 1}
    try:
        wanted: Any = converters._slow.structure(told, Plain)
    except Exception:  # noqa: BLE001
        with pytest.raises(DecodeError) as caught:
            codec.structure(told, Plain, operation="op")
        assert caught.value.path.startswith(f"$.{member}")
        with pytest.raises(DecodeError) as caught:
            codec.decode(json.dumps([told]).encode(), list[Plain], operation="op")
        assert caught.value.path.startswith(f"$[0].{member}")
    else:
        model = codec.structure(told, Plain, operation="op")
        assert repr(model) == repr(wanted)  # which tells 3 from 3.0, too
        assert model == wanted
        text = json.dumps(told).encode()
        assert repr(codec.decode(text, Plain, operation="op")) == repr(wanted)
        many = codec.decode(b"[" + text + b", " + text + b"]", list[Plain], operation="op")
        assert repr(many) == repr([wanted, wanted])


def test_text_is_read_straight_into_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: Any, **__: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(decoding, "parse", parse)
    text = b'\xef\xbb\xbf{"text": "t", "text": "u", "at": "2026-03-01T10:00:05", "more": [{}]}'
    model = codec.decode(text, Plain, operation="op")
    assert model == Plain(text="u", at=datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC))
    assert model.at.tzinfo is UTC


@pytest.mark.parametrize("member", ["anything", "more"])
def test_nothing_is_read_that_is_nested_too_deeply(member: str) -> None:
    text = f'{{"text": "t", "{member}": {101 * "["}{101 * "]"}}}'
    with pytest.raises(DecodeError, match="nested"):
        codec.decode(text.encode(), Plain, operation="op")


@pytest.mark.parametrize("value", [b'"\xff"', b"1e999", b"-0", b'{"a": [1]}'])
def test_members_that_no_model_knows_are_skipped(value: bytes) -> None:
    text = b'{"text": "t", "more": ' + value + b"}"
    assert codec.decode(text, Plain, operation="op") == Plain(text="t")
    with pytest.raises(DecodeError):
        codec.decode(text + b"}", Plain, operation="op")


def test_what_is_missing_has_its_default_and_each_model_its_own_list() -> None:
    first, second = (codec.structure({"text": "t"}, Plain, operation="op") for _ in range(2))
    assert first == second == Plain(text="t")
    assert first.many is not second.many
    assert first.words is not second.words
    with pytest.raises(DecodeError) as caught:
        codec.structure({}, Plain, operation="op")
    assert caught.value.path == "$.text"


@pytest.mark.parametrize(
    "field",
    [
        attrs.field(type=str, metadata=wire("reNamed")),
        attrs.field(type=str, alias="other"),
        attrs.field(type=str, default="x", init=False),
        attrs.field(type=str, default=attrs.Factory(lambda self: self.first, takes_self=True)),
        attrs.field(type=str, validator=attrs.validators.max_len(3)),
        attrs.field(type=str, converter=str),
        attrs.field(type=Plain),
        attrs.field(type=list[datetime]),
        attrs.field(type=dict[int, str]),
        attrs.field(type=str | Unset, default=UNSET),
    ],
)
def test_models_with_more_to_them_are_left_to_cattrs(field: Any) -> None:
    fields = {"first": attrs.field(type=str), "second": field}
    cls = attrs.make_class("Model", fields, kw_only=True, frozen=True)
    assert flat.dates_of(cls) is None


def test_one_odd_element_does_not_slow_the_others_down(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []

    def convert(value: Any, type_: Any) -> Any:
        taken.append(value)
        return msgspec.convert(value, type_)

    monkeypatch.setattr(converters, "convert", convert)
    rows = [{"text": "a"}, {"text": "b", "many": None}, {"text": "c"}]
    found = codec.structure(rows, list[Plain], operation="op")
    assert [each.text for each in found] == ["a", "b", "c"]
    assert found[1].many == {}
    assert taken == rows


awkward = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\a\n', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet='[{"\\', max_size=2), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(value=awkward, levels=st.integers(90, 110), objects=st.booleans())
def test_no_nesting_is_overlooked(value: Any, levels: int, objects: bool) -> None:
    for level in range(levels):
        value = {"a]": [value]} if objects and level % 2 else [value, '["']
    data = json.dumps(value).encode()
    if decoding._is_too_deep(value):
        assert decoding._may_be_too_deep(data)
        with pytest.raises(DecodeError, match="nested"):
            codec.parse(data, operation="op")
    else:
        assert codec.parse(data, operation="op") == value


@pytest.mark.parametrize(
    ("text", "may_be"),
    [
        ('{"a": [{"b": "c"}, ""], "d": {}}', False),
        (r'["say \"[\"", "C:\\", "\\\"", "\n"]', True),
        (r'["say \"so\"", "C:\\", "\\\"", "\n"]', False),
        ('["]", "["]', True),
        (40 * '[{"a":' + "1" + 40 * "}]", False),
        (101 * "[" + 101 * "]", True),
    ],
)
def test_brackets_alone_tell_what_is_not_too_deep(text: str, may_be: bool) -> None:
    many = f"[{', '.join([text] * 101)}]"  # in fewer brackets nobody looks for how they stand
    json.loads(many)
    assert decoding._may_be_too_deep(many.encode()) == may_be
