"""Whether a series that was fetched is a stored one, adjusted (design 4.15)."""

import numpy as np

from mdingest.core.events import Candles

FEWEST = 3  # rows in common: fewer may differ alike by chance
_ONE = 0.002  # closer to 1 it is no split and no dividend, but rounding
_SPREAD = 0.001  # around the median: prices are rounded to ticks after an adjustment


def constant_ratio(stored: Candles, fetched: Candles) -> float | None:
    """By what the fetched closes are the stored ones, if that is one number and not 1.

    Both ascending, of one instrument and interval.
    """
    _, ours, theirs = np.intersect1d(stored["ts"], fetched["ts"], assume_unique=True, return_indices=True)
    if len(ours) < FEWEST:
        return None
    ratios = fetched["close"][theirs] / stored["close"][ours]
    middle = float(np.median(ratios))
    if abs(middle - 1) <= _ONE or not np.isfinite(middle):
        return None
    return middle if bool((np.abs(ratios / middle - 1) <= _SPREAD).all()) else None
