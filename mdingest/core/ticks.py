"""Decoded packets, as columns: the same shape for every feed.

A packet is what a feed said about one instrument at one moment: a snapshot with the day's
running totals (Kite, Upstox) or a single trade (Binance). What a feed does not say is NaN
(numbers), 0 (instants) or -1 (trade ids), never a false zero.
"""

from typing import NewType

import numpy as np
from numpy.typing import NDArray

PACKET = np.dtype(
    [
        ("rec", np.uint32),  # index of the packet's FRAME record in its batch
        ("stream_id", np.uint32),  # connection it came through
        ("instrument_id", np.uint32),  # row in the instrument table, never a symbol
        ("ts_exchange", np.int64),  # UTC ns, stamped by the exchange on the packet; 0 absent
        ("ts_trade", np.int64),  # UTC ns of the last trade; 0 absent
        ("price", np.float64),  # last price, quote currency per unit; finite and > 0, or NaN
        ("size", np.float64),  # units of this very trade, for feeds that send trades; else NaN
        ("volume", np.float64),  # units traded since the day began; NaN where there is none
        ("day_high", np.float64),  # running extremes of the day; NaN absent
        ("day_low", np.float64),
        ("oi", np.float64),  # open interest, units; NaN absent
        ("trade_id", np.int64),  # consecutive per instrument; -1 absent
    ],
    align=True,
)

Packets = NewType("Packets", NDArray[np.void])
"""Shape ``(n,)`` of ``PACKET``, in arrival order."""


def empty_packets(n: int = 0) -> Packets:
    """``n`` packets that say nothing yet."""
    rows = np.zeros(n, PACKET)
    for name in ("price", "size", "volume", "day_high", "day_low", "oi"):
        rows[name] = np.nan
    rows["trade_id"] = -1
    return Packets(rows)
