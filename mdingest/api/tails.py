"""The last candles of a range: stored rows, and longer candles coarsened out of shorter ones.

A stored row of the asked interval beats a coarsened one. What is stored in several lengths is
coarsened from each until one has all of it, and a bucket that none has alone is put together out of
several; of each the finest that lacks least is shown.
Rows are read backwards, page by page, and of no length more than `SCAN_ROWS` for one question.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.api.missing import Missing, joined, lost_ns, within
from mdingest.api.mixing import Length, mixed
from mdingest.api.record import Beside, Record
from mdingest.api.rows import FORMING
from mdingest.api.tail import NOTHING, Tail, Times, overlaid
from mdingest.api.wanted import EARLIEST, LATEST, Reader, Tables, Wanted
from mdingest.core.candles import coarsen
from mdingest.core.events import Candles, State
from mdingest.core.interval import DAY, MINUTE, SECOND, WEEK, Buckets, Interval, buckets
from mdingest.core.rows import distinct
from mdingest.core.session import DAY_NS, Session, SessionTable
from mdingest.core.spans import Span, intersect, subtract, union
from mdingest.store.tables import INTERVALS

SCAN_ROWS = 200_000
_PAGE_ROWS = 20_000
_GROWING = 2  # buckets that the caller may find unfinished and leave out: they take no place in a reply
_DAY_MINUTES = 400  # a first guess of how much a day holds; NSE trades 375
_HIDDEN = np.zeros(256, np.bool_)
_HIDDEN[[Session.PREOPEN, Session.AUCTION, Session.POSTCLOSE]] = True
"""By session code: whether intraday reads leave it out."""
_OTHER_BASES_S = (1, 300, 900, 1_800, 3_600)  # where minutes lack something


class Made(NamedTuple):
    """Candles coarsened out of one length, and the rows that they were made of, ascending."""

    tail: Tail
    base: Interval
    rows: Candles


class Tails:
    """Reads them. ``forming`` gives what is being built of (instrument id, interval in s)."""

    def __init__(
        self, reader: Reader, tables: Tables, forming: Callable[[int, int], Candles] | None = None
    ) -> None:
        self._reader = reader
        self._tables = tables
        self._forming = forming
        self.record = Record(reader, tables)

    async def last(self, wanted: Wanted, now: int) -> Tail:
        """The answer; the states of coarsened candles are for the caller to give.

        A bucket that has a forming part, or may get one, is for the caller to judge; where those are
        not wanted there are up to two candles more than the limit.
        Raises StoreUnavailable.
        """
        interval = wanted.interval
        stored = await self._stored(wanted) if interval.seconds in INTERVALS else NOTHING
        if interval == SECOND or (interval == MINUTE and len(stored.candles)):
            return stored
        made: list[Made] = []
        for base in [DAY] if interval == WEEK else _bases(interval):
            if base == SECOND and made:  # minutes are made of them
                continue
            found = await self._coarsened(wanted, base, now)
            if len(found.rows):
                made.append(found)
                if _answers(wanted, found.tail, stored):
                    return overlaid([stored, *(one.tail for one in made)], _most(wanted))
        together = await self._together(wanted, made, now)
        alone = [one.tail.candles["ts"][(one.tail.lacks == 0) & (one.tail.ends <= now)] for one in made]
        together = together.only(~np.isin(together.candles["ts"], np.concatenate([*alone, NOTHING.starts])))
        return overlaid([stored, together, *(one.tail for one in made)], _most(wanted))

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
        lacks = np.full(len(rows), -1)
        covered = self._covered(wanted, rows["ts"])
        return Tail(rows, *covered, np.zeros(len(rows), np.bool_), lacks, cut, beside, [])

    async def _coarsened(self, wanted: Wanted, base: Interval, now: int) -> Made:
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
        rows, scanned, parts = NOTHING.candles, 0, []
        while True:
            page = await (self.last(ask, now) if base == DAY else self._stored(ask))
            parts.append(page)
            rows = _joined(page.candles, rows)
            scanned += len(page.candles)
            if not len(rows):
                return Made(NOTHING, base, rows)
            of = self._buckets(wanted, base, rows["ts"])
            # The oldest bucket may lack its beginning if there is more to read.
            whole = of.names != of.names[0] if page.cut else np.full(len(rows), fill_value=True)
            inside = whole & (of.names >= wanted.low_ns) & (of.names < wanted.end_ns)
            enough = len(distinct(of.names[inside])) > most
            if enough or not page.cut or not len(page.candles) or scanned >= SCAN_ROWS:
                break
            ask = replace(ask, end_ns=int(page.candles["ts"][0]), limit=_PAGE_ROWS, forming=False)
        rows, of = Candles(rows[inside]), Buckets(*(column[inside] for column in of))
        tail, at = self._merged(wanted, rows, of, parts[0].beside)
        tail = tail._replace(cut=tail.cut or page.cut)
        return Made(await self._weighed(wanted, tail, base, parts, now), base, Candles(rows[at:]))

    async def _together(self, wanted: Wanted, made: Sequence[Made], now: int) -> Tail:
        """Candles that several lengths fill together, where no single one has all of them."""
        if len(made) < 2:  # noqa: PLR2004 - one has nothing to be mixed with
            return NOTHING
        tails = [one.tail for one in made]
        starts = [int(tail.starts[0]) for tail in tails]
        # What lies before the first candle of a tail that was cut is absent by our doing.
        low = max((start for start, tail in zip(starts, tails, strict=True) if tail.cut), default=min(starts))
        high = min(max(int(tail.ends[-1]) for tail in tails), now)
        nearest = min((tail.beside for tail in tails), key=lambda beside: beside.start)
        beside = await self.record.reaching(nearest, wanted.instrument.id, low, high)
        windows = self.record.windows(wanted, low, high)
        lengths = [
            Length(
                Candles(one.rows[one.rows["ts"] >= low]),
                await self.record.holes(windows, beside, one.base, now, stored=True),
                partial(self._buckets, replace(wanted, interval=one.base), one.base),
            )
            for one in made
        ]
        rows, holes, filled = mixed(windows, lengths)
        if not filled or not len(rows):
            return NOTHING
        of = self._buckets(wanted, MINUTE, rows["ts"])
        tail, _ = self._merged(wanted, rows, of, beside)
        tail = tail._replace(lacks=self._lacks(wanted, tail, holes, now), cut=False, holes=holes)
        begun, over = np.array(filled).T
        better = np.searchsorted(begun, tail.ends) > np.searchsorted(over, tail.starts, side="right")
        return tail.only(better)

    def _merged(self, wanted: Wanted, rows: Candles, of: Buckets, beside: Beside) -> tuple[Tail, int]:
        """The last candles out of rows that fall into ``of``, and the first of the rows that they hold."""
        candles, most = coarsen(_as_if_final(rows), of.names, wanted.interval.seconds), _most(wanted)
        if not len(candles):
            return NOTHING, 0
        at = np.searchsorted(of.names, candles["ts"])[-most:]
        cut = len(candles) > most
        candles = Candles(candles[-most:])
        candles["session"] = self._sessions(wanted, candles["ts"])
        made, lacks = np.ones(len(candles), np.bool_), np.zeros(len(candles), np.int64)
        return Tail(candles, of.starts[at], of.ends[at], made, lacks, cut, beside, []), int(at[0])

    async def _weighed(self, wanted: Wanted, tail: Tail, base: Interval, parts: list[Tail], now: int) -> Tail:
        """The tail, knowing what of the asked range is missing from what it was made of, up to now."""
        if not len(tail.candles):
            return tail
        first, last = int(tail.starts[0]), int(tail.ends[-1])
        low = first if wanted.start_ns is None or tail.cut else min(first, wanted.start_ns)
        high = min(max(wanted.end_ns, last), now)
        beside = await self.record.reaching(tail.beside, wanted.instrument.id, low, high)
        windows = self.record.windows(wanted, low, high)
        if base == DAY:
            holes = await self._holes_of_days(windows, beside, parts, now)
        else:
            holes = await self.record.holes(windows, beside, base, now, stored=True)
        return tail._replace(lacks=self._lacks(wanted, tail, holes, now), beside=beside, holes=holes)

    def _lacks(self, wanted: Wanted, tail: Tail, holes: list[Missing], now: int) -> Times:
        """How much of each candle is in holes. ``(n,)``."""
        spans = tail.spans()
        lost = [0 if self._grows(wanted, end, now) else lost_ns(holes, start, end) for start, end in spans]
        return np.array(lost, np.int64)

    async def _holes_of_days(
        self, windows: list[Span], beside: Beside, parts: list[Tail], now: int
    ) -> list[Missing]:
        """Of days each by itself: coarsened ones know theirs, and where none is, nothing may have traded."""
        made = union(span for part in parts for span in part.spans(part.made))
        stored = subtract(union(span for part in parts for span in part.spans(~part.made)), made)
        holes = within(joined(hole for part in parts for hole in part.holes), intersect(windows, made))
        holes += await self.record.holes(intersect(windows, stored), beside, DAY, now, stored=True)
        rest = subtract(subtract(windows, made), stored)
        return joined(holes + await self.record.holes(rest, beside, DAY, now))

    def _grows(self, wanted: Wanted, end: int, now: int) -> bool:
        """Whether anything can still trade before ``end``: a day of NSE is over before midnight."""
        return end > now and bool(self.record.windows(wanted, now, end))

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


def _answers(wanted: Wanted, made: Tail, stored: Tail) -> bool:
    """Whether no other length could add anything to what was coarsened out of one."""
    if wanted.start_ns is None and not made.cut:
        return False
    return not subtract([(hole.start, hole.end) for hole in made.holes], union(stored.spans()))


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
