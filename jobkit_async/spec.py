"""What a service is made of, by name: so that knowing of a service loads nothing of it.

Public for authors of services, see ``docs/own_service.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs

if TYPE_CHECKING:
    from enum import StrEnum

    from jobkit_async.endpoint import Table
    from jobkit_async.fakes.server import FakeServer
    from jobkit_async.service import ServiceClient
    from jobkit_async.states import JobState

__all__ = ["CallbackFormat", "ServiceSpec"]


class CallbackFormat(Protocol):
    """What the calls of a service look like, by which it tells of its jobs unasked."""

    @property
    def expected(self) -> str:
        """What a call has to be, in words."""
        ...

    def key(self, body: bytes) -> Any:
        """The key of the job that a call is about, as clients know it; None if it is no call.

        Args:
            body: What was sent, as it came.
        """
        ...

    def promises(self, arguments: Mapping[str, Any], url: str) -> bool:
        """Whether an operation with these arguments has the service call once its job has ended.

        Args:
            arguments: The operation's arguments by name.
            url: The address that the service was told to call.
        """
        ...


@attrs.frozen(kw_only=True)
class ServiceSpec:
    """Everything about a service, for what works on any: registry, command line, tests.

    A part is named as ``module:name``, relative to :attr:`package`, and loaded when it is wanted.

    Attributes:
        name: Name of the service, as in refs and on the command line.
        package: The package that the parts are in.
        table_name: Its operations, a :class:`~jobkit_async.endpoint.Table`.
        client_name: Its client class.
        fake_name: Its embedded server's class.
        states_name: What each of its statuses means, a mapping to
            :class:`~jobkit_async.states.JobState`.
        statuses_name: The words that its documentation has for a job's status, an enumeration.
        callbacks_name: Its :class:`CallbackFormat`; None for a service that does not call.
    """

    name: str
    package: str
    table_name: str = "endpoints:TABLE"
    client_name: str
    fake_name: str
    states_name: str = "source:STATES"
    statuses_name: str = "models:JobStatus"
    callbacks_name: str | None = None

    def _load(self, part: str) -> Any:
        module, _, name = part.partition(":")
        return getattr(import_module(f"{self.package}.{module}"), name)

    @property
    def table(self) -> Table:
        """Its operations."""
        return cast("Table", self._load(self.table_name))

    @property
    def client(self) -> type[ServiceClient[Any, Any]]:
        """Its client class."""
        return cast("type[ServiceClient[Any, Any]]", self._load(self.client_name))

    @property
    def fake(self) -> type[FakeServer[Any]]:
        """Its embedded server's class."""
        return cast("type[FakeServer[Any]]", self._load(self.fake_name))

    @property
    def states(self) -> Mapping[str, JobState]:
        """What each of its statuses means."""
        return cast("Mapping[str, JobState]", self._load(self.states_name))

    @property
    def statuses(self) -> type[StrEnum]:
        """The words that its documentation has for a job's status."""
        return cast("type[StrEnum]", self._load(self.statuses_name))

    @property
    def callbacks(self) -> CallbackFormat | None:
        """What its calls look like; None if it makes none."""
        name = self.callbacks_name
        return None if name is None else cast("CallbackFormat", self._load(name))
