"""The public timings of single dates, as corrections of the built-in calendars."""

import datetime as dt
from typing import Any

import pytest

from mdingest.calendars import check_rows, load
from mdingest.calendars.timings import NOTE, kept, learnt
from mdingest.calendars.upstox import as_file
from mdingest.core.session import Session
from mdingest.errors import TransientError
from tests.unit.calendars.test_upstox_list import opened

FRIDAY, SATURDAY, SUNDAY, MONDAY = (dt.date(2026, 12, day) for day in (4, 5, 6, 7))
ORDINARY = {
    "NSE": ("09:15", "15:30"), "BSE": ("09:15", "15:30"),
    "NFO": ("09:15", "15:40"), "BFO": ("09:15", "15:40"),
    "CDS": ("09:00", "17:00"), "BCD": ("09:00", "17:00"), "MCX": ("09:00", "23:55"),
}  # fmt: skip


def timings(date: dt.date, **others: tuple[str, str] | None) -> dict[str, Any]:
    """An ordinary day but for some exchanges."""
    hours = {name: times for name, times in (ORDINARY | others).items() if times is not None}
    return {"status": "success", "data": [opened(str(date), name, *times) for name, times in hours.items()]}


def only(date: dt.date, **hours: tuple[str, str]) -> dict[str, Any]:
    return timings(date, **(dict.fromkeys(ORDINARY) | hours))


@pytest.mark.parametrize("end", ["15:15", "15:30", "15:35", "16:00"])
def test_an_ordinary_week_needs_no_correction_whichever_close_is_meant(end: str) -> None:
    week = {date: timings(date, NSE=("09:15", end)) for date in (FRIDAY, MONDAY)}
    week |= {date: only(date) for date in (SATURDAY, SUNDAY)}

    assert learnt(week, load()) == ([], [])


def test_a_session_on_a_saturday_is_learnt_with_all_that_belongs_to_it() -> None:
    drill = only(SATURDAY, NSE=("09:15", "15:30"), NFO=("09:15", "12:00"))

    found, doubts = learnt({SATURDAY: drill, SUNDAY: only(SUNDAY)}, load())

    assert [(one.scope, one.was, one.now) for one in found] == [
        ("NSE.EQ", "closed", "09:15-15:30"),
        ("NSE.IDX", "closed", "09:15-15:30"),
        ("NSE.FO", "closed", "09:15-12:00"),
    ]
    assert not doubts
    text = as_file([one.row for one in found], "x", dt.datetime(2026, 12, 1, tzinfo=dt.UTC))
    check_rows("list", text)
    book = load(fetched=("list", text))
    sessions = [window.session for window in book.day("NSE.EQ.cas", SATURDAY).windows]
    assert sessions == [Session.PREOPEN, Session.REGULAR, Session.AUCTION, Session.POSTCLOSE]
    (short,) = book.day("NSE.FO", SATURDAY).windows
    assert (short.end_ns - short.start_ns) // 60_000_000_000 == 165
    assert not book.day("BSE.EQ.cas", SATURDAY).windows


def test_hours_that_change_are_learnt_and_a_year_beyond_the_calendars_opens_day_by_day() -> None:
    late = timings(FRIDAY, NSE=("10:15", "15:30"))
    new_year = dt.date(2027, 1, 4)

    found, doubts = learnt({FRIDAY: late, new_year: timings(new_year)}, load())

    rows = {(one.scope, one.date): one for one in found}
    assert (rows["NSE.EQ", FRIDAY].was, rows["NSE.EQ", FRIDAY].now) == ("09:15-15:30", "10:15-15:30")
    assert rows["NSE.EQ", new_year].row.startswith("normal,NSE.EQ,2027-01-04")
    assert ("BSE.EQ", FRIDAY) not in rows
    assert not doubts


@pytest.mark.parametrize(
    ("says", "doubt"),
    [
        ({FRIDAY: timings(FRIDAY, NFO=("09:15", "15:30"))}, "15:30 there, as it was once"),  # till July
        ({FRIDAY: only(FRIDAY, MCX=("09:00", "23:55"))}, "not open there"),
        ({SATURDAY: timings(SATURDAY), SUNDAY: timings(SUNDAY)}, "the same of any date"),
    ],
)
def test_what_looks_wrong_is_told_and_not_taken(says: dict[dt.date, object], doubt: str) -> None:
    found, doubts = learnt(says, load())

    assert found == []
    assert doubt in doubts[0]


def test_of_what_the_list_of_holidays_speaks_nothing_is_changed() -> None:
    evening = only(SATURDAY, NSE=("18:00", "19:00"))

    found, _ = learnt({SATURDAY: evening}, load(), {("NSE.EQ", SATURDAY), ("NSE.IDX", SATURDAY)})

    assert found == []


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"status": "error", "data": []},
        {"status": "success", "data": {}},
        {"status": "success", "data": [{"exchange": "NSE"}]},
        {"status": "success", "data": [opened("2026-12-03", "NSE", "09:15", "15:30")]},  # another date
        {"status": "success", "data": [opened("2026-12-04", "NSE", "15:30", "09:15")]},
        {"status": "success", "data": [opened("2026-12-04", "NSE", "09:15", "15:30")] * 2},
        {"status": "success", "data": [None] * 51},
    ],
)
def test_what_is_not_as_documented_is_refused_whole(document: object) -> None:
    with pytest.raises(TransientError):
        learnt({FRIDAY: document}, load())


def test_what_was_learnt_of_a_date_stays_when_the_date_is_over() -> None:
    past, ahead = (
        f"special,NSE.EQ,2026-11-28,,regular,09:15,12:00,{NOTE}",
        f"normal,NSE.EQ,{SATURDAY},,,,,{NOTE}",
    )
    rows = [past, ahead, "closed,NSE.EQ,2026-12-02,,,,,election", f"normal,NSE.EQ,2024-03-02,,,,,{NOTE}"]

    since = (
        dt.date(2025, 1, 1),
        dt.date(2026, 12, 2),
    )  # what the list said of today is the list's to say again
    assert kept(rows, *since, [], ()) == [past, ahead]
    assert kept(rows, *since, [SATURDAY], ()) == [past]  # asked again: it says so, or not
    assert kept(rows, *since, [], {("NSE.EQ", dt.date(2026, 11, 28))}) == [ahead]


def test_what_a_list_said_of_another_year_stays_and_what_it_took_back_does_not() -> None:
    late, today = "closed,NSE.EQ,2026-11-20,,,,,election", dt.date(2027, 1, 4)
    rows = [late, "class,NSE.X,,,,,,by hand"]
    since = dt.date(2025, 12, 1)

    assert kept(rows, since, today, [], {("NSE.EQ", dt.date(2027, 1, 26))}) == [late]
    assert kept(rows, since, today, [], {("NSE.EQ", dt.date(2026, 12, 25))}) == []
