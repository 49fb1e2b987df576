"""When the simulated market trades: the day's phases by session class, from the published hours."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from mdingest.errors import ConfigError
from mdingest.simulators.hours import AUTO, Hours, Phase
from mdingest.simulators.instruments import named_instruments
from mdingest.simulators.market import Market
from mdingest.simulators.trades import S

LISTED = named_instruments(
    ["RELIANCE.NS", "TCS.NS", "NIFTY_50.INDEX", "RELIANCE26NOVFUT.NFO"], date(2026, 11, 20)
)


def ist(text: str, day: str = "2026-11-20") -> int:
    return int(datetime.fromisoformat(f"{day}T{text}+05:30").timestamp())


PHASES = {  # of a share in the closing auction, one that is not, the index, the future
    "08:59:59": "CLOSED CLOSED CLOSED CLOSED",
    "09:00:00": "CALL CALL CALL CALL",
    "09:10:00": "QUIET QUIET QUIET QUIET",
    "09:15:00": "OPEN OPEN OPEN OPEN",
    "15:14:59": "OPEN OPEN OPEN OPEN",
    "15:15:00": "QUIET OPEN OPEN OPEN",
    "15:20:00": "CALL OPEN OPEN OPEN",
    "15:30:00": "CALL QUIET QUIET OPEN",
    "15:35:00": "QUIET QUIET QUIET OPEN",
    "15:40:00": "QUIET QUIET QUIET CLOSED",
    "15:50:00": "AT_CLOSE AT_CLOSE QUIET CLOSED",
    "16:00:00": "CLOSED CLOSED CLOSED CLOSED",
}


@pytest.mark.parametrize("at", PHASES)
def test_each_class_has_its_phases(at: str) -> None:
    phase = Hours(LISTED, AUTO).at(ist(at)).phase

    assert " ".join(Phase(one).name for one in phase.tolist()) == PHASES[at]


@pytest.mark.parametrize(
    ("day", "at", "phase"),
    [
        ("2026-07-31", "15:20", Phase.OPEN),  # the last day without the closing auction
        ("2026-08-03", "15:20", Phase.CALL),
        ("2026-11-21", "11:00", Phase.CLOSED),  # Saturday
        ("2026-11-24", "11:00", Phase.CLOSED),  # a holiday
    ],
)
def test_dates_have_the_hours_of_their_time(day: str, at: str, phase: Phase) -> None:
    assert Hours(LISTED, AUTO).at(ist(at, day)).phase[0] == phase


def test_a_class_may_be_given_to_all_shares() -> None:
    phase = Hours(LISTED, "NSE.EQ.noncas").at(ist("15:20")).phase

    assert phase[0] == Phase.OPEN


def test_a_class_that_nobody_knows_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"no session class 'NSE.EQ'; there are auto, .*NSE.EQ.cas"):
        Hours(LISTED, "NSE.EQ")


def trades_until(end: str, *, seed: int, draw_s: int = 1) -> np.ndarray:
    market = Market(LISTED, start_ns=ist("08:55") * S, rate=0.05, seed=seed, hours=Hours(LISTED, AUTO))
    market.draw_s = draw_s
    return market.advance(ist(end) * S)


def test_matches_are_one_trade_each_at_their_hour() -> None:
    trades = trades_until("16:05", seed=3, draw_s=60)
    share = trades[trades["row"] == 0]
    minutes = [f"{datetime.fromtimestamp(ns // S + 19_800, UTC):%H:%M}" for ns in share["ts"].tolist()]

    assert minutes.count("09:08") == minutes.count("15:30") == 1
    assert {at for at in minutes if at < "09:15"} == {"09:08"}
    assert {at for at in minutes if "15:15" <= at < "15:50"} == {"15:30"}
    at_close = share[share["ts"] >= ist("15:50") * S]
    assert set(at_close["price"].tolist()) <= {int(share[share["ts"] < ist("15:50") * S]["price"][-1])}


def test_a_day_begins_at_nothing_and_its_extremes_are_its_own() -> None:
    market = Market(LISTED, start_ns=ist("08:55") * S, rate=1.0, seed=3, hours=Hours(LISTED, AUTO))
    yesterday = market.last.copy()
    market.advance(ist("09:01") * S)

    assert (yesterday["volume"][[0, 1, 3]] > 0).all()
    assert (yesterday["ts"] < ist("00:00") * S).all()
    for name in ("volume", "open", "high", "low"):
        assert (market.last[name] == 0).all()
    assert (market.last["close"] == yesterday["price"]).all()
    market.advance(ist("09:16") * S)
    assert (market.last["low"] > 0).all()


def test_a_match_that_a_halt_slept_through_still_happens() -> None:
    market = Market(LISTED, start_ns=ist("09:07") * S, rate=1.0, seed=3, hours=Hours(LISTED, AUTO))
    market.halt(ist("09:10") * S)

    trades = market.advance(ist("09:11") * S)
    assert sorted(trades["row"].tolist()) == [0, 1, 2, 3]
    assert trades["ts"].min() >= ist("09:10") * S


def test_the_same_seed_is_the_same_day() -> None:
    one, same, other = (trades_until("09:20", seed=seed) for seed in (3, 3, 4))

    assert np.array_equal(one, same)
    assert not np.array_equal(one["price"][:4], other["price"][:4])
