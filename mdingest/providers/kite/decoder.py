"""Kite frames to columns, a whole batch of frames at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.ticks import PACKET, Packets, empty_packets
from mdingest.errors import DecodeError
from mdingest.providers.base import Decoded, Frames
from mdingest.providers.kite.codec import KINDS, Located, gather, locate
from mdingest.providers.kite.segments import segment_of
from mdingest.providers.kite.tokens import Rows, TokenTable

_NS = 1_000_000_000
_MAX_TOKEN = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, eq=False)
class _Book:
    """The subscription as columns, indexed by `TokenTable` rows; row 0 is nobody's."""

    tokens: TokenTable
    instrument_id: NDArray[np.uint32]
    divisor: NDArray[np.float64]
    no_volume: NDArray[np.bool_]
    no_interest: NDArray[np.bool_]  # an open interest of 0 means that there is none
    any_no_volume: bool
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
        kinds = [int(kind) for kind in np.flatnonzero(np.bincount(found.length))] if len(found.length) else []
        known = [kind for kind in kinds if kind in KINDS]
        rec = frames.rec[found.frame]
        if len(kinds) == 1 and known:
            packets, unknown = _packets(raw, found.body, known[0], book, rec)
            skipped = 0
        else:
            packets, unknown, skipped = _mixed(raw, found, known, book, rec)
        packets["stream_id"] = frames.stream_id
        return Decoded(packets, found.bad, skipped + found.texts, unknown)


def _mixed(
    raw: NDArray[np.uint8], found: Located, known: list[int], book: _Book, rec: NDArray[np.uint32]
) -> tuple[Packets, int, int]:
    """Each kind by itself, then back into arrival order. Also counts of unknown, skipped."""
    parts, unknown, skipped = [], 0, len(found.length)
    places = []
    for kind in known:
        place = np.flatnonzero(found.length == kind)
        skipped -= len(place)
        packets, strangers = _packets(raw, found.body[place], kind, book, place.astype(np.uint32))
        unknown += strangers
        parts.append(packets)
        places.append(packets["rec"])
    if not parts:
        return empty_packets(), unknown, skipped
    place = np.concatenate(places)
    order = np.argsort(place, kind="stable")
    whole = np.concatenate(parts)[order]
    whole["rec"] = rec[place[order]]
    return Packets(whole), unknown, skipped


def _packets(
    raw: NDArray[np.uint8], body: NDArray[np.int64], kind: int, book: _Book, rec: NDArray[np.uint32]
) -> tuple[Packets, int]:
    """Packets of one kind as columns, and how many instruments of them nobody asked for."""
    wire = gather(raw, body, KINDS[kind])
    rows = book.tokens.find(wire["token"].astype(np.uint32))
    wanted = np.count_nonzero(rows)
    unknown = len(rows) - int(wanted)
    if unknown:
        keep = np.flatnonzero(rows)
        wire, rows, rec = wire[keep], rows[keep], rec[keep]
    out = np.empty(len(wire), PACKET)
    divisor = book.one_divisor or book.divisor.take(rows)
    names = wire.dtype.names or ()
    out["rec"] = rec
    out["instrument_id"] = book.instrument_id.take(rows)
    out["size"] = np.nan
    out["trade_id"] = -1
    for name in ("price", "day_high", "day_low"):
        out[name] = _price(wire[name], divisor) if name in names else np.nan
    for name in ("ts_exchange", "ts_trade"):
        out[name] = wire[name].astype(np.int64) * _NS if name in names else 0
    out["volume"] = _volume(wire["volume"], rows, book) if "volume" in names else np.nan
    out["oi"] = _interest(wire["oi"], rows, book) if "oi" in names else np.nan
    return Packets(out), unknown


def _price(wire: NDArray[Any], divisor: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Prices; NaN where the wire says 0, which stands for none."""
    price: NDArray[np.float64] = wire.astype(np.float64)
    price /= divisor
    if not price.all():
        price[price == 0] = np.nan
    return price


def _volume(wire: NDArray[Any], rows: Rows, book: _Book) -> NDArray[np.float64]:
    """The day's volume; NaN for instruments that have none."""
    volume: NDArray[np.float64] = wire.astype(np.float64)
    if book.any_no_volume:
        volume[book.no_volume.take(rows)] = np.nan
    return volume


def _interest(wire: NDArray[Any], rows: Rows, book: _Book) -> NDArray[np.float64]:
    """Open interest; NaN for 0 outside of derivatives."""
    interest: NDArray[np.float64] = wire.astype(np.float64)
    if not interest.all():
        interest[(interest == 0) & book.no_interest.take(rows)] = np.nan
    return interest


def _book(subs: dict[int, Subscription]) -> _Book:
    """Columns of a subscription."""
    rows = list(subs.values())
    divisors = np.array([1.0, *(sub.divisor for sub in rows)])
    segments = [segment_of(token) for token in subs]
    no_volume = np.array([False, *(sub.volume is VolumeKind.NONE for sub in rows)])
    return _Book(
        tokens=TokenTable(np.array(list(subs), np.uint32)),
        instrument_id=np.array([0, *(sub.instrument_id for sub in rows)], np.uint32),
        divisor=divisors,
        no_volume=no_volume,
        no_interest=np.array([False, *(s is None or not s.derivative for s in segments)]),
        any_no_volume=bool(no_volume.any()),
        one_divisor=float(divisors[1]) if rows and bool((divisors[1:] == divisors[1]).all()) else 0.0,
    )
