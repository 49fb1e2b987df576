"""Kite frames to columns, a whole batch of frames at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.ticks import PACKET, Packets, empty_packets
from mdingest.core.units import NS
from mdingest.errors import DecodeError
from mdingest.providers.base import Decoded, Frames
from mdingest.providers.kite.codec import FULL, KINDS, gather, locate
from mdingest.providers.kite.segments import segment_of
from mdingest.providers.kite.tokens import Rows, TokenTable

_MAX_TOKEN = 0xFFFF_FFFF
_PRICES = ("price", "day_high", "day_low")
_STAMPS = ("ts_exchange", "ts_trade")
_OPAQUE = np.dtype(f"V{PACKET.itemsize}")


@dataclass(frozen=True, slots=True, eq=False)
class _Book:
    """The subscription as columns, indexed by `TokenTable` rows; row 0 is nobody's."""

    tokens: TokenTable
    instrument_id: NDArray[np.uint32]
    divisor: NDArray[np.float64]
    no_volume: NDArray[np.bool_]
    no_interest: NDArray[np.bool_]  # an open interest of 0 means that there is none
    any_no_volume: bool
    no_interest_at_all: bool  # in a subscription without derivatives
    one_divisor: float  # of all instruments, or 0 where they differ


class KiteDecoder:
    """Decodes one stream. Implements `FrameDecoder`."""

    def __init__(self) -> None:
        self._subs: dict[int, Subscription] = {}
        self._book: _Book | None = None

    def subscribe(self, subs: Sequence[Subscription]) -> None:
        """Raises DecodeError for a key that is no Kite token or a divisor that divides nothing."""
        new: dict[int, Subscription] = {}
        for sub in subs:
            token = int(sub.key) if sub.key.isascii() and sub.key.isdigit() else -1
            if not 0 <= token <= _MAX_TOKEN or not 0 < sub.divisor < float("inf"):
                raise DecodeError(f"no Kite subscription: token {sub.key!r}, divisor {sub.divisor}")
            new[token] = sub
        self._subs |= new
        self._book = None

    def unsubscribe(self, keys: Sequence[str]) -> None:
        """Keys that were never subscribed are ignored: to be rid of them is what was asked."""
        gone = set(keys)
        self._subs = {token: sub for token, sub in self._subs.items() if sub.key not in gone}
        self._book = None

    def decode(self, frames: Frames) -> Decoded:
        """Packets of known kinds and subscribed instruments, in arrival order.

        What is absent on the wire is NaN or 0 (see `PACKET`): a price of 0, all volumes of
        indices and of ``ltp`` packets, stamps outside of ``full``. Stamps are whole seconds.
        Frames of text count as ``skipped``.
        """
        raw = np.frombuffer(frames.data, np.uint8)
        if not len(raw):
            return Decoded()
        found = locate(frames, raw)
        book = self._book = self._book or _book(self._subs)
        rec = frames.rec[found.frame]
        if isinstance(found.length, int):
            part = _packets(raw, found.body, found.length, book, rec, found.wire)
        else:
            part = _mixed(raw, found.body, found.length, book, rec)
        part.packets["stream_id"] = frames.stream_id
        part.bad = found.bad
        part.skipped += found.texts
        return part


def _mixed(
    raw: NDArray[np.uint8],
    body: NDArray[np.int64],
    length: NDArray[np.int64],
    book: _Book,
    rec: NDArray[np.uint32],
) -> Decoded:
    """Packets of several kinds: each kind by itself, then back into arrival order."""
    out = Decoded()
    parts, places = [], []
    for kind in np.flatnonzero(np.bincount(length)).tolist():
        place = np.flatnonzero(length == kind)
        part = _packets(raw, body[place], kind, book, place.astype(np.uint32))
        out.skipped += part.skipped
        out.unknown += part.unknown
        places.append(part.packets["rec"])
        parts.append(part.packets.view(_OPAQUE))  # numpy moves structs field by field, bytes at once
    if parts:
        place = np.concatenate(places)
        order = np.argsort(place, kind="stable")
        out.packets = Packets(np.concatenate(parts)[order].view(PACKET))
        out.packets["rec"] = rec[place[order]]
    return out


def _packets(
    raw: NDArray[np.uint8],
    body: NDArray[np.int64],
    kind: int,
    book: _Book,
    rec: NDArray[np.uint32],
    wire: NDArray[np.void] | None = None,
) -> Decoded:
    """Packets of one kind as columns; all but the stream."""
    layout = KINDS.get(kind)
    if layout is None:
        return Decoded(skipped=len(body))
    if wire is None:
        wire = gather(raw, body, layout)
    rows = book.tokens.find(wire["token"].astype(np.uint32))
    unknown = 0
    if np.count_nonzero(rows) < len(rows):
        keep = np.flatnonzero(rows)
        unknown = len(rows) - len(keep)
        wire, rows, rec = wire[keep], rows[keep], rec[keep]
    out = np.empty(len(wire), PACKET) if layout is FULL else empty_packets(len(wire))
    out["rec"] = rec
    out["instrument_id"] = book.instrument_id.take(rows)
    out["size"] = np.nan
    out["trade_id"] = -1
    names = layout.names or ()
    _prices(wire, rows, book, out, [name for name in _PRICES if name in names])
    for name in _STAMPS:
        if name in names:
            np.multiply(wire[name], NS, out=out[name], dtype=np.int64)
    if "volume" in names:
        _volume(wire["volume"], rows, book, out)
    if "oi" in names:
        _interest(wire["oi"], rows, book, out)
    return Decoded(Packets(out), unknown=unknown)


def _prices(wire: NDArray[np.void], rows: Rows, book: _Book, out: NDArray[np.void], names: list[str]) -> None:
    """Prices; NaN where the wire says 0, which stands for none."""
    prices = np.empty((len(names), len(wire)))
    for i, name in enumerate(names):
        prices[i] = wire[name]
    prices /= book.one_divisor or book.divisor.take(rows)
    if prices.size and not prices.min() > 0:
        prices[prices == 0] = np.nan
    for i, name in enumerate(names):
        out[name] = prices[i]


def _volume(wire: NDArray[np.uint32], rows: Rows, book: _Book, out: NDArray[np.void]) -> None:
    """The day's volume; NaN for instruments that have none."""
    volume = wire.astype(np.float64)
    if book.any_no_volume:
        volume[book.no_volume.take(rows)] = np.nan
    out["volume"] = volume


def _interest(wire: NDArray[np.uint32], rows: Rows, book: _Book, out: NDArray[np.void]) -> None:
    """Open interest; NaN for 0 outside of derivatives."""
    if book.no_interest_at_all and not wire.any():
        out["oi"] = np.nan
        return
    interest = wire.astype(np.float64)
    if not interest.all():
        interest[(interest == 0) & book.no_interest.take(rows)] = np.nan
    out["oi"] = interest


def _book(subs: dict[int, Subscription]) -> _Book:
    """Columns of a subscription."""
    rows = list(subs.values())
    divisors = np.array([1.0, *(sub.divisor for sub in rows)])
    segments = [segment_of(token) for token in subs]
    no_volume = np.array([False, *(sub.volume is VolumeKind.NONE for sub in rows)])
    no_interest = np.array([False, *(s is None or not s.derivative for s in segments)])
    return _Book(
        tokens=TokenTable(np.array(list(subs), np.uint32)),
        instrument_id=np.array([0, *(sub.instrument_id for sub in rows)], np.uint32),
        divisor=divisors,
        no_volume=no_volume,
        no_interest=no_interest,
        any_no_volume=bool(no_volume.any()),
        no_interest_at_all=bool(no_interest[1:].all()),
        one_divisor=float(divisors[1]) if rows and bool((divisors[1:] == divisors[1]).all()) else 0.0,
    )
