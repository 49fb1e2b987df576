"""Zerodha Kite Connect: the live ticker, and candles over REST."""

from mdingest.providers.base import LiveProvider
from mdingest.providers.kite.decoder import KiteDecoder
from mdingest.providers.kite.history import HISTORY
from mdingest.providers.kite.instruments import resolve
from mdingest.providers.kite.login import KiteAccess
from mdingest.providers.kite.options import KiteOptions
from mdingest.providers.kite.session import KiteLive

__all__ = ["HISTORY", "PROVIDER"]

PROVIDER = LiveProvider(
    name=KiteLive.feed,
    Options=KiteOptions,
    decoder=KiteDecoder,
    live=KiteLive,
    resolve=resolve,
    needs_instruments=True,
    access=KiteAccess(),
)
