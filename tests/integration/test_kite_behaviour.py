"""What Kite's feed really does, played by the simulator and held against what is made of it.

`PITFALLS` names the test of each known trap of this feed; some live beside what they test.
"""

import ast
import json
import time
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from mdingest.core.events import Flag
from mdingest.core.session import Session
from mdingest.simulators.hours import AUTO, Hours
from mdingest.simulators.instruments import SimInstrument, named_instruments
from mdingest.simulators.kite_exchange import KiteExchange
from mdingest.simulators.market import Market
from mdingest.simulators.sampling import EVERY_TRADE, Pace, Sampler
from mdingest.simulators.tape import Journal
from mdingest.simulators.trades import Ordered
from tests.support.broker_day import BrokerDay, S, ist

HERE = Path(__file__).name
CONNECTION = "integration/test_connection.py"
INTAKE = "unit/pipeline/test_intake.py"

PITFALLS = {  # what the feed does, and the test that shows what becomes of it
    1: ("snapshots, not ticks; volume is cumulative", HERE, "test_volume_is_the_growth_of_the_days_total"),
    2: ("built candles are not the broker's", HERE, "test_every_row_says_that_it_was_built_from_this_feed"),
    3: ("the day's open becomes the pre-open price", HERE, "test_the_first_minute_opens_with_its_own_trade"),
    4: (
        "one trade at 09:08, prices move before 09:15",
        HERE,
        "test_the_pre_open_is_one_trade_in_its_session",
    ),
    5: ("a stale packet on every subscription", HERE, "test_at_night_stale_snapshots_open_no_candle"),
    6: ("ticks after the close", HERE, "test_after_the_close_there_is_no_bogus_bar"),
    7: ("packets of the order book alone", HERE, "test_order_books_alone_move_no_candle"),
    8: ("no timestamps but in mode full", HERE, "test_quote_mode_is_placed_by_the_local_clock_and_says_so"),
    9: ("no volume in mode ltp", HERE, "test_ltp_mode_is_refused_for_candles"),
    10: ("clients make naive local times", HERE, "test_the_hosts_zone_changes_nothing"),
    11: ("stamps are whole seconds", HERE, "test_within_a_second_order_is_arrival"),
    12: (
        "nothing comes at the minute's edge",
        HERE,
        "test_a_packet_after_the_minutes_edge_tells_of_before_it",
    ),
    14: ("the packet's prices are the day's", HERE, "test_the_days_prices_are_not_the_candles"),
    15: (
        "divisors differ by segment",
        HERE,
        "test_currency_trades_beyond_half_past_three_at_its_own_divisor",
    ),
    16: ("an index has no volume", HERE, "test_an_index_has_no_volume_and_moves_by_its_clock"),
    17: ("volumes beyond 2^31", HERE, "test_a_total_beyond_two_to_the_31st_stays_positive"),
    18: ("a new day, a restart in mid-day", HERE, "test_a_new_day_begins_at_zero_and_loses_nothing"),
    19: ("a silent socket", CONNECTION, "test_a_socket_that_is_open_and_mute_is_left"),
    20: (
        "slow work in the callback",
        INTAKE,
        "test_a_record_waits_no_longer_than_asked_also_under_a_steady_stream",
    ),
    21: (
        "a token that expires",
        CONNECTION,
        "test_a_403_parks_the_feed_without_hammering_until_the_token_changes",
    ),
    22: (
        "limits of a connection",
        "unit/pipeline/test_shards.py",
        "test_too_many_instruments_are_a_clear_error",
    ),
    27: ("hours differ", HERE, "test_currency_trades_beyond_half_past_three_at_its_own_divisor"),
}
"""By row of the project's list of traps. The others are about other sources, and 13 is about the
broker's history over HTTP, which no adapter here fetches yet."""

RELIANCE, TCS, NIFTY, FUTURE = "RELIANCE.NS", "TCS.NS", "NIFTY_50.INDEX", "RELIANCE26NOVFUT.NFO"
LISTED = named_instruments([RELIANCE, TCS, NIFTY, FUTURE], date(2026, 11, 20))
RUPEE = SimInstrument(
    256003, "CDS", "USDINR26NOVFUT", "USDINR", "CDS-FUT", 832_525_000, 25_000, 1, "FUT", date(2026, 11, 26)
)
ONE_A_SECOND = Pace(S)
WITH_BOOKS = Pace(S, S)


def at_broker(
    begin: str,
    *,
    rate: float = 2.0,
    pace: Pace = EVERY_TRADE,
    script: dict[str, list[tuple[str, float, int]]] | None = None,
    instruments: tuple[SimInstrument, ...] = LISTED,
    least_volume: int = 0,
    mode: str = "full",
) -> BrokerDay:
    """A broker from a clock time in India on, everything subscribed; both keep the same hours."""
    tokens = {one.symbol: one.token for one in instruments}
    ordered = [
        Ordered(tokens[symbol], ist(when), round(price * 100), size)
        for symbol, trades in (script or {}).items()
        for when, price, size in trades
    ]
    market = Market(
        instruments,
        start_ns=ist(begin),
        rate=rate,
        seed=11,
        hours=Hours(instruments, AUTO),
        script=ordered,
        least_volume=least_volume,
    )
    return BrokerDay(instruments, market, pace=pace, options={"mode": mode}).connect()


@cache
def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", PITFALLS)
def test_every_known_trap_has_its_test(row: int) -> None:
    _, module, name = PITFALLS[row]
    root = Path(__file__).parents[1]
    path = Path(__file__) if module == HERE else root / module

    assert name in names_in(path)


# --- the traps


def test_volume_is_the_growth_of_the_days_total() -> None:
    day = at_broker("10:00", rate=6.0, pace=ONE_A_SECOND).run_to(ist("10:04")).cut("stop")
    packets = sum(len(day.candles(symbol, 1)) for symbol in (RELIANCE, TCS, FUTURE))
    assert sum(len(day.trades(symbol)) for symbol in (RELIANCE, TCS, FUTURE)) > 4 * packets

    for symbol in (RELIANCE, TCS, FUTURE):
        rows = day.candles(symbol)
        for minute in list(rows)[1:-1]:  # the first and the last were heard in part
            inside = sum(size for ns, _, size in day.trades(symbol) if minute <= ns < minute + 60 * S)
            edges = max(size for _, _, size in day.trades(symbol)) * 12
            assert abs(rows[minute]["volume"] - inside) <= edges
        last_quantities = sum(row["trades"] for row in rows.values()) * 21
        assert sum(row["volume"] for row in rows.values()) > 2 * last_quantities


def test_every_row_says_that_it_was_built_from_this_feed() -> None:
    day = at_broker("10:00").run_to(ist("10:02"))

    assert {key[0] for key in day.ledger.candles} == {1}  # rank.BY_NAME["kite_ws"].id
    assert day.candles(RELIANCE)


OPENING: dict[str, list[tuple[str, float, int]]] = {
    RELIANCE: [("09:08:12", 1500, 9_000), ("09:15:00.3", 1510, 10), ("09:15:30", 1505, 20)]
}


def test_the_first_minute_opens_with_its_own_trade() -> None:
    day = at_broker("08:58", pace=WITH_BOOKS, script=OPENING).run_to(ist("09:17"))

    row = day.candles(RELIANCE)[ist("09:15")]
    assert (row["open"], row["high"], row["low"], row["volume"]) == (1510, 1510, 1505, 30)
    assert int(day.market.last["open"][0]) == 150_000  # what the packets call the day's open


def test_the_pre_open_is_one_trade_in_its_session() -> None:
    day = at_broker("08:58", pace=WITH_BOOKS, script=OPENING).run_to(ist("09:15"))

    rows = day.candles(RELIANCE)
    assert list(rows) == [ist("09:08")]
    row = rows[ist("09:08")]
    assert (row["session"], row["volume"], row["trades"]) == (Session.PREOPEN, 9_000, 1)
    others = [day.candles(symbol) for symbol in (TCS, FUTURE)]
    assert [[row["trades"] for row in rows.values()] for rows in others] == [[1], [1]]


def test_at_night_stale_snapshots_open_no_candle() -> None:
    day = at_broker("02:00", pace=WITH_BOOKS).run_to(ist("02:03")).cut()
    day.run_to(ist("02:04")).connect().run_to(ist("02:10"))

    assert not day.ledger.candles
    assert [volume for *_, volume in day.gaps(RELIANCE)] == [0.0]  # of the cut; nothing was missed


def test_on_a_holiday_nothing_comes_but_the_snapshot() -> None:
    begin = ist("10:00", "2026-11-24")
    market = Market(LISTED, start_ns=begin, hours=Hours(LISTED, AUTO), seed=1)
    day = BrokerDay(LISTED, market, pace=WITH_BOOKS).connect().run_to(begin + 120 * S)

    assert not day.ledger.candles
    assert not day.tape.parts


def test_after_the_close_there_is_no_bogus_bar() -> None:
    script = {TCS: [("15:29:59.9", 3100, 5), ("15:50:30", 3100, 7)]}
    day = at_broker("15:28", pace=WITH_BOOKS, script=script).run_to(ist("15:52"))

    rows = day.candles(TCS)
    assert [(at, row["session"]) for at, row in rows.items()] == [
        (ist("15:29"), Session.REGULAR),
        (ist("15:50"), Session.POSTCLOSE),
    ]


def test_order_books_alone_move_no_candle() -> None:
    script = {TCS: [("10:00:20", 3100, 5)]}
    day = at_broker("10:00", pace=WITH_BOOKS, script=script).run_to(ist("10:03"))

    assert list(day.candles(TCS, 1)) == [ist("10:00:20")]
    assert day.candles(TCS, 1)[ist("10:00:20")]["trades"] == 1


def test_quote_mode_is_placed_by_the_local_clock_and_says_so() -> None:
    day = at_broker("10:00", pace=ONE_A_SECOND, mode="quote").run_to(ist("10:03"))

    rows = day.candles(RELIANCE, 1)
    assert len(rows) > 100
    assert {row["flags"] & Flag.LOCAL_CLOCK for row in rows.values()} == {Flag.LOCAL_CLOCK}
    day.cut("stop").run_to(ist("10:03:10"))
    after = day.heard(RELIANCE, 0, ist("10:04")) - day.heard(RELIANCE, 0, ist("10:03"))
    assert after > 0
    assert day.accounted(RELIANCE) == day.total(RELIANCE) - after


def test_ltp_mode_is_refused_for_candles() -> None:
    with pytest.raises(ValidationError, match="ltp carries no volume"):
        at_broker("10:00", mode="ltp")


def test_the_hosts_zone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for zone in ("UTC", "Asia/Kolkata", "America/New_York"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        rows.append(at_broker("10:00").run_to(ist("10:02")).ledger.candles)
    monkeypatch.undo()
    time.tzset()

    assert rows[0] == rows[1] == rows[2]


def test_within_a_second_order_is_arrival() -> None:
    script = {TCS: [("10:00:20.1", 3103, 5), ("10:00:20.5", 3101, 5), ("10:00:20.9", 3102, 5)]}
    day = at_broker("10:00", script=script).run_to(ist("10:01"))

    row = day.candles(TCS, 1)[ist("10:00:20")]
    assert (row["open"], row["high"], row["low"], row["close"]) == (3103, 3103, 3101, 3102)


def test_a_packet_after_the_minutes_edge_tells_of_before_it() -> None:
    script = {TCS: [("10:00:59.98", 3100, 5)]}
    day = at_broker("10:00", pace=ONE_A_SECOND, script=script).run_to(ist("10:01:08"))

    assert list(day.candles(TCS)) == [ist("10:00")]
    (sent,) = [
        int(packets[part["row"] == 1][0])
        for part, packets in zip(day.tape.parts, day.tape.packets, strict=True)
        if (part["row"] == 1).any()
    ]
    assert sent >= ist("10:01")


def test_the_days_prices_are_not_the_candles() -> None:
    script = {TCS: [("10:00:05", 3200, 5), ("10:00:06", 3000, 5), ("10:02:10", 3100, 5)]}
    day = at_broker("10:00", pace=ONE_A_SECOND, script=script).run_to(ist("10:04"))

    row = day.candles(TCS)[ist("10:02")]
    assert (row["open"], row["high"], row["low"], row["close"]) == (3100, 3100, 3100, 3100)


def test_currency_trades_beyond_half_past_three_at_its_own_divisor() -> None:
    day = at_broker("16:28", instruments=(RUPEE,)).run_to(ist("16:31"))

    rows = day.candles("USDINR26NOVFUT.CDS")
    assert {row["session"] for row in rows.values()} == {Session.REGULAR}
    assert list(rows)[-1] >= ist("16:29")
    assert all(70 < row["close"] < 100 for row in rows.values())


def test_an_index_has_no_volume_and_moves_by_its_clock() -> None:
    day = at_broker("10:00", pace=ONE_A_SECOND).run_to(ist("10:03"))

    rows = day.candles(NIFTY, 1)
    assert len(rows) > 100
    assert {row["volume"] for row in rows.values()} == {None}


def test_a_total_beyond_two_to_the_31st_stays_positive() -> None:
    day = at_broker("10:00", least_volume=3_000_000_000).run_to(ist("10:02")).cut("stop")
    day.run_to(ist("10:02:10"))

    assert day.total(RELIANCE) > 1 << 31
    traded = sum(size for ns, _, size in day.trades(RELIANCE) if ns < ist("10:02"))
    assert sum(row["volume"] for row in day.candles(RELIANCE, 1).values()) <= traded
    assert min(row["volume"] for row in day.candles(RELIANCE, 1).values()) > 0


def test_a_new_day_begins_at_zero_and_loses_nothing() -> None:
    day = at_broker("15:52", pace=WITH_BOOKS).run_to(ist("16:01"))
    friday = day.total(RELIANCE)
    monday = ist("00:00", "2026-11-23")
    day.skip_to(ist("08:59", "2026-11-23")).run_to(ist("09:01", "2026-11-23"))
    assert (friday > 0, day.total(RELIANCE)) == (True, 0)
    day.run_to(ist("09:17", "2026-11-23"))
    day.cut("stop").run_to(ist("09:17:10", "2026-11-23"))

    for symbol in (RELIANCE, TCS, FUTURE):
        assert day.accounted(symbol, monday) == day.heard(symbol, monday, ist("09:17", "2026-11-23")) > 0
        assert next(at for at in day.candles(symbol) if at > monday) == ist("09:08", "2026-11-23")


# --- what has no row of its own


@pytest.mark.parametrize("pace", [EVERY_TRADE, WITH_BOOKS], ids=["every trade", "conflated"])
def test_a_restart_in_mid_day_puts_what_passed_into_the_gap(pace: Pace) -> None:
    day = at_broker("09:05", pace=pace).run_to(ist("09:20")).killed().run_to(ist("09:20:40"))
    day.started().connect().run_to(ist("09:23"))

    for symbol in (RELIANCE, TCS, FUTURE):
        ((start, end, volume),) = day.gaps(symbol)[1:]
        away = sum(size for ns, _, size in day.trades(symbol) if start <= ns < end)
        assert start <= ist("09:20")
        assert ist("09:20:40") <= end <= ist("09:20:43")
        assert 0 < (volume or 0) <= away


def test_a_trade_time_of_zero_leaves_the_packets_own_time() -> None:
    day = at_broker("10:00")
    for second in range(10, 60, 10):
        day.run_to(ist("10:00") + second * S)
        day.exchange.inject("notime", 0)
    day.run_to(ist("10:02"))

    flagged = [row for row in day.candles(RELIANCE, 1).values() if row["flags"] & Flag.PACKET_TIME]
    assert flagged
    begun = min(day.candles(RELIANCE, 1))
    heard = sum(size for ns, _, size in day.trades(RELIANCE) if begun <= ns < ist("10:01:50"))
    stored = sum(row["volume"] for at, row in day.candles(RELIANCE, 1).items() if at < ist("10:01:50"))
    assert stored == heard


def test_a_total_of_a_while_ago_is_out_of_order_and_nothing_is_counted_twice() -> None:
    day = at_broker("10:00")
    for second in range(10, 60, 10):
        day.run_to(ist("10:00") + second * S)
        day.exchange.inject("back", 0)
    day.run_to(ist("10:02"))

    assert day.ledger.counts["out_of_order"] >= 5
    begun = min(day.candles(RELIANCE, 1))
    heard = sum(size for ns, _, size in day.trades(RELIANCE) if begun <= ns < ist("10:01:50"))
    stored = sum(row["volume"] for at, row in day.candles(RELIANCE, 1).items() if at < ist("10:01:50"))
    assert stored == heard


def test_a_correction_by_the_exchange_is_followed_and_flagged() -> None:
    day = at_broker("10:00", rate=0.5, least_volume=50_000_000).run_to(ist("10:01"))
    before = day.total(RELIANCE)
    day.exchange.inject("correct", 0)
    assert day.total(RELIANCE) < before
    day.run_to(ist("10:04"))

    assert day.ledger.counts["corrections"] >= 3
    assert any(row["flags"] & Flag.VOLUME_SUSPECT for row in day.candles(RELIANCE, 1).values())
    late = sum(size for ns, _, size in day.trades(RELIANCE) if ist("10:02") <= ns < ist("10:03"))
    assert day.candles(RELIANCE)[ist("10:02")]["volume"] == late


# --- the broker itself


def conflated(step_ns: int) -> tuple[Any, Any, Any]:
    """Packets, trades told of and the instant of each one's packet, of a minute in steps."""
    market = Market(LISTED, start_ns=ist("10:00"), rate=5.0, seed=2, hours=Hours(LISTED, AUTO), lively=True)
    sampler = Sampler(market.universe, market.hours, market.last, Pace(S, 3 * S))
    packets, trades, sent = [], [], []
    while market.until_ns < ist("10:01"):
        begin = market.until_ns
        made = market.advance(min(begin + step_ns, ist("10:01")))
        sending = sampler.take(made, market.last, begin, market.until_ns)
        packets.append(sending.packets)
        trades.append(sending.trades)
        sent.append(sending.packets["sent"][sending.carrier])
    return np.concatenate(packets), np.concatenate(trades), np.concatenate(sent)


def test_a_broker_that_conflates_sends_the_same_in_whatever_steps() -> None:
    for one, other in zip(conflated(S), conflated(270_000_001), strict=True):
        if one.dtype.names:
            order, same = (np.lexsort((rows["ts"], rows["row"])) for rows in (one, other))
            assert np.array_equal(one[order], other[same])
        else:
            assert np.array_equal(np.sort(one), np.sort(other))


def test_a_packet_has_the_state_after_the_last_trade_that_it_includes() -> None:
    packets, trades, sent = conflated(S)

    for row, one in enumerate(LISTED):
        mine = packets[packets["row"] == row]
        assert np.all(np.diff(mine["sent"]) >= S)
        told, left = trades[trades["row"] == row], sent[trades["row"] == row]
        assert np.all((told["ts"] < left) & (left <= told["ts"] + S))
        for packet in mine:
            inside = told[left == packet["sent"]]
            if len(inside):
                assert packet["volume"] == inside["volume"][-1]
                assert packet["high"] == inside["high"][-1]
                assert packet["since"] == inside["ts"][0]
            else:
                assert not one.is_index


def test_the_tape_has_every_trade_and_the_packet_that_was_first_to_include_it(tmp_path: Path) -> None:
    market = Market(LISTED, start_ns=ist("10:00"), rate=4.0, seed=2, hours=Hours(LISTED, AUTO))
    same = Market(LISTED, start_ns=ist("10:00"), rate=4.0, seed=2, hours=Hours(LISTED, AUTO))
    made = same.advance(ist("10:00:28"))
    with Journal(LISTED, tape=tmp_path / "tape") as journal:
        exchange = KiteExchange(LISTED, market, journal, pace=ONE_A_SECOND)
        while exchange.until_ns < ist("10:00:30"):
            exchange.turn(exchange.until_ns + S // 4)
    lines = [json.loads(line) for line in (tmp_path / "tape").read_text().splitlines()]

    assert {(line["token"], line["ns"], line["volume"] or 0) for line in lines} >= {
        (LISTED[row].token, ns, volume) for row, ns, volume in made[["row", "ts", "volume"]].tolist()
    }
    assert all(line["ns"] < line["packet"] <= line["ns"] + S for line in lines)


def test_order_books_leave_each_single_trade_its_own_packet() -> None:
    script = {TCS: [("10:00:20.1", 3103, 5), ("10:00:20.5", 3101, 6)]}
    day = at_broker("10:00", pace=Pace(depth_ns=S), script=script).run_to(ist("10:01"))

    ns, packets = day.told_by(TCS)
    assert ns.tolist() == packets.tolist() == [ist("10:00:20.1"), ist("10:00:20.5")]
    row = day.candles(TCS, 1)[ist("10:00:20")]
    assert (row["trades"], row["volume"], row["open"], row["close"]) == (2, 11, 3103, 3101)
    assert not day.ledger.counts
