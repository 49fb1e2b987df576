"""What is stored in several lengths: each coarse candle is made of the one, or those, that have all of it."""

from itertools import pairwise

import pytest

from mdingest.core.events import Candles
from mdingest.core.rank import BY_NAME
from mdingest.core.session import DAY_NS, SECOND_NS
from tests.support.fake_reader import BITCOIN, RELIANCE, FakeReader, at, candles
from tests.support.served import Api, MakeApi
from tests.unit.api.test_coarse import column

HOUR = 3_600 * SECOND_NS
MIDNIGHT = at("05:30:00", "2026-11-20")  # 00:00 UTC of the last day
FIRST = MIDNIGHT - 9 * DAY_NS
NOW = MIDNIGHT + DAY_NS + HOUR
QUERY = "/candles?symbol=BTCUSDT.BINANCE&interval="


def fetched(reader: FakeReader, start: int, end: int, interval_s: int, *, only: int | None = None) -> None:
    """Candles of a whole range and their coverage; ``only``: the reply ended there, rows go on."""
    count = (end - start) // (interval_s * SECOND_NS)
    rows = candles(start, count, interval_s, instrument_id=BITCOIN.id, source=BY_NAME["binance"].id)
    rows["volume"] = interval_s
    reader.add(Candles(rows))
    reader.hear(start, end if only is None else only, "binance", BITCOIN, interval_s)


@pytest.fixture
async def always(make_api: MakeApi, reader: FakeReader) -> Api[FakeReader]:
    """An hour after the last of ten days."""
    return await make_api(reader, now=NOW)


async def test_late_minutes_hide_no_older_hours(always: Api[FakeReader], reader: FakeReader) -> None:
    fetched(reader, FIRST, MIDNIGHT + DAY_NS, 3_600)
    fetched(reader, MIDNIGHT + 2 * HOUR, MIDNIGHT + DAY_NS, 60)

    hours = await always.json(f"{QUERY}4h&limit=100")
    days = await always.json(f"{QUERY}1d&limit=100")

    assert len(hours["candles"]) == 60
    assert column(hours, "volume") == [4 * 3_600] * 60
    assert set(column(hours, "state")) == {"final"}
    assert column(days, "volume") == [86_400] * 10
    assert set(column(days, "state")) == {"final"}
    for document in (hours, days):
        assert [hole for hole in document["missing"] if hole[0] < "2026-11-21"] == []
        assert "truncated" not in document


@pytest.mark.parametrize(("interval", "count"), [("15m", 12 * 96), ("1h", 12 * 24), ("1d", 12)])
async def test_later_minutes_hide_no_older_five_minutes(
    make_api: MakeApi, reader: FakeReader, interval: str, count: int
) -> None:
    fetched(reader, FIRST, MIDNIGHT + DAY_NS, 300)
    fetched(reader, MIDNIGHT + DAY_NS, MIDNIGHT + 3 * DAY_NS, 60)
    api = await make_api(reader, now=MIDNIGHT + 3 * DAY_NS)

    document = await api.json(f"{QUERY}{interval}&limit=2000")

    assert len(document["candles"]) == count
    assert set(column(document, "volume")) == {12 * 86_400 // count}
    assert set(column(document, "state")) == {"final"}
    assert document["missing"] == []


async def test_a_candle_that_two_lengths_fill_together_is_final(
    always: Api[FakeReader], reader: FakeReader
) -> None:
    fetched(reader, MIDNIGHT - 4 * HOUR, MIDNIGHT + HOUR, 3_600)
    fetched(reader, MIDNIGHT + HOUR, MIDNIGHT + 8 * HOUR, 60)

    document = await always.json(f"{QUERY}4h&end=2026-11-20T08:00:00Z")

    assert column(document, "state") == ["final"] * 3
    assert column(document, "volume") == [4 * 3_600] * 3
    assert column(document, "open") == [100.0, 104.0, 280.0]  # of the hour, and then of the minutes
    assert column(document, "close") == [104.0, 280.0, 520.0]
    assert document["missing"] == []


async def test_a_candle_that_no_lengths_fill_together_is_partial_and_says_what_it_lacks(
    always: Api[FakeReader], reader: FakeReader
) -> None:
    fetched(reader, MIDNIGHT, MIDNIGHT + HOUR, 3_600)
    fetched(reader, MIDNIGHT + HOUR, MIDNIGHT + 3 * HOUR, 60)

    document = await always.json(f"{QUERY}4h&end=2026-11-20T04:00:00Z")

    assert column(document, "state") == ["partial"]
    assert column(document, "volume") == [3 * 3_600]
    assert document["missing"] == [["2026-11-20T03:00:00Z", "2026-11-20T04:00:00Z", "unrecorded"]]


async def test_minutes_stay_where_a_longer_length_knows_of_no_trade(
    always: Api[FakeReader], reader: FakeReader
) -> None:
    """It was fetched and lacks the bar: some vendors leave out those of thin shares for a day."""
    minute = 60 * SECOND_NS
    fetched(reader, MIDNIGHT, MIDNIGHT + 2 * minute, 60)
    fetched(reader, MIDNIGHT + 3 * minute, MIDNIGHT + HOUR, 60)
    fetched(reader, MIDNIGHT + 10 * minute, MIDNIGHT + 20 * minute, 300)
    reader.hear(MIDNIGHT, MIDNIGHT + 10 * minute, "binance", BITCOIN, 300)

    (candle,) = (await always.json(f"{QUERY}1h&start=2026-11-20T00:00:00Z&end=2026-11-20T01:00:00Z"))[
        "candles"
    ]

    assert (candle["volume"], candle["state"]) == (59 * 60, "partial")


async def test_one_length_that_has_all_of_a_candle_goes_before_several(
    always: Api[FakeReader], reader: FakeReader
) -> None:
    minute = 60 * SECOND_NS
    fetched(reader, MIDNIGHT, MIDNIGHT + 2 * minute, 60)
    fetched(reader, MIDNIGHT + 3 * minute, MIDNIGHT + HOUR, 60)
    fetched(reader, MIDNIGHT, MIDNIGHT + 10 * minute, 300)
    reader.rows[BITCOIN.id, 300]["volume"] = 1_000.0

    found = await always.json(f"{QUERY}10m&start=2026-11-19T23:50:00Z&end=2026-11-20T00:20:00Z")

    assert column(found, "volume") == [2_000.0, 600.0]


async def test_live_minutes_end_what_was_fetched_in_hours(
    always: Api[FakeReader], reader: FakeReader
) -> None:
    fetched(reader, MIDNIGHT, MIDNIGHT + 3 * HOUR, 3_600)
    reader.hear(MIDNIGHT + 3 * HOUR, MIDNIGHT + 4 * HOUR, "binance_ws", BITCOIN)
    reader.add(candles(MIDNIGHT + 3 * HOUR, 60, instrument_id=BITCOIN.id, source=BY_NAME["binance_ws"].id))

    document = await always.json(f"{QUERY}4h&end=2026-11-20T04:00:00Z")

    assert column(document, "state") == ["final"]
    assert column(document, "volume") == [3 * 3_600 + 60 * 10]
    assert column(document, "source") == ["mixed"]
    assert document["missing"] == []


async def test_a_longer_candle_stands_for_all_of_its_minutes_and_none_counts_twice(
    always: Api[FakeReader], reader: FakeReader
) -> None:
    fetched(reader, MIDNIGHT, MIDNIGHT + 90 * 60 * SECOND_NS, 60)  # ends inside an hour
    fetched(reader, MIDNIGHT + HOUR, MIDNIGHT + 4 * HOUR, 3_600)

    document = await always.json(f"{QUERY}4h&end=2026-11-20T04:00:00Z")

    assert column(document, "state") == ["final"]
    assert column(document, "volume") == [4 * 3_600]


async def test_a_range_is_filled_from_its_start_and_no_further(
    always: Api[FakeReader], reader: FakeReader
) -> None:
    fetched(reader, FIRST, MIDNIGHT + DAY_NS, 3_600)
    fetched(reader, MIDNIGHT + 2 * HOUR, MIDNIGHT + DAY_NS, 60)

    document = await always.json(f"{QUERY}4h&limit=100&start=2026-11-19T00:00:00Z&end=2026-11-20T08:00:00Z")
    last = await always.json(f"{QUERY}4h&limit=3&end=2026-11-20T08:00:00Z")

    assert column(document, "volume") == [4 * 3_600] * 8
    assert document["missing"] == []
    assert "truncated" not in document
    assert column(last, "ts_utc") == ["2026-11-19T20:00:00Z", "2026-11-20T00:00:00Z", "2026-11-20T04:00:00Z"]
    assert last["truncated"] is True


async def test_a_week_is_as_complete_as_its_days(make_api: MakeApi, reader: FakeReader) -> None:
    monday = MIDNIGHT - 4 * DAY_NS
    fetched(reader, monday - 7 * DAY_NS, MIDNIGHT, 86_400)
    fetched(reader, MIDNIGHT, MIDNIGHT + 3 * DAY_NS, 3_600, only=MIDNIGHT + 2 * DAY_NS)
    fetched(reader, MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * DAY_NS, 60)
    api = await make_api(reader, now=MIDNIGHT + 3 * DAY_NS)

    document = await api.json(f"{QUERY}1w")

    assert column(document, "volume") == [7 * 86_400] * 2
    assert column(document, "state") == ["final", "final"]
    assert document["missing"] == []
    reader.heard = [row for row in reader.heard if row.interval_s != 3_600]
    lacking = await api.json(f"{QUERY}1w")
    assert column(lacking, "state") == ["final", "partial"]
    assert lacking["missing"] == [["2026-11-20T00:00:00Z", "2026-11-20T02:00:00Z", "unrecorded"]]


async def test_days_that_were_fetched_vouch_for_no_day_made_of_minutes(
    make_api: MakeApi, reader: FakeReader
) -> None:
    reader.add(candles(at("11:15:00"), 240))
    reader.hear(at("11:15:00"), at("16:00:00"))
    reader.hear(at("00:00:00"), at("00:00:00", "2026-11-21"), "bhavcopy", RELIANCE, 86_400)
    api = await make_api(reader, now=at("18:00:00"))

    document = await api.json("/candles?symbol=RELIANCE.NS&interval=1d")

    assert column(document, "state") == ["partial"]
    assert document["missing"][-1] == ["2026-11-20T03:30:00Z", "2026-11-20T05:45:00Z", "unrecorded"]


async def test_a_growing_candle_has_its_first_hours_and_its_last_minutes(
    make_api: MakeApi, reader: FakeReader
) -> None:
    fetched(reader, MIDNIGHT - 4 * HOUR, MIDNIGHT + 2 * HOUR, 3_600)
    reader.hear(MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * HOUR, "binance_ws", BITCOIN)
    reader.add(candles(MIDNIGHT + 2 * HOUR, 60, instrument_id=BITCOIN.id, close=1_000, high=1_000))
    api = await make_api(reader, now=MIDNIGHT + 3 * HOUR)

    document = await api.json(f"{QUERY}4h&forming=true")

    assert column(document, "state") == ["final", "forming"]
    assert (document["candles"][-1]["open"], document["candles"][-1]["close"]) == (104.0, 1_000.0)


async def test_pages_out_of_several_lengths_meet_without_a_seam(
    always: Api[FakeReader], reader: FakeReader
) -> None:
    fetched(reader, FIRST, MIDNIGHT + DAY_NS, 3_600)
    fetched(reader, MIDNIGHT - 46 * HOUR, MIDNIGHT + DAY_NS, 60)
    path, found = f"{QUERY}4h&limit=7", []

    while path:
        document = await always.json(path)
        found[:0] = [(candle["ts_utc"], candle["volume"], candle["state"]) for candle in document["candles"]]
        path = document.get("next")

    assert len(found) == 60
    assert all(one < other for one, other in pairwise(found))
    assert {(volume, state) for _, volume, state in found} == {(4.0 * 3_600, "final")}


async def test_minutes_that_have_all_of_it_are_asked_alone(
    always: Api[FakeReader], reader: FakeReader
) -> None:
    fetched(reader, FIRST, MIDNIGHT + DAY_NS, 60)
    await always.json(f"{QUERY}4h&limit=5&end=2026-11-21T00:00:00Z")  # who the symbol is

    asked = reader.asked
    document = await always.json(f"{QUERY}4h&limit=5&end=2026-11-21T00:00:00Z")

    assert set(column(document, "state")) == {"final"}
    assert reader.asked - asked == 1
