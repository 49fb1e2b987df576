"""The only maker of live candles: batches of journal records in, rows for the store out.

It sees a batch's control records and its frames already decoded to columns, and nothing
else: no clock, no configuration, no database. The daemon, recovery, replay and the tests
run the same object, so whatever the journal holds always gives the same candles.
"""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mdingest.core.control import (
    CandleSettings,
    decode_connect,
    decode_disconnect,
    decode_keys,
    decode_start,
    decode_subscribe,
)
from mdingest.core.events import NO_CANDLES, Candles, Cause, Events
from mdingest.core.feed import Feed
from mdingest.core.hearing import Hearing
from mdingest.core.publish import collect, forming
from mdingest.core.records import Batch, Kind
from mdingest.core.saving import Writable, pack, unpack
from mdingest.core.session import SessionTable
from mdingest.core.streams import Stream, cause_of
from mdingest.core.ticks import Packets
from mdingest.core.units import NS

_FRAME = int(Kind.FRAME)  # numpy is slow to compare with an enum
LOST = {int(Kind.SHED): Cause.SHED, int(Kind.QUARANTINE): Cause.QUARANTINE}
"""Records that stand for frames of a stream (of all, if it is 0) which nobody will decode."""

DAYS_KEPT = 90  # of a session class: far more than any packet, gap or holiday reaches back


class Machine:
    """State of all feeds. `step` is its only way forward; `state` and `restore` copy it."""

    def __init__(self, settings: CandleSettings | None = None) -> None:
        self.settings = settings or CandleSettings()
        self.code = ""  # of the process whose records these are; empty before the first START
        self._feeds: dict[str, Feed] = {}
        self._streams: dict[int, Stream] = {}
        self._classes: list[str] = []
        self._tables: list[SessionTable | None] = []
        self._hearing = Hearing(self._feeds, self._streams)
        self.last_stream = 0  # greatest stream id seen

    @property
    def tick_wanted(self) -> bool:
        """Whether time must go on even if no frame comes."""
        return bool(self._streams) or any(feed.book.forming for feed in self._feeds.values())

    def step(self, batch: Batch, packets: Packets, bad: Sequence[int] = ()) -> Events:
        """Take one batch.

        ``packets`` are those of its FRAME records, in order; ``bad`` the records of frames
        with a part that could not be decoded. The caller must pass every event on.
        """
        controls = np.flatnonzero(batch.kinds != _FRAME).tolist()
        stops = sorted({*controls, *bad, len(batch)})
        edges = [len(packets)]
        if len(stops) > 1:
            edges = np.searchsorted(packets["rec"], stops, side="left").tolist()
        damaged = set(bad)
        begun, taken = 0, 0
        for stop, first in zip(stops, edges, strict=True):
            edge: int = first
            if stop in damaged:  # its good packets come first
                edge = int(np.searchsorted(packets["rec"], stop, side="right"))
            runs = self._hearing.packets(batch, Packets(packets[taken:edge])) if edge > taken else {}
            self._hearing.frames(batch, begun, stop + 1 if stop in damaged else stop, runs)
            begun, taken = stop, edge
            if stop in damaged:
                self._damage(batch, stop)
                begun = stop + 1
            elif stop < len(batch):
                self._control(batch, stop)
        events = collect(self._feeds.values(), self._streams.values())
        if self._hearing.counts:
            events.counts.update(self._hearing.counts)
            self._hearing.counts.clear()
        return events

    def forming(self, feed: str) -> Candles:
        """What is not yet published, 1s and 1m, as rows. Changes nothing."""
        known = self._feeds.get(feed)
        return NO_CANDLES if known is None else forming(known)

    def feed_clocks(self) -> dict[str, int | None]:
        """Where each feed's clock stands, UTC ns."""
        return {name: feed.clock.value for name, feed in self._feeds.items()}

    def hole(self, wall: int, mono: int) -> None:
        """A part of the log is lost: what every stream said in it is unknown.

        The streams go on, from their next packets as from a first one. What was stored of it
        before it was lost is in doubt, too. To be called before the step of the batch behind
        the hole, which begins at ``wall`` (UTC ns) and ``mono``.
        """
        for stream in self._streams.values():
            self._restart(stream, stream.heard, Cause.JOURNAL_LOST, wall, mono, stored_until=wall)

    # -- damage and control records -----------------------------------------------------

    def _damage(self, batch: Batch, rec: int) -> None:
        """A frame of a stream could not be read: a second of doubt for all it carries."""
        stream = self._streams.get(int(batch.streams[rec]))
        if stream is None:
            return
        feed = self._feeds[stream.feed]
        clock, wall = feed.clock.value, int(batch.wall_ns[rec])
        if clock is None or not feed.clock.fresh:
            clock = wall if clock is None else max(clock, wall)
        start = clock // NS * NS
        before = stream.damage_end
        if not stream.damage_start <= start <= before + 5 * NS:
            stream.damage_start, before = start, start
        stream.damage_end = max(before, start + NS)
        feed.damage(stream.lines, stream.damage_start, stream.damage_end, told=before)

    def _control(self, batch: Batch, rec: int) -> None:
        kind, stream_id = int(batch.kinds[rec]), int(batch.streams[rec])
        wall, mono = int(batch.wall_ns[rec]), int(batch.mono_ns[rec])
        if kind == Kind.TICK:
            for feed in self._feeds.values():
                feed.clock.tick(mono)
            return
        payload = batch.payload(rec)
        if kind == Kind.START:
            self._start(payload, mono)
        elif kind == Kind.CALENDAR:
            for name, table in json.loads(payload).items():
                self._table(name, SessionTable.from_json(table))
        elif kind == Kind.CONNECT:
            connect = decode_connect(payload)
            if connect.feed not in self._feeds:
                self._feeds[connect.feed] = Feed(connect.feed, self.settings, self._tables)
            self._streams[stream_id] = Stream(stream_id, connect.feed, connect.resolution_ns)
            self.last_stream = max(self.last_stream, stream_id)
        else:
            for stream in self._streams.values() if stream_id == 0 else self._of(stream_id):
                self._stream_control(kind, stream, payload, wall, mono)

    def _stream_control(self, kind: int, stream: Stream, payload: bytes, wall: int, mono: int) -> None:
        feed = self._feeds[stream.feed]
        if kind == Kind.SUBSCRIBE:
            subs = decode_subscribe(payload)
            self._drop(stream, [sub.key for sub in subs])
            for sub in subs:
                index = self._table(sub.session_class)
                stream.add(sub.key, sub.instrument_id, feed.subscribe(sub, index, wall, mono, stream.id))
        elif kind == Kind.UNSUBSCRIBE:
            self._drop(stream, decode_keys(payload))
        elif kind in LOST:
            self._restart(stream, stream.heard, LOST[kind], wall, mono)
        elif kind == Kind.DISCONNECT:
            self._end_stream(stream, cause_of(decode_disconnect(payload).cause))
        elif kind == Kind.SILENCE:
            cause = cause_of(decode_disconnect(payload).cause)
            self._restart(stream, stream.heard_data, cause, wall, mono)

    def _of(self, stream_id: int) -> list[Stream]:
        """That stream, if it is open."""
        stream = self._streams.get(stream_id)
        return [] if stream is None else [stream]

    def _restart(
        self, stream: Stream, heard: int, cause: Cause, wall: int, mono: int, *, stored_until: int = 0
    ) -> None:
        """An open stream says nothing from ``heard`` on; its next packets are as first ones."""
        feed = self._feeds[stream.feed]
        feed.end_lines(stream.lines, heard, cause, stored_until=stored_until)
        feed.lines["subscribed"][stream.lines] = feed.latest(wall, mono)

    def _drop(self, stream: Stream, keys: list[str]) -> None:
        """The stream carries these no more, and was heard up to its last frame."""
        feed = self._feeds[stream.feed]
        lines = [line for key in keys if (line := stream.remove(key)) is not None]
        feed.end_lines(lines, stream.heard, Cause.UNSUBSCRIBED)
        feed.free(lines)

    def _start(self, payload: bytes, mono: int) -> None:
        """A new process. What was open ended with the old one, at its last frame."""
        for stream in list(self._streams.values()):
            self._end_stream(stream, Cause.CRASH)
        for feed in self._feeds.values():
            feed.restart(mono)
        start = decode_start(payload)
        self.code, self.settings = start.code, start.settings
        for feed in self._feeds.values():
            feed.lateness_ns = round(self.settings.lateness_s * NS)
            feed.revise_ns = round(self.settings.revise_s * NS)

    def _end_stream(self, stream: Stream, cause: Cause) -> None:
        feed = self._feeds[stream.feed]
        feed.end_lines(stream.lines, stream.heard, cause)
        feed.free(stream.lines)
        del self._streams[stream.id]

    def _table(self, name: str, table: SessionTable | None = None) -> int:
        """The index of a session class; ``table`` adds to what is known of its latest days."""
        if name not in self._classes:
            self._classes.append(name)
            self._tables.append(None)
        index = self._classes.index(name)
        if table is not None:
            old = self._tables[index]
            known = table if old is None else old.merged(table)
            self._tables[index] = SessionTable(known.days[-DAYS_KEPT:])
        return index

    # -- saving -----------------------------------------------------------------------

    def state(self) -> bytes:
        """Everything, as bytes for `restore`. Only between two steps."""
        out = io.BytesIO()
        self.write_state(out)
        return out.getvalue()

    def write_state(self, out: Writable) -> None:
        """The same, a little at a time; in any thread, as long as nobody steps."""
        plain: dict[str, Any] = {
            "code": self.code,
            "settings": [self.settings.lateness_s, self.settings.revise_s],
            "classes": self._classes,
            "tables": [None if table is None else table.to_json() for table in self._tables],
            "streams": [stream.dump() for stream in self._streams.values()],
            "last_stream": self.last_stream,
        }
        pack(plain, {name: feed.dump() for name, feed in self._feeds.items()}, out)

    @classmethod
    def restore(cls, saved: bytes) -> "Machine":
        """The machine that `state` described. Raises ValueError if it is of another format."""
        plain, feeds = unpack(saved)
        machine = cls(CandleSettings(*plain["settings"]))
        machine.code = plain.get("code", "")  # older states don't say
        machine._classes = plain["classes"]
        machine._tables = [None if t is None else SessionTable.from_json(t) for t in plain["tables"]]
        machine._streams.update((row[0], Stream.load(row)) for row in plain["streams"])
        machine.last_stream = plain["last_stream"]
        for name, saved_feed in feeds.items():
            feed = machine._feeds[name] = Feed(name, machine.settings, machine._tables)
            feed.load(*saved_feed)
        return machine
