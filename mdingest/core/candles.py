"""Candles, as columns, and the operations on them.

A candle is a summary that can be merged: first, max, min, last, sum. Merging is
associative, so it does not matter how a day of ticks is cut into batches: live building,
late ticks, recovery, replay, repair and higher intervals are the same code.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, NewType

import numpy as np
from numpy.typing import NDArray

from mdingest.core.events import CANDLE, Candles, State
from mdingest.core.rank import MIXED_ID
from mdingest.core.rows import put, take

Mover = tuple[int, int, float, float, float, float, float, int]
"""A row of `Movers`."""
_KINDS = (np.int64, np.int64, *[np.float64] * 5, np.int64)


class Movers(NamedTuple):
    """Trades, or updates that stand for some, ready to be folded: columns of equal length.

    In arrival order per slot, at any time.
    """

    slot: NDArray[np.int64]  # row of the feed's instrument table
    event: NDArray[np.int64]  # UTC ns, where it belongs in time
    price: NDArray[np.float64]
    high: NDArray[np.float64]  # price, or the extreme that this update revealed
    low: NDArray[np.float64]
    size: NDArray[np.float64]  # NaN: the instrument has no volume
    oi: NDArray[np.float64]  # NaN unknown
    flags: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Mover]) -> "Movers":
        """From rows."""
        values = zip(*rows, strict=True) if rows else [()] * len(_KINDS)
        columns: list[NDArray[Any]] = [np.array(v, kind) for v, kind in zip(values, _KINDS, strict=True)]
        return cls(*columns)

    @classmethod
    def joined(cls, parts: "Sequence[Movers]") -> "Movers":
        """All of at least one, one after another; a single one is not copied."""
        return parts[0] if len(parts) == 1 else cls(*map(np.concatenate, zip(*parts, strict=True)))

    def take(self, which: NDArray[Any]) -> "Movers":
        """Some of them, by index or mask."""
        return Movers(*(column[which] for column in self))


PIECE = np.dtype(
    [  # a candle of one slot that can still be merged
        ("slot", np.int64),
        ("ts", np.int64),  # UTC ns, opening instant of its bucket
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("volume", np.float64),
        ("oi", np.float64),
        ("first", np.int64),  # event time of open; ties: the earlier arrival opens
        ("last", np.int64),  # event time of close; ties: the later arrival closes
        ("oi_at", np.int64),  # event time of oi
        ("trades", np.int64),
        ("flags", np.int64),
        ("revision", np.int64),
    ]
)
Pieces = NewType("Pieces", NDArray[np.void])


def fold(movers: Movers, bucket_ns: int) -> Pieces:
    """Summarise movers, one piece per slot and bucket. ``(n,)`` to ``(m <= n,)``.

    Pieces come out sorted by slot, then bucket; ``revision`` is 0.
    """
    if not len(movers.slot):
        return Pieces(np.empty(0, PIECE))
    order, slot = _sorted(movers)
    fresh = np.empty(len(order), np.bool_)
    fresh[0] = True
    np.not_equal(slot[1:], slot[:-1], out=fresh[1:])
    if int(movers.event.min()) // bucket_ns != int(movers.event.max()) // bucket_ns:
        bucket = movers.event[order] // bucket_ns
        fresh[1:] |= bucket[1:] != bucket[:-1]
    starts = np.flatnonzero(fresh)
    ends = np.append(starts[1:], len(order)) - 1
    first, last = order[starts], order[ends]
    out = np.zeros(len(starts), PIECE)
    out["slot"] = movers.slot[first]
    out["first"], out["last"] = movers.event[first], movers.event[last]
    out["ts"] = out["first"] // bucket_ns * bucket_ns
    out["open"], out["close"] = movers.price[first], movers.price[last]
    out["high"] = np.maximum.reduceat(movers.high[order], starts)
    out["low"] = np.minimum.reduceat(movers.low[order], starts)
    out["volume"] = np.add.reduceat(movers.size[order], starts)
    out["trades"] = ends - starts + 1
    flags = movers.flags[order]
    flagged = np.flatnonzero(flags)
    if len(flagged):  # few are
        piece = np.searchsorted(starts, flagged, side="right") - 1
        np.bitwise_or.at(out["flags"], piece, flags[flagged])
    _fold_oi(movers, order, starts, ends, out)
    return Pieces(out)


def _sorted(movers: Movers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order by slot, then event time, then arrival; and the slots in this order."""
    slot, event = movers.slot, movers.event
    if int(slot.max()) < 1 << 16:  # numpy sorts 16 bits by counting, in a tenth of the time
        order = np.argsort(slot.astype(np.uint16), kind="stable")
        by_slot = slot[order]
        if int(event.min()) == int(event.max()):
            return order, by_slot
        event = event[order]
        if not ((event[1:] < event[:-1]) & (by_slot[1:] == by_slot[:-1])).any():
            return order, by_slot
    order = np.lexsort((movers.event, slot))
    return order, slot[order]


def _fold_oi(
    movers: Movers,
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    out: NDArray[np.void],
) -> None:
    known = ~np.isnan(movers.oi)
    if not known.any():
        out["oi"] = np.nan
        return
    at = ends
    if not known.all():
        at = np.maximum.reduceat(np.where(known[order], np.arange(len(order)), -1), starts)
    has = at >= starts
    out["oi"] = np.where(has, movers.oi[order[at]], np.nan)
    out["oi_at"] = np.where(has, movers.event[order[at]], 0)


def merge_into(book: Pieces, at: NDArray[np.int64], new: Pieces) -> None:
    """Merge ``new[i]`` into ``book[at[i]]`` in place. ``at`` must not repeat.

    ``new`` arrived after what the book holds. A book row with ``trades`` 0 is empty.
    """
    whole = len(at) == len(book) and bool((at == np.arange(len(at))).all())
    old: NDArray[np.void] = book if whole else take(book, at)
    empty = old["trades"] == 0
    if empty.any():
        whole = False
        put(book, at[empty], take(new, empty))
        at, old, new = at[~empty], take(old, ~empty), Pieces(take(new, ~empty))
    opens = new["first"] < old["first"]
    closes = new["last"] >= old["last"]
    counts = ~np.isnan(new["oi"]) & (np.isnan(old["oi"]) | (new["oi_at"] >= old["oi_at"]))
    for names, where in ((("open", "first"), opens), (("close", "last"), closes), (("oi", "oi_at"), counts)):
        if where.any():
            for name in names:
                np.copyto(old[name], new[name], where=where)
    np.maximum(old["high"], new["high"], out=old["high"])
    np.minimum(old["low"], new["low"], out=old["low"])
    old["volume"] += new["volume"]
    old["trades"] += new["trades"]
    old["flags"] |= new["flags"]
    if not whole:
        put(book, at, old)


def coarsen(candles: Candles, bucket_start: NDArray[np.int64], interval_s: int) -> Candles:
    """Candles of a longer interval. ``(n,)`` ascending rows of one instrument to ``(m <= n,)``.

    ``bucket_start[i]`` (UTC ns) is the bucket that row ``i`` falls into; rows of a bucket
    stand together. Whether a bucket is complete is for the caller, who knows the coverage:
    here it is final iff all its rows are. ``source`` becomes ``mixed`` where rows differ,
    ``trades`` -1 where any row does not know, ``volume`` NaN where no row has one.
    """
    if not len(candles):
        return Candles(np.empty(0, CANDLE))
    starts = np.flatnonzero(np.append(True, bucket_start[1:] != bucket_start[:-1]))
    ends = np.append(starts[1:], len(candles)) - 1
    out = candles[starts].copy()
    out["interval_s"] = interval_s
    out["ts"] = bucket_start[starts]
    out["close"] = candles["close"][ends]
    out["high"] = np.maximum.reduceat(candles["high"], starts)
    out["low"] = np.minimum.reduceat(candles["low"], starts)
    out["volume"] = _sum_known(candles["volume"], starts)
    known = np.where(np.isnan(candles["oi"]), -1, np.arange(len(candles)))
    last = np.maximum.reduceat(known, starts)
    out["oi"] = np.where(last >= 0, candles["oi"][last], np.nan)
    least = np.minimum.reduceat(candles["trades"], starts)
    out["trades"] = np.where(least < 0, -1, np.add.reduceat(candles["trades"], starts))
    out["flags"] = np.bitwise_or.reduceat(candles["flags"], starts)
    out["revision"] = np.maximum.reduceat(candles["revision"], starts)
    same = np.minimum.reduceat(candles["source"], starts) == np.maximum.reduceat(candles["source"], starts)
    out["source"] = np.where(same, out["source"], MIXED_ID)
    final = np.maximum.reduceat(candles["state"], starts) == State.FINAL
    out["state"] = np.where(final, State.FINAL, State.PARTIAL)
    return Candles(out)


def _sum_known(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    missing = np.isnan(values)
    total: NDArray[np.float64] = np.add.reduceat(np.where(missing, 0.0, values), starts)
    total[np.logical_and.reduceat(missing, starts)] = np.nan
    return total
