"""Bars become candles only where one of that length opens, and only when it is over."""

import datetime as dt

import numpy as np
import pytest

from mdingest.core.events import CANDLE, Candles
from mdingest.core.interval import Interval
from mdingest.core.session import Session
from mdingest.pipeline.history.candles import covered, place
from mdingest.pipeline.history.ratio import constant_ratio
from mdingest.providers.history import BAR, Bars, Hours
from tests.support.history import BOOK
from tests.unit.pipeline.history.test_plan import at

HOURS = Hours(BOOK, "NSE.EQ.cas")
S = 1_000_000_000
LATER = at(30)


def bars(*stamps: int) -> Bars:
    out = np.zeros(len(stamps), BAR)
    out["ts"], out["oi"], out["line"] = stamps, np.nan, np.arange(1, len(stamps) + 1)
    for name in ("open", "high", "low", "close"):
        out[name] = 10
    return Bars(out)


def placed(found: Bars, interval: str = "1m", now: int = LATER):  # noqa: ANN201 - `Placed`
    table = HOURS.around(at(2), LATER)
    return place(found, Interval.parse(interval), table, now, instrument_id=7, source="csv")


def test_a_candle_has_the_session_of_its_opening() -> None:
    found = placed(bars(at(20, 9, 8), at(20, 9, 15), at(20, 15, 20), at(20, 15, 40), at(20, 20))).candles

    assert [Session(code).text for code in found["session"]] == [
        "preopen",
        "regular",
        "auction",
        "postclose",
        "unknown",
    ]
    assert set(found["trades"].tolist()) == {-1}
    assert set(found["source"].tolist()) == {18}


def test_seconds_inside_the_minute_are_cut() -> None:
    assert placed(bars(at(20, 15, 14) + 2 * S)).candles["ts"].tolist() == [at(20, 15, 14)]


def test_two_stamps_of_one_minute_are_one_candle_and_one_mistake() -> None:
    found = placed(bars(at(20, 10), at(20, 10) + 2 * S))

    assert (len(found.candles), found.off_grid["line"].tolist()) == (1, [2])


@pytest.mark.parametrize(("interval", "good", "wrong"), [("1h", (9, 15), (10, 0)), ("5m", (9, 20), (9, 22))])
def test_a_stamp_off_the_grid_is_no_candle(
    interval: str, good: tuple[int, int], wrong: tuple[int, int]
) -> None:
    found = placed(bars(at(20, *good), at(20, *wrong)), interval)

    assert (found.candles["ts"].tolist(), found.off_grid["line"].tolist()) == ([at(20, *good)], [2])


def test_what_still_forms_is_not_stored() -> None:
    found = placed(bars(at(20, 10), at(20, 10, 1)), now=at(20, 10, 1) + 59 * S)

    assert (found.candles["ts"].tolist(), found.unfinished["line"].tolist()) == ([at(20, 10)], [2])


def test_a_day_is_over_with_its_last_session() -> None:
    name = int(dt.datetime(2026, 11, 20, tzinfo=dt.UTC).timestamp()) * S

    assert len(placed(bars(name), "1d", now=at(20, 15, 59)).candles) == 0
    (row,) = placed(bars(name), "1d", now=at(20, 16)).candles
    assert (row["ts"], row["session"]) == (name, Session.REGULAR)


def test_a_week_is_over_with_its_last_session() -> None:
    monday = int(dt.datetime(2026, 11, 16, tzinfo=dt.UTC).timestamp()) * S

    assert len(placed(bars(monday), "1w", now=at(20, 15, 59)).candles) == 0
    assert len(placed(bars(monday), "1w", now=at(20, 16)).candles) == 1


def spans_of(
    *stamps: int,
    interval: str = "1m",
    holes: tuple[int, ...] = (),
    before: tuple[int, int] | None = None,
) -> list[tuple[int, int]]:
    table = HOURS.around(at(2), LATER)
    return covered(
        np.array(stamps, np.int64),
        Interval.parse(interval),
        table,
        holes=np.array(holes, np.int64),
        before=before,
    )


def test_a_file_answers_for_all_between_its_first_and_its_last_candle() -> None:
    assert spans_of(at(19, 9, 20), at(20, 15)) == [(at(19, 9, 20), at(20, 15, 1))]


def test_but_not_for_trading_days_it_lacks() -> None:
    assert spans_of(at(18, 10), at(20, 10)) == [(at(18, 10), at(19)), (at(20), at(20, 10, 1))]


def test_a_weekend_is_nothing_to_lack() -> None:
    assert spans_of(at(20, 10), at(23, 10)) == [(at(20, 10), at(23, 10, 1))]


def test_nor_for_rows_that_were_rejected() -> None:
    assert spans_of(at(20, 10), at(20, 12), holes=(at(20, 11),)) == [
        (at(20, 10), at(20, 11)),
        (at(20, 11, 1), at(20, 12, 1)),
    ]


def test_a_rejected_hour_is_one_of_the_exchange() -> None:
    assert spans_of(at(20, 9, 15), at(20, 13, 15), interval="1h", holes=(at(20, 11, 15),)) == [
        (at(20, 9, 15), at(20, 11, 15)),
        (at(20, 12, 15), at(20, 14, 15)),
    ]


def test_the_minutes_between_two_parts_are_inside_the_file() -> None:
    assert spans_of(at(20, 12), at(20, 13), before=(at(20, 9, 15), at(20, 11, 58))) == [
        (at(20, 9, 15), at(20, 13, 1))
    ]


def closes(*values: float) -> Candles:
    out = np.zeros(len(values), CANDLE)
    out["ts"], out["close"] = np.arange(len(values)), values
    return Candles(out)


@pytest.mark.parametrize(
    ("stored", "fetched", "ratio"),
    [
        ((100, 102, 104), (50, 51, 52), 0.5),
        ((100.05, 102.35, 104.10), (98.85, 101.10, 102.85), 0.988),
        ((100, 102, 104), (100, 102, 104), None),
        ((100, 102, 104), (100.05, 102.05, 104.05), None),
        ((100, 102, 104), (50, 60, 52), None),
        ((100, 102), (50, 51), None),
        ((100, 102, 104, 53), (50, 51, 52, 53), 0.5),
        ((100, 102, 104, 53, 54), (50, 51, 52, 53, 54.05), 0.5),
        ((100, 102, 53), (50, 51, 53), None),
        ((100, 102, 104, 53, 54), (50, 51, 52, 53, 60), None),
        ((53, 100, 102, 104), (53, 50, 51, 52), None),
        ((100, 102, 104, 103), (98.8, 100.8, 102.75, 103), None),
        ((0, 102, 104, 53), (50, 51, 52, 53), None),
    ],
)
def test_one_constant_ratio_gives_an_adjusted_series_away(
    stored: tuple[float, ...], fetched: tuple[float, ...], ratio: float | None
) -> None:
    found = constant_ratio(closes(*stored), closes(*fetched))

    assert found == (None if ratio is None else pytest.approx(ratio, abs=1e-3))
