"""What is listed, under which token, and the broker's file of it."""

import csv
import io
from datetime import date

import pytest

from mdingest.errors import ConfigError
from mdingest.simulators.instruments import (
    default_instruments,
    instruments_csv,
    named_instruments,
    synthetic_instruments,
)

DAY = date(2026, 11, 20)
HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,"
    "tick_size,lot_size,instrument_type,segment,exchange"
)


def test_the_file_has_the_brokers_header_and_rows() -> None:
    text = instruments_csv(default_instruments(DAY))
    rows = {row["tradingsymbol"]: row for row in csv.DictReader(io.StringIO(text))}

    assert text.splitlines()[0] == HEADER
    assert text.splitlines()[1] == "738561,2885,RELIANCE,RELIANCE INDUSTRIES,0.0,,0.0,0.05,1,EQ,NSE,NSE"
    assert rows["NIFTY 50"]["segment"] == "INDICES"
    future = rows["NIFTY26NOVFUT"]
    assert (future["expiry"], future["instrument_type"], future["segment"], future["exchange"]) == (
        "2026-11-24",
        "FUT",
        "NFO-FUT",
        "NFO",
    )
    for row in rows.values():
        assert int(row["instrument_token"]) >> 8 == int(row["exchange_token"])


@pytest.mark.parametrize(
    ("on", "symbol"),
    [
        (date(2026, 11, 24), "NIFTY26NOVFUT"),
        (date(2026, 11, 25), "NIFTY26DECFUT"),
        (date(2026, 12, 30), "NIFTY27JANFUT"),
    ],
)
def test_the_future_is_the_running_one(on: date, symbol: str) -> None:
    assert default_instruments(on)[-1].tradingsymbol == symbol


def test_any_symbol_of_the_daemons_form_can_be_simulated() -> None:
    symbols = (
        "SBIN.NS",
        "M&M.NS",
        "TCS.BO",
        "RELIANCE.NS",
        "NIFTY_50.INDEX",
        "NIFTY_BANK.INDEX",
        "BANKNIFTY26DECFUT.NFO",
        "SIM0007.NS",
    )

    named = named_instruments(symbols, DAY)

    assert tuple(one.symbol for one in named) == symbols
    assert len({one.token for one in named}) == len(symbols)
    assert [one.token & 0xFF for one in named] == [1, 1, 4, 1, 9, 9, 2, 1]
    assert named_instruments(symbols[::-1], DAY)[-1] == named[0]  # a token depends on its name only
    assert all(one.price % one.tick == 0 for one in named)


def test_names_that_would_share_a_token_do_not() -> None:
    many = named_instruments([f"X{n}.NS" for n in range(3000)], DAY)

    assert len({one.token for one in many}) == 3000


@pytest.mark.parametrize("symbol", ["RELIANCE", "X.MCX", "NIFTY.NFO", ".NS", "NIFTY26FOOFUT.NFO"])
def test_another_form_is_refused_by_name(symbol: str) -> None:
    with pytest.raises(ConfigError, match=r"RELIANCE\.NS"):
        named_instruments([symbol], DAY)


def test_synthetic_instruments_are_shares_of_nse() -> None:
    many = synthetic_instruments(9000)

    assert (many[0].symbol, many[-1].symbol) == ("SIM0001.NS", "SIM9000.NS")
    assert len({one.token for one in many}) == 9000
    assert all(one.token & 0xFF == 1 and one.price % 5 == 0 for one in many)
