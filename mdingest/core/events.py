"""What a step of the machine brings forth: rows for the store, nothing else."""

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import NewType

import numpy as np
from numpy.typing import NDArray

OPEN_END = np.iinfo(np.int64).max  # a range that goes on


class State(IntEnum):
    """Whether anything may be missing from a candle."""

    FINAL = 0
    PARTIAL = 1

    @property
    def text(self) -> str:
        """As SQL and HTTP spell it."""
        return self.name.lower()


class Flag(IntFlag):
    """Doubts about a candle that completeness does not express."""

    PACKET_TIME = 1  # placed by the exchange's packet time, not by a trade time
    LOCAL_CLOCK = 2  # placed by our own receive time
    SIZE_UNKNOWN = 4  # a trade counted whose size could not be told
    EXTREME_AMBIGUOUS = 8  # a day's extreme that may belong to an earlier bucket
    VOLUME_SUSPECT = (
        16  # the feed later took volume back, or a vendor is known for zeros where there were trades
    )


CANDLE = np.dtype(
    [
        ("instrument_id", np.uint32),
        ("interval_s", np.uint32),  # 1, 60, ... ; a day is 86,400, a week 604,800
        ("ts", np.int64),  # UTC ns, opening instant; 1d and longer: the trade date at 00:00Z
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("volume", np.float64),  # NaN: the instrument has none (NULL), never a false 0
        ("oi", np.float64),  # NaN: unknown (NULL)
        ("trades", np.int64),  # observed updates that moved it; -1 from history (NULL)
        ("revision", np.uint32),  # of live rows: absolute, counted by the machine
        ("flags", np.uint16),
        ("source", np.uint16),  # core.rank.SOURCES
        ("state", np.uint8),
        ("session", np.uint8),  # core.session.Session
    ],
    align=True,
)
MARK = np.dtype(
    [  # applied by key to stored rows whose bucket overlaps [start, end); leaves revision alone
        ("instrument_id", np.uint32),
        ("source", np.uint16),
        ("partial", np.uint8),  # 1: final rows become partial
        ("flags", np.uint16),  # bits to add
        ("start", np.int64),
        ("end", np.int64),
    ],
    align=True,
)
COVERAGE = np.dtype(
    [  # upsert by (instrument, source, start): we heard everything in [start, end)
        ("instrument_id", np.uint32),
        ("source", np.uint16),
        ("stream_id", np.uint32),  # while end is OPEN_END: covered up to this stream's last frame
        ("start", np.int64),
        ("end", np.int64),
    ],
    align=True,
)
FETCHED = np.dtype(
    [  # joined with what it touches: history of this length was asked for and answered in [start, end)
        ("instrument_id", np.uint32),
        ("interval_s", np.uint32),
        ("source", np.uint16),
        ("start", np.int64),
        ("end", np.int64),
    ],
    align=True,
)
GAP = np.dtype(
    [  # upsert by (instrument, source, start, cause); end OPEN_END while it lasts
        ("instrument_id", np.uint32),
        ("source", np.uint16),
        ("cause", np.uint8),
        ("start", np.int64),
        ("end", np.int64),
        ("volume", np.float64),  # units that passed unseen; NaN unknown
    ],
    align=True,
)

Candles = NewType("Candles", NDArray[np.void])
Marks = NewType("Marks", NDArray[np.void])
Coverage = NewType("Coverage", NDArray[np.void])
Fetched = NewType("Fetched", NDArray[np.void])
Gaps = NewType("Gaps", NDArray[np.void])

NO_CANDLES = Candles(np.empty(0, CANDLE))  # there is nothing in them to change: one serves all
NO_MARKS = Marks(np.empty(0, MARK))
NO_COVERAGE = Coverage(np.empty(0, COVERAGE))
NO_GAPS = Gaps(np.empty(0, GAP))


class Cause(IntEnum):
    """Why something is missing."""

    START = 1  # nothing was connected yet
    DISCONNECT = 2
    CRASH = 3
    STOP = 4
    MUTE = 5
    LATE = 6  # a trade came after its candle could no longer change
    UNDECODABLE = 7
    SHED = 8
    QUARANTINE = 9
    TRADE_ID = 10  # the feed's own count does not join: a trade's id, or a day's volume that was corrected
    UNSUBSCRIBED = 11
    PARKED = 12
    JOURNAL_LOST = 13

    @property
    def text(self) -> str:
        """As SQL and HTTP spell it."""
        return self.name.lower()


@dataclass(slots=True, eq=False)
class Events:
    """All rows of one step, in the order they came to be. Each must be passed on."""

    candles: Candles = field(default_factory=lambda: NO_CANDLES)
    marks: Marks = field(default_factory=lambda: NO_MARKS)
    coverage: Coverage = field(default_factory=lambda: NO_COVERAGE)
    gaps: Gaps = field(default_factory=lambda: NO_GAPS)
    streams: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Stream id to (feed, feed-clock ns of its last frame): how far open coverage reaches."""
    counts: Counter[str] = field(default_factory=Counter)
    """Things to count, such as ``late`` or ``out_of_order``; for metrics, not stored."""

    @property
    def rows(self) -> int:
        """Of all tables: what a reader may wait for."""
        return len(self.candles) + len(self.marks) + len(self.coverage) + len(self.gaps)

    def __bool__(self) -> bool:
        return bool(self.rows or self.streams)
