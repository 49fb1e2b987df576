"""One connection, as the machine knows it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.events import Cause

_CAUSES = {cause.text: cause for cause in Cause}


def cause_of(text: str) -> Cause:
    """The cause a DISCONNECT or SILENCE names; a plain disconnect if it is none of ours."""
    return _CAUSES.get(text, Cause.DISCONNECT)


@dataclass(slots=True, eq=False)
class Stream:
    """An open connection. ``heard`` and ``heard_data`` are feed-clock ns, 0 never.

    They are taken when the frame is: later the clock may have moved on without this stream.
    A line that slows down falls behind the clock, which time carries on: what its last packets
    lag by may still be under way, and is not heard.
    """

    id: int
    feed: str
    resolution: int  # ns, step of its exchange stamps: an honest one is behind by so much at most
    heard: int = 0  # of its last frame
    heard_data: int = 0  # of its last frame with packets
    newest: int = 0  # the greatest exchange time in its packets, snapshots left out; 0 none yet
    lag: int = 0  # ns between the clock and that, at its last frame with packets
    spoke: bool = False  # a frame came since the last step
    damage_start: int = 0
    damage_end: int = -(1 << 62)
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)  # key: (instrument, line)
    _lut: NDArray[np.int64] = field(default_factory=lambda: np.full(64, -1, np.int64))

    @property
    def lines(self) -> list[int]:
        """Lines of all its instruments."""
        return [line for _, line in self.keys.values()]

    def packets_at(self, clock: int) -> None:
        """A frame with packets came when the feed's clock showed this."""
        behind = clock - self.newest if self.newest else 0
        self.lag = behind if behind > self.resolution else 0
        self.heard_data = clock - self.lag

    def add(self, key: str, instrument_id: int, line: int) -> None:
        """An instrument is subscribed."""
        self.keys[key] = (instrument_id, line)
        if instrument_id >= len(self._lut):
            grown = np.full(max(instrument_id + 1, 2 * len(self._lut)), -1, np.int64)
            grown[: len(self._lut)] = self._lut
            self._lut = grown
        self._lut[instrument_id] = line

    def remove(self, key: str) -> int | None:
        """An instrument is not any more; the line it had."""
        instrument_id, line = self.keys.pop(key, (0, -1))
        if line < 0:
            return None
        self._lut[instrument_id] = -1
        return line

    def lines_of(self, instruments: NDArray[np.uint32]) -> NDArray[np.int64]:
        """The line of each instrument, -1 where it has none. ``(n,)`` to ``(n,)``."""
        instruments = instruments.astype(np.uint32)  # side by side, as opposed to a field of packets
        if int(instruments.max(initial=0)) < len(self._lut):
            return self._lut.take(instruments)
        known = instruments < len(self._lut)
        return np.where(known, self._lut[np.where(known, instruments, 0)], -1)

    def dump(self) -> list[Any]:
        """As JSON values."""
        return [
            self.id,
            self.feed,
            self.resolution,
            self.heard,
            self.heard_data,
            self.damage_start,
            self.damage_end,
            self.newest,
            self.lag,
            [[key, *value] for key, value in self.keys.items()],
        ]

    @classmethod
    def load(cls, row: list[Any]) -> "Stream":
        """The opposite of `dump`."""
        *plain, keys = row
        names = (
            "id",
            "feed",
            "resolution",
            "heard",
            "heard_data",
            "damage_start",
            "damage_end",
            "newest",
            "lag",
        )
        stream = cls(**dict(zip(names, plain, strict=True)))
        for key, instrument_id, line in keys:
            stream.add(key, instrument_id, line)
        return stream
