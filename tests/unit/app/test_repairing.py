"""Who fills the holes of which feed, as the configuration has it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mdingest.api.wanted import EARLIEST
from mdingest.app.repairing import earliest_of, menders_of, prospects_of
from mdingest.config import Config, load
from mdingest.telemetry.clock import parse_clock

KITE = "realtime: [{provider: kite_ws, symbols: [A.NS]}]\nproviders: {kite_ws: {api_key: k"
NOW = parse_clock("2026-11-20T18:00:00+05:30")
DAY = 86_400_000_000_000
Loaded = Callable[[str], Config]


def menders(config: Config, feed: str) -> list[str]:
    return list(menders_of(config, feed, NOW.wall_ns()))


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    monkeypatch.chdir(tmp_path)

    def load_text(text: str) -> Config:
        Path("c.yaml").write_text(text)
        return load("c.yaml", {})

    return load_text


def test_the_own_broker_comes_first_if_its_token_is_there(loaded: Loaded) -> None:
    backfill = "backfill: [{providers: [yfinance, kite], symbols: [A.NS]}]\n"

    assert menders(loaded(f"{backfill}{KITE}, access_token: t}}}}"), "kite_ws") == [
        "kite",
        "yfinance",
    ]
    assert menders(loaded(f"{backfill}{KITE}}}}}"), "kite_ws") == ["yfinance"]
    assert menders(loaded(f"{KITE}}}}}"), "kite_ws") == []


def test_binance_needs_no_token_and_days_fill_no_minutes(loaded: Loaded) -> None:
    text = "realtime: [{provider: binance_ws, symbols: [BTCUSDT.BINANCE]}]\n"
    assert menders(loaded(text), "binance_ws") == ["binance"]
    days = text + "backfill: [{provider: bhavcopy, interval: 1d, symbols: [A.NS]}]"
    assert menders(loaded(days), "binance_ws") == ["binance"]


def test_what_the_configuration_says_holds_in_its_order(loaded: Loaded) -> None:
    told = "repair: {providers: {kite_ws: [csv, kite]}}\n"
    assert menders(loaded(f"{told}{KITE}}}}}"), "kite_ws") == ["csv", "kite"]


def test_how_far_back_anybody_goes_is_told_by_length(loaded: Loaded) -> None:
    config = loaded("backfill: [{providers: [yfinance], symbols: [A.NS]}]")
    earliest = earliest_of(config, NOW)

    minutes = earliest(60)
    assert minutes is not None
    assert 20 * DAY < NOW.wall_ns() - minutes <= 30 * DAY
    assert earliest(1) is None


def test_who_fills_what_nobody_recorded_is_told_by_interval_and_symbol(loaded: Loaded) -> None:
    entries = """
symbols: [A.NS]
backfill:
  - {provider: yfinance, interval: 1m, period: 2d, symbols: [A.NS, B.NS]}
  - {provider: bhavcopy, interval: 1d, period: 9d}
"""
    prospects = prospects_of(lambda: loaded(entries), NOW)
    ago = {
        (symbol, interval_s): None if since is None else round((NOW.wall_ns() - since) / DAY)
        for symbol in ("A.NS", "B.NS", "C.NS")
        for interval_s in (1, 60, 86_400)
        for since in [prospects.filled_from(symbol, interval_s)]
    }

    assert ago == {
        ("A.NS", 1): None,
        ("A.NS", 60): 2,
        ("A.NS", 86_400): 9,
        ("B.NS", 1): None,
        ("B.NS", 60): 2,
        ("B.NS", 86_400): 2,
        ("C.NS", 1): None,
        ("C.NS", 60): None,
        ("C.NS", 86_400): None,
    }


def test_without_feeds_and_history_nothing_is_known_of_who_fills(loaded: Loaded) -> None:
    assert prospects_of(lambda: loaded("symbols: [A.NS]"), NOW).filled_from("A.NS", 60) == EARLIEST
