"""What the progress of jobs tells of their ends."""

from __future__ import annotations

import math
import random

import hypothesis.strategies as st
import pytest
from hypothesis import given

from jobkit_async.polling.progress import ENOUGH, KINDS, MEMORY, PLANS, Progress
from jobkit_async.polling.schedule import Polling

KIND = "a"


def learned(spread: float, count: int = 40, *, slowness: float = 1.0) -> Progress:
    """After some jobs whose second half took about as long as the first, or so many times."""
    progress, rng = Progress(), random.Random(1)
    for _ in range(count):
        ran = 60.0 * math.exp(rng.gauss(0.0, 1.0))
        progress.ended(KIND, ran, 0.5, slowness * ran * math.exp(rng.gauss(0.0, spread)))
    return progress


def test_a_few_ends_are_not_enough() -> None:
    assert learned(0.1, ENOUGH - 1).left(KIND, 60.0, 0.5) is None
    assert learned(0.1, ENOUGH).left(KIND, 60.0, 0.5) is not None
    assert learned(0.1).left("another", 60.0, 0.5) is None


@pytest.mark.parametrize("progress", [None, 0.0, 0.001, 0.99, 1.0, -1.0, math.nan])
def test_progress_that_says_nothing(progress: float | None) -> None:
    known = learned(0.1)
    assert known.left(KIND, 60.0, progress) is None
    known.ended(KIND, 60.0, progress, 60.0)
    known.ended(KIND, 0.0, 0.5, 60.0)
    known.ended(KIND, 60.0, 0.5, 0.0)
    assert len(known._factors[KIND]) == 40


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("slowness", [0.5, 1.0, 3.0])
def test_the_time_left_follows_from_the_share_that_is_done(share: float, slowness: float) -> None:
    found = learned(0.05, slowness=slowness).left(KIND, 90.0, share)
    assert found is not None
    assert found[0] == pytest.approx(slowness * 90.0 * (1.0 - share) / share, rel=0.1)


def test_the_spread_is_that_of_the_jobs_before() -> None:
    for spread in (0.1, 0.3, 1.0):
        found = learned(spread, 64).left(KIND, 60.0, 0.5)
        assert found is not None
        assert found[1] == pytest.approx(spread, rel=0.4)


def test_a_sure_end_is_looked_at_after_it_and_an_unsure_one_sooner() -> None:
    progress = Progress()
    assert 57.0 < progress.gap(60.0, 0.05, 1.0) < 72.0
    assert progress.gap(60.0, 1.0, 1.0) < 40.0
    assert progress.gap(600.0, 0.05, 10.0) == pytest.approx(10.0 * progress.gap(60.0, 0.05, 1.0))


@given(st.floats(1e-3, 1e6), st.floats(0.05, 5.0), st.floats(1e-4, 1e4))
def test_a_gap_is_always_a_time(left: float, spread: float, price: float) -> None:
    gap = Progress().gap(left, spread, price)
    assert 0.0 < gap < math.inf
    assert Polling().within(gap) > 0.0


def test_memory_is_bounded() -> None:
    progress = Progress()
    for kind in range(KINDS + 10):
        progress.ended(kind, 60.0, 0.5, 60.0)
    assert len(progress._factors) == KINDS
    for _ in range(3 * MEMORY):
        progress.ended(KINDS, 60.0, 0.5, 60.0)
    assert len(progress._factors[KINDS]) == MEMORY
    for k in range(2 * PLANS):
        progress.gap(60.0, 0.1, 1.3**k)
    assert len(progress._first) == PLANS
