"""Candles of several lengths put together: longer ones where the shorter lack something."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mdingest.api.missing import Missing, within
from mdingest.api.tail import Times
from mdingest.core.events import Candles
from mdingest.core.interval import Buckets
from mdingest.core.spans import Span, intersect, subtract, union


class Length(NamedTuple):
    """Candles of one length, ascending, what is missing from them, and where instants fall."""

    rows: Candles
    holes: list[Missing]
    grid: Callable[[Times], Buckets]


class Mixed(NamedTuple):
    """Candles of several lengths, ascending, that share no instant; what they lack; where they are longer."""

    rows: Candles
    holes: list[Missing]
    filled: list[Span]


def mixed(windows: Sequence[Span], lengths: Sequence[Length]) -> Mixed:
    """Of lengths from the shortest on, each a multiple of the one before, all judged over ``windows``.

    A longer candle stands only where all of it was heard or fetched; the shorter ones of its hours go.
    Where only they tell of trades, there is no longer candle, and they stay.
    """
    rows, holes, _ = lengths[0]
    filled: list[Span] = []
    for longer in lengths[1:]:
        known = _whole(subtract(windows, _spans(longer.holes)), longer.grid)
        here = _widened(intersect(_spans(holes), known), longer.grid)
        here = subtract(here, _untold(rows, longer, here))
        if here:
            kept = np.concatenate([rows[~_inside(rows, here)], longer.rows[_inside(longer.rows, here)]])
            rows = Candles(kept[np.argsort(kept["ts"])])
            holes = within(holes, subtract(windows, here))
            filled += here
    return Mixed(rows, holes, union(filled))


def _spans(holes: Sequence[Missing]) -> list[Span]:
    return union((hole.start, hole.end) for hole in holes)


def _untold(rows: Candles, longer: Length, spans: Sequence[Span]) -> list[Span]:
    """The longer buckets of ``spans`` in which shorter candles open, and which have none of their own."""
    opened = rows["ts"][_inside(rows, spans)]
    if not len(opened):
        return []
    of = longer.grid(opened)
    alone = ~np.isin(of.names, longer.rows["ts"])
    return union(zip(of.starts[alone].tolist(), of.ends[alone].tolist(), strict=True))


def _whole(spans: Sequence[Span], grid: Callable[[Times], Buckets]) -> list[Span]:
    """Without the buckets that are inside only in part."""
    if not spans:
        return []
    edges = np.array(spans)
    first, last = grid(edges[:, 0]), grid(edges[:, 1] - 1)
    starts = np.where(first.starts == edges[:, 0], first.starts, first.ends)
    ends = np.where(last.ends == edges[:, 1], last.ends, last.starts)
    return [span for span in zip(starts.tolist(), ends.tolist(), strict=True) if span[0] < span[1]]


def _widened(spans: Sequence[Span], grid: Callable[[Times], Buckets]) -> list[Span]:
    """With all of the buckets that are inside in part."""
    if not spans:
        return []
    edges = np.array(spans)
    starts, ends = grid(edges[:, 0]).starts, grid(edges[:, 1] - 1).ends
    return union(zip(starts.tolist(), ends.tolist(), strict=True))


def _inside(rows: Candles, spans: Sequence[Span]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of them open in ``spans`` (sorted, disjoint)."""
    edges = np.array(spans).reshape(-1)
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
        np.searchsorted(edges, rows["ts"], side="right") % 2 == 1
    )
    return inside
