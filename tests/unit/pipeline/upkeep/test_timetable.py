"""When something is due: the exchange's clock, its trading days, and nothing else."""

import datetime as dt
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdingest.pipeline.upkeep.schedule import MOST_ATTEMPTS, due_now
from mdingest.pipeline.upkeep.timetable import Daily
from mdingest.store.base import Run
from tests.support.history import BOOK

S = 1_000_000_000
NSE, US = "NSE.EQ.cas", "US"


def daily(session_class: str = NSE, at: str = "16:15") -> Daily:
    zone = BOOK.zone(session_class)
    return Daily(dt.time.fromisoformat(at), zone, partial(BOOK.day, session_class))


def utc(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).timestamp()) * S


@pytest.mark.parametrize(
    ("now", "last", "following"),
    [
        ("2026-11-20T16:14:59+05:30", "2026-11-19T16:15:00+05:30", "2026-11-20T16:15:00+05:30"),
        ("2026-11-20T16:15:00+05:30", "2026-11-20T16:15:00+05:30", "2026-11-23T16:15:00+05:30"),
        # a weekend, and Christmas before one
        ("2026-11-22T12:00:00+05:30", "2026-11-20T16:15:00+05:30", "2026-11-23T16:15:00+05:30"),
        ("2026-12-25T17:00:00+05:30", "2026-12-24T16:15:00+05:30", "2026-12-28T16:15:00+05:30"),
    ],
)
def test_it_is_due_on_trading_days_by_the_clock_of_the_exchange(now: str, last: str, following: str) -> None:
    assert daily().last(utc(now)) == utc(last)
    assert daily().next(utc(now)) == utc(following)


def test_a_zone_with_summer_time_is_followed() -> None:
    new_york = Daily(dt.time(16, 15), ZoneInfo("America/New_York"), partial(BOOK.day, "always"))

    assert new_york.last(utc("2026-07-01T23:00:00Z")) == utc("2026-07-01T20:15:00Z")
    assert new_york.last(utc("2026-12-01T23:00:00Z")) == utc("2026-12-01T21:15:00Z")


def test_beyond_the_published_calendar_every_day_may_trade() -> None:
    """And the date before in the zone of the exchange is today's elsewhere."""
    assert daily().last(utc("2031-01-04T12:00:00Z")) == utc("2031-01-04T10:45:00Z")
    assert daily().date_of(utc("2026-11-19T20:00:00Z")) == dt.date(2026, 11, 20)


@given(
    now_s=st.integers(utc("2026-01-01T00:00:00Z") // S, utc("2026-12-20T00:00:00Z") // S),
    session_class=st.sampled_from([NSE, "always"]),
    at=st.times().map(lambda time: f"{time:%H:%M}"),
)
def test_between_the_last_and_the_next_it_is_never_due(now_s: int, session_class: str, at: str) -> None:
    it = daily(session_class, at)
    last, following = it.last(now_s * S), it.next(now_s * S)
    assert last is not None
    assert following is not None
    assert last <= now_s * S < following
    assert it.next(last) == following
    assert it.last(following) == following
    assert it.last(following - 1) == last


def test_what_never_ran_has_missed_one() -> None:
    now = utc("2026-11-22T12:00:00+05:30")
    assert due_now(daily(), None, now) == utc("2026-11-20T16:15:00+05:30")


def test_each_instant_counts_once_and_after_a_week_away_only_the_last_one() -> None:
    due = utc("2026-11-13T16:15:00+05:30")
    done = Run("x", due, due + 60 * S, failed=False)

    assert due_now(daily(), done, due + 3_600 * S) is None
    assert due_now(daily(), done, utc("2026-11-22T12:00:00+05:30")) == utc("2026-11-20T16:15:00+05:30")


def test_a_failure_is_tried_again_later_and_later_and_then_the_next_day() -> None:
    due = utc("2026-11-19T16:15:00+05:30")
    for attempts in range(1, MOST_ATTEMPTS):
        run = Run("x", due, due + 60 * S, failed=True, attempts=attempts)
        wait_s = 600 * 2 ** (attempts - 1)
        assert due_now(daily(), run, run.ended_ns + wait_s * S - 1) is None
        assert due_now(daily(), run, run.ended_ns + wait_s * S) == due
    given_up = Run("x", due, due + 60 * S, failed=True, attempts=MOST_ATTEMPTS)
    assert due_now(daily(), given_up, due + 20 * 3_600 * S) is None
    assert due_now(daily(), given_up, due + 86_400 * S) == due + 86_400 * S


def test_a_clock_that_was_set_back_repeats_nothing() -> None:
    due = utc("2026-11-19T16:15:00+05:30")
    assert due_now(daily(), Run("x", due, due, failed=True, attempts=1), due - 86_400 * S) is None
