"""Every exception that this library raises on purpose, in one tree.

::

    JobkitError
    ├── InvalidArgument (ValueError)      refused before any I/O; names the argument
    ├── ClientClosed (RuntimeError)       the client is closed, or was never opened
    ├── WrongEventLoop (RuntimeError)     the client belongs to another event loop
    ├── TableError (ValueError)           a faulty endpoint table, found at import
    ├── TransportError                    no usable answer
    │   ├── ConnectFailed (ConnectionError)   nothing of the request reached the server
    │   ├── RequestTimeout (TimeoutError)
    │   ├── ConnectionLost (ConnectionError)  of a call that may simply be repeated
    │   └── OutcomeUnknown                    of a call that must not be repeated blindly
    ├── ApiError                          the service answered, and said no
    │   ├── BadRequest, Unauthorized, Forbidden, NotFound, Conflict,
    │   └── PayloadTooLarge, RateLimited, ServerError
    ├── DecodeError                       the service answered with what cannot be read
    │   └── AnswerTooLarge                    or with more than is safe to read
    └── JobError                          about one job
        ├── JobFailed, JobCancelled, JobNeedsInput, JobLost, JobEnded
        └── WaitTimeout (TimeoutError), PollingFailed

Leak policy: no message holds a credential. Requests, headers and query strings never enter one,
because they carry credentials, and credentials are cut out of what answers echo. What messages do
hold: names of operations, statuses, excerpts of at most :data:`EXCERPT` characters of *answers*,
values of refused arguments, the service's host and port or base URL, job ids and refs. Whoever
holds those for confidential keeps messages out of public logs. No message is longer than
:data:`LONGEST` characters, whatever a server sent. Every error can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "EXCERPT",
    "LONGEST",
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
    "api_error",
]

EXCERPT = 256
"""The most characters of an answer's body that an error keeps."""
LONGEST = 2048
"""The most characters of an error's message."""


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _rebuild(cls: type[JobkitError], message: str, state: dict[str, Any]) -> JobkitError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class JobkitError(Exception):
    """Root of all errors of this library."""

    def __init__(self, message: str) -> None:
        super().__init__(_clip(message, LONGEST))

    def __reduce__(
        self,
    ) -> tuple[Callable[..., JobkitError], tuple[type[JobkitError], str, dict[str, Any]]]:
        return _rebuild, (type(self), str(self), self.__dict__)


class InvalidArgument(JobkitError, ValueError):
    """An argument was refused before any I/O.

    Attributes:
        argument: Name of the argument, as in the signature.
    """

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument


class ClientClosed(JobkitError, RuntimeError):
    """The client is closed, or used outside ``async with``.

    It is about the client, so it carries no job's ``ref``, not even where it ends a wait: keep
    ``job.ref``, which can be read of a closed client's handles too.
    """


class WrongEventLoop(JobkitError, RuntimeError):
    """The client, or the session that it was given, belongs to another event loop than this."""


class TableError(JobkitError, ValueError):
    """An endpoint table contradicts itself; the message names service, operation and fault."""


class TransportError(JobkitError):
    """No usable answer came back.

    Attributes:
        operation: Name of the operation that was called, such as ``"get_job"``.
    """

    def __init__(self, message: str, *, operation: str) -> None:
        super().__init__(message)
        self.operation = operation


class ConnectFailed(TransportError, ConnectionError):
    """No connection came about (refused, DNS, TLS): the server saw nothing of the request.

    Attributes:
        certificate: Whether it was the server's certificate that was refused; only then is it
            certain that another try would not help.
    """

    certificate: bool = False


class RequestTimeout(TransportError, TimeoutError):
    """The request, or the whole call, took longer than the client's ``timeout``."""


class ConnectionLost(TransportError, ConnectionError):
    """The connection broke during a call that changes nothing or that may be repeated.

    Attributes:
        stale: Whether it had been idle, and was found broken before any answer came, which says
            nothing of how the service is.
    """

    stale: bool = False


class OutcomeUnknown(TransportError):
    """The answer to a call that must not be repeated blindly was lost: it may have taken effect.

    The message tells how to find out whether it has.
    """


class ApiError(JobkitError):
    """The service answered with an error.

    Attributes:
        status: The HTTP status. A service can also report failure in a 2xx answer.
        operation: Name of the operation that was called.
        body: The first :data:`EXCERPT` characters of the answer's body.
        request_id: By what name the service knows the request, to be told to its support; None
            where the answer does not say.
    """

    request_id: str | None = None

    def __init__(self, message: str, *, status: int, operation: str, body: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.operation = operation
        self.body = body[:EXCERPT]


class BadRequest(ApiError):
    """400 or 422: the service refused what was sent."""


class Unauthorized(ApiError):
    """401: the credentials are missing, wrong or expired."""


class Forbidden(ApiError):
    """403: the credentials are good, but do not allow this."""


class NotFound(ApiError):
    """404: no such thing, or none that these credentials may see."""


class Conflict(ApiError):
    """409: not in the present state of the job."""


class PayloadTooLarge(ApiError):
    """413: the upload is larger than the service takes."""


class RateLimited(ApiError):
    """429: too many requests.

    Attributes:
        retry_after: Seconds that the service asks to wait, or None where it does not say.
    """

    retry_after: float | None = None


class ServerError(ApiError):
    """5xx: the service, or a proxy before it, is in trouble.

    Attributes:
        retry_after: Seconds that the service asks to wait, or None where it does not say.
    """

    retry_after: float | None = None


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: PayloadTooLarge,
    422: BadRequest,
    429: RateLimited,
}


def api_error(
    status: int,
    *,
    operation: str,
    reason: str,
    body: str = "",
    retry_after: float | None = None,
    request_id: str | None = None,
) -> ApiError:
    """The error for an HTTP status.

    Args:
        status: The HTTP status.
        operation: Name of the operation.
        reason: What the service says, in one line, or a phrase of ours where it says nothing.
        body: Text of the answer; kept up to :data:`EXCERPT` characters.
        retry_after: Seconds from a Retry-After header.
        request_id: The request's name from a header.
    """
    cls = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    message = f"{operation}: HTTP {status}: {reason[:EXCERPT]}"
    error = cls(message, status=status, operation=operation, body=body)
    if isinstance(error, RateLimited | ServerError):
        error.retry_after = retry_after
    if request_id is not None:
        error.request_id = request_id
    return error


def hint_of(error: Exception) -> float | None:
    """Seconds that the service asks to wait, if this is such an answer, and it says so."""
    return error.retry_after if isinstance(error, RateLimited | ServerError) else None


def kind_of(error: Exception) -> str:
    """What went wrong, for logs: without a word of what the service said."""
    return f"HTTP {error.status}" if isinstance(error, ApiError) else type(error).__name__


class DecodeError(JobkitError):
    """An answer is not what the service documents: no JSON, cut off, or of another shape.

    Attributes:
        operation: Name of the operation that was called.
        path: Where in the answer, as a JSON path such as ``$.job[3].status``; ``$`` is all of it.
            A longer one than :data:`EXCERPT` characters is cut.
        status: The HTTP status of the answer.
        body: The first :data:`EXCERPT` characters of the answer's body.
        cut: Whether the answer ended before its end, or its compression could not be undone.
    """

    cut: bool = False

    def __init__(
        self, problem: str, *, operation: str, path: str = "$", status: int = 200, body: str = ""
    ) -> None:
        if len(path) > EXCERPT:  # no name is cut through: half a credential is not recognised
            path = path[:EXCERPT].rpartition(".")[0] + ".…"
        problem = _clip(problem, EXCERPT)
        super().__init__(f"{operation}: cannot read the answer at {path}: {problem}")
        self.operation = operation
        self.path = path
        self.status = status
        self.body = body[:EXCERPT]


class AnswerTooLarge(DecodeError):
    """An answer is larger than the client is willing to hold in memory."""


class JobError(JobkitError):
    """About one job.

    Attributes:
        ref: The job's reference; ``client.job_from_ref(ref)`` takes it up again.
        snapshot: The newest full snapshot of the job (the service's own model), or None.
    """

    def __init__(self, message: str, *, ref: str, snapshot: Any = None) -> None:
        super().__init__(message)
        self.ref = ref
        self.snapshot = snapshot


class JobFailed(JobError):
    """The job ended in failure.

    Attributes:
        reason: What the service tells of the cause, or None.
    """

    def __init__(
        self, message: str, *, ref: str, snapshot: Any = None, reason: str | None = None
    ) -> None:
        super().__init__(message, ref=ref, snapshot=snapshot)
        self.reason = reason


class JobCancelled(JobError):
    """The job was cancelled, here or elsewhere."""


class JobNeedsInput(JobError):
    """The job will not go on by itself.

    Once it has what it needs, it can be waited for again. A need that nobody can meet from here is
    waited out with ``job.wait(on_input="keep")``: Leia's ``"start"``, for which none of the
    client's operations is made.

    Attributes:
        needs: What it waits for: ``"upload"`` or ``"submit"`` (bsub.io), ``"answer"`` (EcoTaxa) or
            ``"start"`` (Leia).
        question: The question that it asks, where it asks one.
    """

    def __init__(
        self, message: str, *, ref: str, needs: str, snapshot: Any = None, question: Any = None
    ) -> None:
        super().__init__(message, ref=ref, snapshot=snapshot)
        self.needs = needs
        self.question = question


class JobLost(JobError):
    """The service no longer knows the job, and kept saying so for longer than a grace period."""


class JobEnded(JobError):
    """The job has ended already, so it cannot be cancelled any more."""


class WaitTimeout(JobError, TimeoutError):
    """The wait's time is over; the remote job goes on."""


class PollingFailed(JobError):
    """The job's state could not be followed any longer; the remote job goes on."""
