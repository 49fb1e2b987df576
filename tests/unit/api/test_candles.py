"""`/candles`: the last candles of a symbol in ascending time, and what is missing from them."""

from typing import Any

import numpy as np
import pytest

from mdingest.core.events import CANDLE, Candles, State
from mdingest.core.session import SECOND_NS, Session
from tests.support.fake_reader import BITCOIN, RELIANCE, FakeReader, at, candles
from tests.support.served import Api, MakeApi

MINUTE = 60 * SECOND_NS
OPEN, CLOSE = at("09:15:00"), at("15:15:00")
QUERY = "/candles?symbol=RELIANCE.NS"


def column(document: dict[str, Any], name: str) -> list[Any]:
    return [candle[name] for candle in document["candles"]]


async def test_the_reply_has_the_promised_shape(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(OPEN, 1, source=1, open=1, high=1, low=1, close=1))
    reader.hear(OPEN, OPEN + 5 * MINUTE)
    reader.hear(OPEN + 7 * MINUTE, CLOSE)
    reader.miss(OPEN + 5 * MINUTE, OPEN + 7 * MINUTE, "disconnect")

    reply = await api.get(QUERY)

    assert reply.status == 200
    assert reply.content_type == "application/json"
    assert await reply.json() == {
        "symbol": "RELIANCE.NS",
        "interval": "1m",
        "candles": [
            {
                "ts_utc": "2026-11-20T03:45:00Z", "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0,
                "volume": 10, "oi": None, "trades": 3, "source": "kite_ws", "state": "final",
                "session": "regular", "revision": 0,
            }
        ],
        "missing": [["2026-11-20T03:50:00Z", "2026-11-20T03:52:00Z", "disconnect"]],
    }  # fmt: skip


async def test_the_last_fifty_come_in_ascending_time(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(OPEN, 120))
    reader.hear(OPEN, CLOSE)

    document = await api.json(QUERY)

    times = column(document, "ts_utc")
    assert len(times) == 50
    assert times == sorted(times)
    assert times[-1] == "2026-11-20T05:44:00Z"


async def test_a_cut_reply_says_so_and_its_link_goes_on_to_the_beginning(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 120))
    reader.hear(OPEN, CLOSE)
    path, pages = f"{QUERY}&limit=50&start=2026-11-20T09:15:00%2B05:30", []

    while path:
        reply = await api.get(path)
        document = await reply.json()
        pages.append(column(document, "open"))
        path = document.get("next", "")
        assert document.get("truncated", False) == bool(path)
        assert reply.headers.get("Link", "") == (f'<{path}>; rel="next"' if path else "")

    assert [len(page) for page in pages] == [50, 50, 20]
    assert [opening for page in reversed(pages) for opening in page] == [100.0 + n for n in range(120)]


async def test_start_is_inclusive_and_end_exclusive(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(OPEN, 10))

    document = await api.json(f"{QUERY}&start=2026-11-20T03:47:00Z&end=2026-11-20T03:50:00Z")

    assert column(document, "ts_utc") == [f"2026-11-20T03:{minute}:00Z" for minute in (47, 48, 49)]
    assert "truncated" not in document


async def test_epoch_seconds_mean_the_same(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(OPEN, 10))
    start = OPEN // SECOND_NS + 120

    document = await api.json(f"{QUERY}&start={start}&end={start + 180}")

    assert column(document, "ts_utc") == [f"2026-11-20T03:{minute}:00Z" for minute in (47, 48, 49)]


async def test_an_offset_whose_plus_was_not_encoded_is_understood(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 10))

    assert len((await api.json(f"{QUERY}&start=2026-11-20T09:20:00+05:30"))["candles"]) == 5


async def test_the_end_is_now_unless_given(make_api: MakeApi, reader: FakeReader) -> None:
    reader.add(candles(OPEN, 10))
    api = await make_api(reader, now=OPEN + 3 * MINUTE)

    assert len((await api.json(QUERY))["candles"]) == 3


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "symbol is missing; give it like symbol=RELIANCE.NS"),
        ("symbol=RELIANCE.NS&intervl=1m", "unknown parameter 'intervl'; known: symbol, interval"),
        ("symbol=RELIANCE.NS&symbol=TCS.NS", "symbol is given twice"),
        ("symbol=RELIANCE.NS&interval=1x", "interval: must be 1s, any Nm or Nh below a day"),
        ("symbol=RELIANCE.NS&interval=5s", "interval: must be 1s"),
        ("symbol=RELIANCE.NS&interval=24h", "interval: must be 1s"),
        ("symbol=RELIANCE.NS&interval=2d", "interval: must be 1s"),
        ("symbol=RELIANCE.NS&limit=0", "limit must be a whole number from 1 to 10000, was '0'"),
        ("symbol=RELIANCE.NS&limit=10001", "limit must be a whole number from 1 to 10000"),
        ("symbol=RELIANCE.NS&limit=-1", "limit must be a whole number"),
        ("symbol=RELIANCE.NS&limit=1e3", "limit must be a whole number"),
        ("symbol=RELIANCE.NS&limit=%D9%A3", "limit must be a whole number"),
        ("symbol=RELIANCE.NS&format=xml", "format must be one of json, csv, was 'xml'"),
        ("symbol=RELIANCE.NS&session=lunch", "session must be one of regular, all"),
        ("symbol=RELIANCE.NS&forming=yes", "forming must be one of true, false"),
        ("symbol=RELIANCE.NS&start=2026-11-20T09:15:00", "start: must be RFC 3339 with an offset"),
        ("symbol=RELIANCE.NS&end=2026-11-20", "end: must be RFC 3339 with an offset"),
        ("symbol=RELIANCE.NS&start=20&end=20", "start must be before end"),
        ("symbol=RELIANCE.NS&start=2026-11-21T00:00:00Z", "start must be before now, 2026-11-20T12:30:00Z"),
        (f"symbol={'A' * 200}", "symbol is longer than 100 characters"),
    ],
)
async def test_a_wrong_question_is_refused_and_told_what_would_be_right(
    api: Api[FakeReader], query: str, said: str
) -> None:
    reply = await api.get(f"/candles?{query}")

    assert reply.status == 400
    assert reply.content_type == "application/problem+json"
    problem = await reply.json(content_type=None)
    assert problem["status"] == 400
    assert problem["title"] == "Bad request"
    assert said in problem["detail"]


async def test_an_unknown_symbol_is_404_with_its_neighbours(api: Api[FakeReader]) -> None:
    problem = await api.json("/candles?symbol=RELIANC.NS", status=404)

    assert problem["nearest"] == ["RELIANCE.NS"]
    assert "RELIANCE.NS" in problem["detail"]
    assert (await api.json("/candles?symbol=zzz", status=404))["nearest"] == []


async def test_csv(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(OPEN, 3))
    reader.hear(OPEN, OPEN + 2 * MINUTE)

    reply = await api.get(f"{QUERY}&format=csv&limit=2")
    text = await reply.text()

    assert reply.content_type == "text/csv"
    assert text.splitlines()[1:] == [
        "2026-11-20T03:46:00Z,101.0,103.0,100.0,102.0,10,,3,kite_ws,final,regular,0",
        "2026-11-20T03:47:00Z,102.0,104.0,101.0,103.0,10,,3,kite_ws,final,regular,0",
    ]
    assert reply.headers["Link"].endswith('&end=2026-11-20T03:46:00Z>; rel="next"')
    assert reply.headers["Missing-Ranges"] == "1"


async def test_preopen_auction_and_postclose_come_only_if_asked_for_and_unknown_always(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.add(candles(at("09:08:00"), 1, session=Session.PREOPEN))
    reader.add(candles(at("09:15:00"), 1))
    reader.add(candles(at("15:20:00"), 1, session=Session.AUCTION))
    reader.add(candles(at("15:40:00"), 1, session=Session.POSTCLOSE))
    reader.add(candles(at("17:00:00"), 1, session=Session.UNKNOWN))

    assert column(await api.json(QUERY), "session") == ["regular", "unknown"]
    assert column(await api.json(f"{QUERY}&session=all"), "session") == [
        "preopen", "regular", "auction", "postclose", "unknown",
    ]  # fmt: skip


async def test_hidden_sessions_do_not_count_towards_the_limit(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 5))
    reader.add(candles(at("15:15:00"), 40, session=Session.POSTCLOSE))

    document = await api.json(f"{QUERY}&limit=5")

    assert column(document, "open") == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert "truncated" not in document


async def test_nothing_stored_is_no_error_and_the_day_so_far_is_missing(
    make_api: MakeApi, reader: FakeReader
) -> None:
    api = await make_api(reader, now=at("10:00:00"))

    document = await api.json(QUERY)

    assert document["candles"] == []
    assert document["missing"] == [["2026-11-20T03:45:00Z", "2026-11-20T04:29:40Z", "unrecorded"]]


async def test_missing_is_clipped_to_the_asked_range_and_to_trading_hours(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.hear(OPEN, at("10:00:00"))
    reader.miss(at("10:00:00"), None, "mute")

    document = await api.json(f"{QUERY}&start=2026-11-20T00:00:00Z&end=2026-11-20T05:00:00Z")
    assert document["missing"] == [["2026-11-20T04:30:00Z", "2026-11-20T05:00:00Z", "mute"]]

    document = await api.json(f"{QUERY}&start=2026-11-20T00:00:00Z")
    assert document["missing"] == [["2026-11-20T04:30:00Z", "2026-11-20T09:45:00Z", "mute"]]

    document = await api.json(f"{QUERY}&start=2026-11-20T00:00:00Z&session=all")
    assert document["missing"] == [
        ["2026-11-20T03:30:00Z", "2026-11-20T03:45:00Z", "unrecorded"],
        ["2026-11-20T04:30:00Z", "2026-11-20T10:30:00Z", "mute"],
    ]


async def test_what_was_just_received_and_not_yet_committed_is_not_called_missing(
    make_api: MakeApi, reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 10))
    reader.hear(OPEN, OPEN + 10 * MINUTE)
    api = await make_api(reader, now=OPEN + 10 * MINUTE + 15 * SECOND_NS)

    assert (await api.json(QUERY))["missing"] == []
    api.clock[0] += 15 * SECOND_NS
    assert len((await api.json(QUERY))["missing"]) == 1


async def test_seconds_that_history_covers_are_still_missing(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 3, 1))
    reader.add(candles(OPEN, 1))
    reader.hear(OPEN, CLOSE, source="yfinance", interval_s=60)

    ask = "&start=2026-11-20T03:45:00Z&end=2026-11-20T03:45:03Z"
    assert len((await api.json(f"{QUERY}&interval=1s{ask}"))["missing"]) == 1
    assert (await api.json(f"{QUERY}{ask}"))["missing"] == []


async def test_the_store_being_away_is_503_with_a_problem_document(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.down = True

    problem = await api.json(QUERY, status=503)

    assert "the database can't answer now" in problem["detail"]


def building(instrument_id: int, interval_s: int) -> Candles:
    """What a machine has in hand: the minute of 09:25, or nothing."""
    if (instrument_id, interval_s) != (RELIANCE.id, 60):
        return Candles(np.empty(0, CANDLE))
    return candles(OPEN + 10 * MINUTE, 1, open=7, state=State.PARTIAL)


async def test_forming_candles_come_only_if_asked_for(make_api: MakeApi, reader: FakeReader) -> None:
    reader.add(candles(OPEN, 10))
    reader.hear(OPEN, OPEN + 10 * MINUTE)
    api = await make_api(reader, now=OPEN + 10 * MINUTE + 5 * SECOND_NS, forming=building)

    assert column(await api.json(QUERY), "state") == ["final"] * 10
    document = await api.json(f"{QUERY}&forming=true&limit=2")
    assert column(document, "state") == ["final", "forming"]
    assert column(document, "open") == [109.0, 7.0]
    assert column(await api.json(f"{QUERY}&forming=true&end=2026-11-20T03:55:00Z"), "state") == ["final"] * 10


async def test_a_symbol_that_always_trades_has_no_closed_hours(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    rows = candles(at("03:00:00"), 5)
    rows["instrument_id"] = BITCOIN.id
    reader.add(rows)

    document = await api.json("/candles?symbol=BTCUSDT.BINANCE&start=2026-11-19T00:00:00Z")

    assert len(document["candles"]) == 5
    assert document["missing"] == [["2026-11-19T00:00:00Z", "2026-11-20T12:29:40Z", "unrecorded"]]


async def test_missing_ranges_are_bounded(api: Api[FakeReader], reader: FakeReader) -> None:
    for second in range(0, 4_000, 2):
        reader.hear(OPEN + second * SECOND_NS, OPEN + (second + 1) * SECOND_NS)

    document = await api.json(f"{QUERY}&start=2026-11-20T03:45:00Z")

    assert len(document["missing"]) == 1_000
    assert document["missing_truncated"] is True
    assert document["missing"][-1][1] == "2026-11-20T09:45:00Z"


async def test_candles_that_retention_dropped_are_named_as_missing(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.hear(OPEN, CLOSE)
    reader.dropped = {1: OPEN + 2 * MINUTE}
    reader.add(candles(OPEN + 2 * MINUTE, 60, 1))

    asked = "start=2026-11-20T09:16:00%2B05:30&end=2026-11-20T09:18:00%2B05:30"
    document = await api.json(f"{QUERY}&interval=1s&limit=99&{asked}")

    assert document["missing"] == [["2026-11-20T03:46:00Z", "2026-11-20T03:47:00Z", "retention"]]
    assert (await api.json(f"{QUERY}&interval=1m&{asked}"))["missing"] == []
