"""Binance spot: trades over its websocket, candles over REST."""

from mdingest.providers.binance.klines import HISTORY, BinanceHistory, BinanceHistoryOptions
from mdingest.providers.binance.live import (
    PROVIDER,
    BinanceDecoder,
    BinanceLive,
    BinanceOptions,
    resolve,
)

__all__ = [
    "HISTORY",
    "PROVIDER",
    "BinanceDecoder",
    "BinanceHistory",
    "BinanceHistoryOptions",
    "BinanceLive",
    "BinanceOptions",
    "resolve",
]
