"""Rows out of the exchanges' day files, in each form they have had."""

import datetime as dt
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mdingest.core.interval import DAY
from mdingest.core.session import DAY_NS, date_ordinal
from mdingest.errors import NotYet, PermanentError, TransientError
from mdingest.providers.bhavcopy import BhavcopyHistory, BhavcopyOptions
from mdingest.providers.bhavcopy.contracts import Contract, readings
from mdingest.providers.history import (
    Ask,
    FileRequest,
    Hours,
    HttpRequest,
    Parsed,
    Reply,
    Request,
    instrument_of,
)
from tests.support.history import BOOK
from tests.support.vendors.bhavcopy import FULL, LEGACY, UDIFF

FIXTURES = Path(__file__).parents[3] / "fixtures" / "csv"
D = dt.date
LEGACY_FO = (
    "INSTRUMENT,SYMBOL,EXPIRY_DT,STRIKE_PR,OPTION_TYP,OPEN,HIGH,LOW,CLOSE,SETTLE_PR,CONTRACTS,VAL_INLAKH,"
    "OPEN_INT,CHG_IN_OI,TIMESTAMP,"
)


def ask_for(symbol: str, date: dt.date, now: dt.date | None = None) -> Ask:
    instrument = instrument_of(symbol, BhavcopyOptions())
    hours = Hours(BOOK, instrument.session_class)
    day = BOOK.day(instrument.session_class, date)
    later = date_ordinal(now or date + dt.timedelta(days=30)) * DAY_NS
    return Ask(instrument, DAY, day.start_ns, day.end_ns, hours, now_ns=later)


def parsed(
    text: str | bytes,
    symbol: str,
    date: dt.date,
    *,
    name: str = "file.csv",
    status: int = 200,
    now: dt.date | None = None,
    local: bool = False,
    **options: object,
) -> Parsed:
    """What a file says of a symbol; an empty part if it is not for its market."""
    body = text.encode() if isinstance(text, str) else text
    request: Request = FileRequest(Path(name)) if local else HttpRequest(f"https://exchange.example/{name}")
    history = BhavcopyHistory(BhavcopyOptions.model_validate(options))
    reply = Reply(request, io.BytesIO(body), status)
    return next(history.parse(ask_for(symbol, date, now), reply), Parsed())


def values(part: Parsed) -> tuple[float, ...]:
    """Open, high, low, close, volume, open interest of the only bar; NaN is None."""
    (bar,) = part.bars[["open", "high", "low", "close", "volume", "oi"]].tolist()
    return tuple(None if np.isnan(value) else value for value in bar)


def zipped(text: str, name: str = "file.csv") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("file", "name", "symbol", "date", "bar"),
    [
        ("nse_cm_legacy.csv", "x.csv", "SYNTH.NS", D(2024, 7, 5), (100, 101, 99, 100.5, 1000, None)),
        (
            "nse_fo_legacy.csv",
            "x.csv",
            "NIFTY24JULFUT.NFO",
            D(2024, 7, 5),
            (24400, 24500, 24300, 24450, 7500, 5000),  # 100 contracts of 75
        ),
        (
            "nse_fo_udiff.csv",
            "x.csv",
            "NIFTY26OCT20750PE.NFO",
            D(2026, 10, 1),
            (17.4, 41.4, 17.4, 26.4, 48_880, 12_480),  # 752 contracts of 65
        ),
        (
            "nse_sec_bhavdata_full.csv",
            "x.csv",
            "HDFCBANK.NS",
            D(2026, 8, 20),
            (725.5, 728.3, 724.3, 725.05, 17_603_805, None),
        ),
        (
            "bse_cm_udiff.csv",
            "x.csv",
            "ICONIKSPEV.BO",
            D(2026, 6, 9),
            (44.99, 44.99, 42.31, 43.09, 5757, None),
        ),
        ("bse_cm_udiff.csv", "x.csv", "511260.BO", D(2026, 6, 9), (44.99, 44.99, 42.31, 43.09, 5757, None)),
        (
            "bse_eq_legacy.csv",
            "EQ050724.CSV",
            "RELIANCE.BO",
            D(2024, 7, 5),
            (3100, 3120, 3090, 3110, 50_000, None),
        ),
        (
            "bse_eq_legacy.csv",
            "EQ050724.CSV",
            "500325.BO",
            D(2024, 7, 5),
            (3100, 3120, 3090, 3110, 50_000, None),
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_each_form_is_read_plain_or_zipped(
    file: str, name: str, symbol: str, date: dt.date, bar: tuple[float, ...], *, packed: bool
) -> None:
    text = (FIXTURES / file).read_text()

    part = parsed(zipped(text, name) if packed else text, symbol, date, name=name)

    assert values(part) == bar
    assert part.bars["ts"].tolist() == [date_ordinal(date) * DAY_NS]
    assert (part.rejected, part.empty, part.unseen) == (0, 0, "")


def legacy(*rows: str) -> str:
    return "\n".join([LEGACY, *(f"{row},05-JUL-2024,25,INE000A01010," for row in rows)]) + "\n"


def test_a_symbol_means_its_share_and_no_bond_of_the_same_name() -> None:
    text = legacy(
        "XYZ,GB,7,8,7,8,8,7,1,100", "XYZ,BE,20,21,19,20,20,19,5,100", "XYZ-W,EQ,1,1,1,1,1,1,1,1",
        "XYZ,EQ,10,11,9,10,10,9,50,500",
    )  # fmt: skip
    day = D(2024, 7, 5)

    assert values(parsed(text, "XYZ.NS", day))[3] == 10
    assert values(parsed(text, "XYZ.NS", day, series=["BE", "EQ"]))[3] == 20
    assert values(parsed(text, "XYZ-BE.NS", day))[3] == 20
    assert values(parsed(text, "XYZ-W.NS", day))[3] == 1
    assert values(parsed(text, "OLD.NS", day, names={"OLD.NS": "XYZ"}))[3] == 10
    assert "XYZ is not in the file" in parsed(legacy("XYZ,GB,7,8,7,8,8,7,1,100"), "XYZ.NS", day).unseen


def fo(*rows: str) -> str:
    return "\n".join([LEGACY_FO, *(f"{row},05-JUL-2024," for row in rows)]) + "\n"


def test_a_monthly_name_is_the_last_expiry_of_its_month_and_a_weekly_one_its_day() -> None:
    def option(expiry: str, strike: float, close: int, kind: str = "CE") -> str:
        return f"OPTIDX,NIFTY,{expiry},{strike:g},{kind},10,99,1,{close},10,0,0,0,0"

    traded = [row.replace(",10,0,0,0,0", ",10,4,73.05,9,0") for row in (
        option("11-Jul-2024", 24300, 11), option("25-Jul-2024", 24300, 25),
        option("25-Jul-2024", 24300, 26, "PE"), option("29-Aug-2024", 24300, 29),
    )]  # fmt: skip
    text = fo(
        "FUTIDX,NIFTY,25-Jul-2024,0,XX,10,99,1,44,10,4,1,9,0", *traded, option("18-Jul-2024", 24300, 18)
    )
    day = D(2024, 7, 5)

    assert values(parsed(text, "NIFTY24JUL24300CE.NFO", day))[3] == 25
    assert values(parsed(text, "NIFTY24JUL24300PE.NFO", day))[3] == 26
    assert values(parsed(text, "NIFTY24AUG24300CE.NFO", day))[3] == 29
    assert values(parsed(text, "NIFTY2471124300CE.NFO", day))[3] == 11
    assert values(parsed(text, "NIFTY24JULFUT.NFO", day))[3] == 44
    assert parsed(text, "NIFTY2471824300CE.NFO", day).empty == 1  # listed, and not traded
    assert parsed(text, "NIFTY24JUL24350CE.NFO", day).unseen


def test_the_lot_of_an_old_derivative_is_worked_out_or_its_volume_unknown() -> None:
    exact = "FUTIDX,NIFTY,25-Jul-2024,0,XX,24400,24500,24300,24450,24450,100,1833.75,5000,25"
    vague = "FUTSTK,ABC,25-Jul-2024,0,XX,100,120,90,110,110,10,10.50,5000,25"

    assert values(parsed(fo(exact), "NIFTY24JULFUT.NFO", D(2024, 7, 5)))[4] == 7500
    assert values(parsed(fo(vague), "ABC24JULFUT.NFO", D(2024, 7, 5)))[4] is None


def test_names_of_derivatives_are_read_in_every_way_they_can_be() -> None:
    assert list(readings("RELIANCE26NOVFUT")) == [Contract("RELIANCE", 2026, 11, None, None, "")]
    assert Contract("360ONE", 2026, 10, None, 1187.5, "CE") in readings("360ONE26OCT1187.5CE")
    assert Contract("NIFTY", 2026, 10, 19, 23050, "PE") in readings("NIFTY26O1923050PE")
    assert Contract("SENSEX", 2025, 3, 18, 74000, "CE") in readings("SENSEX2531874000CE")
    assert list(readings("RELIANCE")) == []


def test_a_wrong_row_is_rejected_by_its_line() -> None:
    text = legacy("ABC,EQ,1,2,1,2,2,1,1,1", "XYZ,EQ,10,9,11,10,10,9,50,500")

    part = parsed(text, "XYZ.NS", D(2024, 7, 5))

    assert (part.rejected, [(r.line, r.why) for r in part.rejects]) == (1, [(3, "high is below low")])
    assert part.holes.tolist() == [date_ordinal(D(2024, 7, 5)) * DAY_NS]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no day file"),
        (b"<html>Please log in</html>", "web page"),
        (b'{"hello": "world"}', "no day file"),
        (f"{LEGACY}\n".encode(), "no rows"),
        (legacy("XYZ,EQ,10,11,9,10,10,9,50,500").encode()[:-30], "middle of a row"),
        (zipped(legacy("XYZ,EQ,10,11,9,10,10,9,50,500"))[:200], "not a whole zip file"),
        (zipped("x", "readme.txt"), "holds 0 CSV files"),
    ],
)
def test_what_is_no_whole_day_file_is_asked_for_again(body: bytes, said: str) -> None:
    with pytest.raises(TransientError, match=said):
        parsed(body, "XYZ.NS", D(2024, 7, 5))


@pytest.mark.parametrize(("status", "wait_s"), [(403, 30), (429, 30), (503, None)])
def test_the_archive_is_given_time_when_it_throttles(status: int, wait_s: float | None) -> None:
    with pytest.raises(TransientError) as caught:
        parsed("", "XYZ.NS", D(2024, 7, 5), status=status)

    assert caught.value.retry_after_s == wait_s
    assert not isinstance(caught.value, NotYet)


def test_a_file_that_is_not_there_is_late_today_and_lost_later() -> None:
    day = D(2026, 11, 20)

    for body, status in (("", 404), ("<html>BSE</html>", 200)):
        with pytest.raises(NotYet, match="2026-11-20: there is no file; it is not published yet"):
            parsed(body, "XYZ.BO", day, status=status, now=day + dt.timedelta(days=1))
    with pytest.raises(PermanentError, match="2026-11-20: there is no file"):
        parsed("", "XYZ.NS", day, status=404, now=day + dt.timedelta(days=3))


def test_a_day_that_no_calendar_knows_may_have_been_a_holiday() -> None:
    day = D(2012, 8, 15)

    for symbol, body, status in (("XYZ.NS", "", 404), ("XYZ.BO", "<html>BSE</html>", 200)):
        part = parsed(body, symbol, day, status=status)
        assert (len(part.bars), part.absent) == (0, True)
        assert part.answered == (ask_for(symbol, day).start_ns, ask_for(symbol, day).end_ns)
    with pytest.raises(TransientError, match="is a web page"):  # NSE has 404 for that
        parsed("<html>Maintenance</html>", "XYZ.NS", day)


def test_the_file_of_another_day_is_not_taken_for_this_one() -> None:
    """NSE answers a holiday with the file of the day before, and HTTP 200."""
    text = f"{FULL}\nXYZ, EQ, 20-Nov-2026, 9, 10, 11, 9, 10, 10, 10, 50, 1.0, 7, -, -\n"

    assert values(parsed(text, "XYZ.NS", D(2026, 11, 20)))[3] == 10
    with pytest.raises(
        PermanentError, match=r"2026-11-23: the file of 2026-11-20 came instead. If it was a hol"
    ):
        parsed(text, "XYZ.NS", D(2026, 11, 23))
    with pytest.raises(PermanentError, match=r"is a file of NSE\.CM, not of BSE\.CM"):
        parsed(text, "XYZ.BO", D(2026, 11, 20))


def test_a_zip_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdingest.providers.bhavcopy._LONGEST_BYTES", 1_000)

    with pytest.raises(PermanentError, match="would grow to more than"):
        parsed(zipped(legacy(*["XYZ,EQ,10,11,9,10,10,9,50,500"] * 100)), "XYZ.NS", D(2024, 7, 5))


def urls(symbol: str, date: dt.date, **options: object) -> list[str]:
    ask = ask_for(symbol, date)
    return [
        str(request) for request in BhavcopyHistory(BhavcopyOptions.model_validate(options)).requests(ask)
    ]


def test_addresses_follow_the_date_and_the_market() -> None:
    nse, bse = "https://nsearchives.nseindia.com", "https://www.bseindia.com"

    assert urls("X.NS", D(2024, 7, 5)) == [
        f"{nse}/content/historical/EQUITIES/2024/JUL/cm05JUL2024bhav.csv.zip"
    ]
    assert urls("X.NS", D(2024, 7, 8)) == [f"{nse}/content/cm/BhavCopy_NSE_CM_0_0_0_20240708_F_0000.csv.zip"]
    assert urls("X.NS", D(2024, 7, 8), cash="full") == [
        f"{nse}/products/content/sec_bhavdata_full_08072024.csv"
    ]
    assert urls("X.NS", D(2019, 9, 27), cash="full")[0].endswith("cm27SEP2019bhav.csv.zip")
    assert urls("X26NOVFUT.NFO", D(2024, 7, 5))[0].endswith("/DERIVATIVES/2024/JUL/fo05JUL2024bhav.csv.zip")
    assert urls("X.BO", D(2024, 7, 5)) == [f"{bse}/download/BhavCopy/Equity/EQ050724_CSV.ZIP"]
    assert urls("X.BO", D(2024, 7, 8))[0].endswith("/Equity/BhavCopy_BSE_CM_0_0_0_20240708_F_0000.CSV")
    assert urls("X.BFO", D(2024, 7, 8))[0].endswith("/Derivative/BhavCopy_BSE_FO_0_0_0_20240708_F_0000.CSV")
    assert urls("X.NS", D(2024, 7, 8), nse="http://mirror:1/nse")[0].startswith(
        "http://mirror:1/nse/content/cm/"
    )
    mirror = {"NSE.CM": "https://my.example/{YYYY}/{MM}/{DD}.csv"}
    assert urls("X.NS", D(2024, 7, 8), urls=mirror) == ["https://my.example/2024/07/08.csv"]
    assert urls("X.NS", D(2024, 7, 17)) == []  # a holiday
    with pytest.raises(PermanentError, match="before 2024-07-08"):
        urls("X.BFO", D(2024, 7, 5))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"urls": {"MCX.FO": "https://x/{DD}{MM}{YYYY}"}}, "there are NSE.CM, NSE.FO, BSE.CM, BSE.FO"),
        ({"urls": {"NSE.CM": "https://x/today.csv"}}, "must hold {DD}"),
        ({"urls": {"NSE.CM": "file:///x{DD}{MM}{YYYY}"}}, "must be addresses"),
        ({"files": "bhav/{DAY}.csv"}, "has no place {DAY}"),
        ({"series": []}, "at least one"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BhavcopyOptions.model_validate(options)


def test_local_files_are_found_by_the_exchanges_names_or_by_a_pattern(tmp_path: Path) -> None:
    for name in (
        "cm05JUL2024bhav.csv.zip", "fo05JUL2024bhav.csv", "BhavCopy_NSE_CM_0_0_0_20240708_F_0000.csv",
        "EQ080724.CSV", "notes.txt", "sec_bhavdata_full_09072024.csv",
    ):  # fmt: skip
        (tmp_path / name).touch()
    (tmp_path / "mine-2024-07-10.csv").touch()
    options = BhavcopyOptions(files=[f"{tmp_path}/*", f"{tmp_path}/mine-{{YYYY}}-{{MM}}-{{DD}}.csv"])
    history = BhavcopyHistory(options)

    def names(symbol: str) -> list[str]:
        whole = ask_for(symbol, D(2024, 7, 1))
        asked = Ask(whole.instrument, DAY, -(1 << 61), 1 << 61, whole.hours)
        return [Path(str(request)).name for request in history.requests(asked)]

    assert names("X.NS") == [
        "cm05JUL2024bhav.csv.zip", "BhavCopy_NSE_CM_0_0_0_20240708_F_0000.csv",
        "sec_bhavdata_full_09072024.csv", "mine-2024-07-10.csv",
    ]  # fmt: skip
    assert names("X26NOVFUT.NFO") == ["fo05JUL2024bhav.csv", "mine-2024-07-10.csv"]
    assert names("X.BO") == ["EQ080724.CSV", "mine-2024-07-10.csv"]
    assert history.capabilities.local
    with pytest.raises(PermanentError, match=r"no file of NSE\.CM in that range"):
        history.requests(ask_for("X.NS", D(2026, 1, 5)))


def test_a_local_file_of_another_market_is_passed_over() -> None:
    text = (FIXTURES / "bse_cm_udiff.csv").read_text()

    assert not parsed(text, "X.NS", D(2026, 6, 9), local=True).unseen
    with pytest.raises(PermanentError, match="holds 2026-06-09; its name says 2026-06-10"):
        parsed(text, "X.BO", D(2026, 6, 10), local=True)


def test_a_file_without_any_date_says_what_to_do() -> None:
    with pytest.raises(PermanentError, match="Name it as the exchange does"):
        parsed((FIXTURES / "bse_eq_legacy.csv").read_text(), "RELIANCE.BO", D(2024, 7, 5), name="bse.csv")


def test_an_option_that_did_not_trade_is_no_candle() -> None:
    row = (
        "2026-10-01,2026-10-01,FO,NSE,IDO,1,,NIFTY,,2026-10-27,2026-10-27,30000,CE,NIFTY26OCT30000CE,0,0,0,5"
    )
    part = parsed(
        f"{UDIFF}\n{row},0,5,22421,5.0,0,0,0,0,0,F1,65,,,,,\n", "NIFTY26OCT30000CE.NFO", D(2026, 10, 1)
    )

    assert (len(part.bars), part.empty, part.rejected, part.unseen) == (0, 1, 0, "")
