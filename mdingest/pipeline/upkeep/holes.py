"""Which minutes a gap touches, and what is left of them once history has been fetched.

Pure: rows of the store and trading hours come in, spans go out. All spans are half-open, UTC ns.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from mdingest.core.events import Candles, State
from mdingest.core.interval import MINUTE
from mdingest.core.rank import BY_ID, BY_NAME
from mdingest.core.session import SECOND_NS, SessionTable
from mdingest.core.spans import Span, intersect, union
from mdingest.errors import ConfigError
from mdingest.providers.history import Hours
from mdingest.store.base import CoverageRow, GapRow

_DAY_S = 86_400


def minutes_of(gap: GapRow, table: SessionTable) -> list[Span]:
    """Whole minutes of trading hours that a closed gap touches; one without length touches one."""
    if gap.end_ns is None:
        raise ValueError("the gap still lasts")
    start = gap.start_ns // MINUTE.ns * MINUTE.ns
    end = -(-max(gap.end_ns, gap.start_ns + 1) // MINUTE.ns) * MINUTE.ns
    return [
        (low // MINUTE.ns * MINUTE.ns, -(-high // MINUTE.ns) * MINUTE.ns)
        for low, high in table.windows_between(start, end)
    ]


def table_around(hours: Hours, start_ns: int, end_ns: int) -> SessionTable:
    """Trading hours around a span; none are known of a class that the configuration has no more."""
    try:
        return hours.around(start_ns, end_ns)
    except ConfigError:
        return SessionTable([])


def covered_by_others(coverage: Iterable[CoverageRow], feed: str) -> list[Span]:
    """Where minutes are known from history, or another feed was heard, while ``feed`` was not."""
    return union(
        (row.start_ns, row.end_ns)
        for row in coverage
        if row.source != feed and (row.interval_s in (0, 1, MINUTE.seconds))
    )


def still_partial(candles: Candles, spans: Sequence[Span]) -> list[Span]:
    """Minutes inside ``spans`` whose stored candle is a live one that lacks something."""
    doubt = candles[candles["state"] == State.PARTIAL]
    live = [BY_ID[source].live for source in doubt["source"].tolist()]
    minutes = [(ts, ts + MINUTE.ns) for ts in doubt["ts"][np.array(live, np.bool_)].tolist()]
    return intersect(minutes, list(spans))


def inside(candles: Candles, spans: Sequence[Span]) -> Candles:
    """The candles that open inside ``spans``."""
    keep = np.zeros(len(candles), np.bool_)
    for start, end in spans:
        keep |= (candles["ts"] >= start) & (candles["ts"] < end)
    return Candles(candles[keep])


def settled(minutes: Sequence[Span], until_ns: int) -> bool:
    """Whether all of them had ended by an instant."""
    return not minutes or minutes[-1][1] <= until_ns


def told(spans: Sequence[Span]) -> str:
    """``2 minutes from 2026-11-20T03:50:00Z``, for people."""
    count = sum(end - start for start, end in spans) // MINUTE.ns
    first = np.datetime64(spans[0][0] // SECOND_NS, "s")
    return f"{count} minute{'s' if count != 1 else ''} from {first}Z"


def names_of(coverage: Iterable[CoverageRow], feed: str, spans: Sequence[Span]) -> str:
    """Which sources know what lies in ``spans``, by name."""
    found = {
        row.source
        for row in coverage
        if row.source != feed
        and row.interval_s < _DAY_S
        and intersect([(row.start_ns, row.end_ns)], list(spans))
    }
    return ", ".join(sorted(found, key=lambda name: BY_NAME[name].id))
