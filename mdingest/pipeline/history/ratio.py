"""Whether a series that was fetched is a stored one, adjusted (design 4.15)."""

import numpy as np

from mdingest.core.events import Candles

FEWEST = 3  # rows in common: fewer may differ alike by chance
_ONE = 0.002  # closer to 1 it is no split and no dividend, but rounding
_SPLIT = 0.05  # where newer rows are the same: that far off for a while is no vendor's mistake
_SPREAD = 0.001  # around the median: prices are rounded to ticks after an adjustment


def constant_ratio(stored: Candles, fetched: Candles) -> float | None:
    """By what the fetched closes are the stored ones, if that is one number and not 1.

    Or if it is up to a split, and the closes since then are the same. Both ascending, of one
    instrument and interval.
    """
    _, ours, theirs = np.intersect1d(stored["ts"], fetched["ts"], assume_unique=True, return_indices=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = fetched["close"][theirs] / stored["close"][ours]
    differ = np.flatnonzero(~(np.abs(ratios - 1) <= _ONE))
    older = ratios[: differ[-1] + 1] if len(differ) else ratios[:0]
    if len(older) < FEWEST:
        return None
    middle = float(np.median(older))
    least = _ONE if len(older) == len(ratios) else _SPLIT
    if abs(middle - 1) <= least or not np.isfinite(middle):
        return None
    return middle if bool((np.abs(older / middle - 1) <= _SPREAD).all()) else None
