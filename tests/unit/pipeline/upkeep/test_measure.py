"""Missing minutes: of trading hours, each once, by how their repair stands."""

from dataclasses import replace

from mdingest.pipeline.upkeep.measure import missing_minutes
from mdingest.providers.history import Hours
from mdingest.store.base import GapRow
from tests.support.history import BOOK
from tests.support.rows import ns

CLASS = "NSE.EQ.cas"
TABLES = {CLASS: Hours(BOOK, CLASS).around(ns(0), ns(86_400))}
SPAN = (ns(-86_400), ns(3_600))


def gap(start: float, end: float | None, repair: str = "open", instrument: int = 1) -> GapRow:
    last = None if end is None else ns(end)
    return GapRow(instrument, "kite_ws", "disconnect", ns(start), last, None, repair)


def test_each_touched_minute_counts_once_for_each_instrument_and_state() -> None:
    gaps = [
        gap(10, 130),
        gap(130, 140),
        gap(150, 170),
        gap(10, 130, instrument=2),
        gap(600, 660, "unfillable"),
    ]
    found = missing_minutes(gaps, {1: CLASS, 2: CLASS}, TABLES, SPAN)

    assert found == {"open": 6, "unfillable": 1}


def test_what_lasts_counts_up_to_now_and_nights_do_not_count() -> None:
    assert missing_minutes([gap(3_000, None)], {1: CLASS}, TABLES, SPAN) == {"open": 10}
    night = replace(gap(-60_000, -30_000))
    assert missing_minutes([night], {1: CLASS}, TABLES, SPAN) == {"open": 0}


def test_what_is_older_than_the_look_back_is_cut_off() -> None:
    long = gap(-90_000, 120)
    assert missing_minutes([long], {1: CLASS}, TABLES, (ns(0), ns(3_600))) == {"open": 2}
    assert missing_minutes([long], {}, TABLES, SPAN) == {}
