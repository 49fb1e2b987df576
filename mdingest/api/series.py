"""One series of candles as it changes: what is new since a reader last looked.

All readers of a series share one look a second. A look says what `/candles` would say: the
writer's commits tell that something changed, the store tells what it is now. What is being
built comes out of memory, so a quiet second asks the store nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mdingest.api.missing import Missing, clipped
from mdingest.api.reading import Reading
from mdingest.api.rows import FORMING, as_objects
from mdingest.api.times import format_instant
from mdingest.api.wanted import EARLIEST, LATEST, Wanted
from mdingest.core.events import OPEN_END, Candles
from mdingest.core.interval import MINUTE
from mdingest.core.session import SECOND_NS
from mdingest.store.base import Transaction

DEPTH = 120
LONG_DEPTH = 12  # of an hour and longer: each is made of hundreds of minutes
"""Candles that a series follows; a change of older ones tells its readers to ask again."""
_HOUR_S = 3_600
_NEWEST = 3  # what a look without news reads where nobody tells us of commits
_EVERY_NS = 950_000_000  # of a monotonic clock, between two looks
_DEEP_NS = 5 * SECOND_NS  # spacing of looks at all that is followed: other processes write too
_NEVER = -(1 << 61)
_FORMING = "forming"


class Changes:
    """What commits touched of the instruments that somebody follows."""

    def __init__(self) -> None:
        self._touched: dict[int, dict[object, int]] = {}

    def follow(self, instrument_id: int, reader: object) -> None:
        """From now on, remember for this reader."""
        self._touched.setdefault(instrument_id, {})[reader] = LATEST

    def forget(self, instrument_id: int, reader: object) -> None:
        """The opposite."""
        readers = self._touched.get(instrument_id, {})
        readers.pop(reader, None)
        if not readers:
            self._touched.pop(instrument_id, None)

    def take(self, instrument_id: int, reader: object) -> int:
        """The earliest instant (UTC ns) touched since the last call; LATEST if none was."""
        since = self._touched[instrument_id][reader]
        self._touched[instrument_id][reader] = LATEST
        return since

    def committed(self, transaction: Transaction, _took_s: float) -> None:
        """A listener of the writer: costs microseconds, and nothing while nobody follows."""
        for instrument_id, readers in self._touched.items():
            first = min(_first(transaction, instrument_id), LATEST)
            for reader, since in readers.items():
                readers[reader] = min(since, first)


def _first(transaction: Transaction, instrument_id: int) -> int:
    found = LATEST
    for rows, column in (
        (transaction.candles, "ts"),
        (transaction.marks, "start"),
        (transaction.gaps, "start"),
        (transaction.fetched, "start"),  # minutes without a trade are no holes any more
    ):
        mine = rows[column][rows["instrument_id"] == instrument_id]
        if len(mine):
            found = min(found, int(mine.min()))
    # An uptime that began hours ago changes at its end.
    spans = transaction.coverage[transaction.coverage["instrument_id"] == instrument_id]
    if len(spans):
        news = np.where(spans["end"] == OPEN_END, spans["start"], spans["end"])
        found = min(found, int(news.min()))
    return found


@dataclass(slots=True)
class News:
    """What a reader who had seen ``since`` has to hear."""

    version: int
    candles: list[dict[str, Any]]
    missing_from: int | None = None  # UTC ns; None: the holes are as they were
    missing: list[Missing] = field(default_factory=list)
    older: bool = False  # something before what we follow changed

    def __bool__(self) -> bool:
        return bool(self.candles) or self.missing_from is not None or self.older


class Series:
    """``wanted`` tells instrument, interval and sessions. Clocks: ``now`` UTC, ``mono`` monotonic, ns."""

    def __init__(
        self,
        wanted: Wanted,
        reading: Reading,
        *,
        now: Callable[[], int],
        mono: Callable[[], int],
        forming: Callable[[int, int], Candles] | None = None,
        changes: Changes | None = None,
    ) -> None:
        self.readers = 0
        self._wanted = wanted
        self._depth = DEPTH if wanted.interval.seconds < _HOUR_S else LONG_DEPTH
        self._reading = reading
        self._now, self._mono = now, mono
        self._forming = forming
        self._built = b""
        self._changes = changes
        self._touched = LATEST  # by commits, since the last read that went well
        self._lock = asyncio.Lock()
        self._looked_ns = self._deep_ns = self._deep_before = _NEVER
        self._version = 0
        self._rows: dict[int, tuple[int, dict[str, Any]]] = {}  # by ts: version, candle
        self._holes: list[Missing] = []
        self._holes_from = LATEST
        self._holes_version = 0
        self._older_version = 0
        if changes is not None:
            changes.follow(wanted.instrument.id, self)

    def close(self) -> None:
        """Nobody reads any more."""
        if self._changes is not None:
            self._changes.forget(self._wanted.instrument.id, self)

    async def news(self, since: int) -> News:
        """What changed after version ``since`` (0: everything followed), at most a second old.

        Raises StoreUnavailable; a cancel leaves the series as it was.
        """
        async with self._lock:
            if self._mono() - self._looked_ns >= _EVERY_NS:
                await self._look()
        fresh = self._holes_version > since
        return News(
            self._version,
            [candle for _, (version, candle) in sorted(self._rows.items()) if version > since],
            self._holes_from if fresh else None,
            self._holes if fresh else [],
            older=self._older_version > since > 0,
        )

    async def _look(self) -> None:
        mono = self._mono()
        deep = mono - self._deep_ns >= _DEEP_NS
        if self._changes is not None:
            self._touched = min(self._touched, self._changes.take(self._wanted.instrument.id, self))
        touched = self._touched
        if self._changes is not None and touched == LATEST and not deep:
            await self._glance()
        else:
            # Should the database not answer, everything is read once it does.
            self._deep_ns = _NEVER
            await self._read(self._depth if deep or touched != LATEST else _NEWEST, touched)
            self._touched = LATEST
            self._deep_ns = mono if deep else self._deep_before
        self._looked_ns = mono
        self._deep_before = self._deep_ns

    async def _glance(self) -> None:
        """Nothing was committed: only what is being built can have changed."""
        if self._forming is None:
            return
        interval = self._wanted.interval
        rows = self._forming(self._wanted.instrument.id, min(interval.seconds, MINUTE.seconds))
        if interval > MINUTE:
            if (built := rows.tobytes()) != self._built:
                await self._read(1, LATEST)
                self._built = built
            return
        rows = Candles(rows.copy())
        rows["state"] = FORMING
        self._take(rows, built=True)

    async def _read(self, limit: int, touched: int) -> None:
        now = self._now()
        found = await self._reading.read(replace(self._wanted, end_ns=now, limit=limit, forming=True))
        self._take(found.candles, built=False)
        first = int(found.candles["ts"][0]) if len(found.candles) else now
        # A day's name lies up to a day from the trades that it is made of.
        if found.cut and touched < first - self._wanted.interval.ns:
            self._version += 1
            self._older_version = self._version
        self._take_holes(min([first, *(hole.start for hole in found.missing)]), found.missing)

    def _take(self, candles: Candles, *, built: bool) -> None:
        """``built``: out of memory; what is stored of the same bucket is newer."""
        version = self._version + 1
        for ts, candle in zip(candles["ts"].tolist(), as_objects(candles), strict=True):
            known = self._rows.get(ts)
            if known is None or (known[1] != candle and not (built and known[1]["state"] != _FORMING)):
                self._rows[ts] = (version, candle)
                self._version = version
        for ts in sorted(self._rows)[: -2 * self._depth]:
            del self._rows[ts]

    def _take_holes(self, first: int, holes: list[Missing]) -> None:
        """What is missing from ``first`` on; what was missing before stays, as far back as candles do."""
        low = min(self._rows, default=EARLIEST)
        merged = clipped(self._holes, low, first) + holes
        if merged != clipped(self._holes, low, LATEST) or not self._holes_version:
            self._version += 1
            self._holes_version = self._version
        self._holes = merged
        self._holes_from = max(low, min(self._holes_from, first))


def spelt(news: News) -> dict[str, Any]:
    """As it goes over the wire."""
    message: dict[str, Any] = {"type": "candles", "candles": news.candles}
    if news.missing_from is not None:
        message["missing_from"] = format_instant(news.missing_from)
        message["missing"] = [
            (format_instant(hole.start), format_instant(hole.end), hole.cause) for hole in news.missing
        ]
    return message
