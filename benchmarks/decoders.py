"""Who decodes a listing, and how. Each gives a function that takes nothing and decodes it once.

What is called official is the vendor's package where the extra ``bench`` has it, with the function
that turns its answers into models. For EcoTaxa and Leia there is none there. Their generated
clients have pydantic models, so the ones here have the same fields with the same types; they are
validated one by one from what ``json.loads`` made, as the generated ``from_dict`` does, but without
its copy of each dict first, and Leia's results are not looked into. So the originals are slower.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import datetime
from importlib import import_module
from types import GenericAlias, SimpleNamespace
from typing import Any, Final, Literal, TypeVar, cast

import attrs
import msgspec

from benchmarks import listings
from jobkit_async import codec
from jobkit_async.answer import Answer
from jobkit_async.caller import Caller
from jobkit_async.polling.record import Record
from jobkit_async.polling.source import Sighting
from jobkit_async.services.bsubio.models import Job as BsubioJob
from jobkit_async.services.bsubio.source import BsubioSource
from jobkit_async.services.ecotaxa.models import JobModel
from jobkit_async.services.ecotaxa.source import EcotaxaSource
from jobkit_async.services.leia.models import Job as LeiaJob
from jobkit_async.services.leia.models import Statuses
from jobkit_async.services.leia.source import LeiaSource
from jobkit_async.services.vidispine.models import JobType
from jobkit_async.services.vidispine.source import VidispineSource
from jobkit_async.services.vidispine.source import _Found as VidispineFound

__all__ = ["CONTENDERS", "PACKAGE_OF", "Decode", "Want", "decoder"]

ResultT = TypeVar("ResultT")
Want = Literal["full", "polling", "first look"]
Decode = Callable[[], Collection[Any]]
"""Gives what it decoded, an element for each job."""

PACKAGE_OF: Final = {
    "bsubio": "bsubio",
    "ecotaxa": "pydantic",
    "leia": "pydantic",
    "vidispine": "vidispine",
}
"""What the official models need."""
ALIVE: Final[tuple[listings.Kind, ...]] = ("alive", "later")
"""What looks see in turn."""
CHUNK: Final = 100
"""Ids in one of Leia's answers."""


def decoder(
    contender: str, service: str, want: Want, jobs: int, loop: asyncio.AbstractEventLoop
) -> Decode:
    """One contender, ready to decode.

    Args:
        contender: One of :data:`CONTENDERS`.
        service: The service whose listing it is.
        want: What it is decoded into.
        jobs: How many jobs are listed.
        loop: The event loop for looks.
    """
    kinds = ALIVE if want != "full" else ("mixed",)
    bodies = [listings.body(service, kind, jobs) for kind in kinds]
    ids = [listings.job_id(service, index) for index in range(jobs)]
    return CONTENDERS[contender](_Task(service, want, bodies, ids, loop))


@attrs.frozen
class _Task:
    """What is to be decoded: a listing of jobs with these ids, and the loop of looks."""

    service: str
    want: Want
    bodies: list[bytes]
    ids: list[Any]
    loop: asyncio.AbstractEventLoop

    @property
    def body(self) -> bytes:
        """The first of the listings, which others decode each time."""
        return self.bodies[0]

    def run(self, look: Coroutine[Any, Any, ResultT]) -> ResultT:
        # asyncio.Runner.run would set signals, and to do so write the whole result out as text.
        return self.loop.run_until_complete(look)


# -- ours


def _ours(task: _Task) -> Decode:
    if task.want != "full":
        return _LOOKS[task.service](task)
    type_, at = _MODELS[task.service]
    return lambda: codec.decode(task.body, type_, at=at, operation="list")


_MODELS: Final[dict[str, tuple[Any, tuple[str, ...]]]] = {
    "bsubio": (list[BsubioJob], ("data", "jobs")),
    "ecotaxa": (list[JobModel], ()),
    "leia": (list[LeiaJob], ()),
    "vidispine": (list[JobType], ("job",)),
}


class _Canned:
    """Stands in for the caller: all answers are there already."""

    def __init__(self, *bodies: bytes) -> None:
        self._answers = [Answer(200, {}, body) for body in bodies]
        self._next = 0

    async def answer(self, *_: Any) -> Answer:
        self._next = (self._next + 1) % len(self._answers)
        return self._answers[self._next - 1]

    def as_caller(self) -> Caller:
        return cast("Caller", self)


@attrs.define
class _Ask:
    """What is known of a job, whose way nobody watches."""

    newest: Sighting[Any] | None = None
    seen_at: float | None = None
    alive_at: float | None = None
    detail: bool = False


class _Asks(dict[Any, _Ask]):
    """The jobs that are asked for, of which nothing is known before the first look."""

    def __init__(self, task: _Task) -> None:
        super().__init__((key, _Ask()) for key in task.ids)
        self._remembers = task.want == "polling"

    def note(self, seen: Mapping[Any, Sighting[Any]]) -> Mapping[Any, Sighting[Any]]:
        """Remember what was seen, as a tracker does."""
        if self._remembers:
            for key, sighting in seen.items():
                self[key].newest = sighting
        return seen


def _bsubio_look(task: _Task) -> Decode:
    source, asks = BsubioSource(_Canned(*task.bodies).as_caller()), _Asks(task)
    return lambda: asks.note(task.run(source._page("processing", asks)).jobs)


def _ecotaxa_look(task: _Task) -> Decode:
    source, asks = EcotaxaSource(_Canned(*task.bodies).as_caller()), _Asks(task)
    return lambda: asks.note(task.run(source.observe(asks)).seen)


def _leia_look(task: _Task) -> Decode:
    """By the statuses of all ids, and so by other answers than the listing."""
    records: dict[Any, Record[LeiaJob]] = {key: Record(key) for key in task.ids}
    for record in records.values():
        record.scope, record.scope_sure = "app-1", True
    answers = [body for kind in ALIVE for body in _leia_answers(task.ids, kind)]
    source = LeiaSource(_Canned(*answers).as_caller(), records.__getitem__, guess=_nobody)
    asks = _Asks(task)
    return lambda: asks.note(task.run(source.observe(asks)).seen)


async def _nobody() -> str | None:
    return None


def _leia_answers(ids: list[Any], kind: listings.Kind = "alive") -> list[bytes]:
    return [
        listings.statuses(tuple(ids[start : start + CHUNK]), kind)
        for start in range(0, len(ids), CHUNK)
    ]


def _vidispine_look(task: _Task) -> Decode:
    source, wanted = VidispineSource(_Canned(*task.bodies).as_caller()), set(task.ids)

    def look() -> Collection[Any]:
        found = VidispineFound()
        task.run(source._sweep(found, wanted))
        return found.seen

    return look


_LOOKS: Final[dict[str, Callable[[_Task], Decode]]] = {
    "bsubio": _bsubio_look,
    "ecotaxa": _ecotaxa_look,
    "leia": _leia_look,
    "vidispine": _vidispine_look,
}
"""What the source of each service does with a listing in which all jobs are awaited."""


# -- others


def _official(task: _Task) -> Decode:
    if task.service == "bsubio":
        client = import_module("bsubio").ApiClient()
        shape, kind = "ListJobs200Response", "application/json"
        return lambda: client.deserialize(task.body.decode(), shape, kind).data.jobs
    if task.service == "vidispine":
        client = import_module("vidispine").ApiClient()
        return lambda: (
            client.deserialize(SimpleNamespace(data=task.body.decode()), "JobListType").job
        )
    model = _model(task.service)
    return lambda: [model.model_validate(job) for job in json.loads(task.body.decode())]


def _pydantic(task: _Task) -> Decode:
    """The same models straight from bytes, which no generated client does."""
    if task.service == "bsubio":
        shape = import_module("bsubio").ListJobs200Response
        return lambda: shape.model_validate_json(task.body).data.jobs
    adapter = import_module("pydantic").TypeAdapter(GenericAlias(list, _model(task.service)))
    return lambda: adapter.validate_json(task.body)


def _json(task: _Task) -> Decode:
    return _floor(json.loads, task)


def _msgspec(task: _Task) -> Decode:
    return _floor(msgspec.json.decode, task)


def _floor(parse: Callable[[bytes], Any], task: _Task) -> Decode:
    """Plain parsing of what we take: for Leia's polling, the answers with the statuses."""
    if task.service == "leia" and task.want != "full":
        bodies = _leia_answers(task.ids)
        return lambda: [key for each in bodies for key in parse(each)]
    places: dict[str, tuple[str, ...]] = {"bsubio": ("data", "jobs"), "vidispine": ("job",)}

    def decode() -> Collection[Any]:
        value = parse(task.body)
        for name in places.get(task.service, ()):
            value = value[name]
        return cast("Collection[Any]", value)

    return decode


CONTENDERS: Final[dict[str, Callable[[_Task], Decode]]] = {
    "ours": _ours,
    "official": _official,
    "pydantic": _pydantic,
    "json": _json,
    "msgspec": _msgspec,
}


# -- pydantic models, after the field tables of the generated clients


def _model(service: str) -> Any:
    pydantic = import_module("pydantic")
    text, whole = pydantic.StrictStr, pydantic.StrictInt
    texts = GenericAlias(list, text)
    maybe_text: Any = (text | None, None)
    if service == "ecotaxa":
        members: Any = (dict[str, Any] | None, None)
        fields: dict[str, Any] = {
            **dict.fromkeys(("params", "result", "question", "reply", "inside"), members),
            **dict.fromkeys(("id", "owner_id"), (whole, ...)),
            **dict.fromkeys(("step", "progress_pct"), (whole | None, None)),
            **dict.fromkeys(("state", "progress_msg"), maybe_text),
            **dict.fromkeys(("creation_date", "updated_on"), (datetime, ...)),
            "type": (text, ...),
            "errors": (texts | None, None),
        }
    else:
        optional = ("callback_url", "execute_after_id", "model_id", "parent_job_id", "reason")
        fields = {
            **dict.fromkeys(("id", "application_id", "job_type"), (text, ...)),
            **dict.fromkeys(optional, maybe_text),
            **dict.fromkeys(("starting_time", "finished_time"), (datetime | None, None)),
            "creation_time": (datetime, ...),
            "document_ids": (texts, ...),
            "status": (Statuses, ...),
            "result_type": maybe_text,
            "result": (Any, None),
        }
    return pydantic.create_model("Job", **fields)
