"""Whether what a service answers can be read, and what its statuses mean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jobkit_async import codec
from jobkit_async.answer import Answer, read
from jobkit_async.endpoint import Endpoint, ResultKind
from jobkit_async.errors import JobkitError
from jobkit_async.request import build
from jobkit_async.spec import ServiceSpec
from jobkit_async.states import JobState
from jobkit_async.testing.conformance.parts import credentials_of
from jobkit_async.testing.conformance.samples import arguments_of

__all__ = ["answer_faults"]

READ = (ResultKind.JOB, ResultKind.JOBS, ResultKind.VALUE)
NEWER = "a word of next year"


def answer_faults(spec: ServiceSpec, examples: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with how answers are read."""
    rows = {row.name: row for api in spec.table.apis for row in api.rows}
    for name in sorted(examples.keys() - rows.keys()):
        yield f"{name}: there is an example of its answer, and no such operation"
    for name, row in rows.items():
        if row.returns.kind not in READ:
            continue
        if name not in examples:
            yield f"{name}: there is no example of its answer"
            continue
        yield from (f"{name}: {fault}" for fault in _example_faults(spec, row, examples[name]))


def _example_faults(spec: ServiceSpec, row: Endpoint, document: Any) -> Iterator[str]:
    body = json.dumps(document).encode()
    try:
        request = build(row, arguments_of(row, every=False))
        value = read(request, Answer(200, {"Content-Type": "application/json"}, body))
    except JobkitError as error:
        yield f"the example of its answer cannot be read: {error}"
        return
    if row.returns.kind is ResultKind.VALUE:
        return
    listing = row.returns.kind is ResultKind.JOBS
    found = value[0] if listing else [value]
    if not found:
        yield "the example of its answer has no job in it"
    inner = document
    for step in row.returns.at:
        inner = inner[step]
    for job, raw in zip(found, inner if listing else [inner], strict=True):
        if getattr(job, row.returns.key[0], None) is None:
            yield f"the job in the example has no {row.returns.key[0]}"
        yield from _sighting_faults(spec, row, raw)


def _sighting_faults(spec: ServiceSpec, row: Endpoint, raw: dict[str, Any]) -> Iterator[str]:
    """What is wrong with what is seen in a job, whatever its status."""
    client = spec.client(**credentials_of(spec), base_url="http://127.0.0.1:1")

    def seen(document: Any) -> Any:
        model = codec.structure(document, row.returns.type, operation=row.name)
        return client._source.sight(model)

    word = seen(raw).raw_status
    if not word:
        return  # an answer that gives an id alone
    places = [name for name, member in raw.items() if member == word]
    if not places:
        yield f"the status {word!r} is no member of the job"
        return
    for other in map(str, (*spec.states, NEWER)):
        sighting = seen({**raw, **dict.fromkeys(places, other)})
        state = spec.states.get(other, JobState.UNKNOWN)
        if (sighting.raw_status, sighting.state) != (other, state):
            yield (
                f"a job of status {other!r} is seen as {sighting.state.value}, "
                f"{sighting.raw_status!r}, and not as {state.value}"
            )
        if sighting.final and not state.ended:
            yield f"a job of status {other!r} is said to have ended for good"
        if state is JobState.NEEDS_INPUT and sighting.needs is None:
            yield f"what a job of status {other!r} needs is not said"
