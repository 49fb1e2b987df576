"""Intervals that are not stored are coarsened on read, and never claim more than was heard."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mdingest.api import tails
from mdingest.core.events import Candles, State
from mdingest.core.rank import BY_NAME
from mdingest.core.session import SECOND_NS, Session
from tests.support.fake_reader import BITCOIN, RELIANCE, FakeReader, at, candles
from tests.support.served import Api, MakeApi

MINUTE = 60 * SECOND_NS
OPEN, CLOSE = at("09:15:00"), at("15:15:00")
QUERY = "/candles?symbol=RELIANCE.NS&interval="
NOW = at("18:00:00")


def column(document: dict[str, Any], name: str) -> list[Any]:
    return [candle[name] for candle in document["candles"]]


@pytest.fixture
def day(reader: FakeReader) -> FakeReader:
    """All 360 minutes of regular hours, all heard."""
    reader.add(candles(OPEN, 360))
    reader.hear(at("08:00:00"), at("17:00:00"))
    return reader


@pytest.mark.usefixtures("day")
async def test_five_minutes_are_the_merge_of_five(api: Api[FakeReader]) -> None:
    (candle,) = (await api.json(f"{QUERY}5m&limit=1&end=2026-11-20T03:50:00Z"))["candles"]

    assert candle == {
        "ts_utc": "2026-11-20T03:45:00Z", "open": 100.0, "high": 106.0, "low": 99.0, "close": 105.0,
        "volume": 50, "oi": None, "trades": 15, "source": "kite_ws", "state": "final",
        "session": "regular", "revision": 0,
    }  # fmt: skip


@pytest.mark.usefixtures("day")
@pytest.mark.parametrize(
    ("interval", "opens"),
    [
        ("1h", ["03:45", "04:45", "05:45", "06:45", "07:45", "08:45"]),
        ("2h", ["03:45", "05:45", "07:45"]),
        ("90m", ["03:45", "05:15", "06:45", "08:15"]),
        ("7h", ["03:45"]),
    ],
)
async def test_hours_hang_on_the_opening_of_the_day(
    api: Api[FakeReader], interval: str, opens: list[str]
) -> None:
    document = await api.json(f"{QUERY}{interval}")

    assert column(document, "ts_utc") == [f"2026-11-20T{text}:00Z" for text in opens]
    assert set(column(document, "state")) == {"final"}
    assert sum(column(document, "volume")) == 3_600


@pytest.mark.usefixtures("day")
async def test_the_window_cuts_the_last_bucket_short(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(CLOSE, 20, session=Session.AUCTION))

    regular = await api.json(f"{QUERY}4h")
    everything = await api.json(f"{QUERY}4h&session=all")

    assert column(regular, "volume") == [2_400, 1_200]
    assert column(everything, "volume") == [2_400, 1_200, 200]
    assert column(everything, "session") == ["regular", "regular", "auction"]
    assert column(everything, "ts_utc")[-1] == "2026-11-20T09:45:00Z"


async def test_a_day_is_named_by_its_date_and_gathers_every_session(
    api: Api[FakeReader], day: FakeReader
) -> None:
    day.add(candles(at("09:07:00"), 1, session=Session.PREOPEN, open=50, low=49))
    day.add(candles(CLOSE, 20, session=Session.AUCTION))

    (candle,) = (await api.json(f"{QUERY}1d"))["candles"]

    assert candle["ts_utc"] == "2026-11-20T00:00:00Z"
    assert (candle["open"], candle["low"]) == (50.0, 49.0)
    assert candle["volume"] == 3_600 + 10 + 200
    assert (candle["state"], candle["session"]) == ("final", "regular")


async def test_a_day_is_over_when_the_exchange_is_not_at_midnight(make_api: MakeApi, day: FakeReader) -> None:
    api = await make_api(day, now=at("15:50:00"))
    assert column(await api.json(f"{QUERY}1d"), "state") == []
    assert column(await api.json(f"{QUERY}1d&forming=true"), "state") == ["forming"]

    api.clock[0] = at("16:00:10")
    assert column(await api.json(f"{QUERY}1d"), "state") == ["final"]


async def test_a_week_is_named_by_its_monday(make_api: MakeApi, reader: FakeReader) -> None:
    for date, opening in (("2026-11-12", 10), ("2026-11-13", 20), ("2026-11-16", 30), ("2026-11-20", 40)):
        reader.add(candles(at("09:15:00", date), 2, open=opening))
    reader.hear(at("09:00:00", "2026-11-01"), at("17:00:00", "2026-11-30"))
    api = await make_api(reader, now=at("17:00:00", "2026-11-22"))

    document = await api.json(f"{QUERY}1w")

    assert column(document, "ts_utc") == ["2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z"]
    assert column(document, "open") == [10.0, 30.0]
    assert column(document, "volume") == [40, 40]
    assert column(document, "state") == ["final", "final"]


async def test_a_bucket_with_a_hole_is_partial_and_the_others_are_not(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 360))
    reader.hear(OPEN, at("10:20:00"))
    reader.hear(at("10:21:00"), CLOSE)

    document = await api.json(f"{QUERY}1h")

    assert column(document, "state") == ["final", "partial", "final", "final", "final", "final"]
    assert document["missing"] == [["2026-11-20T04:50:00Z", "2026-11-20T04:51:00Z", "unrecorded"]]


async def test_a_hole_where_no_trade_was_stored_makes_its_bucket_partial_too(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 5))
    reader.hear(OPEN, at("09:25:00"))

    assert column(await api.json(f"{QUERY}30m"), "state") == ["partial"]


@pytest.mark.usefixtures("day")
async def test_a_partial_minute_makes_its_hour_partial(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.rows[1, 60]["state"][70] = State.PARTIAL

    assert column(await api.json(f"{QUERY}1h"), "state")[:3] == ["final", "partial", "final"]


@pytest.mark.usefixtures("day")
async def test_sources_that_differ_are_mixed(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.rows[1, 60]["source"][61] = BY_NAME["kite"].id
    reader.rows[1, 60]["trades"][61] = -1

    document = await api.json(f"{QUERY}1h")

    assert column(document, "source")[:2] == ["kite_ws", "mixed"]
    assert column(document, "trades")[:2] == [180, None]


@pytest.mark.usefixtures("day")
async def test_a_stored_row_of_the_asked_interval_beats_a_coarsened_one(
    api: Api[FakeReader], reader: FakeReader
) -> None:
    stored = candles(OPEN + 5 * MINUTE, 1, 300, open=1, source=BY_NAME["yfinance"].id, trades=-1)
    reader.add(stored)

    document = await api.json(f"{QUERY}5m&end=2026-11-20T04:00:00Z")

    assert column(document, "open") == [100.0, 1.0, 110.0]
    assert column(document, "source") == ["kite_ws", "yfinance", "kite_ws"]
    assert column(document, "state") == ["final"] * 3


async def test_only_stored_rows_are_enough(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(OPEN, 3, 300, source=BY_NAME["yfinance"].id))
    reader.hear(OPEN, CLOSE, source="yfinance", interval_s=300)

    document = await api.json(f"{QUERY}5m")

    assert column(document, "source") == ["yfinance"] * 3
    assert document["missing"] == []


async def test_where_there_are_no_minutes_seconds_do(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(OPEN, 600, 1))
    reader.hear(OPEN, CLOSE)

    assert column(await api.json(f"{QUERY}1m"), "volume") == [600] * 10
    assert column(await api.json(f"{QUERY}5m"), "volume") == [3_000, 3_000]
    assert len((await api.json(f"{QUERY}1m&limit=3"))["candles"]) == 3


async def test_a_minute_made_of_seconds_grows_until_it_is_over(make_api: MakeApi, reader: FakeReader) -> None:
    reader.add(candles(OPEN, 90, 1))
    reader.hear(OPEN, OPEN + 90 * SECOND_NS)
    api = await make_api(reader, now=OPEN + 91 * SECOND_NS)

    assert column(await api.json(f"{QUERY}1m"), "state") == ["final"]
    assert column(await api.json(f"{QUERY}1m&forming=true"), "state") == ["final", "forming"]


async def test_pages_of_coarse_candles_meet_without_a_seam(api: Api[FakeReader], reader: FakeReader) -> None:
    for date in ("2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20"):
        reader.add(candles(at("09:15:00", date), 360))
    reader.hear(at("09:00:00", "2026-11-16"), CLOSE)
    path, found = f"{QUERY}15m&limit=17", []

    while path:
        document = await api.json(path)
        found[:0] = [(candle["ts_utc"], candle["volume"]) for candle in document["candles"]]
        assert document["missing"] == []
        path = document.get("next")

    assert len(found) == 4 * 24
    assert len({ts for ts, _ in found}) == len(found)
    assert [ts for ts, _ in found] == sorted(ts for ts, _ in found)
    assert {volume for _, volume in found} == {150}


@pytest.mark.usefixtures("day")
async def test_start_lies_on_a_bucket_or_the_bucket_before_it_is_left_out(api: Api[FakeReader]) -> None:
    document = await api.json(f"{QUERY}1h&start=2026-11-20T03:45:01Z&end=2026-11-20T05:45:01Z")

    assert column(document, "ts_utc") == ["2026-11-20T04:45:00Z", "2026-11-20T05:45:00Z"]
    assert column(document, "volume") == [600, 600]


async def test_days_begin_and_end_with_their_names(make_api: MakeApi, reader: FakeReader) -> None:
    for date in ("2026-11-18", "2026-11-19", "2026-11-20"):
        reader.add(candles(at("09:15:00", date), 360))
    reader.hear(at("09:00:00", "2026-11-17"), CLOSE)
    api = await make_api(reader, now=at("20:00:00"))

    document = await api.json(f"{QUERY}1d&start=2026-11-19T00:00:00Z&end=2026-11-20T00:00:00Z")

    assert column(document, "ts_utc") == ["2026-11-19T00:00:00Z"]
    assert column(document, "volume") == [3_600]


async def test_the_bucket_that_may_still_grow_is_shown_only_as_forming(
    make_api: MakeApi, reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 7))
    reader.hear(OPEN, OPEN + 7 * MINUTE)

    def building(instrument_id: int, interval_s: int) -> Candles:
        rows = candles(OPEN + 7 * MINUTE, 1, close=1_000, high=1_000)
        return rows if (instrument_id, interval_s) == (RELIANCE.id, 60) else Candles(rows[:0])

    api = await make_api(reader, now=OPEN + 7 * MINUTE + SECOND_NS, forming=building)

    assert column(await api.json(f"{QUERY}5m"), "state") == ["final"]
    document = await api.json(f"{QUERY}5m&forming=true")
    assert column(document, "state") == ["final", "forming"]
    assert column(document, "close") == [105.0, 1_000.0]
    assert column(document, "volume") == [50, 30]


async def test_a_bucket_that_still_grows_takes_no_place_in_a_limited_reply(
    make_api: MakeApi, reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 17))
    reader.hear(OPEN, OPEN + 17 * MINUTE)
    api = await make_api(reader, now=OPEN + 17 * MINUTE + SECOND_NS)

    document = await api.json(f"{QUERY}5m&limit=2")
    assert column(document, "ts_utc") == ["2026-11-20T03:50:00Z", "2026-11-20T03:55:00Z"]
    assert document["missing"] == []
    older = await api.json(document["next"])
    assert column(older, "ts_utc") == ["2026-11-20T03:45:00Z"]
    assert "next" not in older
    whole = await api.json(f"{QUERY}5m&limit=3&start=2026-11-20T03:45:00Z")
    assert (len(whole["candles"]), whole.get("truncated")) == (3, None)


async def test_a_bucket_that_just_ended_waits_for_its_last_minute(
    make_api: MakeApi, reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 9))
    reader.hear(OPEN, OPEN + 10 * MINUTE)
    api = await make_api(reader, now=OPEN + 10 * MINUTE + SECOND_NS)
    assert len((await api.json(f"{QUERY}5m"))["candles"]) == 1

    reader.add(candles(OPEN + 9 * MINUTE, 1))
    reader.hear(OPEN, OPEN + 10 * MINUTE + 12 * SECOND_NS)
    api.clock[0] += 12 * SECOND_NS
    assert column(await api.json(f"{QUERY}5m"), "state") == ["final", "final"]


async def test_a_dead_feed_does_not_hide_the_last_bucket_for_ever(
    make_api: MakeApi, reader: FakeReader
) -> None:
    reader.add(candles(OPEN, 9))
    reader.hear(OPEN, OPEN + 9 * MINUTE)
    api = await make_api(reader, now=OPEN + 12 * MINUTE)

    assert column(await api.json(f"{QUERY}5m"), "state") == ["final", "partial"]


async def test_what_always_trades_counts_from_midnight_utc(api: Api[FakeReader], reader: FakeReader) -> None:
    rows = candles(at("00:00:00"), 240)  # 18:30Z on
    rows["instrument_id"] = BITCOIN.id
    reader.add(rows)
    reader.hear(at("00:00:00"), at("05:00:00"), "binance_ws", BITCOIN)

    document = await api.json("/candles?symbol=BTCUSDT.BINANCE&interval=1h")

    opens = ["19T18", "19T19", "19T20", "19T21", "19T22"]
    assert column(document, "ts_utc") == [f"2026-11-{text}:00:00Z" for text in opens]
    assert column(document, "volume") == [300, 600, 600, 600, 300]
    assert column(document, "state") == ["partial", "final", "final", "final", "final"]


async def test_a_class_that_no_calendar_knows_is_read_like_an_open_market(
    make_api: MakeApi, reader: FakeReader
) -> None:
    reader.known = [replace(RELIANCE, session_class="gone")]
    reader.add(candles(OPEN, 60))
    reader.hear(OPEN - MINUTE, at("11:00:00"))
    api = await make_api(reader, now=NOW)

    assert column(await api.json(f"{QUERY}1h"), "ts_utc") == ["2026-11-20T03:00:00Z", "2026-11-20T04:00:00Z"]


async def test_an_index_keeps_its_volume_unknown(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(OPEN, 5, volume=np.nan))
    reader.hear(OPEN, CLOSE)

    assert column(await api.json(f"{QUERY}5m"), "volume") == [None]


async def test_the_work_of_one_question_is_bounded_and_what_it_shows_is_whole(
    make_api: MakeApi, reader: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "SCAN_ROWS", 100)
    monkeypatch.setattr(tails, "_PAGE_ROWS", 53)  # no multiple of 5: pages begin within a bucket
    reader.add(candles(OPEN, 360))
    reader.add(candles(OPEN, 1, 300))  # stored as asked, but far older than where we stop
    reader.hear(OPEN, CLOSE)
    api = await make_api(reader, now=NOW)

    document = await api.json(f"{QUERY}5m&limit=60")

    assert column(document, "volume") == [50] * 21
    assert document["truncated"] is True
    assert document["next"].endswith(f"end={document['candles'][0]['ts_utc']}")
