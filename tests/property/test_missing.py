"""What is missing and why, against the definition taken instant by instant, and its price."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mdingest.api.complete import _rows_of
from mdingest.api.missing import RETENTION, UNRECORDED, Missing, missing, overlaps
from mdingest.core.spans import Span, union
from mdingest.store.base import CoverageRow, GapRow

END, SOURCES = 24, ("kite_ws", "binance_ws", "csv")
WITHIN_UPTIME, OF_CUTS = ("late", "shed"), ("disconnect", "mute")

spans = st.tuples(st.integers(0, END), st.integers(0, END))
coverage_rows = st.lists(
    st.builds(lambda source, span: CoverageRow(1, source, *span, 0), st.sampled_from(SOURCES), spans),
    max_size=5,
)
gap_rows = st.lists(
    st.builds(
        lambda source, cause, span, lasts: GapRow(
            1, source, cause, min(span), None if lasts else max(span), None, "open"
        ),
        st.sampled_from(SOURCES[:2]),
        st.sampled_from(WITHIN_UPTIME + OF_CUTS),
        spans,
        st.booleans(),
    ),
    max_size=6,
)


def end_of(gap: GapRow) -> int:
    return END if gap.end_ns is None else gap.end_ns


def why(
    at: int, coverage: Sequence[CoverageRow], gaps: Sequence[GapRow], settling: Span, kept_from: int
) -> str | None:
    """The cause of one missing instant, in hours; None if it is not missing."""
    rows = [row for row in coverage if row.start_ns <= at < row.end_ns]
    sources = {row.source for row in rows if at >= kept_from}
    if rows and not sources:
        return RETENTION
    for gap in sorted(gaps, key=lambda gap: gap.start_ns):
        others = sources - {gap.source} if gap.cause in WITHIN_UPTIME else sources
        if gap.start_ns <= at < end_of(gap) and not others:
            return gap.cause
    return UNRECORDED if not sources and not settling[0] <= at < settling[1] else None


@given(st.lists(spans, max_size=3), coverage_rows, gap_rows, spans, st.integers(0, END))
def test_each_instant_has_the_cause_that_the_definition_gives_it(
    hours: list[Span],
    coverage: list[CoverageRow],
    gaps: list[GapRow],
    settling: Span,
    kept_from: int,
) -> None:
    windows = union(hours)
    found = missing(
        windows, coverage, gaps, interval_s=1, settling=settling, forgotten={1: kept_from, 60: kept_from}
    )

    told = {at: hole.cause for hole in found for at in range(hole.start, hole.end)}
    in_hours = [at for start, end in windows for at in range(start, end)]
    judged = {at: why(at, coverage, gaps, settling, kept_from) for at in in_hours}
    assert told == {at: cause for at, cause in judged.items() if cause is not None}
    assert [hole.start for hole in found] == sorted(hole.start for hole in found)
    assert sum(hole.end - hole.start for hole in found) == len(told), "disjoint"


@given(st.lists(spans, max_size=4), gap_rows, st.sampled_from(WITHIN_UPTIME + OF_CUTS))
def test_the_row_of_a_hole_is_the_first_of_its_cause_that_touches_it(
    parts: list[Span], gaps: list[GapRow], cause: str
) -> None:
    holes = [Missing(*span, cause) for span in union(parts)]
    in_order = sorted(gaps, key=lambda gap: gap.start_ns)

    assert list(_rows_of(holes, gaps)) == [
        next(
            (
                gap
                for gap in in_order
                if gap.cause == cause and gap.start_ns < hole.end and end_of(gap) > hole.start
            ),
            None,
        )
        for hole in holes
    ]


@given(st.lists(spans, max_size=4), spans)
def test_a_candle_is_touched_by_a_hole_that_shares_an_instant_with_it(
    parts: list[Span], candle: Span
) -> None:
    start, end = min(candle), max(candle) + 1
    holes = [Missing(*span, "late") for span in union(parts)]

    assert overlaps(holes, start, end) == any(
        hole.start <= at < hole.end for hole in holes for at in range(start, end)
    )
