"""Frames of a batch to packets, through the adapter of each stream.

What an adapter needs to know comes from control records alone, so that recovery and replay
decode exactly as the daemon did.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdingest.core.control import (
    Subscription,
    decode_connect,
    decode_keys,
    decode_subscribe,
    encode_subscribe,
)
from mdingest.core.machine import Machine
from mdingest.core.records import Batch, Kind
from mdingest.core.rows import distinct, joined, take
from mdingest.core.saving import Writable
from mdingest.core.ticks import Packets, empty_packets
from mdingest.providers.base import BadFrame, FrameDecoder, Frames

_NONE = empty_packets()
_FRAME, _TICK = int(Kind.FRAME), int(Kind.TICK)  # numpy is slow to compare with an enum


@dataclass(slots=True, eq=False)
class Understood:
    """A batch's packets in record order, the frames with damage, and what was passed over."""

    packets: Packets = field(default_factory=lambda: _NONE)
    bad: list[BadFrame] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True, eq=False)
class _Open:
    feed: str
    decoder: FrameDecoder
    subs: dict[str, Subscription] = field(default_factory=dict)


class BatchDecoder:
    """One adapter a stream, opened and closed by the records themselves."""

    def __init__(self, make: Callable[[str], FrameDecoder]) -> None:
        """``make`` gives a decoder for a feed's name."""
        self._make = make
        self._open: dict[int, _Open] = {}

    def decode(self, batch: Batch) -> Understood:
        """All packets of one batch. Batches must come in order, without a hole."""
        out = Understood()
        parts: list[Packets] = []
        controls = np.flatnonzero((batch.kinds != _FRAME) & (batch.kinds != _TICK)).tolist()
        begin = 0
        for stop in [*controls, len(batch)]:
            if stop > begin:
                self._frames(batch, begin, stop, out, parts)
            if stop < len(batch):
                self._control(batch, stop)
            begin = stop + 1
        if len(parts) == 1:
            out.packets = parts[0]
        elif parts:
            both = joined(parts)
            out.packets = Packets(take(both, np.argsort(both["rec"], kind="stable")))
        out.bad.sort(key=lambda bad: bad.rec)
        return out

    def _frames(self, batch: Batch, begin: int, stop: int, out: Understood, parts: list[Packets]) -> None:
        frames = begin + np.flatnonzero(batch.kinds[begin:stop] == _FRAME)
        if not len(frames):
            return
        streams = batch.streams[frames]
        one = bool((streams == streams[0]).all())
        for stream_id in [int(streams[0])] if one else distinct(streams).tolist():
            stream = self._open.get(stream_id)
            rec = frames if one else frames[streams == stream_id]
            if stream is None:
                out.counts["orphan_frames"] += len(rec)
                continue
            decoded = stream.decoder.decode(
                Frames(
                    stream_id, rec.astype(np.uint32), batch.offsets[rec], batch.offsets[rec + 1], batch.data
                )
            )
            if len(decoded.packets):
                parts.append(decoded.packets)
                out.counts[f"packets.{stream.feed}"] += len(decoded.packets)
            out.bad.extend(decoded.bad)
            out.counts["skipped"] += decoded.skipped
            out.counts["unknown"] += decoded.unknown

    def _control(self, batch: Batch, rec: int) -> None:
        kind, stream_id = int(batch.kinds[rec]), int(batch.streams[rec])
        if kind == Kind.START:
            self._open.clear()
        elif kind == Kind.CONNECT:
            feed = decode_connect(batch.payload(rec)).feed
            self._open[stream_id] = _Open(feed, self._make(feed))
        elif kind == Kind.DISCONNECT:
            self._open.pop(stream_id, None)
        elif kind == Kind.SUBSCRIBE and stream_id in self._open:
            self._subscribe(self._open[stream_id], decode_subscribe(batch.payload(rec)))
        elif kind == Kind.UNSUBSCRIBE and stream_id in self._open:
            keys = decode_keys(batch.payload(rec))
            self._open[stream_id].decoder.unsubscribe(keys)
            for key in keys:
                self._open[stream_id].subs.pop(key, None)

    @staticmethod
    def _subscribe(stream: _Open, subs: list[Subscription]) -> None:
        stream.subs |= {sub.key: sub for sub in subs}
        stream.decoder.subscribe(subs)

    @property
    def subscriptions(self) -> list[Subscription]:
        """Of all open streams."""
        return [sub for stream in self._open.values() for sub in stream.subs.values()]

    def dump(self) -> dict[str, Any]:
        """Open streams and their subscriptions as JSON values."""
        return {
            str(stream_id): [stream.feed, encode_subscribe(list(stream.subs.values())).decode()]
            for stream_id, stream in self._open.items()
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Take over what `dump` gave."""
        self._open.clear()
        for stream_id, (feed, subs) in saved.items():
            stream = self._open[int(stream_id)] = _Open(feed, self._make(feed))
            self._subscribe(stream, decode_subscribe(subs))


def pack_state(decoder: BatchDecoder, machine: Machine, out: Writable) -> None:
    """What a state file holds: the decoder's streams, then the machine."""
    text = json.dumps(decoder.dump()).encode()
    out.write(len(text).to_bytes(4, "little") + text)
    machine.write_state(out)


def unpack_state(payload: bytes, decoder: BatchDecoder) -> bytes:
    """Load the decoder; the machine's bytes."""
    size = int.from_bytes(payload[:4], "little")
    decoder.load(json.loads(payload[4 : 4 + size]))
    return payload[4 + size :]
