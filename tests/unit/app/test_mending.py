"""From where holes are filled by hand."""

import pytest

from mdingest.api.holes import Hole
from mdingest.api.missing import UNRECORDED
from mdingest.app.mending import begin, feed_of
from mdingest.config import Config
from mdingest.core.interval import MINUTE
from mdingest.core.session import SECOND_NS

LATENESS_NS = 2 * SECOND_NS
EDGE = 1_795_147_440 * SECOND_NS  # a minute begins


@pytest.mark.parametrize(
    ("cause", "second", "first"),
    [
        pytest.param(UNRECORDED, 1, EDGE - MINUTE.ns, id="the minute that had ended was not stored yet"),
        pytest.param(UNRECORDED, 3, EDGE, id="the minute that had ended was stored"),
        pytest.param("disconnect", 1, EDGE, id="who lives on stores it"),
    ],
)
def test_the_minute_that_still_waited_for_late_trades_is_filled_too(
    cause: str, second: int, first: int
) -> None:
    hole = Hole("kite_ws", cause, EDGE + second * SECOND_NS, None, None, "open", "", 0, in_hours=True)

    assert begin(hole, LATENESS_NS) // MINUTE.ns * MINUTE.ns == first


@pytest.mark.parametrize(
    ("symbol", "feed"),
    [
        pytest.param("BTCUSDT.BINANCE", "binance_ws", id="of a list of its own"),
        pytest.param("TCS.NS", "kite_ws", id="of the common list"),
        pytest.param("GONE.NS", "binance_ws", id="of nobody any more: the first feed"),
    ],
)
def test_who_carries_a_symbol_fills_what_nobody_recorded(symbol: str, feed: str) -> None:
    config = Config.model_validate(
        {
            "symbols": ["TCS.NS"],
            "realtime": [
                {"provider": "binance_ws", "symbols": ["BTCUSDT.BINANCE"]},
                {"provider": "kite_ws", "symbols": "all"},
            ],
        }
    )

    assert feed_of(config, symbol) == feed


def test_without_feeds_the_first_one_known_stands_for_them() -> None:
    assert feed_of(Config(), "TCS.NS") == "kite_ws"
