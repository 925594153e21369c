"""What is known of one job, and what an observation may change about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobkit_async.polling.record import Record
from jobkit_async.states import JobState

S = JobState
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def record() -> Record[str]:
    return Record("a")


class TestObserve:
    def test_the_newest_observation_counts(self, record: Record[str], see: Any) -> None:
        first, second = see(S.PENDING), see(S.RUNNING)
        assert record.observe(first, asked_at=1.0, now=2.0) is first
        assert record.observe(second, asked_at=3.0, now=4.0) is second
        assert (record.newest, record.seen_at) == (second, 3.0)

    def test_an_answer_that_was_overtaken_does_not_count(
        self, record: Record[str], see: Any
    ) -> None:
        newer = see(S.SUCCEEDED, data="done")
        record.observe(newer, asked_at=3.0, now=4.0)
        assert record.observe(see(S.RUNNING), asked_at=1.0, now=5.0) is None
        assert (record.newest, record.data) == (newer, "done")

    def test_a_snapshot_stays_until_a_newer_one_comes(self, record: Record[str], see: Any) -> None:
        record.observe(see(S.PENDING, data="full"), asked_at=1.0, now=1.0)
        first = record.data_at
        record.observe(see(S.RUNNING), asked_at=2.0, now=2.0)
        assert (record.data, record.data_at) == ("full", first)
        assert first is not None
        assert first.tzinfo is not None

    def test_a_creation_that_was_told_once_stays(self, record: Record[str], see: Any) -> None:
        record.observe(see(S.PENDING, created_at=CREATED), asked_at=1.0, now=1.0)
        record.observe(see(S.RUNNING), asked_at=2.0, now=2.0)
        assert record.created_at == CREATED


class TestOwnChanges:
    @pytest.mark.parametrize(("asked_at", "counts"), [(4.9, False), (5.0, True), (5.1, True)])
    def test_what_left_before_the_change_does_not_count(
        self, record: Record[str], see: Any, asked_at: float, counts: bool
    ) -> None:
        record.touch(5.0)
        seen = record.observe(see(S.RUNNING), asked_at=asked_at, now=6.0)
        assert (seen is not None) is counts

    @pytest.mark.parametrize(
        ("word", "mark", "now", "counts"),
        [
            ("A", 1, 64.9, False),  # the same, within a minute: late
            ("A", 1, 65.0, True),  # for no longer than that
            ("A", 2, 6.0, True),  # written to since: new
            ("R", 1, 6.0, True),  # another status: new
        ],
    )
    def test_an_unchanged_job_is_late_for_a_minute(
        self, record: Record[str], see: Any, word: str, mark: int, now: float, counts: bool
    ) -> None:
        record.observe(see(S.NEEDS_INPUT, "A", mark=1), asked_at=1.0, now=1.0)
        record.touch(5.0)
        seen = see(S.NEEDS_INPUT, word, mark=mark)
        assert (record.observe(seen, asked_at=now, now=now) is not None) is counts

    def test_once_it_has_changed_the_old_status_may_come_back(
        self, record: Record[str], see: Any
    ) -> None:
        asking = see(S.NEEDS_INPUT, "A", mark=1)
        record.observe(asking, asked_at=1.0, now=1.0)
        record.touch(5.0)
        assert record.observe(see(S.RUNNING, "R", mark=2), asked_at=6.0, now=6.0) is not None
        assert record.observe(asking, asked_at=7.0, now=7.0) is not None

    def test_a_service_that_marks_nothing_is_believed_at_once(
        self, record: Record[str], see: Any
    ) -> None:
        record.observe(see(S.NEEDS_INPUT, "A"), asked_at=1.0, now=1.0)
        record.touch(5.0)
        assert record.observe(see(S.NEEDS_INPUT, "A"), asked_at=6.0, now=6.0) is not None

    def test_the_age_counts_from_the_change(self, record: Record[str]) -> None:
        record.born = 1.0
        record.touch(5.0)
        assert record.born == 5.0

    @pytest.mark.parametrize("cancels", [True, False])
    @pytest.mark.parametrize("own", [True, False])
    def test_a_failure_reads_cancelled_only_after_an_own_cancellation(
        self, record: Record[str], see: Any, cancels: bool, own: bool
    ) -> None:
        record.touch(1.0, cancels=own)
        seen = record.observe(see(S.FAILED, cancels=cancels), asked_at=2.0, now=2.0)
        assert seen is not None
        assert seen.state is (S.CANCELLED if cancels and own else S.FAILED)

    def test_a_cancellation_is_not_forgotten_by_later_changes(self, record: Record[str]) -> None:
        record.touch(1.0, cancels=True)
        record.touch(2.0)
        assert record.cancelled

    def test_a_cancelled_job_that_is_gone_is_over(self, record: Record[str], see: Any) -> None:
        record.observe(see(S.RUNNING, "R", data="running"), asked_at=1.0, now=1.0)
        record.touch(2.0, cancels=True)
        gone = record.gone()
        assert (gone.state, gone.raw_status, gone.data) == (S.CANCELLED, "R", "running")
        assert record.newest is gone


class TestOver:
    @pytest.mark.parametrize(
        ("state", "final", "data", "over"),
        [
            (S.SUCCEEDED, True, "done", True),
            (S.FAILED, True, "done", True),
            (S.SUCCEEDED, True, None, False),
            (S.FAILED, False, "done", False),
            (S.RUNNING, True, "running", False),
        ],
    )
    def test_only_a_final_end_with_its_snapshot(
        self,
        record: Record[str],
        see: Any,
        state: JobState,
        final: bool,
        data: str | None,
        over: bool,
    ) -> None:
        record.observe(see(state, final=final, data=data), asked_at=1.0, now=1.0)
        assert record.over is over

    def test_an_own_change_makes_it_doubtful_again(self, record: Record[str], see: Any) -> None:
        done = see(S.SUCCEEDED, final=True, data="done")
        record.observe(done, asked_at=1.0, now=1.0)
        record.touch(2.0)
        assert not record.over
        record.observe(done, asked_at=3.0, now=3.0)
        assert record.over

    def test_an_end_that_was_seen_without_snapshot_does_not_count_with_an_older_one(
        self, record: Record[str], see: Any
    ) -> None:
        record.observe(see(S.RUNNING, data="running"), asked_at=1.0, now=1.0)
        record.observe(see(S.SUCCEEDED, final=True), asked_at=2.0, now=2.0)
        assert not record.over


class TestAge:
    def test_it_counts_from_the_creation_by_the_services_clock(self, record: Record[str]) -> None:
        record.set_created(CREATED.timestamp(), CREATED.timestamp() + 70.0, now=100.0)
        assert record.born == pytest.approx(30.0)
        assert record.created_at == CREATED

    def test_without_the_services_clock_only_the_date_is_kept(self, record: Record[str]) -> None:
        record.set_created(CREATED.timestamp(), None, now=100.0)
        assert (record.born, record.created_at) == (None, CREATED)

    def test_a_creation_in_the_future_is_now(self, record: Record[str]) -> None:
        record.set_created(CREATED.timestamp(), CREATED.timestamp() - 70.0, now=100.0)
        assert record.born == 100.0

    def test_an_own_change_counts_more_than_the_creation(self, record: Record[str]) -> None:
        record.touch(90.0)
        record.set_created(CREATED.timestamp(), CREATED.timestamp() + 70.0, now=100.0)
        assert record.born == 90.0
