"""How many minutes are missing now, for /metrics: those of live feeds that no history has filled."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
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
AT_ONCE = 2_000  # gaps in memory, as rows
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
        since = now - LOOK_BACK_NS
        tally: Tally | None = None
        page: list[GapRow] = []
        while page := await self._store.upkeep.unrepaired(since, AT_ONCE, page[-1] if page else None):
            tally = tally or Tally(await self._store.instruments(), self._tables(since, now), (since, now))
            await asyncio.to_thread(tally.add, page)
            if len(page) < AT_ONCE:
                break
        counted = Counter[str]() if tally is None else await asyncio.to_thread(tally.minutes)
        for state in _STATES:
            self._metrics.missing_minutes[state].set(counted[state])

    def _tables(self, start_ns: int, end_ns: int) -> Callable[[Instrument], SessionTable]:
        """Trading hours in a span, made once a session class."""
        made: dict[str, SessionTable] = {}

        def table(instrument: Instrument) -> SessionTable:
            name = instrument.session_class
            if name not in made:
                made[name] = table_around(self._hours(instrument), start_ns, end_ns)
            return made[name]

        return table


class Tally:
    """Counts missing minutes by state of repair; each minute of an instrument once in a state.

    Gaps come some at a time, and what is kept of them is only which minutes they touch: an outage
    leaves the same gap for each of thousands of instruments, and a bad day many outages.
    """

    def __init__(
        self, instruments: Iterable[Instrument], table: Callable[[Instrument], SessionTable], span: Span
    ) -> None:
        """``span`` is what is looked at, UTC ns."""
        self._known = {one.id: one for one in instruments}
        self._table = table
        self._span = span
        self._spans: dict[tuple[str, int], list[Span]] = {}
        self._touched: dict[tuple[str, int, int], list[Span]] = {}

    def add(self, gaps: Iterable[GapRow]) -> None:
        """Those of unknown instruments count for nothing."""
        for gap in gaps:
            instrument = self._known.get(gap.instrument_id)
            if instrument is None:
                continue
            key = gap.repair, gap.instrument_id
            minutes, known = self._minutes_of(gap, instrument), self._spans.get(key)
            self._spans[key] = minutes if known is None else union([*known, *minutes])

    def minutes(self) -> Counter[str]:
        """By state, of all that was added."""
        counted: Counter[str] = Counter()
        for (state, _), spans in self._spans.items():
            counted[state] += sum(end - start for start, end in spans) // MINUTE.ns
        return counted

    def _minutes_of(self, gap: GapRow, instrument: Instrument) -> list[Span]:
        first, last = self._span
        start = max(gap.start_ns, first)
        end = max(start, last if gap.end_ns is None else min(gap.end_ns, last))
        key = (instrument.session_class, start, end)
        if key not in self._touched:
            if len(self._touched) >= AT_ONCE:
                self._touched.clear()
            closed = replace(gap, start_ns=start, end_ns=end)
            self._touched[key] = minutes_of(closed, self._table(instrument))
        return self._touched[key]
