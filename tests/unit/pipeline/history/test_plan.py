"""What is asked for: what is missing, in the fewest requests, within what a provider allows."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdingest.core.interval import Interval
from mdingest.core.spans import Span, intersect, subtract, union
from mdingest.pipeline.history.plan import OVERLAP_BARS, Plan, plan, serves
from mdingest.providers.history import Capabilities, Hours, Reach
from mdingest.store.base import CoverageRow
from tests.support.history import BOOK

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
MINUTE, HOUR, DAY, WEEK = (Interval.parse(text) for text in ("1m", "1h", "1d", "1w"))
HOURS = Hours(BOOK, "NSE.EQ.noncas")
S = 1_000_000_000


def at(day: int, hour: int = 0, minute: int = 0) -> int:
    """An instant of November 2026 in Mumbai, UTC ns."""
    return int(dt.datetime(2026, 11, day, hour, minute, tzinfo=IST).timestamp()) * S


def heard(start: int, end: int, *, interval_s: int = 60, source: str = "csv") -> CoverageRow:
    return CoverageRow(1, source, start, end, interval_s)


def made(
    start: int,
    end: int,
    *coverage: CoverageRow,
    interval: Interval = MINUTE,
    now: int = at(30),
    force: bool = False,
    settle_s: float = 0,
    only: list[Span] | None = None,
    **reach: float,
) -> Plan:
    capabilities = Capabilities({interval.seconds: Reach(**reach)}, settle_s=settle_s)  # type: ignore[arg-type]
    return plan(
        (start, end),
        interval=interval,
        table=HOURS.around(start, end),
        coverage=coverage,
        capabilities=capabilities,
        now_ns=now,
        force=force,
        only=only,
    )


def test_everything_is_one_request_if_the_provider_allows_it() -> None:
    assert made(at(16), at(21)).ranges == ((at(16, 9), at(20, 16)),)


def test_nothing_is_asked_for_when_the_market_was_closed() -> None:
    assert made(at(21), at(23)).ranges == ()


def test_nothing_is_asked_for_twice() -> None:
    assert made(at(16), at(21), heard(at(16), at(21))).ranges == ()


def test_unless_that_is_what_is_wanted() -> None:
    assert made(at(16), at(17), heard(at(16), at(17)), force=True).ranges == ((at(16, 9), at(16, 16)),)


def test_a_span_limit_cuts_into_the_fewest_pieces() -> None:
    assert made(at(16), at(21), span_s=2 * 86_400).ranges == (
        (at(16, 9), at(17, 16)),
        (at(18, 9), at(19, 16)),
        (at(20, 9), at(20, 16)),
    )


def test_a_row_limit_cuts_too() -> None:
    first, *_ = made(at(16), at(17), rows=60).ranges

    assert first == (at(16, 9), at(16, 10))


def test_only_what_is_missing_is_asked_for_with_a_few_bars_that_are_known() -> None:
    (piece,) = made(at(16), at(17), heard(at(16), at(16, 12)), heard(at(16, 13), at(17))).ranges

    assert piece == (at(16, 12) - OVERLAP_BARS * 60 * S, at(16, 13))


def test_what_is_older_than_all_that_is_known_reaches_into_that() -> None:
    (piece,) = made(at(16), at(21), heard(at(18), at(21))).ranges

    assert piece == (at(16, 9), at(18, 9, 15) + OVERLAP_BARS * 60 * S)


def test_known_bars_are_those_of_the_regular_session_before() -> None:
    (piece,) = made(at(16), at(18), heard(at(16), at(17))).ranges

    assert piece == (at(16, 15, 30) - OVERLAP_BARS * 60 * S, at(17, 16))


def test_known_bars_begin_with_a_candle_of_the_grid() -> None:
    (piece,) = made(at(16), at(18), heard(at(16), at(17), interval_s=3600), interval=HOUR).ranges

    assert piece == (at(16, 11, 15), at(17, 16))


def test_known_days_are_counted_across_a_weekend_and_a_holiday() -> None:
    known = heard(at(2), at(17), interval_s=86_400)

    (piece,) = made(at(2), at(18), known, interval=DAY, span_s=30 * 86_400).ranges

    assert piece == (at(9), at(18))  # the 9th, 11th, 12th, 13th and 16th


def test_known_weeks_are_too() -> None:
    known = heard(at(2), at(16), interval_s=604_800)

    (piece,) = made(at(2), at(23), known, interval=WEEK).ranges

    assert piece[0] == at(2)


def test_known_bars_are_not_reached_across_what_nobody_knows() -> None:
    found = made(at(16), at(20), heard(at(16), at(16, 12)), only=[(at(18), at(19))])

    assert found.ranges == ((at(18, 9), at(18, 16)),)


def test_no_bar_is_asked_for_that_the_provider_no_longer_has() -> None:
    found = made(at(2), at(21), heard(at(2), at(9)), depth_s=5 * 86_400, now=at(21))

    assert found.ranges == ((at(16, 9), at(20, 16)),)


def test_the_known_bars_cost_no_request() -> None:
    assert made(at(16, 12), at(16, 13), heard(at(16, 12), at(16, 12, 30)), span_s=1800).ranges == (
        (at(16, 12, 30), at(16, 13)),
    )


def test_two_holes_near_each_other_are_one_request() -> None:
    holes = (heard(at(16), at(16, 10)), heard(at(16, 11), at(16, 12)), heard(at(16, 13), at(17)))

    (piece,) = made(at(16), at(17), *holes, span_s=86_400).ranges

    assert piece[1] == at(16, 13)


def test_known_bars_of_another_month_would_cost_a_request_and_those_of_the_same_do_not() -> None:
    october = int(dt.datetime(2026, 10, 26, tzinfo=IST).timestamp()) * S
    known = heard(october, at(1)), heard(at(3), at(30))  # all but the first trading day of November

    found = made(october, at(30), *known, months="Asia/Kolkata")

    assert found.ranges == ((at(2, 9), at(3, 9, 15 + OVERLAP_BARS)),)


def test_what_lies_beyond_the_depth_is_told_and_not_asked_for() -> None:
    found = made(at(2), at(21), depth_s=11 * 86_400, now=at(21))

    assert found.ranges[0][0] >= at(10)
    assert found.beyond[0][0] == at(2, 9)
    assert all(end <= at(10) for _, end in found.beyond)


@pytest.mark.parametrize(
    ("start", "monday"), [(at(7), at(9)), (at(9, 12), at(9)), (at(10), at(16)), (at(12), at(16))]
)
def test_a_week_is_asked_for_from_its_monday_or_not_at_all(start: int, monday: int) -> None:
    assert made(start, at(21), interval=WEEK).ranges == ((monday, at(21)),)


def test_a_week_begins_with_its_monday_though_that_was_a_holiday() -> None:
    holiday, day = at(16) - 63 * 86_400 * S, 86_400 * S

    assert made(holiday, holiday + 5 * day, interval=WEEK).ranges == ((holiday, holiday + 5 * day),)


def test_it_begins_with_a_whole_bar() -> None:
    found = made(at(16), at(19), interval=DAY, depth_s=2 * 86_400, now=at(19, 12))

    assert (found.ranges, found.beyond) == (((at(18), at(19)),), ((at(16), at(18)),))


def test_what_has_not_settled_is_left_for_later() -> None:
    assert made(at(20), at(21), now=at(20, 12), settle_s=900).ranges == ((at(20, 9), at(20, 11, 45)),)


def test_a_day_is_asked_for_when_its_last_session_is_over() -> None:
    before, after = (made(at(19), at(21), interval=DAY, now=at(20, *clock)) for clock in ((15, 59), (16, 0)))

    assert before.ranges == ((at(19), at(20)),)
    assert after.ranges == ((at(19), at(21)),)


@pytest.mark.parametrize(
    ("row", "interval", "said"),
    [
        (heard(0, 1), MINUTE, True),
        (heard(0, 1), DAY, False),
        (heard(0, 1, interval_s=86_400), MINUTE, False),
        (heard(0, 1, interval_s=0, source="kite_ws"), MINUTE, True),
        (heard(0, 1, interval_s=0, source="kite_ws"), DAY, False),
    ],
)
def test_coverage_serves_the_interval_it_is_about(
    row: CoverageRow, interval: Interval, *, said: bool
) -> None:
    assert serves(row, interval) is said


spans = st.lists(st.tuples(st.integers(0, 4 * 1440), st.integers(1, 600)), max_size=8)


@given(covered=spans, minutes=st.integers(5, 3000))
def test_a_plan_brings_all_that_is_missing_and_keeps_the_limits(
    covered: list[tuple[int, int]], minutes: int
) -> None:
    start, end = at(16), at(20)
    rows = [heard(start + a * 60 * S, start + (a + n) * 60 * S) for a, n in covered]

    found = made(start, end, *rows, span_s=minutes * 60)

    missing = subtract(
        HOURS.around(start, end).windows_between(start, end),
        union((row.start_ns, row.end_ns) for row in rows),
    )
    assert subtract(missing, union(found.ranges)) == []
    assert all(0 < b - a <= minutes * 60 * S for a, b in found.ranges)
    assert all(intersect(missing, [piece]) for piece in found.ranges)
    assert all(start <= piece[0] and piece[1] <= end for piece in found.ranges)
    assert len(found.ranges) <= sum(-(-(b - a) // (minutes * 60 * S)) for a, b in missing)
