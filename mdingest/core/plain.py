"""Plain packets as columns: what `core.rules` says of one, said of thousands at once.

A packet is plain if its line was seen before, its volume does not fall (or its trade id is
the next one), its trade time does not go back and lies on the trade date of the baseline, of
which it does not show the first trades.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.candles import Movers
from mdingest.core.events import Flag
from mdingest.core.units import NS
from mdingest.core.volume import TRADES

if TYPE_CHECKING:
    from mdingest.core.feed import Feed


class Plain:
    """Packets sorted by slot, arrival order within; what the rules say of plain ones, as columns.

    Only CUMULATIVE and TRADES instruments get this far; both have trade times. What holds for a
    whole batch, and nearly always does, is asked of its least and greatest value first: the
    cost of small batches is the number of calls.
    """

    def __init__(
        self,
        feed: Feed,
        rows: NDArray[np.void],
        order: NDArray[np.int64],
        lines: NDArray[np.int64],
        slots: NDArray[np.int64],
        trade: NDArray[np.int64],
        exchange: NDArray[np.int64],
        clock: NDArray[np.int64],
    ) -> None:
        """``order`` sorts all the others; ``clock`` stays in arrival order."""
        self.feed, self.rows, self.order = feed, rows, order
        self.lines, self.slots, self.clock = lines[order], slots[order], clock
        self.trade, self.exchange, self.volume = trade[order], exchange[order], rows["volume"][order]
        self.group = np.empty(len(order), np.bool_)  # first packet of its instrument
        self.group[0] = True
        np.not_equal(self.slots[1:], self.slots[:-1], out=self.group[1:])
        self._edges()
        columns, head = feed.slots, self.slots[self.first]
        self.trade_before = self._shifted(self.trade, columns["trade"][head])
        self.volume_before = self._shifted(self.volume, columns["volume"][head])
        self.trades: NDArray[np.bool_] | None = None  # which are single trades; None: no packet is
        if not feed.cumulative:
            trades = columns["kind"][self.slots] == TRADES
            self.trades = trades if trades.any() else None

    def _edges(self) -> None:
        self.first = np.flatnonzero(self.group)
        self.last = np.append(self.first[1:], len(self.group)) - 1

    def _shifted(self, values: NDArray[Any], heads: NDArray[Any]) -> NDArray[Any]:
        """Each packet's predecessor in its group; ``heads`` come before the first of each."""
        out = np.empty(len(values), values.dtype)
        out[1:] = values[:-1]
        out[self.first] = heads
        return out

    def odd(self) -> NDArray[np.bool_]:
        """Packets that are not plain; for some reasons only the first of their instrument."""
        columns, head = self.feed.slots, self.slots[self.first]
        plain = self.volume >= self.volume_before  # False for NaN
        plain &= self.trade >= self.trade_before
        if not self.volume_before.all():  # the day's first trades; NaN is none of them
            plain &= (self.volume_before != 0) | (self.volume == 0)
        on_date = self.trade[self.first] >= columns["day_start"][head]
        on_date &= self.trade[self.last] < columns["day_end"][head]  # in order: so are those between
        on_date &= columns["fall_n"][head] == 0
        plain[self.first] &= on_date
        self.on_trade = self.exchange - self.trade <= self.feed.lateness_ns
        self.on_trade &= self.exchange > 0
        if not self.on_trade.all():
            self.on_trade |= self.trade > self.trade_before
            plain &= self.on_trade | (self.exchange > 0)
        if self.feed.shared:
            plain &= self._shifted(self.lines, self.lines[self.first]) == self.lines
        if self.trades is not None:
            ids = self.rows["trade_id"][self.order]
            single = ids == self._shifted(ids, columns["trade_id"][head]) + 1
            single &= ~np.isnan(self.rows["size"][self.order])
            plain = np.where(self.trades, single, plain)
        return ~plain

    def without(self, odd: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Forget the instruments of these packets; their packets in arrival order."""
        if not odd.any():
            return np.empty(0, np.int64)
        drop = np.logical_or.reduceat(odd, self.first).repeat(self.last - self.first + 1)
        dropped: NDArray[np.int64] = np.sort(self.order[drop])
        mask = ~drop
        for name in (
            *("order", "lines", "slots", "trade", "exchange", "volume", "group"),
            *("trade_before", "volume_before", "on_trade"),
        ):
            setattr(self, name, getattr(self, name)[mask])
        if self.trades is not None:
            self.trades = self.trades[mask]
        self._edges()
        return dropped

    def apply(self) -> None:
        """Movers into the book, state to the last packet of each group."""
        if not len(self.slots):
            return
        feed, order = self.feed, self.order
        event, flags = self.trade, np.zeros(len(order), np.int64)
        if not self.on_trade.all():
            event = np.where(self.on_trade, event, self.exchange)
            flags[~self.on_trade] = int(Flag.PACKET_TIME)
        price, high, low = (self.rows[name][order] for name in ("price", "day_high", "day_low"))
        lines, line_head = feed.lines, self.lines[self.first]
        new_high = high > self._shifted(high, lines["high"][line_head])  # False where either is NaN
        new_low = low < self._shifted(low, lines["low"][line_head])
        top, bottom = price, price
        if new_high.any() or new_low.any():
            top, bottom = price.copy(), price.copy()  # few packets show a new one
            np.maximum(price, high, out=top, where=new_high)
            np.minimum(price, low, out=bottom, where=new_low)
            event_before = self._shifted(event, lines["event"][line_head])
            new = np.flatnonzero(new_high | new_low)
            ambiguous = new[event_before[new] // NS < event[new] // NS]
            flags[ambiguous] |= int(Flag.EXTREME_AMBIGUOUS)
        size = self.volume - self.volume_before
        moves = size > 0
        if self.trades is not None:
            event, flags = np.where(self.trades, self.trade, event), np.where(self.trades, 0, flags)
            top, bottom = np.where(self.trades, price, top), np.where(self.trades, price, bottom)
            size = np.where(self.trades, self.rows["size"][order], size)
            moves |= self.trades
        self._late(event, size, moves)
        self._remember(event, moves, high, low)
        movers = Movers(self.slots, event, price, top, bottom, size, self.rows["oi"][order], flags)
        feed.book.add(movers if moves.all() else movers.take(moves))

    def _late(self, event: NDArray[np.int64], size: NDArray[np.float64], moves: NDArray[np.bool_]) -> None:
        """Movers whose second can't change any more move nothing."""
        patience = NS + self.feed.lateness_ns + self.feed.revise_ns
        if int(event.min()) // NS * NS + patience >= int(self.clock[-1]):  # which never falls
            return
        second = event // NS
        late = moves & (second * NS + patience < self.clock[self.order])
        for i in np.flatnonzero(late).tolist():
            self.feed.late(int(self.slots[i]), int(second[i]), float(size[i]))
        moves &= ~late

    def _remember(
        self,
        event: NDArray[np.int64],
        moves: NDArray[np.bool_],
        high: NDArray[np.float64],
        low: NDArray[np.float64],
    ) -> None:
        last, columns, lines = self.last, self.feed.slots, self.feed.lines
        tail, line_tail, event_last = self.slots[last], self.lines[last], event[last]
        columns["volume"][tail] = self.volume[last]
        columns["event"][tail] = event_last
        if self.trades is None:
            columns["trade"][tail] = self.trade[last]
        else:
            latest = np.maximum.reduceat(self.trade, self.first)  # ids are in order, times may not be
            columns["trade"][tail] = np.maximum(columns["trade"][tail], latest)
            columns["trade_id"][tail] = self.rows["trade_id"][self.order[last]]
        lines["high"][line_tail], lines["low"][line_tail] = high[last], low[last]
        lines["event"][line_tail] = event_last
        second = int(event.max()) // NS
        if second == int(event.min()) // NS and moves.all():
            columns["mover"][tail] = second
            columns["top"][tail] = np.maximum(columns["top"][tail], second)
            return
        seconds = event // NS
        if moves.all():
            columns["mover"][tail] = seconds[last]
            in_order = event is self.trade  # of each instrument: the last is the latest
            top = seconds[last] if in_order else np.maximum.reduceat(seconds, self.first)
            columns["top"][tail] = np.maximum(columns["top"][tail], top)
            return
        latest = np.maximum.reduceat(np.where(moves, np.arange(len(moves)), -1), self.first)
        moved = latest >= 0
        columns["mover"][tail[moved]] = seconds[latest[moved]]
        top = np.maximum.reduceat(np.where(moves, seconds, -1), self.first)
        columns["top"][tail] = np.maximum(columns["top"][tail], top)
