"""Packets byte by byte, against values packed by hand and decoded by the broker's own parser."""

from datetime import date

import numpy as np
import pytest

from mdingest.simulators import kite_wire as wire
from mdingest.simulators.instruments import SimInstrument, default_instruments
from mdingest.simulators.kite_wire import Frame, Mode, frames_of, parcels_of
from mdingest.simulators.market import TRADE_DTYPE, Market, S, Trades, universe_of

INSTRUMENTS = default_instruments(date(2026, 11, 20))
UNIVERSE = universe_of(INSTRUMENTS)
INDEX = 4


def trade(row: int, **columns: int) -> Trades:
    made = np.zeros(1, dtype=TRADE_DTYPE)
    made["row"] = row
    for name, value in columns.items():
        made[name] = value
    return Trades(made)


def encoded(trades: Trades, mode: Mode) -> bytes:
    (frame,) = frames_of(parcels_of(UNIVERSE, trades, np.full(len(trades), mode, dtype=np.int8)), 100)
    return frame.encode()


def some_trades(count: int) -> Trades:
    made = Market(INSTRUMENTS, start_ns=1_795_132_800 * S, rate=50, seed=1)
    return Trades(made.advance(made.until_ns + 10 * S)[:count])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Mode.LTP, "00010008 0003e909 0027dc79"),
        (Mode.QUOTE, "0001001c 0003e909 0027dc79 0027fa60 0027ac45 0027bffa 0027b032 00002c47"),
        (Mode.FULL, "00010020 0003e909 0027dc79 0027fa60 0027ac45 0027bffa 0027b032 00002c47 6affd3df"),
    ],
)
def test_an_index_has_high_low_open_close_in_this_order(mode: Mode, expected: str) -> None:
    value = trade(
        INDEX, ts=1795150815 * S + 5, price=2612345, high=2620000, low=2600005, open=2605050, close=2601010
    )

    assert encoded(value, mode) == bytes.fromhex(expected)


def test_a_share_in_full_has_its_fields_where_the_broker_has_them() -> None:
    value = trade(
        2,
        ts=1795150815 * S,
        sent=1795150816 * S,
        price=157370,
        size=7,
        volume=3_000_000_000,  # more than a signed field holds
        turnover=157_000 * 3_000_000_000,
        open=1,
        high=2,
        low=3,
        close=4,
        oi=5,
        oi_high=6,
        oi_low=8,
    )
    body = encoded(value, Mode.FULL)[4:]
    words = [int.from_bytes(body[at : at + 4], "big") for at in range(0, 64, 4)]

    assert len(body) == 184
    assert words[:5] == [408065, 157370, 7, 157000, 3_000_000_000]
    assert words[7:] == [1, 2, 3, 4, 1795150815, 5, 6, 8, 1795150816]
    bids = [int.from_bytes(body[at + 4 : at + 8], "big") for at in range(64, 124, 12)]
    offers = [int.from_bytes(body[at + 4 : at + 8], "big") for at in range(124, 184, 12)]
    assert bids == [157370 - 5 * level for level in range(5)]
    assert offers == [157375 + 5 * level for level in range(5)]
    assert encoded(value, Mode.QUOTE)[4:] == body[:44]
    assert encoded(value, Mode.LTP)[4:] == body[:8]


def test_segments_have_their_own_divisors() -> None:
    rupee = SimInstrument(256003, "CDS", "USDINR26NOVFUT", "USDINR", "CDS-FUT", 832_525_000, tick=25_000)

    assert rupee.price / rupee.divisor == 83.2525
    assert SimInstrument(512006, "BCD", "X", "X", "BCD-FUT", 1).divisor == 10_000
    assert INSTRUMENTS[0].divisor == 100


def test_frames_hold_no_more_than_asked_for_and_every_packet_once() -> None:
    trades = some_trades(500)
    modes = np.array([Mode.FULL, Mode.QUOTE, Mode.LTP, Mode.FULL, Mode.FULL, Mode.OFF], dtype=np.int8)

    frames = list(frames_of(parcels_of(UNIVERSE, trades, modes[trades["row"]]), 60))

    assert [len(frame) for frame in frames[:-1]] == [60] * (len(frames) - 1)
    told = np.concatenate([frame.trades() for frame in frames])
    for row in range(5):  # in order within an instrument
        assert np.array_equal(told[told["row"] == row], trades[trades["row"] == row])
    assert 5 not in told["row"]
    for frame in frames:
        data, at, count = frame.encode(), 2, 0
        while at < len(data):
            at += 2 + int.from_bytes(data[at : at + 2], "big")
            count += 1
        assert (at, count) == (len(data), int.from_bytes(data[:2], "big"))


def two_kinds() -> Frame:
    both = trade(0, price=1), trade(0, price=2), trade(INDEX, price=3)
    (frame,) = frames_of(
        parcels_of(UNIVERSE, Trades(np.concatenate(both)), np.full(3, Mode.FULL, dtype=np.int8)), 9
    )
    return frame


@pytest.mark.parametrize(
    ("packet", "share", "left"), [(0, 0, 2), (1, 0.5, 2 + 186 + 93), (2, 0.99, 2 + 372 + 33)]
)
def test_a_frame_can_be_cut_within_any_packet(packet: int, share: float, left: int) -> None:
    whole = two_kinds().encode()

    assert two_kinds().cut_in(packet, share) == whole[:left]


def test_an_unknown_packet_stands_between_known_ones() -> None:
    whole, mixed = two_kinds().encode(), two_kinds().with_unknown(12)

    assert mixed[:2] == b"\x00\x04"
    assert mixed[2:374] + mixed[374 + 14 :] == whole[2:]
    assert mixed[374:388] == b"\x00\x0c" + bytes(12)


def test_a_heartbeat_is_one_byte() -> None:
    assert len(wire.HEARTBEAT) == 1
