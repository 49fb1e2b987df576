"""What the reference remembers, and what it does with uptime: plain lists and dicts."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mdingest.core import rank
from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.events import OPEN_END, Cause
from mdingest.core.session import NO_DATE, SessionTable
from mdingest.core.ticks import PACKET
from tests.support.reference_clock import FeedClock, S, floor

UTC_DAY = 86_400 * S
NAN = math.nan


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
    subscribed: int
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
    last_event: int = 0  # of the last packet that counted
    last_mover: int | None = None  # its second
    covered_until: int | None = None
    up_start: int | None = None
    up_stream: int = 0
    up_mono: int | None = None  # when it was found to begin; None: proven by trade ids, whatever the hour
    up_passed: float = NAN
    first_up: int | None = None
    ended: int = 0  # greatest end of a line since uptime began
    pending: Cause = Cause.START
    open_gap: bool = False
    gaps: list[tuple[int, int]] = field(default_factory=list)
    passed: dict[tuple[int, Cause], float] = field(default_factory=dict)  # in gaps, by start and cause
    late: tuple[int, float] = (-1, NAN)
    movers: dict[int, list[Mover]] = field(default_factory=dict)
    suspect: set[int] = field(default_factory=set)  # seconds that took an excess
    doubts: list[tuple[int, int]] = field(
        default_factory=list
    )  # end of an uptime, and up to where rows may exist
    emitted: dict[tuple[int, int], int] = field(default_factory=dict)  # to revision
    changed: set[tuple[int, int]] = field(default_factory=set)


@dataclass
class Stream:
    """A connection. The two instants are feed-clock times of its last frames."""

    feed: str
    resolution: int
    lines: dict[int, Line] = field(default_factory=dict)
    heard: int = 0
    heard_data: int = 0
    newest: int = 0  # exchange time of its packets
    lag: int = 0
    damage: tuple[int, int] | None = None


class ReferenceState:
    """All feeds' state, and the rows of the step that runs."""

    def __init__(self) -> None:
        self.lateness = self.revise = 0
        self.clocks: dict[str, FeedClock] = {}
        self.streams: dict[int, Stream] = {}
        self.slots: dict[tuple[str, int], Slot] = {}
        self.tables: dict[str, SessionTable] = {}
        self.arrivals = 0
        self._begin_step()

    def _begin_step(self) -> None:
        self.out_candles: list[tuple[Any, ...]] = []
        self.out_marks: list[tuple[Any, ...]] = []
        self.out_coverage: list[tuple[Any, ...]] = []
        self.out_gaps: list[tuple[Any, ...]] = []
        self.out_streams: dict[int, tuple[str, int]] = {}
        self.counts: Counter[str] = Counter()

    def _begin_uptime(
        self, slot: Slot, stream_id: int, start: int, passed: float, mono: int | None = None
    ) -> None:
        slot.up_mono, slot.up_passed = mono, passed
        if slot.covered_until is None:
            opening = self._first_session(slot, self._date(slot, start))
            if opening is not None and opening < start:
                self._gap(slot, opening, start, Cause.START, passed)
        else:
            start = max(start, slot.covered_until)
            key = (slot.covered_until, slot.pending)
            total = slot.up_passed = passed + slot.passed.get(key, 0.0)
            if start > slot.covered_until or slot.open_gap:
                slot.gaps = [gap for gap in slot.gaps if gap[1] != OPEN_END]
                self._gap(slot, slot.covered_until, start, slot.pending, total)
                slot.passed[key] = 0.0 if math.isnan(total) else total
        slot.open_gap = False
        slot.up_start = start
        slot.up_stream = stream_id
        slot.ended = start
        if slot.first_up is None:
            slot.first_up = start
        self._cover(slot, OPEN_END)

    def _postpone(self, slot: Slot, start: int) -> None:
        """The uptime that runs began only then."""
        before = slot.up_start
        if before is None:
            raise AssertionError(slot)
        self._cover(slot, before)
        since = slot.covered_until
        if since is None:
            since = self._first_session(slot, self._date(slot, start))
            slot.first_up = start
        else:
            slot.gaps.append((since, start))
        if since is not None and since < start:
            self._gap(slot, since, start, slot.pending, slot.up_passed)
        self._mark(slot, before, start, partial=True)
        slot.up_start = slot.ended = start
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

    def _damage(self, slot: Slot, start: int, end: int) -> None:
        self._gap(slot, start, end, Cause.UNDECODABLE, NAN)
        self._mark(slot, start, end, partial=True)

    def _date(self, slot: Slot, ts: int) -> int:
        table = self.tables.get(slot.session_class)
        date = NO_DATE if table is None else table.trade_date_of(ts)
        return ts // UTC_DAY if date == NO_DATE else date

    def _first_session(self, slot: Slot, date: int) -> int | None:
        table = self.tables.get(slot.session_class)
        return None if table is None else table.first_session_start(date)

    def _date_traded_before(self, slot: Slot, date: int) -> int:
        """The last date before it that may have had trades; the very day before if no table tells."""
        table = self.tables[slot.session_class]
        for earlier in range(date - 1, 0, -1):
            day = table.day(earlier)
            if day is None:
                break
            if day.windows or not day.known:
                return earlier
        return date - 1

    def _gap(self, slot: Slot, start: int, end: int, cause: Cause, volume: float) -> None:
        slot.gaps.append((start, end))
        self.out_gaps.append((slot.instrument, source_of(slot), cause, start, end, volume))

    def _cover(self, slot: Slot, end: int) -> None:
        self.out_coverage.append((slot.instrument, source_of(slot), slot.up_stream, slot.up_start, end))

    def _mark(self, slot: Slot, start: int, end: int, *, partial: bool = False, flags: int = 0) -> None:
        self.out_marks.append((slot.instrument, source_of(slot), partial, flags, start, end))


def source_of(slot: Slot) -> int:
    return rank.BY_NAME[slot.feed].id


assert len(PACKET.names or ()) == len(Packet.__dataclass_fields__)  # a row becomes a Packet by place
