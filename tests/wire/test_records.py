"""Each operation puts on the wire what the service's API page and documents ask for.

``wire.json`` holds for each operation some calls, and the request that each of them must become.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
import pytest

from jobkit_async import Download, Job, JobList, Upload
from jobkit_async.endpoint import ResultKind
from jobkit_async.registry import find_service, service_names

RECORDS = json.loads((Path(__file__).parent.parent / "data" / "wire.json").read_text())
KINDS: dict[ResultKind, Any] = {
    ResultKind.JOB: Job,
    ResultKind.JOBS: JobList,
    ResultKind.BYTES: Download,
    ResultKind.TEXT: str,
    ResultKind.VALUE: object,
    ResultKind.NONE: NoneType,
}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")


def argument(value: Any, hint: Any) -> Any:
    """A recorded value as the type that a parameter asks for."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if isinstance(value, dict) and "$bytes" in value:
        assert Upload in members
        data = base64.b64decode(value["$bytes"])
        return Upload(data, name=value["name"]) if "name" in value else data
    for member in members:
        if attrs.has(member):
            hints = get_type_hints(member)
            return member(**{name: argument(inner, hints[name]) for name, inner in value.items()})
        if member is datetime:
            return datetime.fromisoformat(value)
        if get_origin(member) in (list, tuple) or isinstance(value, list):
            (element,) = get_args(member)
            return [argument(inner, element) for inner in value]
    return value


def arguments(method: Callable[..., Any], recorded: dict[str, Any]) -> dict[str, Any]:
    """The recorded arguments of a call, as its signature asks for them."""
    hints = get_type_hints(method)
    names = list(inspect.signature(method).parameters)
    if not recorded.keys() <= set(names):  # members of the one body
        (name,) = names
        recorded = {name: recorded}
    return {name: argument(value, hints[name]) for name, value in recorded.items()}


def comparable(pairs: list[Any]) -> Counter[tuple[str, Any]]:
    """The pairs of a query in any order; dates become moments."""

    def moment(text: str) -> Any:
        if not DATE.fullmatch(text):
            return text
        date = datetime.fromisoformat(text)
        return date if date.tzinfo else date.replace(tzinfo=UTC)

    return Counter((name, moment(value)) for name, value in pairs)


@pytest.mark.parametrize(
    "record", RECORDS, ids=[f"{r['service']}-{r['operation']}-{r['case']}" for r in RECORDS]
)
async def test_an_operation_puts_its_record_on_the_wire(
    record: dict[str, Any],
    recorder: Any,
    opened: Callable[[str], Awaitable[Any]],
    method_of: Callable[..., Any],
    answer_well: Callable[..., None],
) -> None:
    service, operation = record["service"], record["operation"]
    row = find_service(service).table.row(operation)
    answer_well(service, row)
    client = await opened(service)
    method = method_of(client, operation)

    result = await method(**arguments(method, record["args"]))
    if isinstance(result, Download):
        assert await result.read() == b"PK\x03\x04"
    assert isinstance(result, KINDS[row.returns.kind])
    assert (result is None) == (row.returns.kind is ResultKind.NONE)

    (seen,) = recorder.arrived
    assert seen.method == record["method"]
    assert seen.segments == record["path"]
    assert comparable(seen.query) == comparable(record["query"])
    wanted = {name: value for name, value in record["headers"].items() if name != "content-type"}
    assert {name: seen.headers.getall(name) for name in wanted} == {
        name: [value] for name, value in wanted.items()
    }
    content_type = record["headers"].get("content-type")
    if record["multipart"]:
        (part,) = record["multipart"]
        assert seen.headers["Content-Type"].partition(";")[0] == content_type
        assert seen.part.name == part["name"]
        assert seen.part.filename == part["filename"]
        assert seen.part.content == base64.b64decode(part["b64"])
    elif record["raw_b64"]:
        assert seen.headers["Content-Type"] == content_type
        assert seen.body == base64.b64decode(record["raw_b64"])
    elif record["json"] is not None:
        assert seen.headers["Content-Type"] == content_type
        assert json.loads(seen.body) == record["json"]
    else:
        assert content_type is None
        assert "Content-Type" not in seen.headers
        assert seen.body == b""
    if seen.body:
        # Sizes that are known in advance are told, so no body here has to be chunked.
        assert seen.headers["Content-Length"] == str(len(seen.body))


def test_every_operation_of_every_service_has_records() -> None:
    operations = {
        (name, row.name)
        for name in service_names()
        for api in find_service(name).table.apis
        for row in api.rows
    }
    assert {(record["service"], record["operation"]) for record in RECORDS} == operations
    assert len(operations) == 39
    assert len(RECORDS) == 171
