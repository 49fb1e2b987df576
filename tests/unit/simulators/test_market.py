"""The seeded market: what it makes is exact, whole and the same again."""

from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from mdingest.simulators.instruments import default_instruments, synthetic_instruments
from mdingest.simulators.market import DAY_S, Market, Ordered, S, Trades

DAY = date(2026, 11, 20)
MIDNIGHT = 1_795_132_800 * S  # 2026-11-20T00:00:00Z
INSTRUMENTS = (*default_instruments(DAY), *synthetic_instruments(3))
INDEX = 4
FUTURE = 5


def market(start_ns: int = MIDNIGHT + 12 * 3600 * S, *, rate: float = 3.0, seed: int = 7) -> Market:
    return Market(INSTRUMENTS, start_ns=start_ns, rate=rate, seed=seed)


def run(made: Market, seconds: float) -> Trades:
    return made.advance(made.until_ns + round(seconds * S))


@pytest.mark.parametrize("draw_s", [1, 7])
def test_in_which_steps_it_advances_does_not_matter(draw_s: int) -> None:
    whole, stepped = market(), market()
    whole.draw_s = stepped.draw_s = draw_s
    steps = np.random.default_rng(1).integers(1, 3 * S, 40)

    one = whole.advance(whole.until_ns + int(steps.sum()))
    many = [stepped.advance(stepped.until_ns + int(step)) for step in steps]

    assert np.array_equal(np.concatenate(many), one)
    assert np.array_equal(whole.last, stepped.last)


def test_another_seed_is_another_market() -> None:
    one, same, other = run(market(), 10), run(market(), 10), run(market(seed=8), 10)

    assert np.array_equal(one, same)
    assert not np.array_equal(one["price"][:20], other["price"][:20])


def test_each_trade_carries_the_day_so_far() -> None:
    made = market()
    state = {int(row["row"]): row.copy() for row in made.last}
    trades = run(made, 20)

    assert len(trades) > 300
    for trade in trades:
        before = state[int(trade["row"])]
        assert trade["volume"] == before["volume"] + trade["size"]
        assert trade["turnover"] == before["turnover"] + trade["size"] * trade["price"]
        assert trade["high"] == max(before["high"], trade["price"])
        assert trade["low"] == min(before["low"], trade["price"])
        assert trade["oi_high"] == max(before["oi_high"], trade["oi"])
        assert trade["oi_low"] == min(before["oi_low"], trade["oi"])
        assert (trade["open"], trade["close"]) == (before["open"], before["close"])
        assert trade["ts"] > before["ts"]
        state[int(trade["row"])] = trade
    assert all(np.array_equal(made.last[row], state[row]) for row in state)


def test_trades_come_by_time_within_the_span_asked_for() -> None:
    made = market()
    start = made.until_ns
    trades = run(made, 2.5)

    assert np.all(np.diff(trades["ts"]) >= 0)
    assert start <= trades["ts"][0]
    assert trades["ts"][-1] < made.until_ns == start + 2_500_000_000
    assert len(made.advance(made.until_ns - S)) == 0


def test_prices_are_on_the_tick_and_sizes_in_lots() -> None:
    trades = run(market(), 30)

    for row, one in enumerate(INSTRUMENTS):
        mine = trades[trades["row"] == row]
        assert np.all(mine["price"] % one.tick == 0)
        assert np.all(abs(mine["price"] / one.price - 1) < 0.1)
        assert np.all(mine["size"] % one.lot == 0)
        assert np.all((mine["size"] > 0) == (not one.is_index))
    assert np.unique(trades[trades["row"] == FUTURE]["oi"]).size > 5
    assert not trades[trades["row"] != FUTURE]["oi"].any()


@pytest.mark.parametrize("draw_s", [1, 30])
def test_an_index_has_one_value_a_second_at_most_and_no_volume(draw_s: int) -> None:
    made = market()
    made.draw_s = draw_s
    trades = run(made, 30)
    index = trades[trades["row"] == INDEX]

    assert np.array_equal(np.diff(index["ts"] // S), np.ones(29))
    assert not index["volume"].any()


@pytest.mark.parametrize(("rate", "draw_s"), [(0.2, 1), (2.0, 1), (9.0, 1), (2.0, 30)])
def test_the_rate_is_trades_per_second_and_instrument(rate: float, draw_s: int) -> None:
    made = market(rate=rate)
    made.draw_s = draw_s
    trades = run(made, 200)
    shares = trades[trades["row"] != INDEX]

    assert len(shares) / 200 / (len(INSTRUMENTS) - 1) == pytest.approx(rate, rel=0.1)
    assert set((shares["ts"] // S % 30).tolist()) == set(range(30))  # in each second of a draw


def test_seconds_drawn_together_follow_the_same_wave() -> None:
    made = market()
    made.draw_s = 30
    away = []
    for _ in range(12):
        run(made, 300)
        away.append(abs(made.last["price"] / market(made.until_ns).last["price"] - 1))

    assert np.mean(away) < 0.004


def test_what_is_ordered_happens_to_the_letter_wherever_in_a_draw_it_lies() -> None:
    token, begin = INSTRUMENTS[0].token, MIDNIGHT + 12 * 3600 * S
    script = [Ordered(token, begin + round(at * S), 100_000 + n, 10 + n) for n, at in enumerate((0.5, 17.25))]
    made = Market(INSTRUMENTS, start_ns=begin, seed=7, script=script)
    made.draw_s = 30
    trades = run(made, 30)

    found = trades[trades["row"] == 0][["ts", "price", "size"]].tolist()
    assert found == [(one.ns, one.price, one.size) for one in script]


def test_a_new_day_starts_at_midnight_utc_with_its_first_trade() -> None:
    made = market(MIDNIGHT + (DAY_S - 5) * S)
    old = run(made, 5)
    new = run(made, 5)

    for row in (0, FUTURE):
        last, first = old[old["row"] == row][-1], new[new["row"] == row][0]
        assert (first["volume"], first["open"]) == (first["size"], first["price"])
        assert first["high"] == first["low"] == first["price"]
        assert first["close"] == last["price"]
        assert first["turnover"] == first["size"] * first["price"]
        assert first["oi_high"] == first["oi_low"] == first["oi"]


def test_a_market_started_later_on_a_day_has_traded_more_and_is_near_the_same_prices() -> None:
    first = market()
    run(first, 60)
    later = market(first.until_ns + 30 * S)

    assert np.all(later.last["volume"] >= first.last["volume"])
    assert np.all(abs(later.last["price"] / first.last["price"] - 1) < 0.05)


def test_nothing_trades_while_it_is_halted() -> None:
    made = market()
    run(made, 1.5)
    last, until = made.last.copy(), made.until_ns
    made.halt(until + 10 * S + 1)

    assert np.array_equal(made.last, last)
    trades = run(made, 5)
    assert trades["ts"][0] >= until + 10 * S
    share = [last[0], *trades[trades["row"] == 0]]
    assert all(b["volume"] == a["volume"] + b["size"] for a, b in pairwise(share))

    made.halt(until)  # never back
    assert made.until_ns > until + 10 * S
