"""From where holes are filled by hand."""

import pytest

from mdingest.api.holes import Hole
from mdingest.api.missing import UNRECORDED
from mdingest.app.mending import begin
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
