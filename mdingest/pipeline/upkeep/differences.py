"""How candles that were built here compare with those of another source, field by field.

Pure. Candles are rows of one instrument and interval, ascending.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mdingest.core.candles import coarsen
from mdingest.core.events import Candles, State
from mdingest.core.interval import DAY
from mdingest.core.rank import BY_ID
from mdingest.core.session import DAY_NS, TradeDay
from mdingest.store.base import Difference

FIELDS = ("open", "high", "low", "close", "volume", "oi")
_ROUNDING = 1e-9  # of the value: the same number written in two ways


def built(current: Candles, replaced: Candles) -> Candles:
    """What live feeds built, also where another source has taken its place since.

    ``replaced`` as `Store.replaced` has it. Incomplete candles are left out: they are known to lack
    something, and tell nothing about the feed.
    """
    rows = np.concatenate([replaced, current])
    live = np.array([BY_ID[source].live for source in rows["source"].tolist()], np.bool_)
    rows = rows[live & (rows["state"] == State.FINAL)]
    _, last = np.unique(rows["ts"][::-1], return_index=True)  # of several the latest: the stored one
    return Candles(rows[len(rows) - 1 - last])


def day_of(heard: Candles, current: Candles, day: TradeDay) -> Candles:
    """The day that its minutes make: as they were `built`, and where none was, as they are stored."""
    others = current[~np.isin(current["ts"], heard["ts"])]
    minutes = np.concatenate([heard, others])
    minutes = Candles(minutes[np.argsort(minutes["ts"])])
    start = np.full(len(minutes), day.ordinal * DAY_NS, np.int64)
    return coarsen(minutes, start, DAY.seconds)


def differences(
    ours: Candles, theirs: Candles, *, instrument_id: int, date: str, interval_s: int, other: str
) -> list[Difference]:
    """One for each field that both have, and one for the candles themselves.

    Of those, ``ours`` and ``theirs`` are how many only that side has.
    """
    head = (instrument_id, date, interval_s, other)
    only_ours = np.setdiff1d(ours["ts"], theirs["ts"], assume_unique=True)
    only_theirs = np.setdiff1d(theirs["ts"], ours["ts"], assume_unique=True)
    together = len(ours) + len(only_theirs)
    found = [Difference(*head, "candle", together, 0)]
    if alone := sorted([*only_ours.tolist(), *only_theirs.tolist()]):
        sides = float(len(only_ours)), float(len(only_theirs))
        found = [Difference(*head, "candle", together, len(alone), alone[0], *sides)]
    common, mine, others = np.intersect1d(ours["ts"], theirs["ts"], assume_unique=True, return_indices=True)
    for field in FIELDS:
        a, b = ours[field][mine], theirs[field][others]
        known = ~(np.isnan(a) | np.isnan(b))
        if known.any():
            found.append(_field(head, field, common[known], a[known], b[known]))
    return found


def total(found: Sequence[Difference]) -> tuple[int, int]:
    """Values that were compared, and those of them that differ."""
    return sum(one.compared for one in found), sum(one.differing for one in found)


def _field(
    head: tuple[int, str, int, str],
    field: str,
    ts: NDArray[np.int64],
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
) -> Difference:
    apart = np.abs(ours - theirs)
    differing = int((apart > _ROUNDING * np.maximum(np.abs(ours), np.abs(theirs))).sum())
    if not differing:
        return Difference(*head, field, len(ts), 0)
    at = int(np.argmax(apart))
    return Difference(*head, field, len(ts), differing, int(ts[at]), float(ours[at]), float(theirs[at]))
