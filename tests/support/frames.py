"""Frames for decoders: raw messages as they lie in a batch, and Kite packets packed by hand."""

import struct
from collections.abc import Sequence

import numpy as np

from mdingest.core.control import Subscription, VolumeKind
from mdingest.providers.base import Frames

FIRST_REC = 5  # frames seldom are the first records of their batch


def frames(messages: Sequence[bytes | str], stream_id: int = 3) -> Frames:
    """Messages of one stream with other records' bytes around them, as in a real batch."""
    raw = [message.encode() if isinstance(message, str) else message for message in messages]
    begin = np.cumsum([7] + [len(part) + 7 for part in raw], dtype=np.int64)
    data = b"another" + b"".join(part + b"another" for part in raw)
    starts = begin[:-1]
    return Frames(
        stream_id,
        np.arange(FIRST_REC, FIRST_REC + len(raw), dtype=np.uint32),
        starts,
        starts + np.array([len(part) for part in raw], np.int64).reshape(-1),
        memoryview(data),
    )


def kite_sub(token: int, instrument_id: int, divisor: float = 100.0, *, index: bool = False) -> Subscription:
    """A subscription of one Kite token."""
    volume = VolumeKind.NONE if index else VolumeKind.CUMULATIVE
    return Subscription(str(token), instrument_id, divisor, "always", volume)


def kite_frame(*packets: bytes) -> bytes:
    """Packets as Kite's server sends them."""
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)


def kite_ltp(token: int, price: int) -> bytes:
    """An ``ltp`` packet, 8 bytes."""
    return struct.pack(">II", token, price)


def kite_index(token: int, price: int, *, high: int = 0, low: int = 0, second: int | None = None) -> bytes:
    """An index packet: 28 bytes, or 32 with a time."""
    stamp = () if second is None else (second,)
    return struct.pack(f">{7 + len(stamp)}I", token, price, high, low, 0, 0, 0, *stamp)


def kite_quote(token: int, price: int, *, volume: int = 0, high: int = 0, low: int = 0) -> bytes:
    """A ``quote`` packet, 44 bytes."""
    return struct.pack(">11I", token, price, 1, price, volume, 2, 3, price, high, low, price)


def kite_full(
    token: int,
    price: int,
    *,
    volume: int = 0,
    high: int = 0,
    low: int = 0,
    traded: int = 0,
    second: int = 0,
    oi: int = 0,
) -> bytes:
    """A ``full`` packet, 184 bytes; its depth is noise."""
    quote = kite_quote(token, price, volume=volume, high=high, low=low)
    return quote + struct.pack(">5I", traded, oi, 1, 2, second) + bytes(range(120))
