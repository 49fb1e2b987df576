"""The contract of every store, and the values that cross it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mdingest.core.events import (
    CANDLE,
    COVERAGE,
    FETCHED,
    GAP,
    MARK,
    Candles,
    Coverage,
    Fetched,
    Gaps,
    Marks,
)
from mdingest.core.instrument import Instrument
from mdingest.core.interval import STORED
from mdingest.core.session import DAY_NS
from mdingest.store.upkeep import Difference, GapRow, Run, Upkeep

__all__ = [
    "Claim",
    "Committed",
    "CoverageRow",
    "Difference",
    "GapRow",
    "Position",
    "Retention",
    "Run",
    "Store",
    "StoreSize",
    "SymbolRow",
    "Transaction",
    "Upkeep",
]


@dataclass(frozen=True, slots=True)
class Position:
    """Everything below ``lsn`` of this journal is committed."""

    journal: str  # uuid, text
    lsn: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The ingest role. ``epoch`` grows with every claim and guards each commit of a position."""

    epoch: int
    position: Position | None  # of the journal claimed for; None: the database never saw it


@dataclass(slots=True, eq=False)
class Transaction:
    """What is committed together, or not at all.

    Order inside: candles, then marks, then coverage and gaps, then the position. Two rows
    of one key in ``candles``: the later wins. ``position`` is None for history, whose
    coverage is ``fetched``: spans of one source and interval that touch become one.
    ``repairs`` are known, closed gaps and how their repair stands now; a gap that has grown
    meanwhile is left alone. ``runs`` and ``differences`` take the place of what was said before.
    ``instead_of`` are series of history (instrument, interval in seconds, source id) that this
    transaction brings anew: before anything else their candles go to the replaced ones, and what
    was fetched of them is forgotten.
    """

    candles: Candles = field(default_factory=lambda: Candles(np.empty(0, CANDLE)))
    marks: Marks = field(default_factory=lambda: Marks(np.empty(0, MARK)))
    coverage: Coverage = field(default_factory=lambda: Coverage(np.empty(0, COVERAGE)))
    gaps: Gaps = field(default_factory=lambda: Gaps(np.empty(0, GAP)))
    fetched: Fetched = field(default_factory=lambda: Fetched(np.empty(0, FETCHED)))
    repairs: Sequence[GapRow] = ()
    runs: Sequence[Run] = ()
    differences: Sequence[Difference] = ()
    instead_of: Sequence[tuple[int, int, int]] = ()
    streams: dict[int, tuple[str, int]] = field(default_factory=dict)
    position: Position | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did. ``changed``: candles that are new or say something else now."""

    changed: int


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """What was heard. ``end_ns`` of a stream still open is its last frame.

    ``interval_s`` is 0 for live uptime, which serves every interval; history serves its own
    length and what is coarsened from it.
    """

    instrument_id: int
    source: str
    start_ns: int
    end_ns: int
    interval_s: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Excerpt:
    """Candles of one series, ascending; what was heard and missed beside them, by start."""

    candles: Candles
    coverage: list[CoverageRow]
    gaps: list[GapRow]


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """What is stored of one instrument."""

    instrument: Instrument
    ranges: dict[int, tuple[int, int]]
    """Interval in seconds to the opening instants, UTC ns, of its first and its last candle."""


@dataclass(frozen=True, slots=True)
class StoreSize:
    """Bytes on disk. ``pending`` is what waits to be moved into ``data`` (SQLite: the WAL)."""

    data: int
    pending: int


_WHOLE_NS = 32 * DAY_NS  # of candles that ought to be gone, so much may still be there: partitions go whole


@dataclass(frozen=True, slots=True)
class Retention:
    """What may be forgotten, as instants in UTC ns; what is not named stays for ever."""

    candles: Mapping[int, int] = field(default_factory=dict)
    """Interval in seconds to the instant before whose opening its candles go."""
    revisions_ns: int | None = None  # replaced rows go that were replaced before it

    @property
    def spans_ns(self) -> int | None:
        """Coverage and gaps go that ended before it: all they speak of is gone.

        None while candles of some length that is built live are kept for ever.
        """
        if not {interval.seconds for interval in STORED} <= self.candles.keys():
            return None
        return min(map(self.history_ns, self.candles))

    def history_ns(self, interval_s: int) -> int:
        """The same for what was fetched of one interval, which ``candles`` names."""
        return self.candles[interval_s] - _WHOLE_NS


class Store(Protocol):
    """Every method raises StoreUnavailable when the database can't answer now.

    Cancelling a write leaves it either wholly committed or not at all.
    """

    @property
    def upkeep(self) -> Upkeep:
        """What is asked by those who keep the record whole."""
        ...

    async def close(self) -> None:
        """Release everything; a second call does nothing."""
        ...

    async def ensure_instruments(self, wanted: Sequence[Instrument]) -> list[Instrument]:
        """The same instruments with their ids, in order; unknown symbols are added."""
        ...

    async def instruments(self) -> list[Instrument]:
        """All, by symbol."""
        ...

    async def claim(self, journal: str, owner: str) -> Claim:
        """Take the ingest role: later commits of older epochs raise Fenced."""
        ...

    async def commit(self, transaction: Transaction) -> Committed:
        """One transaction. Idempotent: the same rows twice change nothing."""
        ...

    async def candles(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int
    ) -> Candles:
        """The last ``limit`` stored candles of ``[start, end)``, ascending."""
        ...

    async def replaced(self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int) -> Candles:
        """Candles of ``[start, end)`` as they were before another source took their place.

        By opening instant; of several the one replaced last comes last.
        """
        ...

    async def excerpt(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int, since_ns: int
    ) -> Excerpt:
        """`candles`, and `coverage` and `gaps` beside them: in one visit, out of one snapshot.

        Those begin with the first candle, or at ``since_ns`` if that is earlier, and end at ``end_ns``.
        """
        ...

    async def last_candle_ns(self) -> dict[tuple[int, int], int]:
        """(instrument, interval) to the opening instant of its newest candle."""
        ...

    async def symbols(self) -> list[SymbolRow]:
        """All instruments by symbol, with what is stored of each; answered from indexes."""
        ...

    async def positions(self) -> list[Position]:
        """Of every journal this database ever saw."""
        ...

    async def size(self) -> StoreSize:
        """How much disk it takes now."""
        ...

    async def gaps(self, instrument_id: int, start_ns: int, end_ns: int) -> list[GapRow]:
        """Holes overlapping the range, by start."""
        ...

    async def coverage(self, instrument_id: int, start_ns: int, end_ns: int) -> list[CoverageRow]:
        """What was heard or fetched in the range, by start."""
        ...

    async def wait_at_most(self, busy_s: float) -> None:
        """Let writes wait no longer than this for another process's, where the database has one writer."""
        ...

    async def retain(self, keep: Retention, now_ns: int) -> int:
        """Forget what is old and make room for what comes. How many rows or partitions went.

        In short transactions: commits go on beside it, and a cancel leaves whole ones behind.
        """
        ...
