"""The payloads of control records, as types. JSON on disk; no credentials, ever."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class VolumeKind(StrEnum):
    """What a feed says about size."""

    CUMULATIVE = "cumulative"  # the day's total in each packet (Kite, Upstox)
    TRADES = "trades"  # each packet is one trade with its own size (Binance)
    NONE = "none"  # an index: it has no volume


@dataclass(frozen=True, slots=True)
class Subscription:
    """One instrument on one stream: all that decoding and stepping need to know of it."""

    key: str  # the feed's own name of it: a Kite token as text, a Binance symbol
    instrument_id: int  # row in the instruments table
    divisor: float  # wire price / divisor = price
    session_class: str  # row of calendars, such as NSE.EQ.cas
    volume: VolumeKind
    symbol: str = ""  # what the id means, for a database that never gave it
    exchange: str = ""


@dataclass(frozen=True, slots=True)
class CandleSettings:
    """What decides how packets become candles. Recorded in START, compared by replay --verify."""

    lateness_s: float = 2.0
    revise_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Start:
    """A process begins. Monotonic stamps before it can't be compared with later ones."""

    code: str
    settings: CandleSettings = field(default_factory=CandleSettings)


@dataclass(frozen=True, slots=True)
class Connect:
    """A stream opens. ``resolution_ns`` is the step of the feed's exchange stamps."""

    feed: str  # name of the feed; candles carry it as their source
    resolution_ns: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A stream ended, and why: ``disconnect``, ``mute``, ``stop`` ..."""

    cause: str


@dataclass(frozen=True, slots=True)
class Lost:
    """SHED, QUARANTINE: so many frames of the stream stood here; see `Machine`."""

    frames: int
    why: str = ""


def encode(value: Start | Connect | Disconnect | Lost) -> bytes:
    """A payload as JSON bytes."""
    return json.dumps(asdict(value), separators=(",", ":")).encode()


def encode_subscribe(subs: list[Subscription]) -> bytes:
    """SUBSCRIBE: a list of rows, since it may hold 3,000."""
    rows = [
        [s.key, s.instrument_id, s.divisor, s.session_class, str(s.volume), s.symbol, s.exchange]
        for s in subs
    ]
    return json.dumps(rows, separators=(",", ":")).encode()


def decode_subscribe(payload: bytes) -> list[Subscription]:
    """The opposite of `encode_subscribe`."""
    return [Subscription(k, i, d, c, VolumeKind(v), *names) for k, i, d, c, v, *names in json.loads(payload)]


def encode_keys(keys: list[str]) -> bytes:
    """UNSUBSCRIBE: the feed's own names."""
    return json.dumps(keys, separators=(",", ":")).encode()


def decode_keys(payload: bytes) -> list[str]:
    """The opposite of `encode_keys`."""
    keys: list[str] = json.loads(payload)
    return keys


def decode_start(payload: bytes) -> Start:
    """START."""
    raw: Mapping[str, Any] = json.loads(payload)
    return Start(raw["code"], CandleSettings(**raw["settings"]))


def decode_connect(payload: bytes) -> Connect:
    """CONNECT."""
    return Connect(**json.loads(payload))


def decode_disconnect(payload: bytes) -> Disconnect:
    """DISCONNECT and SILENCE."""
    return Disconnect(**json.loads(payload))
