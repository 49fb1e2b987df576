"""The shipped calendars, fact by fact, and the user's corrections to them."""

import datetime as dt
import subprocess
import sys
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import mdingest.calendars
from mdingest.calendars import Calendars, load, session_class_for
from mdingest.core.interval import Interval, buckets
from mdingest.core.session import SECOND_NS, Session
from mdingest.errors import ConfigError

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
HEADER = "kind,scope,date,until,what,start,end,note\n"
D = dt.date


@pytest.fixture(scope="module")
def shipped() -> Calendars:
    return load()


def corrected(folder: Path, *rows: str) -> Calendars:
    file = folder / "calendar.csv"
    file.write_text(HEADER + "\n".join(rows), encoding="utf-8")
    return load(file)


def clock(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns // SECOND_NS, IST).strftime("%H:%M")


def hours(calendars: Calendars, session_class: str, date: dt.date) -> str:
    """The windows of a known date, such as ``regular 09:15-15:30``."""
    day = calendars.day(session_class, date)
    assert day.known
    return ", ".join(f"{w.session.text} {clock(w.start_ns)}-{clock(w.end_ns)}" for w in day.windows)


def session_at(calendars: Calendars, session_class: str, date: dt.date, local: str) -> str:
    ts = dt.datetime.fromisoformat(f"{date}T{local}").replace(tzinfo=IST).timestamp()
    table = calendars.table(session_class, date, date + dt.timedelta(days=1))
    return Session(int(table.session_of(np.array([int(ts) * SECOND_NS]))[0])).text


@pytest.mark.parametrize(
    ("session_class", "date", "local", "session"),
    [
        ("NSE.EQ.cas", D(2026, 7, 31), "15:15:00", "regular"),
        ("NSE.EQ.cas", D(2026, 8, 3), "15:14:59", "regular"),
        ("NSE.EQ.cas", D(2026, 8, 3), "15:15:00", "auction"),
        ("NSE.EQ.cas", D(2026, 8, 3), "15:34:59", "auction"),
        ("NSE.EQ.cas", D(2026, 8, 3), "15:35:00", "postclose"),
        ("NSE.EQ.cas", D(2026, 8, 3), "16:00:00", "unknown"),
        ("NSE.EQ.noncas", D(2026, 8, 3), "15:29:59", "regular"),
        ("NSE.EQ.noncas", D(2026, 8, 3), "15:30:00", "postclose"),
        ("NSE.EQ.cas", D(2026, 8, 3), "09:08:00", "preopen"),
        ("NSE.EQ.cas", D(2026, 8, 3), "09:15:00", "regular"),
        ("NSE.EQ.cas", D(2026, 8, 3), "08:59:59", "unknown"),
        ("NSE.FO", D(2026, 7, 31), "15:30:00", "unknown"),
        ("NSE.FO", D(2026, 8, 3), "15:39:59", "regular"),
        ("NSE.FO", D(2026, 8, 3), "15:40:00", "unknown"),
        ("NSE.FO", D(2025, 12, 5), "09:08:00", "unknown"),
        ("NSE.FO", D(2025, 12, 8), "09:08:00", "preopen"),
        ("NSE.IDX", D(2026, 8, 3), "15:29:59", "regular"),
        ("BSE.EQ.cas", D(2026, 8, 3), "15:20:00", "auction"),
        ("BSE.FO", D(2026, 8, 3), "15:35:00", "regular"),
        ("MCX.FO", D(2026, 3, 6), "23:54:59", "regular"),
        ("MCX.FO", D(2026, 3, 9), "23:30:00", "unknown"),
        ("MCX.FO", D(2026, 11, 2), "23:30:00", "regular"),
        ("NSE.CDS", D(2026, 8, 3), "16:59:59", "regular"),
        ("always", D(2026, 8, 2), "06:00:00", "regular"),
        ("unknown", D(2026, 8, 3), "10:00:00", "unknown"),
    ],
)
def test_the_session_at_an_instant(
    shipped: Calendars, session_class: str, date: dt.date, local: str, session: str
) -> None:
    assert session_at(shipped, session_class, date, local) == session


def test_a_closing_auction_stock_trades_360_minutes_and_others_375(shipped: Calendars) -> None:
    def minutes(session_class: str, date: dt.date) -> int:
        windows = shipped.day(session_class, date).windows
        length = sum(w.end_ns - w.start_ns for w in windows if w.session is Session.REGULAR)
        return length // SECOND_NS // 60

    assert minutes("NSE.EQ.cas", D(2026, 7, 31)) == 375
    assert minutes("NSE.EQ.cas", D(2026, 8, 3)) == 360
    assert minutes("NSE.EQ.noncas", D(2026, 8, 3)) == 375
    assert minutes("NSE.FO", D(2026, 8, 3)) == 385


def test_every_published_holiday_of_2026_is_a_known_day_without_sessions(shipped: Calendars) -> None:
    published = (
        "01-15 01-26 03-03 03-26 03-31 04-03 04-14 05-01 05-28 06-26 09-14 10-02 10-20 11-10 11-24 12-25"
    )
    for session_class in ("NSE.EQ.cas", "NSE.EQ.noncas", "NSE.IDX", "NSE.FO", "BSE.EQ.cas", "BSE.FO"):
        year = shipped.table(session_class, D(2026, 1, 1), D(2027, 1, 1)).days
        closed = [d.date for d in year if not d.windows and d.date.weekday() < 5]

        assert all(d.known for d in year)
        assert " ".join(f"{date:%m-%d}" for date in closed) == published
        assert [d.date for d in year if d.windows and d.date.weekday() >= 5] == [
            D(2026, 2, 1),
            D(2026, 11, 8),
        ]


def test_every_published_holiday_of_2025_is_a_known_day_without_sessions(shipped: Calendars) -> None:
    published = "02-26 03-14 03-31 04-10 04-14 04-18 05-01 08-15 08-27 10-02 10-22 11-05 12-25"
    year = shipped.table("NSE.EQ.cas", D(2025, 1, 1), D(2026, 1, 1)).days

    closed = [d.date for d in year if not d.windows and d.date.weekday() < 5]
    assert " ".join(f"{date:%m-%d}" for date in closed) == published


def test_the_budget_sunday_is_an_ordinary_day(shipped: Calendars) -> None:
    sunday = D(2026, 2, 1)

    assert hours(shipped, "NSE.EQ.cas", sunday) == hours(shipped, "NSE.EQ.cas", D(2026, 2, 2))
    assert hours(shipped, "NSE.FO", sunday) == "preopen 09:00-09:15, regular 09:15-15:30"
    assert hours(shipped, "MCX.FO", sunday) == "regular 09:00-17:00"
    assert not shipped.day("NSE.CDS", sunday).known
    assert hours(shipped, "NSE.EQ.cas", D(2026, 2, 8)) == ""


@pytest.mark.parametrize("session_class", ["NSE.EQ.noncas", "NSE.IDX", "NSE.FO", "BSE.EQ.noncas", "BSE.FO"])
def test_cash_and_derivatives_traded_on_these_weekends_since_2015(
    shipped: Calendars, session_class: str
) -> None:
    days = shipped.table(session_class, D(2015, 1, 1), D(2027, 1, 1)).days

    assert all(day.known for day in days)
    assert [f"{day.date}" for day in days if day.date.weekday() >= 5 and day.windows] == [
        "2015-02-28", "2016-10-30", "2019-10-27", "2020-02-01", "2020-11-14", "2023-11-12", "2024-01-20",
        "2024-03-02", "2024-05-18", "2025-02-01", "2026-02-01", "2026-11-08",
    ]  # fmt: skip


def test_weekend_sessions_have_the_hours_of_their_notices(shipped: Calendars) -> None:
    for saturday in (D(2015, 2, 28), D(2020, 2, 1), D(2024, 1, 20)):
        assert hours(shipped, "NSE.FO", saturday) == "regular 09:15-15:30"
        assert hours(shipped, "BSE.EQ.cas", saturday) == hours(shipped, "BSE.EQ.cas", D(2024, 1, 19))
    assert hours(shipped, "NSE.FO", D(2016, 10, 30)) == "regular 18:30-19:30"
    assert hours(shipped, "NSE.EQ.cas", D(2019, 10, 27)) == "preopen 18:00-18:15, regular 18:15-19:15"
    for drill in (D(2024, 3, 2), D(2024, 5, 18)):
        assert hours(shipped, "NSE.FO", drill) == "regular 09:15-10:00, regular 11:30-12:30"
        assert hours(shipped, "NSE.IDX", drill).startswith(
            "preopen 09:00-09:15, regular 09:15-10:00, preopen 11:15-11:30, regular 11:30-12:30"
        )


def test_the_outage_of_2021_halted_nse_for_four_hours_and_bse_traded_on(shipped: Calendars) -> None:
    outage = D(2021, 2, 24)

    assert hours(shipped, "NSE.FO", outage) == "regular 09:15-11:40, regular 15:45-17:00"
    assert hours(shipped, "NSE.CDS", outage) == "regular 09:00-11:40, regular 15:30-17:00"
    assert hours(shipped, "BSE.EQ.noncas", outage) == "preopen 09:00-09:15, regular 09:15-17:00"
    assert hours(shipped, "BSE.CDS", outage) == "regular 09:00-17:00"


@pytest.mark.parametrize(
    ("session_class", "first", "last"),
    [
        ("NSE.EQ.cas", D(2015, 1, 1), D(2026, 12, 31)),
        ("BSE.FO", D(2015, 1, 1), D(2026, 12, 31)),
        ("NSE.CDS", D(2019, 1, 1), D(2026, 12, 31)),
        ("MCX.FO", D(2019, 1, 1), D(2026, 12, 31)),
        ("US.EQ", D(2015, 1, 1), D(2027, 12, 31)),
    ],
)
def test_each_venue_says_how_far_it_is_known(
    shipped: Calendars, session_class: str, first: dt.date, last: dt.date
) -> None:
    assert shipped.valid_through(session_class) == last
    assert shipped.day(session_class, first).known
    for beyond in (first - dt.timedelta(days=1), last + dt.timedelta(days=1)):
        assert not shipped.day(session_class, beyond).known


@pytest.mark.parametrize("year", [2017, *range(2019, 2027)])
def test_commodities_close_by_the_clocks_of_new_york(shipped: Calendars, year: int) -> None:
    new_york = ZoneInfo("America/New_York")
    closes = set()
    for day in shipped.table("MCX.FO", D(year, 1, 1), D(year + 1, 1, 1)).days:
        if day.windows and clock(day.windows[-1].end_ns) not in {"14:45", "17:00", "19:00", "19:15"}:
            noon = dt.datetime(day.date.year, day.date.month, day.date.day, 12, tzinfo=new_york)
            closes.add((bool(noon.dst()), clock(day.windows[-1].end_ns)))

    assert closes == {(True, "23:30"), (False, "23:55")}


@pytest.mark.parametrize("year", [2017, *range(2019, 2027)])
def test_commodities_have_no_morning_when_shares_have_a_holiday(shipped: Calendars, year: int) -> None:
    """The lists of two exchanges, from other sources: a date typed wrong in either stands out."""
    days = {
        name: [day for day in shipped.table(name, D(year, 1, 1), D(year + 1, 1, 1)).days if day.known]
        for name in ("MCX.FO", "NSE.FO")
    }
    known = {day.date for day in days["MCX.FO"]}

    no_morning, holidays = (
        {
            day.date
            for day in days[name]
            if day.date in known and day.date.weekday() < 5
            and not any(clock(w.start_ns) < "16:00" for w in day.windows)
        }
        for name in ("MCX.FO", "NSE.FO")
    )  # fmt: skip
    assert no_morning == holidays


def test_currency_is_closed_whenever_shares_are_and_on_a_few_days_more(shipped: Calendars) -> None:
    more = {}
    for year in range(2019, 2027):
        days = shipped.table("NSE.CDS", D(year, 1, 1), D(year + 1, 1, 1)).days
        closed = {day.date for day in days if day.known and not day.windows and day.date.weekday() < 5}
        shares = shipped.table("NSE.EQ.cas", D(year, 1, 1), D(year + 1, 1, 1)).days
        holidays = {day.date for day in shares if not day.windows and day.date.weekday() < 5}
        assert holidays <= closed
        more[year] = len(closed - holidays)

    assert more == {2019: 2, 2020: 5, 2021: 6, 2022: 3, 2023: 3, 2024: 4, 2025: 4, 2026: 4}


def test_what_no_two_sources_agree_on_is_unknown(shipped: Calendars) -> None:
    for session_class, dates in {
        "MCX.FO": "2017-10-19 2019-04-29 2019-10-21 2020-02-01 2024-01-01 2026-11-08",
        "NSE.CDS": "2020-02-01 2020-11-14 2022-02-07 2023-09-28 2023-09-29 2024-09-18 2026-02-01 2026-11-08",
    }.items():
        days = shipped.table(session_class, D(2019, 1, 1), D(2027, 1, 1)).days
        if session_class == "MCX.FO":
            days = shipped.table(session_class, D(2017, 1, 1), D(2018, 1, 1)).days + days
        assert " ".join(f"{day.date}" for day in days if not day.known) == dates
    for year, known in ((2015, []), (2018, ["2018-09-20", "2018-11-07"])):
        days = shipped.table("MCX.FO", D(year, 1, 1), D(year + 1, 1, 1)).days
        assert [f"{day.date}" for day in days if day.known] == known
    days = shipped.table("MCX.FO", D(2016, 1, 1), D(2017, 1, 1)).days
    assert [day.date for day in days if day.known] == [day.date for day in days if day.date < D(2016, 3, 24)]
    assert [hours(shipped, "MCX.FO", date) for date in (D(2016, 1, 1), D(2016, 1, 26), D(2016, 3, 7))] == [
        "regular 10:00-17:00",
        "",
        "regular 17:00-23:55",
    ]


def test_us_shares_keep_new_york_time_and_half_days(shipped: Calendars) -> None:
    def local(date: dt.date) -> str:
        day = shipped.day("US.EQ", date)
        return ", ".join(
            f"{w.session.text} "
            + "-".join(
                f"{dt.datetime.fromtimestamp(ns // SECOND_NS, ZoneInfo('America/New_York')):%H:%M}"
                for ns in (w.start_ns, w.end_ns)
            )
            for w in day.windows
        )

    full = "preopen 04:00-09:30, regular 09:30-16:00, postclose 16:00-20:00"
    assert local(D(2026, 3, 6)) == local(D(2026, 3, 9)) == full
    assert local(D(2026, 11, 27)) == "preopen 04:00-09:30, regular 09:30-13:00, postclose 13:00-17:00"
    assert local(D(2026, 11, 26)) == ""
    assert session_at(shipped, "US.EQ", D(2026, 11, 30), "20:00:00") == "regular"  # 09:30 in New York


def test_a_row_may_name_several_dates(tmp_path: Path) -> None:
    calendars = corrected(tmp_path, "closed,NSE.FO,2026-12-02  2026-12-04,,,,,")

    assert [bool(calendars.day("NSE.FO", D(2026, 12, day)).windows) for day in (2, 3, 4)] == [
        False,
        True,
        False,
    ]
    with pytest.raises(ConfigError, match=r"date must be a date like 2026-11-08, was '2026-12-02 later'"):
        corrected(tmp_path, "closed,NSE.FO,2026-12-02 later,,,,,")
    with pytest.raises(ConfigError, match="date must be a date like"):
        corrected(tmp_path, "hours,NSE.FO,2026-12-02 2026-12-03,,regular,09:15,15:30,")


def test_every_shipped_row_is_good() -> None:
    folder = Path(mdingest.calendars.__file__).parent / "data"
    files = [(file.name, file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.csv"))]

    assert Calendars(files).classes == load().classes


def test_muhurat_has_hours_of_its_own(shipped: Calendars) -> None:
    assert hours(shipped, "NSE.EQ.cas", D(2026, 11, 8)) == "preopen 18:00-18:15, regular 18:15-19:15"
    assert hours(shipped, "NSE.FO", D(2026, 11, 8)) == "regular 18:15-19:15"
    assert hours(shipped, "NSE.IDX", D(2025, 10, 21)) == "preopen 13:30-13:45, regular 13:45-14:45"
    assert not shipped.day("MCX.FO", D(2026, 11, 8)).known


def test_commodities_may_open_in_the_evening_only(shipped: Calendars) -> None:
    assert hours(shipped, "MCX.FO", D(2026, 10, 20)) == "regular 17:00-23:30"
    assert hours(shipped, "MCX.FO", D(2026, 11, 10)) == "regular 17:00-23:55"
    assert hours(shipped, "MCX.FO", D(2026, 10, 2)) == ""
    assert hours(shipped, "MCX.FO", D(2025, 3, 7)) == "regular 09:00-23:55"  # New York keeps winter time
    assert hours(shipped, "MCX.FO", D(2025, 3, 10)) == "regular 09:00-23:30"
    assert hours(shipped, "MCX.FO", D(2025, 3, 14)) == "regular 17:00-23:30"
    assert hours(shipped, "MCX.FO", D(2025, 2, 1)) == "regular 09:00-17:00"
    assert hours(shipped, "MCX.FO", D(2025, 8, 15)) == ""
    assert hours(shipped, "MCX.FO", D(2025, 10, 21)) == "regular 13:45-14:45"
    assert hours(shipped, "MCX.FO", D(2025, 10, 28)) == "regular 13:25-23:30"  # a fault in the morning


def test_commodities_opened_an_hour_later_until_2018_and_had_no_evenings_in_the_lockdown(
    shipped: Calendars,
) -> None:
    assert hours(shipped, "MCX.FO", D(2017, 3, 10)) == "regular 10:00-23:55"
    assert hours(shipped, "MCX.FO", D(2017, 8, 25)) == "regular 17:00-23:30"
    assert clock(shipped.day("MCX.FO", D(2018, 12, 28)).grid_anchor) == "10:00"
    assert hours(shipped, "MCX.FO", D(2019, 1, 1)) == "regular 09:00-17:00"
    assert hours(shipped, "MCX.FO", D(2020, 3, 27)) == "regular 09:00-23:30"
    assert hours(shipped, "MCX.FO", D(2020, 3, 30)) == "regular 09:00-17:00"
    assert hours(shipped, "MCX.FO", D(2020, 4, 6)) == ""
    assert hours(shipped, "MCX.FO", D(2020, 4, 22)) == "regular 09:00-17:00"
    assert hours(shipped, "MCX.FO", D(2020, 4, 23)) == "regular 09:00-23:30"
    assert hours(shipped, "MCX.FO", D(2020, 11, 14)) == "regular 18:15-19:15"
    assert hours(shipped, "MCX.FO", D(2024, 2, 13)) == "regular 13:00-23:55"


def test_currency_keeps_the_cash_holidays_and_adds_its_own(shipped: Calendars) -> None:
    assert hours(shipped, "NSE.CDS", D(2026, 10, 20)) == ""
    assert hours(shipped, "NSE.CDS", D(2026, 2, 19)) == ""
    assert hours(shipped, "NSE.CDS", D(2026, 2, 20)) == "regular 09:00-17:00"
    assert hours(shipped, "NSE.EQ.cas", D(2026, 2, 19)) != ""
    assert hours(shipped, "NSE.CDS", D(2025, 9, 5)) == "regular 09:00-17:00"
    assert hours(shipped, "NSE.CDS", D(2025, 9, 8)) == ""  # where the holiday of the 5th was moved
    assert hours(shipped, "BSE.CDS", D(2025, 10, 21)) == "regular 13:45-14:45"


@pytest.mark.parametrize("date", [D(2027, 1, 4), D(2027, 1, 2), D(2014, 12, 31), D(2014, 1, 1)])
def test_a_date_beyond_the_data_is_unknown_and_never_closed(shipped: Calendars, date: dt.date) -> None:
    day = shipped.day("NSE.EQ.cas", date)
    table = shipped.table("NSE.EQ.cas", date, date + dt.timedelta(days=1))

    assert not day.known
    assert table.windows_between(day.start_ns, day.end_ns, {Session.REGULAR}) == [(day.start_ns, day.end_ns)]
    assert table.trade_date_of(day.start_ns) == day.ordinal


def test_an_unknown_day_and_a_holiday_keep_the_grid_of_the_ordinary_day(shipped: Calendars) -> None:
    for date in (D(2027, 1, 4), D(2026, 1, 26)):
        day = shipped.day("NSE.EQ.cas", date)
        assert clock(day.grid_anchor) == "09:15"
        ten = np.array([day.start_ns + 10 * 3600 * SECOND_NS], dtype=np.int64)
        table = shipped.table("NSE.EQ.cas", date, date + dt.timedelta(days=1))
        assert clock(int(buckets(ten, Interval.parse("1h"), table).starts[0])) == "09:15"


def test_trade_dates_run_from_local_midnight_to_local_midnight(shipped: Calendars) -> None:
    indian, utc = shipped.day("NSE.EQ.cas", D(2026, 8, 3)), shipped.day("always", D(2026, 8, 3))

    assert dt.datetime.fromtimestamp(indian.start_ns / 1e9, dt.UTC).isoformat() == "2026-08-02T18:30:00+00:00"
    assert dt.datetime.fromtimestamp(indian.end_ns / 1e9, dt.UTC).isoformat() == "2026-08-03T18:30:00+00:00"
    assert dt.datetime.fromtimestamp(utc.start_ns / 1e9, dt.UTC).isoformat() == "2026-08-03T00:00:00+00:00"
    (window,) = utc.windows
    assert (window.start_ns, window.end_ns) == (utc.start_ns, utc.end_ns)


def test_the_next_trade_date_skips_holidays_and_takes_unknown_dates(shipped: Calendars) -> None:
    assert shipped.next_trade_date("NSE.EQ.cas", D(2026, 1, 23)) == D(2026, 1, 27)
    assert shipped.next_trade_date("NSE.EQ.cas", D(2026, 1, 30)) == D(2026, 2, 1)
    assert shipped.next_trade_date("NSE.EQ.cas", D(2026, 12, 31)) == D(2027, 1, 1)
    assert shipped.next_trade_date("NSE.EQ.cas", D(2027, 1, 1)) == D(2027, 1, 2)
    assert shipped.next_trade_date("always", D(2026, 1, 31)) == D(2026, 2, 1)


def test_a_calendar_says_how_far_it_reaches(shipped: Calendars) -> None:
    assert shipped.valid_through("NSE.EQ.cas") == D(2026, 12, 31)
    assert shipped.valid_through("unknown") is None
    assert shipped.zone("NSE.FO").key == "Asia/Kolkata"
    assert shipped.zone("always").key == "UTC"


def test_an_unknown_class_names_the_known_ones(shipped: Calendars) -> None:
    with pytest.raises(ConfigError, match=r"one of BSE.CDS, .*NSE.EQ.cas, .*always, unknown, was 'NSE.EQ'"):
        shipped.day("NSE.EQ", D(2026, 8, 3))


def test_every_class_has_a_sound_table_for_every_year(shipped: Calendars) -> None:
    for session_class in shipped.classes:
        table = shipped.table(session_class, D(2024, 12, 1), D(2027, 2, 1))  # SessionTable checks it
        assert len(table.days) == 792


def test_an_override_opens_a_saturday(tmp_path: Path) -> None:
    saturday = D(2026, 12, 5)
    calendars = corrected(
        tmp_path, "normal,NSE.EQ,2026-12-05,,,,,drill", "special,NSE.FO,2026-12-05,,regular,10:00,11:00,"
    )

    assert hours(calendars, "NSE.EQ.cas", saturday) == hours(calendars, "NSE.EQ.cas", D(2026, 12, 4))
    assert hours(calendars, "NSE.FO", saturday) == "regular 10:00-11:00"
    assert hours(calendars, "NSE.IDX", saturday) == ""


def test_an_override_outranks_what_is_shipped_even_with_a_shorter_scope(tmp_path: Path) -> None:
    calendars = corrected(
        tmp_path,
        "special,NSE,2026-11-08,,regular,18:00,19:00,Muhurat as announced",
        "closed,NSE BSE,2026-12-02,,,,,",
        "normal,MCX.FO,2026-10-02,,,,,not a holiday after all",
    )

    assert hours(calendars, "NSE.EQ.cas", D(2026, 11, 8)) == "regular 18:00-19:00"
    assert hours(calendars, "BSE.EQ.cas", D(2026, 11, 8)) == "preopen 18:00-18:15, regular 18:15-19:15"
    assert hours(calendars, "BSE.FO", D(2026, 12, 2)) == ""
    assert hours(calendars, "MCX.FO", D(2026, 10, 2)) == "regular 09:00-23:30"


def test_what_one_is_told_the_others_do_not_hear(tmp_path: Path) -> None:
    """The shipped files are read once for all."""
    before, day = load(), D(2026, 12, 2)
    closed = corrected(tmp_path, "closed,NSE.FO,2026-12-02,,,,,", "class,XX.EQ,,,Asia/Kolkata,Mon,Fri,")
    lent = before.ordinary("NSE.FO")
    lent[0].clear()
    became = load()
    became.become(closed)

    for other in (before, load()):
        assert hours(other, "NSE.FO", day) == "preopen 09:00-09:15, regular 09:15-15:40"
        assert "XX.EQ" not in other.classes
        assert all(other.ordinary("NSE.FO"))
    for other in (closed, became):
        assert hours(other, "NSE.FO", day) == ""
        assert "XX.EQ" in other.classes


@pytest.mark.parametrize("order", [1, -1])
def test_within_a_file_the_longer_scope_wins_in_any_order(tmp_path: Path, order: int) -> None:
    rows = [
        "special,NSE,2026-12-05,,regular,10:00,11:00,",
        "special,NSE.EQ.cas,2026-12-05,,regular,12:00,13:00,",
    ]

    calendars = corrected(tmp_path, *rows[::order])

    assert hours(calendars, "NSE.EQ.cas", D(2026, 12, 5)) == "regular 12:00-13:00"
    assert hours(calendars, "NSE.EQ.noncas", D(2026, 12, 5)) == "regular 10:00-11:00"


def test_an_override_changes_the_ordinary_hours_from_a_date_on(tmp_path: Path) -> None:
    calendars = corrected(tmp_path, "hours,NSE.FO,2026-12-07,,regular,09:15,15:45,")

    assert hours(calendars, "NSE.FO", D(2026, 12, 4)) == "preopen 09:00-09:15, regular 09:15-15:40"
    assert hours(calendars, "NSE.FO", D(2026, 12, 7)) == "regular 09:15-15:45"
    assert hours(calendars, "BSE.FO", D(2026, 12, 7)) == "preopen 09:00-09:15, regular 09:15-15:40"


def test_the_rows_held_ready_for_december_2026_can_be_taken_as_they_stand(
    tmp_path: Path,
) -> None:
    shipped_file = Path(mdingest.calendars.__file__).parent / "data" / "india.csv"
    lines = shipped_file.read_text(encoding="utf-8").splitlines()
    ready = [line.removeprefix("#   ") for line in lines if line.startswith("#   hours,")]
    calendars = corrected(tmp_path, *ready)

    assert hours(calendars, "NSE.EQ.cas", D(2026, 12, 4)) == (
        "preopen 09:00-09:15, regular 09:15-15:15, auction 15:15-15:35, postclose 15:35-16:00"
    )
    assert hours(calendars, "BSE.EQ.cas", D(2026, 12, 7)) == (
        "preopen 09:00-09:15, regular 09:15-15:30, auction 15:30-15:40, postclose 15:40-16:00"
    )
    assert hours(calendars, "NSE.FO", D(2026, 12, 7)) == "preopen 09:00-09:15, regular 09:15-15:45"
    assert hours(calendars, "NSE.EQ.noncas", D(2026, 12, 7)) == hours(
        calendars, "NSE.EQ.noncas", D(2026, 12, 4)
    )


def test_an_override_publishes_another_year(tmp_path: Path) -> None:
    calendars = corrected(tmp_path, "known,NSE.EQ,2027-01-01,2027-12-31,,,,", "closed,NSE,2027-01-26,,,,,")

    assert hours(calendars, "NSE.EQ.cas", D(2027, 1, 4)) == hours(calendars, "NSE.EQ.cas", D(2026, 12, 31))
    assert hours(calendars, "NSE.EQ.cas", D(2027, 1, 26)) == ""
    assert calendars.valid_through("NSE.EQ.cas") == D(2027, 12, 31)
    assert not calendars.day("NSE.FO", D(2027, 1, 4)).known


def test_a_date_that_is_named_beyond_the_data_is_known(tmp_path: Path) -> None:
    calendars = corrected(tmp_path, "closed,NSE,2027-01-26,,,,,")

    assert hours(calendars, "NSE.FO", D(2027, 1, 26)) == ""
    assert not calendars.day("NSE.FO", D(2027, 1, 27)).known


def test_an_override_declares_a_class_whose_zone_has_summer_time(tmp_path: Path) -> None:
    calendars = corrected(
        tmp_path,
        "class,XNYS,,,America/New_York,Mon,Fri,",
        "known,XNYS,2026-01-01,2026-12-31,,,,",
        "hours,XNYS,2026-01-01,,regular,09:30,16:00,",
    )

    opens = [calendars.day("XNYS", date).regular_open for date in (D(2026, 3, 6), D(2026, 3, 9))]
    assert [dt.datetime.fromtimestamp(ns / 1e9, dt.UTC).hour for ns in opens] == [14, 13]
    short = calendars.day("XNYS", D(2026, 3, 8))
    assert (short.end_ns - short.start_ns) // SECOND_NS == 23 * 3600
    calendars.table("XNYS", D(2026, 1, 1), D(2027, 1, 1))


def test_the_rows_of_the_example_file_are_good_ones(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "config" / "calendar.example.csv"
    text = example.read_text(encoding="utf-8")
    assert load(example).classes == load().classes
    uncommented = [
        line[1:] for line in text.splitlines() if line.startswith("#") and "," in line.split(" ")[0]
    ]

    calendars = corrected(tmp_path, *uncommented)

    assert len(uncommented) == 9
    assert hours(calendars, "NSE.EQ.cas", D(2026, 12, 2)) == ""
    assert hours(calendars, "XNYS", D(2026, 12, 2)) != ""


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("holiday,NSE,2026-12-02,,,,,", "kind must be one of class, known, hours, closed, .* was 'holiday'"),
        ("closed,NSE,2026-13-02,,,,,", "date must be a date that exists, was '2026-13-02'"),
        ("closed,NSE,2.12.2026,,,,,", "date must be a date like 2026-11-08, was '2.12.2026'"),
        ("closed,NSE,,,,,,", "a closed row needs date"),
        ("closed,NSE,2026-12-02,,regular,,,", "a closed row has no what, was 'regular'"),
        ("closed,NSE,2026-12-02", "a row has 8 fields, this one 3"),
        ("closed,NSX,2026-12-02,,,,,", "no session class is or begins with 'NSX' of BSE.CDS, "),
        ("closed,NSE.E,2026-12-02,,,,,", "no session class is or begins with 'NSE.E'"),
        ("closed,NSE;BSE,2026-12-02,,,,,", "scope must look like NSE or NSE.EQ.cas, was 'NSE;BSE'"),
        ("closed,NSE,2026-12-02,,,,,\nnormal,NSE,2026-12-02,,,,,", "2026-12-02 is already closed by .*:2"),
        ("closed,NSE,2026-12-02,,,,,\nclosed,NSE,2026-12-02,,,,,", "2026-12-02 is already closed by .*:2"),
        (
            "special,NSE,2026-12-02,,regular,9:15,15:30,",
            "start must be a time from 00:00 to 24:00, was '9:15'",
        ),
        ("special,NSE,2026-12-02,,regular,09:15,24:01,", "end must be a time .* was '24:01'"),
        ("special,NSE,2026-12-02,,regular,18:00,02:00,", "end must lie after start on the same day"),
        ("special,NSE,2026-12-02,,lunch,09:15,15:30,", "session must be one of .* was 'lunch'"),
        ("special,NSE,2026-12-02,,unknown,09:15,15:30,", "what must be a session"),
        (
            "special,NSE,2026-12-02,,regular,09:15,12:00,\nspecial,NSE,2026-12-02,,regular,11:00,13:00,",
            "a window of 2026-12-02 overlaps another one",
        ),
        ("known,NSE,2027-12-31,2027-01-01,,,,", "until must not lie before date, was 2027-01-01"),
        ("class,A B,,,UTC,Mon,Fri,", "a class row declares one class"),
        ("class,A,,,Asia/Nowhere,Mon,Fri,", "what must be a time zone like Asia/Kolkata, was 'Asia/Nowhere'"),
        ("class,A,,,Asia,Mon,Fri,", "what must be a time zone"),
        ("class,A,,,../etc,Mon,Fri,", "what must be a time zone"),
        ("class,A,,,UTC,Mo,Fri,", "start must be one of Mon, Tue, .* was 'Mo'"),
        ("class,A,,,UTC,Fri,Mon,", "end must not be a weekday before start, was Mon"),
        ("normal,NSE,2014-12-06,,,,,", "NSE.IDX has no ordinary hours on 2014-12-06"),
        ('closed,"NSE,2026-12-02,,,,,', "unexpected end of data"),
    ],
)
def test_a_bad_row_is_refused_with_file_line_and_what_would_be_right(
    tmp_path: Path, row: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        corrected(tmp_path, row)

    last = 2 + row.count("\n")
    assert str(caught.value).startswith(f"{tmp_path / 'calendar.csv'}:{last}: ")


def test_every_bad_row_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        corrected(tmp_path, "closed,NSE,nonsense,,,,,", "# a comment", "", "closed,NSX,2026-12-02,,,,,")

    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        f"{tmp_path / 'calendar.csv'}:{number}" for number in (2, 5)
    ]


def test_a_file_without_the_header_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("date,name\n2026-12-02,holiday\n", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"mine.csv:1: the first row must be kind,scope,date,"):
        load(file)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match=r"nowhere.csv: can't be read"):
        load(tmp_path / "nowhere.csv")
    with pytest.raises(ConfigError, match=r"binary.csv: can't be read"):
        load(binary)
    with pytest.raises(ConfigError, match=r"can't be read"):
        load(tmp_path)


def test_a_spreadsheet_may_have_saved_the_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(f"\ufeff{HEADER}closed,NSE,2026-12-02,,,,,\n".replace("\n", "\r\n"), encoding="utf-8")

    assert hours(load(file), "NSE.FO", D(2026, 12, 2)) == ""


@pytest.mark.parametrize(
    ("exchange", "segment", "kind", "has_derivatives", "session_class"),
    [
        ("NSE", "NSE", "EQ", True, "NSE.EQ.cas"),
        ("NSE", "NSE", "EQ", False, "NSE.EQ.noncas"),
        ("BSE", "BSE", "EQ", True, "BSE.EQ.cas"),
        ("NSE", "INDICES", "EQ", True, "NSE.IDX"),
        ("BSE", "INDICES", "EQ", False, "BSE.IDX"),
        ("NFO", "NFO-FUT", "FUT", True, "NSE.FO"),
        ("NFO", "NFO-OPT", "CE", True, "NSE.FO"),
        ("BFO", "BFO-OPT", "PE", True, "BSE.FO"),
        ("CDS", "CDS-FUT", "FUT", False, "NSE.CDS"),
        ("BCD", "BCD-FUT", "FUT", False, "BSE.CDS"),
        ("MCX", "MCX-FUT", "FUT", False, "MCX.FO"),
        ("NASDAQ", "NASDAQ", "EQ", False, "US.EQ"),
        ("BINANCE", "SPOT", "SPOT", False, "always"),
        ("GLOBAL", "INDICES", "EQ", False, "unknown"),
    ],
)
def test_the_session_class_follows_from_the_instrument_list(
    shipped: Calendars, exchange: str, segment: str, kind: str, *, has_derivatives: bool, session_class: str
) -> None:
    found = session_class_for(exchange, segment, kind, has_derivatives=has_derivatives)

    assert found == session_class
    assert found in shipped.classes


def test_a_table_is_made_once_and_anew_when_the_calendars_become_others(tmp_path: Path) -> None:
    shipped, week = load(), (D(2026, 10, 5), D(2026, 10, 12))
    before = shipped.table("NSE.FO", *week)
    assert shipped.table("NSE.FO", *week) is before
    shipped.become(corrected(tmp_path, "closed,NSE,2026-10-06,,,,,A strike"))
    assert [bool(day.windows) for day in shipped.table("NSE.FO", *week).days][:3] == [True, False, True]


def test_loading_is_cheap() -> None:
    load()  # warms the zone database
    fastest = min(_timed_load() for _ in range(5))

    assert fastest < 0.02


def _timed_load() -> float:
    begun = time.process_time()
    load()
    return time.process_time() - begun


def test_loading_brings_in_no_heavy_library() -> None:
    code = (
        "import sys, mdingest.calendars as c; c.load(); "
        "print({'yaml', 'pydantic', 'pandas', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
