"""A table with every kind of parameter and result, long signatures and long docs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from jobkit_async.endpoint import (
    CSV,
    DELETE,
    GET,
    MULTI,
    ONCE,
    POST,
    PUT,
    REPEATABLE,
    SAFE,
    Api,
    Endpoint,
    Table,
    body,
    bytes_,
    header,
    job,
    jobs,
    multipart,
    none,
    path,
    query,
    raw,
    text,
    value,
)

from . import models

GET_TASK = Endpoint(
    "get_task",
    GET,
    "/task/{id}",
    path("id", int, least=1, doc="Number of the task."),
    returns=job(models.Task),
    repeat=SAFE,
    summary="Read one task.",
)

LIST_TASKS = Endpoint(
    "list_tasks",
    GET,
    "/task",
    query("color", words=models.Color, doc="Only tasks of this color."),
    query("colors", list[str], style=CSV, default=["red", "blue"], doc="The same for several."),
    query("since", datetime, doc="Only tasks made since then."),
    query("first", int, least=1, default=1, doc="Position of the first one, from 1."),
    query("number", int, least=1, most=50, default=20, doc="The most tasks to return."),
    query("depth", int, most=-1, doc="How deep to look."),
    query("wordy", bool, default=False, doc="whether to tell more"),
    query("near", list[datetime], style=MULTI, doc="Moments to look around."),
    query("extra", dict, doc="Any other filters, passed on as they are."),
    header("trace", wire="X-Trace", doc="Text to find the request by."),
    returns=jobs(models.Task, total="count"),
    repeat=SAFE,
    summary="List tasks.",
    note=(
        "A note that is longer than one line is broken where the line ends, but never in ``color "
        "asc, id desc``, for a literal stays whole, as does this at the end of a line: `` color, "
        "id desc``."
    ),
)

ALL_TASKS = Endpoint(
    "all_tasks",
    GET,
    "/task/all",
    returns=jobs(models.Task),
    repeat=SAFE,
    summary="List all tasks.",
)

ADD_TASK = Endpoint(
    "add_task",
    POST,
    "/task",
    body("task", models.Task, required=True, doc="The task."),
    query("colors_of_the_neighbourhood", list[str], style=MULTI, doc=r"Each as ``\x`` and hex."),
    returns=job(models.Task),
    repeat=ONCE,
    recover="list_tasks() shows the task if it was added",
    summary="Add a task.",
    errors={422: "the color is unknown", 400: "it is no task.", 409: "it exists", 418: "teapot"},
)

DROP_TASK = Endpoint(
    "drop_task",
    DELETE,
    "/task/{task-id}",
    path("task_id", int, wire="task-id", doc="Number of the task."),
    returns=none(),
    repeat=REPEATABLE,
    changes="task_id",
    cancels=True,
    summary="Drop a task.",
    errors={404: "list_tasks() does not show it", 429: "too many at once", 503: "maintenance"},
)

RESULT = Endpoint(
    "result",
    GET,
    "/task/{ids}/result",
    path("ids", list[str], doc="Numbers of the tasks."),
    returns=bytes_(),
    repeat=SAFE,
    summary="Download the results of tasks.",
)

LOG = Endpoint("log", GET, "/log", returns=text(), repeat=SAFE, summary="Read the log.")

TASK_API = Api(
    "jobs",
    "ToyJobsApi",
    GET_TASK,
    LIST_TASKS,
    ALL_TASKS,
    ADD_TASK,
    DROP_TASK,
    RESULT,
    LOG,
    doc="All about tasks",
)

GET_THING = Endpoint(
    "get_thing",
    GET,
    "/thing",
    query("value", required=True, doc="What it is worth."),
    returns=value(models.Task),
    repeat=SAFE,
    summary="Read a thing that is a task.",
)

GET_SILENT = Endpoint(
    "get_silent",
    GET,
    "/silent",
    returns=value(models.Silent),
    repeat=SAFE,
    summary="Read a thing whose model says nothing.",
)

LIST_THINGS = Endpoint(
    "list_things",
    GET,
    "/things",
    query("a_filter_with_a_long_name", doc="Only these."),
    query("another_filter_with_a_long_name", doc="Only those."),
    returns=value(list[models.Task], empty_on=404),
    repeat=SAFE,
    summary="List things.",
)

PRICES = Endpoint(
    "prices",
    GET,
    "/prices",
    returns=value(dict[str, Decimal | datetime | None]),
    repeat=SAFE,
    summary="Read what things cost.",
)

ANYTHING = Endpoint(
    "anything",
    POST,
    "/anything",
    body("body", dict, doc="Whatever you like."),
    returns=value(dict),
    repeat=SAFE,
    summary="Get any JSON object for any other.",
)

MAPPED = Endpoint(
    "mapped",
    GET,
    "/mapped",
    returns=value(Mapping[str, Any]),
    repeat=SAFE,
    summary="Get a mapping.",
)

PUT_THING = Endpoint(
    "put_thing",
    PUT,
    "/thing/{name}",
    path("name", doc="Its name."),
    raw("data", doc="What it is made of."),
    returns=value(str),
    repeat=SAFE,
    summary="Put a thing where it belongs.",
)

SEND_A_THING_THAT_HAS_A_RATHER_LONG_NAME_SO_THAT_ITS_CALL_IS_BROKEN = Endpoint(
    "send_a_thing_that_has_a_rather_long_name_so_that_its_call_is_broken",
    POST,
    "/thing",
    multipart("file", doc="The thing."),
    returns=none(),
    repeat=ONCE,
    recover="list_things() shows it.",
    summary="Send a thing.",
)

RECALL_A_THING_WITH_A_NAME_THAT_IS_LONG_BUT_WITHOUT_ARGUMENTS = Endpoint(
    "recall_a_thing_with_a_name_that_is_long_but_without_arguments",
    GET,
    "/recall",
    returns=value(list[models.Silent]),
    repeat=SAFE,
    summary="Recall things.",
)

THING_API = Api(
    "things",
    "ToyThingsApi",
    GET_THING,
    GET_SILENT,
    LIST_THINGS,
    PRICES,
    ANYTHING,
    MAPPED,
    PUT_THING,
    SEND_A_THING_THAT_HAS_A_RATHER_LONG_NAME_SO_THAT_ITS_CALL_IS_BROKEN,
    RECALL_A_THING_WITH_A_NAME_THAT_IS_LONG_BUT_WITHOUT_ARGUMENTS,
    doc="All about things.",
)

TABLE = Table(service="toy", job="job:ToyJob", apis=(TASK_API, THING_API))
