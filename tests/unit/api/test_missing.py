"""What is missing is trading hours less what was heard, with the cause where one is known."""

from functools import partial

from mdingest.api.missing import Missing, clipped, overlaps
from mdingest.api.missing import missing as of_interval
from mdingest.store.base import CoverageRow, GapRow

HOURS = [(100, 200), (300, 400)]
missing = partial(of_interval, interval_s=60)


def heard(start: int, end: int, source: str = "kite_ws", interval_s: int = 0) -> CoverageRow:
    return CoverageRow(1, source, start, end, interval_s)


def gap(start: int, end: int | None, cause: str, source: str = "kite_ws", repair: str = "open") -> GapRow:
    return GapRow(1, source, cause, start, end, None, repair)


def test_nothing_is_missing_from_hours_that_were_heard() -> None:
    assert missing(HOURS, [heard(90, 210), heard(300, 350), heard(350, 400)], []) == []


def test_hours_that_nobody_heard_are_missing_though_nobody_wrote_so() -> None:
    assert missing(HOURS, [heard(0, 150)], []) == [
        Missing(150, 200, "unrecorded"),
        Missing(300, 400, "unrecorded"),
    ]


def test_a_recorded_gap_gives_its_cause_to_the_part_it_explains() -> None:
    holes = missing(
        HOURS, [heard(0, 120), heard(180, 310)], [gap(120, 180, "disconnect"), gap(310, 330, "crash")]
    )

    assert holes == [
        Missing(120, 180, "disconnect"),
        Missing(310, 330, "crash"),
        Missing(330, 400, "unrecorded"),
    ]


def test_closed_hours_are_never_missing() -> None:
    assert missing(HOURS, [heard(0, 200), heard(290, 400)], [gap(200, 290, "disconnect")]) == []


def test_a_gap_that_lasts_reaches_to_the_end() -> None:
    assert missing(HOURS, [heard(0, 200)], [gap(200, None, "mute")]) == [Missing(300, 400, "mute")]


def test_what_another_feed_heard_is_not_missing() -> None:
    gaps = [gap(120, 180, "disconnect")]

    assert missing(HOURS, [heard(0, 120), heard(180, 400), heard(110, 190, "upstox_ws")], gaps) == []


def test_a_late_trade_is_missing_although_the_feed_was_up() -> None:
    coverage = [heard(0, 400)]

    assert missing(HOURS, coverage, [gap(150, 151, "late")]) == [Missing(150, 151, "late")]
    assert missing(HOURS, [*coverage, heard(0, 400, "upstox_ws")], [gap(150, 151, "late")]) == []


def test_history_fills_its_own_length_and_longer_ones_and_never_seconds() -> None:
    coverage = [heard(0, 120), heard(180, 400), heard(0, 500, "kite", 60)]
    gaps = [gap(120, 180, "disconnect", repair="repaired"), gap(190, 191, "late", repair="repaired")]
    holes = [Missing(120, 180, "disconnect"), Missing(190, 191, "late")]

    assert of_interval(HOURS, coverage, gaps, interval_s=60) == []
    assert of_interval(HOURS, coverage, gaps, interval_s=86_400) == []
    assert of_interval(HOURS, coverage, gaps, interval_s=1) == holes


def test_days_that_were_fetched_say_nothing_of_minutes() -> None:
    coverage = [heard(0, 500, "bhavcopy", 86_400)]

    assert of_interval(HOURS, coverage, [], interval_s=60) == [
        Missing(100, 200, "unrecorded"),
        Missing(300, 400, "unrecorded"),
    ]
    assert of_interval(HOURS, coverage, [], interval_s=604_800) == []


def test_the_last_moments_are_missing_only_if_a_gap_says_so() -> None:
    settling = (380, 1_000)

    assert missing(HOURS, [heard(0, 385)], [], settling=settling) == []
    assert missing(HOURS, [heard(0, 370)], [], settling=settling) == [Missing(370, 380, "unrecorded")]
    assert missing(HOURS, [heard(0, 385)], [gap(385, None, "disconnect")], settling=settling) == [
        Missing(385, 400, "disconnect")
    ]


def test_two_rows_about_one_hole_are_told_once() -> None:
    gaps = [gap(310, 350, "disconnect"), gap(320, 360, "crash"), gap(320, 360, "undecodable")]

    assert missing(HOURS, [heard(0, 310), heard(350, 400)], gaps) == [
        Missing(310, 350, "disconnect"),
        Missing(350, 360, "undecodable"),
    ]


def test_touching_holes_of_one_cause_are_one() -> None:
    gaps = [gap(310, 320, "disconnect"), gap(320, 330, "disconnect")]

    assert missing(HOURS, [heard(0, 310), heard(330, 400)], gaps) == [Missing(310, 330, "disconnect")]


def test_holes_can_be_clipped_and_looked_up() -> None:
    holes = [Missing(100, 110, "a"), Missing(120, 130, "b")]

    assert clipped(holes, 105, 120) == [Missing(105, 110, "a")]
    assert overlaps(holes, 109, 115)
    assert not overlaps(holes, 110, 120)


def test_what_was_heard_and_then_dropped_is_missing_from_what_is_made_of_it() -> None:
    coverage = [heard(0, 150), heard(0, 400, "kite", 300)]
    dropped = {1: 120, 60: 110}

    def of(interval_s: int) -> list[Missing]:
        return of_interval(HOURS, coverage, [gap(150, 160, "mute")], interval_s=interval_s, forgotten=dropped)

    rest = [Missing(150, 160, "mute"), Missing(160, 200, "unrecorded"), Missing(300, 400, "unrecorded")]
    assert of(1) == [Missing(100, 120, "retention"), *rest]
    assert of(60) == [Missing(100, 110, "retention"), *rest]
    assert of(300) == []  # those of five minutes were fetched, and are kept
    assert of_interval(HOURS, coverage[:1], [], interval_s=1, forgotten={1: 170})[0] == (
        100,
        150,
        "retention",
    )
