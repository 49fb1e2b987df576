"""What a step brings forth: pieces of candles that close, and all else that piled up, as rows."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mdingest.core.candles import Pieces
from mdingest.core.events import (
    CANDLE,
    NO_CANDLES,
    NO_COVERAGE,
    NO_GAPS,
    NO_MARKS,
    Candles,
    Coverage,
    Events,
    Gaps,
    Marks,
    State,
)
from mdingest.core.feed import Feed
from mdingest.core.rows import joined
from mdingest.core.streams import Stream
from mdingest.core.units import NS

_FINAL, _PARTIAL = int(State.FINAL), int(State.PARTIAL)  # numpy is slow to convert an enum
_AFTER_CLOSING_NS = 120 * NS  # gaps are remembered for as long beyond the last revision: a minute may overlap


def collect(feeds: Iterable[Feed], streams: Iterable[Stream]) -> Events:
    """Close what ends by each feed's clock; all rows since the last call, in the order they came to be."""
    events = Events()
    candles, marks, coverage, gaps = list[Candles](), list[Marks](), list[Coverage](), list[Gaps]()
    for feed in feeds:
        if feed.clock.value is not None:
            limit = feed.clock.value - feed.lateness_ns
            seconds, minutes = feed.book.close(limit, feed.revise_ns, feed.slots.n)
            candles += (_rows(feed, seconds, 1), _rows(feed, minutes, 60))
            feed.log.forget(limit - feed.revise_ns - _AFTER_CLOSING_NS)
        of_feed = feed.log.take()
        marks.append(of_feed[0])
        coverage.append(of_feed[1])
        gaps.append(of_feed[2])
        if feed.counts:
            events.counts.update(feed.counts)
            feed.counts.clear()
    events.candles, events.marks = Candles(_join(candles, NO_CANDLES)), Marks(_join(marks, NO_MARKS))
    events.coverage, events.gaps = Coverage(_join(coverage, NO_COVERAGE)), Gaps(_join(gaps, NO_GAPS))
    for stream in streams:
        if stream.spoke:
            events.streams[stream.id] = (stream.feed, stream.heard)
            stream.spoke = False
    return events


def forming(feed: Feed) -> Candles:
    """What is not yet closed, 1s and 1m. Changes nothing."""
    seconds, minutes = feed.book.peek(feed.slots.n)
    return Candles(joined((_rows(feed, seconds, 1), _rows(feed, minutes, 60))))


def _rows(feed: Feed, pieces: Pieces, interval_s: int) -> Candles:
    """Pieces as they are stored: with state, session and source."""
    if not len(pieces):
        return NO_CANDLES
    rows = np.empty(len(pieces), CANDLE)
    slots, ts = pieces["slot"], pieces["ts"]
    for name in ("ts", "open", "high", "low", "close", "volume", "oi", "trades", "flags", "revision"):
        rows[name] = pieces[name]
    rows["instrument_id"] = feed.slots["instrument"][slots]
    rows["interval_s"] = interval_s
    rows["source"] = feed.source
    rows["state"] = _FINAL
    partial = feed.log.partial(slots, ts, interval_s * NS)
    if partial.any():
        rows["state"][partial] = _PARTIAL
    rows["session"] = 0
    classes = feed.slots["class"][slots]
    at_once = int(ts.min()) == int(ts.max())  # a second, as opposed to rows that came again
    for index in np.flatnonzero(np.bincount(classes)).tolist():
        table = feed.tables[index]
        if table is not None:
            mine = classes == index
            rows["session"][mine] = table.session_of(ts[:1] if at_once else ts[mine])
    return Candles(rows)


def _join(parts: Sequence[NDArray[np.void]], nothing: NDArray[np.void]) -> NDArray[np.void]:
    full = [part for part in parts if len(part)]
    return joined(full) if full else nothing
