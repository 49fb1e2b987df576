"""`/symbols`, `/gaps` and `/coverage`."""

import pytest

from mdingest.core.session import SECOND_NS
from tests.support.fake_reader import FakeReader, at, candles
from tests.support.served import Api

OPEN = at("09:15:00")
SYMBOL = "symbol=RELIANCE.NS"


async def test_symbols_come_with_their_newest_candles(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.add(candles(OPEN, 3))
    reader.add(candles(OPEN, 90, 1))

    document = await api.json("/symbols")

    assert [row["symbol"] for row in document["symbols"]] == ["BTCUSDT.BINANCE", "NIFTY 50", "RELIANCE.NS"]
    assert document["symbols"][2] == {
        "symbol": "RELIANCE.NS",
        "exchange": "NSE",
        "name": "RELIANCE INDUSTRIES",
        "session_class": "NSE.EQ.cas",
        "last": {"1s": "2026-11-20T03:46:29Z", "1m": "2026-11-20T03:47:00Z"},
    }


async def test_symbols_can_be_searched_and_are_cut_aloud(api: Api[FakeReader]) -> None:
    assert [row["symbol"] for row in (await api.json("/symbols?q=rel"))["symbols"]] == ["RELIANCE.NS"]
    document = await api.json("/symbols?limit=2")
    assert len(document["symbols"]) == 2
    assert document["truncated"] is True


async def test_gaps_are_shown_as_recorded(api: Api[FakeReader], reader: FakeReader) -> None:
    reader.miss(OPEN, OPEN + 90 * SECOND_NS, "disconnect")
    reader.miss(OPEN + 200 * SECOND_NS, None, "mute")

    document = await api.json(f"/gaps?{SYMBOL}")

    first = {"source": "kite_ws", "volume": None, "start": "2026-11-20T03:45:00Z"}
    first |= {"repair": "open", "reason": "", "attempts": 0}
    assert document["symbol"] == "RELIANCE.NS"
    assert document["gaps"][0] == first | {"cause": "disconnect", "end": "2026-11-20T03:46:30Z"}
    assert document["gaps"][1]["end"] is None
    assert len((await api.json(f"/gaps?{SYMBOL}&end=2026-11-20T03:46:00Z"))["gaps"]) == 1


async def test_what_nobody_recorded_is_a_gap_too(api: Api[FakeReader], reader: FakeReader) -> None:
    """A daemon that never came back writes nothing: trading hours less coverage say it all."""
    reader.hear(OPEN + 60 * SECOND_NS, OPEN + 600 * SECOND_NS)
    reader.hear(OPEN + 900 * SECOND_NS, at("15:30:00"))
    reader.miss(OPEN + 600 * SECOND_NS, OPEN + 700 * SECOND_NS, "disconnect")

    gaps = (await api.json(f"/gaps?{SYMBOL}"))["gaps"]

    assert [(gap["cause"], gap["start"][11:19], gap["end"][11:19], gap["source"]) for gap in gaps] == [
        ("disconnect", "03:55:00", "03:56:40", "kite_ws"),
        ("unrecorded", "03:56:40", "04:00:00", None),
        ("unrecorded", "10:00:00", "10:30:00", None),
    ]
    ends = "start=2026-11-20T05:00:00Z&end=2026-11-20T06:00:00Z"
    assert (await api.json(f"/gaps?{SYMBOL}&{ends}"))["gaps"] == []


async def test_coverage_is_shown_as_recorded(api: Api[FakeReader], reader: FakeReader) -> None:
    for minute in range(5):
        start = OPEN + minute * 60 * SECOND_NS
        reader.hear(start, start + 30 * SECOND_NS)

    reader.hear(OPEN, OPEN + 300 * SECOND_NS, "yfinance", interval_s=60)

    document = await api.json(f"/coverage?{SYMBOL}&limit=2")

    live = {"source": "kite_ws"}

    assert document["coverage"] == [
        live | {"start": "2026-11-20T03:49:00Z", "end": "2026-11-20T03:49:30Z"},
        {
            "source": "yfinance",
            "interval": "1m",
            "start": "2026-11-20T03:45:00Z",
            "end": "2026-11-20T03:50:00Z",
        },
    ]
    assert document["truncated"] is True


@pytest.mark.parametrize("path", ["/gaps", "/coverage"])
async def test_a_symbol_is_needed_and_times_are_checked(api: Api[FakeReader], path: str) -> None:
    assert "symbol is missing" in (await api.json(path, status=400))["detail"]
    assert "start must be before" in (await api.json(f"{path}?{SYMBOL}&start=5&end=5", status=400))["detail"]
    assert "RFC 3339" in (await api.json(f"{path}?{SYMBOL}&start=2026-11-20", status=400))["detail"]
    await api.json(f"{path}?symbol=NOBODY.NS", status=404)
