"""What every store promises about forgetting."""

import numpy as np
import pytest

from mdingest.core.events import FETCHED, OPEN_END, Fetched
from mdingest.store.base import Retention, Transaction
from tests.support.rows import Database, candle, gap, ns, transaction, uptime

DAY = 86_400
MIDNIGHT = -(3 * 3600 + 45 * 60)  # of 2026-11-20, UTC


async def opened_at(db: Database, interval_s: int, instrument: int = 1) -> list[int]:
    """Seconds at which stored candles open."""
    found = await db.store.candles(instrument, interval_s, -OPEN_END, OPEN_END, 100_000)
    return [(int(ts) - ns(0)) // 10**9 for ts in found["ts"]]


async def test_candles_of_an_interval_are_forgotten_before_an_instant(db: Database) -> None:
    days = [MIDNIGHT - 2 * DAY, MIDNIGHT - 1, MIDNIGHT, 5]
    rows = [candle(second, instrument=i, source="csv") for second in days for i in (1, 2)]
    await db.store.commit(transaction(candles=[*rows, *(candle(s, interval_s=60) for s in days[:1])]))

    gone = await db.store.retain(Retention({1: ns(MIDNIGHT)}), ns(0))

    assert gone > 0
    for instrument in (1, 2):
        assert await opened_at(db, 1, instrument) == [MIDNIGHT, 5]
    assert await opened_at(db, 60) == [MIDNIGHT - 2 * DAY]
    assert await db.store.retain(Retention({1: ns(MIDNIGHT)}), ns(0)) == 0


async def test_how_far_back_candles_were_forgotten_is_known_and_never_taken_back(db: Database) -> None:
    await db.put(candle(MIDNIGHT - DAY), candle(5), candle(5, interval_s=60))
    assert await db.store.upkeep.forgotten() == {}

    for second in (MIDNIGHT, MIDNIGHT - DAY):  # kept longer from now on: what is gone is gone
        await db.store.retain(Retention({1: ns(second)}), ns(0))
        assert await db.store.upkeep.forgotten() == {1: ns(MIDNIGHT)}

    await db.store.retain(Retention({1: ns(MIDNIGHT + 60)}), ns(0))  # days of PostgreSQL go whole
    begin = (await db.store.upkeep.forgotten())[1]
    assert begin == ns(MIDNIGHT if db.url.startswith("postgres") else MIDNIGHT + 60)


async def test_nothing_is_forgotten_that_is_not_named(db: Database) -> None:
    await db.put(candle(0), candle(0, source="csv"), candle(-400 * DAY, interval_s=60))
    assert await db.store.retain(Retention(), ns(0)) == 0
    assert await opened_at(db, 1) == [0]
    assert await opened_at(db, 60) == [-400 * DAY]


async def test_what_is_forgotten_may_come_again(db: Database) -> None:
    await db.put(candle(MIDNIGHT - 1))
    await db.store.retain(Retention({1: ns(MIDNIGHT)}), ns(0))
    await db.put(candle(MIDNIGHT - 1, close=50))
    assert await opened_at(db, 1) == [MIDNIGHT - 1]


@pytest.mark.parametrize(("instant", "left"), [(1 << 61, 1), (1_577_836_800 * 10**9, 2)])
async def test_replaced_rows_are_forgotten_by_when_they_were_replaced(
    db: Database, instant: int, left: int
) -> None:
    await db.put(candle(0), candle(1))
    await db.put(candle(0, source="kite"), candle(1, source="kite"))
    gone = await db.store.retain(Retention(revisions_ns=instant), ns(0))
    assert gone == {1: 2, 2: 0}[left]
    assert len(db.sql("SELECT * FROM candle_revisions")) == 2 - gone
    assert await opened_at(db, 1) == [0, 1]


async def spans(db: Database) -> tuple[int, ...]:
    """How many rows of coverage, of gaps and of fetched history there are."""
    tables = ("coverage_spans", "gap_spans", "history_spans")
    return tuple(len(db.sql(f"SELECT * FROM {table}")) for table in tables)  # noqa: S608 - as above


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        ({1: 0}, (4, 4, 2)),  # minutes stay for ever, and what is known about them
        ({1: 0, 60: -DAY}, (3, 3, 1)),
        ({1: -90 * DAY, 60: 0}, (4, 4, 1)),  # seconds are kept longer
    ],
)
async def test_what_was_heard_and_missed_is_forgotten_with_the_last_candles_it_speaks_of(
    db: Database, kept: dict[int, int], left: tuple[int, int, int]
) -> None:
    ago = -40 * DAY
    held = [(ago, ago + 60), (2 * ago, None), (ago - 5, 5), (0, 5)]
    await db.store.commit(
        transaction(
            coverage=[uptime(*span) for span in held],
            gaps=[gap(*span, source="binance_ws") for span in held],
            streams={1: ("kite_ws", ns(5))},
        )
    )
    fetched = [(1, interval_s, 18, ns(ago), ns(ago + 60)) for interval_s in (60, 86_400)]
    await db.store.commit(Transaction(fetched=Fetched(np.array(fetched, FETCHED))))
    assert await spans(db) == (4, 4, 2)

    keep = Retention({interval_s: ns(second) for interval_s, second in kept.items()})
    await db.store.retain(keep, ns(0))

    assert await spans(db) == left
    assert await db.store.retain(keep, ns(0)) == 0
