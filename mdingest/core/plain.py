"""Plain packets as columns: what `core.rules` says of one, said of thousands at once.

A packet is plain if its line was seen before, its volume does not fall (or its trade id is
the next one), its trade time does not go back and lies on the trade date of the baseline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.candles import MOVER, NS, Movers
from mdingest.core.events import Flag
from mdingest.core.rows import take
from mdingest.core.volume import TRADES

if TYPE_CHECKING:
    from mdingest.core.feed import Feed


class Plain:
    """Packets sorted by slot, arrival order within; what the rules say of plain ones, as columns.

    Only CUMULATIVE and TRADES instruments get this far; both have trade times.
    """

    def __init__(
        self,
        feed: Feed,
        rows: NDArray[np.void],
        lines: NDArray[np.int64],
        slots: NDArray[np.int64],
        group: NDArray[np.bool_],
        clock: NDArray[np.int64],
    ) -> None:
        self.feed, self.rows, self.lines, self.slots, self.clock = feed, rows, lines, slots, clock
        self.first = np.flatnonzero(group)
        columns = feed.slots
        head = slots[self.first]
        self.trades = columns["kind"][slots] == TRADES
        self.some_trades = bool(self.trades.any())
        self.trade = rows["ts_trade"]
        self.trade_before = self._shifted(self.trade, columns["trade"][head])
        self.volume = rows["volume"]
        self.volume_before = self._shifted(self.volume, columns["volume"][head])
        self.exchange = rows["ts_exchange"]

    def _shifted(self, values: NDArray[Any], heads: NDArray[Any]) -> NDArray[Any]:
        """Each packet's predecessor in its group; ``heads`` come before the first of each."""
        out = np.empty(len(values), values.dtype)
        out[1:] = values[:-1]
        out[self.first] = heads
        return out

    def odd(self) -> NDArray[np.bool_]:
        """Packets that are not plain."""
        columns, slots = self.feed.slots, self.slots
        head = slots[self.first]
        plain = self.volume >= self.volume_before  # False for NaN
        plain &= self.trade >= columns["day_start"][slots]
        plain &= self.trade < columns["day_end"][slots]
        plain &= self.trade >= self.trade_before
        self.on_trade = (self.trade > self.trade_before) | (
            (self.exchange > 0) & (self.exchange - self.trade <= self.feed.lateness_ns)
        )
        plain &= self.on_trade | (self.exchange > 0)
        plain &= self._shifted(self.lines, self.lines[self.first]) == self.lines
        plain[self.first] &= columns["fall_n"][head] == 0
        if self.some_trades:
            ids = self.rows["trade_id"]
            single = ids == self._shifted(ids, columns["trade_id"][head]) + 1
            single &= ~np.isnan(self.rows["size"])
            plain = np.where(self.trades, single, plain)
        return ~plain

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Forget whole groups."""
        group = np.zeros(len(mask), np.bool_)
        group[self.first] = True
        self.rows = take(self.rows, mask)
        for name in (
            "lines",
            "slots",
            "clock",
            "trades",
            "trade",
            "trade_before",
            "volume",
            "volume_before",
            "exchange",
            "on_trade",
        ):
            setattr(self, name, getattr(self, name)[mask])
        self.first = np.flatnonzero(group[mask])
        self.some_trades = bool(self.trades.any())

    def apply(self) -> None:
        """Movers into the book, state to the last packet of each group."""
        if not len(self.slots):
            return
        feed, rows = self.feed, self.rows
        event = np.where(self.on_trade, self.trade, self.exchange)
        flags = np.where(self.on_trade, 0, int(Flag.PACKET_TIME))
        size = self.volume - self.volume_before
        moves = size > 0
        if self.some_trades:
            event = np.where(self.trades, self.trade, event)
            flags = np.where(self.trades, 0, flags)
            size = np.where(self.trades, rows["size"], size)
            moves = moves | self.trades
        price, high, low = rows["price"], rows["day_high"], rows["day_low"]
        line_head = self.lines[self.first]
        high_before = self._shifted(high, feed.lines["high"][line_head])
        low_before = self._shifted(low, feed.lines["low"][line_head])
        new_high = high > high_before  # False where either is NaN
        new_low = low < low_before
        event_before = self._shifted(event, feed.lines["event"][line_head])
        top = np.where(new_high, np.maximum(price, high), price)
        bottom = np.where(new_low, np.minimum(price, low), price)
        second = event // NS
        ambiguous = (new_high | new_low) & (event_before // NS < second)
        flags = flags | np.where(ambiguous, int(Flag.EXTREME_AMBIGUOUS), 0)
        if self.some_trades:
            top, bottom = np.where(self.trades, price, top), np.where(self.trades, price, bottom)
            flags = np.where(self.trades, 0, flags)
        too_late = moves & ((second + 1) * NS + feed.lateness_ns + feed.revise_ns < self.clock)
        if too_late.any():
            for i in np.flatnonzero(too_late).tolist():
                feed.late(int(self.slots[i]), int(second[i]), float(size[i]))
            moves &= ~too_late
        self._remember(event, second, moves)
        at = np.flatnonzero(moves)
        out = np.empty(len(at), MOVER)
        for name, values in (
            ("slot", self.slots),
            ("event", event),
            ("price", price),
            ("high", top),
            ("low", bottom),
            ("size", size),
            ("oi", rows["oi"]),
            ("flags", flags),
        ):
            out[name] = values[at]
        feed.book.add(Movers(out))

    def _remember(
        self, event: NDArray[np.int64], second: NDArray[np.int64], moves: NDArray[np.bool_]
    ) -> None:
        last = np.append(self.first[1:], len(self.slots)) - 1
        tail, line_tail, columns = self.slots[last], self.lines[last], self.feed.slots
        columns["volume"][tail] = self.volume[last]
        columns["trade"][tail] = np.maximum(columns["trade"][tail], self.trade[last])
        columns["event"][tail] = event[last]
        columns["trade_id"][tail] = self.rows["trade_id"][last]
        latest = np.maximum.reduceat(np.where(moves, np.arange(len(moves)), -1), self.first)
        moved = latest >= 0
        columns["mover"][tail[moved]] = second[latest[moved]]
        top = np.maximum.reduceat(np.where(moves, second, -1), self.first)
        columns["top"][tail] = np.maximum(columns["top"][tail], top)
        self.feed.lines["high"][line_tail] = self.rows["day_high"][last]
        self.feed.lines["low"][line_tail] = self.rows["day_low"][last]
        self.feed.lines["event"][line_tail] = event[last]
