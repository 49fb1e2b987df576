"""What is missing from candles of a length, by what was heard and fetched around them."""

from collections.abc import Sequence
from typing import NamedTuple

from mdingest.api.missing import UNSETTLED_NS, Missing, missing
from mdingest.api.wanted import EARLIEST, LATEST, Reader, Tables, Wanted
from mdingest.core.interval import MINUTE, Interval
from mdingest.core.session import SECOND_NS, Session
from mdingest.core.spans import Span
from mdingest.store.base import CoverageRow, GapRow

_STALE_NS = 60 * SECOND_NS


class Beside(NamedTuple):
    """All coverage and gaps that overlap ``[start, end)``, UTC ns: read together with the candles."""

    start: int
    end: int
    coverage: list[CoverageRow]
    gaps: list[GapRow]


class Record:
    """Reads it. Instants are UTC ns."""

    def __init__(self, reader: Reader, tables: Tables) -> None:
        self._reader = reader
        self._tables = tables
        self._forgotten: dict[int, int] = {}
        self._forgotten_at = EARLIEST

    def windows(self, wanted: Wanted, start: int, end: int) -> list[Span]:
        """Trading hours of ``[start, end)`` that candles of ``wanted`` gather."""
        if start >= end:
            return []
        sessions = (Session.REGULAR,) if wanted.hides_sessions else None
        return self._tables.around(wanted.instrument, start, end).windows_between(start, end, sessions)

    async def reaching(self, beside: Beside, instrument_id: int, start: int, end: int) -> Beside:
        """``beside``, read again where it does not reach: a day without any candle, a day's first hours.

        Raises StoreUnavailable.
        """
        if start >= end or beside.start <= start <= end <= beside.end:
            return beside
        # Beside no candles: both at once, and as they were at one instant.
        found = await self._reader.excerpt(instrument_id, MINUTE.seconds, end, end, 1, start)
        return Beside(start, end, found.coverage, found.gaps)

    async def holes(
        self, windows: Sequence[Span], beside: Beside, interval: Interval, now: int, *, stored: bool = False
    ) -> list[Missing]:
        """What of ``windows`` (sorted, disjoint, up to ``now``) is missing, ascending and disjoint.

        ``stored``: from candles that are kept in this length, for which no other length vouches.
        Else from the series: where nothing traded, whoever looked may say so. Raises StoreUnavailable.
        """
        # history of days says nothing about minutes; that of minutes is what days are made of
        coverage = [
            row
            for row in beside.coverage
            if (_is_kept_in(row, interval) if stored else row.interval_s <= interval.seconds)
        ]
        return missing(
            windows,
            coverage,
            beside.gaps,
            interval_s=interval.seconds,
            settling=(now - UNSETTLED_NS, LATEST),
            forgotten=await self._dropped(now),
        )

    async def _dropped(self, now: int) -> dict[int, int]:
        """How far back retention has reached; it goes on once an hour."""
        if abs(now - self._forgotten_at) > _STALE_NS:
            self._forgotten = await self._reader.upkeep.forgotten()
            self._forgotten_at = now
        return self._forgotten


def _is_kept_in(row: CoverageRow, interval: Interval) -> bool:
    """What feeds send becomes seconds and minutes."""
    return row.interval_s == interval.seconds or (row.interval_s == 0 and interval <= MINUTE)
