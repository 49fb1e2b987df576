"""The shipped calendars beside two packages, with every difference named and explained by hand.

They are imported where they are used: every worker collects this file, and one runs it.
"""

import datetime as dt
from functools import cache

import pytest

from mdingest.calendars import Calendars, load
from mdingest.core.session import Session

# of pandas 4, about what the packages do inside
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated")

D = dt.date
FIRST, LAST = D(2015, 1, 1), D(2026, 12, 31)

WEEKENDS = {  # neither package can hold a session on a Saturday or Sunday
    D(2015, 2, 28): "Union Budget",
    D(2016, 10, 30): "Muhurat",
    D(2019, 10, 27): "Muhurat",
    D(2020, 2, 1): "Union Budget",
    D(2020, 11, 14): "Muhurat",
    D(2023, 11, 12): "Muhurat",
    D(2024, 1, 20): "an ordinary day on a Saturday",
    D(2024, 3, 2): "disaster recovery drill",
    D(2024, 5, 18): "disaster recovery drill",
    D(2025, 2, 1): "Union Budget",
    D(2026, 2, 1): "Union Budget",
    D(2026, 11, 8): "Muhurat",
}
MUHURAT_ON_WEEKDAYS = {
    D(2015, 11, 11), D(2017, 10, 19), D(2018, 11, 7), D(2021, 11, 4), D(2022, 10, 24), D(2024, 11, 1),
    D(2025, 10, 21),
}  # fmt: skip
OF_BSE = {
    D(2020, 5, 25): "its BSE has a session on Id-ul-Fitr; its NSE and exchange_calendars have none",
    D(2020, 7, 31): "its BSE is closed on Bakri Id, which was on 2020-08-01; the two others trade",
}


@pytest.fixture(scope="module")
def shipped() -> Calendars:
    return load()


def trading(calendars: Calendars, session_class: str, first: dt.date, last: dt.date) -> set[dt.date]:
    """Dates with sessions, or that may have some."""
    days = calendars.table(session_class, first, last + dt.timedelta(days=1)).days
    return {day.date for day in days if day.windows or not day.known}


@cache
def theirs(name: str, first: dt.date = FIRST, last: dt.date = LAST) -> dict[dt.date, list[tuple[int, int]]]:
    """What pandas_market_calendars says: trading dates to their stretches in UTC ns."""
    import pandas_market_calendars

    schedule = pandas_market_calendars.get_calendar(name).schedule(str(first), str(last), interruptions=True)
    found = {}
    for row in schedule.itertuples():
        times = [t.value for t in row[1:] if t == t]  # noqa: PLR0124 - a missing time is unlike itself
        found[row.Index.date()] = list(zip(*[iter(sorted(times))] * 2, strict=True))
    return found


def regular(calendars: Calendars, session_class: str, date: dt.date) -> list[tuple[int, int]]:
    windows = calendars.day(session_class, date).windows
    return [(w.start_ns, w.end_ns) for w in windows if w.session is Session.REGULAR]


@pytest.mark.parametrize("session_class", ["NSE.EQ.cas", "NSE.EQ.noncas", "NSE.IDX", "NSE.FO"])
def test_nse_trades_on_the_dates_that_pandas_market_calendars_has(
    shipped: Calendars, session_class: str
) -> None:
    assert trading(shipped, session_class, FIRST, LAST) ^ set(theirs("NSE")) == set(WEEKENDS)


def test_nse_trades_at_the_hours_that_pandas_market_calendars_has(shipped: Calendars) -> None:
    differing = [
        date for date, spans in theirs("NSE").items() if regular(shipped, "NSE.EQ.noncas", date) != spans
    ]

    assert differing == []


def test_the_closing_auction_is_the_only_difference_of_its_stocks(shipped: Calendars) -> None:
    """The package does not know the closing auction: its day ends at 15:30, ours at 15:15."""
    differing = {
        date for date, spans in theirs("NSE").items() if regular(shipped, "NSE.EQ.cas", date) != spans
    }

    assert differing == {date for date in theirs("NSE") if date >= D(2026, 8, 3)}


def test_bse_trades_on_the_dates_that_pandas_market_calendars_has(shipped: Calendars) -> None:
    """Its BSE also lacks the Muhurat sessions on weekdays since 2021."""
    recent = {date for date in MUHURAT_ON_WEEKDAYS if date.year >= 2021}

    assert (
        trading(shipped, "BSE.EQ.noncas", FIRST, LAST) ^ set(theirs("BSE"))
        == set(WEEKENDS) | set(OF_BSE) | recent
    )


def test_exchange_calendars_has_the_same_dates_but_for_muhurat(shipped: Calendars) -> None:
    import exchange_calendars

    sessions = exchange_calendars.get_calendar("XBOM", start=str(FIRST), end=str(LAST)).sessions

    assert trading(shipped, "NSE.EQ.cas", FIRST, LAST) ^ {day.date() for day in sessions} == (
        set(WEEKENDS) | MUHURAT_ON_WEEKDAYS
    )


def test_us_shares_trade_at_the_hours_that_pandas_market_calendars_has(shipped: Calendars) -> None:
    last = D(2027, 12, 31)
    found = theirs("NYSE", last=last)

    assert trading(shipped, "US.EQ", FIRST, last) == set(found)
    assert [date for date, spans in found.items() if regular(shipped, "US.EQ", date) != spans] == []
