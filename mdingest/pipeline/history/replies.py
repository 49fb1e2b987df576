"""A reply, part by part: its bars as candles of ours, what they cover, and what was wrong with them."""

import asyncio
import datetime as dt
import os
from collections.abc import Iterator

import numpy as np

from mdingest.core.control import VolumeKind
from mdingest.core.events import CANDLE, Candles, Flag
from mdingest.core.rank import BY_NAME
from mdingest.core.rows import distinct
from mdingest.core.session import DAY_NS, SECOND_NS, SessionTable
from mdingest.core.spans import Span, intersect, subtract, union
from mdingest.pipeline.history.candles import covered, place, settled_edge, spans_of
from mdingest.pipeline.history.report import SymbolReport
from mdingest.providers.history import NAMED_REJECTS, Ask, Bars, Capabilities, HttpRequest, Parsed, Reply

_LITTLE_BYTES = 8 << 10  # some dozens of bars: parsed in less time than a thread takes to wake
_NEAR_NS = 8 * DAY_NS


class Reading:
    """One pass through one reply."""

    def __init__(
        self, ask: Ask, reply: Reply, capabilities: Capabilities, source: str, now_ns: int, said: SymbolReport
    ) -> None:
        """``said`` hears of everything; ``now_ns`` decides what is over."""
        self._ask = ask
        self._reply = reply
        self._capabilities = capabilities
        self._source = source
        self._now_ns = now_ns
        self._settled_ns = now_ns - round(capabilities.settle_of(ask.interval) * SECOND_NS)
        self._said = said
        self._named = 0
        self._unnamed = 0
        self._before: Span | None = None
        self._holes: list[Span] = []
        self.absent = False  # there is no such thing
        self.unseen = ""  # that an answer for a whole market lacks the instrument
        self._answered: list[Span] | None = None  # None: the whole wish, as far as we were told

    def candles(self, part: Parsed) -> tuple[Candles, list[Span]]:
        """What a part brings, ascending and final, and what may be called covered with it."""
        ask, said = self._ask, self._said
        said.empty += part.empty
        said.notes += [f"{self._reply.request}: {note}" for note in part.notes]
        for reject in part.rejects:
            self._reject(reject.line, reject.why)
        self._unnamed += part.rejected - len(part.rejects)
        self._holes += self._lost(part)
        self.unseen = part.unseen or self.unseen
        self.absent |= part.absent
        if part.answered is not None:
            self._answered = [*(self._answered or []), part.answered]
        near = max(
            ask.interval.ns, _NEAR_NS
        )  # of another century is not worth a calendar of what lies between
        stamps = part.bars["ts"]
        bars = Bars(part.bars[(stamps >= ask.start_ns - near) & (stamps < ask.end_ns + near)])
        if not len(bars):
            return Candles(np.empty(0, CANDLE)), []
        first, last = int(bars["ts"][0]), int(bars["ts"][-1])
        reached = [first, last] if self._before is None else [first, last, *self._before]
        table = ask.hours.around(min(reached), max(reached))
        opens = _opens(bars, table) if ask.interval.is_daily_or_longer else bars["ts"]
        bars = Bars(bars[(opens >= ask.start_ns) & (opens < ask.end_ns)])
        placed = place(
            bars,
            ask.interval,
            table,
            self._settled_ns,
            instrument_id=ask.instrument.id,
            source=self._source,
        )
        for bar in placed.off_grid.tolist():
            self._reject(bar[-1], f"no {ask.interval} candle of this market opens at {instant(bar[0])}")
        for bar in placed.unfinished.tolist():
            if bar[0] > self._now_ns:
                self._reject(bar[-1], f"{instant(bar[0])} lies in the future")
            else:
                said.unfinished += 1
        if ask.instrument.volume is VolumeKind.NONE:
            placed.candles["volume"] = np.nan  # an index: a vendor's 0 says nothing
        elif BY_NAME[self._source].random_zeros:
            placed.candles["flags"][placed.candles["volume"] == 0] = Flag.VOLUME_SUSPECT
        said.rows += len(placed.candles)
        return placed.candles, self._covered(placed.candles, part, table)

    def end(self) -> list[Span]:
        """After the last part: what the reply as a whole answered for."""
        if self._unnamed:
            self._said.rejected += self._unnamed
            self._said.rejects.append(f"{self._reply.request}: {self._unnamed} more wrong rows")
        if self._capabilities.local or not self._capabilities.absence_is_no_trade:
            return []
        ask = self._ask
        end = ask.end_ns
        if self._settled_ns < end:
            table = ask.hours.around(self._settled_ns, self._settled_ns)
            end = min(end, settled_edge(self._settled_ns, ask.interval, table))
        wish = union([(ask.start_ns, end)])
        answered = wish if self._answered is None else intersect(wish, union(self._answered))
        return subtract(answered, union(self._holes))

    @property
    def share(self) -> float:
        """How much of the reply is behind us, 0 to 1."""
        size = _size(self._reply)
        return self._reply.body.tell() / size if size else 1.0

    def _covered(self, mine: Candles, part: Parsed, table: SessionTable) -> list[Span]:
        if not len(mine):
            return []
        ask = self._ask
        if self._capabilities.local:
            spans = covered(mine["ts"], ask.interval, table, holes=part.holes, before=self._before)
            self._before = (int(mine["ts"][0]), int(mine["ts"][-1]) + ask.interval.ns)
            return intersect(spans, [(ask.start_ns, ask.end_ns)])
        if self._capabilities.absence_is_no_trade:
            return []  # the whole range is, at the end
        return spans_of(mine["ts"], ask.interval, table)

    def _lost(self, part: Parsed) -> list[Span]:
        ask, day = self._ask, max(self._ask.interval.ns, DAY_NS)
        holes = part.holes[(part.holes >= ask.start_ns - day) & (part.holes < ask.end_ns + day)]
        if self._capabilities.local or not len(holes):
            return []
        table = ask.hours.around(int(holes.min()), int(holes.max()))
        return spans_of(holes, ask.interval, table)

    def _reject(self, line: int, why: str) -> None:
        if self._named >= NAMED_REJECTS:
            self._unnamed += 1
            return
        self._named += 1
        self._said.rejected += 1
        self._said.rejects.append(f"{self._reply.place(line)}: {why}")


async def next_part(parts: Iterator[Parsed], reply: Reply) -> Parsed | None:
    """The next part; None after the last. What is not little is parsed in a thread, the loop stays free.

    A cancel waits for the thread: nobody may close what it is reading.
    """
    if _is_little(reply):
        return next(parts, None)
    step = asyncio.get_running_loop().run_in_executor(None, next, parts, None)
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait([step])
        raise


def _is_little(reply: Reply) -> bool:
    """Not a file: out of an archive of a page may come a thousand."""
    request = reply.request
    return isinstance(request, HttpRequest) and request.keep is None and _size(reply) <= _LITTLE_BYTES


def _size(reply: Reply) -> int:
    body = reply.body
    here = body.tell()
    size = body.seek(0, os.SEEK_END)
    body.seek(here)
    return size


def instant(ns: int) -> str:
    """``2026-11-20T03:45:00Z``."""
    return f"{np.datetime64(ns // SECOND_NS, 's')}Z"


def date(ns: int) -> str:
    """``2026-11-20``."""
    return str(dt.date(1970, 1, 1) + dt.timedelta(days=ns // DAY_NS))


def _opens(bars: Bars, table: SessionTable) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """When the days begin that bars are named by."""
    begin = {}
    for name in distinct(bars["ts"]).tolist():
        day = table.day(name // DAY_NS)
        begin[name] = name if day is None else day.start_ns
    return np.fromiter((begin[name] for name in bars["ts"].tolist()), np.int64, len(bars))
