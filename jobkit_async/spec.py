"""What a service is made of, by name: so that knowing of a service loads nothing of it.

Public for authors of services, see ``docs/own_service.md``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from jobkit_async.endpoint import Table
    from jobkit_async.fakes.server import FakeServer
    from jobkit_async.service import ServiceClient
    from jobkit_async.states import JobState

__all__ = ["ServiceSpec"]


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
    """

    name: str
    package: str
    table_name: str = "endpoints:TABLE"
    client_name: str
    fake_name: str
    states_name: str = "source:STATES"
    statuses_name: str = "models:JobStatus"

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
