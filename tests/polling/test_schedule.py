"""Whom to ask when: gaps, dues, batches. Pure, so times are plain numbers."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobkit_async.errors import InvalidArgument
from jobkit_async.polling.schedule import (
    ExponentialBackoff,
    FixedInterval,
    Polling,
    Schedule,
    Waited,
)

seconds = st.floats(0.0, 1e9)
anything = st.floats(allow_nan=True, allow_infinity=True)


def waited(age: float = 0.0, looks: int = 0, shared: float = 1.0) -> Waited:
    return Waited(age=age, looks=looks, shared=shared)


class TestGap:
    @pytest.mark.parametrize(
        ("age", "shared", "gap"),
        [(0.0, 1.0, 2.5), (10.0, 1.0, 12.5), (1000.0, 1.0, 102.5), (1000.0, 100.0, 10.025)],
    )
    def test_cold_gaps_follow_the_square_root_law(
        self, level: random.Random, age: float, shared: float, gap: float
    ) -> None:
        schedule = Schedule(Polling(delay_price=5.0), None, level, {})
        assert schedule.gap(waited(age, shared=shared)) == pytest.approx(gap, rel=1e-12)

    def test_the_price_of_delay_sets_the_scale(self, level: random.Random) -> None:
        gaps = [
            Schedule(Polling(delay_price=price), None, level, {}).gap(waited(100.0))
            for price in (1.25, 5.0, 20.0)
        ]
        expected = [(200.0 * price) ** 0.5 + price / 2 for price in (1.25, 5.0, 20.0)]
        assert gaps == pytest.approx(expected)

    @given(
        gap=anything,
        bounds=st.tuples(st.floats(0.01, 1e6), st.floats(0.01, 1e6)),
        seed=st.integers(),
    )
    def test_a_policys_gaps_are_kept_within_the_intervals(
        self, gap: float, bounds: tuple[float, float], seed: int
    ) -> None:
        low, high = sorted(bounds)
        polling = Polling(min_interval=low, max_interval=high, policy=lambda _: gap)
        assert low <= polling.gap(waited()) <= high

    @given(gap=anything, seed=st.integers())
    def test_jitter_stays_within_the_intervals(self, gap: float, seed: int) -> None:
        polling = Polling(min_interval=1.0, max_interval=60.0, policy=lambda _: gap)
        assert 1.0 <= Schedule(polling, None, random.Random(seed), {}).gap(waited()) <= 60.0

    @given(age=seconds, shared=st.floats(1.0, 1e6), seed=st.integers())
    def test_own_gaps_are_kept_within_the_intervals(
        self, age: float, shared: float, seed: int
    ) -> None:
        polling = Polling(min_interval=1.0, max_interval=60.0)
        schedule = Schedule(polling, None, random.Random(seed), {})
        assert 1.0 <= schedule.gap(waited(age, shared=shared)) <= 60.0

    def test_jitter_varies_and_is_small(self) -> None:
        schedule = Schedule(Polling(policy=FixedInterval(100.0)), None, random.Random(1), {})
        gaps = {schedule.gap(waited()) for _ in range(1000)}
        assert len(gaps) > 900
        assert 95.0 <= min(gaps) < 96.0
        assert 104.0 < max(gaps) <= 105.0

    def test_a_seed_repeats_the_jitter(self) -> None:
        first, second = (
            Schedule(Polling(policy=FixedInterval(100.0)), None, random.Random(7), {})
            for _ in range(2)
        )
        assert [first.gap(waited()) for _ in range(9)] == [second.gap(waited()) for _ in range(9)]

    def test_a_policy_that_raises_is_told_about_by_its_own_error(self) -> None:
        def policy(_: Waited) -> float:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            Polling(policy=policy).gap(waited())


class TestPolicies:
    def test_backoff_multiplies_up_to_its_maximum(self) -> None:
        backoff = ExponentialBackoff(initial=1.0, factor=2.0, maximum=60.0)
        gaps = [backoff(waited(looks=looks)) for looks in range(8)]
        assert gaps == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]

    def test_backoff_survives_any_number_of_looks(self) -> None:
        assert ExponentialBackoff(maximum=60.0)(waited(looks=10**6)) == 60.0

    def test_a_fixed_interval_is_fixed(self) -> None:
        policy = FixedInterval(7.0)
        assert {policy(waited(age, looks)) for age in (0.0, 1e6) for looks in (0, 99)} == {7.0}

    def test_the_policy_is_told_age_looks_and_share(self, level: random.Random) -> None:
        told: list[Waited] = []

        def policy(job: Waited) -> float:
            told.append(job)
            return 1.0

        Schedule(Polling(policy=policy), None, level, {}).gap(waited(3.0, 2, 4.0))
        assert told == [Waited(age=3.0, looks=2, shared=4.0)]


class TestPolling:
    @pytest.mark.parametrize(
        "name",
        [
            "min_interval",
            "max_interval",
            "delay_price",
            "max_rps",
            "give_up_after",
            "lost_after",
            "unknown_after",
        ],
    )
    @pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "1", True])
    def test_numbers_out_of_bounds_are_refused_by_name(self, name: str, value: Any) -> None:
        with pytest.raises(InvalidArgument) as caught:
            Polling(**{name: value})
        assert caught.value.argument == name

    def test_intervals_must_not_cross(self) -> None:
        with pytest.raises(InvalidArgument) as caught:
            Polling(min_interval=2.0, max_interval=1.0)
        assert caught.value.argument == "max_interval"

    def test_a_policy_must_be_callable(self) -> None:
        with pytest.raises(InvalidArgument) as caught:
            Polling(policy=10)  # type: ignore[arg-type]  # that is what is tested
        assert caught.value.argument == "policy"


class TestBatches:
    """Jobs that are asked for by name, so many in one request."""

    @pytest.fixture
    def schedule(self, booked: Any, level: random.Random) -> Any:
        return booked(Polling(), 4, level)

    def test_nothing_is_due_where_nobody_waits(self, schedule: Any) -> None:
        assert schedule.wake() == math.inf
        assert schedule.take(1e9) == []

    def test_the_last_request_is_filled_up_with_those_due_next(self, schedule: Any) -> None:
        for key, at in {"a": 1.0, "e": 50.0, "b": 2.0, "d": 30.0, "c": 20.0}.items():
            schedule.add(key, at)
        assert schedule.take(2.0) == ["a", "b", "c", "d"]
        assert schedule.wake() == 50.0

    def test_only_the_last_request_is_filled_up(self, schedule: Any) -> None:
        for index in range(5):
            schedule.add(f"due{index}", 1.0)
        for index in range(9):
            schedule.add(f"later{index}", 10.0 + index)
        taken = schedule.take(1.0)
        assert taken is not None
        assert len(taken) == 8
        assert taken[5:] == ["later0", "later1", "later2"]

    def test_full_requests_take_nobody_along(self, schedule: Any) -> None:
        for index in range(4):
            schedule.add(f"due{index}", 1.0)
        schedule.add("later", 10.0)
        assert schedule.take(1.0) == ["due0", "due1", "due2", "due3"]

    def test_a_gap_that_is_nearly_over_counts_as_over(
        self, booked: Any, level: random.Random
    ) -> None:
        schedule = booked(Polling(), 1, level)
        for key in "abc":
            schedule.add(key, 0.0)
        schedule.take(0.0)
        schedule.looked("a", 100.0, 0.0)
        schedule.looked("b", 110.0, 0.0)
        schedule.looked("c", 112.0, 0.0)
        assert schedule.take(100.0) == ["a", "b"]

    def test_a_taken_job_is_due_no_more(self, schedule: Any) -> None:
        schedule.add("a", 1.0)
        assert schedule.take(1.0) == ["a"]
        assert schedule.wake() == math.inf
        assert schedule.take(2.0) == []

    def test_hurrying_a_taken_job_is_not_lost(self, schedule: Any) -> None:
        schedule.add("a", 1.0)
        schedule.take(1.0)
        schedule.add("a", 3.0)
        schedule.looked("a", 500.0, 1.0)
        assert schedule.wake() == 3.0

    def test_adding_again_hurries_and_never_delays(self, schedule: Any) -> None:
        schedule.add("a", 10.0)
        schedule.add("a", 5.0)
        schedule.add("a", 20.0)
        assert schedule.wake() == 5.0
        assert schedule.take(5.0) == ["a"]
        assert schedule.take(20.0) == []

    def test_whoever_waits_for_others_can_be_hurried_too(
        self, booked: Any, level: random.Random
    ) -> None:
        schedule = booked(Polling(), 10, level)
        for key in range(10):
            schedule.add(key, 0.0)
        schedule.take(0.0)
        schedule.looked(0, 10.0, 0.0)
        for key in range(1, 10):
            schedule.looked(key, 100.0, 0.0)
        assert schedule.take(10.0) == []  # one that is due is not worth a request yet
        schedule.add(0, 12.0)
        assert schedule.wake() == 12.0
        assert 0 in (schedule.take(12.0) or [])

    def test_a_discarded_job_is_forgotten(self, schedule: Any) -> None:
        schedule.add("a", 1.0)
        schedule.add("b", 2.0)
        schedule.discard("a")
        schedule.discard("never there")
        assert len(schedule) == 1
        assert schedule.wake() == 2.0
        assert schedule.take(2.0) == ["b"]

    def test_a_job_discarded_while_it_was_taken_does_not_come_back(self, schedule: Any) -> None:
        schedule.add("a", 1.0)
        schedule.take(1.0)
        schedule.discard("a")
        assert len(schedule) == 0
        assert schedule.wake() == math.inf

    def test_nothing_is_due_before_the_gate_opens(self, schedule: Any) -> None:
        schedule.add("a", 1.0)
        schedule.close_gate(30.0)
        schedule.close_gate(20.0)
        assert schedule.wake() == 30.0
        schedule.add("b", 2.0)
        assert schedule.wake() == 30.0
        assert schedule.take(30.0) == ["a", "b"]

    def test_forgotten_jobs_leave_nothing_behind(self, schedule: Any) -> None:
        schedule.add("stays", 1e9)
        for index in range(10_000):
            schedule.add(index, 1e6 - index)
            schedule.discard(index)
        assert len(schedule) == 1
        assert len(schedule._heap) < 200

    @settings(max_examples=200)
    @given(
        batch=st.integers(1, 5),
        steps=st.lists(
            st.one_of(
                st.tuples(st.just("add"), st.integers(0, 12), st.floats(0.0, 100.0)),
                st.tuples(st.just("discard"), st.integers(0, 12), st.just(0.0)),
                st.tuples(st.just("look"), st.just(0), st.floats(0.0, 100.0)),
            ),
            max_size=40,
        ),
    )
    def test_every_job_becomes_due_whatever_happens(
        self, booked: Any, batch: int, steps: list[tuple[str, int, float]]
    ) -> None:
        schedule = booked(Polling(), batch, random.Random(0))
        wanted: dict[int, float] = {}
        now = 0.0
        for kind, key, at in steps:
            if kind == "add":
                schedule.add(key, now + at)
                wanted[key] = min(now + at, wanted.get(key, math.inf))
            elif kind == "discard":
                schedule.discard(key)
                wanted.pop(key, None)
            else:
                now += at
                due = {key for key, at in wanted.items() if at <= now}
                taken = schedule.take(now) if due else []
                assert taken is not None
                assert len(taken) == len(set(taken))
                assert due <= set(taken) <= set(wanted)
                extra = len(taken) - len(due)
                assert extra < batch
                assert extra == 0 or len(taken) % batch == 0 or len(taken) == len(wanted)
                for one in taken:
                    schedule.looked(one, now + 7.0, now + 7.0)
                    wanted[one] = now + 7.0
        assert len(schedule) == len(wanted)
        assert schedule.wake() == min(wanted.values(), default=math.inf)
        assert set(schedule.take(now + 1e6) or ()) == set(wanted)


class TestOneForAll:
    """Jobs that one request answers for, all together."""

    @pytest.fixture
    def schedule(self, booked: Any, level: random.Random) -> Any:
        return booked(Polling(), None, level)

    def test_all_are_looked_at_when_the_first_is_due(self, schedule: Any) -> None:
        schedule.add("a", 10.0)
        schedule.add("b", 5.0)
        assert schedule.wake() == 5.0
        assert schedule.take(5.0) is None
        assert schedule.wake() == math.inf
        schedule.looked_at_all(12.0)
        assert schedule.wake() == 12.0

    def test_hurrying_during_a_look_is_not_lost(self, schedule: Any) -> None:
        schedule.add("a", 0.0)
        schedule.take(0.0)
        schedule.add("a", 3.0)
        schedule.looked_at_all(100.0)
        assert schedule.wake() == 3.0

    def test_a_job_added_during_a_look_is_not_forgotten(self, schedule: Any) -> None:
        schedule.add("a", 0.0)
        schedule.take(0.0)
        schedule.add("new", 1.0)
        schedule.discard("a")
        schedule.looked_at_all(100.0)
        assert schedule.wake() == 1.0

    def test_the_last_to_leave_ends_it(self, schedule: Any) -> None:
        schedule.add("a", 1.0)
        schedule.discard("a")
        assert schedule.wake() == math.inf
        schedule.add("b", 9.0)
        assert schedule.wake() == 9.0

    def test_nothing_is_due_before_the_gate_opens(self, schedule: Any) -> None:
        schedule.add("a", 1.0)
        schedule.close_gate(30.0)
        assert schedule.wake() == 30.0
