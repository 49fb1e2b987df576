"""How many minutes are missing now, for /metrics: those of live feeds that no history has filled."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import structlog

from mdingest.core.instrument import Instrument
from mdingest.core.interval import MINUTE
from mdingest.core.session import DAY_NS, SessionTable
from mdingest.core.spans import Span, union
from mdingest.errors import StoreUnavailable
from mdingest.pipeline.upkeep.holes import minutes_of, table_around
from mdingest.providers.history import Hours
from mdingest.store.base import GapRow, Store
from mdingest.store.upkeep import OPEN, REPAIRING, UNFILLABLE
from mdingest.telemetry.metrics import Metrics

log = structlog.get_logger()

EVERY_S = 60.0
LOOK_BACK_NS = 7 * DAY_NS
_STATES = (OPEN, REPAIRING, UNFILLABLE)


class Measure:
    """`run` in a task; cancelling loses nothing."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        *,
        hours: Callable[[Instrument], Hours],
        now_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._hours = hours
        self._now_ns = now_ns

    async def run(self) -> None:
        """Each minute until cancelled. While the database is away the last numbers stay."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as exc:
                log.warning("repair.not_measured", error=str(exc))
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Once, now. Raises StoreUnavailable."""
        now = self._now_ns()
        gaps = await self._store.upkeep.unrepaired(now - LOOK_BACK_NS)
        known = {one.id: one for one in await self._store.instruments()} if gaps else {}
        tables: dict[str, SessionTable] = {}
        for gap in gaps:
            instrument = known.get(gap.instrument_id)
            if instrument is not None and instrument.session_class not in tables:
                around = table_around(self._hours(instrument), now - LOOK_BACK_NS, now)
                tables[instrument.session_class] = around
        classes = {number: instrument.session_class for number, instrument in known.items()}
        span = (now - LOOK_BACK_NS, now)
        minutes = await asyncio.to_thread(missing_minutes, gaps, classes, tables, span)
        for state in _STATES:
            self._metrics.missing_minutes[state].set(minutes[state])


def missing_minutes(
    gaps: Iterable[GapRow], classes: Mapping[int, str], tables: Mapping[str, SessionTable], span: Span
) -> Counter[str]:
    """By state of repair, over all instruments; each minute of an instrument once in a state.

    ``classes`` are session classes by instrument, ``span`` what is looked at, UTC ns.
    """
    minutes: dict[tuple[str, int, int], list[Span]] = {}  # an outage is the same gap of many instruments
    of: defaultdict[tuple[str, int], list[list[Span]]] = defaultdict(list)
    for gap in gaps:
        session_class = classes.get(gap.instrument_id)
        if session_class is None:
            continue
        start, end = max(gap.start_ns, span[0]), min(span[1] if gap.end_ns is None else gap.end_ns, span[1])
        key = (session_class, start, max(start, end))
        if key not in minutes:
            closed = replace(gap, start_ns=key[1], end_ns=key[2])
            minutes[key] = minutes_of(closed, tables[session_class])
        of[gap.repair, gap.instrument_id].append(minutes[key])
    counted: Counter[str] = Counter()
    for (state, _), some in of.items():
        spans = some[0] if len(some) == 1 else union(span for spans in some for span in spans)
        counted[state] += sum(end - start for start, end in spans) // MINUTE.ns
    return counted
