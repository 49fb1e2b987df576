"""Sizes from the day's running total: baselines, trade dates and corrections (rule 6).

One packet at a time, for the rare ones; `core.plain` knows what a plain total is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from mdingest.core.events import Cause, Flag
from mdingest.core.units import DAY_NS, NS

if TYPE_CHECKING:
    from mdingest.core.feed import Feed

FALLS = 3  # smaller volumes in a row ...
FALL_NS = 5 * NS  # ... over this long are a correction by the exchange
CUMULATIVE, TRADES, NONE = 0, 1, 2  # control.VolumeKind, as column values


class Packet(NamedTuple):
    """A row of `core.ticks.PACKET`."""

    rec: int
    stream_id: int
    instrument_id: int
    ts_exchange: int
    ts_trade: int
    price: float
    size: float
    volume: float
    day_high: float
    day_low: float
    oi: float
    trade_id: int


class Volume:
    """Works on the columns of its feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def moved(self, p: Packet, slot: int, event: int, mono: int) -> float | None:
        """Units that this packet adds, NaN for an index; None if it is to be ignored wholly."""
        if self._feed.slots["kind"][slot] == CUMULATIVE:
            return self._size(p, slot, event, mono)
        return math.nan if self._index_moved(p, slot) else None

    def passed(self, p: Packet, slot: int, event: int) -> tuple[float, bool]:
        """Units traded since the baseline while nobody listened, and whether any were."""
        columns = self._feed.slots
        date, start, end = self._volume_date(p, slot, event)
        if date > int(columns["date"][slot]):
            self._new_date(slot, date, start, end)
            columns["volume"][slot] = p.volume
            return p.volume, True
        baseline = float(columns["volume"][slot])
        if date < int(columns["date"][slot]) or p.volume < baseline:
            self._feed.counts["out_of_order"] += 1
            return 0.0, False
        columns["volume"][slot] = p.volume
        columns["fall_n"][slot] = 0
        return p.volume - baseline, p.volume > baseline

    def date(self, slot: int, at: int) -> tuple[int, int, int]:
        """Trade date of an instant and its bounds; the UTC day where the calendar has none."""
        table = self._feed.table(slot)
        day = table.day_of(at) if table is not None else None
        if day is None:
            number = at // DAY_NS
            return number, number * DAY_NS, (number + 1) * DAY_NS
        return day.ordinal, day.start_ns, day.end_ns

    def _volume_date(self, p: Packet, slot: int, event: int) -> tuple[int, int, int]:
        """Which trade date the packet's total belongs to.

        An old trade time means an old total, however late at night the packet comes. But the
        exchange's own clock has the last word on a total that fell (the new date's), and on
        one that stands where it stood (this date's: nothing has traded yet). With no trade time,
        a total that comes before the date's first session is the last date's, unless it fell.
        """
        columns = self._feed.slots
        known, baseline = int(columns["date"][slot]), float(columns["volume"][slot])
        by_packet = self.date(slot, p.ts_exchange or event)
        if p.ts_trade:
            by_trade = self.date(slot, p.ts_trade)
            if by_trade[0] < known and p.volume == baseline and p.ts_exchange and by_packet[0] == known:
                return by_packet
            fell = p.volume < baseline and by_trade[0] <= known
            return by_packet if fell and p.ts_exchange and by_packet[0] > known else by_trade
        if known < 0 or (by_packet[0] > known and p.volume != baseline):
            fell = p.volume < baseline  # False for the first
            date = by_packet if fell else self._standing(slot, p.ts_exchange or event, by_packet)
            if date[0] > known:
                return date
        return known, int(columns["day_start"][slot]), int(columns["day_end"][slot])

    def _standing(self, slot: int, at: int, date: tuple[int, int, int]) -> tuple[int, int, int]:
        """The date whose total stands at an instant of ``date``: before its first session, the last one's."""
        table = self._feed.table(slot)
        day = table.day_of(at) if table is not None else None
        if table is None or day is None or not day.windows or at >= day.windows[0].start_ns:
            return date
        last = table.day(day.ordinal - 1)
        while last is not None and last.known and not last.windows:  # a holiday
            last = table.day(last.ordinal - 1)
        if last is None:
            return day.ordinal - 1, day.start_ns - DAY_NS, day.start_ns
        return last.ordinal, last.start_ns, last.end_ns

    def _size(self, p: Packet, slot: int, event: int, mono: int) -> float | None:
        """Units since the baseline (rule 6); None if the packet is to be ignored wholly."""
        columns = self._feed.slots
        date, start, end = self._volume_date(p, slot, event)
        known = int(columns["date"][slot])
        if date < known:
            self._feed.counts["out_of_order"] += 1
            return None
        if date > known:
            first = known < 0
            self._new_date(slot, date, start, end)
            if first:
                columns["volume"][slot] = p.volume
                return 0.0
        baseline = float(columns["volume"][slot])
        if p.volume < baseline:
            self._fell(p, slot, event, mono)
            return None
        if math.isnan(p.price) and p.volume > baseline:
            self._feed.counts["no_price"] += 1
            return None  # the size waits for a packet that has a price
        columns["fall_n"][slot] = 0
        columns["volume"][slot] = p.volume
        return p.volume - baseline

    def _new_date(self, slot: int, date: int, start: int, end: int) -> None:
        columns = self._feed.slots
        columns["date"][slot], columns["day_start"][slot], columns["day_end"][slot] = date, start, end
        columns["volume"][slot] = 0.0
        columns["fall_n"][slot] = 0

    def _fell(self, p: Packet, slot: int, event: int, mono: int) -> None:
        """A smaller total: out of order, until enough of them in a row make it a correction.

        What was traded since the last packet that counted can't be told from the correction.
        What was stamped before that one's event was overtaken, as often as it comes.
        """
        feed, columns = self._feed, self._feed.slots
        feed.counts["out_of_order"] += 1
        if 0 < p.ts_exchange < columns["event"][slot]:
            return
        if not columns["fall_n"][slot] or p.volume < columns["fall_volume"][slot]:
            columns["fall_n"][slot], columns["fall_mono"][slot] = 1, mono
        else:
            columns["fall_n"][slot] += 1
        columns["fall_volume"][slot] = p.volume
        if columns["fall_n"][slot] < FALLS or mono - int(columns["fall_mono"][slot]) < FALL_NS:
            return
        feed.counts["corrections"] += 1
        columns["volume"][slot] = p.volume
        columns["fall_n"][slot] = 0
        before = int(columns["event"][slot])
        start, end = min(before, event) // NS * NS, (max(before, event) // NS + 1) * NS
        feed.log.doubt(slot, Cause.TRADE_ID, start, end, math.nan)
        second = int(columns["mover"][slot])
        if second >= 0:
            feed.book.flag(slot, second, int(Flag.VOLUME_SUSPECT))
            feed.log.mark(slot, second * NS, (second + 1) * NS, flags=int(Flag.VOLUME_SUSPECT))

    def _index_moved(self, p: Packet, slot: int) -> bool:
        """Rule 5 for an instrument without volume."""
        columns = self._feed.slots
        if math.isnan(p.price):
            return False
        if p.ts_exchange:
            return p.ts_exchange > int(columns["exchange"][slot])
        return p.price != float(columns["price"][slot])
