"""What a store would hold after the events of some steps: small, exact and in memory."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.events import Events

CandleKey = tuple[int, int, int, int]  # source, instrument, interval s, ts
Row = dict[str, Any]


@dataclass
class Ledger:
    """Candles by key with marks applied; gaps and coverage by key, the last row of a key wins.

    NaN is held as None, so that rows compare with ``==``.
    """

    candles: dict[CandleKey, Row] = field(default_factory=dict)
    gaps: dict[tuple[int, int, int, int], tuple[int, float | None]] = field(default_factory=dict)
    coverage: dict[tuple[int, int, int], tuple[int, int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def apply(self, events: Events) -> None:
        """One step. Its marks are about rows that came before it, so they go first."""
        for mark in rows_of(events.marks):
            for (source, instrument, interval, ts), row in self.candles.items():
                end = ts + interval * 1_000_000_000
                if (source, instrument) == (mark["source"], mark["instrument_id"]) and (
                    ts < mark["end"] and mark["start"] < end
                ):
                    row["state"] |= mark["partial"]
                    row["flags"] |= mark["flags"]
        for row in rows_of(events.candles):
            self.candles[row["source"], row["instrument_id"], row["interval_s"], row["ts"]] = row
        for row in rows_of(events.gaps):
            key = (row["source"], row["instrument_id"], row["start"], row["cause"])
            self.gaps[key] = (row["end"], row["volume"])
        for row in rows_of(events.coverage):
            self.coverage[row["source"], row["instrument_id"], row["start"]] = (
                row["end"],
                row["stream_id"],
            )
        self.counts += events.counts

    def real_gaps(self) -> dict[tuple[int, int, int, int], tuple[int, float | None]]:
        """Gaps that are longer than nothing."""
        return {key: value for key, value in self.gaps.items() if value[0] > key[2]}

    def real_coverage(self) -> dict[tuple[int, int, int], tuple[int, int]]:
        """Coverage that is longer than nothing: its end, and the stream it came through."""
        return {key: value for key, value in self.coverage.items() if value[0] > key[2]}

    def without_revision(self) -> dict[CandleKey, Row]:
        """Candles, but not how often each was told anew."""
        return {
            key: {name: value for name, value in row.items() if name != "revision"}
            for key, row in self.candles.items()
        }


def rows_of(array: NDArray[np.void]) -> list[Row]:
    """Rows of a structured array as dicts, NaN as None."""
    names = array.dtype.names or ()
    return [dict(zip(names, map(_plain, row), strict=True)) for row in array.tolist()]


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
