"""A question for candles, answered with what is missing from the answer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdingest.api.missing import UNSETTLED_NS, Missing, clipped, joined, overlaps
from mdingest.api.rows import FORMING
from mdingest.api.tail import Tail
from mdingest.api.tails import Tails
from mdingest.api.wanted import EARLIEST, Reader, Tables, Wanted
from mdingest.core.events import Candles, State
from mdingest.core.session import DAY_NS, SECOND_NS
from mdingest.core.spans import subtract, union

_LIVELY_NS = 60 * SECOND_NS


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """An answer, ascending. ``cut``: older candles match too."""

    candles: Candles
    missing: list[Missing]
    cut: bool


class Reading:
    """Answers. ``now`` is the wall clock in UTC ns."""

    def __init__(
        self,
        reader: Reader,
        tables: Tables,
        now: Callable[[], int],
        forming: Callable[[int, int], Candles] | None = None,
    ) -> None:
        self._tables = tables
        self._tails = Tails(reader, tables, forming)
        self._now = now

    async def read(self, wanted: Wanted) -> Found:
        """Raises StoreUnavailable."""
        now = self._now() // SECOND_NS * SECOND_NS  # a hole that lasts ends at a time that can be read
        tail = await self._tails.last(wanted, now)
        start, end = self._range(wanted, tail, now)
        if not tail.made.any():
            holes, _ = await self._missing(wanted, start, end, now, tail)
        else:
            first, last = int(tail.starts[0]), int(tail.ends[-1])
            low, high = min(start, first), min(max(end, last), now)
            holes, heard_until = await self._missing(wanted, low, high, now, tail)
            judged = _judged(tail, self._last_trades(wanted, tail), holes, heard_until, now)
            tail = tail._replace(candles=judged)
        if tail.made.any() or len(tail.candles) > wanted.limit:
            tail = _shown(wanted, tail)
            if len(tail.candles):
                start, end = self._range(wanted, tail, now)
            holes = clipped(holes, start, end)
        return Found(tail.candles, holes, tail.cut)

    def _range(self, wanted: Wanted, tail: Tail, now: int) -> tuple[int, int]:
        """Where holes are looked for: what was asked, or what the reply spans, up to now."""
        end = min(wanted.end_ns, now)
        if wanted.start_ns is not None and not (tail.cut and len(tail.candles)):
            return wanted.start_ns, end
        if len(tail.candles):
            return int(tail.starts[0]), end
        day = self._tables.around(wanted.instrument, end, end).day_of(end)
        return (end - DAY_NS if day is None else day.start_ns), end

    def _last_trades(self, wanted: Wanted, tail: Tail) -> list[int]:
        """When the last trade of each candle can be: a day of NSE is over at 16:00, not at midnight."""
        ends: list[int] = tail.ends.tolist()
        if not wanted.interval.is_daily_or_longer:
            return ends
        table = self._tables.around(wanted.instrument, int(tail.starts[0]), ends[-1])
        windows = [
            table.windows_between(start, end) for start, end in zip(tail.starts.tolist(), ends, strict=True)
        ]
        return [inside[-1][1] if inside else end for inside, end in zip(windows, ends, strict=True)]

    async def _missing(
        self, wanted: Wanted, start: int, end: int, now: int, tail: Tail
    ) -> tuple[list[Missing], int]:
        """Holes in ``[start, end)``, and until when anybody listened live.

        Of coarsened candles, what is missing from what they were made of; between them, from the series.
        """
        if start >= end:
            return [], EARLIEST
        record = self._tails.record
        beside = await record.reaching(tail.beside, wanted.instrument.id, start, end)
        made = union(zip(tail.starts[tail.made].tolist(), tail.ends[tail.made].tolist(), strict=True))
        between = subtract(record.windows(wanted, start, end), made)
        holes = await record.holes(between, beside, wanted.interval, now)
        live = (row.end_ns for row in beside.coverage if row.interval_s == 0)
        return joined([*clipped(tail.holes, start, end), *holes]), max(live, default=EARLIEST)


def _judged(tail: Tail, last_trades: list[int], holes: list[Missing], heard_until: int, now: int) -> Candles:
    """The candles, those that were coarsened with their states.

    A candle grows until nothing can trade in it any more, and a little longer while a feed
    is alive: its last minute closes and is committed some seconds after.
    """
    lively = heard_until > now - _LIVELY_NS
    settled = np.array(last_trades) <= (min(now, heard_until) - UNSETTLED_NS // 2 if lively else now)
    spans = zip(tail.starts.tolist(), tail.ends.tolist(), strict=True)
    doubtful = np.array([overlaps(holes, start, end) for start, end in spans], np.bool_)
    candles = Candles(tail.candles.copy())
    candles["state"][tail.made & doubtful] = State.PARTIAL
    candles["state"][tail.made & ~settled] = FORMING
    return candles


def _shown(wanted: Wanted, tail: Tail) -> Tail:
    """The last ``limit``, without those that still grow unless they are asked for."""
    grown = tail.candles["state"] != FORMING
    kept = np.flatnonzero(grown | wanted.forming)
    at = kept[-wanted.limit :]
    cut = tail.cut or len(kept) > wanted.limit
    return tail.only(at)._replace(cut=cut)
