"""The public list of holidays, as corrections of the built-in calendars."""

import copy
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from mdingest.calendars import check_rows, load
from mdingest.calendars.upstox import as_file, changes
from mdingest.core.session import Session
from mdingest.errors import TransientError

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
INDIA = ["NSE", "NFO", "CDS", "BSE", "BFO", "BCD"]


def at(date: str, time: str) -> int:
    return int(dt.datetime.fromisoformat(f"{date}T{time}").replace(tzinfo=IST).timestamp()) * 1_000


def opened(date: str, exchange: str, start: str, end: str) -> dict[str, Any]:
    return {"exchange": exchange, "start_time": at(date, start), "end_time": at(date, end)}


def entry(
    date: str, closed: list[str], *open_: dict[str, Any], kind: str = "TRADING_HOLIDAY"
) -> dict[str, Any]:
    return {
        "date": date,
        "description": "Some, day",
        "holiday_type": kind,
        "closed_exchanges": closed,
        "open_exchanges": list(open_),
    }


def listed(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"status": "success", "data": list(entries)}


KNOWN = entry("2026-11-10", INDIA, opened("2026-11-10", "MCX", "17:00", "23:55"))
ELECTION = entry("2026-12-02", INDIA, opened("2026-12-02", "MCX", "17:00", "23:55"))
MUHURAT = entry(
    "2026-11-08",
    [],
    *(opened("2026-11-08", exchange, "18:30", "19:30") for exchange in ("NSE", "BSE", "NFO", "BFO", "CDS")),
    kind="SPECIAL_TIMING",
)


def test_what_is_built_in_needs_no_correction() -> None:
    settlement = entry("2026-12-03", ["NSE"], kind="SETTLEMENT_HOLIDAY")
    full_day = entry("2026-12-04", [], opened("2026-12-04", "NFO", "09:15", "15:40"), kind="SPECIAL_TIMING")

    assert changes(listed(KNOWN, settlement, full_day), load()) == []


def test_a_holiday_announced_late_closes_what_it_names_and_nothing_else() -> None:
    found = changes(listed(KNOWN, ELECTION), load())

    assert [
        (c.scope, str(c.date), c.was, c.now, c.closes) for c in found if c.scope in ("NSE.EQ", "MCX.FO")
    ] == [
        ("MCX.FO", "2026-12-02", "09:00-23:55", "17:00-23:55", False),
        ("NSE.EQ", "2026-12-02", "09:15-15:30", "closed", True),
    ]
    text = as_file(
        [one.row for one in found], "https://api.example", dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
    )
    check_rows("list", text)
    book = load(fetched=("list", text))
    assert not book.day("NSE.EQ.cas", dt.date(2026, 12, 2)).windows
    assert book.day("NSE.EQ.cas", dt.date(2026, 12, 2)).known
    (evening,) = book.day("MCX.FO", dt.date(2026, 12, 2)).windows
    assert evening.session is Session.REGULAR
    assert changes(listed(KNOWN, ELECTION), book) == []


def test_muhurat_hours_take_the_place_of_provisional_and_unknown_ones() -> None:
    found = changes(listed(MUHURAT), load())

    assert {c.scope: (c.was, c.now) for c in found} == {
        **dict.fromkeys(
            ("NSE.EQ", "NSE.IDX", "NSE.FO", "BSE.EQ", "BSE.IDX", "BSE.FO"), ("18:15-19:15", "18:30-19:30")
        ),
        "NSE.CDS": ("unknown", "18:30-19:30"),
    }


def test_the_list_of_a_new_year_publishes_it_if_it_is_whole() -> None:
    dates = [f"2027-{month:02}-1{month % 3 + 1}" for month in range(1, 12)]
    weekdays = [date for date in dates if dt.date.fromisoformat(date).weekday() < 5]
    assert len(weekdays) >= 8

    whole = changes(listed(*(entry(date, ["NSE"]) for date in weekdays)), load())
    few = changes(listed(*(entry(date, ["NSE"]) for date in weekdays[:7])), load())

    book = load(
        fetched=("list", as_file([one.row for one in whole], "x", dt.datetime(2026, 12, 20, tzinfo=dt.UTC)))
    )
    assert book.valid_through("NSE.EQ.noncas") == dt.date(2027, 12, 31)
    assert book.valid_through("NSE.FO") == dt.date(2026, 12, 31)
    assert not any("known," in change.row for change in few)


def _without(key: str) -> dict[str, Any]:
    wrong = copy.deepcopy(ELECTION)
    del wrong[key]
    return wrong


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {"status": "error", "data": []},
        {"status": "success", "data": []},
        {"status": "success", "data": [KNOWN] * 201},
        listed(ELECTION, _without("date")),
        listed(ELECTION, _without("closed_exchanges")),
        listed(ELECTION, entry("2026-13-01", ["NSE"])),
        listed(ELECTION, entry("2026-12-01", ["NSE"], kind="PARTY")),
        listed(ELECTION, entry("2026-12-01", "NSE")),  # type: ignore[arg-type]
        listed(ELECTION, entry("2026-12-01", [], opened("2026-12-01", "NSE", "19:00", "18:00"))),
        listed(ELECTION, entry("2026-12-01", [], opened("2026-11-30", "NSE", "18:00", "19:00"))),
        listed(ELECTION, entry("2026-12-01", ["NSE"], opened("2026-12-01", "NSE", "18:00", "19:00"))),
        listed(ELECTION, entry("2026-12-01", [], {"exchange": "NSE", "start_time": "9:15", "end_time": 1})),
    ],
)
def test_a_list_with_anything_wrong_in_it_is_refused_whole(wrong: object) -> None:
    with pytest.raises(TransientError):
        changes(wrong, load())


def test_the_users_own_file_outranks_the_list(tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("kind,scope,date,until,what,start,end,note\nnormal,NSE.EQ,2026-12-02,,,,,\n")
    text = as_file(
        [one.row for one in changes(listed(ELECTION), load())], "x", dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
    )

    book = load(mine, fetched=("list", text))

    assert book.day("NSE.EQ.cas", dt.date(2026, 12, 2)).windows
    assert not book.day("NSE.FO", dt.date(2026, 12, 2)).windows
