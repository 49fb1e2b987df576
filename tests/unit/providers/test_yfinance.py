import io
import json
from typing import Any

import pytest

from mdingest.core.interval import Interval
from mdingest.errors import PermanentError, TransientError
from mdingest.providers.history import Ask, Hours, LibraryRequest, Parsed, Reply, instrument_of
from mdingest.providers.yfinance import PROVIDER, YfinanceHistory, YfinanceOptions
from tests.support.history import BOOK
from tests.support.rows import ns

OPTIONS = YfinanceOptions(names={"NIFTY_IT.INDEX": "^CNXIT"})


def ask(symbol: str = "RELIANCE.NS") -> Ask:
    instrument = instrument_of(symbol, OPTIONS)
    hours = Hours(BOOK, instrument.session_class)
    return Ask(instrument, Interval.parse("1m"), ns(0), ns(600), hours, now_ns=ns(30 * 86_400))


def parse(document: Any) -> Parsed:  # noqa: ANN401 - whatever comes
    reply = Reply(LibraryRequest("yfinance", (), "X 1m"), io.BytesIO(json.dumps(document).encode()))
    (part,) = YfinanceHistory(OPTIONS).parse(ask(), reply)
    return part


@pytest.mark.parametrize(
    ("symbol", "theirs"),
    [
        ("RELIANCE.NS", "RELIANCE.NS"),
        ("M&M.NS", "M&M.NS"),
        ("IBM", "IBM"),
        ("IBM.US", "IBM"),
        ("NIFTY_50.INDEX", "^NSEI"),
        ("NIFTY_IT.INDEX", "^CNXIT"),
    ],
)
def test_symbols_in_yahoos_words(symbol: str, theirs: str) -> None:
    (request,) = YfinanceHistory(OPTIONS).requests(ask(symbol))

    assert dict(request.job) == {
        "symbol": theirs,
        "interval": "1m",
        "start": ns(0) // 10**9,
        "end": ns(600) // 10**9,
        "url": "",  # Yahoo's own
    }
    assert str(request) == f"yfinance {theirs} 1m 2026-11-20T03:45Z to 2026-11-20T03:55Z"


@pytest.mark.parametrize("symbol", ["NIFTY26NOVFUT.NFO", "BTCUSDT.BINANCE", "NIFTY_AUTO.INDEX"])
def test_what_yahoo_can_not_have_is_not_asked_for(symbol: str) -> None:
    with pytest.raises(PermanentError, match="Yahoo has shares"):
        YfinanceHistory(OPTIONS).requests(ask(symbol))
    assert set(PROVIDER.unknown([symbol, "TCS.NS"], None, Interval.parse("1m"))) == {symbol}


@pytest.mark.parametrize(
    "document",
    [
        {"error": "YFRateLimitError", "text": "Too Many Requests. Rate limited."},
        {"error": "Refused", "status": 502, "text": "", "retry_after": "", "date": ""},
        {"error": "ConnectionError", "text": "Failed to connect"},
        {"error": "YFPricesMissingError", "text": "$X: Internal error"},
        {"hello": "world"},
        [],
        None,
    ],
)
def test_what_may_pass_is_tried_again(document: object) -> None:
    with pytest.raises(TransientError):
        parse(document)


def test_a_row_that_is_none_is_named_and_the_rest_kept() -> None:
    good = [ns(0) // 10**9, 1, 2, 0.5, 1.5, 10]
    found = parse(
        {
            "bars": [
                good,
                [1, 2],
                ["soon", 1, 2, 0.5, 1.5, 3],
                ["4052-11-14", 1, 2, 0.5, 1.5, 3],
                None,
                [ns(60) // 10**9, 1, 2, None, 1, 1],
            ]
        }
    )

    assert found.bars["close"].tolist() == [1.5]
    assert found.rejected == 5
    assert found.holes.tolist() == [ns(60)]
