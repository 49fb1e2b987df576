"""For how long a session has been on, by calendar and clock."""

import datetime as dt
from dataclasses import dataclass

import pytest

from mdingest.calendars import load
from mdingest.core.session import SessionTable, TradeDay
from mdingest.pipeline.hours import OpenHours
from mdingest.telemetry.clock import Clock
from tests.support.fake_reader import at

CASH, FUTURES, ALWAYS = "NSE.EQ.cas", "NSE.FO", "always"


@dataclass(frozen=True)
class Fixed(Clock):
    """Stands at an instant, at some speed."""

    now_ns: int = 0

    def wall_ns(self) -> int:
        return self.now_ns


def regular_s(text: str, *classes: str, date: str = "2026-11-20", speed: float = 1.0) -> float:
    return OpenHours(Fixed(now_ns=at(text, date), speed=speed), load(None).table).regular_s(classes)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("09:14:59", 0), ("09:15:00", 0), ("09:15:20", 20), ("15:14:59", 21_599), ("15:15:01", 0)],
)
def test_it_counts_from_the_opening_and_ends_at_the_close(text: str, seconds: float) -> None:
    assert regular_s(text, CASH) == seconds


def test_the_longest_of_several_counts_and_a_fast_clock_is_told_in_real_time() -> None:
    assert regular_s("15:20:00", CASH) == 0
    assert regular_s("15:20:00", CASH, FUTURES) == regular_s("15:20:00", FUTURES) > 20_000
    assert regular_s("09:16:00", CASH, speed=60) == 1
    assert regular_s("03:00:00", ALWAYS) > 3_600
    assert regular_s("03:00:00") == 0


def test_a_holiday_is_closed_and_a_day_that_nobody_knows_may_be_open() -> None:
    assert regular_s("10:00:00", CASH, date="2026-11-24") == 0  # Guru Nanak Jayanti
    assert regular_s("10:00:00", CASH, date="2026-11-21") == 0  # Saturday
    assert regular_s("10:00:00", CASH, date="2031-06-04") > 3_600


def test_a_holiday_that_is_learnt_of_during_the_day_is_closed_from_then_on() -> None:
    holiday = False

    def table(name: str, start: dt.date, end: dt.date) -> SessionTable:
        known = load(None).table(name, start, end)
        if not holiday:
            return known
        return SessionTable([TradeDay(day.date, day.start_ns, day.end_ns, known=True) for day in known.days])

    hours = OpenHours(Fixed(now_ns=at("10:00:00")), table)
    assert hours.regular_s([CASH]) == 2_700
    holiday = True
    assert hours.regular_s([CASH]) == 0
