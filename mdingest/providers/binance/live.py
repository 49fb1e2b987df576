"""Binance spot: single trades over the public websocket. No key, no session, always open.

A frame is one JSON text, either bare or wrapped with the name of its stream::

    {"e":"trade","E":1795150815123,"s":"BTCUSDT","t":12345,"p":"65000.10","q":"0.015","T":1795150815120,"m":true}

Facts from binance/binance-spot-api-docs a5e0bc3 (2026-07-21), web-socket-streams.md, read
2026-11-22. Streams are subscribed by message after the connect rather than by address: an
address with 1,024 names is longer than proxies accept, and symbols can be added later.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import orjson

from mdingest.calendars import ALWAYS
from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.instrument import Instrument
from mdingest.core.ticks import PACKET, Packets, empty_packets
from mdingest.errors import ConfigError, DecodeError, MdingestError, PermanentError, TransientError
from mdingest.providers.base import BadFrame, Decoded, Frames, Heard, LiveProvider, Resolved
from mdingest.providers.options import ProviderOptions, WebsocketUrl

_MS = 1_000_000
_VENUE = "BINANCE"
_SYMBOL = re.compile(rf"([A-Z0-9]{{2,30}})\.{_VENUE}")
_NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?", re.ASCII)
_MAX_NUMBER = 1e15
_MAX_MS = 1 << 43  # the year 2248: fits into int64 ns, and microseconds do not pass for it
_MAX_ID = 1 << 62
_STREAMS_A_MESSAGE = 256
_TEXT_LIMIT = 200
_TRADE = Heard(data=True)
_RETRY_BANNED_S = 300.0  # attempts are counted over five minutes


class BinanceOptions(ProviderOptions):
    """``url`` may be the market-data-only host, ``wss://data-stream.binance.vision``."""

    url: WebsocketUrl = "wss://stream.binance.com:9443"


class BinanceDecoder:
    """Decodes one stream. Implements `FrameDecoder`."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def subscribe(self, subs: Sequence[Subscription]) -> None:
        """Raises DecodeError for a key that is no Binance symbol."""
        for sub in subs:
            if not sub.key or sub.key != sub.key.upper():
                raise DecodeError(f"no Binance symbol: {sub.key!r}")
        self._ids |= {sub.key: sub.instrument_id for sub in subs}

    def unsubscribe(self, keys: Sequence[str]) -> None:
        """Keys that were never subscribed are ignored."""
        for key in keys:
            self._ids.pop(key, None)

    def decode(self, frames: Frames) -> Decoded:
        """One packet a trade. Other events and answers to our messages count as ``skipped``."""
        out = Decoded()
        rows: list[tuple[int, int, int, int, float, float, int]] = []
        bounds = zip(frames.rec.tolist(), frames.starts.tolist(), frames.ends.tolist(), strict=True)
        for rec, start, end in bounds:
            try:
                event = _event(frames.data[start:end])
                if event is None:
                    out.skipped += 1
                    continue
                instrument_id = self._ids.get(_text(event, "s"))
                trade = _trade(event)
            except DecodeError as exc:
                out.bad.append(BadFrame(rec, frames.stream_id, str(exc)))
                continue
            if instrument_id is None:
                out.unknown += 1
            else:
                rows.append((rec, instrument_id, *trade))
        if rows:
            out.packets = _columns(rows, frames.stream_id)
        return out


def _columns(rows: list[tuple[int, int, int, int, float, float, int]], stream_id: int) -> Packets:
    packets = np.array(rows, _ROW)
    out = empty_packets(len(rows))
    out["stream_id"] = stream_id
    for name in _ROW.names or ():
        out[name] = packets[name]
    return out


_ROW = np.dtype(
    [
        (name, PACKET[name])
        for name in ("rec", "instrument_id", "ts_exchange", "ts_trade", "price", "size", "trade_id")
    ]
)


def _event(raw: memoryview) -> dict[str, Any] | None:
    """The trade in a frame, unwrapped; None for what is legal and not a trade."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise DecodeError(f"not JSON: {exc}") from exc
    if isinstance(message, dict) and "stream" in message:
        message = message.get("data")
    if not isinstance(message, dict):
        raise DecodeError("JSON, but not an object")
    if message.get("e") == "trade":
        return message
    if isinstance(message.get("e"), str) or {"result", "error", "code"} & message.keys():
        return None
    raise DecodeError("an object that is no event")


def _unwrapped(frame: str | bytes) -> dict[str, Any] | None:
    """The object in a frame, out of its stream's wrapper; None if there is none."""
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    inner = message.get("data") if isinstance(message, dict) else None
    found: dict[str, Any] | None = inner if isinstance(inner, dict) else message
    return found if isinstance(found, dict) else None


def _trade(event: dict[str, Any]) -> tuple[int, int, float, float, int]:
    """Exchange time, trade time (ns), price, size, id. Every number is bounded both ways."""
    return (
        _whole(event, "E", 1, _MAX_MS) * _MS,
        _whole(event, "T", 1, _MAX_MS) * _MS,
        _decimal(event, "p"),
        _decimal(event, "q"),
        _whole(event, "t", 0, _MAX_ID),
    )


def _text(event: dict[str, Any], key: str) -> str:
    value = event.get(key)
    if not isinstance(value, str):
        raise DecodeError(f"{key} is not text")
    return value


def _whole(event: dict[str, Any], key: str, least: int, below: int) -> int:
    value = event.get(key)
    if type(value) is not int or not least <= value < below:
        raise DecodeError(f"{key} is not a whole number of its range")
    return value


def _decimal(event: dict[str, Any], key: str) -> float:
    """A positive number written as text: ``float`` alone would take inf, nan and 1_0."""
    text = _text(event, key)
    value = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not 0 < value < _MAX_NUMBER:
        raise DecodeError(f"{key} is not a positive number")
    return value


class BinanceLive:
    """What one connection says and hears. Implements `LiveProtocol`."""

    feed = "binance_ws"
    resolution_ns = _MS
    silence_s = math.inf  # a quiet market sends nothing but pings, which are no frames
    spacing_s = 0.35  # three a second: five are allowed, a ping and a pong included
    answers = False  # a symbol that does not trade says nothing
    max_instruments = 1024
    max_connections = 10  # none documented; 300 attempts in five minutes are

    def __init__(self, options: BinanceOptions) -> None:
        self._options = options
        self._ids = count(1)

    def url(self, subs: Sequence[Subscription]) -> str:  # noqa: ARG002 - the same for all
        """Bare events: no wrapper to parse or to keep."""
        return f"{self._options.url}/ws"

    def headers(self) -> dict[str, str]:
        """None are needed."""
        return {}

    def greeting(self, subs: Sequence[Subscription]) -> list[str | bytes]:
        """SUBSCRIBE, 256 streams a message."""
        return list(self._messages("SUBSCRIBE", subs))

    def farewell(self, subs: Sequence[Subscription]) -> list[str | bytes]:
        """UNSUBSCRIBE, likewise."""
        return list(self._messages("UNSUBSCRIBE", subs))

    def _messages(self, method: str, subs: Sequence[Subscription]) -> Iterator[str]:
        for begin in range(0, len(subs), _STREAMS_A_MESSAGE):
            names = [f"{sub.key.lower()}@trade" for sub in subs[begin : begin + _STREAMS_A_MESSAGE]]
            yield orjson.dumps({"method": method, "params": names, "id": next(self._ids)}).decode()

    def receive(self, frame: str | bytes) -> Heard:
        """Trades, and what nobody understands, are kept; answers and announcements are not."""
        if ('"e":"trade"' if isinstance(frame, str) else b'"e":"trade"') in frame:  # type: ignore[operator]
            return _TRADE
        message = _unwrapped(frame)
        if message is None:
            return Heard()  # the decoder will count it as damage
        if message.get("e") == "trade":  # spelt with blanks, say by a proxy
            return _TRADE
        if message.get("e") == "serverShutdown":
            return Heard(journal=False, reconnect="the server announced its shutdown")
        error = message.get("error", message if "code" in message else None)
        if error is not None:
            return Heard(journal=False, note=f"error: {' '.join(str(error).split())[:_TEXT_LIMIT]}")
        return Heard(journal="result" not in message)

    def stamp_ns(self, frame: str | bytes) -> int:  # noqa: ARG002 - the protocol's
        """Not needed: the ids of trades tell what was lost in a silence."""
        return 0

    def refused(self, status: int, body: str) -> MdingestError:  # noqa: ARG002 - bodies are HTML
        """Blocked countries and wrong addresses need a person; limits need time."""
        said = f"Binance refused the connection with HTTP {status}"
        match status:
            case 451:
                return PermanentError(f"{said}: it does not serve this country; set providers.binance_ws.url")
            case 403 | 418:  # the firewall, a ban: both pass
                return TransientError(f"{said}: too many requests from this address", _RETRY_BANNED_S)
            case 400 | 401 | 404 | 405 | 410:
                return PermanentError(f"{said}: check providers.binance_ws.url")
        return TransientError(said)


def resolve(
    symbols: Sequence[str],
    options: BinanceOptions,
    instruments: str | Iterable[str] | None = None,  # noqa: ARG001 - the symbol is the key
    *,
    problems: list[str] | None = None,
) -> list[Resolved]:
    """See `providers.base.Resolve`. ``BTCUSDT.BINANCE``; whether it exists only Binance knows."""
    resolved, wrong = [], []
    for symbol in dict.fromkeys(symbols):
        match = _SYMBOL.fullmatch(symbol)
        if match is None:
            wrong.append(f"{symbol}: must look like BTCUSDT.{_VENUE}")
            continue
        session = options.session_class_of(symbol, ALWAYS)
        resolved.append(
            Resolved(
                Instrument(symbol, _VENUE, match[1], session, VolumeKind.TRADES),
                Subscription(match[1], 0, 1.0, session, VolumeKind.TRADES),
            )
        )
    if problems is not None:
        problems += wrong
    elif wrong:
        raise ConfigError("\n".join(wrong))
    return resolved


PROVIDER = LiveProvider(
    name=BinanceLive.feed,
    Options=BinanceOptions,
    decoder=BinanceDecoder,
    live=BinanceLive,
    resolve=resolve,
)
