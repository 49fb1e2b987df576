"""What a backfill needs of a store, and the store of those who have none yet."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import numpy as np

from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.store.base import Committed, CoverageRow, Transaction

Commit = Callable[[Transaction], Awaitable[Committed]]


class Held(Protocol):
    """What is stored, as far as a backfill cares. Every `Store` is one."""

    async def coverage(self, instrument_id: int, start_ns: int, end_ns: int) -> list[CoverageRow]:
        """See `Store.coverage`."""
        ...

    async def candles(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int
    ) -> Candles:
        """See `Store.candles`."""
        ...

    async def commit(self, transaction: Transaction) -> Committed:
        """See `Store.commit`."""
        ...


class Nothing:
    """An empty store that keeps nothing: for a plan where there is no database. Implements `Held`."""

    async def instruments(self) -> list[Instrument]:
        """None."""
        return []

    async def ensure_instruments(self, wanted: Sequence[Instrument]) -> list[Instrument]:
        """As they are, without ids."""
        return list(wanted)

    async def coverage(self, instrument_id: int, start_ns: int, end_ns: int) -> list[CoverageRow]:
        """None."""
        del instrument_id, start_ns, end_ns
        return []

    async def candles(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int
    ) -> Candles:
        """None."""
        del instrument_id, interval_s, start_ns, end_ns, limit
        return Candles(np.empty(0, CANDLE))

    async def commit(self, transaction: Transaction) -> Committed:
        """Nobody commits here."""
        raise AssertionError(f"a dry run stores nothing, and here are {len(transaction.candles)} rows")
