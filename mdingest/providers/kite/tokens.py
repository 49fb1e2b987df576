"""Kite tokens to rows of the subscription, for whole columns at once.

A hash table in numpy with open addressing. For 3,000 tokens it takes 15 µs for 1,800
look-ups where ``np.searchsorted`` takes 100 (and 7 against 2 for 50): a random binary search
misses the branch predictor, this misses nothing. The table is sixteen times as long as the
list, so that nearly every token is found at its first place.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint16] | NDArray[np.uint32]

_MULTIPLIER = 0x9E3779B1  # Knuth's, 2**32 / golden ratio: spreads tokens that differ by multiples of 256
_SPARSE_BITS = 4
_WORD = 32


class TokenTable:
    """``find`` gives each token's row: its place in the list, plus 1; 0 where it is not in it.

    Row 0 belongs to no token: columns to be indexed by rows need an entry in front.
    """

    def __init__(self, tokens: NDArray[np.uint32]) -> None:
        bits = max(8, len(tokens).bit_length() + _SPARSE_BITS)
        self._shift = np.uint32(_WORD - bits)
        self._mask = np.uint32((1 << bits) - 1)
        self._keys = np.concatenate((np.zeros(1, np.uint32), tokens))
        wide = len(tokens) >= 1 << 16
        self._rows: Rows = np.zeros(1 << bits, np.uint32) if wide else np.zeros(1 << bits, np.uint16)
        places = self._hash(tokens).tolist()
        rows, mask = self._rows, int(self._mask)
        for row, place in enumerate(places, 1):
            while rows[place]:
                place = (place + 1) & mask  # noqa: PLW2901 - the next free place
            rows[place] = row

    def _hash(self, tokens: NDArray[np.uint32]) -> NDArray[np.uint32]:
        hashed: NDArray[np.uint32] = tokens * np.uint32(_MULTIPLIER) >> self._shift
        return hashed

    def find(self, tokens: NDArray[np.uint32]) -> Rows:
        """Rows of ``tokens``, shape ``(n,)``."""
        place = self._hash(tokens)
        rows: Rows = self._rows.take(place)
        seek = np.flatnonzero((self._keys.take(rows) != tokens) & (rows != 0))
        place = place[seek]
        while len(seek):  # a few percent at first, none after three or four turns
            place = (place + np.uint32(1)) & self._mask
            found = self._rows.take(place)
            rows[seek] = found
            again = (found != 0) & (self._keys.take(found) != tokens[seek])
            seek, place = seek[again], place[again]
        return rows
