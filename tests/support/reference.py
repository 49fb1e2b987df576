"""The rules of live candles once more: slow, obvious, row by row (design section 4).

One record and one packet at a time, in plain dicts and lists. It shares no algebra with the
product: it keeps every mover and makes each candle from the whole list when it is emitted.
It never forgets anything, so it is for short tapes only.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdingest.core import control, rank
from mdingest.core.control import CandleSettings, Subscription, VolumeKind
from mdingest.core.events import (
    CANDLE,
    COVERAGE,
    GAP,
    MARK,
    OPEN_END,
    Candles,
    Cause,
    Coverage,
    Events,
    Flag,
    Gaps,
    Marks,
    State,
)
from mdingest.core.records import Batch, Kind, Record
from mdingest.core.session import NO_DATE, SessionTable
from mdingest.core.ticks import PACKET, Packets
from tests.support.reference_clock import FeedClock, S, floor

UTC_DAY = 86_400 * S
QUARTER = S // 4
CORRECTION_NS = 5 * S
CORRECTION_PACKETS = 3
COALESCE_NS = 5 * S
INTERVALS = (1, 60)
NAN = math.nan
CAUSES = {cause.text: cause for cause in Cause}


@dataclass
class Packet:
    """One row of PACKET, under its own names."""

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


@dataclass
class Mover:
    """A trade that moves a candle. ``size`` NaN: it has none, or it is unknown (flag 4)."""

    event: int
    arrival: int
    price: float
    high: float
    low: float
    size: float
    oi: float
    flags: int


@dataclass
class Line:
    """An instrument on a stream, from its SUBSCRIBE on."""

    sub: Subscription
    subscribed_wall: int
    seen: bool = False
    high: float = NAN
    low: float = NAN
    event: int = 0
    doubt: int | None = None  # start of a damage that may have held a packet of it


@dataclass
class Slot:
    """All that is known of one instrument of one feed."""

    feed: str
    instrument: int
    volume: VolumeKind
    session_class: str
    baseline: float = NAN
    date: int = NO_DATE
    trade_time: int = 0
    exchange_time: int = 0
    price: float = NAN
    falls: list[tuple[int, float]] = field(default_factory=list)
    trade_id: int = -1
    trade_event: int = 0
    last_mover: int | None = None  # its second
    covered_until: int | None = None
    up_start: int | None = None
    up_stream: int = 0
    first_up: int | None = None
    ended: int = 0  # greatest end of a line since uptime began
    pending: Cause = Cause.START
    open_gap: bool = False
    gaps: list[tuple[int, int]] = field(default_factory=list)
    late: tuple[int, float] = (-1, NAN)
    movers: dict[int, list[Mover]] = field(default_factory=dict)
    suspect: set[int] = field(default_factory=set)  # seconds that took an excess
    doubts: list[tuple[int, int]] = field(default_factory=list)  # end of an uptime, and up to where rows may exist
    emitted: dict[tuple[int, int], int] = field(default_factory=dict)  # to revision
    changed: set[tuple[int, int]] = field(default_factory=set)


@dataclass
class Stream:
    """A connection. The two instants are feed-clock times of its last frames."""

    feed: str
    lines: dict[int, Line] = field(default_factory=dict)
    heard: int = 0
    heard_data: int = 0
    damage: tuple[int, int] | None = None


class Reference:
    """Steps through batches exactly as `mdingest.core.machine.Machine` must."""

    def __init__(self, settings: CandleSettings) -> None:
        self._settings(settings)
        self.clocks: dict[str, FeedClock] = {}
        self.streams: dict[int, Stream] = {}
        self.slots: dict[tuple[str, int], Slot] = {}
        self.tables: dict[str, SessionTable] = {}
        self.arrivals = 0
        self._begin_step()

    def _settings(self, settings: CandleSettings) -> None:
        self.lateness = round(settings.lateness_s * S)
        self.revise = round(settings.revise_s * S)

    def _begin_step(self) -> None:
        self.out_candles: list[tuple[Any, ...]] = []
        self.out_marks: list[tuple[Any, ...]] = []
        self.out_coverage: list[tuple[Any, ...]] = []
        self.out_gaps: list[tuple[Any, ...]] = []
        self.out_streams: dict[int, tuple[str, int]] = {}
        self.counts: Counter[str] = Counter()

    def step(self, batch: Batch, packets: Packets, bad: Sequence[int] = ()) -> Events:
        """The rows that one batch brings forth."""
        self._begin_step()
        rows = [Packet(*row) for row in packets.tolist()]
        for index, record in enumerate(batch.records()):
            self._record(record, [p for p in rows if p.rec == index], damaged=index in bad)
        self._emit()
        return Events(
            candles=Candles(np.array(self.out_candles, CANDLE)),
            marks=Marks(np.array(self.out_marks, MARK)),
            coverage=Coverage(np.array(self.out_coverage, COVERAGE)),
            gaps=Gaps(np.array(self.out_gaps, GAP)),
            streams=self.out_streams,
            counts=self.counts,
        )

    # ---- records

    def _record(self, record: Record, packets: list[Packet], *, damaged: bool) -> None:
        match record.kind:
            case Kind.START:
                self._start(record)
            case Kind.CALENDAR:
                for name, value in json.loads(record.payload).items():
                    table = SessionTable.from_json(value)
                    self.tables[name] = self.tables[name].merged(table) if name in self.tables else table
            case Kind.CONNECT:
                feed = control.decode_connect(record.payload).feed
                self.streams[record.stream_id] = Stream(feed)
                self.clocks.setdefault(feed, FeedClock())
            case Kind.SUBSCRIBE:
                self._subscribe(record)
            case Kind.UNSUBSCRIBE:
                self._drop(record, control.decode_keys(record.payload))
            case Kind.DISCONNECT if record.stream_id in self.streams:
                self._end_stream(record.stream_id, _cause(record), silence=False)
                self._forget_stream(record.stream_id)
            case Kind.SILENCE if record.stream_id in self.streams:
                self._end_stream(record.stream_id, _cause(record), silence=True)
                for line in self.streams[record.stream_id].lines.values():
                    line.subscribed_wall = record.wall_ns
            case Kind.TICK:
                for clock in self.clocks.values():
                    clock.tick(record.mono_ns)
            case Kind.FRAME if record.stream_id in self.streams:
                self._frame(record, packets, damaged=damaged)
            case _:
                pass

    def _start(self, record: Record) -> None:
        for stream_id in sorted(self.streams):
            self._end_stream(stream_id, Cause.CRASH, silence=False)
            self._forget_stream(stream_id)
        for clock in self.clocks.values():
            clock.restart(record.mono_ns)
        for slot in self.slots.values():
            slot.falls = []
        self._settings(control.decode_start(record.payload).settings)

    def _forget_stream(self, stream_id: int) -> None:
        del self.streams[stream_id]
        self.out_streams.pop(stream_id, None)

    def _subscribe(self, record: Record) -> None:
        stream = self.streams[record.stream_id]
        subs = control.decode_subscribe(record.payload)
        self._drop(record, [sub.key for sub in subs])
        for sub in subs:
            stream.lines[sub.instrument_id] = Line(sub, record.wall_ns)
            key = (stream.feed, sub.instrument_id)
            slot = self.slots.setdefault(key, Slot(*key, sub.volume, sub.session_class))
            slot.volume, slot.session_class = sub.volume, sub.session_class

    def _drop(self, record: Record, keys: list[str]) -> None:
        stream = self.streams[record.stream_id]
        now = self.clocks[stream.feed].projection(record.wall_ns, record.mono_ns)
        for instrument, line in list(stream.lines.items()):
            if line.sub.key in keys:
                self._end_line(record.stream_id, instrument, floor(now), Cause.UNSUBSCRIBED)
                del stream.lines[instrument]

    def _end_stream(self, stream_id: int, cause: Cause, *, silence: bool) -> None:
        stream = self.streams[stream_id]
        end = floor(stream.heard_data if silence else stream.heard)
        for instrument in stream.lines:
            self._end_line(stream_id, instrument, end, cause)

    def _frame(self, record: Record, packets: list[Packet], *, damaged: bool) -> None:
        stream = self.streams[record.stream_id]
        clock = self.clocks[stream.feed]
        for packet in packets:
            if packet.instrument_id in stream.lines:
                self._packet(record, stream, packet)
        if damaged:
            self._damaged(record, stream)
        stream.heard = clock.projection(record.wall_ns, record.mono_ns)
        if packets:
            stream.heard_data = stream.heard
        self.out_streams[record.stream_id] = (stream.feed, stream.heard)

    def _damaged(self, record: Record, stream: Stream) -> None:
        clock = self.clocks[stream.feed]
        if clock.value is None:
            at = record.wall_ns
        else:
            at = clock.value if clock.fresh else max(clock.value, record.wall_ns)
        start, end = floor(at), floor(at) + S
        if stream.damage is not None and stream.damage[0] <= start <= stream.damage[1] + COALESCE_NS:
            start, end = stream.damage[0], max(end, stream.damage[1])
        stream.damage = (start, end)
        for instrument in stream.lines:
            self._damage(self.slots[stream.feed, instrument], start, end)
            line = stream.lines[instrument]
            if line.seen and line.sub.volume is not VolumeKind.TRADES:
                line.doubt = start

    def _damage(self, slot: Slot, start: int, end: int) -> None:
        self._gap(slot, start, end, Cause.UNDECODABLE, NAN)
        self._mark(slot, start, end, partial=True)

    # ---- uptime

    def _begin_uptime(self, slot: Slot, stream_id: int, start: int, passed: float) -> None:
        if slot.covered_until is None:
            opening = self._first_session(slot, self._date(slot, start))
            if opening is not None and opening < start:
                self._gap(slot, opening, start, Cause.START, passed)
        else:
            start = max(start, slot.covered_until)
            if start > slot.covered_until or slot.open_gap:
                slot.gaps = [gap for gap in slot.gaps if gap[1] != OPEN_END]
                self._gap(slot, slot.covered_until, start, slot.pending, passed)
        slot.open_gap = False
        slot.up_start = start
        slot.up_stream = stream_id
        slot.ended = start
        if slot.first_up is None:
            slot.first_up = start
        self._cover(slot, OPEN_END)

    def _end_line(self, stream_id: int, instrument: int, end: int, cause: Cause) -> None:
        stream = self.streams[stream_id]
        slot = self.slots[stream.feed, instrument]
        line = stream.lines[instrument]
        if not line.seen:
            return
        line.seen = False
        line.doubt = None
        slot.ended = max(slot.ended, end)
        others = [
            other_id
            for other_id, other in self.streams.items()
            if other.feed == stream.feed and instrument in other.lines and other.lines[instrument].seen
        ]
        if others:
            slot.up_stream = min(others)
            self._cover(slot, OPEN_END)
            return
        self._cover(slot, slot.ended)
        slot.up_start = None
        slot.covered_until = slot.ended
        slot.pending = cause
        self._mark(slot, slot.ended, OPEN_END, partial=True)
        clock = self.clocks[slot.feed].value
        closing = 0 if clock is None else floor(clock - self.lateness)
        slot.doubts.append((slot.ended, max(closing, max(slot.movers, default=-S) + S)))
        if cause is not Cause.UNSUBSCRIBED:
            slot.open_gap = True
            self._gap(slot, slot.ended, OPEN_END, cause, NAN)

    # ---- packets

    def _packet(self, record: Record, stream: Stream, packet: Packet) -> None:
        line = stream.lines[packet.instrument_id]
        slot = self.slots[stream.feed, packet.instrument_id]
        clock = self.clocks[stream.feed]
        kind = line.sub.volume
        snapshot = kind is not VolumeKind.TRADES and not line.seen
        wall, mono = record.wall_ns, record.mono_ns
        if not snapshot:
            stamp = packet.ts_exchange if packet.ts_exchange > 0 else max(packet.ts_trade, 0)
            clock.hear(stamp, packet.instrument_id, self._subscribed(stream.feed), wall, mono)
        now = clock.projection(wall, mono)
        limit = max(now, wall) + 5 * S
        packet.ts_trade = packet.ts_trade if 0 < packet.ts_trade <= limit else 0
        packet.ts_exchange = packet.ts_exchange if 0 < packet.ts_exchange <= limit else 0
        event, flags = self._event(slot, kind, packet, now)
        if kind is VolumeKind.TRADES:
            self._trade(slot, record.stream_id, line, packet, event, flags)
        elif snapshot:
            self._snapshot(record, slot, line, packet, event, flags, now)
        else:
            self._ordinary(mono, slot, line, packet, event, flags, extremes=True)

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

    def _trade(self, slot: Slot, stream_id: int, line: Line, packet: Packet, event: int, flags: int) -> None:
        known = packet.trade_id >= 0 and slot.trade_id >= 0
        if known and packet.trade_id <= slot.trade_id:
            self.counts["duplicate"] += 1
            return
        if math.isnan(packet.price) or math.isnan(packet.size):
            return
        joins = known and packet.trade_id == slot.trade_id + 1
        if slot.up_start is None:
            if joins and slot.covered_until is not None:
                self._begin_uptime(slot, stream_id, slot.covered_until, 0.0)
            else:
                self._begin_uptime(slot, stream_id, floor(event) + S, NAN)
        elif known and not joins:
            start = floor(min(slot.trade_event, event))
            end = floor(max(slot.trade_event, event)) + S
            self._gap(slot, start, end, Cause.TRADE_ID, NAN)
            self._mark(slot, start, end, partial=True)
        line.seen = True
        if packet.trade_id >= 0:
            slot.trade_id = packet.trade_id
        slot.trade_event = event
        self._accept(slot, packet)
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
        moves, size = self._moves(mono, slot, line, packet, event)
        if moves is None:
            return
        self._accept(slot, packet)
        high = low = packet.price
        if extremes and moves:
            if packet.day_high > line.high:
                high = max(high, packet.day_high)
            if packet.day_low < line.low:
                low = min(low, packet.day_low)
            taken = packet.day_high > line.high or packet.day_low < line.low
            if taken and floor(line.event) < floor(event):
                flags |= Flag.EXTREME_AMBIGUOUS
        doubt, line.doubt = line.doubt, None
        if moves and self._move(slot, packet, event, flags, size, high, low) and doubt is not None:
            damage = self.streams[packet.stream_id].damage
            assert damage is not None
            self._damage(slot, doubt, max(damage[1], floor(event) + S))
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
        if math.isnan(packet.volume):
            return None, NAN
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
            self._fell(mono, slot, packet.volume)
            return None, NAN
        size = packet.volume - slot.baseline
        if size > 0 and not priced:
            return None, NAN
        slot.baseline, slot.falls = packet.volume, []
        return size > 0, size

    def _fell(self, mono: int, slot: Slot, volume: float) -> None:
        self.counts["out_of_order"] += 1
        if slot.falls and volume < slot.falls[-1][1]:
            slot.falls = []
        slot.falls.append((mono, volume))
        if len(slot.falls) < CORRECTION_PACKETS or mono - slot.falls[0][0] < CORRECTION_NS:
            return
        slot.baseline, slot.falls = volume, []
        if slot.last_mover is not None:
            slot.suspect.add(slot.last_mover)
            self._mark(slot, slot.last_mover, slot.last_mover + S, flags=Flag.VOLUME_SUSPECT)

    def _volume_date(self, slot: Slot, packet: Packet, event: int) -> int:
        t, x = packet.ts_trade, packet.ts_exchange
        if t:
            date = self._date(slot, t)
            reset = date <= slot.date and packet.volume < slot.baseline
            return self._date(slot, x) if reset and x and self._date(slot, x) > slot.date else date
        date = self._date(slot, x or event)
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
        counts = packet.ts_trade >= line.subscribed_wall and not math.isnan(packet.price)
        line.seen = True
        if slot.up_start is not None and counts:
            self._ordinary(record.mono_ns, slot, line, packet, event, flags, extremes=False)
        elif line.sub.volume is VolumeKind.NONE:
            if slot.up_start is None:
                self._begin_uptime(
                    slot, record.stream_id, self._snapshot_start(record, slot, packet, now), NAN
                )
                self._accept(slot, packet)
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
        known = not math.isnan(packet.volume)
        stale = (
            known
            and not first
            and (date < slot.date or (date == slot.date and packet.volume < slot.baseline))
        )
        if stale:
            self.counts["out_of_order"] += 1
        baseline = slot.baseline if date == slot.date and not first else 0.0
        passed = 0.0 if stale else packet.volume - baseline  # NaN stays NaN
        counts = counts and known and not stale and (packet.volume > baseline or date > slot.date or first)
        size = NAN
        opening = self._first_session(slot, self._date(slot, packet.ts_trade)) if counts else None
        if opening is not None and line.subscribed_wall < opening:
            size, passed = passed, 0.0
        if known and not stale:
            slot.baseline, slot.date, slot.falls = packet.volume, date, []
        start = self._snapshot_start(record, slot, packet, now)
        self._begin_uptime(slot, record.stream_id, start, passed)
        self._accept(slot, packet)
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

    def _accept(self, slot: Slot, packet: Packet) -> None:
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

    # ---- calendar

    def _date(self, slot: Slot, ts: int) -> int:
        table = self.tables.get(slot.session_class)
        date = NO_DATE if table is None else table.trade_date_of(ts)
        return ts // UTC_DAY if date == NO_DATE else date

    def _first_session(self, slot: Slot, date: int) -> int | None:
        table = self.tables.get(slot.session_class)
        return None if table is None else table.first_session_start(date)

    # ---- rows

    def _gap(self, slot: Slot, start: int, end: int, cause: Cause, volume: float) -> None:
        slot.gaps.append((start, end))
        self.out_gaps.append((slot.instrument, _source(slot), cause, start, end, volume))

    def _cover(self, slot: Slot, end: int) -> None:
        self.out_coverage.append((slot.instrument, _source(slot), slot.up_stream, slot.up_start, end))

    def _mark(self, slot: Slot, start: int, end: int, *, partial: bool = False, flags: int = 0) -> None:
        self.out_marks.append((slot.instrument, _source(slot), partial, flags, start, end))

    def _emit(self) -> None:
        for slot in self.slots.values():
            clock = self.clocks[slot.feed].value
            for interval, ts in _keys(slot):
                key = (interval, ts)
                if clock is None or ts + interval * S + self.lateness > clock:
                    continue
                if key not in slot.emitted:
                    slot.emitted[key] = 0
                elif key in slot.changed:
                    slot.emitted[key] += 1
                else:
                    continue
                self.out_candles.append(self._candle(slot, interval, ts))
            slot.changed = set()

    def _candle(self, slot: Slot, interval: int, ts: int) -> tuple[Any, ...]:
        seconds = range(ts, ts + interval * S, S)
        movers = [mover for second in seconds for mover in slot.movers.get(second, [])]
        movers.sort(key=lambda mover: (mover.event, mover.arrival))
        flags = 0
        for mover in movers:
            flags |= mover.flags
        if any(second in slot.suspect for second in seconds):
            flags |= Flag.VOLUME_SUSPECT
        sizes = [mover.size for mover in movers if not math.isnan(mover.size)]
        ois = [mover.oi for mover in movers if not math.isnan(mover.oi)]
        partial = (
            slot.first_up is None
            or ts < slot.first_up
            or any(_overlaps((interval, ts), *gap) for gap in slot.gaps)
            or any(ts < last and end < ts + interval * S for end, last in slot.doubts)
        )
        table = self.tables.get(slot.session_class)
        session = 0 if table is None else int(table.session_of(np.array([ts]))[0])
        return (
            slot.instrument,
            interval,
            ts,
            movers[0].price,
            max(mover.high for mover in movers),
            min(mover.low for mover in movers),
            movers[-1].price,
            NAN if slot.volume is VolumeKind.NONE else sum(sizes),
            ois[-1] if ois else NAN,
            len(movers),
            slot.emitted[interval, ts],
            flags,
            _source(slot),
            State.PARTIAL if partial else State.FINAL,
            session,
        )


def _cause(record: Record) -> Cause:
    return CAUSES.get(control.decode_disconnect(record.payload).cause, Cause.DISCONNECT)


def _source(slot: Slot) -> int:
    return rank.BY_NAME[slot.feed].id


def _keys(slot: Slot) -> list[tuple[int, int]]:
    """Every candle of a slot, emitted or not, as (interval, ts)."""
    minutes = sorted({second // (60 * S) * 60 * S for second in slot.movers})
    return [(1, second) for second in sorted(slot.movers)] + [(60, minute) for minute in minutes]


def _overlaps(key: tuple[int, int], start: int, end: int) -> bool:
    """Whether a candle overlaps ``[start, end)``; an empty range overlaps nothing."""
    interval, ts = key
    return start < end and ts < end and start < ts + interval * S


assert len(PACKET.names or ()) == len(Packet.__dataclass_fields__)  # a row becomes a Packet by place
