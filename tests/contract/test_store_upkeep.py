"""What every store promises to those who keep the record whole."""

from dataclasses import replace

import pytest

from mdingest.core.events import Cause, State
from mdingest.core.rank import BY_ID
from mdingest.store.base import Difference, GapRow, Run, Transaction
from tests.support.rows import Database, candle, gap, ns


async def only_gap(db: Database) -> GapRow:
    (found,) = await db.store.gaps(1, ns(-100), ns(100))
    return found


async def repairable(db: Database, ended: float = 1_000, now: float = 1_000, limit: int = 9) -> list[float]:
    """Where holes that may be repaired begin, in seconds."""
    found = await db.store.upkeep.repairable(ns(ended), ns(now), limit)
    return [(row.start_ns - ns(0)) / 1e9 for row in found]


async def set_repair(db: Database, gap: GapRow, repair: str = "open", **others: object) -> GapRow:
    told = replace(gap, repair=repair, **others)  # type: ignore[arg-type] # any of its fields
    await db.store.commit(Transaction(repairs=[told]))
    return told


async def test_a_gap_begins_to_be_repaired_with_nothing_said(db: Database) -> None:
    await db.put(gaps=[gap(5, 9, volume=3)])

    assert await only_gap(db) == GapRow(1, "kite_ws", "disconnect", ns(5), ns(9), 3, "open", "", 0, 0)


async def test_how_a_repair_stands_is_kept_and_shown(db: Database) -> None:
    await db.put(gaps=[gap(5, 9)])

    told = await set_repair(
        db, await only_gap(db), "unfillable", reason="too old", attempts=2, retry_ns=ns(70)
    )

    assert await only_gap(db) == told
    assert [tuple(row) for row in db.sql("SELECT repair, reason, attempts FROM gaps")] == [
        ("unfillable", "too old", 2)
    ]


async def test_stepping_a_gap_again_leaves_its_repair_alone(db: Database) -> None:
    await db.put(gaps=[gap(5, None)])
    await db.put(gaps=[gap(5, 9)])
    told = await set_repair(db, await only_gap(db), "repaired", reason="filled")

    await db.put(gaps=[gap(5, None)])
    await db.put(gaps=[gap(5, 9)])
    await db.put(gaps=[gap(5, 9, volume=4)])

    assert await only_gap(db) == replace(told, volume=4)


@pytest.mark.parametrize(("first", "then"), [(9.0, 12.0), (5.0, None)])
async def test_a_gap_that_grows_is_to_be_repaired_anew(
    db: Database, first: float, then: float | None
) -> None:
    await db.put(gaps=[gap(5, first)])
    await set_repair(db, await only_gap(db), "repaired", reason="filled", attempts=2, retry_ns=ns(70))

    await db.put(gaps=[gap(5, then)])

    found = await only_gap(db)
    assert (found.repair, found.reason, found.attempts, found.retry_ns) == ("open", "", 0, 0)


async def test_what_was_found_out_of_a_smaller_gap_is_not_said_of_the_grown_one(db: Database) -> None:
    await db.put(gaps=[gap(5, 9)])
    looked_at = await only_gap(db)
    await db.put(gaps=[gap(5, 12)])

    await set_repair(db, looked_at, "repaired")

    assert (await only_gap(db)).repair == "open"


async def test_repairable_are_closed_ended_and_due_gaps_the_longest_waiting_first(db: Database) -> None:
    spans: list[tuple[float, float | None]] = [(0, 5), (10, 15), (20, 25), (30, 35), (40, None), (50, 900)]
    await db.put(gaps=[gap(start, end) for start, end in spans])
    rows = {(row.start_ns - ns(0)) / 1e9: row for row in await db.store.gaps(1, ns(0), ns(1_000))}
    await set_repair(db, rows[0], "open", retry_ns=ns(60))
    await set_repair(db, rows[10], "repairing")
    await set_repair(db, rows[20], "repaired")
    await set_repair(db, rows[30], "unfillable")

    assert await repairable(db) == [10, 50, 0]
    assert await repairable(db, limit=1) == [10]
    assert await repairable(db, now=59) == [10, 50]
    assert await repairable(db, ended=100) == [10, 0]


async def test_unrepaired_are_all_but_the_repaired_that_reach_beyond_an_instant(db: Database) -> None:
    await db.put(gaps=[gap(0, 5), gap(10, 15), gap(20, 25, cause=Cause.LATE), gap(30, None)])
    rows = {(row.start_ns - ns(0)) / 1e9: row for row in await db.store.gaps(1, ns(0), ns(1_000))}
    await set_repair(db, rows[10], "repaired")
    await set_repair(db, rows[20], "unfillable")

    found = await db.store.upkeep.unrepaired(ns(6), 9)

    assert sorted((row.start_ns - ns(0)) / 1e9 for row in found) == [20, 30]


async def test_unrepaired_come_in_pages_each_once(db: Database) -> None:
    two = [(number, *gap(start, start + 5)[1:]) for start in (0, 10, 20) for number in (1, 2)]
    await db.put(gaps=[*two, gap(10, 15, cause=Cause.LATE)])
    rows = await db.store.gaps(1, ns(0), ns(1_000))
    await set_repair(db, rows[0], "open", retry_ns=ns(60))

    found: list[GapRow] = []
    while page := await db.store.upkeep.unrepaired(ns(-100), 2, found[-1] if found else None):
        assert len(page) <= 2
        found += page

    assert len({(row.instrument_id, row.start_ns, row.cause) for row in found}) == len(found) == 7


async def test_runs_are_kept_by_name_and_the_last_counts(db: Database) -> None:
    assert await db.store.upkeep.runs() == {}
    first = Run("backfill kite 1m", ns(0), ns(5), failed=True, attempts=1, said="no token")
    second = Run("backfill kite 1m", ns(86_400), ns(86_410), failed=False, said="375 candles")
    other = Run("reconcile", ns(1), ns(2), failed=False)

    await db.store.commit(Transaction(runs=[first, other]))
    await db.store.commit(Transaction(runs=[second]))

    assert await db.store.upkeep.runs() == {second.name: second, other.name: other}


async def test_differences_are_replaced_by_date_source_and_field(db: Database) -> None:
    close = Difference(1, "2026-11-20", 60, "kite", "close", 375, 2, ns(60), 100.5, 100.0)
    count = Difference(1, "2026-11-20", 60, "kite", "candle", 375, 0)
    elsewhere = [
        replace(close, instrument_id=2),
        replace(close, date="2026-11-19"),
        replace(close, date="2026-11-20", interval_s=86_400, other="bhavcopy"),
    ]
    await db.store.commit(Transaction(differences=[close, count, *elsewhere]))
    again = replace(close, differing=0, worst_ns=None, ours=None, theirs=None)
    await db.store.commit(Transaction(differences=[again]))

    assert await db.store.upkeep.differences(1, "2026-11-20", "2026-11-20") == [count, again, elsewhere[2]]
    assert await db.store.upkeep.differences(1, "2026-11-01", "2026-11-19") == [elsewhere[1]]
    shown = db.sql("SELECT symbol, other, field, worst_utc, ours FROM differences WHERE date = '2026-11-19'")
    assert [tuple(row) for row in shown] == [("RELIANCE.NS", "kite", "close", "2026-11-20T03:46:00Z", 100.5)]


async def test_what_other_sources_replaced_is_told_as_it_was(db: Database) -> None:
    await db.put(candle(0, 101, interval_s=60), candle(60, 102, interval_s=60, partial=True))
    await db.put(candle(60, 103, source="yfinance", interval_s=60))
    await db.put(candle(0, 104, source="kite", interval_s=60), candle(60, 105, source="kite", interval_s=60))

    found = await db.store.replaced(1, 60, ns(0), ns(120))

    assert [
        (ts, close, BY_ID[source].name, state)
        for ts, close, source, state in zip(
            *(found[name].tolist() for name in ("ts", "close", "source", "state")), strict=True
        )
    ] == [
        (ns(0), 101, "kite_ws", State.FINAL),
        (ns(60), 102, "kite_ws", State.PARTIAL),
        (ns(60), 103, "yfinance", State.FINAL),
    ]
    assert len(await db.store.replaced(1, 60, ns(0), ns(60))) == 1
    assert len(await db.store.replaced(1, 1, ns(0), ns(60))) == 0
