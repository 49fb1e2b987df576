"""Rows of a reply that say a time again."""

import math

import numpy as np
import pytest

from mdingest.core.interval import MINUTE
from mdingest.providers.bars import Row, parsed_rows

FIRST_NS = 1_795_146_300_000_000_000
NONE = math.nan


def row(line: int, close: float = 1.0, volume: float = 5.0, *, minute: int = 0) -> Row:
    return FIRST_NS + minute * MINUTE.ns, 1.0, 2.0, 0.5, close, volume, NONE, line


def lines(rows: list[Row]) -> tuple[list[int], list[int], list[int]]:
    """Lines that are taken, lines that are rejected, and minutes of which nobody knows."""
    part = parsed_rows(rows, MINUTE, None, volume=False)
    holes = ((part.holes - FIRST_NS) // MINUTE.ns).tolist()
    return part.bars["line"].tolist(), [reject.line for reject in part.rejects], holes


def test_a_time_said_again_with_the_same_values_is_taken_once() -> None:
    assert lines([row(1), row(2), row(3, minute=1)]) == ([1, 3], [], [])


def test_a_time_said_again_by_an_instrument_without_volume_is_taken_once() -> None:
    assert lines([row(1, volume=NONE), row(2, volume=NONE)]) == ([1], [], [])


@pytest.mark.parametrize("closes", [(1.0, 1.5), (1.0, 1.0, 1.5), (1.0, 1.5, 1.0), (1.5, 1.0, 1.0)])
def test_of_a_time_said_again_with_other_values_nothing_is_taken(closes: tuple[float, ...]) -> None:
    rows = [row(line, close) for line, close in enumerate(closes, 1)]

    taken, rejected, holes = lines([*rows, row(9, minute=1)])

    assert taken == [9]
    assert rejected == [line for line, close in enumerate(closes, 1) if close != closes[0]]
    assert holes == [0]


def test_a_wrong_row_does_not_touch_a_good_one_of_the_same_time() -> None:
    wrong = (FIRST_NS, 1.0, 0.5, 2.0, 1.0, 5.0, NONE, 1)

    assert lines([wrong, row(2)]) == ([2], [1], [0])


def test_no_rows_are_no_bars() -> None:
    assert len(parsed_rows([], MINUTE, None, volume=True).bars) == 0
    assert np.array_equal(parsed_rows([], MINUTE, None, volume=True).holes, [])
