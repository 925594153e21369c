"""What law some durations suggest, and the best looks under it. Pure functions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from jobkit_async.polling.inspection import Grid, Inspection
from jobkit_async.polling.laws import DAY, Law, Point, fit

durations = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=40)


def law_of(seconds: Sequence[float]) -> Law:
    return fit([Point(value) for value in seconds])


def drawn(draw: Callable[[random.Random], float], count: int, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [draw(rng) for _ in range(count)]


def normal(rng: random.Random) -> float:
    return 60.0 * math.exp(rng.gauss(0.0, 1.0))


def two_modes(rng: random.Random) -> float:
    return rng.gauss(5.0, 0.5) if rng.random() < 0.5 else rng.gauss(300.0, 15.0)


def looks_of(plan: Inspection, until: float) -> list[float]:
    looks = [0.0]
    while looks[-1] < until:
        at = plan.next_look(looks[-1])
        if at is None:
            break
        looks.append(at)
    return looks[1:]


class TestLaws:
    @given(durations)
    def test_a_law_rises_from_0_to_1(self, seconds: list[float]) -> None:
        law = law_of(seconds)
        values = [law.cdf(10.0**k) for k in range(-4, 12)]
        assert law.cdf(0.0) == law.cdf(-1.0) == 0.0
        assert all(a <= b + 1e-12 for a, b in pairwise(values))
        assert values[0] >= 0.0
        assert 0.85 <= values[-1] <= 1.0 + 1e-9

    @given(durations, st.floats(0.1, 10.0))
    def test_weights_count_as_repetitions_do(self, seconds: list[float], at: float) -> None:
        twice = fit([Point(value, 2.0, 2.0) for value in seconds])
        assert twice.cdf(at) == pytest.approx(law_of([*seconds, *seconds]).cdf(at))

    def test_one_mode_is_a_log_normal_law(self) -> None:
        law = law_of(drawn(normal, 200))
        assert len(law.modes) == 1
        for z in (-1.5, -0.5, 0.0, 0.5, 1.5):
            expected = 0.5 * math.erfc(-z / math.sqrt(2.0))
            assert law.cdf(60.0 * math.exp(z)) == pytest.approx(expected, abs=0.06)

    def test_modes_come_apart_however_narrow_one_is(self) -> None:
        law = law_of(drawn(two_modes, 30))
        assert len(law.modes) == 2
        first, second = law.modes
        assert math.exp(first.centre) == pytest.approx(5.0, rel=0.06)
        assert math.exp(second.centre) == pytest.approx(300.0, rel=0.03)
        assert first.width < 0.16
        assert second.width < 0.09
        assert law.cdf(250.0) - law.cdf(8.0) < 0.002

    def test_crowds_of_three_lengths_are_three_modes(self) -> None:
        law = fit([Point(seconds, 85.0, 85.0) for seconds in (5.0, 60.0, 300.0)])
        for seconds in (5.0, 60.0, 300.0):
            assert law.cdf(1.2 * seconds) - law.cdf(seconds / 1.2) > 0.3

    def test_odds_may_be_as_low_as_can_be(self) -> None:
        # Crowds of many lengths: however many jobs have spoken against modes, a law comes of it.
        law = fit([Point(1.05**i, 1e4) for i in range(200)])
        assert law.cdf(1.05**100) == pytest.approx(0.5, abs=0.01)

    def test_durations_on_all_scales_are_a_span(self) -> None:
        law = law_of(drawn(lambda rng: 3600.0 ** rng.random(), 60))
        share, _ = law.span
        assert share > 0.5
        assert law.cdf(60.0) == pytest.approx(0.5, abs=0.12)

    def test_a_few_durations_leave_doubt(self) -> None:
        assert law_of([10.0]).trace > 0.6
        assert law_of([10.0] * 5).trace > 0.1
        assert law_of([10.0] * 60).trace < 0.001

    def test_equal_durations_do_not_make_certain(self) -> None:
        law = law_of([10.0] * 50)
        assert 0.01 < law.cdf(9.7) < 0.4
        assert 0.6 < law.cdf(10.3) < 0.99

    def test_what_lasts_longer_than_all_comes_on_all_scales_after_it(self) -> None:
        law = fit([Point(10.0)] * 10, tail=10.0, tail_from=100.0)
        known = law.cdf(100.0)
        assert known == pytest.approx(0.5, abs=0.02)
        assert law.cdf(200.0) - known == pytest.approx(0.25, abs=0.01)
        assert law.cdf(400.0) - known == pytest.approx(0.375, abs=0.01)


class TestInspection:
    @given(durations, st.floats(1e-3, 1e3))
    def test_the_next_look_is_ahead_at_every_age(self, seconds: list[float], price: float) -> None:
        grid = Grid(law_of(seconds))
        plan = Inspection(grid, price)
        for age in [0.0, *(10.0**k for k in range(-3, 8)), *seconds]:
            at = plan.next_look(age)
            if at is None:
                assert age >= min(DAY, grid.ages[-2]) * 0.99
            else:
                assert at > age
                assert math.isfinite(at)

    @given(durations)
    def test_the_grid_holds_a_law(self, seconds: list[float]) -> None:
        grid = Grid(law_of(seconds))
        assert grid.ages[0] == grid.cdf[0] == 0.0
        assert grid.cdf[-1] == 1.0
        assert all(a < b for a, b in pairwise(grid.ages))
        assert all(a <= b + 1e-9 for a, b in pairwise(grid.cdf))
        assert grid.over(grid.ages[-1] * 2) == 1.0
        assert 0.0 <= grid.over(grid.median) <= 1.0

    def test_nothing_is_asked_between_two_modes(self) -> None:
        plan = Inspection(Grid(law_of(drawn(two_modes, 60))), 0.5)
        looks = looks_of(plan, 280.0)
        assert sum(look < 12.0 for look in looks) >= 2
        assert not [look for look in looks if 12.0 < look < 250.0]

    @pytest.mark.parametrize("price", [0.05, 0.5, 5.0])
    @pytest.mark.parametrize("draw", [normal, two_modes])
    def test_no_other_look_is_better(
        self, draw: Callable[[random.Random], float], price: float
    ) -> None:
        # The whole cost under the law must not fall when any of the first looks is moved.
        grid = Grid(law_of(drawn(draw, 60)))
        looks = looks_of(Inspection(grid, price), grid.ages[-1])

        def cost(at: Sequence[float]) -> float:
            total = before = 0.0
            for look in at:
                over = grid.over(before)
                total += price * (1.0 - over)
                steps = 30
                for i in range(steps):
                    age = before + (i + 0.5) / steps * (look - before)
                    total += (grid.over(age) - over) * (look - before) / steps
                before = look
            return total

        least = cost(looks)
        for i in range(min(12, len(looks) - 1)):
            before = looks[i - 1] if i else 0.0
            for part in (-0.3, 0.3):
                step = part * (looks[i] - before if part < 0 else looks[i + 1] - looks[i])
                moved = [*looks[:i], looks[i] + step, *looks[i + 1 :]]
                assert cost(moved) > least - 1e-3 * least

    def test_a_higher_price_asks_less(self) -> None:
        grid = Grid(law_of(drawn(normal, 30)))
        counts = [len(looks_of(Inspection(grid, price), 500.0)) for price in (0.1, 1.0, 10.0)]
        assert counts[0] > 1.5 * counts[1] > 2.25 * counts[2]
