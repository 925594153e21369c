"""What can be set on a client: times, repetitions and limits. Plain values, checked when made."""

from __future__ import annotations

import attrs

from jobkit_async.checks import check_count, check_number, check_seconds

__all__ = ["Limits", "Retry", "Timeout"]


@attrs.frozen
class Timeout:
    """How long the parts of a call may take. No call can hang for ever.

    Attributes:
        connect: Seconds until a connection stands, names looked up and TLS agreed on.
        read: Seconds between two signs of life: between bytes of an answer, or of an upload.
        attempt: Seconds for one sending of a request and all of its answer; transfers of files
            are bound by ``read`` alone.
        call: Seconds for a call with all its repetitions and the pauses between them. Not counted
            are the streaming of files, and the time in which a call waits for its turn (see
            :class:`Limits`): it may wait as long as others get theirs in the meantime, and ends
            if for this long none did.

    Raises:
        InvalidArgument: One of them is no number of seconds above 0.
    """

    connect: float = 15.0
    read: float = 30.0
    attempt: float = 30.0
    call: float = 120.0

    def __attrs_post_init__(self) -> None:
        for name in ("connect", "read", "attempt", "call"):
            check_seconds(name, getattr(self, name))

    @classmethod
    def of(cls, value: object) -> Timeout:
        """The times that an argument ``timeout=`` stands for.

        Args:
            value: A ``Timeout``; or seconds for one attempt, and between two signs of life.

        Raises:
            InvalidArgument: It is neither.
        """
        if isinstance(value, Timeout):
            return value
        seconds = check_seconds("timeout", value)
        return cls(
            connect=min(cls().connect, seconds),
            read=seconds,
            attempt=seconds,
            call=max(cls().call, 4 * seconds),
        )


@attrs.frozen
class Retry:
    """How often a call is repeated, and how long to pause before.

    Only what may be repeated is, whatever is set here.

    Attributes:
        retries: The most repetitions of one call.
        base: The longest first pause in seconds; each further one may be twice as long.
        cap: The longest pause in seconds; a service that asks for a longer one is not asked again.
        budget: The most repetitions of all calls of a client together, so that an outage is not
            multiplied: each takes 1 from it, and each call that succeeds gives 0.1 back. Views
            share that of their client.

    Raises:
        InvalidArgument: One of them is out of bounds.
    """

    retries: int = 2
    base: float = 0.5
    cap: float = 20.0
    budget: float = 10.0

    def __attrs_post_init__(self) -> None:
        check_count("retries", self.retries)
        check_seconds("base", self.base, zero=True)
        check_seconds("cap", self.cap, zero=True)
        check_number("budget", self.budget, zero=True, infinite=True)


@attrs.frozen
class Limits:
    """How much a client asks of the service at once, and how much of an answer it holds.

    Attributes:
        max_concurrent: The most requests under way at once. A part of them is kept for status
            requests and a part for all others, so that neither has to wait for the other.
        max_rps: The most requests a second, evenly spaced; None for no such limit.
        max_body: The most bytes of an answer that are held in memory.
        max_listing: The same for a listing of jobs.

    Raises:
        InvalidArgument: One of them is out of bounds.
    """

    max_concurrent: int = 64
    max_rps: float | None = None
    max_body: int = 64 << 20
    max_listing: int = 256 << 20

    def __attrs_post_init__(self) -> None:
        for name in ("max_concurrent", "max_body", "max_listing"):
            check_count(name, getattr(self, name), 1)
        if self.max_rps is not None:
            check_number("max_rps", self.max_rps)
