"""A store to read from, in memory, and a day of made-up candles to put into it."""

import asyncio
from dataclasses import dataclass, field

import numpy as np

from mdingest.api.times import parse_instant
from mdingest.core.control import VolumeKind
from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_NAME
from mdingest.core.session import SECOND_NS, Session
from mdingest.errors import StoreUnavailable
from mdingest.store.base import CoverageRow, Difference, Excerpt, GapRow

RELIANCE = Instrument("RELIANCE.NS", "NSE", "RELIANCE INDUSTRIES", "NSE.EQ.cas", VolumeKind.CUMULATIVE, 1)
NIFTY = Instrument("NIFTY 50", "NSE", "NIFTY 50", "NSE.IDX", VolumeKind.NONE, 2)
BITCOIN = Instrument("BTCUSDT.BINANCE", "BINANCE", "BTC/USDT", "always", VolumeKind.TRADES, 3)


def at(text: str, date: str = "2026-11-20") -> int:
    """UTC ns of an Indian clock time; a Friday without closing surprises unless said otherwise."""
    return parse_instant(f"{date}T{text}+05:30")


def candles(start: int, count: int, interval_s: int = 60, **columns: object) -> Candles:
    """One after another: opens 100, 101, ..., each a rupee up, high +2, low -1, volume 10."""
    rows = np.zeros(count, CANDLE)
    n = np.arange(count)
    rows["instrument_id"], rows["interval_s"] = RELIANCE.id, interval_s
    rows["ts"] = start + n * interval_s * SECOND_NS
    rows["open"], rows["close"] = 100.0 + n, 101.0 + n
    rows["high"], rows["low"] = 102.0 + n, 99.0 + n
    rows["volume"], rows["oi"], rows["trades"] = 10.0, np.nan, 3
    rows["source"] = BY_NAME["kite_ws"].id
    rows["session"] = Session.REGULAR
    for name, value in columns.items():
        rows[name] = value
    return Candles(rows)


@dataclass
class FakeReader:
    """Keeps what it is given and answers as a store does."""

    known: list[Instrument] = field(default_factory=lambda: [BITCOIN, NIFTY, RELIANCE])
    rows: dict[tuple[int, int], Candles] = field(default_factory=dict)
    heard: list[CoverageRow] = field(default_factory=list)
    holes: list[GapRow] = field(default_factory=list)
    told: list[Difference] = field(default_factory=list)
    dropped: dict[int, int] = field(default_factory=dict)
    down: bool = False
    asked: int = 0

    def add(self, rows: Candles) -> None:
        """Rows of one instrument and interval, in order."""
        key = int(rows["instrument_id"][0]), int(rows["interval_s"][0])
        old = self.rows.get(key)
        joined = rows if old is None else np.concatenate([old, rows])
        self.rows[key] = Candles(joined[np.argsort(joined["ts"])])

    def hear(
        self,
        start: int,
        end: int,
        source: str = "kite_ws",
        instrument: Instrument = RELIANCE,
        interval_s: int = 0,
    ) -> None:
        """Coverage: live uptime, or history of a length."""
        self.heard.append(CoverageRow(instrument.id, source, start, end, interval_s))

    def miss(self, start: int, end: int | None, cause: str, source: str = "kite_ws") -> None:
        """A gap of RELIANCE."""
        self.holes.append(GapRow(RELIANCE.id, source, cause, start, end, None, "open"))

    def _up(self) -> None:
        self.asked += 1
        if self.down:
            raise StoreUnavailable("disk I/O error")

    @property
    def upkeep(self) -> "FakeReader":
        """Itself."""
        return self

    async def differences(self, instrument_id: int, first: str, last: str) -> list[Difference]:
        """Of some dates."""
        return [one for one in self.told if one.instrument_id == instrument_id and first <= one.date <= last]

    async def forgotten(self) -> dict[int, int]:
        """By interval."""
        return self.dropped

    async def instruments(self) -> list[Instrument]:
        """All."""
        self._up()
        return self.known

    async def last_candle_ns(self) -> dict[tuple[int, int], int]:
        """Newest of each."""
        self._up()
        return {key: int(rows["ts"][-1]) for key, rows in self.rows.items()}

    async def candles(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int
    ) -> Candles:
        """The last ones of a range."""
        self._up()
        rows = self.rows.get((instrument_id, interval_s), np.empty(0, CANDLE))
        inside = rows[(rows["ts"] >= start_ns) & (rows["ts"] < end_ns)]
        return Candles(inside[-limit:])

    async def excerpt(
        self, instrument_id: int, interval_s: int, start_ns: int, end_ns: int, limit: int, since_ns: int
    ) -> Excerpt:
        """All three at once: one question, during which others go on, as beside a real store."""
        asked = self.asked
        for _ in range(3):
            await asyncio.sleep(0)
        last = await self.candles(instrument_id, interval_s, start_ns, end_ns, limit)
        first_ns = min([since_ns, *last["ts"][:1].tolist()])
        coverage = await self.coverage(instrument_id, first_ns, end_ns)
        gaps = await self.gaps(instrument_id, first_ns, end_ns)
        self.asked = asked + 1
        return Excerpt(last, coverage, gaps)

    async def gaps(self, instrument_id: int, start_ns: int, end_ns: int) -> list[GapRow]:
        """Those that overlap."""
        self._up()
        return [
            gap
            for gap in self.holes
            if gap.instrument_id == instrument_id
            and gap.start_ns < end_ns
            and (gap.end_ns is None or gap.end_ns > start_ns)
        ]

    async def coverage(self, instrument_id: int, start_ns: int, end_ns: int) -> list[CoverageRow]:
        """Those that overlap."""
        self._up()
        return [
            row
            for row in self.heard
            if row.instrument_id == instrument_id and row.start_ns < end_ns and row.end_ns > start_ns
        ]
