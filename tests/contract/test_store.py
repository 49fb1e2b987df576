"""What every store promises. Names follow rule 14 of the design: which source decides."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from mdingest.core.control import VolumeKind
from mdingest.core.events import OPEN_END, Cause, Flag, State
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_NAME
from mdingest.errors import Fenced, StoreUnavailable
from mdingest.store.base import CoverageRow, GapRow, Position, Transaction
from tests.support.rows import JOURNAL, NIFTY, RELIANCE, Database, candle, gap, mark, ns, transaction, uptime


async def kept(db: Database, second: int = 0) -> tuple[str, float, bool]:
    """Who decided about a candle, what it says, whether it is partial."""
    row = await db.row(second)
    name = next(name for name, source in BY_NAME.items() if source.id == row["source"])
    return name, row["close"], row["state"] == State.PARTIAL


# -- rank: which source decides -------------------------------------------------------


async def test_a_final_live_candle_replaces_delayed_public_history(db: Database) -> None:
    await db.put(candle(close=100, source="yfinance"))
    await db.put(candle(close=101))
    assert await kept(db) == ("kite_ws", 101, False)


async def test_delayed_public_history_does_not_replace_a_final_live_candle(db: Database) -> None:
    await db.put(candle(close=101))
    await db.put(candle(close=100, source="yfinance"))
    assert await kept(db) == ("kite_ws", 101, False)


async def test_a_partial_live_candle_gives_way_to_delayed_public_history(db: Database) -> None:
    await db.put(candle(close=101, partial=True))
    await db.put(candle(close=100, source="yfinance"))
    assert await kept(db) == ("yfinance", 100, False)


async def test_a_bar_of_zero_volume_from_a_source_of_random_zeros_replaces_nothing(db: Database) -> None:
    await db.put(candle(close=101, partial=True))
    await db.put(candle(close=100, source="yfinance", volume=0))
    assert await kept(db) == ("kite_ws", 101, True)


async def test_such_a_bar_gives_way_even_to_a_partial_live_candle(db: Database) -> None:
    await db.put(candle(close=100, source="yfinance", volume=0))
    await db.put(candle(close=101, partial=True))
    assert await kept(db) == ("kite_ws", 101, True)


async def test_zero_volume_from_an_honest_source_keeps_its_rank(db: Database) -> None:
    await db.put(candle(close=101, partial=True))
    await db.put(candle(close=100, source="alphavantage", volume=0))
    assert await kept(db) == ("alphavantage", 100, False)


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("yfinance", "csv"),
        ("csv", "kite_ws"),
        ("kite_ws", "kite"),
        ("kite", "bhavcopy"),
        ("upstox_ws", "upstox"),
    ],
)
async def test_the_higher_rank_stays_whichever_comes_first(db: Database, lower: str, higher: str) -> None:
    await db.put(candle(0, close=100, source=lower), candle(1, close=200, source=higher))
    await db.put(candle(0, close=200, source=higher), candle(1, close=100, source=lower))
    assert await kept(db, 0) == (higher, 200, False)
    assert await kept(db, 1) == (higher, 200, False)


async def test_two_sources_in_one_transaction_are_ranked_too(db: Database) -> None:
    await db.put(candle(close=200, source="kite"), candle(close=100, source="csv"))
    assert await kept(db) == ("kite", 200, False)


# -- revisions of live candles --------------------------------------------------------


async def test_a_live_revision_replaces_the_live_candle_even_when_its_rank_falls(db: Database) -> None:
    await db.put(candle(close=101, revision=0))
    await db.put(candle(close=102, revision=1, partial=True))
    assert await kept(db) == ("kite_ws", 102, True)
    assert (await db.row())["revision"] == 1


async def test_a_stale_live_revision_changes_nothing(db: Database) -> None:
    await db.put(candle(close=102, revision=2, partial=True))
    await db.put(candle(close=101, revision=1))
    assert await kept(db) == ("kite_ws", 102, True)
    assert (await db.row())["revision"] == 2


async def test_the_revision_of_a_live_candle_is_the_machines_own_number(db: Database) -> None:
    await db.put(candle(close=101, revision=3))
    await db.put(candle(close=102, revision=7))
    assert (await db.row())["revision"] == 7


async def test_of_two_live_rows_of_one_transaction_the_later_wins(db: Database) -> None:
    await db.put(candle(close=101), candle(close=102, revision=1))
    assert await kept(db) == ("kite_ws", 102, False)


async def test_the_same_revision_saying_something_else_replaces(db: Database) -> None:
    """A journal stepped again by corrected code rebuilds what wrong code stored."""
    await db.put(candle(close=101))
    await db.put(candle(close=102))
    assert await kept(db) == ("kite_ws", 102, False)


async def test_a_live_candle_that_was_replaced_does_not_come_back_when_its_journal_is_stepped_again(
    db: Database,
) -> None:
    await db.put(candle(close=101))
    await db.put(marks=[mark(0, 1)])
    await db.put(candle(close=100, source="csv"))
    await db.put(candle(close=101))
    assert await kept(db) == ("csv", 100, False)


async def test_what_other_sources_said_before_does_not_keep_a_live_candle_out(db: Database) -> None:
    await db.put(candle(close=100, source="yfinance"))
    await db.put(candle(close=100, source="csv"))
    await db.put(candle(close=101))
    assert await kept(db) == ("kite_ws", 101, False)


async def test_a_new_revision_of_a_live_candle_that_was_replaced_counts(db: Database) -> None:
    await db.put(candle(close=101, partial=True))
    await db.put(candle(close=100, source="csv"))
    await db.put(candle(close=102, revision=1))
    assert await kept(db) == ("kite_ws", 102, False)


# -- history --------------------------------------------------------------------------


async def test_history_of_the_same_source_replaces_when_it_says_something_else(db: Database) -> None:
    await db.put(candle(close=100, source="csv"))
    await db.put(candle(close=101, source="csv"))
    assert await kept(db) == ("csv", 101, False)
    assert (await db.row())["revision"] == 1


async def test_history_that_says_the_same_changes_nothing(db: Database) -> None:
    await db.put(candle(close=100, source="csv"))
    await db.put(candle(close=100, source="csv"))
    assert (await db.row())["revision"] == 0


async def test_history_without_a_volume_is_compared_like_any_other(db: Database) -> None:
    await db.put(candle(close=100, source="csv", volume=None))
    await db.put(candle(close=100, source="csv", volume=None))
    assert (await db.row())["revision"] == 0
    await db.put(candle(close=100, source="csv", volume=7))
    assert (await db.row())["volume"] == 7


async def test_a_random_zero_does_not_replace_the_same_sources_good_bar(db: Database) -> None:
    await db.put(candle(close=100, source="yfinance", volume=9))
    await db.put(candle(close=101, source="yfinance", volume=0))
    assert await kept(db) == ("yfinance", 100, False)


async def test_a_good_bar_replaces_the_same_sources_random_zero(db: Database) -> None:
    await db.put(candle(close=101, source="yfinance", volume=0))
    await db.put(candle(close=100, source="yfinance", volume=9))
    assert await kept(db) == ("yfinance", 100, False)


async def test_at_equal_rank_the_configured_order_decides_and_never_the_newer(db: Database) -> None:
    await db.put(candle(0, close=100, source="yfinance"), candle(1, close=200, source="alphavantage"))
    await db.put(candle(0, close=200, source="alphavantage"), candle(1, close=100, source="yfinance"))
    assert await kept(db, 0) == ("yfinance", 100, False)
    assert await kept(db, 1) == ("yfinance", 100, False)


async def test_another_configured_order_decides_otherwise(db: Database) -> None:
    await db.reopen("alphavantage", "yfinance")
    await db.put(candle(close=100, source="yfinance"))
    await db.put(candle(close=200, source="alphavantage"))
    assert await kept(db) == ("alphavantage", 200, False)


async def test_a_source_that_the_order_does_not_name_comes_last(db: Database) -> None:
    await db.reopen("kite")
    await db.put(candle(0, close=100, source="upstox"))
    await db.put(candle(0, close=200, source="binance"))
    assert await kept(db) == ("upstox", 100, False)
    await db.put(candle(0, close=300, source="kite"))
    assert await kept(db) == ("kite", 300, False)


async def test_rank_is_stronger_than_the_configured_order(db: Database) -> None:
    await db.reopen("yfinance", "kite")
    await db.put(candle(close=100, source="kite"))
    await db.put(candle(close=200, source="yfinance"))
    assert await kept(db) == ("kite", 100, False)


# -- what was replaced ----------------------------------------------------------------

REVISIONS = """
SELECT interval, ts_utc, close, volume, trades, source, state, revision, replaced_by
FROM candle_revisions ORDER BY id"""


async def test_a_row_that_another_source_replaced_is_kept_as_it_was(db: Database) -> None:
    await db.put(candle(close=101, revision=4, partial=True))
    await db.put(candle(close=100, source="csv"))
    expected = ("1s", "2026-11-20T03:45:00Z", 101.0, 5.0, 3, 1, 1, 4, BY_NAME["csv"].id)
    assert db.sql(REVISIONS) == [expected]
    ((when,),) = db.sql("SELECT replaced_at FROM candle_revisions")
    assert str(when)[:2] == "20"


async def test_revisions_of_the_same_source_are_not_kept(db: Database) -> None:
    await db.put(candle(close=101), candle(1, close=100, source="csv"))
    await db.put(candle(close=102, revision=1), candle(1, close=102, source="csv"))
    assert db.sql(REVISIONS) == []


@pytest.mark.parametrize("interval_s", [60, 300, 900, 1800, 3600, 86_400, 604_800])
async def test_every_interval_keeps_what_was_replaced(db: Database, interval_s: int) -> None:
    day = -(3 * 3600 + 45 * 60)
    await db.put(candle(day, close=101, source="csv", interval_s=interval_s))
    await db.put(candle(day, close=100, source="kite", interval_s=interval_s))
    assert (await db.row(day, interval_s=interval_s))["close"] == 100
    ((interval,),) = db.sql("SELECT interval FROM candle_revisions")
    assert [(interval,)] == db.sql("SELECT interval FROM candles")


# -- marks ----------------------------------------------------------------------------


async def test_a_mark_makes_stored_live_candles_of_its_range_partial(db: Database) -> None:
    await db.put(*(candle(second) for second in range(5)))
    await db.put(marks=[mark(1.5, 3)])
    assert [(await kept(db, second))[2] for second in range(5)] == [False, True, True, False, False]


async def test_a_mark_touches_the_minute_that_overlaps_it_too(db: Database) -> None:
    await db.put(*(candle(second, interval_s=60) for second in (0, 60, 120)))
    await db.put(marks=[mark(119.5, 120)])
    assert [(await db.row(s, interval_s=60))["state"] for s in (0, 60, 120)] == [0, 1, 0]


async def test_a_mark_leaves_the_revision_alone_and_adds_its_flags(db: Database) -> None:
    await db.put(candle(revision=2, flags=Flag.PACKET_TIME))
    await db.put(marks=[mark(0, 1, partial=False, flags=Flag.VOLUME_SUSPECT)])
    row = await db.row()
    assert (row["revision"], row["state"], row["flags"]) == (2, State.FINAL, 17)


async def test_a_mark_of_an_instant_touches_the_candle_around_it(db: Database) -> None:
    await db.put(candle(0), candle(1))
    await db.put(marks=[mark(1, 1)])
    assert [(await kept(db, second))[2] for second in (0, 1)] == [False, True]


async def test_a_mark_without_end_reaches_everything_after_it(db: Database) -> None:
    await db.put(candle(0), candle(1), candle(5000))
    await db.put(marks=[mark(1, None)])
    assert [(await kept(db, second))[2] for second in (0, 1, 5000)] == [False, True, True]


async def test_a_mark_leaves_other_sources_and_instruments_alone(db: Database) -> None:
    await db.put(candle(0, source="upstox_ws"), candle(0, instrument=2), candle(1, source="csv"))
    await db.put(marks=[mark(0, 2)])
    assert db.sql("SELECT DISTINCT state FROM candles") == [("final",)]


async def test_a_mark_applies_to_candles_of_its_own_transaction(db: Database) -> None:
    await db.put(candle(0), marks=[mark(0, 1)])
    assert (await kept(db))[2]


async def test_a_final_candle_that_a_mark_demoted_gives_way_to_delayed_public_history(db: Database) -> None:
    await db.put(candle(close=101))
    await db.put(marks=[mark(0, 1)])
    await db.put(candle(close=100, source="yfinance"))
    assert await kept(db) == ("yfinance", 100, False)


# -- coverage -------------------------------------------------------------------------


def heard(start: float, end: float, source: str = "kite_ws") -> CoverageRow:
    return CoverageRow(1, source, ns(start), ns(end))


async def test_coverage_of_an_open_stream_reaches_its_last_frame(db: Database) -> None:
    await db.put(coverage=[uptime(2, None)], streams={1: ("kite_ws", ns(7.25))})
    assert await db.store.coverage(1, ns(0), OPEN_END) == [heard(2, 7.25)]
    await db.put(streams={1: ("kite_ws", ns(9))})
    assert await db.store.coverage(1, ns(0), OPEN_END) == [heard(2, 9)]


async def test_coverage_is_closed_where_it_ended_and_stays_so(db: Database) -> None:
    opened = transaction(coverage=[uptime(2, None)], streams={1: ("kite_ws", ns(7))})
    await db.store.commit(opened)
    await db.put(coverage=[uptime(2, 6)])
    await db.store.commit(opened)
    assert await db.store.coverage(1, ns(0), OPEN_END) == [heard(2, 6)]


async def test_an_uptime_too_short_to_hold_a_second_is_not_heard(db: Database) -> None:
    await db.put(coverage=[uptime(2, 2)])
    assert await db.store.coverage(1, ns(0), OPEN_END) == []


async def test_a_later_stream_may_begin_where_an_empty_uptime_did(db: Database) -> None:
    await db.put(coverage=[uptime(2, 2, stream=1)])
    await db.put(coverage=[uptime(2, None, stream=2)], streams={2: ("kite_ws", ns(4))})
    assert await db.store.coverage(1, ns(0), OPEN_END) == [heard(2, 4)]


async def test_what_an_earlier_stream_said_of_that_second_does_not_come_back(db: Database) -> None:
    empty = transaction(coverage=[uptime(2, 2, stream=1)])
    await db.store.commit(empty)
    await db.put(coverage=[uptime(2, None, stream=2)], streams={2: ("kite_ws", ns(4))})
    await db.store.commit(empty)
    assert await db.store.coverage(1, ns(0), OPEN_END) == [heard(2, 4)]
    await db.put(coverage=[uptime(2, 9, stream=2)])
    await db.store.commit(empty)
    assert await db.store.coverage(1, ns(0), OPEN_END) == [heard(2, 9)]


async def test_another_stream_that_carried_on_may_end_the_uptime(db: Database) -> None:
    await db.put(streams={1: ("kite_ws", ns(1))})
    await db.put(coverage=[uptime(2, None, stream=2)], streams={2: ("kite_ws", ns(4))})
    await db.put(coverage=[uptime(2, 9, stream=1)])
    assert await db.store.coverage(1, ns(0), OPEN_END) == [heard(2, 9)]


async def test_history_asked_for_again_further_on_extends_its_coverage(db: Database) -> None:
    await db.put(coverage=[uptime(0, 60, stream=0, source="csv")])
    await db.put(coverage=[uptime(0, 120, stream=0, source="csv")])
    await db.put(coverage=[uptime(0, 60, stream=0, source="csv")])
    assert await db.store.coverage(1, ns(0), OPEN_END) == [heard(0, 120, "csv")]


async def test_coverage_is_answered_where_it_overlaps_by_start(db: Database) -> None:
    rows = [uptime(start, start + 5, stream=0, source="csv") for start in (20, 0, 10)]
    await db.put(coverage=[*rows, uptime(11, 13, stream=0, source="kite"), uptime(0, 99, instrument=2)])
    found = await db.store.coverage(1, ns(5), ns(20))
    assert found == [heard(10, 15, "csv"), heard(11, 13, "kite")]


# -- gaps -----------------------------------------------------------------------------


def hole(start: float, end: float | None, cause: str = "disconnect", volume: float | None = None) -> GapRow:
    return GapRow(1, "kite_ws", cause, ns(start), None if end is None else ns(end), volume, "open")


async def test_a_gap_lasts_until_it_is_closed_with_what_passed(db: Database) -> None:
    opened = transaction(gaps=[gap(2, None)])
    await db.store.commit(opened)
    assert await db.store.gaps(1, ns(0), OPEN_END) == [hole(2, None)]
    await db.put(gaps=[gap(2, 9, volume=1200)])
    await db.store.commit(opened)
    assert await db.store.gaps(1, ns(0), OPEN_END) == [hole(2, 9, volume=1200)]


async def test_a_gap_that_was_empty_may_open_again(db: Database) -> None:
    await db.put(gaps=[gap(2, 2)])
    await db.put(gaps=[gap(2, None)])
    assert await db.store.gaps(1, ns(0), OPEN_END) == [hole(2, None)]


async def test_a_gap_that_lasts_ends_where_its_source_is_heard_again(db: Database) -> None:
    """A journal that was lost never tells of the end of what it began."""
    await db.put(gaps=[gap(2, None), gap(3, None, source="binance_ws")])
    await db.put(coverage=[uptime(9, None)])
    ours, others = await db.store.gaps(1, ns(0), OPEN_END)
    assert ours == hole(2, 9)
    assert others.end_ns is None


async def test_the_view_of_what_was_heard_leaves_out_uptimes_that_heard_nothing(db: Database) -> None:
    await db.put(coverage=[uptime(0, 5), uptime(6, 6, stream=2), uptime(7, None, stream=3)])
    assert db.sql("SELECT source, is_open FROM coverage") == [("kite_ws", 0)]


async def test_an_older_uptime_leaves_a_gap_that_lasts_alone(db: Database) -> None:
    await db.put(gaps=[gap(20, None)])
    await db.put(coverage=[uptime(9, None)])
    assert await db.store.gaps(1, ns(0), OPEN_END) == [hole(20, None)]


@pytest.mark.parametrize("ended", [40, None], ids=["an uptime that ended", "an uptime that nobody ended"])
async def test_a_journal_that_knows_nothing_begins_to_miss_where_its_source_was_last_heard(
    db: Database, ended: int | None
) -> None:
    """A new journal beside a copy: its first gap begins with the trade date, as far as it knows."""
    known = {"repair": "repaired", "reason": "kite"}
    await db.put(
        gaps=[gap(0, 10, cause=Cause.START, volume=7)],
        coverage=[uptime(10, ended), uptime(41, 41, stream=2), uptime(50, 90, source="binance_ws")],
        streams={1: ("kite_ws", ns(40))},
        lsn=1,
        epoch=(await db.store.claim(JOURNAL, "test")).epoch,
    )
    (first,) = await db.store.gaps(1, ns(0), OPEN_END)
    first = replace(first, **known)  # type: ignore[arg-type]
    await db.store.commit(Transaction(repairs=[first]))
    db.sql("DELETE FROM positions")  # which a copy leaves out

    begun = transaction(
        gaps=[gap(0, 60, cause=Cause.START, volume=900)], coverage=[uptime(60, None, stream=3)]
    )
    await db.store.commit(begun)
    await db.store.commit(begun)

    assert await db.store.gaps(1, ns(0), OPEN_END) == [first, hole(40, 60, "start")]


async def test_a_journal_after_one_that_was_lost_misses_also_what_that_one_heard_last(db: Database) -> None:
    """What was forming when it was lost is in no row: only the gap can say so, and have it repaired."""
    owner = await db.store.claim(JOURNAL, "test")
    await db.put(coverage=[uptime(10, None)], streams={1: ("kite_ws", ns(40))}, lsn=1, epoch=owner.epoch)
    begun = transaction(
        gaps=[gap(0, 60, cause=Cause.START, volume=900)], coverage=[uptime(60, None, stream=3)]
    )
    await db.store.commit(begun)
    ((start, end),) = [(one.start_ns, one.end_ns) for one in await db.store.gaps(1, ns(0), OPEN_END)]
    assert (start, end) == (ns(0), ns(60))


async def test_two_causes_at_one_start_are_two_gaps(db: Database) -> None:
    await db.put(gaps=[gap(2, 3, cause=Cause.LATE), gap(2, 4)])
    found = await db.store.gaps(1, ns(0), OPEN_END)
    assert {row.cause for row in found} == {"late", "disconnect"}


async def test_gaps_are_answered_where_they_overlap_by_start(db: Database) -> None:
    await db.put(gaps=[gap(30, None), gap(0, 10), gap(10, 20), gap(20, 30, cause=Cause.MUTE)])
    assert await db.store.gaps(1, ns(10), ns(30)) == [hole(10, 20), hole(20, 30, "mute")]


async def test_a_gap_of_an_instant_is_found_in_the_range_that_holds_it(db: Database) -> None:
    await db.put(gaps=[gap(5.5, 5.5, cause=Cause.UNDECODABLE)])
    assert await db.store.gaps(1, ns(5.5), ns(6)) == [hole(5.5, 5.5, "undecodable")]
    assert await db.store.gaps(1, ns(5), ns(5.5)) == []


# -- the position and its guard -------------------------------------------------------


async def test_a_claim_says_where_the_last_owner_stopped(db: Database) -> None:
    first = await db.store.claim(JOURNAL, "pid 1")
    assert first.position is None
    await db.put(candle(), lsn=4096, epoch=first.epoch)
    second = await db.store.claim(JOURNAL, "pid 2")
    assert (second.position, second.epoch) == (Position(JOURNAL, 4096), first.epoch + 1)
    assert (await db.store.claim("another journal", "pid 3")).position is None
    assert await db.store.positions() == [Position(JOURNAL, 4096)]


async def test_an_owner_that_lost_its_role_can_write_nothing(db: Database) -> None:
    old = await db.store.claim(JOURNAL, "pid 1")
    await db.put(lsn=10, epoch=old.epoch)
    new = await db.store.claim(JOURNAL, "pid 2")
    with pytest.raises(Fenced, match="pid 2"):
        await db.put(candle(), marks=[mark(0, 1)], gaps=[gap(0, 1)], lsn=20, epoch=old.epoch)
    assert len(await db.store.candles(1, 1, 0, OPEN_END, 10)) == 0
    assert await db.store.gaps(1, 0, OPEN_END) == []
    assert await db.store.positions() == [Position(JOURNAL, 10)]
    await db.put(candle(), lsn=20, epoch=new.epoch)
    assert await db.store.positions() == [Position(JOURNAL, 20)]


async def test_history_needs_no_role_and_moves_no_position(db: Database) -> None:
    owner = await db.store.claim(JOURNAL, "pid 1")
    await db.put(lsn=10, epoch=owner.epoch)
    await db.put(candle(source="csv"), coverage=[uptime(0, 60, stream=0, source="csv")])
    assert await db.store.positions() == [Position(JOURNAL, 10)]
    assert (await kept(db))[0] == "csv"


async def test_the_owner_may_step_its_journal_again_from_an_older_position(db: Database) -> None:
    owner = await db.store.claim(JOURNAL, "pid 1")
    await db.put(lsn=10, epoch=owner.epoch)
    await db.put(lsn=4, epoch=owner.epoch)
    assert await db.store.positions() == [Position(JOURNAL, 4)]


# -- all or nothing -------------------------------------------------------------------


async def test_a_row_that_makes_no_sense_takes_its_whole_transaction_with_it(db: Database) -> None:
    upside_down = list(candle(1))
    upside_down[4] = upside_down[5] - 1  # high below low
    with pytest.raises(Exception, match=r"(?i)check"):
        await db.put(candle(0), tuple(upside_down))
    assert len(await db.store.candles(1, 1, 0, OPEN_END, 10)) == 0
    await db.put(candle(0))
    assert len(await db.store.candles(1, 1, 0, OPEN_END, 10)) == 1


async def test_a_candle_that_opens_between_two_seconds_is_refused(db: Database) -> None:
    crooked = list(candle(0))
    crooked[2] += 1
    with pytest.raises(ValueError, match="whole second"):
        await db.put(tuple(crooked))


async def test_a_cancelled_commit_is_there_wholly_or_not_at_all(db: Database) -> None:
    owner = await db.store.claim(JOURNAL, "pid 1")
    seconds = range(2000)
    for lsn, turns in enumerate((0, 1, 2, 5), 1):
        rows = [candle(second, close=100 + lsn, revision=lsn) for second in seconds]
        task = asyncio.create_task(
            db.store.commit(transaction(candles=rows, lsn=lsn, epoch=owner.epoch)), name="commit"
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await db.put(lsn=99, epoch=owner.epoch)  # waits for whatever is still at work
    found = await db.store.candles(1, 1, 0, OPEN_END, 10_000)
    assert len(found) in {0, 2000}
    assert len(set(found["revision"].tolist())) <= 1


async def test_a_reader_never_sees_half_a_transaction(db: Database) -> None:
    owner = await db.store.claim(JOURNAL, "pid 1")
    rows = 3000
    seen = []

    async def write() -> None:
        for n in range(6):
            both = [candle(second, close=100 + n, revision=n) for second in range(rows)]
            await db.put(*both, lsn=n, epoch=owner.epoch)

    async def read(writer: asyncio.Task[None]) -> None:
        while not writer.done():
            found = await db.store.candles(1, 1, 0, OPEN_END, rows)
            seen.append((len(found), tuple(set(found["close"].tolist()))))

    async with asyncio.TaskGroup() as group:
        writer = group.create_task(write(), name="write")
        group.create_task(read(writer), name="read")
    assert {count for count, _ in seen} <= {0, rows}
    assert max(len(closes) for _, closes in seen) == 1
    assert len({closes for _, closes in seen}) > 1  # it did read while rows changed


async def test_a_closed_store_says_so(db: Database) -> None:
    await db.store.close()
    await db.store.close()
    with pytest.raises(StoreUnavailable):
        await db.put(candle())
    with pytest.raises(StoreUnavailable):
        await db.store.instruments()


# -- instruments ----------------------------------------------------------------------


async def test_instruments_get_small_ids_that_stay(db: Database) -> None:
    tcs = Instrument("TCS.NS", "NSE", "", "NSE.EQ.cas", VolumeKind.CUMULATIVE)
    found = await db.store.ensure_instruments([tcs, NIFTY, RELIANCE, tcs])
    assert [instrument.id for instrument in found] == [3, 2, 1, 3]
    assert [instrument.symbol for instrument in found] == ["TCS.NS", NIFTY.symbol, RELIANCE.symbol, "TCS.NS"]
    assert [i.symbol for i in await db.store.instruments()] == [NIFTY.symbol, RELIANCE.symbol, "TCS.NS"]


async def test_what_is_known_better_now_is_brought_up_to_date(db: Database) -> None:
    await db.store.ensure_instruments([Instrument("RELIANCE.NS", "NSE", "", "always", VolumeKind.CUMULATIVE)])
    found = {instrument.symbol: instrument for instrument in await db.store.instruments()}["RELIANCE.NS"]
    assert (found.id, found.session_class, found.name) == (1, "always", RELIANCE.name)


# -- reading --------------------------------------------------------------------------


async def test_candles_come_back_as_they_went_in(db: Database) -> None:
    sent = transaction(
        candles=[
            candle(0, close=100.05, volume=0.125, flags=16, revision=3, partial=True),
            candle(1, close=1e-9, volume=None),
            candle(2, close=2.0**60, volume=1e15, source="bhavcopy"),
        ]
    )
    await db.store.commit(sent)
    found = await db.store.candles(1, 1, 0, OPEN_END, 10)
    for name in sent.candles.dtype.names or ():
        assert np.array_equal(found[name], sent.candles[name], equal_nan=name in {"volume", "oi"}), name


async def test_candles_are_the_last_of_the_range_ascending(db: Database) -> None:
    await db.put(*(candle(second) for second in range(10)))
    found = await db.store.candles(1, 1, ns(2), ns(8), 3)
    assert found["ts"].tolist() == [ns(5), ns(6), ns(7)]
    assert (await db.store.candles(1, 1, ns(2), ns(8), 99))["ts"].tolist() == [ns(s) for s in range(2, 8)]
    assert (await db.store.candles(1, 1, ns(2.5), ns(7.5), 99))["ts"].tolist() == [ns(s) for s in range(3, 8)]
    assert len(await db.store.candles(1, 1, ns(8), ns(2), 99)) == 0
    assert len(await db.store.candles(2, 1, ns(0), ns(8), 99)) == 0


async def test_an_excerpt_is_candles_with_coverage_and_gaps_from_the_first_of_them_on(db: Database) -> None:
    await db.put(
        *(candle(second, close=100 + second) for second in range(20, 30)),
        coverage=[uptime(0, 5), uptime(10, 22, stream=2), uptime(26, 40, stream=3)],
        gaps=[gap(5, 10), gap(22, 26, volume=7)],
    )
    await db.put(gaps=[gap(5.5, 5.5, cause=Cause.LATE), gap(24, None, cause=Cause.MUTE), gap(50, None)])
    spans = {
        OPEN_END: (ns(25), 5),  # the first candle decides
        ns(27): (ns(25), 5),
        ns(10): (ns(10), 5),
        ns(5): (ns(5), 5),
        -OPEN_END: (-OPEN_END, 5),
    }
    for since, (begun, limit) in spans.items():
        found = await db.store.excerpt(1, 1, ns(0), ns(40), limit, since)
        same = await db.store.candles(1, 1, ns(0), ns(40), limit)
        for name in ("ts", "close", "source", "state"):
            assert found.candles[name].tolist() == same[name].tolist()
        assert len(same) == limit
        assert found.coverage == await db.store.coverage(1, begun, ns(40))
        assert found.gaps == await db.store.gaps(1, begun, ns(40))
    assert len(found.coverage) == 3
    assert len(found.gaps) == 4


async def test_an_excerpt_without_candles_begins_where_it_was_told(db: Database) -> None:
    await db.put(coverage=[uptime(0, 5), uptime(10, 20, stream=2)], gaps=[gap(5, 10)])
    found = await db.store.excerpt(1, 60, -OPEN_END, ns(40), 5, ns(6))
    assert (len(found.candles), len(found.coverage), len(found.gaps)) == (0, 1, 1)
    found = await db.store.excerpt(1, 60, -OPEN_END, ns(40), 5, OPEN_END)
    assert (len(found.candles), found.coverage, found.gaps) == (0, [], [])
    with pytest.raises(ValueError, match="120"):
        await db.store.excerpt(1, 120, 0, OPEN_END, 1, OPEN_END)


async def test_an_excerpt_has_a_commit_wholly_or_not_at_all(db: Database) -> None:
    owner = await db.store.claim(JOURNAL, "pid 1")
    seen = set()

    async def write() -> None:
        for n in range(1, 40):
            both = [candle(second, close=100 + n, revision=n) for second in range(200)]
            await db.put(*both, gaps=[gap(-n, -n + 0.5)], lsn=n, epoch=owner.epoch)

    async with asyncio.TaskGroup() as group:
        writer = group.create_task(write(), name="write")
        while not writer.done():
            found = await db.store.excerpt(1, 1, 0, OPEN_END, 200, 0)
            seen.add((set(found.candles["close"].tolist()) or {100}).pop() - 100 - len(found.gaps))
    assert seen == {0}


async def test_an_interval_that_is_not_stored_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="120"):
        await db.store.candles(1, 120, 0, OPEN_END, 1)
    with pytest.raises(ValueError, match="120"):
        await db.put(candle(0, interval_s=120))


async def test_the_newest_candle_of_each_instrument_and_interval_is_known(db: Database) -> None:
    await db.put(*(candle(second) for second in range(3)), candle(0, interval_s=60), candle(9, instrument=2))
    assert await db.store.last_candle_ns() == {(1, 1): ns(2), (1, 60): ns(0), (2, 1): ns(9)}


async def test_symbols_tell_what_is_stored_of_each(db: Database) -> None:
    await db.put(*(candle(second) for second in range(3)), candle(0, interval_s=60))
    found = [(row.instrument.symbol, row.ranges) for row in await db.store.symbols()]
    assert found == [(NIFTY.symbol, {}), (RELIANCE.symbol, {1: (ns(0), ns(2)), 60: (ns(0), ns(0))})]


async def test_the_size_grows_with_what_is_stored(db: Database) -> None:
    before = await db.store.size()
    await db.put(*(candle(second) for second in range(5000)))
    after = await db.store.size()
    assert after.data + after.pending > before.data + before.pending + 100_000
