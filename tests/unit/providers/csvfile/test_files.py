"""Which files are whose."""

from pathlib import Path

import pytest

from mdingest.core.interval import MINUTE
from mdingest.providers.csvfile.files import unknown
from mdingest.providers.csvfile.options import CsvOptions

ROWS = "2026-11-20 09:15:00,10,11,9,10,100\n"
PLAIN = "datetime,open,high,low,close,volume\n" + ROWS * 2
NAMED = "ticker,datetime,open,high,low,close,volume\n" + f"A,{ROWS}B,{ROWS}"
SYMBOLS = ["A.NS", "B.NS"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", [PLAIN, ROWS * 2_000])
def test_a_file_that_does_not_say_whose_its_rows_are_is_of_one_symbol(text: str) -> None:
    Path("all.csv").write_text(text)
    options = CsvOptions(files="all.csv")

    refused = unknown(SYMBOLS, options, MINUTE)

    assert list(refused) == SYMBOLS
    assert refused["B.NS"].startswith("all.csv has no column of symbols: ask for one symbol")
    assert unknown(["A.NS"], options, MINUTE) == {}


@pytest.mark.parametrize("text", [NAMED, "A,20261120,09:15,10,11,9,10,100\n" * 2, "no table"])
def test_one_that_says_it_may_be_of_many(text: str) -> None:
    """And what is wrong with one that is no table is told when it is read."""
    Path("all.csv").write_text(text)

    assert unknown(SYMBOLS, CsvOptions(files="all.csv"), MINUTE) == {}


def test_whoever_lists_a_file_for_both_means_it() -> None:
    Path("all.csv").write_text(PLAIN)

    assert unknown(SYMBOLS, CsvOptions(files=dict.fromkeys(SYMBOLS, "all.csv")), MINUTE) == {}


def test_files_of_their_own_are_not_opened() -> None:
    for symbol in SYMBOLS:
        Path(f"{symbol}_1m.csv").write_text(PLAIN)

    assert unknown(SYMBOLS, CsvOptions(files="{symbol}_{interval}.csv"), MINUTE) == {}
