"""The ends of waits in their order, and their last looks."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from jobkit_async.polling.deadlines import TOLERATED, Deadlines
from jobkit_async.polling.record import Record
from jobkit_async.polling.watch import Watch

MANY = 10_000
times = st.floats(0.0, 100.0) | st.sampled_from([10.0, 20.0])


def watch() -> Watch[Any]:
    return Watch(Record("a"), lambda _: None, keep_input=False, on_update=None, once_after=None)


def test_without_waits() -> None:
    deadlines: Deadlines[Any] = Deadlines()
    assert len(deadlines) == 0
    assert deadlines.next_end() == deadlines.next_last_look(5.0) == math.inf
    assert deadlines.take_over(1e9, MANY) == deadlines.last_looks(1e9, 5.0, MANY) == []


def test_a_last_look_leaves_once_and_before_the_end() -> None:
    deadlines: Deadlines[Any] = Deadlines()
    wait = watch()
    deadlines.add(wait, 100.0)
    assert (deadlines.next_last_look(5.0), deadlines.next_end()) == (95.0, 100.0)
    assert deadlines.last_looks(94.9, 5.0, MANY) == []
    assert deadlines.last_looks(95.0, 5.0, MANY) == [wait]
    assert deadlines.last_looks(99.0, 5.0, MANY) == []
    assert deadlines.next_last_look(5.0) == math.inf
    assert deadlines.take_over(99.9, MANY) == []
    assert deadlines.take_over(100.0, MANY) == [wait]
    assert deadlines.take_over(200.0, MANY) == []
    assert len(deadlines) == 0


def test_a_wait_ends_whether_or_not_its_last_look_has_left() -> None:
    deadlines: Deadlines[Any] = Deadlines()
    looked, unlooked, once = watch(), watch(), watch()
    deadlines.add(once, 160.0, last_look=False)
    deadlines.add(looked, 100.0)
    assert deadlines.last_looks(95.0, 5.0, MANY) == [looked]
    deadlines.add(unlooked, 90.0)
    assert deadlines.next_end() == 90.0
    assert deadlines.take_over(170.0, MANY) == [unlooked, looked, once]


def test_an_infinite_deadline_is_none() -> None:
    deadlines: Deadlines[Any] = Deadlines()
    wait = watch()
    deadlines.add(wait, math.inf)
    assert len(deadlines) == 0
    deadlines.discard(wait)
    assert deadlines.next_end() == math.inf


def test_many_are_taken_some_at_a_time() -> None:
    deadlines: Deadlines[Any] = Deadlines()
    waits = [watch() for _ in range(10)]
    for index, wait in enumerate(waits):
        deadlines.add(wait, 100.0 + index)
    assert deadlines.last_looks(1000.0, 5.0, 4) == waits[:4]
    assert deadlines.last_looks(1000.0, 5.0, 4) == waits[4:8]
    assert deadlines.take_over(1000.0, 7) == waits[:7]
    assert deadlines.take_over(1000.0, 7) == waits[7:]


def test_waits_that_are_over_do_not_pile_up() -> None:
    deadlines: Deadlines[Any] = Deadlines()
    deadlines.add(watch(), 1.0)  # on top for ever, so that nothing below is met by chance
    for _ in range(1000):
        wait = watch()
        deadlines.add(wait, 1000.0)
        deadlines.discard(wait)
        deadlines.discard(wait)
        assert len(deadlines) <= 2 * TOLERATED


@given(
    waits=st.lists(st.tuples(times, st.booleans(), st.booleans()), max_size=200),
    lead=st.floats(0.5, 5.0),
    moments=st.lists(times, max_size=5),
)
def test_each_wait_ends_at_its_time_unless_it_was_over_before(
    waits: list[tuple[float, bool, bool]], lead: float, moments: list[float]
) -> None:
    deadlines: Deadlines[Any] = Deadlines()
    open_: dict[Watch[Any], float] = {}
    unlooked: dict[Watch[Any], float] = {}
    for ends_at, last_look, over in waits:
        wait = watch()
        deadlines.add(wait, ends_at, last_look=last_look)
        if over:
            deadlines.discard(wait)
        else:
            open_[wait] = ends_at
            if last_look:
                unlooked[wait] = ends_at
    for now in [*sorted(moments), 200.0]:
        assert deadlines.next_end() == min(open_.values(), default=math.inf)
        assert deadlines.next_last_look(lead) == min(unlooked.values(), default=math.inf) - lead
        looks = deadlines.last_looks(now, lead, MANY)
        assert set(looks) == {wait for wait, at in unlooked.items() if at - lead <= now}
        ended = deadlines.take_over(now, MANY)
        assert set(ended) == {wait for wait, at in open_.items() if at <= now}
        assert [open_[wait] for wait in ended] == sorted(open_[wait] for wait in ended)
        open_ = {wait: at for wait, at in open_.items() if at > now}
        unlooked = {wait: at for wait, at in unlooked.items() if at - lead > now}
    assert len(deadlines) == 0
