"""The simulated broker's candles over REST: what its own trades come to, and nothing else."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mdingest.simulators.instruments import default_instruments
from mdingest.simulators.kite_history import MinuteBars
from mdingest.simulators.market import Market, S, Trades
from mdingest.simulators.trades import joined

BEGIN = int(datetime(2026, 11, 20, 4, 0, 30, tzinfo=UTC).timestamp())  # 09:30:30 in India
DAY = {"from": "2026-11-20 00:00:00", "to": "2026-11-20 23:59:59"}


@pytest.fixture(scope="module")
def run() -> tuple[MinuteBars, Trades, Any]:
    """Eleven minutes in odd steps."""
    instruments = default_instruments(datetime(2026, 11, 20, tzinfo=UTC).date())
    market, bars, all_ = Market(instruments, start_ns=BEGIN * S, seed=5), MinuteBars(instruments), []
    for second in range(0, 660, 7):
        all_.append(market.advance((BEGIN + second) * S))
        bars.take(all_[-1])
    return bars, joined(all_), instruments


def truth(trades: Trades, row: int, length_s: int, anchor: int = 0) -> list[list[float]]:
    """Opening second, prices and volume of each bucket, by a loop."""
    found: dict[int, list[float]] = {}
    for one in trades[trades["row"] == row].tolist():
        ts, price, size = one[1], one[5], one[6]
        at = (ts // S - anchor) // length_s * length_s + anchor
        bar = found.setdefault(at, [at, price, price, price, price, 0])
        bar[2], bar[3], bar[4] = max(bar[2], price), min(bar[3], price), price
        bar[5] += size
    return [found[at] for at in sorted(found)]


def spelt(candles: list[list[Any]], divisor: int) -> list[list[float]]:
    return [
        [
            datetime.strptime(row[0], "%Y-%m-%dT%H:%M:%S%z").timestamp(),
            *(round(price * divisor) for price in row[1:5]),
            row[5],
        ]
        for row in candles
    ]


@pytest.mark.parametrize(("interval", "length_s"), [("minute", 60), ("5minute", 300), ("60minute", 3_600)])
def test_candles_are_what_was_traded(
    run: tuple[MinuteBars, Trades, Any], interval: str, length_s: int
) -> None:
    bars, trades, instruments = run
    opening = BEGIN // 86_400 * 86_400 + 13_500  # 09:15 in India
    for row, one in enumerate(instruments):
        answer = bars.answer(str(one.token), interval, DAY)["candles"]
        wanted = truth(trades, row, length_s, opening)
        if one.is_index:
            wanted = [[*bar[:5], 0] for bar in wanted]
        assert spelt(answer, one.divisor) == wanted
        assert len(answer) > 0
    json.dumps(answer)


def test_a_day_is_named_by_its_midnight_in_india(run: tuple[MinuteBars, Trades, Any]) -> None:
    bars, _, instruments = run

    (day,) = bars.answer(str(instruments[0].token), "day", DAY)["candles"]

    assert day[0] == "2026-11-20T00:00:00+0530"


def test_both_ends_are_included_and_interest_only_if_asked(run: tuple[MinuteBars, Trades, Any]) -> None:
    bars, _, instruments = run
    asked = {"from": "2026-11-20 09:31:00", "to": "2026-11-20 09:33:00"}
    future = next(one for one in instruments if one.expiry is not None)

    rows = bars.answer(str(future.token), "minute", asked)["candles"]

    assert [row[0][11:19] for row in rows] == ["09:31:00", "09:32:00", "09:33:00"]
    assert {len(row) for row in rows} == {6}
    assert {len(row) for row in bars.answer(str(future.token), "minute", asked | {"oi": "1"})["candles"]} == {
        7
    }


@pytest.mark.parametrize(
    ("token", "interval", "query", "said"),
    [
        ("1", "minute", DAY, "invalid token"),
        ("x", "minute", DAY, "invalid token"),
        ("", "hour", DAY, "invalid interval"),
        ("", "minute", {"from": "2026-11-20"}, "invalid from date"),
        ("", "minute", DAY | {"to": "2027-11-20 00:00:00"}, "interval exceeds max limit: 60 days"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_the_brokers_words(
    run: tuple[MinuteBars, Trades, Any], token: str, interval: str, query: dict[str, str], said: str
) -> None:
    bars, _, instruments = run

    with pytest.raises(ValueError, match=said):
        bars.answer(token or str(instruments[0].token), interval, query)
