"""Trades as the broker's binary packets and frames. All integers are big-endian.

A frame is the number of packets, then each packet's length and body; the length alone says
what a body is. Written from the broker's documentation and its official clients, and shared
with nobody: the daemon's decoder must not inherit a mistake made here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NewType

import numpy as np
from numpy.typing import NDArray

from mdingest.simulators.trades import Ints, S, Trades, Universe, joined

HEARTBEAT = b"\x00"
_LEVELS = 5
_COUNT_BYTES = 2
_BITS_PER_LEVEL = 6


class Mode(IntEnum):
    """What a connection asked to see of an instrument."""

    OFF = 0
    LTP = 1
    QUOTE = 2
    FULL = 3


_DEPTH = np.dtype([("quantity", ">u4"), ("price", ">u4"), ("orders", ">u2"), ("padding", ">u2")])


def _packet(*fields: tuple[str, str]) -> np.dtype[np.void]:
    return np.dtype([("length", ">u2"), *fields])


_LTP_FIELDS = (("token", ">u4"), ("price", ">u4"))
_INDEX_FIELDS = (
    *_LTP_FIELDS,
    ("high", ">u4"),
    ("low", ">u4"),
    ("open", ">u4"),
    ("close", ">u4"),
    ("change", ">i4"),
)
_QUOTE_FIELDS = (
    *_LTP_FIELDS,
    ("size", ">u4"),
    ("average", ">u4"),
    ("volume", ">u4"),
    ("buy_quantity", ">u4"),
    ("sell_quantity", ">u4"),
    ("open", ">u4"),
    ("high", ">u4"),
    ("low", ">u4"),
    ("close", ">u4"),
)
_FULL_FIELDS = (
    *_QUOTE_FIELDS,
    ("traded_at", ">u4"),
    ("oi", ">u4"),
    ("oi_high", ">u4"),
    ("oi_low", ">u4"),
    ("sent_at", ">u4"),
)

LTP = _packet(*_LTP_FIELDS)
INDEX_QUOTE = _packet(*_INDEX_FIELDS)
INDEX_FULL = _packet(*_INDEX_FIELDS, ("sent_at", ">u4"))
QUOTE = _packet(*_QUOTE_FIELDS)
FULL = np.dtype(
    [("length", ">u2"), *_FULL_FIELDS, ("bids", _DEPTH, (_LEVELS,)), ("offers", _DEPTH, (_LEVELS,))]
)

Packed = NewType("Packed", NDArray[np.void])
"""Packets of one kind, each with its length before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """Packets of one kind and, row by row, the trades they tell of."""

    packets: Packed
    trades: Trades

    def __len__(self) -> int:
        return len(self.trades)

    def __getitem__(self, part: slice) -> "Parcel":
        return Parcel(Packed(self.packets[part]), Trades(self.trades[part]))


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Parcels that travel together."""

    parcels: tuple[Parcel, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parcels))

    def encode(self, *, count: int | None = None) -> bytes:
        """Bytes of it; ``count`` lies about the number of packets."""
        stated = len(self) if count is None else count
        return _count(stated) + b"".join(one.packets.tobytes() for one in self.parcels)

    def trades(self) -> Trades:
        """The trades told of, in order of the packets."""
        return joined([one.trades for one in self.parcels])

    def with_field(self, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> bytes:
        """It with one field changed in all packets that have it."""
        parcels = []
        for one in self.parcels:
            packets = one.packets.copy()
            if name in (packets.dtype.names or ()):
                packets[name] = change(packets[name].astype(np.int64))
            parcels.append(Parcel(Packed(packets), one.trades))
        return Frame(tuple(parcels)).encode()

    def cut_in(self, packet: int, share: float) -> bytes:
        """It with its end torn off within a packet, of which ``share`` (in [0, 1)) is left."""
        ends = np.cumsum([one.packets.itemsize for one in self.parcels for _ in range(len(one))])
        begin = int(ends[packet - 1]) if packet else 0
        return self.encode()[: _COUNT_BYTES + begin + int(share * (int(ends[packet]) - begin))]

    def with_unknown(self, length: int) -> bytes:
        """It with a packet of a length that nobody knows before its last parcel."""
        packs = [one.packets.tobytes() for one in self.parcels]
        packs.insert(len(packs) - 1, length.to_bytes(2, "big") + bytes(length))
        return _count(len(self) + 1) + b"".join(packs)


def parcels_of(universe: Universe, trades: Trades, modes: NDArray[np.int8]) -> list[Parcel]:
    """One parcel per kind of packet. ``modes`` has the `Mode` of each trade; ``OFF`` is left out.

    The packets of one instrument keep their order, those of different kinds do not.
    """
    parcels = []
    index = universe.is_index[trades["row"]]
    for mode in (Mode.FULL, Mode.QUOTE, Mode.LTP):
        for kind, chosen in ((False, (modes == mode) & ~index), (True, (modes == mode) & index)):
            if chosen.any():
                part = trades if chosen.all() else Trades(trades[chosen])
                parcels.append(Parcel(_encode(universe, part, mode, is_index=kind), part))
    return parcels


def frames_of(parcels: Sequence[Parcel], most: int) -> Iterator[Frame]:
    """The parcels in as few frames of at most ``most`` packets as possible."""
    batch: list[Parcel] = []
    room = most
    for parcel in parcels:
        rest = parcel
        while len(rest):
            batch.append(rest[:room])
            room -= len(batch[-1])
            rest = rest[len(batch[-1]) :]
            if not room:
                yield Frame(tuple(batch))
                batch, room = [], most
    if batch:
        yield Frame(tuple(batch))


def _encode(universe: Universe, trades: Trades, mode: Mode, *, is_index: bool) -> Packed:
    if mode is Mode.LTP:
        kind = LTP
    elif is_index:
        kind = INDEX_FULL if mode is Mode.FULL else INDEX_QUOTE
    else:
        kind = FULL if mode is Mode.FULL else QUOTE
    packets = np.zeros(len(trades), dtype=kind)
    packets["length"] = kind.itemsize - _COUNT_BYTES
    packets["token"] = universe.token[trades["row"]]
    packets["price"] = trades["price"]
    if kind is LTP:
        return Packed(packets)
    for name in ("open", "high", "low", "close"):
        packets[name] = trades[name]
    if is_index:
        packets["change"] = trades["price"] - trades["close"]
    else:
        _fill_quote(packets, trades)
    if mode is Mode.FULL:
        packets["sent_at"] = (trades["ts"] if is_index else trades["sent"]) // S
    if kind is FULL:
        packets["traded_at"] = trades["ts"] // S
        for name in ("oi", "oi_high", "oi_low"):
            packets[name] = trades[name]
        tick = universe.tick[trades["row"]]
        packets["bids"] = _depth(trades, -tick, 0)
        packets["offers"] = _depth(trades, tick, 1)
    return Packed(packets)


def _fill_quote(packets: NDArray[np.void], trades: Trades) -> None:
    packets["size"] = trades["size"]
    packets["volume"] = trades["volume"]
    packets["average"] = trades["turnover"] // np.maximum(trades["volume"], 1)
    packets["buy_quantity"] = 1_000 + trades["noise"] % 900_000
    packets["sell_quantity"] = 1_000 + (trades["noise"] >> 20) % 900_000


def _depth(trades: Trades, step: Ints, side: int) -> NDArray[np.void]:
    """Five levels, best first, on one side of the price; made up from the trade's noise."""
    levels = np.zeros((len(trades), _LEVELS), dtype=_DEPTH)
    level = np.arange(_LEVELS)
    draw = (trades["noise"] >> side)[:, None] >> level * _BITS_PER_LEVEL
    levels["quantity"] = 1 + draw % 4_000
    levels["price"] = np.maximum(trades["price"][:, None] + step[:, None] * (level + side), 0)
    levels["orders"] = 1 + draw % 60
    return levels


def _count(packets: int) -> bytes:
    return packets.to_bytes(_COUNT_BYTES, "big")
