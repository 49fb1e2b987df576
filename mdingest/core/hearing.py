"""What the streams say: packets to their feeds, and how far each stream was heard.

A stream is heard up to its feed's clock at its last frame. The clock is the feed's, which
other streams move, too: so it is asked for after a frame's own packets and before any later one.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.core.feed import Feed
from mdingest.core.feedclock import ClockRun
from mdingest.core.records import Batch, Kind
from mdingest.core.rows import distinct, take
from mdingest.core.streams import Stream
from mdingest.core.ticks import Packets

_FRAME = int(Kind.FRAME)  # numpy is slow to compare with an enum


class Run(NamedTuple):
    """A feed's packets between two control records: record and stream of each, the clock after it."""

    rec: NDArray[np.int64]
    streams: NDArray[np.uint32]
    clock: ClockRun


Runs = dict[str, Run]
"""By feed."""


class Hearing:
    """Works on the machine's own feeds and streams."""

    def __init__(self, feeds: dict[str, Feed], streams: dict[int, Stream]) -> None:
        self.counts: Counter[str] = Counter()
        self._feeds = feeds
        self._streams = streams

    def packets(self, batch: Batch, packets: Packets) -> Runs:
        """Take packets; for each feed, the clock after each of its packets."""
        runs: Runs = {}
        ids = packets["stream_id"]
        one = bool((ids == ids[0]).all())
        only = self._streams.get(int(ids[0])) if one else None
        if only is not None:  # nearly always, and all of it known: no mask is needed
            lines = only.lines_of(packets["instrument_id"])
            if int(lines.min()) >= 0:
                runs[only.feed] = self._run(batch, only.feed, packets, lines)
                only.newest = max(only.newest, runs[only.feed].clock.newest())
                only.packets_at(self._clock_at(batch, int(packets["rec"][-1]), only, runs))
                return runs
        unique: list[int] = [int(ids[0])] if one else distinct(ids).tolist()
        streams = [stream for stream_id in unique if (stream := self._streams.get(stream_id)) is not None]
        lines = np.full(len(packets), -1, np.int64)
        last: dict[int, int] = {}  # packet of each stream
        of_feed: dict[str, NDArray[np.bool_]] = {}
        for stream in streams:
            mine = np.ones(len(ids), np.bool_) if one else ids == stream.id
            last[stream.id] = len(ids) - 1 - int(mine[::-1].argmax())
            lines[mine] = stream.lines_of(packets["instrument_id"][mine])
            of_feed[stream.feed] = of_feed.get(stream.feed, False) | mine
        known = lines >= 0
        everything = bool(known.all())
        for name, mine in of_feed.items():
            mask = mine if everything else mine & known
            which = packets if mask.all() else Packets(take(packets, mask))
            if len(which):
                runs[name] = self._run(batch, name, which, lines[mask])
        if not everything:
            self.counts["unsubscribed"] += int((~known).sum())
        for stream in streams:
            if (run := runs.get(stream.feed)) is not None:
                stream.newest = max(stream.newest, run.clock.newest(run.streams == stream.id))
            stream.packets_at(self._clock_at(batch, int(packets["rec"][last[stream.id]]), stream, runs))
        return runs

    def _run(self, batch: Batch, feed: str, which: Packets, lines: NDArray[np.int64]) -> Run:
        """Give a feed its packets."""
        rec = which["rec"].astype(np.int64)
        run = self._feeds[feed].packets(which, lines, batch.wall_ns[rec], batch.mono_ns[rec])
        return Run(rec, which["stream_id"], run)

    def _clock_at(self, batch: Batch, rec: int, stream: Stream, runs: Runs) -> int:
        """The feed's clock at one frame, after its own packets and before any later one."""
        wall, mono = int(batch.wall_ns[rec]), int(batch.mono_ns[rec])
        feed, run = self._feeds[stream.feed], runs.get(stream.feed)
        if run is None:
            return feed.clock.project(mono, wall)
        at = int(np.searchsorted(run.rec, rec, side="right")) - 1
        return run.clock.project(at, mono, wall) if at >= 0 else feed.before.project(mono, wall)

    def frames(self, batch: Batch, begin: int, end: int, runs: Runs) -> None:
        """Remember each stream's last frame of any kind, heartbeats included."""
        for stream in self._streams.values():
            at = np.flatnonzero((batch.streams[begin:end] == stream.id) & (batch.kinds[begin:end] == _FRAME))
            if len(at):
                stream.heard = self._clock_at(batch, begin + int(at[-1]), stream, runs) - stream.lag
                stream.spoke = True
