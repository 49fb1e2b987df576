"""The rules of live candles once more: slow, obvious, row by row (design section 4).

One record and one packet at a time, in plain dicts and lists. It shares no algebra with the
product: it keeps every mover and makes each candle from the whole list when it is emitted.
It never forgets anything, so it is for short tapes only.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mdingest.core import control
from mdingest.core.control import CandleSettings, VolumeKind
from mdingest.core.events import (
    CANDLE,
    COVERAGE,
    GAP,
    MARK,
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
from mdingest.core.session import SessionTable
from mdingest.core.ticks import Packets
from tests.support.reference_clock import FeedClock, S, floor
from tests.support.reference_packets import ReferencePackets
from tests.support.reference_state import NAN, Line, Packet, Slot, Stream, source_of

COALESCE_NS = 5 * S
CAUSES = {cause.text: cause for cause in Cause}


class Reference(ReferencePackets):
    """Steps through batches exactly as `mdingest.core.machine.Machine` must."""

    def __init__(self, settings: CandleSettings) -> None:
        super().__init__()
        self._settings(settings)

    def _settings(self, settings: CandleSettings) -> None:
        self.lateness = round(settings.lateness_s * S)
        self.revise = round(settings.revise_s * S)

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

    def _record(self, record: Record, packets: list[Packet], *, damaged: bool) -> None:
        match record.kind:
            case Kind.START:
                self._start(record)
            case Kind.CALENDAR:
                for name, value in json.loads(record.payload).items():
                    table = SessionTable.from_json(value)
                    self.tables[name] = self.tables[name].merged(table) if name in self.tables else table
            case Kind.CONNECT:
                connect = control.decode_connect(record.payload)
                self.streams[record.stream_id] = Stream(connect.feed, connect.resolution_ns)
                self.clocks.setdefault(connect.feed, FeedClock())
            case Kind.SUBSCRIBE:
                self._subscribe(record)
            case Kind.UNSUBSCRIBE:
                self._drop(record, control.decode_keys(record.payload))
            case Kind.DISCONNECT if record.stream_id in self.streams:
                self._end_stream(record.stream_id, _cause(record), silence=False)
                self._forget_stream(record.stream_id)
            case Kind.SILENCE if record.stream_id in self.streams:
                self._begin_anew(record, record.stream_id, _cause(record), silence=True)
            case Kind.SHED | Kind.QUARANTINE:
                cause = Cause.SHED if record.kind is Kind.SHED else Cause.QUARANTINE
                for stream_id in list(self.streams):
                    if record.stream_id in (0, stream_id):
                        self._begin_anew(record, stream_id, cause, silence=False)
            case Kind.TICK:
                for clock in self.clocks.values():
                    clock.tick(record.mono_ns)
            case Kind.FRAME if record.stream_id in self.streams:
                self._frame(record, packets, damaged=damaged)
            case _:
                pass

    def _start(self, record: Record) -> None:
        for stream_id in list(self.streams):
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
            stream.lines[sub.instrument_id] = Line(sub, self._latest_now(record, record.stream_id))
            key = (stream.feed, sub.instrument_id)
            slot = self.slots.setdefault(key, Slot(*key, sub.volume, sub.session_class))
            slot.volume, slot.session_class = sub.volume, sub.session_class

    def _latest_now(self, record: Record, stream_id: int) -> int:
        """No clock that is slow may make an old trade one since the SUBSCRIBE."""
        feed_time = self.clocks[self.streams[stream_id].feed].projection(record.wall_ns, record.mono_ns)
        return max(feed_time, record.wall_ns)

    def _drop(self, record: Record, keys: list[str]) -> None:
        stream = self.streams[record.stream_id]
        for instrument, line in list(stream.lines.items()):
            if line.sub.key in keys:
                self._end_line(record.stream_id, instrument, floor(stream.heard), Cause.UNSUBSCRIBED)
                del stream.lines[instrument]

    def _end_stream(self, stream_id: int, cause: Cause, *, silence: bool) -> None:
        stream = self.streams[stream_id]
        end = floor(stream.heard_data if silence else stream.heard)
        for instrument in stream.lines:
            self._end_line(stream_id, instrument, end, cause)

    def _begin_anew(self, record: Record, stream_id: int, cause: Cause, *, silence: bool) -> None:
        self._end_stream(stream_id, cause, silence=silence)
        for line in self.streams[stream_id].lines.values():
            line.subscribed = self._latest_now(record, stream_id)

    def _frame(self, record: Record, packets: list[Packet], *, damaged: bool) -> None:
        stream = self.streams[record.stream_id]
        clock = self.clocks[stream.feed]
        for packet in packets:
            if packet.instrument_id in stream.lines:
                self._packet(record, stream, packet)
        if damaged:
            self._damaged(record, stream)
        now = clock.projection(record.wall_ns, record.mono_ns)
        if packets:
            behind = now - stream.newest if stream.newest else 0
            stream.lag = behind if behind > stream.resolution else 0
            stream.heard_data = now - stream.lag
        stream.heard = now - stream.lag
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
        told = stream.damage == (start, end)
        stream.damage = (start, end)
        for instrument in stream.lines:
            if not told:
                self._damage(self.slots[stream.feed, instrument], start, end)
            line = stream.lines[instrument]
            if line.seen and line.sub.volume is not VolumeKind.TRADES:
                line.doubt = start

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
            source_of(slot),
            State.PARTIAL if partial else State.FINAL,
            session,
        )


def _cause(record: Record) -> Cause:
    return CAUSES.get(control.decode_disconnect(record.payload).cause, Cause.DISCONNECT)


def _keys(slot: Slot) -> list[tuple[int, int]]:
    """Every candle of a slot, emitted or not, as (interval, ts)."""
    minutes = sorted({second // (60 * S) * 60 * S for second in slot.movers})
    return [(1, second) for second in sorted(slot.movers)] + [(60, minute) for minute in minutes]


def _overlaps(key: tuple[int, int], start: int, end: int) -> bool:
    """Whether a candle overlaps ``[start, end)``; an empty range overlaps nothing."""
    interval, ts = key
    return start < end and ts < end and start < ts + interval * S
