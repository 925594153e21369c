"""Observes jobs by a request that describes many of them at once, for services that have one.

One odd thing spoils nothing else: where the service refuses a request as a whole, its ids are cut
in two until the odd ones are found; of an answer with one odd job, the others count. Public for
authors of services, see ``docs/own_service.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs

from jobkit_async import codec
from jobkit_async.caller import Caller
from jobkit_async.endpoint import Endpoint
from jobkit_async.errors import ApiError, DecodeError, NotFound, api_error
from jobkit_async.model import wire_name
from jobkit_async.polling.source import Ask, Key, Observed, Sighting, fan_out, throttles

__all__ = ["BatchSource"]

DataT = TypeVar("DataT")

PARALLEL: Final = 4
"""Requests that are under way at once."""
QUARTERS: Final = 4
"""So many parts of a chunk that are all refused end the search for the odd id among them."""


class _Look(Generic[DataT]):
    """What the requests of one look have told so far."""

    def __init__(self) -> None:
        self.seen: dict[Key, Sighting[DataT]] = {}
        self.failed: dict[Key, Exception] = {}
        self.cost = 0
        self.refusal: Exception | None = None


class BatchSource(Generic[DataT]):
    """Observes jobs by an operation that gives full snapshots of many by their ids.

    Jobs that the service does not know may be missing in the answer, or make an error of it.

    Args:
        call: Carries operations out.
        row: The operation; it returns ``jobs(...)``.
        arguments: The operation's arguments, from some ids.
        sight: What a snapshot shows.
        batch: The most ids in one request.
    """

    def __init__(
        self,
        call: Caller,
        row: Endpoint,
        *,
        arguments: Callable[[Sequence[Any]], tuple[Any, ...]],
        sight: Callable[[DataT], Sighting[DataT]],
        batch: int,
    ) -> None:
        self._call = call
        self._row = row
        self._arguments = arguments
        self._sight = sight
        self._batch = batch
        self._shuffles = False
        self._id = row.returns.key[0]
        self._wire_id = wire_name(attrs.fields_dict(row.returns.type)[self._id])

    @property
    def batch(self) -> int | None:
        """The most ids in one request."""
        return self._batch

    def sight(self, data: DataT) -> Sighting[DataT]:
        """What a full snapshot shows."""
        return self._sight(data)

    async def read(self, key: Key) -> Sighting[DataT]:
        """Read one job in full.

        Raises:
            NotFound: The service does not know it.
            JobkitError: The read failed.
        """
        look: _Look[DataT] = _Look()
        await self._ask(look, [key])
        if key in look.failed:
            raise look.failed[key]
        if key not in look.seen:
            raise api_error(404, operation=self._row.name, reason="no job has this id")
        return look.seen[key]

    async def finish(self, keys: Collection[Key]) -> Mapping[Key, Sighting[DataT] | Exception]:
        """Nothing: each observation carries its snapshot."""
        return {}

    async def observe(self, asks: Mapping[Key, Ask]) -> Observed[DataT]:
        """Ask for all of these jobs, so many at once."""
        keys = list(asks)
        if self._shuffles:
            self._call.rng.shuffle(keys)
            self._shuffles = False
        chunks = [tuple(keys[at : at + self._batch]) for at in range(0, len(keys), self._batch)]
        look: _Look[DataT] = _Look()
        for error in (
            await fan_out(lambda chunk: self._chunk(look, chunk), chunks, limit=PARALLEL)
        ).values():
            if error is not None:
                raise error
        missing = [key for key in keys if key not in look.seen and key not in look.failed]
        return Observed(seen=look.seen, missing=missing, failed=look.failed, cost=look.cost)

    async def _chunk(self, look: _Look[DataT], keys: tuple[Key, ...]) -> None:
        """Ask for one chunk; where it is refused as a whole, find the ids that spoil it."""
        parts = [keys]
        while parts:
            results = await fan_out(lambda part: self._try(look, part), parts)
            refused = {part: error for part, error in results.items() if error is not None}
            # Where every quarter is refused it is not for one odd id: the service refuses all, or
            # there are many. The next look mixes them, so that a part without any turns up.
            hopeless = len(refused) == len(parts) >= QUARTERS
            self._shuffles = self._shuffles or hopeless
            parts = []
            for part, error in refused.items():
                if len(part) > 1 and not hopeless:
                    parts += [part[: len(part) // 2], part[len(part) // 2 :]]
                elif not isinstance(error, NotFound):  # else they are missing, and read alone
                    look.failed.update(dict.fromkeys(part, error))

    async def _try(self, look: _Look[DataT], keys: tuple[Key, ...]) -> Exception | None:
        """Ask for some jobs by one request.

        Returns:
            The error, if a single odd id among them can be why.
        """
        error = look.refusal
        if error is None:
            look.cost += 1
            try:
                await self._ask(look, keys)
            except Exception as raised:  # noqa: BLE001 - belongs to these jobs only
                if _may_be_one_id(raised):
                    return raised
                error = raised
                look.refusal = raised if throttles(raised) else None
        if error is not None:
            look.failed.update(dict.fromkeys(keys, error))
        return None

    async def _ask(self, look: _Look[DataT], keys: Sequence[Key]) -> None:
        """Ask for some jobs, and take in what their part of the answer tells."""
        row = self._row
        answer = await self._call.answer(row, *self._arguments(list(keys)))
        asked = set(keys)
        for raw in codec.split(answer.body, at=row.returns.at, operation=row.name):
            document = bytes(raw)
            try:
                data = codec.decode(document, row.returns.type, operation=row.name)
            except DecodeError as error:  # one odd job spoils nothing but itself
                key = codec.pluck(document, at=(self._wire_id,))
                if isinstance(key, str | int) and key in asked:
                    look.failed[key] = error
                continue
            key = getattr(data, self._id)
            if key in asked:
                look.seen[key] = self._sight(data)


def _may_be_one_id(error: Exception) -> bool:
    """Whether a single odd id can be why many were refused."""
    return isinstance(error, ApiError) and error.status in (400, 404, 422) and not throttles(error)
