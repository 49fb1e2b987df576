"""Our decoder and the broker's own parser read the same in any packets."""

import os
import random
import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from mdingest.core.ticks import PACKET
from mdingest.providers.base import Decoded
from mdingest.providers.kite.decoder import KiteDecoder
from mdingest.providers.kite.segments import SEGMENTS
from tests.support.frames import FIRST_REC, frames, kite_frame, kite_sub

NS = 1_000_000_000
PARSER = KiteTicker("key", "token")
TOKENS = [(exchange_token << 8) | segment.id for segment in SEGMENTS for exchange_token in (1, 2885, 65_535)]
DIVISORS = {segment.id: segment.divisor for segment in SEGMENTS}
STRANGER = 77 << 8 | 1
KNOWN_LENGTHS = (8, 28, 32, 44, 184)

words = st.one_of(st.integers(0, 0xFFFF_FFFF), st.sampled_from([0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]))


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    """The parser makes naive local times."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@st.composite
def packets(draw: st.DrawFn, length: int | None = None) -> bytes:
    """A packet of any kind, known or not, with any numbers in it."""
    size = draw(st.sampled_from([*KNOWN_LENGTHS, 12, 183])) if length is None else length
    token = draw(st.sampled_from([*TOKENS, STRANGER]))
    if size not in KNOWN_LENGTHS:
        return struct.pack(">I", token) + bytes(size - 4)
    head = draw(st.lists(words, min_size=min(size, 64) // 4 - 1, max_size=min(size, 64) // 4 - 1))
    return struct.pack(f">{len(head) + 1}I", token, *head) + bytes(max(0, size - 64))


uniform = st.sampled_from(KNOWN_LENGTHS).flatmap(lambda n: st.lists(packets(n), min_size=1, max_size=9))
messages = st.one_of(
    uniform.map(lambda some: kite_frame(*some)),
    st.lists(packets(), max_size=9).map(lambda some: kite_frame(*some)),
    st.sampled_from([b"\x00", b"\x00\x00", b'{"type":"message","data":"x"}']),
)


def decode(raw: list[bytes], tokens: list[int] = TOKENS) -> Decoded:
    decoder = KiteDecoder()
    decoder.subscribe([kite_sub(t, i, DIVISORS[t & 0xFF]) for i, t in enumerate(tokens, 1)])
    return decoder.decode(frames(raw))


def nan_for_zero(value: float) -> float:
    return value or float("nan")


def official(raw: list[bytes]) -> list[dict[str, Any]]:
    """What the official parser reads, as columns of ours."""
    rows = []
    for rec, message in enumerate(raw, FIRST_REC):
        for tick in PARSER._parse_binary(message) if not message.startswith(b"{") else []:
            token = tick["instrument_token"]
            if token == STRANGER:
                continue
            day = tick.get("ohlc", {"high": 0, "low": 0})
            stamps = [tick.get("exchange_timestamp"), tick.get("last_trade_time")]
            cash = token & 0xFF in (1, 4, 9)
            interest = tick.get("oi", float("nan"))
            rows.append(
                {
                    "rec": rec,
                    "stream_id": 3,
                    "instrument_id": TOKENS.index(token) + 1,
                    "ts_exchange": round(stamps[0].timestamp()) * NS if stamps[0] else 0,
                    "ts_trade": round(stamps[1].timestamp()) * NS if stamps[1] else 0,
                    "price": nan_for_zero(tick["last_price"]),
                    "size": float("nan"),
                    "volume": tick.get("volume_traded", float("nan")),
                    "day_high": nan_for_zero(day["high"]),
                    "day_low": nan_for_zero(day["low"]),
                    "oi": nan_for_zero(interest) if cash else interest,
                    "trade_id": -1,
                }
            )
    return rows


@given(raw=st.lists(messages, max_size=12))
def test_any_frames_read_as_by_the_official_parser(raw: list[bytes]) -> None:
    ours, theirs = decode(raw), official(raw)

    assert ours.bad == []
    assert len(ours.packets) == len(theirs)
    for name in PACKET.names or ():
        want = np.array([row[name] for row in theirs], PACKET[name])
        assert np.array_equal(ours.packets[name], want, equal_nan=want.dtype.kind == "f"), name


@given(
    some=st.lists(packets(), min_size=1, max_size=20), cut=st.integers(0, 4000), count=st.integers(0, 0xFFFF)
)
def test_a_cut_or_lying_frame_keeps_its_whole_packets(some: list[bytes], cut: int, count: int) -> None:
    whole = kite_frame(*some)
    for broken, kept in (
        (whole[:cut], some[: whole_packets(some, cut)]),
        (struct.pack(">H", count) + whole[2:], some[:count]),
    ):
        decoded = decode([whole, broken, whole])

        one = decode([whole]).packets
        assert len(decoded.packets) == 2 * len(one) + len(decode([kite_frame(*kept)]).packets)
        assert np.array_equal(
            decoded.packets["rec"] == FIRST_REC + 2,
            np.arange(len(decoded.packets)) >= len(decoded.packets) - len(one),
        )
        intact = broken == whole or len(broken) < 2 or (broken == b"\x00\x00")
        assert [bad.rec for bad in decoded.bad] == ([] if intact else [FIRST_REC + 1])


def whole_packets(some: list[bytes], cut: int) -> int:
    """How many packets lie before byte ``cut`` of their frame."""
    ends = np.cumsum([2] + [2 + len(packet) for packet in some])[1:]
    return int(np.count_nonzero(ends <= cut))


@given(seed=st.integers(0, 2**32), n=st.integers(0, 400))
def test_every_token_is_found_and_no_other(seed: int, n: int) -> None:
    rng = random.Random(seed)
    some = rng.sample(range(1, 1 << 24), 2 * n)
    mine, others = [t << 8 | 1 for t in some[:n]], [t << 8 | 1 for t in some[n:]]
    raw = [kite_frame(*(struct.pack(">II", t, 5) for t in mine + others))]
    decoded = decode(raw, mine)

    assert decoded.packets["instrument_id"].tolist() == list(range(1, n + 1))
    assert decoded.unknown == n
