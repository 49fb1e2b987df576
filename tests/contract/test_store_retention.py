"""What every store promises about forgetting."""

import pytest

from mdingest.core.events import OPEN_END
from mdingest.store.base import Retention
from tests.support.rows import Database, candle, ns, transaction

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
