"""Upstox: candles over REST."""

from mdingest.providers.upstox.history import HISTORY

__all__ = ["HISTORY"]
