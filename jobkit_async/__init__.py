"""Async clients for services that run jobs, with an ``await job.wait()`` that scales.

Everything public is loaded when it is touched first: importing this package alone loads no HTTP
library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobkit_async.callbacks.receiver import CallbackReceiver
    from jobkit_async.errors import (
        AnswerTooLarge,
        ApiError,
        BadRequest,
        ClientClosed,
        Conflict,
        ConnectFailed,
        ConnectionLost,
        DecodeError,
        Forbidden,
        InvalidArgument,
        JobCancelled,
        JobEnded,
        JobError,
        JobFailed,
        JobkitError,
        JobLost,
        JobNeedsInput,
        NotFound,
        OutcomeUnknown,
        PayloadTooLarge,
        PollingFailed,
        RateLimited,
        RequestTimeout,
        ServerError,
        TableError,
        TransportError,
        Unauthorized,
        WaitTimeout,
        WrongEventLoop,
    )
    from jobkit_async.hooks import (
        EndEvent,
        Hooks,
        LookEvent,
        RequestEvent,
        RetryEvent,
        combine_hooks,
    )
    from jobkit_async.job import Job, JobUpdate, OnInput
    from jobkit_async.joblist import JobList
    from jobkit_async.model import UNSET, Unset
    from jobkit_async.options import Limits, Retry, Timeout
    from jobkit_async.polling.schedule import (
        ExponentialBackoff,
        FixedInterval,
        Policy,
        Polling,
        Waited,
    )
    from jobkit_async.raw import RawResponse, with_raw_response
    from jobkit_async.services.bsubio.client import BsubioClient
    from jobkit_async.services.bsubio.job import BsubioJob
    from jobkit_async.services.ecotaxa.client import EcotaxaClient
    from jobkit_async.services.ecotaxa.job import EcotaxaJob
    from jobkit_async.services.leia.client import LeiaClient
    from jobkit_async.services.leia.job import LeiaJob
    from jobkit_async.services.vidispine.client import VidispineClient
    from jobkit_async.services.vidispine.job import VidispineJob
    from jobkit_async.states import JobState
    from jobkit_async.transfer import Content, Download, Upload
    from jobkit_async.waiting import AsCompleted, Outcome, as_completed, wait_all

_HOMES: dict[str, tuple[str, ...]] = {
    "callbacks.receiver": ("CallbackReceiver",),
    "errors": (
        "AnswerTooLarge",
        "ApiError",
        "BadRequest",
        "ClientClosed",
        "Conflict",
        "ConnectFailed",
        "ConnectionLost",
        "DecodeError",
        "Forbidden",
        "InvalidArgument",
        "JobCancelled",
        "JobEnded",
        "JobError",
        "JobFailed",
        "JobLost",
        "JobNeedsInput",
        "JobkitError",
        "NotFound",
        "OutcomeUnknown",
        "PayloadTooLarge",
        "PollingFailed",
        "RateLimited",
        "RequestTimeout",
        "ServerError",
        "TableError",
        "TransportError",
        "Unauthorized",
        "WaitTimeout",
        "WrongEventLoop",
    ),
    "hooks": (
        "EndEvent",
        "Hooks",
        "LookEvent",
        "RequestEvent",
        "RetryEvent",
        "combine_hooks",
    ),
    "job": ("Job", "JobUpdate", "OnInput"),
    "joblist": ("JobList",),
    "model": ("UNSET", "Unset"),
    "options": ("Limits", "Retry", "Timeout"),
    "polling.schedule": ("ExponentialBackoff", "FixedInterval", "Policy", "Polling", "Waited"),
    "raw": ("RawResponse", "with_raw_response"),
    "services.bsubio.client": ("BsubioClient",),
    "services.bsubio.job": ("BsubioJob",),
    "services.ecotaxa.client": ("EcotaxaClient",),
    "services.ecotaxa.job": ("EcotaxaJob",),
    "services.leia.client": ("LeiaClient",),
    "services.leia.job": ("LeiaJob",),
    "services.vidispine.client": ("VidispineClient",),
    "services.vidispine.job": ("VidispineJob",),
    "states": ("JobState",),
    "transfer": ("Content", "Download", "Upload"),
    "waiting": ("AsCompleted", "Outcome", "as_completed", "wait_all"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "UNSET",
    "AnswerTooLarge",
    "ApiError",
    "AsCompleted",
    "BadRequest",
    "BsubioClient",
    "BsubioJob",
    "CallbackReceiver",
    "ClientClosed",
    "Conflict",
    "ConnectFailed",
    "ConnectionLost",
    "Content",
    "DecodeError",
    "Download",
    "EcotaxaClient",
    "EcotaxaJob",
    "EndEvent",
    "ExponentialBackoff",
    "FixedInterval",
    "Forbidden",
    "Hooks",
    "InvalidArgument",
    "Job",
    "JobCancelled",
    "JobEnded",
    "JobError",
    "JobFailed",
    "JobList",
    "JobLost",
    "JobNeedsInput",
    "JobState",
    "JobUpdate",
    "JobkitError",
    "LeiaClient",
    "LeiaJob",
    "Limits",
    "LookEvent",
    "NotFound",
    "OnInput",
    "Outcome",
    "OutcomeUnknown",
    "PayloadTooLarge",
    "Policy",
    "Polling",
    "PollingFailed",
    "RateLimited",
    "RawResponse",
    "RequestEvent",
    "RequestTimeout",
    "Retry",
    "RetryEvent",
    "ServerError",
    "TableError",
    "Timeout",
    "TransportError",
    "Unauthorized",
    "Unset",
    "Upload",
    "VidispineClient",
    "VidispineJob",
    "WaitTimeout",
    "Waited",
    "WrongEventLoop",
    "as_completed",
    "combine_hooks",
    "wait_all",
    "with_raw_response",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
