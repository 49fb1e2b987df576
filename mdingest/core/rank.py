"""Which source decides when two say different things about one candle (design 4.14)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """A name that candles carry. ``rank`` is of its final rows; live partial rows rank 1."""

    id: int  # stored; never reused
    name: str
    rank: int
    live: bool = False
    random_zeros: bool = False  # a bar without volume from it may be a hole: rank 0


PARTIAL_LIVE_RANK = 1
SOURCES = (
    Source(1, "kite_ws", 4, live=True),
    Source(2, "upstox_ws", 4, live=True),
    Source(3, "binance_ws", 4, live=True),
    Source(16, "yfinance", 2, random_zeros=True),
    Source(17, "alphavantage", 2),
    Source(18, "csv", 3),
    Source(19, "bhavcopy", 6),
    Source(20, "kite", 5),
    Source(21, "upstox", 5),
    Source(22, "binance", 5),
)
MIXED = "mixed"
MIXED_ID = 255
BY_NAME = {source.name: source for source in SOURCES}
BY_ID = {source.id: source for source in SOURCES}


def rank_of(source: Source, *, partial: bool, volume: float | None) -> int:
    """The rank of one row, 0 to 6."""
    if source.live:
        return PARTIAL_LIVE_RANK if partial else source.rank
    if source.random_zeros and volume == 0:
        return 0
    return source.rank
