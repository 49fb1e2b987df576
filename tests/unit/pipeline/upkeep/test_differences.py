"""Two series of one day side by side: what is counted, and what counts as different."""

from typing import Any

import numpy as np
import pytest

from mdingest.core.events import CANDLE, Candles
from mdingest.pipeline.upkeep.differences import built, differences, total
from mdingest.store.base import Difference
from tests.support.rows import candle, ns


def minute(at: int, close: float = 100.0, **others: Any) -> tuple[Any, ...]:  # noqa: ANN401 - see `candle`
    return candle(at * 60, close, interval_s=60, **others)


def rows(*some: tuple[Any, ...]) -> Candles:
    return Candles(np.array(list(some), CANDLE))


def compared(ours: Candles, theirs: Candles) -> dict[str, Difference]:
    found = differences(ours, theirs, instrument_id=1, date="2026-11-20", interval_s=60, other="kite")
    return {one.field: one for one in found}


def test_the_same_candles_do_not_differ_in_any_field_that_both_have() -> None:
    ours = rows(minute(0), minute(1, 101), minute(2, volume=None))

    found = compared(
        ours, rows(minute(0, source="kite"), minute(1, 101, source="kite"), minute(2, source="kite"))
    )

    assert {name: (one.compared, one.differing) for name, one in found.items()} == {
        "candle": (3, 0), "open": (3, 0), "high": (3, 0), "low": (3, 0), "close": (3, 0), "volume": (2, 0),
    }  # fmt: skip
    assert total(list(found.values())) == (17, 0)


def test_the_worst_of_each_field_is_shown_with_both_values() -> None:
    ours = rows(minute(0, 100), minute(1, 100), minute(2, 100, volume=7))
    theirs = rows(minute(0, 100.5), minute(1, 97), minute(2, 100))

    found = compared(ours, theirs)

    head = (1, "2026-11-20", 60, "kite")
    assert found["close"] == Difference(*head, "close", 3, 2, ns(60), 100.0, 97.0)
    assert found["volume"] == Difference(*head, "volume", 3, 1, ns(120), 7.0, 5.0)


def test_the_last_bits_of_a_number_are_no_difference() -> None:
    assert compared(rows(minute(0, 0.1 + 0.2)), rows(minute(0, 0.3)))["close"].differing == 0
    assert compared(rows(minute(0, 1473.5)), rows(minute(0, 1473.55)))["close"].differing == 1


def test_candles_that_only_one_side_has_are_counted_as_such() -> None:
    found = compared(rows(minute(0), minute(1)), rows(minute(1), minute(2), minute(3)))

    assert found["candle"] == Difference(1, "2026-11-20", 60, "kite", "candle", 4, 3, ns(0), 1, 2)
    assert found["close"].compared == 1


def test_built_is_what_live_feeds_said_before_others_replaced_it() -> None:
    current = rows(minute(0, 1), minute(1, 2, source="kite"), minute(2, 3, partial=True), minute(3, 9))
    replaced = rows(minute(1, 4), minute(3, 7), minute(3, 8), minute(4, 5, source="yfinance"), minute(5, 6))

    found = built(current, replaced)

    assert dict(zip(found["ts"].tolist(), found["close"].tolist(), strict=True)) == {
        ns(0): 1.0, ns(60): 4.0, ns(180): 9.0, ns(300): 6.0,
    }  # fmt: skip


@pytest.mark.parametrize("empty", [rows()])
def test_nothing_compares_with_nothing(empty: Candles) -> None:
    assert compared(empty, empty) == {"candle": Difference(1, "2026-11-20", 60, "kite", "candle", 0, 0)}
