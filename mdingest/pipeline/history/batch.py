"""Bars that came one a request, together again, so that they are checked and stored as one range."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import numpy as np

from mdingest.core.events import Candles
from mdingest.core.spans import Span, union
from mdingest.pipeline.history.report import SymbolReport
from mdingest.providers.history import Ask

BATCH = 250
"""Requests: a year of day files. A cut costs no more than these, and they were kept on disk."""

Write = Callable[[Ask, Candles, list[Span], SymbolReport], Awaitable[None]]


class Batch:
    """Rows and the ranges they answer for, of one symbol, in ascending order."""

    def __init__(self) -> None:
        self._asks: list[Ask] = []
        self._rows: list[Candles] = []
        self._spans: list[Span] = []

    def __len__(self) -> int:
        return len(self._asks)

    async def add(self, ask: Ask, rows: Candles, spans: list[Span], said: SymbolReport) -> None:
        """Takes the place of storing them at once."""
        del said
        if not self._asks or self._asks[-1] is not ask:
            self._asks.append(ask)
        self._rows.append(rows)
        self._spans += spans

    def taken(self) -> Iterator[tuple[Ask, Candles, list[Span]]]:
        """All of it as one, if there is any; the batch is empty then."""
        if not self._asks:
            return
        whole = replace(self._asks[0], end_ns=self._asks[-1].end_ns)
        rows, spans = Candles(np.concatenate(self._rows)), union(self._spans)
        self._asks, self._rows, self._spans = [], [], []
        yield whole, rows, spans
