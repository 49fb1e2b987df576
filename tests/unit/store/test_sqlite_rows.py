import numpy as np

from mdingest.core.events import OPEN_END
from mdingest.store.sqlite_rows import (
    ROWS_AT_ONCE,
    candle_rows,
    in_order,
    mark_rows,
    text_of,
    texts_of,
)
from tests.support.rows import NINE, candle, mark, ns, transaction


def test_instants_are_text_of_one_width() -> None:
    seconds = np.array([NINE, 0, NINE, NINE + 1], np.int64)
    nine = "2026-11-20T03:45:00Z"
    assert texts_of(seconds) == [nine, "1970-01-01T00:00:00Z", nine, "2026-11-20T03:45:01Z"]
    assert texts_of(seconds[:0]) == []


def test_a_bound_between_two_seconds_is_rounded_up() -> None:
    assert text_of(ns(0)) == "2026-11-20T03:45:00Z"
    assert text_of(ns(0) + 1) == "2026-11-20T03:45:01Z"
    assert text_of(ns(0) - 1) == "2026-11-20T03:45:00Z"


def test_bounds_beyond_all_time_keep_their_width() -> None:
    for beyond in (OPEN_END, -OPEN_END - 1, 0):
        assert len(text_of(beyond)) == 20
    assert text_of(-OPEN_END - 1) < text_of(0) < text_of(ns(0)) < text_of(OPEN_END)


def test_rows_are_sorted_by_key_and_the_last_of_a_key_and_source_stays() -> None:
    mixed = transaction(
        candles=[
            candle(1, close=4, instrument=2),
            candle(0, close=5, interval_s=60),
            candle(0, close=3, instrument=2),
            candle(1, close=1),
            candle(1, close=2, revision=1),
            candle(1, close=6, source="csv"),
        ]
    )
    ordered = dict(in_order(mixed.candles))
    assert ordered[1]["close"].tolist() == [2, 6, 3, 4]
    assert ordered[60]["close"].tolist() == [5]


def test_rows_come_some_at_a_time_and_all_of_them() -> None:
    count = 2 * ROWS_AT_ONCE + 1
    many = transaction(candles=[candle(n) for n in range(count)]).candles
    pieces = list(candle_rows(many))
    assert [len(piece) for piece in pieces] == [ROWS_AT_ONCE, ROWS_AT_ONCE, 1]
    assert [row[1] for piece in pieces for row in piece] == texts_of(many["ts"] // 10**9)


def test_a_mark_reaches_back_by_the_length_of_a_candle() -> None:
    marks = transaction(marks=[mark(60, 61.5), mark(60, 60), mark(59.5, None)]).marks
    seconds = [(row[3][14:19], row[4][:4], row[4][14:19]) for row in mark_rows(marks, 1)]
    assert seconds == [("45:59", "2026", "46:02"), ("45:59", "2026", "46:01"), ("45:58", "2262", "47:17")]
    minutes = [row[3][14:19] for row in mark_rows(marks, 60)]
    assert minutes == ["45:00", "45:00", "44:59"]
