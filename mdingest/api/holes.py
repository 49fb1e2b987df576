"""Every hole of an instrument: those that a row records, and those that nobody was there to record.

Recorded ones come as they are stored. The others are derived, as `/candles` does: trading hours
that neither a feed nor history of minutes covers, from the first that one did.
"""

from dataclasses import dataclass
from functools import partial

from mdingest.api.missing import UNRECORDED, UNSETTLED_NS, missing
from mdingest.api.prospects import UNKNOWN, Prospects
from mdingest.api.wanted import EARLIEST, LATEST, Reader, Tables
from mdingest.core.instrument import Instrument
from mdingest.core.interval import MINUTE
from mdingest.core.session import SECOND_NS
from mdingest.store.upkeep import GapRow

OPEN = "open"
_OF_A_MINUTE = frozenset({0, 1, MINUTE.seconds})  # lengths that say something of minutes; 0 is live


@dataclass(frozen=True, slots=True)
class Hole:
    """One hole, UTC ns; ``end_ns`` None while it lasts. ``source`` is empty where nobody listened."""

    source: str
    cause: str
    start_ns: int
    end_ns: int | None
    volume: float | None  # units known to have traded in it
    repair: str  # open, repairing, repaired, unfillable
    reason: str  # why its repair is where it is
    attempts: int  # to repair it, in vain
    in_hours: bool  # some of it lies in trading hours


async def holes_of(
    reader: Reader,
    tables: Tables,
    instrument: Instrument,
    start_ns: int,
    end_ns: int,
    now_ns: int,
    prospects: Prospects = UNKNOWN,
) -> list[Hole]:
    """Holes that overlap ``[start, end)``, by start. Raises StoreUnavailable."""
    end_ns = min(end_ns, now_ns)
    rows = await reader.gaps(instrument.id, start_ns, end_ns)
    coverage = await reader.coverage(instrument.id, EARLIEST, end_ns)
    heard = (row.start_ns for row in coverage if row.interval_s in _OF_A_MINUTE)
    since = max(start_ns, min(heard, default=end_ns))  # what was before was never meant to be heard
    early = min([since, *(row.start_ns for row in rows)])
    table = tables.around(instrument, early, max(end_ns, early))
    found = [
        _recorded(
            row, prospects.told(row), in_hours=bool(table.windows_between(row.start_ns, _end_of(row, now_ns)))
        )
        for row in rows
    ]
    if since < end_ns:
        holes = missing(
            table.windows_between(since, end_ns),
            coverage,
            rows,
            interval_s=MINUTE.seconds,
            settling=((now_ns - UNSETTLED_NS) // SECOND_NS * SECOND_NS, LATEST),
        )
        idle = partial(prospects.idle, instrument.symbol, MINUTE.seconds, UNRECORDED)
        found += [
            Hole("", UNRECORDED, hole.start, hole.end, None, OPEN, idle(hole.end), 0, in_hours=True)
            for hole in holes
            if hole.cause == UNRECORDED
        ]
    return sorted(found, key=lambda hole: (hole.start_ns, hole.source, hole.cause))


def lost_ns(hole: Hole, now_ns: int) -> int:
    """How long it is by now."""
    return max(0, (now_ns if hole.end_ns is None else hole.end_ns) - hole.start_ns)


def _end_of(row: GapRow, now_ns: int) -> int:
    """An instant behind it; what has no length still touches the second it lies in."""
    return max(now_ns if row.end_ns is None else row.end_ns, row.start_ns + SECOND_NS)


def _recorded(row: GapRow, reason: str, *, in_hours: bool) -> Hole:
    return Hole(
        row.source,
        row.cause,
        row.start_ns,
        row.end_ns,
        row.volume,
        row.repair,
        reason,
        row.attempts,
        in_hours=in_hours,
    )
