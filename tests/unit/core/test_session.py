"""The table of trade dates: what is open, what is closed, and what nobody knows."""

import datetime as dt
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdingest.core.session import (
    DAY_NS,
    NO_DATE,
    SECOND_NS,
    Session,
    SessionTable,
    TradeDay,
    Window,
    always_open,
    date_ordinal,
    ordinal_date,
)

MONDAY = dt.date(2026, 11, 16)
HOUR = 3600 * SECOND_NS


def midnight(date: dt.date) -> int:
    return date_ordinal(date) * DAY_NS


def day(
    date: dt.date, *windows: tuple[Session, float, float], known: bool = True, anchor: float | None = None
) -> TradeDay:
    """A UTC day with windows given in hours."""
    start = midnight(date)
    return TradeDay(
        date,
        start,
        start + DAY_NS,
        known,
        tuple(Window(s, start + round(a * HOUR), start + round(b * HOUR)) for s, a, b in windows),
        None if anchor is None else start + int(anchor * HOUR),
    )


def ordinary(date: dt.date) -> TradeDay:
    return day(date, (Session.PREOPEN, 9, 9.25), (Session.REGULAR, 9.25, 15.5), (Session.POSTCLOSE, 15.5, 16))


def at(date: dt.date, *hours: float) -> np.ndarray:
    return np.array([midnight(date) + int(hour * HOUR) for hour in hours], dtype=np.int64)


@st.composite
def tables(draw: st.DrawFn) -> SessionTable:
    """A few of ten dates from Monday on: unknown, closed, or with random windows."""
    days = []
    for n in sorted(draw(st.sets(st.integers(0, 9), max_size=5))):
        date = MONDAY + dt.timedelta(days=n)
        known = draw(st.booleans())
        edges = sorted(draw(st.sets(st.integers(0, 96), max_size=6))) if known else []
        codes = st.sampled_from([s for s in Session if s is not Session.UNKNOWN])
        windows = [(draw(codes), a / 4, b / 4) for a, b in itertools.pairwise(edges)]
        days.append(day(date, *(w for w in windows if draw(st.booleans())), known=known))
    return SessionTable(days)


instants = st.lists(
    st.integers(midnight(MONDAY) - DAY_NS, midnight(MONDAY) + 12 * DAY_NS), min_size=1, max_size=30
)


def test_a_window_holds_its_first_instant_and_not_its_last() -> None:
    table = SessionTable([ordinary(MONDAY)])

    codes = table.session_of(np.concatenate([at(MONDAY, 9, 9.25, 15.5, 16), at(MONDAY, 9.25, 15.5) - 1]))

    assert codes.tolist() == [1, 2, 4, 0, 1, 2]
    assert codes.dtype == np.uint8


def test_outside_every_window_the_session_is_unknown() -> None:
    holiday, beyond = MONDAY + dt.timedelta(days=1), MONDAY + dt.timedelta(days=2)
    table = SessionTable([ordinary(MONDAY), day(holiday), day(beyond, known=False)])
    absent = MONDAY + dt.timedelta(days=3)

    for date in (holiday, beyond, absent):
        assert table.session_of(at(date, 10)).tolist() == [Session.UNKNOWN]
    assert table.session_of(at(MONDAY, 8.9)).tolist() == [Session.UNKNOWN]


def test_an_empty_table_answers_unknown_and_no_date() -> None:
    table = SessionTable([])

    assert table.session_of(at(MONDAY, 10)).tolist() == [Session.UNKNOWN]
    assert table.trade_date_of(at(MONDAY, 10)).tolist() == [NO_DATE]
    assert table.day_of(midnight(MONDAY)) is None
    assert table.windows_between(5, 9) == [(5, 9)]


def test_the_trade_date_begins_at_local_midnight_and_not_at_the_utc_one() -> None:
    start = midnight(MONDAY) - int(5.5 * HOUR)
    table = SessionTable([TradeDay(MONDAY, start, start + DAY_NS, known=True)])

    assert table.trade_date_of(start) == date_ordinal(MONDAY)
    assert table.trade_date_of(start - 1) == NO_DATE
    assert table.trade_date_of(start + DAY_NS) == NO_DATE
    assert table.trade_date_of(np.array([start - 1, start, start + DAY_NS - 1])).tolist() == [
        NO_DATE,
        date_ordinal(MONDAY),
        date_ordinal(MONDAY),
    ]


def test_openings_are_found_by_date_and_by_number() -> None:
    table = SessionTable([ordinary(MONDAY), day(MONDAY + dt.timedelta(days=1))])

    assert table.first_session_start(MONDAY) == at(MONDAY, 9)[0]
    assert table.first_session_start(date_ordinal(MONDAY)) == at(MONDAY, 9)[0]
    assert ordinary(MONDAY).regular_open == at(MONDAY, 9.25)[0]
    assert table.first_session_start(MONDAY + dt.timedelta(days=1)) is None
    assert table.first_session_start(MONDAY + dt.timedelta(days=7)) is None
    assert table.day_of(int(at(MONDAY, 3)[0])) == ordinary(MONDAY)


def test_windows_are_clipped_joined_and_chosen_by_session() -> None:
    table = SessionTable([ordinary(MONDAY)])
    low, high = at(MONDAY, 9.1, 15.75)

    assert table.windows_between(low, high) == [(low, high)]
    assert table.windows_between(low, high, {Session.REGULAR}) == [tuple(at(MONDAY, 9.25, 15.5))]
    assert table.windows_between(low, high, {Session.PREOPEN, Session.POSTCLOSE}) == [
        (low, at(MONDAY, 9.25)[0]),
        (at(MONDAY, 15.5)[0], high),
    ]
    assert table.windows_between(high, low) == []


def test_what_is_not_known_may_be_open() -> None:
    unknown = MONDAY + dt.timedelta(days=1)
    table = SessionTable([ordinary(MONDAY), day(unknown, known=False), day(MONDAY + dt.timedelta(days=4))])
    low, high = midnight(MONDAY), midnight(MONDAY) + 6 * DAY_NS

    assert table.windows_between(low, high, {Session.REGULAR}) == [
        tuple(at(MONDAY, 9.25, 15.5)),
        (midnight(unknown), midnight(unknown) + 3 * DAY_NS),  # unknown, then two absent dates
        (midnight(MONDAY) + 5 * DAY_NS, high),  # after the holiday the table ends
    ]


def test_always_open_days_join_into_one_window() -> None:
    table = always_open(MONDAY, MONDAY + dt.timedelta(days=3))
    low, high = midnight(MONDAY) + HOUR, midnight(MONDAY) + 2 * DAY_NS + HOUR

    assert table.windows_between(low, high) == [(low, high)]
    assert len(table.days) == 3


def test_newer_days_replace_older_ones() -> None:
    tuesday = MONDAY + dt.timedelta(days=1)
    older = SessionTable([ordinary(MONDAY), ordinary(tuesday)])

    merged = older.merged(SessionTable([day(tuesday), ordinary(MONDAY + dt.timedelta(days=2))]))

    assert [len(d.windows) for d in merged.days] == [3, 0, 3]


@pytest.mark.parametrize("shift", [-5.5, 4.0])
def test_a_table_of_another_zone_takes_the_place_of_the_days_it_meets(shift: float) -> None:
    def shifted(date: dt.date) -> TradeDay:
        start = midnight(date) + round(shift * HOUR)
        return TradeDay(date, start, start + DAY_NS, known=True)

    dates = [MONDAY + dt.timedelta(days=n) for n in range(6)]
    older, newer = SessionTable(map(day, dates)), SessionTable(map(shifted, dates[2:4]))

    merged = older.merged(newer)

    assert [d for d in merged.days if d in newer.days] == list(newer.days)
    met = 1 if shift < 0 else 4  # the day that reaches into the new ones, besides those of their dates
    assert [d for d in merged.days if d in older.days] == [day(dates[n]) for n in (0, 1, 4, 5) if n != met]


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        ([ordinary(MONDAY), ordinary(MONDAY)], "begins before"),
        ([day(MONDAY, (Session.REGULAR, 9, 12), (Session.REGULAR, 11, 13))], "overlap"),
        ([day(MONDAY, (Session.REGULAR, 12, 13), (Session.REGULAR, 9, 10))], "unsorted"),
        ([day(MONDAY, (Session.REGULAR, 23, 25))], "leave the day"),
        ([day(MONDAY, (Session.REGULAR, 9, 9))], "empty"),
        ([day(MONDAY, (Session.UNKNOWN, 9, 10))], "unknown is the lack"),
        ([day(MONDAY, (Session.REGULAR, 9, 10), known=False)], "unknown day"),
        ([day(MONDAY, (Session.REGULAR, 9, 9 + 1 / 3_600_000))], "whole seconds"),
        ([TradeDay(MONDAY, 10 * SECOND_NS, 10 * SECOND_NS, known=True)], "leave the day"),
        (
            [
                TradeDay(MONDAY, 0, DAY_NS, known=True),
                TradeDay(MONDAY - dt.timedelta(days=1), DAY_NS, 2 * DAY_NS, known=True),
            ],
            "in time, not in date",
        ),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(days: list[TradeDay], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        SessionTable(days)


@given(table=tables())
def test_a_table_survives_the_journal(table: SessionTable) -> None:
    assert SessionTable.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_the_grid_anchor_survives_the_journal() -> None:
    table = SessionTable([day(MONDAY, known=False, anchor=9.25)])

    (found,) = SessionTable.from_json(json.loads(json.dumps(table.to_json()))).days

    assert found.grid_anchor == at(MONDAY, 9.25)[0]


@pytest.mark.parametrize(
    "value", [[[1, 2]], [None], [[1, 0, 86400, 1, [[9, 0, 1]], None]], [["a"] * 6], [{}]]
)
def test_a_damaged_table_is_refused(value: list[object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        SessionTable.from_json(value)


@given(table=tables(), ts=instants)
def test_every_instant_has_at_most_one_session(table: SessionTable, ts: list[int]) -> None:
    codes = table.session_of(np.array(ts, dtype=np.int64))

    for instant, code in zip(ts, codes, strict=True):
        holding = [w.session for d in table.days for w in d.windows if w.start_ns <= instant < w.end_ns]
        assert holding == ([] if code == Session.UNKNOWN else [code])


@given(table=tables(), ts=instants)
def test_one_instant_and_many_agree_on_the_trade_date(table: SessionTable, ts: list[int]) -> None:
    assert table.trade_date_of(np.array(ts, dtype=np.int64)).tolist() == [table.trade_date_of(t) for t in ts]


@given(
    table=tables(),
    ts=instants,
    sessions=st.none() | st.sets(st.sampled_from(Session)),
    bounds=st.tuples(instants, instants),
)
def test_possibly_open_is_every_instant_that_is_not_known_to_be_closed(
    table: SessionTable, ts: list[int], sessions: set[Session] | None, bounds: tuple[list[int], list[int]]
) -> None:
    low, high = sorted([bounds[0][0], bounds[1][0]])
    spans = table.windows_between(low, high, sessions)

    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))
    for instant in ts:
        covering = table.day_of(instant)
        chosen = covering is not None and any(
            w.start_ns <= instant < w.end_ns and (sessions is None or w.session in sessions)
            for w in covering.windows
        )
        possible = low <= instant < high and (covering is None or not covering.known or chosen)
        assert possible == any(a <= instant < b for a, b in spans)


def test_session_words_go_both_ways() -> None:
    assert [s.text for s in Session] == ["unknown", "preopen", "regular", "auction", "postclose"]
    assert all(Session.from_text(s.text) is s for s in Session)
    with pytest.raises(ValueError, match=r"one of unknown, preopen, .* was 'lunch'"):
        Session.from_text("lunch")


def test_a_date_and_its_number_go_both_ways() -> None:
    assert date_ordinal(dt.date(1970, 1, 2)) == 1
    assert ordinal_date(date_ordinal(MONDAY)) == MONDAY
