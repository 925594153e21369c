"""The raw answer of an operation, for whoever needs more of it than its value."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from inspect import ismethod
from typing import Any, Generic, ParamSpec, TypeVar, cast

import attrs

from jobkit_async.answer import Answer, request_id
from jobkit_async.errors import InvalidArgument
from jobkit_async.service import ServiceApi

__all__ = ["RawResponse", "with_raw_response"]

Params = ParamSpec("Params")
ValueT = TypeVar("ValueT")
ValueT_co = TypeVar("ValueT_co", covariant=True)


@attrs.frozen
class RawResponse(Generic[ValueT_co]):
    """What an operation returned, and the answer that it was read from.

    Attributes:
        value: What the operation returns: a handle, a model, a download and so on.
        status: The HTTP status.
        headers: Headers of the answer; names compare without case. They may hold cookies.
        body: The body, decompressed, as far as it was read at once; empty for a download, which
            is read through ``value``.
    """

    value: ValueT_co
    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)

    @property
    def request_id(self) -> str | None:
        """By what name the service knows the request, to be told to its support; or None."""
        return request_id(self.headers)


async def with_raw_response(
    operation: Callable[Params, Awaitable[ValueT]], *args: Params.args, **kwargs: Params.kwargs
) -> RawResponse[ValueT]:
    """Carry an operation out, and give its answer along with its value.

    ::

        answer = await with_raw_response(client.jobs.get_job, "b7b2f4c1")
        print(answer.request_id, answer.headers["Content-Type"], answer.value.state)

    Where the call was repeated, the answer is that of the last attempt. Errors are raised as ever;
    those of the service have a ``request_id`` too.

    Args:
        operation: A method of ``client.jobs`` or another of a client's API objects.
        *args: Its arguments.
        **kwargs: Its keyword arguments.

    Raises:
        InvalidArgument: It is none.
        JobkitError: What the operation raises.
    """
    api = operation.__self__ if ismethod(operation) else None
    if not isinstance(api, ServiceApi):
        raise InvalidArgument("operation", "a client's operation is due, as client.jobs.get_job")
    heard: list[Answer] = []
    client = copy.copy(cast(Any, api)._client)
    client._caller = attrs.evolve(client._caller, on_answer=heard.append)
    method = getattr(type(api)(client), cast(Any, operation).__name__)
    value: ValueT = await method(*args, **kwargs)
    client._caller = attrs.evolve(client._caller, on_answer=None)  # for handles that it has made
    answer = heard[-1]
    return RawResponse(value, answer.status, answer.headers, answer.body)
