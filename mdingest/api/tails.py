"""The last candles of a range: stored rows, and longer candles coarsened out of shorter ones.

A stored row of the asked interval beats a coarsened one. Rows are read backwards, page by
page, and no question looks at more than `SCAN_ROWS` of them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.api.rows import FORMING
from mdingest.api.wanted import EARLIEST, LATEST, Reader, Tables, Wanted
from mdingest.core.candles import coarsen
from mdingest.core.events import CANDLE, Candles, State
from mdingest.core.interval import DAY, MINUTE, SECOND, WEEK, Buckets, Interval, buckets
from mdingest.core.rows import distinct
from mdingest.core.session import DAY_NS, Session, SessionTable
from mdingest.store.base import CoverageRow, GapRow

SCAN_ROWS = 200_000
_PAGE_ROWS = 20_000
_GROWING = 2  # buckets that the caller may find unfinished and leave out: they take no place in a reply
_DAY_MINUTES = 400  # a first guess of how much a day holds; NSE trades 375
_HIDDEN = np.zeros(256, np.bool_)
_HIDDEN[[Session.PREOPEN, Session.AUCTION, Session.POSTCLOSE]] = True
"""By session code: whether intraday reads leave it out."""
_STORED_S = frozenset((1, 60, 300, 900, 1_800, 3_600, 86_400, 604_800))
"""Lengths that every store keeps; it refuses to be asked for others."""
_OTHER_BASES_S = (1, 300, 900, 1_800, 3_600)  # where there are no minutes
Times = NDArray[np.int64]


class Beside(NamedTuple):
    """All coverage and gaps that overlap ``[start, end)``, UTC ns: read together with the candles."""

    start: int
    end: int
    coverage: list[CoverageRow]
    gaps: list[GapRow]


class Tail(NamedTuple):
    """Candles, ascending, the instants each covers, and whether older ones were left out."""

    candles: Candles
    starts: Times
    ends: Times
    made: NDArray[np.bool_]  # coarsened just now, as opposed to stored
    cut: bool
    beside: Beside


_NONE = np.empty(0, np.int64)
_UNREAD = Beside(LATEST, EARLIEST, [], [])
_NOTHING = Tail(Candles(np.empty(0, CANDLE)), _NONE, _NONE, np.empty(0, np.bool_), cut=False, beside=_UNREAD)


class Tails:
    """Reads them. ``forming`` gives what is being built of (instrument id, interval in s)."""

    def __init__(
        self, reader: Reader, tables: Tables, forming: Callable[[int, int], Candles] | None = None
    ) -> None:
        self._reader = reader
        self._tables = tables
        self._forming = forming

    async def last(self, wanted: Wanted) -> Tail:
        """The answer; coarsened candles don't know yet whether anything is missing from them.

        A bucket that has a forming part, or may get one, is for the caller to judge; where those are
        not wanted there are up to two candles more than the limit.
        Raises StoreUnavailable.
        """
        interval = wanted.interval
        stored = await self._stored(wanted) if interval.seconds in _STORED_S else _NOTHING
        if interval == SECOND or (interval == MINUTE and len(stored.candles)):
            return stored
        made = _NOTHING
        for base in [DAY] if interval == WEEK else _bases(interval):
            made = await self._coarsened(wanted, base)
            if len(made.candles):
                break
        return self._overlaid(wanted, stored, made) if len(stored.candles) else made

    async def _stored(self, wanted: Wanted) -> Tail:
        """Rows of the interval as they are, without those of hidden sessions."""
        series = wanted.instrument.id, wanted.interval.seconds
        size = wanted.limit + 1
        since = LATEST if wanted.start_ns is None else wanted.start_ns
        first = await self._reader.excerpt(*series, wanted.low_ns, wanted.end_ns, size, since)
        page = first.candles
        since = min([since, *page["ts"][:1].tolist()])
        beside = Beside(since, wanted.end_ns, first.coverage, first.gaps)
        rows, scanned = _shown(wanted, page), len(page)
        more = len(page) == size
        while more and len(rows) <= wanted.limit and scanned < SCAN_ROWS:
            size = max(size, _PAGE_ROWS)
            page = await self._reader.candles(*series, wanted.low_ns, int(page["ts"][0]), size)
            rows = _joined(_shown(wanted, page), rows)
            scanned += len(page)
            more = len(page) == size
        if wanted.forming and self._forming is not None:
            fresh = np.copy(self._forming(wanted.instrument.id, wanted.interval.seconds))
            after = max(wanted.low_ns, int(rows["ts"][-1]) + 1 if len(rows) else EARLIEST)
            fresh = fresh[(fresh["ts"] >= after) & (fresh["ts"] < wanted.end_ns)]
            fresh["state"] = FORMING
            rows = _joined(rows, _shown(wanted, Candles(fresh)))
        cut = more or len(rows) > wanted.limit
        rows = Candles(rows[-wanted.limit :])
        return Tail(rows, *self._covered(wanted, rows["ts"]), np.zeros(len(rows), np.bool_), cut, beside)

    async def _coarsened(self, wanted: Wanted, base: Interval) -> Tail:
        """Candles of ``wanted`` out of those of ``base``."""
        interval, most = wanted.interval, _most(wanted)
        # A day's name and the instants it covers lie up to a day apart.
        pad = DAY_NS if interval.is_daily_or_longer else 0
        ask = replace(
            wanted,
            interval=base,
            start_ns=None if wanted.start_ns is None else wanted.start_ns - pad,
            end_ns=wanted.end_ns + interval.ns + pad,
            limit=min((most + 2) * _per_bucket(interval, base), _PAGE_ROWS),
            all_sessions=not wanted.hides_sessions,
        )
        rows, scanned, beside = _NOTHING.candles, 0, None
        while True:
            page = await (self.last(ask) if base == DAY else self._stored(ask))
            beside = beside or page.beside
            rows = _joined(page.candles, rows)
            scanned += len(page.candles)
            if not len(rows):
                return _NOTHING
            of = self._buckets(wanted, base, rows["ts"])
            # The oldest bucket may lack its beginning if there is more to read.
            whole = of.names != of.names[0] if page.cut else np.full(len(rows), fill_value=True)
            inside = whole & (of.names >= wanted.low_ns) & (of.names < wanted.end_ns)
            enough = len(distinct(of.names[inside])) > most
            if enough or not page.cut or not len(page.candles) or scanned >= SCAN_ROWS:
                break
            ask = replace(ask, end_ns=int(page.candles["ts"][0]), limit=_PAGE_ROWS, forming=False)
        rows, of = Candles(rows[inside]), Buckets(*(column[inside] for column in of))
        made = coarsen(_as_if_final(rows), of.names, interval.seconds)
        at = np.searchsorted(of.names, made["ts"])[-most:]
        cut = page.cut or len(made) > most
        made = Candles(made[-most:])
        made["session"] = self._sessions(wanted, made["ts"])
        return Tail(made, of.starts[at], of.ends[at], np.ones(len(made), np.bool_), cut, beside)

    def _overlaid(self, wanted: Wanted, stored: Tail, made: Tail) -> Tail:
        """Both, and where both have a candle the stored one."""
        tails = [tail for tail in (stored, made) if len(tail.candles)]
        names = np.concatenate([tail.candles["ts"] for tail in tails])
        order = np.argsort(names, kind="stable")
        order = order[np.append(True, np.diff(names[order]) != 0)]
        # Before the first candle of a tail that was cut, its candles are absent by our doing.
        low = max((int(tail.candles["ts"][0]) for tail in tails if tail.cut), default=EARLIEST)
        order = order[names[order] >= low]
        most = _most(wanted)
        cut = any(tail.cut for tail in tails) or len(order) > most
        at = order[-most:]
        columns = (np.concatenate(column)[at] for column in zip(*(tail[:4] for tail in tails), strict=True))
        candles, starts, ends, coarse = columns
        beside = min((tail.beside for tail in tails), key=lambda beside: beside.start)
        return Tail(Candles(candles), starts, ends, coarse, cut, beside)

    def _covered(self, wanted: Wanted, names: Times) -> tuple[Times, Times]:
        """The instants covered by candles of these names."""
        if wanted.interval <= MINUTE or not len(names):
            return names, names + wanted.interval.ns
        of = self._buckets(wanted, wanted.interval, names)
        return of.starts, of.ends

    def _buckets(self, wanted: Wanted, base: Interval, names: Times) -> Buckets:
        """Where candles of ``base`` belong."""
        table = self._tables.around(wanted.instrument, int(names[0]) - WEEK.ns, int(names[-1]) + WEEK.ns)
        instants = _day_starts(names, table) if base.is_daily_or_longer else names
        return buckets(instants, wanted.interval, table)

    def _sessions(self, wanted: Wanted, names: Times) -> NDArray[np.uint8]:
        if wanted.interval.is_daily_or_longer or not len(names):
            return np.full(len(names), Session.REGULAR, np.uint8)
        return self._tables.around(wanted.instrument, int(names[0]), int(names[-1])).session_of(names)


def _most(wanted: Wanted) -> int:
    return wanted.limit if wanted.forming else wanted.limit + _GROWING


def _bases(interval: Interval) -> list[Interval]:
    """What a candle can be made of, best first."""
    lengths = (MINUTE.seconds, *_OTHER_BASES_S)
    return [Interval(s) for s in lengths if s < interval.seconds and interval.seconds % s == 0]


def _per_bucket(interval: Interval, base: Interval) -> int:
    if interval == DAY:
        return _DAY_MINUTES * 60 // base.seconds + 1
    return interval.seconds // base.seconds


def _shown(wanted: Wanted, rows: Candles) -> Candles:
    if not wanted.hides_sessions:
        return rows
    hidden = _HIDDEN[rows["session"]]
    return Candles(rows[~hidden]) if hidden.any() else rows


def _joined(*parts: Candles) -> Candles:
    filled = [part for part in parts if len(part)]
    return Candles(np.concatenate(filled)) if len(filled) > 1 else (filled or parts)[0]


def _as_if_final(rows: Candles) -> Candles:
    """`coarsen` knows stored states only; whether a bucket still grows is judged by its end."""
    forming = rows["state"] == FORMING
    if forming.any():
        rows = Candles(rows.copy())
        rows["state"][forming] = State.FINAL
    return rows


def _day_starts(names: Times, table: SessionTable) -> Times:
    """An instant inside each of the days of these names."""
    days = [table.day(day) for day in (names // DAY_NS).tolist()]
    pairs = zip(names.tolist(), days, strict=True)
    return np.array([name if day is None else day.start_ns for name, day in pairs], np.int64)
