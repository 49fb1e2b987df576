"""Candle lengths, and where their buckets begin and end."""

import datetime as dt
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdingest.core.interval import (
    DAY,
    MINUTE,
    SECOND,
    STORED,
    WEEK,
    Interval,
    bucket_starts,
    buckets,
)
from mdingest.core.session import DAY_NS, SECOND_NS, Session, SessionTable, TradeDay, Window, always_open

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
MONDAY = dt.date(2026, 11, 16)
MINUTE_NS = 60 * SECOND_NS


def ist(date: dt.date, clock: str) -> int:
    hour, minute = map(int, clock.split(":"))
    local = dt.datetime(date.year, date.month, date.day, tzinfo=IST) + dt.timedelta(
        hours=hour, minutes=minute
    )
    return int(local.timestamp()) * SECOND_NS


def nse(
    date: dt.date, *windows: tuple[Session, str, str], known: bool = True, anchor: str | None = None
) -> TradeDay:
    return TradeDay(
        date,
        ist(date, "0:00"),
        ist(date, "24:00"),
        known,
        tuple(Window(s, ist(date, a), ist(date, b)) for s, a, b in windows),
        None if anchor is None else ist(date, anchor),
    )


CAS_DAY = (
    (Session.PREOPEN, "9:00", "9:15"),
    (Session.REGULAR, "9:15", "15:15"),
    (Session.AUCTION, "15:15", "15:35"),
    (Session.POSTCLOSE, "15:35", "16:00"),
)
PLAIN_DAY = (
    (Session.PREOPEN, "9:00", "9:15"),
    (Session.REGULAR, "9:15", "15:30"),
    (Session.POSTCLOSE, "15:30", "16:00"),
)


def found(table: SessionTable, interval: str, *clocks: str, date: dt.date = MONDAY) -> list[tuple[str, str]]:
    """Bucket names and ends as local clock times."""
    ts = np.array([ist(date, clock) for clock in clocks], dtype=np.int64)
    of = Interval.parse(interval)
    pairs = zip(bucket_starts(ts, of, table), buckets(ts, of, table).ends, strict=True)
    return [(clock_of(a), clock_of(b)) for a, b in pairs]


def clock_of(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns // SECOND_NS, IST).strftime("%H:%M")


@pytest.mark.parametrize(
    ("text", "seconds", "name"),
    [
        ("1s", 1, "1s"),
        ("1m", 60, "1m"),
        ("5m", 300, "5m"),
        ("15m", 900, "15m"),
        ("30m", 1800, "30m"),
        ("60m", 3600, "1h"),
        ("90m", 5400, "90m"),
        ("1h", 3600, "1h"),
        ("23h", 82800, "23h"),
        ("1d", 86400, "1d"),
        ("1w", 604800, "1w"),
    ],
)
def test_an_interval_is_read_and_named(text: str, seconds: int, name: str) -> None:
    interval = Interval.parse(text)

    assert (interval.seconds, interval.ns, interval.text) == (seconds, seconds * SECOND_NS, name)
    assert str(interval) == name
    assert Interval.parse(interval.text) == interval


@pytest.mark.parametrize(
    "text",
    [
        "1x",
        "",
        "m",
        "0m",
        "01m",
        "-1m",
        "1.5m",
        "1M",
        "5s",
        "2d",
        "2w",
        "24h",
        "1440m",
        " 1m",
        "1m ",
        "1m\n",
        "\u0661m",
        "1 m",
    ],
)
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(
        ValueError, match="must be 1s, any Nm or Nh below a day like 1m, 15m or 4h, 1d or 1w, was "
    ) as caught:
        Interval.parse(text)

    assert repr(text) in str(caught.value)


def test_only_days_and_weeks_are_named_by_date() -> None:
    assert [i.is_daily_or_longer for i in (SECOND, MINUTE, DAY, WEEK)] == [False, False, True, True]
    assert [i.text for i in STORED] == ["1s", "1m"]


def test_hours_hang_on_the_regular_opening_and_the_last_is_cut_short() -> None:
    table = SessionTable([nse(MONDAY, *PLAIN_DAY)])

    assert found(table, "60m", "9:15", "10:14", "10:15", "14:15", "15:15", "15:29") == [
        ("09:15", "10:15"),
        ("09:15", "10:15"),
        ("10:15", "11:15"),
        ("14:15", "15:15"),
        ("15:15", "15:30"),
        ("15:15", "15:30"),
    ]


def test_the_closing_auction_is_a_bucket_of_its_own() -> None:
    table = SessionTable([nse(MONDAY, *CAS_DAY)])

    assert found(table, "1h", "15:14", "15:15", "15:34", "15:35") == [
        ("14:15", "15:15"),
        ("15:15", "15:35"),
        ("15:15", "15:35"),
        ("15:35", "16:00"),
    ]


def test_the_pre_open_lies_on_the_same_grid_counted_backwards() -> None:
    table = SessionTable([nse(MONDAY, *PLAIN_DAY)])

    assert found(table, "5m", "9:00", "9:07", "9:14") == [
        ("09:00", "09:05"),
        ("09:05", "09:10"),
        ("09:10", "09:15"),
    ]
    assert found(table, "4m", "9:04") == [("09:03", "09:07")]
    assert found(table, "1h", "9:08") == [("09:00", "09:15")]


def test_a_second_window_off_the_grid_begins_its_own_bucket() -> None:
    drill = nse(MONDAY, (Session.REGULAR, "9:15", "10:00"), (Session.REGULAR, "11:45", "12:40"))
    table = SessionTable([drill])

    assert found(table, "1h", "9:59", "11:45", "12:14", "12:15") == [
        ("09:15", "10:00"),
        ("11:45", "12:15"),
        ("11:45", "12:15"),
        ("12:15", "12:40"),
    ]


def test_a_trade_outside_every_window_gets_a_bucket_that_reaches_into_none() -> None:
    table = SessionTable([nse(MONDAY, *PLAIN_DAY)])

    assert found(table, "1h", "8:50", "16:05", "23:59") == [
        ("08:15", "09:00"),
        ("16:00", "16:15"),
        ("23:15", "00:00"),
    ]


def test_an_unknown_day_keeps_the_grid_of_the_ordinary_day() -> None:
    assert found(SessionTable([nse(MONDAY, known=False, anchor="9:15")]), "1h", "10:00") == [
        ("09:15", "10:15")
    ]


def test_an_unknown_day_without_an_ordinary_one_is_counted_from_its_start() -> None:
    assert found(SessionTable([nse(MONDAY, known=False)]), "1h", "10:10") == [("10:00", "11:00")]


def test_always_open_hours_hang_on_midnight_utc_and_the_day_ends_the_last() -> None:
    table = always_open(MONDAY, MONDAY + dt.timedelta(days=2))
    midnight = table.days[0].start_ns
    hours = np.array([0, 6, 7, 20, 22, 24], dtype=np.int64)

    found = buckets(midnight + hours * 60 * MINUTE_NS, Interval.parse("7h"), table)

    assert ((found.starts - midnight) // (60 * MINUTE_NS)).tolist() == [0, 0, 7, 14, 21, 24]
    assert ((found.ends - midnight) // (60 * MINUTE_NS)).tolist() == [7, 7, 14, 21, 24, 31]


def test_a_day_is_named_by_its_trade_date_whatever_instants_it_covers() -> None:
    table = SessionTable([nse(MONDAY, *CAS_DAY)])
    ts = np.array([ist(MONDAY, "0:00"), ist(MONDAY, "9:15"), ist(MONDAY, "23:59")], dtype=np.int64)

    names, starts, ends = buckets(ts, DAY, table)

    assert {np.datetime64(int(n), "ns") for n in names} == {np.datetime64(MONDAY.isoformat(), "ns")}
    assert set(starts.tolist()) == {ist(MONDAY, "0:00")}
    assert set(ends.tolist()) == {ist(MONDAY, "24:00")}


def test_a_week_is_named_by_its_monday_and_holds_the_whole_week() -> None:
    days = [nse(MONDAY + dt.timedelta(days=n), *PLAIN_DAY) for n in range(7)]
    sunday = MONDAY + dt.timedelta(days=6)
    ts = np.array([ist(MONDAY, "0:00"), ist(sunday, "23:59"), ist(sunday, "24:00")], dtype=np.int64)

    names, starts, ends = buckets(ts, WEEK, SessionTable(days))

    assert [str(np.datetime64(int(n), "ns"))[:10] for n in names] == [
        "2026-11-16",
        "2026-11-16",
        "2026-11-16",
    ]
    assert (starts[0], ends[0]) == (ist(MONDAY, "0:00"), ist(sunday, "24:00"))


def test_where_the_table_has_no_day_the_date_is_the_utc_one() -> None:
    ts = np.array([ist(MONDAY, "5:29"), ist(MONDAY, "5:30")], dtype=np.int64)

    names = bucket_starts(ts, DAY, SessionTable([]))

    assert [str(np.datetime64(int(n), "ns"))[:10] for n in names] == ["2026-11-15", "2026-11-16"]
    assert bucket_starts(ts, WEEK, SessionTable([])).tolist() == [names[0] - 6 * DAY_NS, names[1]]


def test_no_instants_have_no_buckets() -> None:
    table = SessionTable([nse(MONDAY, *CAS_DAY)])
    for interval in (MINUTE, DAY, WEEK):
        assert [a.size for a in buckets(np.empty(0, dtype=np.int64), interval, table)] == [0, 0, 0]


WEEK_OF_KINDS = SessionTable(
    [
        nse(MONDAY, *CAS_DAY),
        nse(MONDAY + dt.timedelta(days=1), *PLAIN_DAY),
        nse(MONDAY + dt.timedelta(days=2), anchor="9:15"),
        nse(MONDAY + dt.timedelta(days=3), known=False),
        nse(MONDAY + dt.timedelta(days=5), (Session.REGULAR, "18:15", "19:15")),
    ]
)
any_instant = st.integers(ist(MONDAY, "0:00") - DAY_NS, ist(MONDAY, "0:00") + 8 * DAY_NS)
below_a_day = st.integers(1, 1439).map(lambda n: Interval.parse(f"{n}m")) | st.just(SECOND)


@given(ts=st.lists(any_instant, max_size=20), interval=below_a_day)
def test_a_bucket_holds_its_instant_is_no_longer_than_asked_and_crosses_no_edge(
    ts: list[int], interval: Interval
) -> None:
    names, starts, ends = buckets(np.array(ts, dtype=np.int64), interval, WEEK_OF_KINDS)

    for t, name, start, end in zip(ts, names, starts, ends, strict=True):
        assert name == start <= t < end <= start + interval.ns
        for window in (w for d in WEEK_OF_KINDS.days for w in d.windows):
            assert (window.start_ns <= start < window.end_ns) == (window.start_ns < end <= window.end_ns)


@given(interval=below_a_day.filter(lambda i: i >= MINUTE), which=st.sampled_from(WEEK_OF_KINDS.days))
def test_the_buckets_of_a_window_partition_it(interval: Interval, which: TradeDay) -> None:
    for window in which.windows:
        minutes = np.arange(window.start_ns, window.end_ns, MINUTE_NS, dtype=np.int64)
        _, starts, ends = buckets(minutes, interval, WEEK_OF_KINDS)

        edges = list(dict.fromkeys(zip(starts.tolist(), ends.tolist(), strict=True)))
        assert edges[0][0] == window.start_ns
        assert edges[-1][1] == window.end_ns
        assert all(one[1] == two[0] for one, two in itertools.pairwise(edges))


@given(ts=any_instant, interval=below_a_day)
def test_every_instant_of_a_bucket_has_the_same_bucket(ts: int, interval: Interval) -> None:
    _, (start,), (end,) = buckets(np.array([ts], dtype=np.int64), interval, WEEK_OF_KINDS)

    assert bucket_starts(np.array([start, end - 1]), interval, WEEK_OF_KINDS).tolist() == [start, start]


TWO_WEEKS = SessionTable([nse(MONDAY + dt.timedelta(days=n), *PLAIN_DAY) for n in range(14)])


@given(
    ts=st.integers(ist(MONDAY, "0:00"), ist(MONDAY, "0:00") + 14 * DAY_NS - 1),
    interval=st.sampled_from([DAY, WEEK]),
)
def test_every_instant_of_a_covered_date_or_week_has_its_name(ts: int, interval: Interval) -> None:
    (name,), (start,), (end,) = buckets(np.array([ts], dtype=np.int64), interval, TWO_WEEKS)

    assert start <= ts < end
    assert bucket_starts(np.array([start, end - 1]), interval, TWO_WEEKS).tolist() == [name, name]
