import io
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdingest.core.control import VolumeKind
from mdingest.errors import ConfigError
from mdingest.providers.kite.history import HISTORY
from mdingest.providers.kite.instruments import HEADER, read_rows, resolve
from mdingest.providers.kite.options import KiteOptions

ROWS = """\
256265,1001,NIFTY 50,NIFTY 50,0.0,,0.0,0.0,0,EQ,INDICES,NSE
265,1,SENSEX,SENSEX,0.0,,0.0,0.0,0,EQ,INDICES,BSE
738561,2885,RELIANCE,RELIANCE INDUSTRIES,0.0,,0.0,0.05,1,EQ,NSE,NSE
1230849,4808,EMMBI-BL,"EMMBI, INDUSTRIES & CO",0.0,,0.0,0.05,1,EQ,NSE,NSE
519937,2031,M&M,"MAHINDRA & MAHINDRA",0.0,,0.0,0.05,1,EQ,NSE,NSE
128083204,500325,RELIANCE,RELIANCE INDUSTRIES,0.0,,0.0,0.05,1,EQ,BSE,BSE
136483588,533139,SMALLCO,SMALL CO,0.0,,0.0,0.05,1,EQ,BSE,BSE
12073986,47164,NIFTY26NOVFUT,NIFTY,0.0,2026-11-26,0.0,0.05,65,FUT,NFO-FUT,NFO
12075010,47168,RELIANCE26NOVFUT,RELIANCE,0.0,2026-11-26,0.0,0.05,500,FUT,NFO-FUT,NFO
13845762,54085,BANKNIFTY26NOV24000CE,,1776.2,2026-11-26,24000.0,0.05,40,CE,NFO-OPT,NFO
212741,831,SENSEX26NOVFUT,SENSEX,0.0,2026-11-26,0.0,0.05,20,FUT,BFO-FUT,BFO
110029063,429801,GOLD26DECFUT,GOLD,0.0,2026-12-05,0.0,1.0,1,FUT,MCX-FUT,MCX
256003,1000,USDINR26NOVFUT,USDINR,0.0,2026-11-26,0.0,0.0025,1,FUT,CDS-FUT,CDS
512006,2000,USDINR26NOVFUT,USDINR,0.0,2026-11-26,0.0,0.0025,1,FUT,BCD-FUT,BCD
768012,3000,GOLDM26DECFUT,GOLDM,0.0,2026-12-05,0.0,1.0,1,FUT,NCO-FUT,NCO
291849,1140,DOW JONES,DOW JONES,0.0,,0.0,0.0,0,EQ,INDICES,GLOBAL
292000,1140,BOND1,BOND1,0.0,,0.0,0.0,0,EQ,NEWSEG,NEWEX
"""
LIST = f"{HEADER}\n{ROWS}"
OPTIONS = KiteOptions.model_validate({"api_key": "k", "access_token": "t"})


def options(**given: object) -> KiteOptions:
    return OPTIONS.model_copy(update=given)


@pytest.mark.parametrize(
    ("symbol", "token", "exchange", "session", "divisor", "name"),
    [
        ("RELIANCE.NS", "738561", "NSE", "NSE.EQ.cas", 100.0, "RELIANCE INDUSTRIES"),
        ("EMMBI-BL.NS", "1230849", "NSE", "NSE.EQ.noncas", 100.0, "EMMBI, INDUSTRIES & CO"),
        ("M&M.NS", "519937", "NSE", "NSE.EQ.noncas", 100.0, "MAHINDRA & MAHINDRA"),
        ("RELIANCE.BO", "128083204", "BSE", "BSE.EQ.cas", 100.0, "RELIANCE INDUSTRIES"),
        ("NIFTY26NOVFUT.NFO", "12073986", "NFO", "NSE.FO", 100.0, "NIFTY"),
        ("BANKNIFTY26NOV24000CE.NFO", "13845762", "NFO", "NSE.FO", 100.0, "BANKNIFTY26NOV24000CE"),
        ("SENSEX26NOVFUT.BFO", "212741", "BFO", "BSE.FO", 100.0, "SENSEX"),
        ("GOLD26DECFUT.MCX", "110029063", "MCX", "MCX.FO", 100.0, "GOLD"),
        ("USDINR26NOVFUT.CDS", "256003", "CDS", "NSE.CDS", 1e7, "USDINR"),
        ("USDINR26NOVFUT.BCD", "512006", "BCD", "BSE.CDS", 1e4, "USDINR"),
        ("GOLDM26DECFUT.NCO", "768012", "NCO", "MCX.FO", 1e4, "GOLDM"),
        ("NIFTY_50.INDEX", "256265", "NSE", "NSE.IDX", 100.0, "NIFTY 50"),
        ("SENSEX.INDEX", "265", "BSE", "BSE.IDX", 100.0, "SENSEX"),
        ("DOW_JONES.INDEX", "291849", "GLOBAL", "unknown", 100.0, "DOW JONES"),
        ("BOND1.NEWEX", "292000", "NEWEX", "unknown", 100.0, "BOND1"),
    ],
)
def test_a_symbol_becomes_an_instrument_and_a_subscription(
    symbol: str, token: str, exchange: str, session: str, divisor: float, name: str
) -> None:
    ((instrument, sub),) = resolve([symbol], OPTIONS, LIST)

    volume = VolumeKind.NONE if symbol.endswith(".INDEX") else VolumeKind.CUMULATIVE
    assert (instrument.symbol, instrument.exchange, instrument.name) == (symbol, exchange, name)
    assert (instrument.session_class, instrument.volume) == (session, volume)
    assert (sub.key, sub.divisor, sub.session_class, sub.volume) == (token, divisor, session, volume)


def test_symbols_keep_their_order_and_come_once() -> None:
    wanted = ["SENSEX.INDEX", "RELIANCE.NS", "NIFTY_50.INDEX", "RELIANCE.NS"]

    assert [one.instrument.symbol for one in resolve(wanted, OPTIONS, LIST)] == wanted[:3]


def test_a_list_without_names_of_underlyings_still_tells_who_has_derivatives() -> None:
    listed = LIST + "9,9,SMALLCO26NOV100PE,,0,2026-11-26,100.0,0.05,1,PE,NFO-OPT,NFO\n"

    assert resolve(["SMALLCO.BO"], OPTIONS, listed)[0].subscription.session_class == "BSE.EQ.cas"


def test_a_bse_stock_with_bse_derivatives_is_in_the_closing_auction() -> None:
    listed = LIST + "99077,387,SMALLCO26NOVFUT,SMALLCO,0,2026-11-26,0,0.05,1,FUT,BFO-FUT,BFO\n"

    assert resolve(["SMALLCO.BO"], OPTIONS, listed)[0].subscription.session_class == "BSE.EQ.cas"
    assert resolve(["SMALLCO.BO"], OPTIONS, LIST)[0].subscription.session_class == "BSE.EQ.noncas"


def test_unheard_of_exchanges_get_the_class_that_the_options_name() -> None:
    wanted = ["BOND1.NEWEX", "RELIANCE.NS"]
    resolved = resolve(wanted, options(default_session_class="always"), LIST)

    assert [sub.session_class for _, sub in resolved] == ["always", "NSE.EQ.cas"]


def test_divisors_come_from_the_options_where_they_say_so() -> None:
    ((_, sub),) = resolve(["USDINR26NOVFUT.BCD"], options(divisors={"BCD": 1e7}), LIST)

    assert sub.divisor == 1e7


@pytest.mark.parametrize(
    ("symbol", "near"),
    [
        ("RELIENCE.NS", "RELIANCE.NS"),
        ("reliance.ns", "RELIANCE.NS"),
        ("RELIANCE.NSE", "RELIANCE.NS"),
        ("NIFTY 50.INDEX", "NIFTY_50.INDEX"),
        ("NIFTY26NOVFT.NFO", "NIFTY26NOVFUT.NFO"),
    ],
)
def test_a_misspelt_symbol_is_answered_with_the_nearest(symbol: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve([symbol, "RELIANCE.NS", "QQQ"], OPTIONS, LIST)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{symbol}: not in Kite's instrument list; did you mean ")
    assert near in first
    assert second == "QQQ: not in Kite's instrument list, nor anything like it"


def test_bad_rows_are_named_by_line_and_good_rows_kept() -> None:
    listed = (
        f"{HEADER}\n"
        "x,1,BAD,BAD,0,,0,0,1,EQ,NSE,NSE\n"
        "\n"
        "256,1,SHORT,SHORT\n"
        "4294967296,1,BIG,BIG,0,,0,0,1,EQ,NSE,NSE\n"
        "257,1,,NAMELESS,0,,0,0,1,EQ,NSE,NSE\n"
        "0,1,ZERO,ZERO,0,,0,0,1,EQ,NSE,NSE\n"
        "738561,2885,RELIANCE,RELIANCE,0.0,,0.0,0.05,1,EQ,NSE,NSE\n"
    )
    problems: list[str] = []
    (found,) = resolve(["RELIANCE.NS"], OPTIONS, listed, problems=problems)

    assert found.subscription.key == "738561"
    assert problems == [
        "instrument list, line 2: instrument_token 'x' is no token",
        "instrument list, line 4: 4 columns instead of 12",
        "instrument list, line 5: instrument_token '4294967296' is no token",
        "instrument list, line 6: no tradingsymbol or no exchange",
        "instrument list, line 7: instrument_token '0' is no token",
    ]
    assert len(resolve(["RELIANCE.NS"], OPTIONS, listed)) == 1


def test_a_flood_of_bad_rows_is_summed_up() -> None:
    problems: list[str] = []

    assert list(read_rows(f"{HEADER}\n" + "bad\n" * 500, problems)) == []
    assert len(problems) == 21
    assert problems[-1] == "instrument list: 480 more bad lines"


def test_a_symbol_listed_twice_is_reported_and_the_first_kept() -> None:
    problems: list[str] = []
    twice = LIST + "1,1,RELIANCE,OTHER,0,,0,0,1,EQ,NSE,NSE\n"
    (found,) = resolve(["RELIANCE.NS"], OPTIONS, twice, problems=problems)

    assert found.subscription.key == "738561"
    assert problems == ["RELIANCE.NS: listed twice, tokens 738561 and 1"]


def test_columns_that_the_broker_adds_behind_the_known_ones_do_not_matter() -> None:
    wider = LIST.replace("\n", ",INE0\n").replace(",INE0", ",isin", 1)
    problems: list[str] = []

    found = resolve(
        ["RELIANCE.NS", "BOND1.NEWEX"], OPTIONS, wider + "9,9,X,X,0,,0,0,1,EQ,NSE,NSE\n", problems=problems
    )

    assert found == resolve(["RELIANCE.NS", "BOND1.NEWEX"], OPTIONS, LIST)
    assert [problem.split(": ")[1] for problem in problems] == ["12 columns instead of 13"]


@pytest.mark.parametrize("other", ["", "<html>\n", "\n\n", "a,b,c\n1,2,3\n", "\x00", "x" * 200_000])
def test_another_file_is_refused(other: str) -> None:
    with pytest.raises(ConfigError, match="not Kite's instrument list"):
        resolve(["RELIANCE.NS"], OPTIONS, other)


def test_bytes_that_are_no_text_cost_no_more_than_their_row(tmp_path: Path) -> None:
    """Of a list from the network: the daemon must live on, whatever it says."""
    path, problems = tmp_path / "list.csv", list[str]()
    path.write_bytes(
        LIST.encode() + b"1,1,CAF\xe9,CAF\xe9,0,,0,0,1,EQ,NSE,NSE\n2,2,INFY,\xe9,0,,0,0,1,EQ,NSE,NSE\n"
    )

    found = HISTORY.listing.find(["RELIANCE.NS", "INFY.NS"], OPTIONS, path, problems)

    assert list(found) == ["RELIANCE.NS", "INFY.NS"]
    assert [text.split(": ")[1] for text in problems] == ["tradingsymbol is not UTF-8 text"]


def test_no_list_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="instruments"):
        resolve(["RELIANCE.NS"], OPTIONS)


@pytest.mark.parametrize("listed", [LIST.replace("\n", "\r\n"), "\ufeff" + LIST, LIST.rstrip("\n")])
def test_line_ends_and_byte_order_marks_do_not_matter(listed: str) -> None:
    for form in (listed, io.StringIO(listed, newline="")):
        assert [one.subscription.key for one in resolve(["RELIANCE.NS", "BOND1.NEWEX"], OPTIONS, form)] == [
            "738561",
            "292000",
        ]


def whole_market(rows: int = 100_000) -> Iterator[str]:
    """As many lines as the real list has."""
    yield f"{HEADER}\n"
    for n in range(rows):
        exchange, kind = ("NFO", "CE") if n % 4 else ("NSE", "EQ")
        yield f"{n + 1},{n},NAME{n}X,NAME,0.0,,0.0,0.05,1,{kind},{exchange},{exchange}\n"


def test_a_hundred_thousand_rows_take_a_moment_and_little_memory() -> None:
    begin = time.process_time()
    resolved = resolve([f"NAME{n}X.NS" for n in range(0, 2000, 4)], OPTIONS, whole_market())
    with pytest.raises(ConfigError, match="did you mean"):
        resolve(["NAME77Y.NS"], OPTIONS, whole_market())
    took_s = time.process_time() - begin
    tracemalloc.start()
    resolve(["NAME0X.NS"], OPTIONS, whole_market(25_000))  # a quarter: to trace is slow
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(resolved) == 500
    assert took_s < 10
    assert peak < 3 << 20  # the lines themselves would be more
