"""One reply of one provider: held against what is stored, then its candles on their way there."""

from collections.abc import Callable
from contextlib import closing

import numpy as np

from mdingest.core.events import CANDLE, Candles
from mdingest.pipeline.history.batch import Write
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.limits import Pace, Sparing
from mdingest.pipeline.history.replies import Reading, next_part
from mdingest.pipeline.history.report import SymbolReport
from mdingest.pipeline.history.storing import Storing
from mdingest.providers.history import Ask, History, Reply


class Taking:
    """For one provider. ``now_ns`` is the wall clock: it decides what is over."""

    def __init__(
        self,
        name: str,
        history: History,
        storing: Storing,
        *,
        fetcher: Fetcher,
        pace: Pace | Sparing,
        now_ns: Callable[[], int],
    ) -> None:
        self._name = name
        self._history = history
        self._storing = storing
        self._fetcher = fetcher
        self._pace = pace
        self._now_ns = now_ns

    async def refuse_adjusted(self, ask: Ask, reply: Reply) -> None:
        """Compare a reply with what is stored before any of it is. Raises Adjusted."""
        stored = await self._storing.stored(ask)
        if not len(stored):
            return
        reading = self._reading(ask, reply, SymbolReport("", "", ""))
        with closing(self._history.parse(ask, reply)) as parts:
            while (part := await next_part(parts, reply)) is not None:
                mine, _ = reading.candles(part)
                await self._storing.refuse_ratio(ask, mine, stored)

    async def keep(
        self, ask: Ask, reply: Reply, said: SymbolReport, heard: Callable[[float], None], write: Write
    ) -> None:
        """Write what is good of a reply, and what it covers. ``heard`` is told its share, 0 to 1."""
        reading = self._reading(ask, reply, said)
        last = Candles(np.empty(0, CANDLE))  # in one transaction with what the whole reply covers
        with closing(self._history.parse(ask, reply)) as parts:
            while (part := await next_part(parts, reply)) is not None:
                await write(ask, last, [], said)
                last, spans = reading.candles(part)
                if spans:  # each part says by itself what it covers
                    await write(ask, last, spans, said)
                    last = Candles(last[:0])
                heard(reading.share)
                if part.wait_s:
                    self._pace.hold(part.wait_s)
        if reading.absent:
            self._fetcher.absent(reply.request)
        if reading.unseen:
            said.unseen.append((reading.unseen, reading.end()))
            return
        await write(ask, last, reading.end(), said)

    def _reading(self, ask: Ask, reply: Reply, said: SymbolReport) -> Reading:
        return Reading(ask, reply, self._history.capabilities, self._name, self._now_ns(), said)
