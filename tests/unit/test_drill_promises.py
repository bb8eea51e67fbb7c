"""What single drills promise: each verdict is what it should be, and is not what it should not be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cli.drill import clock, disk, endings
from cli.drill.clock import Shown
from cli.drill.history import POSTED, Attempt
from cli.drill.probe import numbers
from cli.drill.stage import moved_again, none_failed

HOUR = 3_600.0


def attempt(outcome: str = POSTED, took_s: float = 0.1) -> Attempt:
    return Attempt(1.0, 1.0 + took_s, "HTTP", outcome, answered=True)


def test_a_clock_that_was_not_set_shows_nothing():
    assert clock.clock_was_set([(HOUR, HOUR + 1), (-HOUR, -HOUR), (0, 0.2)]).kept
    assert not clock.clock_was_set([(HOUR, 0.1)]).kept
    assert not clock.clock_was_set([]).kept


@pytest.mark.parametrize(
    ("begins_s", "ends_s", "outcome", "kept"),
    [
        (-HOUR, HOUR, "ok", True),
        (-HOUR, HOUR, "token_expired", False),
        (-HOUR, -15, "ok", True),
        (-HOUR, -15, "token_expired", False),
        (-HOUR, -60, "token_expired", True),
        (-HOUR, -60, "ok", False),
        (-HOUR, -60, "invalid_token", False),
        (-HOUR, -30, "ok", True),
        (-HOUR, -30, "token_expired", True),
        (HOUR, 2 * HOUR, "invalid_token", True),
        (HOUR, 2 * HOUR, "ok", True),
        (HOUR, 2 * HOUR, "token_expired", False),
        (-HOUR, HOUR, "0", False),
    ],
)
def test_a_token_ends_by_the_clock_and_the_leeway(begins_s, ends_s, outcome, kept):
    right = Shown(-HOUR, HOUR, "ok")
    assert clock.tokens_end_in_time([right, Shown(begins_s, ends_s, outcome)]).kept is kept


def test_without_tokens_nothing_is_shown():
    assert not clock.tokens_end_in_time([]).kept


@pytest.mark.parametrize(("told", "kept"), [((429, 1), True), ((429, 900), True), ((202, 0), False)])
def test_who_asks_too_often_waits_for_a_window_at_the_most(told, kept):
    assert clock.retry_after_is_right([(429, 5), told]).kept is kept


@pytest.mark.parametrize("wait_s", [0, -3_590, 4_490])
def test_a_wait_that_a_clock_was_set_by_is_seen(wait_s):
    assert not clock.retry_after_is_right([(429, wait_s)]).kept


def page(answers: int, seconds: float, batches: int = 3) -> dict[str, float]:
    return numbers(
        f'transactions_answer_seconds_count{{status="200"}} {answers - 1}\n'
        f'transactions_answer_seconds_count{{status="201"}} 1\n'
        f"transactions_answer_seconds_sum {seconds}\n"
        f'transactions_lane_batches{{child="lane 1"}} {batches}\n'
    )


def test_durations_that_add_up_are_right():
    assert clock.no_time_is_negative([page(4, 0.5), page(4, 0.5), page(9, 20.5)]).kept


@pytest.mark.parametrize(
    "looks",
    [
        [page(4, 0.5)],
        [page(4, 0.5), page(5, 0.4)],
        [page(4, 0.5), page(5, 3_600.5)],
        [page(4, -3_600), page(5, -3_599)],
        [page(4, 0.5), page(3, 0.5)],
        [page(4, 0.5), page(5, 0.6, batches=-1)],
    ],
)
def test_a_duration_that_a_clock_was_set_by_is_seen(looks):
    assert not clock.no_time_is_negative(looks).kept


def test_a_statement_goes_backwards_in_numbers_and_never_forwards_in_time():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    second = timedelta(seconds=1)
    assert clock.statements_are_in_order([[(3, at + second), (2, at), (1, at)], []]).kept
    assert not clock.statements_are_in_order([[(3, at), (2, at + second)]]).kept
    assert not clock.statements_are_in_order([[(3, at), (1, at)]]).kept
    assert not clock.statements_are_in_order([[], []]).kept


def test_no_transfer_may_fail_or_take_too_long():
    assert none_failed([attempt(), attempt(took_s=4.9)], "rain", 5.0).kept
    assert not none_failed([attempt(), attempt("unavailable")], "rain", 5.0).kept
    assert not none_failed([attempt(took_s=5.1)], "rain", 5.0).kept
    assert not none_failed([], "rain", 5.0).kept


def test_money_has_to_move_again_in_time():
    assert moved_again(5.0, 5.0).kept
    assert not moved_again(5.1, 5.0).kept


ERROR = 'ERROR:  could not extend file "base/5/6": No space left on device'
PANIC = 'PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device'


def test_a_disk_is_full_when_postgresql_says_so_and_ends_over_it():
    assert disk.disk_was_full([ERROR, PANIC], crashed=True).kept
    assert not disk.disk_was_full([ERROR, PANIC], crashed=False).kept
    assert not disk.disk_was_full([ERROR], crashed=True).kept
    assert not disk.disk_was_full([PANIC], crashed=True).kept


def test_one_read_that_fails_is_seen():
    assert disk.reads_went_on(["ok", "ok"]).kept
    assert not disk.reads_went_on(["ok", "unavailable"]).kept
    assert not disk.reads_went_on([]).kept


def test_whoever_moves_money_is_told_to_come_back_and_nothing_else():
    assert disk.refused_for_now([attempt(), attempt("unavailable"), attempt("deadline_exceeded")]).kept
    assert not disk.refused_for_now([attempt("unavailable"), attempt("internal")]).kept
    assert not disk.refused_for_now([attempt("unavailable"), attempt("the server closed the connection")]).kept
    assert not disk.refused_for_now([attempt()]).kept


def test_an_early_end_is_an_orderly_one():
    assert endings.ended_early([(0, 0.3), (0, 4.9)]).kept
    assert not endings.ended_early([(0, 0.3), (-15, 0.1)]).kept
    assert not endings.ended_early([(0, 0.3), (1, 0.1)]).kept
    assert not endings.ended_early([(0, 5.1)]).kept


@pytest.mark.parametrize(
    ("status", "took_s", "kept"), [(0, 10.0, True), (0, 10.1, False), (1, 1.0, False), (-9, 1.0, False)]
)
def test_an_end_is_in_time_and_well(status, took_s, kept):
    assert endings.in_time("in the rain", status, took_s).kept is kept


@pytest.mark.parametrize(
    ("status", "took_s", "kept"), [(143, 0.1, True), (143, 1.1, False), (0, 0.1, False), (1, 0.1, False)]
)
def test_a_second_signal_ends_it_at_once(status, took_s, kept):
    assert endings.ended_at_once(status, took_s).kept is kept
