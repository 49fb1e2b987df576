"""Fills the holes of live feeds from history, by itself and a little at a time.

What a feed missed is in the store as gaps. Once such a gap has ended and the provider's bars have
settled, exactly the minutes that it touches are fetched and take their place by rank; the gap
then says how that went. A process that dies in between finds the gap as it was. Seconds can't be
fetched from anybody: of them the gap remains.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import structlog

from mdingest.core.events import Candles, Fetched
from mdingest.core.instrument import Instrument
from mdingest.core.interval import MINUTE
from mdingest.core.session import SECOND_NS, SessionTable
from mdingest.core.spans import Span, intersect, subtract, union
from mdingest.errors import ConfigError, MdingestError, StoreUnavailable
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.history.order import Order
from mdingest.pipeline.history.report import Quiet, Report, SymbolReport
from mdingest.pipeline.upkeep import attempts
from mdingest.pipeline.upkeep.alarm import Alarm
from mdingest.pipeline.upkeep.asking import Asked, Ready
from mdingest.pipeline.upkeep.holes import (
    covered_by_others,
    inside,
    minutes_of,
    names_of,
    settled,
    still_partial,
    table_around,
)
from mdingest.pipeline.upkeep.verdicts import judged
from mdingest.providers.history import Hours
from mdingest.store.base import Committed, CoverageRow, GapRow, Store, Transaction
from mdingest.store.upkeep import OPEN, REPAIRED, UNFILLABLE
from mdingest.telemetry.health import Detail

log = structlog.get_logger()

LOOK_S = 20.0  # of the clock, between two looks for gaps
_SHORTEST_LOOK_S = 0.5  # real
SETTLE_NS = 60 * SECOND_NS  # no provider is asked earlier after the end of a minute
MOST_GAPS = 1_000  # of one look
_MOST_MINUTES = 20_000  # stored candles of one instrument that are looked at together
_SAID_AT_ONCE = 1_000  # gaps in one transaction
_SAY_S = 1.0  # real, between two transactions that say how repairs went
NOTHING_TRADES = "nothing trades then"
_EVENTS = {REPAIRED: "gap.repaired", UNFILLABLE: "gap.unfillable"}


@dataclass(slots=True)
class RepairStatus:
    """For /health. Counts are of gaps since the start."""

    repaired: int = 0
    unfillable: int = 0
    failed: int = 0  # attempts
    rows: int = 0
    error: str = ""  # of the last attempt that failed; empty after one that did not


@dataclass(slots=True)
class _Work:
    """Gaps of one instrument and feed that are looked at together."""

    instrument: Instrument
    gaps: list[tuple[GapRow, list[Span]]]
    left: list[Span] = field(default_factory=list)


class Repairer:
    """One of a process. `run` in a task, or `fill`; cancelling leaves what was committed, which is whole."""

    def __init__(
        self,
        store: Store,
        commit: Commit,
        *,
        ready: Ready,
        providers: Callable[[str], Sequence[str]],
        hours: Callable[[Instrument], Hours],
        now_ns: Callable[[], int],
        real_s: Callable[[float], float] = lambda s: s,
        enabled: Callable[[], bool] = lambda: True,
    ) -> None:
        """``providers(feed)`` names who is asked for what a feed missed, in order, as of now.

        ``now_ns`` is the wall clock; ``real_s`` turns its seconds into real ones.
        """
        self.status = RepairStatus()
        self.alarm = Alarm()  # rung: look now
        self._store = store
        self._commit = commit
        self._ready = ready
        self._providers = providers
        self._hours = hours
        self._now_ns = now_ns
        self._real_s = real_s
        self._enabled = enabled
        self._minutes: dict[int, list[Span]] = {}  # instrument: what may be written of it now

    async def run(self) -> None:
        """Until cancelled. A database that does not answer is asked again at the next look."""
        while True:
            await self.alarm.sleep(max(self._real_s(LOOK_S), _SHORTEST_LOOK_S))
            if not self._enabled():
                continue
            try:
                now = self._now_ns()
                await self.fill(await self._store.upkeep.repairable(now - SETTLE_NS, now, MOST_GAPS))
            except StoreUnavailable as exc:
                log.warning("repair.store_unavailable", error=str(exc))

    def check(self) -> tuple[bool, Detail]:
        """For `Health`: a hole that can't be filled is no illness of the process."""
        status = self.status
        detail: dict[str, object] = {
            "enabled": self._enabled(),
            "repaired": status.repaired,
            "unfillable": status.unfillable,
            "failed_attempts": status.failed,
            "candles": status.rows,
        }
        return True, detail | ({"last_error": status.error} if status.error else {})

    async def fill(self, gaps: Sequence[GapRow]) -> list[GapRow]:
        """Try these closed gaps now, each feed's together; how their repair stands then.

        Those that have not settled are left out. Raises StoreUnavailable.
        """
        if not gaps:
            return []
        known = {instrument.id: instrument for instrument in await self._store.instruments()}
        by_feed: defaultdict[str, defaultdict[int, list[GapRow]]] = defaultdict(lambda: defaultdict(list))
        for gap in gaps:
            if gap.instrument_id in known:
                by_feed[gap.source][gap.instrument_id].append(gap)
        done: list[GapRow] = []
        for feed, of in by_feed.items():
            tables = self._tables([known[number] for number in of], gaps)
            looks = [
                await self._look(feed, known[number], mine, tables[known[number].session_class])
                for number, mine in of.items()
            ]
            works = [work for work, _ in looks if work is not None]
            done += await self._say([gap for _, easy in looks for gap in easy])
            if works:
                done += await self._ask(feed, works)
        return done

    # -- one feed ----------------------------------------------------------------------

    async def _look(
        self, feed: str, instrument: Instrument, gaps: Sequence[GapRow], table: SessionTable
    ) -> tuple[_Work | None, list[GapRow]]:
        """What is to be fetched of one instrument, and gaps that need nothing more."""
        await asyncio.sleep(0)  # there may be thousands, and feeds have the loop in between
        now = self._now_ns()
        found = [(gap, minutes_of(gap, table)) for gap in gaps]
        found = [(gap, minutes) for gap, minutes in found if settled(minutes, now - SETTLE_NS)]
        easy = [attempts.repaired(gap, NOTHING_TRADES) for gap, minutes in found if not minutes]
        found = [(gap, minutes) for gap, minutes in found if minutes]
        if not found:
            return None, easy
        coverage, lacks = await self._missing(feed, instrument, [minutes for _, minutes in found])
        work = _Work(instrument, [])
        for gap, minutes in found:
            left = intersect(minutes, lacks)
            if left:
                work.gaps.append((gap, minutes))
                work.left = union([*work.left, *left])
            else:
                easy.append(attempts.repaired(gap, names_of(coverage, feed, minutes)))
        return (work if work.gaps else None), easy

    def _tables(self, instruments: Sequence[Instrument], gaps: Sequence[GapRow]) -> dict[str, SessionTable]:
        """Trading hours around all the gaps, by session class: most instruments share one."""
        first = min(gap.start_ns for gap in gaps)
        last = max(gap.start_ns if gap.end_ns is None else gap.end_ns for gap in gaps)
        one_of = {instrument.session_class: instrument for instrument in instruments}
        return {name: table_around(self._hours(one), first, last) for name, one in one_of.items()}

    async def _missing(
        self, feed: str, instrument: Instrument, minutes: Sequence[Sequence[Span]]
    ) -> tuple[list[CoverageRow], list[Span]]:
        """Who knows what around some minutes, and which of them nobody does, or only in part."""
        spans = union(span for some in minutes for span in some)
        start, end = spans[0][0], spans[-1][1]
        coverage = await self._store.coverage(instrument.id, start, end)
        lacks = subtract(spans, covered_by_others(coverage, feed))
        while True:
            stored = await self._store.candles(instrument.id, MINUTE.seconds, start, end, _MOST_MINUTES)
            lacks = union([*lacks, *still_partial(stored, spans)])
            if len(stored) < _MOST_MINUTES:
                return coverage, lacks
            end = int(stored["ts"][0])

    async def _ask(self, feed: str, works: Sequence[_Work]) -> list[GapRow]:
        names = self._providers(feed)
        gaps = [gap for work in works for gap, _ in work.gaps]
        now = self._now_ns()
        if not names:
            return await self._say([attempts.nobody(gap, feed, now) for gap in gaps])
        await self._say([attempts.begun(gap) for gap in gaps])
        symbols = [work.instrument.symbol for work in works]
        try:
            asked = await self._ready(names, symbols, self._keep)
        except StoreUnavailable:
            raise
        except MdingestError as exc:
            done = await self._say([attempts.failed(gap, str(exc), now) for gap in gaps])
            self._note(feed, done)
            return done
        done, ended, said_at = [], [], time.monotonic()
        for work in works:
            report = await self._fetch(asked, work, ", ".join(names))
            ended += await self._judged(feed, work, report, asked.chain.settle_s(MINUTE))
            if work is works[-1] or time.monotonic() - said_at >= _SAY_S:
                done += await self._say(ended)
                ended, said_at = [], time.monotonic()
        self._note(feed, done)
        return done

    async def _fetch(self, asked: Asked, work: _Work, names: str) -> Report:
        """What was asked and how that went."""
        symbol = work.instrument.symbol
        if symbol in asked.nowhere:
            return Report([SymbolReport(symbol, MINUTE.text, names, failures=[asked.nowhere[symbol]])])
        self._minutes[work.instrument.id] = work.left
        order = Order(
            [work.instrument],
            MINUTE,
            work.left[0][0],
            work.left[-1][1],
            force=True,  # a minute heard in part is covered, as far as a planner knows
            only=work.left,
        )
        try:
            return await asked.chain.run(order, Quiet())
        except ConfigError as exc:  # no provider has minutes
            return Report([SymbolReport(symbol, MINUTE.text, names, failures=[str(exc)])])
        finally:
            del self._minutes[work.instrument.id]

    async def _judged(self, feed: str, work: _Work, report: Report, settle_s: float) -> list[GapRow]:
        """How the gaps stand now."""
        known = await self._missing(feed, work.instrument, [minutes for _, minutes in work.gaps])
        self.status.rows += sum(said.changed for said in report.symbols)
        return judged(work.gaps, report, known, feed=feed, now_ns=self._now_ns(), settle_s=settle_s)

    # -- into the store -----------------------------------------------------------------

    async def _keep(self, transaction: Transaction) -> Committed:
        """Only what was missing: a reply may bring more, and the rest stays as it was heard."""
        (number,) = self._minutes  # one at a time
        minutes = self._minutes[number]
        spans = [
            (*row[:3], *span)
            for row in transaction.fetched.tolist()
            for span in intersect([row[3:5]], minutes)
        ]
        cut = replace(
            transaction,
            candles=Candles(inside(transaction.candles, minutes)),
            fetched=Fetched(np.array(spans, transaction.fetched.dtype)),
        )
        if not len(cut.candles) and not len(cut.fetched):
            return Committed(0)
        return await self._commit(cut)

    async def _say(self, gaps: Sequence[GapRow]) -> list[GapRow]:
        for begin in range(0, len(gaps), _SAID_AT_ONCE):
            await self._commit(Transaction(repairs=gaps[begin : begin + _SAID_AT_ONCE]))
        ends = Counter((gap.repair, gap.source, gap.reason) for gap in gaps)
        for (state, feed, reason), count in ends.items():
            self.status.repaired += count * (state == REPAIRED)
            self.status.unfillable += count * (state == UNFILLABLE)
            if state in _EVENTS and reason != NOTHING_TRADES:
                log.info(_EVENTS[state], feed=feed, gaps=count, reason=reason)
        return list(gaps)

    def _note(self, feed: str, done: Sequence[GapRow]) -> None:
        """One line for all that failed together."""
        failed = [gap for gap in done if gap.repair == OPEN and not gap.reason.startswith(attempts.EARLY)]
        self.status.failed += len(failed)
        self.status.error = failed[0].reason if failed else ""
        if failed:
            log.warning("repair.failed", feed=feed, gaps=len(failed), error=failed[0].reason)
