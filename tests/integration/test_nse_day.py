"""A whole NSE day, 08:55 to 16:05 on Friday 2026-11-20, through decoder and machine in simulated time.

The broker conflates to one packet a second and sends order books all the while. RELIANCE (in
the closing auction, since it has a future) and TCS (not in it) trade as `SCRIPT` says and no
otherwise, so that their rows can be worked out by hand; the others trade at random.
"""

from datetime import date

import pytest

from mdingest.core.events import Flag, State
from mdingest.core.session import Session
from mdingest.simulators.hours import AUTO, Hours
from mdingest.simulators.instruments import named_instruments
from mdingest.simulators.market import Market
from mdingest.simulators.sampling import Pace
from mdingest.simulators.trades import Ordered
from tests.support.broker_day import BrokerDay, S, ist, truth
from tests.support.ledger import Row

RELIANCE, TCS, INFY, NIFTY, FUTURE = (
    "RELIANCE.NS",
    "TCS.NS",
    "INFY.NS",
    "NIFTY_50.INDEX",
    "RELIANCE26NOVFUT.NFO",
)
INSTRUMENTS = named_instruments([RELIANCE, TCS, INFY, NIFTY, FUTURE], date(2026, 11, 20))
TOKENS = {one.symbol: one.token for one in INSTRUMENTS}
SHARES = (RELIANCE, TCS, INFY, FUTURE)
BEGIN, END = ist("08:55"), ist("16:05")

SCRIPT = {  # symbol: when, price in rupees, size
    RELIANCE: [
        ("09:08:12.5", 1500, 120_000),  # the pre-open match
        ("09:15:00.20", 1502, 100),
        ("09:15:03.40", 1504, 50),  # gone within 20 ms: no packet ever shows this price as the last
        ("09:15:03.42", 1503, 25),
        ("09:15:41.10", 1499, 200),
        ("15:14:10.00", 1498.5, 10),
        ("15:14:59.95", 1498, 5),  # its packet leaves in the auction's window
        ("15:30:21.00", 1497, 500_000),  # the closing auction
        ("15:52:00.50", 1497, 70),  # post-close, at the closing price
    ],
    TCS: [
        ("09:08:08", 3100, 60_000),
        ("09:15:00.50", 3101, 40),
        ("15:14:30", 3105, 7),
        ("15:15:00.10", 3106, 11),
        ("15:15:59.97", 3104, 13),  # its packet leaves in the next minute
        ("15:29:59.60", 3107, 17),
        ("15:52:01", 3107, 19),
    ],
}
ROWS = {  # worked out from SCRIPT: open, high, low, close, volume, updates, session, flags
    (RELIANCE, "09:08"): (1500, 1500, 1500, 1500, 120_000, 1, Session.PREOPEN, 0),
    # Three packets of four trades: 1502, then 1503 whose day high tells of the 1504 before, then 1499.
    (RELIANCE, "09:15"): (1502, 1504, 1499, 1499, 375, 3, Session.REGULAR, Flag.EXTREME_AMBIGUOUS),
    (RELIANCE, "15:14"): (1498.5, 1498.5, 1498, 1498, 15, 2, Session.REGULAR, Flag.EXTREME_AMBIGUOUS),
    (RELIANCE, "15:15"): None,
    (RELIANCE, "15:30"): (1497, 1497, 1497, 1497, 500_000, 1, Session.AUCTION, Flag.EXTREME_AMBIGUOUS),
    (RELIANCE, "15:52"): (1497, 1497, 1497, 1497, 70, 1, Session.POSTCLOSE, 0),
    (TCS, "09:08"): (3100, 3100, 3100, 3100, 60_000, 1, Session.PREOPEN, 0),
    (TCS, "09:15"): (3101, 3101, 3101, 3101, 40, 1, Session.REGULAR, Flag.EXTREME_AMBIGUOUS),
    (TCS, "15:14"): (3105, 3105, 3105, 3105, 7, 1, Session.REGULAR, Flag.EXTREME_AMBIGUOUS),
    (TCS, "15:15"): (3106, 3106, 3104, 3104, 24, 2, Session.REGULAR, Flag.EXTREME_AMBIGUOUS),
    (TCS, "15:16"): None,
    (TCS, "15:29"): (3107, 3107, 3107, 3107, 17, 1, Session.REGULAR, Flag.EXTREME_AMBIGUOUS),
    (TCS, "15:30"): None,
    (TCS, "15:52"): (3107, 3107, 3107, 3107, 19, 1, Session.POSTCLOSE, 0),
}


@pytest.fixture(scope="module")
def day() -> BrokerDay:
    script = [
        Ordered(TOKENS[symbol], ist(at), round(price * 100), size)
        for symbol, trades in SCRIPT.items()
        for at, price, size in trades
    ]
    hours = Hours(INSTRUMENTS, AUTO)
    market = Market(INSTRUMENTS, start_ns=BEGIN, rate=1.0, seed=3, hours=hours, lively=True, script=script)
    market.draw_s = 30
    return BrokerDay(INSTRUMENTS, market, pace=Pace(S, 5 * S), turn_ns=5 * S).connect().run_to(END)


def told(row: Row) -> tuple[object, ...]:
    names = ("open", "high", "low", "close", "volume", "trades", "session", "flags")
    return tuple(row[name] for name in names)


@pytest.mark.parametrize(("symbol", "at"), ROWS)
def test_a_minute_is_what_was_worked_out_by_hand(day: BrokerDay, symbol: str, at: str) -> None:
    row = day.candles(symbol).get(ist(at))

    assert (None if row is None else told(row)) == ROWS[symbol, at]
    assert row is None or (row["state"], row["revision"]) == (State.FINAL, 0)


@pytest.mark.parametrize("symbol", SHARES)
def test_candles_and_gaps_add_up_to_the_days_last_volume(day: BrokerDay, symbol: str) -> None:
    assert day.total(symbol) > 0
    assert day.accounted(symbol) == day.total(symbol)
    assert day.gaps(symbol) == []


def test_the_second_with_a_hidden_price_is_recovered_from_the_days_high(day: BrokerDay) -> None:
    row = day.candles(RELIANCE, 1)[ist("09:15:03")]

    assert told(row) == (1503, 1504, 1503, 1503, 75, 1, Session.REGULAR, Flag.EXTREME_AMBIGUOUS)


def test_no_row_stands_where_orders_were_only_collected(day: BrokerDay) -> None:
    """Order books and indicated prices came every few seconds in all of these windows."""
    windows = [
        (RELIANCE, "09:00", "09:08"),
        (RELIANCE, "09:09", "09:15"),
        (RELIANCE, "15:15", "15:30"),
        (RELIANCE, "15:31", "15:50"),
        (TCS, "15:30", "15:50"),
        (INFY, "15:30", "15:50"),
        (FUTURE, "15:40", "16:05"),
    ]
    for symbol, start, end in windows:
        inside = [at for at in day.candles(symbol, 1) if ist(start) <= at < ist(end)]
        assert inside == [], (symbol, start)


def test_every_minute_with_a_random_trade_has_its_row_and_no_other(day: BrokerDay) -> None:
    for symbol in (INFY, FUTURE):
        minutes = truth(day.trades(symbol), 60)
        assert len(minutes) > 375
        assert set(day.candles(symbol)) == set(minutes)


def test_the_index_runs_until_the_close_and_has_a_final_value_and_no_volume(day: BrokerDay) -> None:
    rows = day.candles(NIFTY)

    assert {row["volume"] for row in rows.values()} == {None}
    regular = [at for at, row in rows.items() if row["session"] == Session.REGULAR]
    assert (regular[0], regular[-1], len(regular)) == (ist("09:15"), ist("15:29"), 375)
    assert [at for at, row in rows.items() if row["session"] == Session.POSTCLOSE] == [ist("15:35")]


def test_the_future_trades_until_its_own_close(day: BrokerDay) -> None:
    assert list(day.candles(FUTURE))[-1] == ist("15:39")


def test_every_candle_of_a_clean_day_is_final(day: BrokerDay) -> None:
    states = [row["state"] for row in day.ledger.candles.values()]

    assert len(states) > 5_000
    assert states.count(State.FINAL) >= 0.999 * len(states)


def test_no_silence_of_a_clean_day_is_taken_for_a_mute_feed(day: BrokerDay) -> None:
    """Pre-open, closing auction and what is between them have long ones."""
    assert day.alarms == []


def test_a_mute_feed_is_noticed_in_trading_hours_only() -> None:
    noticed = []
    for at in ("10:00", "15:41", "02:00"):
        market = Market(INSTRUMENTS, start_ns=ist(at), rate=2.0, seed=3, hours=Hours(INSTRUMENTS, AUTO))
        broker = BrokerDay(INSTRUMENTS, market, pace=Pace(S, 5 * S)).connect().run_to(ist(at) + 120 * S)
        broker.exchange.inject("mute", 40 * S)
        broker.run_to(ist(at) + 160 * S)
        noticed.append([(ns - ist(at)) // S for ns, _ in broker.alarms[:2]])

    (doubted, left), *rest = noticed
    assert 122 <= doubted <= left <= 143
    assert rest == [[], []]


def test_nothing_of_the_day_is_late_or_out_of_order(day: BrokerDay) -> None:
    assert not day.ledger.counts
