"""For whom a listing of recent endings can vouch."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from jobkit_async.polling.endings import Vouching

NEVER = float("inf")
ALWAYS = float("-inf")


@attrs.frozen
class Seen:
    seen_at: float | None = None
    newest: Any = None
    detail: bool = False

    @property
    def alive_at(self) -> float | None:
        return self.seen_at


def asks(**seen_at: float | None) -> dict[str, Any]:
    return {key: Seen(at) for key, at in seen_at.items()}


def test_a_job_that_was_never_seen_is_unsure() -> None:
    assert Vouching().settle(asks(a=None), {}, since=ALWAYS, looked_at=5.0) == ["a"]


def test_a_job_that_was_alive_since_then_is_vouched_for() -> None:
    vouching = Vouching()
    unsure = vouching.settle(asks(a=3.0, b=1.9, c=2.0), {}, since=2.0, looked_at=5.0)
    assert unsure == ["b"]


def test_those_unseen_for_longest_come_first() -> None:
    unsure = Vouching().settle(asks(a=3.0, b=None, c=1.0), {}, since=NEVER, looked_at=5.0)
    assert unsure == ["b", "c", "a"]


def test_a_job_that_is_shown_as_ended_needs_no_vouching() -> None:
    vouching = Vouching()
    assert vouching.settle(asks(a=None), {"a": object()}, since=NEVER, looked_at=5.0) == []


def test_vouching_carries_on_from_look_to_look() -> None:
    vouching = Vouching()
    vouching.settle(asks(a=3.0), {}, since=2.0, looked_at=5.0)
    assert vouching.settle(asks(a=3.0), {}, since=5.0, looked_at=15.0) == []
    assert vouching.settle(asks(a=3.0), {}, since=15.0, looked_at=25.0) == []


def test_vouching_breaks_where_a_look_does_not_reach_back_to_the_last() -> None:
    vouching = Vouching()
    vouching.settle(asks(a=3.0), {}, since=2.0, looked_at=5.0)
    assert vouching.settle(asks(a=3.0), {}, since=5.1, looked_at=15.0) == ["a"]


def test_a_read_after_a_break_restores_it() -> None:
    vouching = Vouching()
    vouching.settle(asks(a=3.0), {}, since=2.0, looked_at=5.0)
    vouching.settle(asks(a=3.0), {}, since=NEVER, looked_at=15.0)
    assert vouching.settle(asks(a=15.2), {}, since=15.0, looked_at=25.0) == []


def test_a_job_that_is_awaited_anew_is_not_vouched_for_by_its_past() -> None:
    vouching = Vouching()
    vouching.settle(asks(a=3.0, b=3.0), {}, since=2.0, looked_at=5.0)
    vouching.settle(asks(b=3.0), {}, since=5.0, looked_at=15.0)
    assert vouching.settle(asks(a=3.0, b=3.0), {}, since=15.0, looked_at=25.0) == ["a"]


def test_the_stalest_are_those_unseen_for_longest() -> None:
    jobs = asks(a=3.0, b=1.0, c=None, d=2.0)
    assert Vouching().stalest(jobs, {"b": object()}, 2) == ["c", "d"]
    assert Vouching().stalest(jobs, {}, 9) == ["c", "b", "d", "a"]


@given(
    looks=st.lists(
        st.tuples(
            st.sets(st.integers(0, 5)),  # the jobs that end before this look
            st.booleans(),  # whether it shows all that ended since the last one
            st.sets(st.integers(0, 5)),  # what is awaited
        ),
        min_size=1,
        max_size=12,
    )
)
def test_nobody_is_vouched_for_who_has_ended(
    looks: list[tuple[set[int], bool, set[int]]],
) -> None:
    """Whoever is neither shown nor unsure is really alive, whatever comes."""
    vouching = Vouching()
    ended_at: dict[int, float] = {}
    seen_at: dict[int, float] = {}
    last = ALWAYS
    for number, (ending, complete, awaited) in enumerate(looks):
        now = 10.0 * number
        for job in ending - ended_at.keys():
            ended_at[job] = now - 5.0
        since = last if complete else NEVER
        shown = {job: 1 for job, at in ended_at.items() if at >= since and job in awaited}
        jobs = {job: Seen(seen_at.get(job)) for job in awaited}
        unsure = vouching.settle(jobs, shown, since=since, looked_at=now)
        for job in awaited - shown.keys() - set(unsure):
            assert job not in ended_at
        for job in unsure:
            if job not in ended_at:
                seen_at[job] = now + 1.0  # read on its own, and found alive
        last = now
