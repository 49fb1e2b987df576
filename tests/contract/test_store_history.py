"""What every store promises to those who fetch history."""

from typing import Any

import numpy as np

from mdingest.core.events import CANDLE, FETCHED, OPEN_END, Candles, Fetched
from mdingest.core.rank import BY_NAME
from mdingest.store.base import Committed, CoverageRow, Transaction
from tests.support.rows import Database, candle, ns, uptime


def history(*candles: tuple[Any, ...], fetched: tuple[Any, ...] = ()) -> Transaction:
    spans = [span for span in (fetched,) if span]
    return Transaction(
        candles=Candles(np.array(list(candles), CANDLE)), fetched=Fetched(np.array(spans, FETCHED))
    )


def span(
    start: float, end: float, *, source: str = "csv", interval_s: int = 60, instrument: int = 1
) -> tuple[Any, ...]:
    return (instrument, interval_s, BY_NAME[source].id, ns(start), ns(end))


def minute(at: int, close: float = 100.0, source: str = "csv") -> tuple[Any, ...]:
    return candle(at * 60, close, source=source, interval_s=60)


async def covered(db: Database, start: float = -1e9) -> list[CoverageRow]:
    return await db.store.coverage(1, ns(start), OPEN_END)


async def test_a_commit_counts_the_candles_that_are_new(db: Database) -> None:
    assert await db.store.commit(history(minute(0), minute(1))) == Committed(2)


async def test_a_commit_counts_only_what_says_something_else_now(db: Database) -> None:
    await db.store.commit(history(minute(0), minute(1)))

    assert await db.store.commit(history(minute(0), minute(1, 101), minute(2))) == Committed(2)
    assert await db.store.commit(history(minute(0), minute(1, 101), minute(2))) == Committed(0)


async def test_a_commit_counts_what_it_takes_over_and_not_what_outranks_it(db: Database) -> None:
    await db.put(minute(0, source="yfinance"), minute(1, source="kite_ws"))

    assert await db.store.commit(history(minute(0, 105), minute(1, 105))) == Committed(1)


async def test_seconds_are_counted_too(db: Database) -> None:
    rows = [candle(at, source="csv") for at in range(100)]

    assert await db.store.commit(history(*rows)) == Committed(100)
    assert await db.store.commit(history(*rows)) == Committed(0)


async def test_a_series_comes_anew_as_a_whole_and_no_other_is_touched(db: Database) -> None:
    await db.put(minute(0), minute(1), minute(2), minute(3, source="kite_ws"), candle(0))
    await db.store.commit(history(candle(0, interval_s=300, source="csv"), fetched=span(0, 180)))
    await db.store.commit(history(fetched=span(0, 60, source="kite")))

    new = history(minute(0, 50), minute(2, 50), minute(3, 50), fetched=span(0, 60))
    new.instead_of = [(1, 60, BY_NAME["csv"].id)]
    for _ in range(2):
        await db.store.commit(new)

        stored = await db.store.candles(1, 60, ns(0), ns(900), 10)
        assert [(ts - ns(0)) // 60_000_000_000 for ts in stored["ts"].tolist()] == [0, 2, 3]
        assert stored["close"].tolist() == [50, 50, 100]
        assert (await db.row(interval_s=300))["close"] == 100
        assert {(row.source, row.end_ns) for row in await covered(db)} == {
            ("csv", ns(60)),
            ("kite", ns(60)),
        }
    replaced = await db.store.replaced(1, 60, ns(0), ns(900))
    assert replaced["close"].tolist() == [100, 50, 100, 100, 50]


async def test_fetched_spans_that_touch_become_one(db: Database) -> None:
    for start, end in ((0, 60), (120, 180), (60, 120), (30, 90)):
        await db.store.commit(history(fetched=span(start, end)))

    assert await covered(db) == [CoverageRow(1, "csv", ns(0), ns(180), 60)]


async def test_fetched_spans_apart_stay_apart(db: Database) -> None:
    await db.store.commit(history(fetched=span(0, 60)))
    await db.store.commit(history(fetched=span(61, 120)))

    assert [(row.start_ns, row.end_ns) for row in await covered(db)] == [
        (ns(0), ns(60)),
        (ns(61), ns(120)),
    ]


async def test_another_source_interval_or_instrument_is_another_span(db: Database) -> None:
    for fetched in (
        span(0, 60),
        span(0, 90, source="yfinance"),
        span(0, 3600, interval_s=3600),
        span(0, 60, instrument=2),
    ):
        await db.store.commit(history(fetched=fetched))

    assert {(row.source, row.interval_s, row.end_ns) for row in await covered(db)} == {
        ("csv", 60, ns(60)),
        ("yfinance", 60, ns(90)),
        ("csv", 3600, ns(3600)),
    }


async def test_an_empty_span_covers_nothing(db: Database) -> None:
    await db.store.commit(history(fetched=span(60, 60)))

    assert await covered(db) == []


async def test_live_uptime_and_history_are_answered_together_by_start(db: Database) -> None:
    await db.put(coverage=[uptime(30, 45)])
    await db.store.commit(history(fetched=span(0, 60)))

    assert await covered(db) == [
        CoverageRow(1, "csv", ns(0), ns(60), 60),
        CoverageRow(1, "kite_ws", ns(30), ns(45), 0),
    ]
    assert await covered(db, start=60) == []


async def test_history_is_shown_with_its_interval(db: Database) -> None:
    await db.put(coverage=[uptime(30, 45)])
    await db.store.commit(history(fetched=span(0, 60)))

    rows = db.sql("SELECT source, interval_s FROM coverage ORDER BY start_utc")
    assert [tuple(row) for row in rows] == [("csv", 60), ("kite_ws", None)]
