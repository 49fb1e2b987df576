"""The rules of design section 4 for one packet at a time.

The rare packets come this way: snapshots, volumes that fall, changes of trade date, missing
or unbelievable stamps, indices. `core.feed` does the same for plain packets as columns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from mdingest.core.candles import NS
from mdingest.core.events import Cause, Flag
from mdingest.core.feedclock import JUMP_NS

if TYPE_CHECKING:
    from mdingest.core.feed import Feed

DAY_NS = 86_400 * NS
QUARTER_NS = NS // 4
FALLS = 3  # smaller volumes in a row ...
FALL_NS = 5 * NS  # ... over this long are a correction by the exchange
CUMULATIVE, TRADES, NONE = 0, 1, 2  # control.VolumeKind, as column values

Mover = tuple[int, int, float, float, float, float, float, int]
"""A row of `core.candles.MOVER`."""


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


class Moment(NamedTuple):
    """When a packet came, by every clock. ns."""

    wall: int
    mono: int
    clock: int  # the feed's, after this packet
    projected: int  # the same, carried on to this very instant
    fresh: bool  # this process has confirmed it


class Rules:
    """Row by row. Works on the columns of its feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

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
        if not self._feed.lines["seen"][line]:
            return self._snapshot(p, line, slot, now, cumulative=kind == CUMULATIVE)
        event, flags = self._event(p, slot, now)
        size = self._moved(p, slot, event, now.mono)
        if size is None:
            return None
        moves = math.isnan(size) or size > 0
        top, bottom, doubt = self._extremes(p, line, event)
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
            end = max(end, (mover[1] // NS + 1) * NS)
            log.gap(slot, Cause.UNDECODABLE, start, end, math.nan)
            log.mark(slot, start, end, partial=True)

    def _moved(self, p: Packet, slot: int, event: int, mono: int) -> float | None:
        """Units that this packet adds, NaN for an index; None if it is to be ignored wholly."""
        if self._feed.slots["kind"][slot] == CUMULATIVE:
            return self._size(p, slot, event, mono)
        return math.nan if self._index_moved(p, slot) else None

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

    def _date(self, slot: int, at: int) -> tuple[int, int, int]:
        """Trade date of an instant and its bounds; the UTC day where the calendar has none."""
        table = self._feed.table(slot)
        day = table.day_of(at) if table is not None else None
        if day is None:
            number = at // DAY_NS
            return number, number * DAY_NS, (number + 1) * DAY_NS
        return day.ordinal, day.start_ns, day.end_ns

    # -- volume -----------------------------------------------------------------------

    def _volume_date(self, p: Packet, slot: int, event: int) -> tuple[int, int, int]:
        """Which trade date the packet's total belongs to.

        An old trade time means an old total, however late at night the packet comes. A
        total that fell is the new date's if the exchange's own clock says so.
        """
        columns = self._feed.slots
        known, baseline = int(columns["date"][slot]), float(columns["volume"][slot])
        by_packet = self._date(slot, p.ts_exchange or event)
        if p.ts_trade:
            by_trade = self._date(slot, p.ts_trade)
            fell = p.volume < baseline and by_trade[0] <= known
            return by_packet if fell and p.ts_exchange and by_packet[0] > known else by_trade
        if known < 0 or (by_packet[0] > known and p.volume != baseline):
            return by_packet
        return known, int(columns["day_start"][slot]), int(columns["day_end"][slot])

    def _size(self, p: Packet, slot: int, event: int, mono: int) -> float | None:
        """Units since the baseline (rule 6); None if the packet is to be ignored wholly."""
        columns = self._feed.slots
        if math.isnan(p.volume):
            self._feed.counts["no_volume"] += 1
            return None
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
            self._fell(p, slot, mono)
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

    def _fell(self, p: Packet, slot: int, mono: int) -> None:
        """A smaller total: out of order, until enough of them in a row make it a correction."""
        feed, columns = self._feed, self._feed.slots
        feed.counts["out_of_order"] += 1
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

    # -- extremes and memory ------------------------------------------------------------

    def _extremes(self, p: Packet, line: int, event: int) -> tuple[float, float, int]:
        """Rule 8: what the day's high and low reveal beyond the last price."""
        lines = self._feed.lines
        high = p.day_high > lines["high"][line]  # False where either is NaN
        low = p.day_low < lines["low"][line]
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

    def _begin(self, p: Packet, line: int, slot: int, start: int, passed: float) -> None:
        self._join(line, slot)
        self._feed.log.begin(slot, start, passed, self._feed.table(slot), p.stream_id)

    def _join(self, line: int, slot: int) -> None:
        self._feed.lines["seen"][line] = True
        self._feed.slots["up_lines"][slot] += 1

    def _up_start(self, p: Packet, now: Moment) -> int:
        """The first whole second that we are sure to hear entirely.

        Each clock alone may be behind: the snapshot's own stamp may be of any age, and the
        feed's lags by up to a second, since its stamps are cut to whole ones. So the latest
        counts, of those that agree. A quarter of a second allows for what they differ by.
        """
        base = (now.projected if now.fresh else now.wall) + QUARTER_NS
        if abs(now.wall - now.projected) <= JUMP_NS:
            base = max(base, now.wall + QUARTER_NS)
        if p.ts_exchange and abs(p.ts_exchange - now.wall) <= JUMP_NS:
            base = max(base, p.ts_exchange)
        return (base // NS + 1) * NS

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
        if cumulative and not math.isnan(p.volume):
            passed, grew = self._passed(p, slot, event)
            if grew and counts:
                table = feed.table(slot)
                opens = (
                    table.first_session_start(self._date(slot, p.ts_trade)[0]) if table is not None else None
                )
                if opens is not None and subscribed < opens:
                    size, passed = passed, 0.0
                else:
                    size, flags = 0.0, int(Flag.SIZE_UNKNOWN)
        self._begin(p, line, slot, self._up_start(p, now), passed)
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
            size = self._moved(p, slot, at, now.mono)
            if size is not None:
                self._remember(p, line, slot, at)
                if math.isnan(size) or size > 0:
                    mover = self._mover(p, slot, at, size, p.price, p.price, flags, now.clock)
        lines = self._feed.lines
        lines["high"][line], lines["low"][line], lines["event"][line] = p.day_high, p.day_low, at
        return mover

    def _passed(self, p: Packet, slot: int, event: int) -> tuple[float, bool]:
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

    def _single_trade(self, p: Packet, line: int, slot: int, now: Moment) -> Mover | None:
        """A feed that sends trades: each stands for itself, and their ids tell of holes."""
        feed, columns = self._feed, self._feed.slots
        last = int(columns["trade_id"][slot])
        if 0 <= p.trade_id <= last:
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
                self._begin(p, line, slot, covered, 0.0)
            else:
                self._begin(p, line, slot, (event // NS + 1) * NS, math.nan)
        elif not joins and p.trade_id >= 0 and last >= 0:
            before = int(columns["event"][slot])
            start, end = min(before, event) // NS * NS, (max(before, event) // NS + 1) * NS
            feed.log.gap(slot, Cause.TRADE_ID, start, end, math.nan)
            feed.log.mark(slot, start, end, partial=True)
        if not feed.lines["seen"][line]:
            self._join(line, slot)
        columns["trade_id"][slot] = max(last, p.trade_id)
        self._remember(p, line, slot, event)
        return self._mover(p, slot, event, p.size, p.price, p.price, flags, now.clock)
