"""What goes wrong on purpose on an embedded server, where and how often. Pure decisions."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Literal, TypeAlias, get_args

import attrs

from jobkit_async.checks import check_seconds
from jobkit_async.errors import InvalidArgument

__all__ = ["COMMON_FAULTS", "Broken", "Fault", "Faults", "Instead", "Point", "check_faults"]

Point: TypeAlias = Literal["before headers", "in headers", "in body"]
"""A place in an answer: before its first byte, or half-way through its headers or its body."""


def _check_number(name: str, value: object, least: int, most: int | None = None) -> None:
    fits = isinstance(value, int) and value >= least and (most is None or value <= most)
    if not fits:
        bounds = f"from {least} on" if most is None else f"from {least} to {most}"
        raise InvalidArgument(name, f"a number {bounds} is due, not {value!r}")


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that goes wrong with a request; made by the methods below.

    It strikes once the request has come in whole. With ``after_effect`` the service acts, the
    ledger shows it, and the answer is lost, which is what
    :class:`~jobkit_async.OutcomeUnknown` is for; without, the service never hears of the request.
    What happens half-way through the service's own answer lets it act in any case.

    Attributes:
        name: What happens, in a few words.
        after_effect: Whether the service acts first.
    """

    name: str
    after_effect: bool = False

    @staticmethod
    def status(
        code: int,
        *,
        retry_after: float | str | None = None,
        after_effect: bool = False,
    ) -> Fault:
        """The service answers with an error, in its own form.

        Args:
            code: The HTTP status, 400 to 599.
            retry_after: The Retry-After header: seconds, or any text.
            after_effect: See :class:`Fault`.
        """
        _check_number("code", code, 400, 599)
        headers = () if retry_after is None else (("Retry-After", f"{retry_after}"),)
        return Instead(name=f"status {code}", code=code, headers=headers, after_effect=after_effect)

    @staticmethod
    def body(
        content: bytes | str,
        *,
        content_type: str = "application/json",
        status: int = 200,
        after_effect: bool = False,
    ) -> Fault:
        """Something else comes in place of the answer: a proxy's page, no JSON, another shape.

        Args:
            content: The body, as it is.
            content_type: Its media type.
            status: The HTTP status, 200 to 599.
            after_effect: See :class:`Fault`.
        """
        _check_number("status", status, 200, 599)
        return Instead(
            name=f"body, status {status}",
            code=status,
            headers=(("Content-Type", content_type),),
            content=content.encode() if isinstance(content, str) else content,
            after_effect=after_effect,
        )

    @staticmethod
    def redirect(location: str, *, status: int = 302, after_effect: bool = False) -> Fault:
        """The service sends elsewhere.

        Args:
            location: Where to, as it stands in the header.
            status: The HTTP status, 300 to 399.
            after_effect: See :class:`Fault`.
        """
        _check_number("status", status, 300, 399)
        headers = (("Location", location),)
        return Instead(
            name=f"redirect, status {status}",
            code=status,
            headers=headers,
            content=b"",
            after_effect=after_effect,
        )

    @staticmethod
    def gzip_bomb(size: int = 1 << 28, *, after_effect: bool = False) -> Fault:
        """A small answer unpacks to a huge one.

        Args:
            size: Bytes of the unpacked body: one JSON string of blanks.
            after_effect: See :class:`Fault`.
        """
        return Instead(
            name=f"gzip bomb of {size} bytes",
            code=200,
            headers=(("Content-Type", "application/json"), ("Content-Encoding", "gzip")),
            content=_bomb(size),
            after_effect=after_effect,
        )

    @staticmethod
    def drop(at: Point = "before headers", *, after_effect: bool = False) -> Fault:
        """The connection is reset.

        Args:
            at: Where in the answer.
            after_effect: See :class:`Fault`; said for ``"before headers"`` only.
        """
        return Broken(name=f"drop {at}", how="reset", at=at, after_effect=after_effect)

    @staticmethod
    def truncate() -> Fault:
        """The body ends half-way, and the connection is closed as if that were all."""
        return Broken(name="truncate", how="end", at="in body")

    @staticmethod
    def delay(seconds: float, at: Point = "before headers", *, after_effect: bool = False) -> Fault:
        """The answer takes its time, that of the running loop.

        Before the effect the service acts when the time is over, and not at all if the client has
        gone by then.

        Args:
            seconds: How long.
            at: Where in the answer it halts.
            after_effect: See :class:`Fault`; said for ``"before headers"`` only.
        """
        seconds = check_seconds("seconds", seconds)
        return Broken(
            name=f"delay {at}", how="pause", at=at, seconds=seconds, after_effect=after_effect
        )


@attrs.frozen(kw_only=True)
class Instead(Fault):
    """Another answer in place of the service's own.

    Attributes:
        code: Its status.
        headers: Its headers.
        content: Its body; None has the service word its refusal.
    """

    code: int
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    content: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Broken(Fault):
    """The service's own answer, up to a place, and what happens there.

    Attributes:
        how: What happens: the connection is reset, ended in good order, or nothing for a while.
        at: Where.
        seconds: How long the while is.
    """

    how: Literal["reset", "end", "pause"]
    at: Point
    seconds: float = 0.0

    def __attrs_post_init__(self) -> None:
        if self.at not in get_args(Point):
            known = ", ".join(map(repr, get_args(Point)))
            raise InvalidArgument("at", f"{self.at!r} is none of {known}")
        if self.at != "before headers":
            object.__setattr__(self, "after_effect", True)


COMMON_FAULTS: Final[tuple[Fault, ...]] = (
    Fault.status(429, retry_after=1),
    Fault.status(500),
    Fault.status(503),
    Fault.status(503, retry_after=2),
    Fault.body("<html><h1>502 Bad Gateway</h1></html>", content_type="text/html", status=502),
    Fault.body("<html>504</html>", content_type="text/html", status=504, after_effect=True),
    Fault.drop(),
    Fault.drop(after_effect=True),
    Fault.drop("in headers"),
    Fault.drop("in body"),
    Fault.truncate(),
    Fault.delay(3.0),
    Fault.delay(3.0, "in body"),
)
"""What a network and a proxy do to requests on a bad day; all of it passes."""


class Faults:
    """When faults strike.

    Args:
        *faults: What may happen, drawn evenly; by default :data:`COMMON_FAULTS`.
        on: Name of an operation, or names; by default every request, log-ins included.
        share: The share of these requests that are struck, above 0 and up to 1; by default all.
        times: How often at the most; for ever by default.
        seed: Seeds the draws, so that a run can be repeated.

    Raises:
        InvalidArgument: An argument cannot be used.
    """

    def __init__(
        self,
        *faults: Fault,
        on: str | Sequence[str] | None = None,
        share: float = 1.0,
        times: int | None = None,
        seed: int = 0,
    ) -> None:
        for fault in faults:
            if not isinstance(fault, Instead | Broken):
                raise InvalidArgument("faults", f"a Fault is due, not {fault!r}")
        if not 0.0 < share <= 1.0:
            raise InvalidArgument("share", f"a number above 0 and up to 1 is due, not {share!r}")
        if times is not None:
            _check_number("times", times, 0)
        self._faults = faults or COMMON_FAULTS
        self._on = None if on is None else frozenset([on] if isinstance(on, str) else on)
        self._share = share
        self._left = times
        self._rng = random.Random(seed)

    def __repr__(self) -> str:
        what = "the common ones" if self._faults is COMMON_FAULTS else f"{len(self._faults)} kinds"
        where = "all operations" if self._on is None else ", ".join(sorted(self._on))
        left = "" if self._left is None else f", {self._left} times more"
        return f"<Faults: {what}, on {where}, {self._share:.0%} of requests{left}>"

    @property
    def operations(self) -> frozenset[str] | None:
        """Names of the operations that are struck; None is every request."""
        return self._on

    def draw(self, operation: str) -> Fault | None:
        """What happens to a request of an operation; None lets it through."""
        if self._left == 0 or (self._on is not None and operation not in self._on):
            return None
        if self._share < 1.0 and self._rng.random() >= self._share:
            return None
        if self._left is not None:
            self._left -= 1
        return self._rng.choice(self._faults)


def check_faults(
    faults: Faults | Sequence[Faults] | None, operations: Callable[[], Sequence[str]]
) -> tuple[Faults, ...]:
    """What a server is given as its faults, as a tuple.

    Args:
        faults: What it is given.
        operations: Gives the names of the server's operations.

    Raises:
        InvalidArgument: It is something else, or names an operation that there is not.
    """
    found = () if faults is None else (faults,) if isinstance(faults, Faults) else tuple(faults)
    for each in found:
        if not isinstance(each, Faults):
            raise InvalidArgument("faults", f"Faults are due, not {type(each).__name__}")
        if each.operations is None:
            continue
        known = list(operations())
        unknown = sorted(each.operations.difference(known))
        if unknown:
            raise InvalidArgument(
                "faults", f"no operation {unknown[0]!r}; there are {', '.join(known)}"
            )
    return found


@cache
def _bomb(size: int) -> bytes:
    """A JSON string of so many bytes, packed without ever being held."""
    block = b" " * min(size, 1 << 20)
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(b'"')]
    parts += [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, packer.compress(b'"'), packer.flush()])
