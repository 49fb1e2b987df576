"""`mdingest.pipeline.upkeep.attempts`: an answer that lacks bars is final a day later."""

from dataclasses import replace

import pytest

from mdingest.pipeline.upkeep import attempts
from mdingest.store.base import GapRow
from tests.support.rows import ns

GAP = GapRow(1, "kite_ws", "disconnect", ns(120), ns(300), None, "open")
DAY_LATER = ns(300 + 25 * 3_600)


@pytest.mark.parametrize("before", [1, 2, 11])
def test_whatever_failed_before_it_is_asked_once_more_a_day_after_the_gap(before: int) -> None:
    gap = replace(GAP, attempts=before)

    found = attempts.lacking(gap, "kite has none", ns(600))
    last = attempts.lacking(found, "kite has none", found.retry_ns)

    assert (found.repair, found.retry_ns) == ("open", DAY_LATER)
    assert last.repair == "unfillable"


def test_an_answer_that_comes_at_once_is_asked_for_again_after_a_minute() -> None:
    found = attempts.lacking(GAP, "kite has none", ns(600))

    assert (found.repair, found.attempts, found.retry_ns) == ("open", 1, ns(660))


def test_of_an_old_gap_three_answers_are_enough() -> None:
    gap, now = GAP, DAY_LATER
    for _ in range(attempts.MOST_EMPTY):
        assert gap.repair == "open"
        gap = attempts.lacking(gap, "kite has none", now)
        now = gap.retry_ns

    assert gap.repair == "unfillable"
