"""A table of growing numpy columns: one small contiguous array a field.

Structured rows would be one array, but the hot path gathers single fields for thousands
of rows; contiguous columns keep those gathers inside the cache.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Columns:
    """Named columns of equal length ``n``; new rows begin with each column's fill value."""

    def __init__(self, fills: Mapping[str, int | float | bool]) -> None:
        self._fills = dict(fills)
        self.n = 0
        self._data = {name: _filled(fill, 64) for name, fill in self._fills.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The live column; it may be longer than ``n``, and `add` may replace it."""
        return self._data[name]

    def add(self, count: int = 1) -> int:
        """Append rows; the index of the first."""
        first, self.n = self.n, self.n + count
        size = len(next(iter(self._data.values())))
        if self.n > size:
            grow = max(self.n, 2 * size) - size
            for name, fill in self._fills.items():
                self._data[name] = np.concatenate((self._data[name], _filled(fill, grow)))
        return first

    def reset(self, row: int) -> None:
        """Give one row its fill values again."""
        for name, fill in self._fills.items():
            self._data[name][row] = fill

    def dump(self) -> dict[str, NDArray[Any]]:
        """All columns, cut to ``n``: good for as long as nothing changes."""
        return {name: column[: self.n] for name, column in self._data.items()}

    def load(self, data: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `dump` gave. Columns must be the same."""
        if set(data) != set(self._fills):
            raise ValueError(f"columns differ: {sorted(set(data) ^ set(self._fills))}")
        self.n = len(next(iter(data.values())))
        self._data = {
            name: np.concatenate((data[name], _filled(fill, 64))) for name, fill in self._fills.items()
        }


def _filled(fill: float, count: int) -> NDArray[Any]:
    kind = np.bool_ if isinstance(fill, bool) else np.int64 if isinstance(fill, int) else np.float64
    return np.full(count, fill, kind)
