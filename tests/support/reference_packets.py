"""What one packet does, by the reference: rules 3 to 9 of design section 4."""

import math

from mdingest.core.control import VolumeKind
from mdingest.core.events import Cause, Flag
from mdingest.core.records import Record
from tests.support.reference_clock import S, floor
from tests.support.reference_state import NAN, Line, Mover, Packet, ReferenceState, Slot, Stream

QUARTER = S // 4
CORRECTION_NS = 5 * S
CORRECTION_PACKETS = 3


class ReferencePackets(ReferenceState):
    """Takes packets one at a time."""

    def _packet(self, record: Record, stream: Stream, packet: Packet) -> None:
        line = stream.lines[packet.instrument_id]
        slot = self.slots[stream.feed, packet.instrument_id]
        clock = self.clocks[stream.feed]
        kind = line.sub.volume
        snapshot = kind is not VolumeKind.TRADES and not line.seen
        wall, mono = record.wall_ns, record.mono_ns
        if not snapshot:
            stamp = packet.ts_exchange if packet.ts_exchange > 0 else max(packet.ts_trade, 0)
            fresh = clock.fresh
            clock.hear(stamp, packet.instrument_id, self._subscribed(stream.feed), wall, mono)
            if clock.fresh and not fresh:
                self._confirmed(stream.feed, clock.anchor_value - clock.anchor_mono)
            if clock.value is not None:
                stream.newest = max(stream.newest, min(packet.ts_exchange, clock.value))
        now = clock.projection(wall, mono)
        limit = max(now, wall) + 5 * S
        packet.ts_trade = packet.ts_trade if 0 < packet.ts_trade <= limit else 0
        packet.ts_exchange = packet.ts_exchange if 0 < packet.ts_exchange <= limit else 0
        if kind is VolumeKind.CUMULATIVE and math.isnan(packet.volume):
            return  # the line stays as it is: if it waits for its snapshot, it goes on waiting
        event, flags = self._event(slot, kind, packet, now)
        if kind is VolumeKind.TRADES:
            self._trade(slot, record.stream_id, line, packet, event, flags, mono)
        elif snapshot:
            self._snapshot(record, slot, line, packet, event, flags, now)
        else:
            self._ordinary(mono, slot, line, packet, event, flags, extremes=True)

    def _confirmed(self, feed: str, offset: int) -> None:
        """What began by the wall clock, which was slow, began when the feed's clock stood there."""
        for slot in self.slots.values():
            if slot.feed != feed or slot.up_start is None or slot.up_mono is None:
                continue
            began = offset + slot.up_mono
            if slot.up_start + 5 * S < began:
                self._postpone(slot, floor(began + QUARTER) + S)

    def _subscribed(self, feed: str) -> int:
        streams = [stream for stream in self.streams.values() if stream.feed == feed]
        return len({instrument for stream in streams for instrument in stream.lines})

    def _event(self, slot: Slot, kind: VolumeKind, packet: Packet, now: int) -> tuple[int, int]:
        t, x = packet.ts_trade, packet.ts_exchange
        recent = (x or now) - t <= self.lateness
        if t and (kind is VolumeKind.TRADES or t > slot.trade_time or recent):
            return t, 0
        if x:
            return x, Flag.PACKET_TIME
        return now, Flag.LOCAL_CLOCK

    def _trade(
        self, slot: Slot, stream_id: int, line: Line, packet: Packet, event: int, flags: int, mono: int
    ) -> None:
        known = packet.trade_id >= 0 and slot.trade_id >= 0
        newer = packet.ts_trade > slot.trade_time
        if known and packet.trade_id <= slot.trade_id and not newer:
            self.counts["duplicate"] += 1
            return
        if math.isnan(packet.price) or math.isnan(packet.size):
            return
        joins = known and packet.trade_id == slot.trade_id + 1
        if slot.up_start is None:
            if joins and slot.covered_until is not None:
                self._begin_uptime(slot, stream_id, slot.covered_until, 0.0)
            else:
                clock = self.clocks[slot.feed].value
                since = event if clock is None else max(event, clock)
                self._begin_uptime(slot, stream_id, floor(since) + S, NAN, mono)
        elif known and not joins:
            self._doubt(slot, event, Cause.TRADE_ID)
        line.seen = True
        if packet.trade_id >= 0:
            slot.trade_id = packet.trade_id
        self._accept(slot, packet, event)
        self._move(slot, packet, event, flags, packet.size, packet.price, packet.price)

    def _ordinary(
        self,
        mono: int,
        slot: Slot,
        line: Line,
        packet: Packet,
        event: int,
        flags: int,
        *,
        extremes: bool,
    ) -> None:
        date_before = slot.date
        moves, size = self._moves(mono, slot, line, packet, event)
        if moves is None:
            return
        self._accept(slot, packet, event)
        high = low = packet.price
        if extremes and moves:
            high_before, low_before = line.high, line.low
            if size == packet.volume:  # nothing was traded on this date before
                old = date_before < slot.date or self._date(slot, line.event) < slot.date
                high_before = packet.price if old or math.isnan(line.high) else line.high
                low_before = packet.price if old or math.isnan(line.low) else line.low
            if packet.day_high > high_before:
                high = max(high, packet.day_high)
            if packet.day_low < low_before:
                low = min(low, packet.day_low)
            taken = packet.day_high > line.high or packet.day_low < line.low or high != low
            if taken and floor(line.event) < floor(event):
                flags |= Flag.EXTREME_AMBIGUOUS
        doubt, line.doubt = line.doubt, None
        if moves and self._move(slot, packet, event, flags, size, high, low) and doubt is not None:
            damage = self.streams[packet.stream_id].damage
            assert damage is not None
            self._damage(slot, min(doubt, floor(event)), max(damage[1], floor(event) + S))
        line.high, line.low, line.event = packet.day_high, packet.day_low, event

    def _moves(
        self, mono: int, slot: Slot, line: Line, packet: Packet, event: int
    ) -> tuple[bool | None, float]:
        """Whether a live packet moves a candle, and its size. None: it is to be ignored."""
        priced = not math.isnan(packet.price)
        if line.sub.volume is VolumeKind.NONE:
            if packet.ts_exchange:
                moved = packet.ts_exchange > slot.exchange_time
            else:
                moved = packet.price != slot.price
            return (True if moved and priced else None), NAN
        date = self._volume_date(slot, packet, event)
        if math.isnan(slot.baseline):
            slot.baseline, slot.date = packet.volume, date
            return False, NAN
        if date < slot.date:
            self.counts["out_of_order"] += 1
            return None, NAN
        if date > slot.date:
            slot.baseline, slot.date, slot.falls = 0.0, date, []
        if packet.volume < slot.baseline:
            self.counts["out_of_order"] += 1
            if not 0 < packet.ts_exchange < slot.last_event:  # else it is known to be old
                self._fell(mono, slot, packet.volume, event)
            return None, NAN
        size = packet.volume - slot.baseline
        if size > 0 and not priced:
            return None, NAN
        slot.baseline, slot.falls = packet.volume, []
        return size > 0, size

    def _fell(self, mono: int, slot: Slot, volume: float, event: int) -> None:
        if slot.falls and volume < slot.falls[-1][1]:
            slot.falls = []
        slot.falls.append((mono, volume))
        if len(slot.falls) < CORRECTION_PACKETS or mono - slot.falls[0][0] < CORRECTION_NS:
            return
        slot.baseline, slot.falls = volume, []
        self._doubt(slot, event, Cause.TRADE_ID)
        if slot.last_mover is not None:
            slot.suspect.add(slot.last_mover)
            self._mark(slot, slot.last_mover, slot.last_mover + S, flags=Flag.VOLUME_SUSPECT)

    def _volume_date(self, slot: Slot, packet: Packet, event: int) -> int:
        t, x = packet.ts_trade, packet.ts_exchange
        if t:
            date = self._date(slot, t)
            if date < slot.date and packet.volume == slot.baseline and x and self._date(slot, x) == slot.date:
                return slot.date
            reset = date <= slot.date and packet.volume < slot.baseline
            return self._date(slot, x) if reset and x and self._date(slot, x) > slot.date else date
        date = self._date(slot, x or event)
        opening = self._first_session(slot, date)
        if opening is not None and (x or event) < opening and not packet.volume < slot.baseline:
            date = self._date_traded_before(slot, date)
        return date if date > slot.date and packet.volume != slot.baseline else slot.date

    def _snapshot(
        self,
        record: Record,
        slot: Slot,
        line: Line,
        packet: Packet,
        event: int,
        flags: int,
        now: int,
    ) -> None:
        counts = packet.ts_trade >= line.subscribed and not math.isnan(packet.price)
        line.seen = True
        if slot.up_start is not None and counts:
            self._ordinary(record.mono_ns, slot, line, packet, event, flags, extremes=False)
        elif line.sub.volume is VolumeKind.NONE:
            if slot.up_start is None:
                self._begin_uptime(
                    slot,
                    record.stream_id,
                    self._snapshot_start(record, slot, packet, now),
                    NAN,
                    record.mono_ns,
                )
                self._accept(slot, packet, event)
                if counts:
                    self._move(slot, packet, packet.ts_trade, 0, NAN, packet.price, packet.price)
        else:
            self._snapshot_of_volume(record, slot, line, packet, event, now, counts=counts)
        line.high, line.low, line.event = packet.day_high, packet.day_low, event

    def _snapshot_of_volume(
        self,
        record: Record,
        slot: Slot,
        line: Line,
        packet: Packet,
        event: int,
        now: int,
        *,
        counts: bool,
    ) -> None:
        if slot.up_start is not None:
            return
        date = self._volume_date(slot, packet, event)
        first = math.isnan(slot.baseline)
        stale = not first and (date < slot.date or (date == slot.date and packet.volume < slot.baseline))
        if stale:
            self.counts["out_of_order"] += 1
        baseline = slot.baseline if date == slot.date and not first else 0.0
        passed = 0.0 if stale else packet.volume - baseline
        counts = counts and not stale and (packet.volume > baseline or date > slot.date or first)
        size = NAN
        opening = self._first_session(slot, self._date(slot, packet.ts_trade)) if counts else None
        if opening is not None and line.subscribed < opening:
            size, passed = passed, 0.0
        if not stale:
            slot.baseline, slot.date, slot.falls = packet.volume, date, []
        start = self._snapshot_start(record, slot, packet, now)
        if slot.covered_until is None and date < self._date(slot, start):
            passed = 0.0  # the packet knows of no trade on the date that was missed
        self._begin_uptime(slot, record.stream_id, start, passed, record.mono_ns)
        self._accept(slot, packet, event)
        if counts:
            flags = Flag.SIZE_UNKNOWN if math.isnan(size) else 0
            self._move(slot, packet, packet.ts_trade, flags, size, packet.price, packet.price)

    def _snapshot_start(self, record: Record, slot: Slot, packet: Packet, now: int) -> int:
        wall = record.wall_ns
        bases = [floor((now if self.clocks[slot.feed].fresh else wall) + QUARTER)]
        if abs(wall - now) <= 5 * S:
            bases.append(floor(wall + QUARTER))
        if packet.ts_exchange and abs(packet.ts_exchange - record.wall_ns) <= 5 * S:
            bases.append(floor(packet.ts_exchange))
        return max(bases) + S

    def _doubt(self, slot: Slot, event: int, cause: Cause) -> None:
        """Both seconds, and all between: that of the last packet that counted, and of this one."""
        seconds = sorted((floor(slot.last_event), floor(event)))
        self._gap(slot, seconds[0], seconds[1] + S, cause, NAN)
        self._mark(slot, seconds[0], seconds[1] + S, partial=True)

    def _accept(self, slot: Slot, packet: Packet, event: int) -> None:
        slot.last_event = event
        slot.trade_time = max(slot.trade_time, packet.ts_trade)
        slot.exchange_time = max(slot.exchange_time, packet.ts_exchange)
        if not math.isnan(packet.price):
            slot.price = packet.price

    def _move(
        self, slot: Slot, packet: Packet, event: int, flags: int, size: float, high: float, low: float
    ) -> bool:
        """Put a mover into its second. False: it came too late, and that is a gap."""
        second = floor(event)
        clock = self.clocks[slot.feed].value
        if clock is not None and clock > second + S + self.lateness + self.revise:
            self.counts["late"] += 1
            volume = slot.late[1] + size if slot.late[0] == second else size
            slot.late = (second, volume)
            self._gap(slot, second, second + S, Cause.LATE, volume)
            self._mark(slot, second, second + S, partial=True)
            return False
        self.arrivals += 1
        mover = Mover(event, self.arrivals, packet.price, high, low, size, packet.oi, flags)
        slot.movers.setdefault(second, []).append(mover)
        slot.changed |= {(1, second), (60, second // (60 * S) * 60 * S)}
        slot.last_mover = second
        return True
