import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdingest.core.interval import Interval
from mdingest.errors import MdingestError, PermanentError, TransientError, Unauthorized
from mdingest.providers.alphavantage import AlphaVantageHistory, AlphaVantageOptions
from mdingest.providers.history import Ask, Hours, HttpRequest, Parsed, Reply, instrument_of
from tests.support.history import BOOK
from tests.support.rows import ns
from tests.support.vendors.alphavantage import PREMIUM, TOO_FAST, USED_UP
from tests.support.vendors.base import SECRET

OPTIONS = AlphaVantageOptions.model_validate({"api_key": SECRET})
NOW = ns(0)  # 2026-11-20 03:45Z: 22:45 of the 19th in New York


def ask(interval: str = "5min", symbol: str = "IBM") -> Ask:
    instrument = instrument_of(symbol, OPTIONS)
    length = Interval.parse(interval.replace("min", "m"))
    return Ask(instrument, length, ns(-5 * 86_400), NOW, Hours(BOOK, instrument.session_class), now_ns=NOW)


def parse(document: object, wish: Ask | None = None) -> Parsed:
    reply = Reply(HttpRequest("http://vendor/query"), io.BytesIO(json.dumps(document).encode()))
    (part,) = AlphaVantageHistory(OPTIONS).parse(wish or ask(), reply)
    return part


def series(rows: dict[str, Any], zone: str = "US/Eastern") -> dict[str, Any]:
    return {"Meta Data": {"6. Time Zone": zone, "3. Last Refreshed": max(rows)}, "Time Series (5min)": rows}


def row(close: str = "300.1", volume: str = "456") -> dict[str, str]:
    return {"1. open": "300", "2. high": "301", "3. low": "299", "4. close": close, "5. volume": volume}


def test_the_documented_reply_is_read() -> None:
    found = parse(json.loads(Path("tests/fixtures/alphavantage_intraday.json").read_text()))

    stamps = np.datetime_as_string(found.bars["ts"].astype("datetime64[ns]"), unit="s").tolist()
    assert stamps == ["2026-11-21T00:50:00", "2026-11-21T00:55:00"]
    assert found.bars["volume"].tolist() == [456, 123]
    assert found.bars["close"].tolist() == [300.1, 300.15]


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        ("2026-03-06 09:30:00", "2026-03-06T14:30:00"),  # winter time
        ("2026-03-09 09:30:00", "2026-03-09T13:30:00"),  # summer time, since the Sunday
        ("2026-11-02 09:30:00", "2026-11-02T14:30:00"),
    ],
)
def test_stamps_follow_daylight_saving(stamp: str, utc: str) -> None:
    assert str(parse(series({stamp: row()})).bars["ts"][0].astype("datetime64[ns]"))[:19] == utc


@pytest.mark.parametrize(
    ("document", "kind", "wait_s"),
    [
        ({"Information": TOO_FAST}, TransientError, 2.0),
        ({"Note": "Our standard API call frequency is 5 calls per minute."}, TransientError, 60.0),
        ({"Information": USED_UP}, TransientError, 3_600 + 900),  # the rest of New York's day
        ({"Information": PREMIUM}, Unauthorized, None),
        ({"Information": "Something new"}, TransientError, 60.0),
        ({"Error Message": "Invalid API call. Please retry."}, PermanentError, None),
        ({"Error Message": f"the parameter apikey is invalid or missing: {SECRET}"}, Unauthorized, None),
        ({}, PermanentError, None),  # each try is one of 25 a day
        ([], TransientError, None),
        ({"Time Series (5min)": "none"}, TransientError, None),
    ],
)  # fmt: skip
def test_refusals_that_come_as_200(document: object, kind: type[MdingestError], wait_s: float | None) -> None:
    with pytest.raises(kind) as raised:
        parse(document)

    assert type(raised.value) is kind
    assert getattr(raised.value, "retry_after_s", None) == wait_s
    assert SECRET not in str(raised.value)


def test_the_key_is_in_no_text() -> None:
    (request,) = AlphaVantageHistory(OPTIONS).requests(ask())

    assert ("apikey", SECRET) in request.secret_params
    assert SECRET not in f"{request}{request!r}{OPTIONS!r}"


def test_what_is_newer_than_their_data_is_not_answered() -> None:
    found = parse(series({"2026-11-19 15:55:00": row()}))

    assert found.answered is not None
    assert found.answered[1] == ns(0) - 6 * 3_600 * 10**9 - 45 * 60 * 10**9  # 16:00 in New York


def test_a_row_that_is_none_is_named_and_the_rest_kept() -> None:
    found = parse(series({"2026-11-19 15:55:00": row(), "2026-11-19 15:50": {"1. open": "x"}, "soon": row()}))

    assert (len(found.bars), found.rejected) == (1, 2)


def test_a_zone_that_nobody_knows_is_no_reason_to_guess() -> None:
    with pytest.raises(TransientError, match="no time zone"):
        parse(series({"2026-11-19 15:55:00": row()}, zone="Middle/Earth"))


@pytest.mark.parametrize(
    ("symbol", "theirs"),
    [("IBM", "IBM"), ("AAPL.US", "AAPL"), ("RELIANCE.BO", "RELIANCE.BSE"), ("X.BSE", "X.BSE")],
)
def test_symbols_in_their_words(symbol: str, theirs: str) -> None:
    (request,) = AlphaVantageHistory(OPTIONS).requests(ask(symbol=symbol))

    assert ("symbol", theirs) in request.params


def test_an_exchange_that_they_do_not_cover_costs_no_request() -> None:
    with pytest.raises(PermanentError, match="not this exchange"):
        AlphaVantageHistory(OPTIONS).requests(ask(symbol="RELIANCE.NS"))


def test_without_a_key_nothing_is_asked() -> None:
    with pytest.raises(Unauthorized, match="api_key"):
        AlphaVantageHistory(AlphaVantageOptions()).requests(ask())
