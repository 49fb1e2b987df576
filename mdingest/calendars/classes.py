"""Which session class an instrument belongs to, from what instrument lists say of it."""

ALWAYS = "always"
"""Trades at any instant; trade dates are UTC days."""

UNKNOWN = "unknown"
"""Nothing is known of the hours, so nothing is expected and nothing refused."""

_CASH = {"NSE", "BSE"}
_BY_EXCHANGE = {
    "NFO": "NSE.FO",
    "BFO": "BSE.FO",
    "CDS": "NSE.CDS",
    "BCD": "BSE.CDS",
    "MCX": "MCX.FO",
    "NCO": "MCX.FO",  # commodities on NSE keep the same hours and holidays
    "US": "US.EQ",
    "NYSE": "US.EQ",
    "NASDAQ": "US.EQ",
    "AMEX": "US.EQ",
    "ARCA": "US.EQ",
    "BINANCE": ALWAYS,
}
_DERIVATIVES = {"FUT", "CE", "PE"}


def session_class_for(exchange: str, segment: str, instrument_type: str, *, has_derivatives: bool) -> str:
    """The session class, from the words of Kite's instrument list.

    ``has_derivatives`` says whether the stock has futures or options on either exchange: those
    are the ones in the closing auction, of both. Exchanges without data here get `UNKNOWN`, which
    expects nothing.
    """
    if exchange in _CASH:
        if segment == "INDICES":
            return f"{exchange}.IDX"
        if instrument_type in _DERIVATIVES:
            return f"{exchange}.FO"
        return f"{exchange}.EQ.{'cas' if has_derivatives else 'noncas'}"
    return _BY_EXCHANGE.get(exchange, UNKNOWN)
