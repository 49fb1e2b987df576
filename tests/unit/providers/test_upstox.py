import datetime as dt
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdingest.core.control import VolumeKind
from mdingest.core.interval import Interval
from mdingest.errors import MdingestError, PermanentError, TransientError, Unauthorized
from mdingest.providers.history import Ask, Hours, HttpRequest, Parsed, Reply, instrument_of
from mdingest.providers.upstox.history import UpstoxHistory
from mdingest.providers.upstox.instruments import find, read_rows
from mdingest.providers.upstox.options import UpstoxOptions
from tests.support.history import BOOK
from tests.support.rows import ns
from tests.support.vendors.base import SECRET
from tests.support.vendors.upstox import MASTER, RELIANCE, later

OPTIONS = UpstoxOptions.model_validate({"access_token": SECRET})
MIDNIGHT = ns(0) - (9 * 60 + 15) * 60 * 10**9  # of 2026-11-20 in India
NOW = ns(8 * 3_600)


def ask(start: int, end: int, interval: str = "1m", key: str = RELIANCE) -> Ask:
    instrument = instrument_of("RELIANCE.NS", OPTIONS)
    return Ask(instrument, Interval.parse(interval), start, end, Hours(BOOK, "NSE.EQ.cas"), key, NOW)


def paths(wish: Ask) -> list[str]:
    base = "https://api.upstox.com/v3/historical-candle/"
    return [request.url.removeprefix(base) for request in UpstoxHistory(OPTIONS).requests(wish)]


def parse(document: object, status: int = 200, key: str = RELIANCE, **headers: str) -> Parsed:
    body = io.BytesIO(json.dumps(document).encode())
    reply = Reply(HttpRequest("http://vendor"), body, status, headers)
    (part,) = UpstoxHistory(OPTIONS).parse(ask(ns(0), ns(600), key=key), reply)
    return part


def test_today_is_asked_for_apart() -> None:
    wish = ask(ns(-86_400), ns(600))

    assert paths(wish) == [
        "NSE_EQ%7CINE002A01018/minutes/1/2026-11-19/2026-11-19",
        "intraday/NSE_EQ%7CINE002A01018/minutes/1",
    ]
    assert [request.span for request in UpstoxHistory(OPTIONS).requests(wish)] == [
        (ns(-86_400), MIDNIGHT),
        (MIDNIGHT, ns(600)),
    ]


def test_one_request_where_one_does() -> None:
    assert paths(ask(ns(0), ns(600))) == ["intraday/NSE_EQ%7CINE002A01018/minutes/1"]
    assert paths(ask(ns(-86_400 * 3), MIDNIGHT)) == ["NSE_EQ%7CINE002A01018/minutes/1/2026-11-19/2026-11-17"]
    assert paths(ask(ns(-86_400 * 30), ns(600), "1w")) == [
        "NSE_EQ%7CINE002A01018/weeks/1/2026-11-20/2026-10-21"
    ]
    assert paths(ask(ns(0), ns(600), key="NSE_INDEX|Nifty 50")) == [
        "intraday/NSE_INDEX%7CNifty%2050/minutes/1"
    ]


@pytest.mark.parametrize(("interval", "months"), [("1m", 1), ("15m", 1), ("30m", 3), ("1h", 3)])
def test_the_longest_request_is_within_months_of_the_calendar(interval: str, months: int) -> None:
    """A February too: what spans more is refused for good."""
    span_s = UpstoxHistory.capabilities.intervals[Interval.parse(interval).seconds].span_s
    assert span_s is not None
    for days_ago in range(120, 900):
        start = ns(-86_400 * days_ago)
        (path,) = paths(ask(start, start + int(span_s) * 10**9, interval))
        last, first = map(dt.date.fromisoformat, path.split("/")[-2:])
        assert last < later(first, months), path


def test_rows_come_newest_first_and_with_interest_where_there_is_some() -> None:
    rows = [
        ["2026-11-20T09:16:00+05:30", 2, 3, 1, 2.5, 20, 7],
        ["2026-11-20T09:15:00+05:30", 1, 2, 0.5, 1.5, 10, 5],
    ]
    document = {"status": "success", "data": {"candles": rows}}

    assert parse(document).bars["ts"].tolist() == [ns(0), ns(60)]
    assert np.isnan(parse(document).bars["oi"]).all()  # a share has no such thing
    assert parse(document, key="NSE_FO|51245").bars["oi"].tolist() == [5, 7]


def refusal(code: str, message: str = "no", *, snake: bool = False) -> dict[str, Any]:
    name = "error_code" if snake else "errorCode"
    return {"status": "error", "errors": [{name: code, "message": message}]}


@pytest.mark.parametrize(
    ("status", "document", "kind", "wait_s"),
    [
        (401, refusal("UDAPI100050", f"Invalid token {SECRET}"), Unauthorized, None),
        (400, refusal("UDAPI100050", snake=True), Unauthorized, None),
        (429, refusal("UDAPI10005"), TransientError, 1.0),
        (400, refusal("UDAPI10005", "Too Many Request Sent"), TransientError, 1.0),
        (400, refusal("UDAPI1148", "Invalid date range"), PermanentError, None),
        (400, refusal("UDAPI100011", snake=True), PermanentError, None),
        (500, refusal("UDAPI100500"), TransientError, None),
        (400, {"status": "error", "errors": []}, PermanentError, None),
        (200, {"status": "error"}, TransientError, None),
        (200, {"status": "success", "data": {}}, TransientError, None),
        (200, [], TransientError, None),
    ],
)
def test_refusals(status: int, document: object, kind: type[MdingestError], wait_s: float | None) -> None:
    with pytest.raises(kind) as raised:
        parse(document, status)

    assert type(raised.value) is kind
    assert getattr(raised.value, "retry_after_s", None) == wait_s
    assert SECRET not in str(raised.value)


def test_retry_after_is_honoured() -> None:
    with pytest.raises(TransientError) as raised:
        parse(refusal("UDAPI10005"), 429, **{"retry-after": "30"})

    assert raised.value.retry_after_s == 30


def test_the_token_is_in_no_text_and_need_not_be() -> None:
    (with_one,) = UpstoxHistory(OPTIONS).requests(ask(ns(0), ns(600)))
    (without,) = UpstoxHistory(UpstoxOptions()).requests(ask(ns(0), ns(600)))

    assert SECRET not in f"{with_one}{with_one!r}{OPTIONS!r}"
    assert dict(with_one.secret_headers)["Authorization"] == f"Bearer {SECRET}"
    assert "Authorization" not in dict(without.secret_headers)


class TestTheList:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "complete.json.gz"
        path.write_bytes(gzip.compress(json.dumps(MASTER).encode()))
        return path

    def test_symbols_are_those_of_kite(self, file: Path) -> None:
        problems: list[str] = []
        rows = {row.symbol: row for row in read_rows(file, problems)}

        assert list(rows) == [
            "RELIANCE.NS",
            "EMMBI-BL.NS",
            "NIFTY_50.INDEX",
            "NIFTY26NOVFUT.NFO",
            "NIFTY26NOV24000CE.NFO",
            "NIFTY26O1923050PE.NFO",
        ]
        assert problems == []
        assert (rows["RELIANCE.NS"].tick_size, rows["NIFTY26NOVFUT.NFO"].expiry) == (0.1, "2026-11-24")

    def test_what_is_found_says_what_candles_need(self, file: Path) -> None:
        problems: list[str] = []
        found = find(["NIFTY_50.INDEX", "RELIANCE.NS", "RELIENCE.NS"], OPTIONS, file, problems)

        assert found["RELIANCE.NS"].subscription.key == RELIANCE
        assert found["NIFTY_50.INDEX"].instrument.volume is VolumeKind.NONE
        assert found["NIFTY_50.INDEX"].instrument.session_class == "NSE.IDX"
        assert problems == ["RELIENCE.NS: not in Upstox's instrument list; did you mean RELIANCE.NS?"]

    def test_a_stock_is_in_the_closing_auction_of_both_exchanges_if_either_has_derivatives_of_it(
        self, tmp_path: Path
    ) -> None:
        future = {**MASTER[3], "asset_symbol": "RELIANCE", "instrument_key": "NSE_FO|1"}
        of_bse = {**MASTER[0], "segment": "BSE_EQ", "exchange": "BSE", "instrument_type": "A"}
        block = {**MASTER[0], "instrument_key": "NSE_EQ|2", "instrument_type": "BL"}
        path, symbols = tmp_path / "list.json", ["RELIANCE.NS", "RELIANCE.BO", "RELIANCE-BL.NS"]
        path.write_text(json.dumps([MASTER[0], of_bse | {"instrument_key": "BSE_EQ|1"}, block, future]))

        found = find(symbols, OPTIONS, path, [])

        classes = [found[symbol].instrument.session_class for symbol in symbols]
        assert classes == ["NSE.EQ.cas", "BSE.EQ.cas", "NSE.EQ.noncas"]

    def test_names_of_ones_own(self, file: Path) -> None:
        options = UpstoxOptions(names={"NIFTY.NS": "NSE_INDEX|Nifty 50"})

        assert set(find(["NIFTY.NS"], options, file, [])) == {"NIFTY.NS"}

    @pytest.mark.parametrize("piece", [1, 7, 1 << 16])
    def test_how_it_is_read_does_not_matter(
        self, tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mdingest.providers.upstox.instruments._PIECE", piece)
        path = tmp_path / "plain.json"
        path.write_text("\ufeff" + json.dumps(MASTER, indent=1))

        assert len(list(read_rows(path, []))) == 6

    def test_a_bad_record_is_named_and_the_rest_kept(self, tmp_path: Path) -> None:
        bad = [{"segment": "NSE_EQ"}, 7, {**MASTER[4], "strike_price": None}, {**MASTER[3], "expiry": "soon"}]
        path = tmp_path / "list.json"
        path.write_text(json.dumps([*bad, *MASTER]))
        problems: list[str] = []

        assert len(list(read_rows(path, problems))) == 6
        assert [problem.partition(":")[0] for problem in problems] == [
            f"instrument list, record {n}" for n in range(1, 5)
        ]

    @pytest.mark.parametrize(
        "content",
        [
            b"<html>",
            b"",
            b"[",
            b'[{"segment": "NSE',
            b'[{"a": 1} oops',
            gzip.compress(b"[]", mtime=0)[:-9],
            b"[\xff",
        ],
    )
    def test_a_damaged_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "list.json.gz"
        path.write_bytes(content)

        with pytest.raises(PermanentError, match="Upstox's instrument list"):
            list(read_rows(path, []))
