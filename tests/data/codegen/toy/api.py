# Generated from toy.endpoints: change that, not this, and run
#     python -m jobkit_async.codegen toy.endpoints
# ruff: noqa: A002 - parameters are named as the service names them
"""The API classes of toy, generated from its endpoint table."""

from __future__ import annotations

import decimal
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobkit_async.joblist import JobList
from jobkit_async.service import ServiceApi
from jobkit_async.transfer import Content, Download

from . import endpoints, models
from .job import ToyJob

__all__ = [
    "ToyJobsApi",
    "ToyThingsApi",
]


class ToyJobsApi(ServiceApi[ToyJob]):
    """All about tasks."""

    __slots__ = ()

    async def get_task(self, id: int) -> ToyJob:
        """Read one task.

        Args:
            id: Number of the task, 1 or more.

        Returns:
            A handle on the job.
        """
        return await self._job(endpoints.GET_TASK, id)

    async def list_tasks(
        self,
        *,
        color: str | None = None,
        colors: Sequence[str] | None = None,
        since: datetime | None = None,
        first: int | None = None,
        number: int | None = None,
        depth: int | None = None,
        wordy: bool | None = None,
        near: Sequence[datetime] | None = None,
        extra: Mapping[str, Any] | None = None,
        trace: str | None = None,
    ) -> JobList[ToyJob]:
        """List tasks.

        A note that is longer than one line is broken where the line ends, but never in
        ``color asc, id desc``, for a literal stays whole, as does this at the end of a line:
        `` color, id desc``.

        Args:
            color: Only tasks of this color. Known words: ``models.Color``.
            colors: The same for several. The service assumes ``red``, ``blue``.
            since: Only tasks made since then. Without a time zone it is UTC.
            first: Position of the first one, from 1. The service assumes 1.
            number: The most tasks to return, 1 to 50. The service assumes 20.
            depth: How deep to look, -1 or less.
            wordy: Whether to tell more. The service assumes False.
            near: Moments to look around. Without a time zone it is UTC.
            extra: Any other filters, passed on as they are.
            trace: Text to find the request by.

        Returns:
            Handles on the jobs; ``total`` is the number of matches.
        """
        return await self._jobs(
            endpoints.LIST_TASKS,
            color,
            colors,
            since,
            first,
            number,
            depth,
            wordy,
            near,
            extra,
            trace,
        )

    async def all_tasks(self) -> JobList[ToyJob]:
        """List all tasks.

        Returns:
            Handles on the jobs.
        """
        return await self._jobs(endpoints.ALL_TASKS)

    async def add_task(
        self, task: models.Task, *, colors_of_the_neighbourhood: Sequence[str] | None = None
    ) -> ToyJob:
        r"""Add a task.

        Args:
            task: The task.
            colors_of_the_neighbourhood: Each as ``\x`` and hex.

        Returns:
            A handle on the job.

        Raises:
            BadRequest: It is no task; or the color is unknown.
            Conflict: It exists.
            ApiError: Teapot.
            OutcomeUnknown: The answer was lost; list_tasks() shows the task if it was added.
        """
        return await self._job(endpoints.ADD_TASK, task, colors_of_the_neighbourhood)

    async def drop_task(self, task_id: int) -> None:
        """Drop a task.

        Args:
            task_id: Number of the task.

        Raises:
            NotFound: list_tasks() does not show it.
            RateLimited: Too many at once.
            ServerError: Maintenance.
        """
        await self._none(endpoints.DROP_TASK, task_id)

    async def result(self, ids: Sequence[str]) -> Download:
        """Download the results of tasks.

        Args:
            ids: Numbers of the tasks.

        Returns:
            The file; it holds a connection until it is read or closed.
        """
        return await self._download(endpoints.RESULT, ids)

    async def log(self) -> str:
        """Read the log.

        Returns:
            The text.
        """
        return await self._text(endpoints.LOG)


class ToyThingsApi(ServiceApi[ToyJob]):
    """All about things."""

    __slots__ = ()

    async def get_thing(self, value: str) -> models.Task:
        """Read a thing that is a task.

        Args:
            value: What it is worth.

        Returns:
            One task.
        """
        value_: models.Task = await self._value(endpoints.GET_THING, value)
        return value_

    async def get_silent(self) -> models.Silent:
        """Read a thing whose model says nothing.

        Returns:
            What the service answers.
        """
        value: models.Silent = await self._value(endpoints.GET_SILENT)
        return value

    async def list_things(
        self,
        *,
        a_filter_with_a_long_name: str | None = None,
        another_filter_with_a_long_name: str | None = None,
    ) -> list[models.Task]:
        """List things.

        Args:
            a_filter_with_a_long_name: Only these.
            another_filter_with_a_long_name: Only those.

        Returns:
            What the service answers; empty if nothing matches.
        """
        value: list[models.Task] = await self._value(
            endpoints.LIST_THINGS, a_filter_with_a_long_name, another_filter_with_a_long_name
        )
        return value

    async def prices(self) -> dict[str, decimal.Decimal | datetime | None]:
        """Read what things cost.

        Returns:
            What the service answers.
        """
        value: dict[str, decimal.Decimal | datetime | None] = await self._value(endpoints.PRICES)
        return value

    async def anything(self, *, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Get any JSON object for any other.

        Args:
            body: Whatever you like.

        Returns:
            What the service answers.
        """
        value: dict[str, Any] = await self._value(endpoints.ANYTHING, body)
        return value

    async def mapped(self) -> Mapping[str, Any]:
        """Get a mapping.

        Returns:
            What the service answers.
        """
        value: Mapping[str, Any] = await self._value(endpoints.MAPPED)
        return value

    async def put_thing(self, name: str, data: Content) -> str:
        """Put a thing where it belongs.

        Args:
            name: Its name.
            data: What it is made of.

        Returns:
            What the service answers.
        """
        value: str = await self._value(endpoints.PUT_THING, name, data)
        return value

    async def send_a_thing_that_has_a_rather_long_name_so_that_its_call_is_broken(
        self, file: Content
    ) -> None:
        """Send a thing.

        Args:
            file: The thing.

        Raises:
            OutcomeUnknown: The answer was lost; list_things() shows it.
        """
        await self._none(
            endpoints.SEND_A_THING_THAT_HAS_A_RATHER_LONG_NAME_SO_THAT_ITS_CALL_IS_BROKEN, file
        )

    async def recall_a_thing_with_a_name_that_is_long_but_without_arguments(
        self,
    ) -> list[models.Silent]:
        """Recall things.

        Returns:
            What the service answers.
        """
        value: list[models.Silent] = await self._value(
            endpoints.RECALL_A_THING_WITH_A_NAME_THAT_IS_LONG_BUT_WITHOUT_ARGUMENTS
        )
        return value
