"""Rows for stores, one at a time, with defaults; and a database to put them into."""

import datetime as dt
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdingest.core.control import VolumeKind
from mdingest.core.events import (
    CANDLE,
    COVERAGE,
    GAP,
    MARK,
    OPEN_END,
    Candles,
    Cause,
    Coverage,
    Gaps,
    Marks,
    State,
)
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_NAME
from mdingest.core.session import Session
from mdingest.store import open_store
from mdingest.store.base import Position, Store, Transaction
from mdingest.store.urls import dialect_of
from tests.support.postgres import fetch, in_a_thread

NS = 1_000_000_000
NINE = 1_795_146_300  # 2026-11-20T03:45:00Z, 09:15 in Mumbai
JOURNAL = "0f1e2d3c-0000-4000-8000-000000000001"


def ns(second: float) -> int:
    """UTC ns of a second counted from the opening of 2026-11-20."""
    return NINE * NS + round(second * NS)


def candle(
    second: int = 0,
    close: float = 100.0,
    *,
    source: str = "kite_ws",
    partial: bool = False,
    revision: int = 0,
    volume: float | None = 5.0,
    instrument: int = 1,
    interval_s: int = 1,
    flags: int = 0,
    session: Session = Session.REGULAR,
) -> tuple[Any, ...]:
    """One row of CANDLE; what it says hangs on ``close`` alone."""
    trades = 3 if BY_NAME[source].live else -1
    size = np.nan if volume is None else volume
    prices = (close - 1, close + 1, close - 2, close)
    state = State.PARTIAL if partial else State.FINAL
    head = (instrument, interval_s, ns(second), *prices, size, np.nan)
    return (*head, trades, revision, flags, BY_NAME[source].id, state, session)


def mark(
    start: float, end: float | None, *, partial: bool = True, flags: int = 0, source: str = "kite_ws"
) -> tuple[Any, ...]:
    """One row of MARK, for instrument 1."""
    return (1, BY_NAME[source].id, int(partial), flags, ns(start), _end(end))


def uptime(
    start: float, end: float | None, *, stream: int = 1, source: str = "kite_ws", instrument: int = 1
) -> tuple[Any, ...]:
    """One row of COVERAGE."""
    return (instrument, BY_NAME[source].id, stream, ns(start), _end(end))


def gap(
    start: float,
    end: float | None,
    *,
    cause: Cause = Cause.DISCONNECT,
    volume: float = np.nan,
    source: str = "kite_ws",
) -> tuple[Any, ...]:
    """One row of GAP, for instrument 1."""
    return (1, BY_NAME[source].id, int(cause), ns(start), _end(end), volume)


def transaction(
    *,
    candles: Sequence[tuple[Any, ...]] = (),
    marks: Sequence[tuple[Any, ...]] = (),
    coverage: Sequence[tuple[Any, ...]] = (),
    gaps: Sequence[tuple[Any, ...]] = (),
    streams: dict[int, tuple[str, int]] | None = None,
    lsn: int | None = None,
    epoch: int = 0,
) -> Transaction:
    """A transaction of rows; one with ``lsn`` is the ingester's."""
    return Transaction(
        candles=Candles(np.array(list(candles), CANDLE)),
        marks=Marks(np.array(list(marks), MARK)),
        coverage=Coverage(np.array(list(coverage), COVERAGE)),
        gaps=Gaps(np.array(list(gaps), GAP)),
        streams=streams or {},
        position=None if lsn is None else Position(JOURNAL, lsn),
        epoch=epoch,
    )


RELIANCE = Instrument("RELIANCE.NS", "NSE", "RELIANCE INDUSTRIES", "NSE.EQ.cas", VolumeKind.CUMULATIVE)
NIFTY = Instrument("NIFTY 50.NSE", "NSE", "NIFTY 50", "NSE.EQ", VolumeKind.NONE)


@dataclass(slots=True)
class Database:
    """A migrated database with RELIANCE (1) and NIFTY (2), its store, and SQL past the store."""

    url: str
    store: Store
    source_order: tuple[str, ...] = ()

    async def put(self, *candles: tuple[Any, ...], **others: Any) -> None:  # noqa: ANN401 - those of `transaction`
        """Commit rows."""
        await self.store.commit(transaction(candles=candles, **others))

    async def row(self, second: int = 0, *, interval_s: int = 1) -> dict[str, Any]:
        """The candle of RELIANCE that opens at this second."""
        (found,) = await self.store.candles(1, interval_s, ns(second), ns(second) + 1, 10)
        return dict(zip(CANDLE.names or (), found.tolist(), strict=True))

    async def reopen(self, *source_order: str) -> None:
        """Close the store and open it anew."""
        await self.store.close()
        self.store = await open_store(self.url, source_order=source_order)

    def sql(self, query: str, *values: float | str) -> list[tuple[Any, ...]]:
        """What another client of the database is told; times as SQLite spells them."""
        if dialect_of(self.url) == "postgres":
            found = in_a_thread(fetch(self.url, query, *values))
            return [tuple(map(_spelt, row)) for row in found]
        path = Path(self.url.removeprefix("sqlite:///"))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(query, values).fetchall()


def _spelt(value: object) -> object:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, dt.datetime) else value


def _end(end: float | None) -> int:
    return OPEN_END if end is None else ns(end)
