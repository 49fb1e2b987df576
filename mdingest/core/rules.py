"""The rules of design section 4 for one packet at a time.

The rare packets come this way: snapshots, volumes that fall, changes of trade date, missing
or unbelievable stamps, indices. `core.feed` does the same for plain packets as columns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from mdingest.core.candles import Mover
from mdingest.core.coverage import PROVEN
from mdingest.core.events import Cause, Flag
from mdingest.core.feedclock import JUMP_NS
from mdingest.core.units import NS
from mdingest.core.volume import CUMULATIVE, TRADES, Packet, Volume

if TYPE_CHECKING:
    from mdingest.core.feed import Feed

QUARTER_NS = NS // 4


class Moment(NamedTuple):
    """When a packet came, by every clock. ns."""

    wall: int
    mono: int
    clock: int  # the feed's, after this packet
    projected: int  # the same, carried on to this very instant
    fresh: bool  # this process has confirmed it


def heard_from(now: int) -> int:
    """The first whole second that is heard entirely from an instant on, by a clock that may be a bit slow."""
    return ((now + QUARTER_NS) // NS + 1) * NS


class Rules:
    """Row by row. Works on the columns of its feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._volume = Volume(feed)

    def packet(self, p: Packet, line: int, slot: int, now: Moment) -> Mover | None:
        """Take one packet; the mover for the book, if it moves a candle that still may change."""
        latest = max(now.projected, now.wall) + JUMP_NS
        p = p._replace(
            ts_trade=p.ts_trade if 0 < p.ts_trade <= latest else 0,
            ts_exchange=p.ts_exchange if 0 < p.ts_exchange <= latest else 0,
        )
        kind = int(self._feed.slots["kind"][slot])
        if kind == TRADES:
            return self._single_trade(p, line, slot, now)
        if kind == CUMULATIVE and math.isnan(p.volume):
            self._feed.counts["no_volume"] += 1  # no snapshot either: it doesn't tell what passed
            return None
        if not self._feed.lines["seen"][line]:
            return self._snapshot(p, line, slot, now, cumulative=kind == CUMULATIVE)
        event, flags = self._event(p, slot, now)
        slots, date = self._feed.slots, int(self._feed.slots["date"][slot])
        size = self._volume.moved(p, slot, event, now.mono)
        if size is None:
            return None
        moves = math.isnan(size) or size > 0
        old = date < slots["date"][slot] or self._feed.lines["event"][line] < slots["day_start"][slot]
        top, bottom, doubt = self._extremes(p, line, event, first=moves and size == p.volume, old=bool(old))
        self._remember(p, line, slot, event)
        mover = None
        if moves and not math.isnan(p.price):
            mover = self._mover(p, slot, event, size, top, bottom, flags | doubt, now.clock)
        if self._feed.lines["doubt"][line]:
            self._settle(line, slot, mover)
        return mover

    def _settle(self, line: int, slot: int, mover: Mover | None) -> None:
        """The first packet after a damaged frame: it may tell what that one held."""
        lines, log = self._feed.lines, self._feed.log
        start, end = int(lines["doubt"][line]), int(lines["doubt_end"][line])
        lines["doubt"][line] = 0
        if mover is not None:
            second = mover[1] // NS * NS
            told = max(start, end - NS)  # what lies before the last damaged second was marked with it
            start, end = min(start, second), max(end, second + NS)
            log.gap(slot, Cause.UNDECODABLE, start, end, math.nan)
            log.mark(slot, min(told, second), end, partial=True)

    # -- event time -------------------------------------------------------------------

    def _event(self, p: Packet, slot: int, now: Moment) -> tuple[int, int]:
        """Rule 3."""
        trade = p.ts_trade
        if trade:
            against = p.ts_exchange or now.projected
            if trade > self._feed.slots["trade"][slot] or against - trade <= self._feed.lateness_ns:
                return trade, 0
        if p.ts_exchange:
            return p.ts_exchange, int(Flag.PACKET_TIME)
        return now.projected, int(Flag.LOCAL_CLOCK)

    # -- extremes and memory ------------------------------------------------------------

    def _extremes(
        self, p: Packet, line: int, event: int, *, first: bool, old: bool
    ) -> tuple[float, float, int]:
        """Rule 8: what the day's high and low reveal beyond the last price.

        Those of the day's ``first`` trades are theirs alone, where what the line told before is
        of an ``old`` date, or nothing.
        """
        lines = self._feed.lines
        high = p.day_high > lines["high"][line]  # False where either is NaN
        low = p.day_low < lines["low"][line]
        if first:
            high |= (old or math.isnan(lines["high"][line])) and p.day_high > p.price
            low |= (old or math.isnan(lines["low"][line])) and p.day_low < p.price
        earlier = int(lines["event"][line]) // NS < event // NS
        doubt = int(Flag.EXTREME_AMBIGUOUS) if (high or low) and earlier else 0
        return (
            max(p.price, p.day_high) if high else p.price,
            min(p.price, p.day_low) if low else p.price,
            doubt,
        )

    def _remember(self, p: Packet, line: int, slot: int, event: int) -> None:
        lines, columns = self._feed.lines, self._feed.slots
        lines["high"][line], lines["low"][line], lines["event"][line] = p.day_high, p.day_low, event
        columns["trade"][slot] = max(int(columns["trade"][slot]), p.ts_trade)
        columns["exchange"][slot] = max(int(columns["exchange"][slot]), p.ts_exchange)
        if not math.isnan(p.price):
            columns["price"][slot] = p.price
        columns["event"][slot] = event

    def _mover(
        self, p: Packet, slot: int, event: int, size: float, top: float, bottom: float, flags: int, clock: int
    ) -> Mover | None:
        """Rule 9: into its bucket, unless that can't change any more."""
        feed, second = self._feed, event // NS
        if (second + 1) * NS + feed.lateness_ns + feed.revise_ns < clock:
            feed.late(slot, second, math.nan if flags & Flag.SIZE_UNKNOWN else size)
            return None
        feed.slots["mover"][slot] = second
        feed.slots["top"][slot] = max(int(feed.slots["top"][slot]), second)
        return slot, event, p.price, top, bottom, size, p.oi, flags

    # -- the first packet of a line -------------------------------------------------------

    def _begin(self, p: Packet, line: int, slot: int, start: int, mono: int, passed: float) -> None:
        self._join(line, slot)
        self._feed.log.begin(slot, start, mono, passed, self._feed.table(slot), p.stream_id)

    def _join(self, line: int, slot: int) -> None:
        self._feed.lines["seen"][line] = True
        self._feed.slots["up_lines"][slot] += 1

    def _up_start(self, p: Packet, now: Moment) -> int:
        """The first whole second that we are sure to hear entirely.

        Each clock alone may be behind: the snapshot's own stamp may be of any age, and the
        feed's lags by up to a second, since its stamps are cut to whole ones. So the latest
        counts, of those that agree. A quarter of a second allows for what they differ by.
        """
        start = heard_from(now.projected if now.fresh else now.wall)
        if abs(now.wall - now.projected) <= JUMP_NS:
            start = max(start, heard_from(now.wall))
        if p.ts_exchange and abs(p.ts_exchange - now.wall) <= JUMP_NS:
            start = max(start, (p.ts_exchange // NS + 1) * NS)
        return start

    def _snapshot(self, p: Packet, line: int, slot: int, now: Moment, *, cumulative: bool) -> Mover | None:
        """Rule 7: it says where things stand, and touches no candle but in one case."""
        feed = self._feed
        subscribed = int(feed.lines["subscribed"][line])
        event, doubt = self._event(p, slot, now)
        counts = p.ts_trade >= max(subscribed, 1) and not math.isnan(p.price)
        if feed.slots["up_lines"][slot]:
            return self._further_snapshot(p, line, slot, now, (event, doubt), counts=counts)
        passed, flags = math.nan, 0
        size = math.nan if counts and not cumulative else None
        if cumulative:
            passed, grew = self._volume.passed(p, slot, event)
            if grew and counts:
                table = feed.table(slot)
                opens = (
                    table.first_session_start(self._volume.date(slot, p.ts_trade)[0])
                    if table is not None
                    else None
                )
                if opens is not None and subscribed < opens:
                    size, passed = passed, 0.0
                else:
                    size, flags = 0.0, int(Flag.SIZE_UNKNOWN)
        start = self._up_start(p, now)
        columns = feed.slots
        if cumulative and columns["covered_until"][slot] < 0:
            today = self._volume.date(slot, start)[0]
            passed = 0.0 if columns["date"][slot] < today else passed  # a total from before the gap
        self._begin(p, line, slot, start, now.mono, passed)
        self._remember(p, line, slot, event)
        if size is None:
            return None
        return self._mover(p, slot, p.ts_trade, size, p.price, p.price, flags, now.clock)

    def _further_snapshot(
        self, p: Packet, line: int, slot: int, now: Moment, event: tuple[int, int], *, counts: bool
    ) -> Mover | None:
        """A snapshot of what another stream carries already: nothing passed unseen.

        So the baseline stays with the stream that counts, unless this one shows a trade.
        """
        at, flags = event
        self._join(line, slot)
        mover = None
        if counts:
            size = self._volume.moved(p, slot, at, now.mono)
            if size is not None:
                self._remember(p, line, slot, at)
                if math.isnan(size) or size > 0:
                    mover = self._mover(p, slot, at, size, p.price, p.price, flags, now.clock)
        lines = self._feed.lines
        lines["high"][line], lines["low"][line], lines["event"][line] = p.day_high, p.day_low, at
        return mover

    def _single_trade(self, p: Packet, line: int, slot: int, now: Moment) -> Mover | None:
        """A feed that sends trades: each stands for itself, and their ids tell of holes.

        An id that falls is a trade told again only if its time is no news either. Else the ids
        were wrong before, or begin anew: it does not join, like one that jumps.
        """
        feed, columns = self._feed, self._feed.slots
        last = int(columns["trade_id"][slot])
        if 0 <= p.trade_id <= last and p.ts_trade <= int(columns["trade"][slot]):
            feed.counts["duplicate"] += 1
            return None
        if math.isnan(p.price) or math.isnan(p.size):
            feed.counts["no_price"] += 1
            return None
        event, flags = (p.ts_trade, 0) if p.ts_trade else self._event(p, slot, now)
        joins = last >= 0 and p.trade_id == last + 1
        if not columns["up_lines"][slot]:
            covered = int(columns["covered_until"][slot])
            if joins and covered >= 0:
                self._begin(p, line, slot, covered, PROVEN, 0.0)
            else:
                # One that comes late says nothing of what was traded since.
                start = (max(event, now.clock) // NS + 1) * NS
                self._begin(p, line, slot, start, now.mono, math.nan)
        elif not joins and p.trade_id >= 0 and last >= 0:
            before = int(columns["event"][slot])
            start, end = min(before, event) // NS * NS, (max(before, event) // NS + 1) * NS
            feed.log.doubt(slot, Cause.TRADE_ID, start, end, math.nan)
        if not feed.lines["seen"][line]:
            self._join(line, slot)
        if p.trade_id >= 0:
            columns["trade_id"][slot] = p.trade_id
        self._remember(p, line, slot, event)
        return self._mover(p, slot, event, p.size, p.price, p.price, flags, now.clock)
