"""What is traded: a canonical symbol and what candles need to know of it."""

from dataclasses import dataclass

from mdingest.core.control import VolumeKind


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument. ``id`` is small, stable and never reused; 0 means not stored yet."""

    symbol: str  # RELIANCE.NS, NIFTY26NOVFUT.NFO, BTCUSDT.BINANCE
    exchange: str  # NSE, BSE, NFO, BINANCE
    name: str
    session_class: str  # NSE.EQ.cas, always
    volume: VolumeKind
    id: int = 0
