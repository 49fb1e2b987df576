import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.ticks import Packets
from mdingest.errors import DecodeError
from mdingest.providers.base import Decoded
from mdingest.providers.kite.codec import FULL, INDEX_FULL, INDEX_QUOTE, KINDS, LTP, QUOTE
from mdingest.providers.kite.decoder import KiteDecoder
from mdingest.providers.kite.segments import segment_of
from tests.support.frames import (
    FIRST_REC,
    frames,
    kite_frame,
    kite_full,
    kite_index,
    kite_ltp,
    kite_quote,
    kite_sub,
)

FIXTURES = Path(__file__).parents[3] / "fixtures"
EXPECTED = json.loads((FIXTURES / "kite_expected.json").read_text())
NS = 1_000_000_000
INFY, TCS, NIFTY = 408065, 2953217, 256265


def decode(*messages: bytes | str, subs: list[Subscription] | None = None) -> Decoded:
    decoder = KiteDecoder()
    decoder.subscribe(
        [kite_sub(INFY, 1), kite_sub(TCS, 2), kite_sub(NIFTY, 3, index=True)] if subs is None else subs
    )
    return decoder.decode(frames(messages))


def column(packets: Packets, name: str) -> list[Any]:
    return ["none" if value != value else value for value in packets[name].tolist()]  # noqa: PLR0124 - NaN


def stamp_ns(text: str) -> int:
    return int(np.datetime64(text[:19], "s").astype(int) - 19_800) * NS


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_fixture_reads_as_the_official_parser_read_it(name: str) -> None:
    ticks = EXPECTED[name]["decoded_by_kiteconnect_5.2.2"]
    tokens = list(dict.fromkeys(tick["instrument_token"] for tick in ticks))
    subs = [kite_sub(token, i, segment_of(token).divisor) for i, token in enumerate(tokens, 1)]  # type: ignore[union-attr]

    raw = (FIXTURES / f"kite_{name}.bin").read_bytes()
    assert raw.hex() == EXPECTED[name]["hex"]
    decoded = decode(raw, subs=subs)

    assert decoded.bad == []
    assert len(decoded.packets) == len(ticks)
    for packet, tick in zip(decoded.packets, ticks, strict=True):
        assert tokens[packet["instrument_id"] - 1] == tick["instrument_token"]
        assert packet["price"] == tick["last_price"]
        if "ohlc" in tick:
            assert (packet["day_high"], packet["day_low"]) == (tick["ohlc"]["high"], tick["ohlc"]["low"])
        for ours, theirs in (("volume", "volume_traded"), ("oi", "oi")):
            if tick.get(theirs):
                assert packet[ours] == tick[theirs]
            else:
                assert np.isnan(packet[ours])
        for ours, theirs in (("ts_exchange", "exchange_timestamp"), ("ts_trade", "last_trade_time")):
            assert packet[ours] == (stamp_ns(tick[theirs]) if theirs in tick else 0)


def test_the_layouts_have_the_lengths_that_the_wire_names() -> None:
    assert {n: dtype.itemsize for n, dtype in KINDS.items()} == {8: 8, 28: 28, 32: 32, 44: 44, 184: 64}
    offsets = {
        name: [FULL.fields[name][1]] for name in ("volume", "day_high", "ts_trade", "oi", "ts_exchange")
    }  # type: ignore[index]
    assert offsets == {"volume": [16], "day_high": [32], "ts_trade": [44], "oi": [48], "ts_exchange": [60]}
    for dtype in (LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL):
        assert all(dtype[name].byteorder == ">" for name in dtype.names or ())


def test_numbers_are_unsigned() -> None:
    (packet,) = decode(
        kite_frame(kite_full(INFY, 4_000_000_000, volume=3_000_000_000, oi=0xFFFF_FFFF))
    ).packets

    assert (packet["price"], packet["volume"], packet["oi"]) == (40_000_000.0, 3e9, 4_294_967_295.0)


@pytest.mark.parametrize(
    ("token", "price"),
    [
        (INFY, 83_252.5),
        (1000 << 8 | 3, 0.832525),
        (2000 << 8 | 6, 832.525),
        (3000 << 8 | 12, 832.525),
        (9 << 8 | 7, 83_252.5),
    ],
)
def test_each_segment_has_its_divisor(token: int, price: float) -> None:
    segment = segment_of(token)
    assert segment is not None
    (packet,) = decode(
        kite_frame(kite_ltp(token, 8_325_250)), subs=[kite_sub(token, 1, segment.divisor)]
    ).packets

    assert packet["price"] == price


def test_segments_of_different_divisors_share_a_frame() -> None:
    cds = 1000 << 8 | 3
    decoded = decode(
        kite_frame(kite_ltp(INFY, 157_370), kite_ltp(cds, 832_525_000)),
        subs=[kite_sub(INFY, 1), kite_sub(cds, 2, 1e7)],
    )

    assert column(decoded.packets, "price") == [1573.7, 83.2525]


def test_what_the_wire_does_not_say_is_absent() -> None:
    packets = decode(
        kite_frame(
            kite_full(INFY, 0),
            kite_ltp(INFY, 100),
            kite_quote(INFY, 100, volume=0, high=200, low=0),
            kite_index(NIFTY, 100, high=300, low=50),
            kite_index(NIFTY, 100, second=7),
        )
    ).packets

    assert column(packets, "price") == ["none", 1, 1, 1, 1]
    assert column(packets, "volume") == [0, "none", 0, "none", "none"]
    assert column(packets, "day_high") == ["none", "none", 2, 3, "none"]
    assert column(packets, "day_low") == ["none", "none", "none", 0.5, "none"]
    assert column(packets, "ts_exchange") == [0, 0, 0, 0, 7 * NS]
    assert set(column(packets, "size") + column(packets, "oi")) == {"none"}
    assert set(column(packets, "ts_trade")) == {0}
    assert set(column(packets, "trade_id")) == {-1}


def test_an_instrument_without_volume_has_none_whatever_its_packets_say() -> None:
    subs = [kite_sub(INFY, 1, index=True), kite_sub(TCS, 2)]
    packets = decode(
        kite_frame(kite_full(INFY, 1, volume=9), kite_quote(TCS, 1, volume=9)), subs=subs
    ).packets

    assert column(packets, "volume") == ["none", 9]


def test_no_open_interest_is_a_fact_of_derivatives_only() -> None:
    future = 47164 << 8 | 2
    subs = [kite_sub(INFY, 1), kite_sub(future, 2)]
    packets = decode(kite_frame(kite_full(INFY, 1, oi=0), kite_full(future, 1, oi=0)), subs=subs).packets

    assert column(packets, "oi") == ["none", 0]


def test_packets_come_in_arrival_order_over_uniform_and_mixed_frames() -> None:
    decoded = decode(
        kite_frame(kite_full(INFY, 1), kite_full(TCS, 2)),
        kite_frame(kite_ltp(INFY, 3), kite_full(TCS, 4), kite_index(NIFTY, 5)),
        kite_frame(kite_ltp(INFY, 6)),
        b"\x00",
        kite_frame(),
        kite_frame(kite_full(TCS, 7), kite_ltp(TCS, 8)),
        kite_frame(kite_index(NIFTY, 9, second=1)),
    )

    assert [round(price * 100) for price in column(decoded.packets, "price")] == list(range(1, 10))
    assert [rec - FIRST_REC for rec in column(decoded.packets, "rec")] == [0, 0, 1, 1, 1, 2, 5, 5, 6]
    assert column(decoded.packets, "instrument_id") == [1, 2, 1, 2, 3, 1, 2, 2, 3]
    assert decoded.bad == []


def test_packets_of_unknown_length_are_skipped_and_counted() -> None:
    decoded = decode(
        kite_frame(kite_ltp(INFY, 1), b"\x07" * 12, b"", kite_ltp(TCS, 2)),
        kite_frame(b"\x01" * 99),
        kite_frame(b"", b""),
    )

    assert column(decoded.packets, "price") == [0.01, 0.02]
    assert (decoded.skipped, decoded.unknown, decoded.bad) == (5, 0, [])


def test_text_is_counted_not_decoded() -> None:
    decoded = decode('{"type":"message","data":"hello"}', kite_frame(kite_ltp(INFY, 1)))

    assert column(decoded.packets, "rec") == [FIRST_REC + 1]
    assert (decoded.skipped, decoded.bad) == (1, [])


def test_heartbeats_and_empty_frames_are_nothing() -> None:
    decoded = decode(b"\x00", b"\xff", b"", b"\x00\x00")

    assert (len(decoded.packets), decoded.bad, decoded.skipped) == (0, [], 0)


@pytest.mark.parametrize(
    ("message", "kept", "error"),
    [
        (kite_frame(kite_ltp(INFY, 1), kite_ltp(INFY, 2))[:-1], [0.01], "packet 2 of 2 is cut off: 1 bytes"),
        (kite_frame(kite_ltp(INFY, 1))[:-8], [], "packet 1 of 1 is cut off: 8 bytes"),
        (kite_frame(kite_ltp(INFY, 1), kite_ltp(INFY, 2))[:-9], [0.01], "ends after 1 of 2"),
        (kite_frame(kite_ltp(INFY, 1), kite_ltp(INFY, 2))[:-10], [0.01], "ends after 1 of 2"),
        (
            b"\x00\x05" + kite_frame(kite_ltp(INFY, 1), kite_ltp(INFY, 2))[2:],
            [0.01, 0.02],
            "ends after 2 of 5",
        ),
        (
            b"\x00\x01" + kite_frame(kite_ltp(INFY, 1), kite_ltp(INFY, 2))[2:],
            [0.01],
            "10 bytes follow the last of 1",
        ),
        (b"\x00\x00" + kite_frame(kite_ltp(INFY, 1))[2:], [], "10 bytes follow the last of 0"),
        (b"\x00\x01", [], "ends after 0 of 1"),
        (b"\x00\x01\x00", [], "ends after 0 of 1"),
        (b"\xff\xff\xff\xff", [], "cut off"),
        # The size fits one length, the lengths themselves do not.
        (
            b"\x00\x02" + b"\x00\x08" + kite_ltp(INFY, 1) + b"\x00\x09" + kite_ltp(INFY, 2),
            [0.01],
            "packet 2 of 2",
        ),
        (b"\x00\x02" + b"\x00\x08" + kite_ltp(INFY, 1) + b"\x00\x07" + bytes(8), [0.01], "1 bytes follow"),
    ],
)
def test_a_damaged_frame_is_reported_and_keeps_its_good_packets(
    message: bytes, kept: list[float], error: str
) -> None:
    decoded = decode(kite_frame(kite_ltp(TCS, 100)), message, kite_frame(kite_ltp(TCS, 200)))

    assert column(decoded.packets, "price") == [1.0, *kept, 2.0]
    (bad,) = decoded.bad
    assert (bad.rec, bad.stream_id) == (FIRST_REC + 1, 3)
    assert error in bad.error


def test_subscriptions_change_while_frames_come() -> None:
    decoder = KiteDecoder()
    message = frames([kite_frame(kite_ltp(INFY, 1000), kite_ltp(TCS, 1000))])
    assert decoder.decode(message).unknown == 2

    decoder.subscribe([kite_sub(INFY, 1)])
    decoder.subscribe([kite_sub(TCS, 2)])
    assert column(decoder.decode(message).packets, "instrument_id") == [1, 2]

    decoder.subscribe([kite_sub(TCS, 7, divisor=10.0)])
    decoder.unsubscribe([str(INFY), "never seen"])
    decoded = decoder.decode(message)
    assert (column(decoded.packets, "instrument_id"), column(decoded.packets, "price")) == ([7], [100.0])
    assert decoded.unknown == 1


@pytest.mark.parametrize("key", ["", "x", "-1", "1.0", "4294967296", "²"])
def test_a_key_that_is_no_token_is_refused(key: str) -> None:
    with pytest.raises(DecodeError, match="no Kite subscription"):
        KiteDecoder().subscribe([Subscription(key, 1, 100.0, "always", VolumeKind.NONE)])


@pytest.mark.parametrize("divisor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_divisor_that_divides_nothing_is_refused(divisor: float) -> None:
    decoder = KiteDecoder()
    with pytest.raises(DecodeError, match="divisor"):
        decoder.subscribe([kite_sub(TCS, 1), kite_sub(INFY, 1, divisor)])
    assert decoder.decode(frames([kite_frame(kite_ltp(TCS, 1))])).unknown == 1  # nothing of it was taken
