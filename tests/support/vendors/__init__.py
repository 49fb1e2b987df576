"""Small servers that speak as vendors of history do, made from their documentation, not from the adapters."""

from tests.support.vendors.alphavantage import AlphaVantageVendor
from tests.support.vendors.base import Vendor
from tests.support.vendors.bhavcopy import BhavcopyVendor
from tests.support.vendors.binance import BinanceVendor
from tests.support.vendors.kite import KiteVendor
from tests.support.vendors.upstox import UpstoxVendor
from tests.support.vendors.yahoo import YahooVendor

VENDORS: dict[str, type[Vendor]] = {
    vendor.provider: vendor
    for vendor in (KiteVendor, BinanceVendor, AlphaVantageVendor, YahooVendor, UpstoxVendor, BhavcopyVendor)
}
