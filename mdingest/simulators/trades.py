"""Trades and instruments of the simulated market as columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NewType

import numpy as np
from numpy.typing import NDArray

from mdingest.simulators.instruments import SimInstrument

S = 1_000_000_000
DAY_S = 86_400

TRADE_DTYPE = np.dtype(
    [
        ("row", np.int64),  # of the instrument in its Universe
        ("ts", np.int64),  # UTC ns, exact; the wire carries ts // S
        ("sent", np.int64),  # UTC ns at which the packet left that tells of it; ts unless conflated
        ("since", np.int64),  # ts of the oldest trade that this packet is the first to include
        ("day", np.int64),  # which of the trade dates (see Hours)
        ("price", np.int64),  # wire units
        ("size", np.int64),  # units traded; 0 for an index
        ("volume", np.int64),  # of the day, this trade included
        ("turnover", np.int64),  # of the day: sum of price * size
        ("open", np.int64),  # of the day, as high and low
        ("high", np.int64),
        ("low", np.int64),
        ("close", np.int64),  # of the day before
        ("oi", np.int64),  # contracts in units; 0 for what is no derivative
        ("oi_high", np.int64),
        ("oi_low", np.int64),
        ("noise", np.int64),  # from which the order book is made up
    ],
    align=True,
)
Trades = NewType("Trades", NDArray[np.void])
"""Shape ``(n,)`` of ``TRADE_DTYPE``, by time."""
Last = NewType("Last", NDArray[np.void])
"""Shape ``(instruments,)`` of ``TRADE_DTYPE``: the last trade of each, in order of rows."""

Ints = NDArray[np.int64]


class Ordered(NamedTuple):
    """A trade that is to happen at an exact instant, to the letter."""

    token: int
    ns: int  # UTC
    price: int  # wire units
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Universe:
    """The instruments as columns; row numbers index all of them."""

    token: Ints
    base: Ints  # wire units
    tick: Ints
    lot: Ints
    divisor: Ints  # wire units per rupee
    is_index: NDArray[np.bool_]
    has_oi: NDArray[np.bool_]


def universe_of(instruments: Sequence[SimInstrument]) -> Universe:
    """Columns of a list."""

    def column(values: list[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    return Universe(
        token=column([one.token for one in instruments]),
        base=column([one.price for one in instruments]),
        tick=column([one.tick for one in instruments]),
        lot=column([one.lot for one in instruments]),
        divisor=column([one.divisor for one in instruments]),
        is_index=np.array([one.is_index for one in instruments], dtype=np.bool_),
        has_oi=np.array([one.expiry is not None for one in instruments], dtype=np.bool_),
    )


def no_trades() -> Trades:
    """A batch of none."""
    return Trades(np.empty(0, dtype=TRADE_DTYPE))


def joined(parts: Sequence[NDArray[np.void]]) -> Trades:
    """Batches one after another; `np.concatenate` would compare all field names first, 30 us a call."""
    some = [part for part in parts if len(part)]
    if len(some) == 1:
        return Trades(some[0])
    out = np.empty(sum(map(len, some)), dtype=TRADE_DTYPE)
    at = 0
    for part in some:
        out[at : at + len(part)] = part
        at += len(part)
    return Trades(out)
