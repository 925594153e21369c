"""What past jobs tell of those to come. Pure: time comes in as numbers."""

from __future__ import annotations

import math
import random

import hypothesis.strategies as st
import pytest
from hypothesis import given

from jobkit_async.polling import durations as module
from jobkit_async.polling.durations import AT_ONCE, ENOUGH, KINDS, MEMORY, PRICES, Durations, Life


def watched(durations: Durations, lasted: float, now: float, kind: object = "a") -> None:
    durations.ended(kind, now - lasted, lasted, now)


def one_by_one(durations: Durations, seconds: list[float], now: float = 0.0) -> float:
    for lasted in seconds:
        now += lasted
        watched(durations, lasted, now)
    return now


def log_normal(count: int, median: float = 60.0, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [median * math.exp(rng.gauss(0.0, 1.0)) for _ in range(count)]


def test_a_few_ends_are_not_enough() -> None:
    durations = Durations()
    assert durations.grid("a", list) is None
    one_by_one(durations, log_normal(ENOUGH - 1))
    assert durations.grid("a", list) is None
    assert durations.inspection("a", 5.0, list) is None
    watched(durations, 60.0, 1e5)
    assert durations.grid("a", list) is not None
    assert durations.inspection("a", 5.0, list) is not None
    assert durations.grid("b", list) is None


def test_new_ends_change_the_law_and_old_plans_go() -> None:
    durations = Durations()
    now = one_by_one(durations, [10.0] * 10)
    grid, plan = durations.grid("a", list), durations.inspection("a", 5.0, list)
    assert grid is durations.grid("a", list)
    assert plan is durations.inspection("a", 5.0, list)
    one_by_one(durations, [20.0] * 5, now)
    assert durations.grid("a", list) is not grid
    assert durations.inspection("a", 5.0, list) is not plan


def test_memory_is_bounded() -> None:
    durations = Durations()
    for kind in range(KINDS + 20):
        watched(durations, 5.0, 10.0, kind)
    assert len(durations._kinds) == KINDS
    now = one_by_one(durations, log_normal(3 * MEMORY))
    for k in range(5000):
        watched(durations, 60.0 + k % 7, now + 1e4)
    for price in range(1, 50):
        durations.inspection("a", float(price), list)
    known = durations._kinds["a"]
    assert len(known.lives) <= MEMORY
    assert not known.at_once
    assert len(known.plans) == PRICES


def test_many_ends_at_once_are_thinned_out_and_weigh_as_many() -> None:
    durations = Durations()
    for k in range(1000):
        durations.ended("a", float(k % 7), 10.0 + k / 100.0, 20.0)
    durations.grid("a", list)
    lives = durations._kinds["a"].lives
    assert 10 <= len(lives) <= AT_ONCE
    assert sum(life.weight for life in lives) == 1000.0
    mean = sum(life.weight * life.lasted for life in lives) / 1000.0
    assert mean == pytest.approx(15.0, abs=0.1)


def test_one_crowd_does_not_take_the_place_of_all_others() -> None:
    durations = Durations()
    now = one_by_one(durations, log_normal(100))
    for k in range(100):
        for _ in range(50):
            durations.ended("a", now, 20.0 + 0.2 * k, now + 20.0 + 0.2 * k)
    known = durations._kinds["a"]
    known.settle()
    assert len(known.lives) == 200


def test_jobs_that_are_still_running_count() -> None:
    # A thousand jobs were sent off together: 20 of them have ended, 980 have lasted as long.
    ended = sorted(log_normal(1000))[:20]
    latest = ended[-1]

    def law(running: list[Life]) -> float:
        durations = Durations()
        for lasted in ended:
            durations.ended("a", 0.0, lasted, lasted)
        grid = durations.grid("a", lambda: running)
        assert grid is not None
        return grid.over(2.0 * latest)

    assert law([]) > 0.9
    assert law([Life(0.0, latest, 980.0)]) == pytest.approx(0.5, abs=0.05)


def test_jobs_of_a_steady_flow_are_not_taken_for_longer_than_they_are() -> None:
    # 50 jobs run at any time; each that ends is replaced. Only the last ends are remembered, and
    # the long ones among those that run were born before all that.
    rng = random.Random(3)
    durations = Durations()
    running = [(0.0, lasted) for lasted in log_normal(50, seed=5)]
    for _ in range(1500):
        born, lasted = min(running, key=lambda job: job[0] + job[1])
        now = born + lasted
        durations.ended("a", born, lasted, now)
        running.remove((born, lasted))
        running.append((now, 60.0 * math.exp(rng.gauss(0.0, 1.0))))
    grid = durations.grid("a", lambda: [Life(born, now - born) for born, _ in running])
    assert grid is not None
    for z in (-1.0, 0.0, 1.0):
        expected = 0.5 * math.erfc(-z / math.sqrt(2.0))
        assert grid.over(60.0 * math.exp(z)) == pytest.approx(expected, abs=0.1)


def test_after_a_change_of_regime_the_old_jobs_are_forgotten() -> None:
    durations = Durations()
    now = one_by_one(durations, log_normal(100))
    durations.grid("a", list)
    for lasted in log_normal(30, median=300.0, seed=2):
        now += lasted
        watched(durations, lasted, now)
        durations.grid("a", list)
    known = durations._kinds["a"]
    assert len(known.lives) <= 40
    grid = durations.grid("a", list)
    assert grid is not None
    assert grid.median == pytest.approx(300.0, rel=0.5)


def test_the_same_regime_is_hardly_ever_taken_for_another() -> None:
    alarms = 0
    for seed in range(8):
        durations = Durations()
        now = 0.0
        for lasted in log_normal(100, seed=seed):
            now += lasted
            watched(durations, lasted, now)
            durations.grid("a", list)
        alarms += durations._kinds["a"].born_after > 0.0
    assert alarms <= 2


@given(
    st.lists(
        st.tuples(st.floats(0.0, 1e5), st.floats(0.0, 1e5), st.booleans()), min_size=1, max_size=60
    ),
    st.floats(0.01, 100.0),
)
def test_nothing_that_is_seen_breaks_it(
    lives: list[tuple[float, float, bool]], price: float
) -> None:
    durations = Durations()
    running = [Life(born, lasted) for born, lasted, over in lives if not over]
    for born, lasted, over in lives:
        if over:
            durations.ended("a", born, lasted, born + lasted)
    plan = durations.inspection("a", price, lambda: running)
    if plan is not None:
        for age in (0.0, 1.0, 1e3, 1e6):
            at = plan.next_look(age)
            assert at is None or age < at < math.inf


def test_shares_of_ends_and_of_what_lasts_longer_make_up_all() -> None:
    ended = [Life(0.0, 10.0), Life(0.0, 20.0), Life(5.0, 30.0)]
    running = [Life(0.0, 15.0, 2.0), Life(20.0, 50.0)]
    points, tail, since = module._product_limit(ended, running, -math.inf)
    assert [point.seconds for point in points] == [10.0, 20.0, 30.0]
    # 6 at risk at 10 s; 3 at 20 s; 2 at 30 s.
    assert [point.weight / 3 for point in points] == pytest.approx([1 / 6, 5 / 6 / 3, 5 / 9 / 2])
    assert sum(point.weight for point in points) + tail == pytest.approx(3.0)
    assert since == 50.0


class TestFlow:
    """Ends that come faster than each of them can be remembered."""

    @staticmethod
    def _flow(durations: Durations, rate: float, seconds: float, now: float = 0.0) -> float:
        """Jobs of a median of 60 s end at this rate."""
        rng = random.Random(7)
        end = now + seconds
        while now < end:
            now += rng.expovariate(rate)
            watched(durations, 60.0 * math.exp(rng.gauss(0.0, 1.0)), now)
        durations._kinds["a"].settle()
        return now

    @pytest.mark.parametrize("rate", [0.1, 2.0, 100.0])
    def test_what_is_remembered_spans_a_few_durations(self, rate: float) -> None:
        durations = Durations()
        now = self._flow(durations, rate, 3000.0)
        lives = durations._kinds["a"].lives
        assert MEMORY / 2 - 2 <= len(lives) <= MEMORY
        spanned = now - lives[0].over_at
        assert spanned > 3.0 * 60.0
        assert sum(life.weight for life in lives) == pytest.approx(rate * spanned, rel=0.15)
        below = sum(life.weight for life in lives if life.lasted < 60.0)
        assert below / sum(life.weight for life in lives) == pytest.approx(0.5, abs=0.1)

    def test_once_they_are_rare_each_is_remembered_again(self) -> None:
        durations = Durations()
        now = self._flow(durations, 100.0, 1000.0)
        known = durations._kinds["a"]
        assert known.stride >= 32.0
        for count in range(1, 13):
            now += 60.0
            watched(durations, 30.0, now)
            known.settle()
            assert sum(life.lasted == 30.0 for life in known.lives) >= count - 6
        assert known.stride == 1.0
        assert known.lives[-1].weight == 1.0

    def test_its_law_is_not_fitted_anew_at_each_handful(self) -> None:
        durations = Durations()
        now = self._flow(durations, 100.0, 1000.0)
        grid = durations.grid("a", list)
        assert grid is not None
        self._flow(durations, 100.0, 1.0, now)
        assert durations.grid("a", list) is grid
        self._flow(durations, 100.0, 100.0, now)
        assert durations.grid("a", list) is not grid

    @pytest.mark.parametrize("gap", [2.0, 0.5, 0.1])
    @pytest.mark.parametrize("lasted", [(10.0, 100.0), (10.0, 11.0, 12.0, 100.0)], ids=len)
    def test_each_kind_of_end_keeps_its_share(self, lasted: tuple[float, ...], gap: float) -> None:
        """Those of one look come in the order of their length."""
        durations, now = Durations(), 1000.0
        rng = random.Random(3)
        for _ in range(3000):
            now += gap
            for seconds in lasted:
                watched(durations, seconds * (1.0 + 0.02 * rng.random()), now)
        known = durations._kinds["a"]
        known.settle()
        short = sum(life.weight for life in known.lives if life.lasted < 30.0)
        share = short / sum(life.weight for life in known.lives)
        assert share == pytest.approx(1.0 - 1.0 / len(lasted), abs=0.12)
