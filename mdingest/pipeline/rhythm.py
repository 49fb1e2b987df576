"""Liquid instruments that fall silent against their own rhythm, while their feed goes on.

Nothing is done about it: a share may be halted, or its subscription lost. It is told to people.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.core.units import NS

BUCKET_S, BUCKETS = 10, 30
WINDOW_S = BUCKET_S * BUCKETS
LIQUID_S = 5.0  # on average heard in at least one second of so many
QUIET_S = 30.0  # shorter silences are nothing strange, nor are ...
SPACINGS = 20.0  # ... less than so many times the instrument's own mean spacing

Ids = NDArray[np.integer]


class Quiet(NamedTuple):
    """One instrument: its place in what was asked, and for how long nothing was heard of it."""

    at: int
    silent_s: float


class Rhythm:
    """Instruments by their ids. All times are wall ns, as records have them."""

    def __init__(self) -> None:
        self._last = np.zeros(0, np.int64)
        self._spacing_s = np.zeros(0)  # as it was when last heard
        self._touched = np.zeros(0, np.bool_)  # heard in the second that runs
        self._active = np.zeros((BUCKETS, 0), np.uint8)  # seconds heard in, by stretch of ten
        self._second = 0

    def heard(self, instruments: Ids, wall_ns: int) -> None:
        """Packets of these came, each once or more often."""
        if not len(instruments):
            return
        if (second := wall_ns // NS) != self._second:
            self._close(second)
        try:
            self._last[instruments] = wall_ns
        except IndexError:
            self._grow(int(instruments.max()) + 1)
            self._last[instruments] = wall_ns
        self._touched[instruments] = True

    def quiet(self, instruments: Ids, now_ns: int, expected_s: NDArray[np.float64]) -> Sequence[Quiet]:
        """Which are silent for too long, the longest first.

        ``expected_s`` says of each for how long it should have been heard by now: its feed is
        up, and its session on.
        """
        known = instruments < len(self._last)
        at = np.where(known, instruments, 0)
        if not len(self._last) or not len(at):
            return []
        silent_s = np.minimum((now_ns - self._last[at]) / NS, expected_s)
        liquid = known & (self._last[at] > 0) & (self._spacing_s[at] > 0) & (self._spacing_s[at] <= LIQUID_S)
        strange = liquid & (silent_s >= np.maximum(QUIET_S, SPACINGS * self._spacing_s[at]))
        found = [Quiet(int(i), float(silent_s[i])) for i in np.flatnonzero(strange)]
        return sorted(found, key=lambda one: -one.silent_s)

    def _close(self, second: int) -> None:
        """A second is over: who was heard in it counts, and the stretches that are long ago do not."""
        before = self._second // BUCKET_S
        if self._second:
            heard = np.flatnonzero(self._touched)
            self._active[before % BUCKETS, heard] += 1
            self._spacing_s[heard] = WINDOW_S / self._active[:, heard].sum(axis=0, dtype=np.int64)
            self._touched[:] = False
        steps = second // BUCKET_S - before
        if not 0 <= steps < BUCKETS:  # hours have passed, or the wall clock went back
            self._active[:] = 0
        else:
            for n in range(1, steps + 1):
                self._active[(before + n) % BUCKETS] = 0
        self._second = second

    def _grow(self, size: int) -> None:
        more = max(size, 2 * len(self._last)) - len(self._last)
        self._last = np.append(self._last, np.zeros(more, np.int64))
        self._spacing_s = np.append(self._spacing_s, np.zeros(more))
        self._touched = np.append(self._touched, np.zeros(more, np.bool_))
        self._active = np.hstack([self._active, np.zeros((BUCKETS, more), np.uint8)])
