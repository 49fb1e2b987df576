"""Files as people have them: every dialect of the fixtures, and what is detected or refused."""

from pathlib import Path

import pytest

from mdingest.errors import PermanentError
from tests.support.history import parsed, rows_of

FIXTURES = Path(__file__).parents[3] / "fixtures/csv"
NIFTY = (26050.5, 26060.0, 26040.1, 26055.2)
EURUSD = (1.15321, 1.15334, 1.15318, 1.1533)
STOCK = (1500.0, 1502.0, 1499.5, 1501.0)


@pytest.mark.parametrize(
    ("file", "symbol", "interval", "options", "first"),
    [
        ("kaggle_nifty_minute.csv", "NIFTY_50.INDEX", "1m", {}, ("2026-11-20T03:45:00", *NIFTY, None)),
        ("kaggle_offset_minute.csv", "X.NS", "1m", {}, ("2026-11-20T03:45:00", *STOCK, 2500)),
        ("kaggle_split_datetime.csv", "NIFTY.NS", "1m", {}, ("2026-11-20T03:45:00", *NIFTY, None)),
        ("tradingview_export.csv", "X.NS", "1m", {}, ("2026-11-20T03:45:00", *STOCK, 2500)),
        ("dukascopy_bid.csv", "EURUSD", "1m", {}, ("2025-11-03T00:00:00", *EURUSD, 187.42)),
        ("mt5.tsv", "EURUSD", "1m", {"timezone": "EET"}, ("2026-11-19T22:00:00", *EURUSD, None)),
        ("mt4.csv", "EURUSD", "1m", {"timezone": "EET"}, ("2026-11-19T22:00:00", *EURUSD, 187)),
        ("histdata_m1.csv", "EURUSD", "1m", {"timezone": "UTC-5"}, ("2026-11-20T00:00:00", *EURUSD, 0)),
        ("stooq_daily.csv", "X.NS", "1d", {}, ("2026-11-19T00:00:00", 100, 101, 99, 100.5, 1000)),
        ("stooq_bulk.txt", "AAPL.US", "1d", {}, ("2026-11-20T00:00:00", 100, 102, 99, 101.75, 1200)),
        (
            "stooq_bulk.txt",
            "AAPL.US",
            "5m",
            {"timezone": "Europe/Warsaw", "stamp": "open"},  # of US shares it is known when they open
            ("2026-11-20T14:35:00", 100, 101, 99, 100.5, 1000),
        ),
        ("yahoo.csv", "X.NS", "1d", {}, ("2026-11-19T00:00:00", 1490, 1502, 1488, 1499.900024, 398765)),
        ("nse_cm_legacy.csv", "SYNTH.NS", "1d", {}, ("2024-07-05T00:00:00", 100, 101, 99, 100.5, 1000)),
        (
            "nse_sec_bhavdata_full.csv",
            "HDFCBANK.NS",
            "1d",
            {},
            ("2026-08-20T00:00:00", 725.5, 728.3, 724.3, 725.05, 17603805),
        ),
        (
            "bse_cm_udiff.csv",
            "ICONIKSPEV.BO",
            "1d",
            {},
            ("2026-06-09T00:00:00", 44.99, 44.99, 42.31, 43.09, 5757),
        ),
        ("nse_fo_udiff.csv", "NIFTY.NFO", "1d", {}, ("2026-10-01T00:00:00", 17.4, 41.4, 17.4, 26.4, 752)),
        (
            "nse_fo_legacy.csv",
            "NIFTY.NFO",
            "1d",
            {},
            ("2024-07-05T00:00:00", 24400, 24500, 24300, 24450, 100),
        ),
    ],
)
def test_a_fixture_is_read(
    file: str, symbol: str, interval: str, options: dict[str, object], first: tuple[object, ...]
) -> None:
    found = parsed((FIXTURES / file).read_bytes(), symbol, interval, **options)

    assert rows_of(found)[0] == first
    assert found.rejected == 0


def test_every_fixture_is_covered_by_a_test() -> None:
    text = Path(__file__).read_text()

    assert [file.name for file in FIXTURES.iterdir() if file.name not in text] == []


def test_rows_of_nulls_are_days_without_trades() -> None:
    found = parsed((FIXTURES / "yahoo.csv").read_bytes(), interval="1d")

    assert (len(found.bars), found.empty, found.rejected) == (1, 1, 0)


def test_a_file_without_dates_is_refused_with_what_it_has() -> None:
    with pytest.raises(PermanentError, match="no column for the date among SC_CODE"):
        parsed((FIXTURES / "bse_eq_legacy.csv").read_bytes(), "RELIANCE.BO", "1d")


BODY = "open,high,low,close,volume\n"
ROW = ",10,12,9,11,5\n"
OPENING = ("2026-11-20T03:45:00", 10.0, 12.0, 9.0, 11.0, 5.0)


@pytest.mark.parametrize(
    "text",
    [
        f"\ufefftime,{BODY}2026-11-20T09:15:00+05:30{ROW}",
        f"time,{BODY}2026-11-20 09:15:00 +0530{ROW}".replace("\n", "\r\n"),
        f"time,{BODY}2026-11-20T03:45:00Z{ROW}".replace("\n", "\r"),
        f"time,{BODY}2026-11-20T03:45:00.000Z{ROW}".replace(",", "\t"),
        f"time,{BODY}1795146300{ROW}".replace(",", "|"),
        f"time,{BODY}1795146300.0{ROW}",
        f"time,{BODY}1795146300000{ROW}",
        f"time,{BODY}1795146300000000{ROW}",
        f"time,{BODY}1795146300000000000{ROW}",
        f"time,{BODY}20261120091500{ROW}",
        f"time,{BODY}2026/11/20 9:15{ROW}",
        f"time,{BODY}20-Nov-2026 09:15 AM{ROW}",
        f"date,time,{BODY}20.11.2026,0915{ROW}",
        f"date,time,{BODY}11/20/2026,9:15:00{ROW}",
        f"date,time,{BODY}20261120,91500{ROW}",
        f"2026-11-20 09:15:00{ROW}",
        f"20261120;091500{ROW}".replace(",", ";"),
        f"RELIANCE,20261120,09:15{ROW}",
        f"1795146300000{ROW.strip()},1795146359999,1,1,1,1,0\n",
        f"1795146300000000{ROW.strip()},1795146359999999,1,1,1,1,0\n",
        f"# a comment\n\ntime,{BODY}\n2026-11-20 09:15:00{ROW}\n\n",
        'time;open;high;low;close;volume\n"2026-11-20 09:15";"10,0";"12,0";"9,0";"11,0";5\n',
        f"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<VOL>\n2026.11.20\t09:15:00{ROW}".replace(
            ",", "\t"
        ),
    ],
)
def test_the_same_candle_in_many_spellings(text: str) -> None:
    assert rows_of(parsed(text, stamp="open")) == [OPENING]


def test_sixteen_bits_a_letter_as_metatrader_writes_them() -> None:
    text = f"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<VOL>\r\n2026.11.20\t09:15{ROW}".replace(
        ",", "\t"
    )

    assert rows_of(parsed(text.encode("utf-16"))) == [OPENING]


@pytest.mark.parametrize(
    ("text", "prices"),
    [
        ('t,o,h,l,c,v\n1795146300,"1,234.5","1,240","1,230","1,235","12,34,567"\n', (1234.5, 1234567)),
        ("t;o;h;l;c;v\n1795146300;1.234,5;1.240,0;1.230,0;1.235,0;7\n", (1234.5, 7)),
    ],
)
def test_thousands_are_told_from_decimals(text: str, prices: tuple[float, float]) -> None:
    found = parsed(text.replace("t", "time", 1))

    assert (found.bars["open"][0], found.bars["volume"][0]) == prices


def test_a_lone_comma_of_three_digits_is_not_guessed() -> None:
    text = "time;open;high;low;close\n1795146300;1,234;1,240;1,230;1,235\n"

    with pytest.raises(PermanentError, match=r'1,234 may be 1234 or 1\.234: set decimal: "\."'):
        parsed(text)
    assert parsed(text, decimal=",").bars["open"][0] == 1.234
    assert parsed(text, decimal=".").bars["open"][0] == 1234


def test_dates_that_can_be_read_two_ways_are_refused() -> None:
    text = f"date,time,{BODY}03-11-2026,09:15{ROW}04-11-2026,09:15{ROW}"

    with pytest.raises(PermanentError, match=r"03-11-2026|04-11-2026.*providers\.csv\.dayfirst"):
        parsed(text)
    assert rows_of(parsed(text, dayfirst=True, stamp="open"))[0][0] == "2026-11-03T03:45:00"
    assert rows_of(parsed(text, dayfirst=False, stamp="open"))[0][0] == "2026-03-11T03:45:00"


def test_a_day_above_twelve_far_down_decides_for_the_whole_file() -> None:
    early = "".join(f"05-11-2026,{9 + m // 60:02}:{m % 60:02}{ROW}" for m in range(15, 300)) * 40
    text = f"date,time,{BODY}{early}20-11-2026,09:15{ROW}"

    assert rows_of(parsed(text, unordered="sort"))[-1][0] == "2026-11-20T03:45:00"


def test_naive_stamps_without_a_known_zone_are_refused() -> None:
    text = f"time,{BODY}2026-11-20 09:15{ROW}"

    with pytest.raises(PermanentError, match=r"no offset.*providers\.csv\.timezone"):
        parsed(text, "EURUSD")
    assert rows_of(parsed(text, "EURUSD", timezone="Asia/Kolkata")) == [OPENING]


def test_days_need_no_zone() -> None:
    found = parsed(f"date,{BODY}2026-11-20{ROW}", "EURUSD", "1d")

    assert rows_of(found)[0][0] == "2026-11-20T00:00:00"


@pytest.mark.parametrize(
    "stamp",
    ["2026-11-20", "2026-11-20 00:00:00+05:30", "2026-11-20 09:15:00+05:30", "1795132800", "1795146300"],
)
def test_a_day_is_named_by_its_trade_date_whatever_the_stamp(stamp: str) -> None:
    assert rows_of(parsed(f"date,{BODY}{stamp}{ROW}", interval="1d"))[0][0] == "2026-11-20T00:00:00"


def test_a_week_is_named_by_its_monday() -> None:
    assert rows_of(parsed(f"date,{BODY}2026-11-20{ROW}", interval="1w"))[0][0] == "2026-11-16T00:00:00"


def minutes(first: int, count: int, day: str = "2026-11-20") -> str:
    return "".join(f"{day} {(first + m) // 60:02}:{(first + m) % 60:02}:00{ROW}" for m in range(count))


def test_stamps_of_the_close_are_detected_and_said() -> None:
    text = f"time,{BODY}" + minutes(9 * 60 + 16, 374, "2026-11-19") + minutes(9 * 60 + 16, 374)

    found = parsed(text)

    assert rows_of(found)[0][0] == "2026-11-19T03:45:00"
    assert any("name the close" in note for note in found.notes)


def test_stamps_of_the_opening_stay_even_if_one_day_begins_late() -> None:
    days = ["2026-11-18", "2026-11-19", "2026-11-20"]
    text = f"time,{BODY}" + "".join(minutes(9 * 60 + 15 + (i == 1), 300, day) for i, day in enumerate(days))

    assert rows_of(parsed(text))[0][0] == "2026-11-18T03:45:00"


def test_the_user_may_say_which_end_a_stamp_names() -> None:
    text = f"time,{BODY}" + minutes(9 * 60 + 16, 3)

    assert rows_of(parsed(text, stamp="open"))[0][0] == "2026-11-20T03:46:00"
    assert rows_of(parsed(text, stamp="close"))[0][0] == "2026-11-20T03:45:00"


def test_newest_first_is_an_order_too() -> None:
    lines = minutes(9 * 60 + 15, 5).splitlines(keepends=True)

    found = parsed(f"time,{BODY}" + "".join(reversed(lines)))

    assert found.rejected == 0
    assert [row[0][-8:] for row in rows_of(found)] == [f"03:4{m}:00" for m in range(5, 10)]


def test_columns_by_the_users_word() -> None:
    text = "when,a,b,c,d,e\n20/11/26 09h15,10,12,9,11,5\n"
    columns = {"stamp": "when", "open": "a", "high": 3, "low": "C", "close": "d", "volume": 6}

    assert rows_of(parsed(text, columns=columns, header=True, date_format="%d/%m/%y %Hh%M")) == [OPENING]


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(PermanentError, match=r"columns\.open: there is no column 'LTP' among time, open"):
        parsed(f"time,{BODY}1795146300{ROW}", columns={"open": "LTP"})


def test_a_file_about_others_says_about_whom() -> None:
    text = f"symbol,time,{BODY}INFY,1795146300{ROW}TCS,1795146300{ROW}"

    with pytest.raises(PermanentError, match=r"no row is about RELIANCE\.NS; it has INFY, TCS"):
        parsed(text)
    assert len(parsed(text, ticker={"RELIANCE.NS": "TCS"}).bars) == 1


@pytest.mark.parametrize(
    "text", ["", "\n\n", "No data", "<html><body>no</body></html>", '{"Note": 1}\n', f"time,{BODY}"]
)
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(PermanentError):
        parsed(text)


def test_a_wider_space_before_a_naive_time_does_not_make_it_utc() -> None:
    text = f"time,{BODY}2026-11-20  09:15{ROW}2026-11-20  09:16{ROW}2026-11-20 03:47Z{ROW}"

    assert [row[0] for row in rows_of(parsed(text))] == [
        "2026-11-20T03:45:00",
        "2026-11-20T03:46:00",
        "2026-11-20T03:47:00",
    ]


def test_a_zone_with_summer_time_is_heeded() -> None:
    text = f"time,{BODY}2026-03-06 09:30{ROW}2026-03-09 09:30{ROW}"

    assert [row[0] for row in rows_of(parsed(text, "X", timezone="America/New_York"))] == [
        "2026-03-06T14:30:00",
        "2026-03-09T13:30:00",
    ]


def test_hours_that_do_not_exist_or_exist_twice_are_rejected() -> None:
    text = f"time,{BODY}2026-03-08 02:30{ROW}2026-11-01 00:30{ROW}2026-11-01 01:30{ROW}2026-11-01 02:30{ROW}"

    found = parsed(text, "X", timezone="America/New_York")

    assert [reject.line for reject in found.rejects] == [2, 4]
    assert "exists twice" in found.rejects[0].why
