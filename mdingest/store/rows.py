"""Rows of SQL values that both databases take alike: what was heard and fetched, and who outranks whom."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mdingest.core.control import VolumeKind
from mdingest.core.events import OPEN_END, Coverage, Fetched, Gaps
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_ID, SOURCES, rank_of
from mdingest.store.base import CoverageRow

Row = tuple[Any, ...]


def instrument_of(row: Sequence[Any]) -> Instrument:
    """A row of the queries of instruments."""
    symbol, exchange, name, session_class, volume, number = row
    return Instrument(symbol, exchange, name, session_class, VolumeKind(volume), number)


def coverage_of(instrument_id: int, found: Iterable[Row]) -> list[CoverageRow]:
    """What a query of ``COVERAGE`` answered, of either database."""
    return [CoverageRow(instrument_id, BY_ID[source].name, *rest) for source, *rest in found]


def coverage_rows(coverage: Coverage, journal: str) -> list[Row]:
    """Rows for the statement `SET_COVERAGE`."""
    ends = np.maximum(coverage["end"], coverage["start"])
    n = len(coverage)
    return list(
        zip(
            coverage["instrument_id"].tolist(),
            coverage["source"].tolist(),
            coverage["start"].tolist(),
            ends.tolist(),
            [journal] * n,
            coverage["stream_id"].tolist(),
            strict=True,
        )
    )


def begun_rows(coverage: Coverage) -> list[Row]:
    """Rows for the statement `CLOSE_GAPS`: the uptimes that begin."""
    begun = coverage[coverage["end"] == OPEN_END]
    return list(zip(*(begun[name].tolist() for name in ("instrument_id", "source", "start")), strict=True))


def fetched_rows(fetched: Fetched) -> list[Row]:
    """Rows for the statements about ``history_spans``; empty spans are left out."""
    names = ("instrument_id", "interval_s", "source", "start", "end")
    return [row for row in zip(*(fetched[name].tolist() for name in names), strict=True) if row[3] < row[4]]


def gap_rows(gaps: Gaps) -> list[Row]:
    """Rows for the statement `SET_GAP`."""
    ends = np.maximum(gaps["end"], gaps["start"])
    names = ("instrument_id", "source", "cause", "start")
    return list(
        zip(*(gaps[name].tolist() for name in names), ends.tolist(), gaps["volume"].tolist(), strict=True)
    )


def stream_rows(streams: dict[int, tuple[str, int]], coverage: Coverage, journal: str) -> list[Row]:
    """Rows for the statement `ADD_STREAM`: those named, and those that coverage leans on."""
    fed = coverage[coverage["stream_id"] > 0]
    ids, first = np.unique(fed["stream_id"], return_index=True)
    leaned = zip(ids.tolist(), fed["source"][first].tolist(), fed["start"][first].tolist(), strict=True)
    rows: list[Row] = [(journal, stream, BY_ID[source].name, start) for stream, source, start in leaned]
    return rows + [(journal, stream, feed, last) for stream, (feed, last) in streams.items()]


def precedence_rows(source_order: Sequence[str]) -> list[Row]:
    """For each source, by whether a row is partial and its volume 0: whether it is live, and its weight.

    Rank decides, then the place in the order given. Sources that the order does not name share the last
    place: none of them replaces another.
    """
    places = {name: place for place, name in enumerate(source_order)}
    last = len(places)
    return [
        (
            source.id,
            partial,
            zero,
            int(source.live),
            rank_of(source, partial=bool(partial), volume=0.0 if zero else 1.0) * (last + 1)
            + last
            - places.get(source.name, last),
        )
        for source in SOURCES
        for partial in (0, 1)
        for zero in (0, 1)
    ]
