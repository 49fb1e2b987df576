"""How complete a series is: counted by the calendar, with the reason for what is missing."""

from dataclasses import replace

import pytest

from mdingest import calendars
from mdingest.api.complete import Completeness, completeness
from mdingest.api.prospects import NOBODY, SWITCHED_OFF, TOO_OLD, Prospects
from mdingest.api.wanted import EARLIEST, Tables, Wanted
from mdingest.core.interval import Interval
from mdingest.core.session import SECOND_NS
from tests.support.fake_reader import BITCOIN, RELIANCE, FakeReader, at

TABLES = Tables(calendars.load().table)
OPEN, CLOSE = at("09:15"), at("15:15")  # the regular session of a share in the closing auction
NOW = at("20:00")
REGULAR_MINUTES = (CLOSE - OPEN) // (60 * SECOND_NS)


def sec(seconds: float) -> int:
    return OPEN + round(seconds * SECOND_NS)


async def complete(reader: FakeReader, interval: str = "1m", **others: object) -> Completeness:
    known = {"start_ns": None, "end_ns": NOW, "limit": 9, "instrument": RELIANCE}
    earliest, filled_from = others.pop("earliest", None), others.pop("filled_from", EARLIEST)
    repairing = others.pop("repairing", True)
    wanted = Wanted(interval=Interval.parse(interval), **(known | others))  # type: ignore[arg-type]
    prospects = Prospects(lambda _: earliest, lambda *_: filled_from, lambda: repairing)  # type: ignore[return-value, arg-type]
    return await completeness(reader, TABLES, wanted, now_ns=NOW, prospects=prospects)


def told(found: Completeness) -> list[tuple[str, str, str, int]]:
    return [(lack.why, lack.repair, lack.reason, lack.candles) for lack in found.lacks]


async def test_a_day_that_was_heard_is_complete_whether_or_not_it_traded() -> None:
    reader = FakeReader()
    reader.hear(at("08:50"), at("16:30"))

    found = await complete(reader)

    assert (found.expected, found.missing, told(found)) == (REGULAR_MINUTES, 0, [])


async def test_a_cut_lacks_every_minute_that_it_touches_and_says_how_its_repair_stands() -> None:
    reader = FakeReader()
    reader.hear(at("08:50"), sec(130))
    reader.hear(sec(250), at("16:30"))
    reader.miss(sec(130), sec(250), "disconnect")
    reader.holes = [replace(reader.holes[0], repair="unfillable", reason="kite has none")]

    found = await complete(reader)

    assert (found.expected, found.missing) == (REGULAR_MINUTES, 3)
    assert told(found) == [("disconnect", "unfillable", "kite has none", 3)]
    assert (await complete(reader, "5m")).missing == 1
    assert (await complete(reader, "1d")).missing == 1
    seconds = await complete(reader, "1s")
    assert (seconds.expected, seconds.missing) == (REGULAR_MINUTES * 60, 120)
    assert [lack.repair for lack in seconds.lacks] == ["unfillable"]


async def test_minutes_that_were_fetched_complete_it_and_days_say_nothing_about_minutes() -> None:
    reader = FakeReader()
    reader.hear(at("08:50"), sec(130))
    reader.hear(sec(250), at("16:30"))
    reader.miss(sec(130), sec(250), "disconnect")
    reader.hear(at("00:00"), at("00:00", "2026-11-21"), "bhavcopy", interval_s=86_400)
    assert (await complete(reader)).missing == 3
    assert (await complete(reader, "1d")).missing == 0

    reader.hear(sec(120), sec(300), "kite", interval_s=60)

    assert (await complete(reader)).missing == 0
    assert (await complete(reader, "1s")).missing == 120


async def test_what_was_before_anybody_asked_was_never_fetched_or_is_out_of_reach() -> None:
    reader = FakeReader()
    reader.hear(sec(600), at("16:30"))
    reader.miss(sec(300), sec(600), "start")

    found = await complete(reader, start_ns=at("09:15", "2026-11-18"), earliest=at("09:15", "2026-11-19"))

    assert found.expected == 3 * REGULAR_MINUTES
    assert told(found) == [
        ("beyond_depth", "unfillable", "", REGULAR_MINUTES),
        ("never_fetched", "open", "", REGULAR_MINUTES),
        ("never_fetched", "open", "", 5),
        ("start", "open", "", 5),
    ]
    assert found.missing == 2 * REGULAR_MINUTES + 10


async def test_a_hole_that_no_row_explains_is_unrecorded() -> None:
    reader = FakeReader()
    reader.hear(at("08:50"), sec(120))
    reader.hear(sec(180), at("16:30"))

    assert told(await complete(reader)) == [("unrecorded", "open", "", 1)]


async def test_a_hole_that_nobody_is_configured_to_fill_says_so_and_what_would_fill_it() -> None:
    reader = FakeReader()
    reader.hear(sec(300), sec(600))
    reader.hear(sec(660), at("16:30"))
    day = {"start_ns": at("09:15")}

    nobody = await complete(reader, filled_from=None, **day)
    assert told(nobody) == [
        ("never_fetched", "open", f"{NOBODY}; `mdingest backfill` fetches it", 5),
        ("unrecorded", "open", f"{NOBODY}; `mdingest gaps --repair` fetches it", 1),
    ]
    later = await complete(reader, filled_from=sec(300), **day)
    assert [lack.reason for lack in later.lacks] == [f"{TOO_OLD}; `mdingest backfill` fetches it", ""]
    assert [lack.reason for lack in (await complete(reader, filled_from=sec(299), **day)).lacks] == ["", ""]


async def test_a_cut_that_is_not_repaired_says_who_switched_that_off() -> None:
    reader = FakeReader()
    reader.hear(at("08:50"), sec(130))
    reader.hear(sec(250), at("16:30"))
    reader.miss(sec(130), sec(250), "disconnect")

    assert [lack.reason for lack in (await complete(reader)).lacks] == [""]
    assert [lack.reason for lack in (await complete(reader, repairing=False)).lacks] == [SWITCHED_OFF]

    reader.holes = [replace(reader.holes[0], reason="kite has none")]
    assert [lack.reason for lack in (await complete(reader, repairing=False)).lacks] == ["kite has none"]


async def test_days_are_counted_by_the_calendar_and_today_only_once_it_is_over() -> None:
    reader = FakeReader()
    for day in ("2026-11-16", "2026-11-17", "2026-11-19"):
        reader.hear(at("00:00", day), at("23:59", day), "kite", interval_s=86_400)
    week = {"start_ns": at("00:00", "2026-11-14"), "end_ns": at("00:00", "2026-11-23")}

    found = await complete(reader, "1d", **week)

    assert (found.expected, found.missing) == (5, 2)
    assert (await complete(reader, "1w", **week)).expected == 1
    early = await complete(reader, "1d", start_ns=week["start_ns"], end_ns=at("12:00"))
    assert (early.expected, early.missing) == (4, 1)


async def test_preopen_and_auction_count_if_they_are_asked_for() -> None:
    reader = FakeReader()
    reader.hear(at("08:00"), at("18:00"))

    assert (await complete(reader, all_sessions=True)).expected > REGULAR_MINUTES


@pytest.mark.parametrize(("interval", "expected"), [("1m", 599), ("5m", 119), ("1h", 9), ("1d", 0)])
async def test_what_is_not_over_yet_is_not_expected(interval: str, expected: int) -> None:
    reader = FakeReader()
    start = at("05:30")  # midnight UTC, when the day of what always trades begins
    reader.hear(start, NOW, instrument=BITCOIN)

    found = await complete(reader, interval, instrument=BITCOIN, end_ns=start + 10 * 3_600 * SECOND_NS - 1)

    assert (found.expected, found.missing) == (expected, 0)


async def test_nothing_known_is_nothing_expected_without_a_start() -> None:
    found = await complete(FakeReader())

    assert (found.expected, found.missing) == (0, 0) or found.lacks


async def test_what_retention_dropped_is_told_apart_from_what_was_never_heard() -> None:
    reader = FakeReader(dropped={1: sec(60), 60: sec(-3600)})
    reader.hear(at("08:50"), sec(120))
    reader.miss(sec(120), at("16:30"), "disconnect")

    seconds, minutes = await complete(reader, "1s", start_ns=OPEN), await complete(reader)

    assert told(seconds)[0] == ("retention", "unfillable", "older than candles.retention keeps", 60)
    assert (seconds.missing, told(seconds)[1][0]) == (REGULAR_MINUTES * 60 - 60, "disconnect")
    assert [lack.why for lack in minutes.lacks] == ["disconnect"]
    kept = await complete(reader, "1s")  # where no start is given, what is kept is counted
    assert (kept.start_ns, kept.expected) == (sec(60), seconds.expected - 60)
