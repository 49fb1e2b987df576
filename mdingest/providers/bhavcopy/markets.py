"""The four markets with day files: which symbols are theirs, and what their files are called.

Addresses and names as of 2026-11-22, from the exchanges' sites and public downloaders. The common
format (UDiFF) replaced all others on 2024-07-08.
"""

import datetime as dt
from dataclasses import dataclass

UDIFF_SINCE = dt.date(2024, 7, 8)
FULL_SINCE = dt.date(2019, 10, 1)
_FULL = "{nse}/products/content/sec_bhavdata_full_{DD}{MM}{YYYY}.csv"


@dataclass(frozen=True, slots=True)
class Market:
    """One exchange and segment."""

    name: str
    exchange: str  # as column Src
    segment: str  # as column Sgmt
    udiff: str  # address since UDIFF_SINCE
    legacy: str = ""  # address before; empty: none is known


MARKETS = {
    market.name: market
    for market in (
        Market(
            "NSE.CM",
            "NSE",
            "CM",
            "{nse}/content/cm/BhavCopy_NSE_CM_0_0_0_{YYYY}{MM}{DD}_F_0000.csv.zip",
            "{nse}/content/historical/EQUITIES/{YYYY}/{MON}/cm{DD}{MON}{YYYY}bhav.csv.zip",
        ),
        Market(
            "NSE.FO",
            "NSE",
            "FO",
            "{nse}/content/fo/BhavCopy_NSE_FO_0_0_0_{YYYY}{MM}{DD}_F_0000.csv.zip",
            "{nse}/content/historical/DERIVATIVES/{YYYY}/{MON}/fo{DD}{MON}{YYYY}bhav.csv.zip",
        ),
        Market(
            "BSE.CM",
            "BSE",
            "CM",
            "{bse}/download/BhavCopy/Equity/BhavCopy_BSE_CM_0_0_0_{YYYY}{MM}{DD}_F_0000.CSV",
            "{bse}/download/BhavCopy/Equity/EQ{DD}{MM}{YY}_CSV.ZIP",
        ),
        Market(
            "BSE.FO",
            "BSE",
            "FO",
            "{bse}/download/Bhavcopy/Derivative/BhavCopy_BSE_FO_0_0_0_{YYYY}{MM}{DD}_F_0000.CSV",
        ),
    )
}
_BY_SUFFIX = {"NS": "NSE.CM", "BO": "BSE.CM", "NFO": "NSE.FO", "BFO": "BSE.FO"}


def market_of(symbol: str) -> Market | None:
    """Where a symbol trades, by its suffix; None if no day file has it."""
    name, _, suffix = symbol.rpartition(".")
    found = _BY_SUFFIX.get(suffix.upper()) if name else None
    return None if found is None else MARKETS[found]


def template_of(market: Market, date: dt.date, *, full: bool) -> str:
    """The address of a date's file, with places to fill in; empty if none is known."""
    if full and market.name == "NSE.CM" and date >= FULL_SINCE:
        return _FULL
    return market.udiff if date >= UDIFF_SINCE else market.legacy
