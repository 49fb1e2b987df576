import json
import math
from typing import Any

import numpy as np
import pytest

from mdingest.core.control import Subscription, VolumeKind
from mdingest.errors import DecodeError, PermanentError, TransientError
from mdingest.pipeline.pulse import Pulse
from mdingest.providers.base import Decoded
from mdingest.providers.binance import BinanceDecoder, BinanceLive, BinanceOptions, resolve
from tests.support.frames import FIRST_REC, frames

TRADE = {
    "e": "trade",
    "E": 1795150815123,
    "s": "BTCUSDT",
    "t": 12345,
    "p": "65000.10000000",
    "q": "0.01500000",
    "T": 1795150815120,
    "m": True,
    "M": True,
}


def sub(key: str, instrument_id: int = 1) -> Subscription:
    return Subscription(key, instrument_id, 1.0, "always", VolumeKind.TRADES)


def decode(*messages: bytes | str | dict[str, Any]) -> Decoded:
    decoder = BinanceDecoder()
    decoder.subscribe([sub("BTCUSDT", 1), sub("ETHUSDT", 2)])
    return decoder.decode(frames([json.dumps(m) if isinstance(m, dict) else m for m in messages]))


def live() -> BinanceLive:
    return BinanceLive(BinanceOptions())


def test_a_quiet_market_is_no_dead_socket() -> None:
    """A pair without a trade for minutes sends nothing but pings, which are no frames."""
    pulse = Pulse(lambda: math.inf)
    pulse.connected(0.0, live().silence_s)

    assert [pulse.dead(float(second)) for second in range(3_600)] == [""] * 3_600


def test_messages_keep_within_five_a_second_with_a_ping_and_a_pong_among_them() -> None:
    assert 3 * live().spacing_s > 1.0


def test_a_trade_is_a_packet_with_its_own_size() -> None:
    (packet,) = decode(TRADE).packets

    assert (packet["rec"], packet["stream_id"], packet["instrument_id"]) == (FIRST_REC, 3, 1)
    assert (packet["price"], packet["size"], packet["trade_id"]) == (65000.1, 0.015, 12345)
    assert (packet["ts_trade"], packet["ts_exchange"]) == (1795150815120_000_000, 1795150815123_000_000)
    assert np.isnan([packet[name] for name in ("volume", "day_high", "day_low", "oi")]).all()


def test_a_wrapped_trade_is_the_same() -> None:
    wrapped = decode({"stream": "btcusdt@trade", "data": TRADE}).packets

    assert wrapped.tobytes() == decode(TRADE).packets.tobytes()


def test_other_events_and_answers_are_skipped() -> None:
    decoded = decode(
        TRADE | {"e": "aggTrade"},
        {"stream": "x", "data": {"e": "kline", "s": "BTCUSDT"}},
        {"result": None, "id": 1},
        {"code": 2, "msg": "Invalid request"},
        {"error": {"code": 2, "msg": "Invalid request"}, "id": 1},
    )

    assert (len(decoded.packets), decoded.skipped, decoded.bad) == (0, 5, [])


def test_a_symbol_nobody_asked_for_is_counted() -> None:
    decoded = decode(TRADE | {"s": "DOGEUSDT"}, TRADE | {"s": "btcusdt"}, TRADE)

    assert (len(decoded.packets), decoded.unknown) == (1, 2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("p", bad)
            for bad in (
                "NaN",
                "Infinity",
                "inf",
                "-1",
                "0",
                "0.0",
                "",
                " 1",
                "1_0",
                "1e3",
                "٣",
                "1e999",
                1.5,
                None,
            )
        ),
        *(("q", bad) for bad in ("nan", "-Infinity", "-0.1", "0", "+1", "0x1", ".5", 2, "9" * 19)),
        *(("T", bad) for bad in (0, -1, 1.5, "1795150815120", None, True, 1795150815120_000, 2**70)),
        *(("E", bad) for bad in (0, -5, "x", False)),
        *(("t", bad) for bad in (-1, 2**62, "7", 1.0, True)),
        ("s", 7),
        ("s", None),
        ("e", 7),
    ],
)
def test_a_value_out_of_bounds_spoils_its_frame_only(key: str, value: object) -> None:
    decoded = decode(TRADE, TRADE | {key: value}, TRADE)

    assert decoded.packets["rec"].tolist() == [FIRST_REC, FIRST_REC + 2]
    (bad,) = decoded.bad
    assert (bad.rec, bad.stream_id) == (FIRST_REC + 1, 3)


@pytest.mark.parametrize("key", sorted(TRADE.keys() - {"m", "M"}))
def test_no_field_may_be_missing(key: str) -> None:
    assert len(decode({k: v for k, v in TRADE.items() if k != key}).bad) == 1


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"null", b"[]", b'"x"', b"{}", b'{"stream":"x"}', b'{"stream":"x","data":[]}', b"\xff\xfe"],
)
def test_what_is_no_event_is_damage(raw: bytes) -> None:
    assert [bad.rec for bad in decode(raw).bad] == [FIRST_REC]


def test_literals_that_are_not_json_are_damage() -> None:
    text = json.dumps(TRADE).replace("1795150815120", "NaN")

    assert len(decode(text).bad) == 1


def test_a_key_must_be_a_symbol() -> None:
    for key in ("", "btcusdt"):
        with pytest.raises(DecodeError, match="no Binance symbol"):
            BinanceDecoder().subscribe([sub(key)])


def test_unsubscribed_symbols_are_unknown_again() -> None:
    decoder = BinanceDecoder()
    decoder.subscribe([sub("BTCUSDT")])
    decoder.unsubscribe(["BTCUSDT", "NEVER"])

    assert decoder.decode(frames([json.dumps(TRADE)])).unknown == 1


def test_a_thousand_streams_take_four_messages_with_ids_of_their_own() -> None:
    one = live()
    subs = [sub(f"S{n}USDT") for n in range(1024)]
    said = [json.loads(message) for message in one.greeting(subs) + one.farewell(subs)]

    assert [message["method"] for message in said] == ["SUBSCRIBE"] * 4 + ["UNSUBSCRIBE"] * 4
    assert [name for message in said[:4] for name in message["params"]] == [
        f"s{n}usdt@trade" for n in range(1024)
    ]
    assert len({message["id"] for message in said}) == 8


def test_the_address_asks_for_bare_events() -> None:
    assert live().url([sub("BTCUSDT")]) == "wss://stream.binance.com:9443/ws"


def test_trades_and_riddles_are_kept_and_answers_are_not() -> None:
    kept = [json.dumps(TRADE), json.dumps(TRADE, separators=(",", ":")), "{", "[]", '{"e":"news"}']
    dropped = ['{"result":null,"id":1}', '{"code":2,"msg":"no"}', '{"e":"serverShutdown","E":1}']

    assert all(live().receive(frame).journal for frame in kept)
    assert not any(live().receive(frame).journal for frame in dropped)
    assert [live().receive(frame).data for frame in kept] == [True, True, False, False, False]


def test_a_shutdown_is_left_at_once() -> None:
    for frame in (
        '{"e":"serverShutdown","E":1}',
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}',
    ):
        assert "shutdown" in live().receive(frame).reconnect


@pytest.mark.parametrize(
    "frame", ['{"code":2,"msg":"Invalid request"}', '{"error":{"code":2,"msg":"Invalid request"},"id":1}']
)
def test_errors_are_noted(frame: str) -> None:
    assert "Invalid request" in live().receive(frame).note


def test_a_ban_is_waited_out() -> None:
    for status in (403, 418):
        error = live().refused(status, "")
        assert isinstance(error, TransientError)
        assert error.retry_after_s == 300


def test_a_country_that_is_not_served_needs_a_person() -> None:
    error = live().refused(451, "")

    assert isinstance(error, PermanentError)
    assert "country" in str(error)


@pytest.mark.parametrize(
    "symbol",
    ["BTCUSDT", "BTCUSDT.NS", "btcusdt.BINANCE", ".BINANCE", "BTC/USDT.BINANCE", "BTCUSDT.BINANCE\n"],
)
def test_a_symbol_must_look_like_one(symbol: str) -> None:
    problems: list[str] = []

    assert resolve([symbol], BinanceOptions(), problems=problems) == []
    assert "must look like BTCUSDT.BINANCE" in problems[0]


def test_a_symbol_is_its_own_key_and_always_open() -> None:
    ((instrument, subscription),) = resolve(["BTCUSDT.BINANCE"], BinanceOptions())

    assert (instrument.exchange, instrument.session_class) == ("BINANCE", "always")
    assert (subscription.key, subscription.divisor, subscription.volume) == (
        "BTCUSDT",
        1.0,
        VolumeKind.TRADES,
    )
