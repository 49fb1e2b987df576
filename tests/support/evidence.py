"""What a run left behind, as plain values: the simulator's files and the database.

The database is read as a stranger would read it, through its views; times are UTC ns.
"""

import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.postgres import fetch, in_a_thread

NS = 1_000_000_000
FOREVER = 1 << 62  # where a range that goes on ends
_CANDLES = """
SELECT symbol, interval, CAST(ts_utc AS TEXT), source, open, high, low, close, volume, trades, state
FROM candles"""
_GAPS = """
SELECT symbol, CAST(start_utc AS TEXT), CAST(end_utc AS TEXT), cause, volume FROM gaps
ORDER BY symbol, start_utc"""
_COVERAGE = """
SELECT symbol, CAST(start_utc AS TEXT), CAST(end_utc AS TEXT) FROM coverage WHERE interval_s IS NULL
ORDER BY symbol, start_utc"""
_QUERIES = (_CANDLES, _GAPS, _COVERAGE)
LENGTHS = {"1s": NS, "1m": 60 * NS}


class Trade(NamedTuple):
    """One line of the tape."""

    second: int  # the stamp that the wire carries, as ns
    ns: int  # exact
    price: float
    size: int | None
    volume: int | None  # of the day, this trade included


class Cut(NamedTuple):
    """A stretch of trades that did not reach the daemon."""

    start: int
    end: int
    cause: str


class Row(NamedTuple):
    """A stored candle."""

    open: float
    high: float
    low: float
    close: float
    volume: float | None
    trades: int | None
    state: str


class Gap(NamedTuple):
    """A recorded hole."""

    start: int
    end: int
    cause: str
    volume: float | None


@dataclass
class Evidence:
    """By symbol, each list in its order of time."""

    tape: dict[str, list[Trade]] = field(default_factory=lambda: defaultdict(list))
    cuts: dict[str, list[Cut]] = field(default_factory=lambda: defaultdict(list))
    doubts: dict[str, list[Cut]] = field(default_factory=lambda: defaultdict(list))
    """What reached the daemon and may mislead it."""
    candles: dict[tuple[str, str], dict[int, Row]] = field(default_factory=lambda: defaultdict(dict))
    gaps: dict[str, list[Gap]] = field(default_factory=lambda: defaultdict(list))
    coverage: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def symbols(self) -> list[str]:
        """All that traded."""
        return sorted(self.tape)

    def horizon(self) -> int:
        """The end of the newest stored second: all before it was published, for every symbol."""
        newest = [max(rows) for (_, interval), rows in self.candles.items() if interval == "1s" and rows]
        return max(newest, default=-NS) + NS

    def first_heard(self, symbol: str) -> int:
        """Where the first uptime of a symbol begins."""
        return min((start for start, _ in self.coverage.get(symbol, [])), default=FOREVER)


def read_evidence(database: Path | str, tape: Path, cuts: Path, *, repaired: bool = False) -> Evidence:
    """Everything, of a SQLite file or a PostgreSQL's address.

    Lines that a running simulator has not finished are left out.

    Candles that history has brought are left out, unless ``repaired``: they are not what was heard.
    """
    found = Evidence()
    names: dict[int, str] = {}
    for line in _lines(tape):
        symbol = names.setdefault(line["token"], line["symbol"])
        found.tape[symbol].append(
            Trade(line["ts"] * NS, line["ns"], line["price"], line["size"], line["volume"])
        )
    for line in _lines(cuts):
        end = FOREVER if line["end_ns"] is None else line["end_ns"]
        kept = found.cuts if line["lost"] else found.doubts
        for token in set(line["tokens"]) & names.keys():  # what never traded has lost nothing
            kept[names[token]].append(Cut(line["start_ns"], end, line["cause"]))
    for some in (*found.cuts.values(), *found.doubts.values()):
        some.sort()
    candles, gaps, coverage = _rows(database)
    for symbol, interval, at, source, *values in candles:
        if repaired or source.endswith("_ws"):
            found.candles[symbol, interval][_ns(at)] = Row(*values)
    for symbol, start, end, cause, volume in gaps:
        found.gaps[symbol].append(Gap(_ns(start), FOREVER if end is None else _ns(end), cause, volume))
    for symbol, start, end in coverage:
        found.coverage[symbol].append((_ns(start), _ns(end)))
    return found


def _rows(database: Path | str) -> list[list[tuple[Any, ...]]]:
    """What each query answers."""
    if isinstance(database, str):
        return in_a_thread(_rows_of_postgres(database))
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [connection.execute(query).fetchall() for query in _QUERIES]


async def _rows_of_postgres(url: str) -> list[list[tuple[Any, ...]]]:
    return [await fetch(url, query) for query in _QUERIES]


def _lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000
