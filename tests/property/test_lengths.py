"""Whatever is stored in which lengths: `/candles` and `/coverage` say the same of every coarse candle."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mdingest import calendars
from mdingest.api.complete import completeness
from mdingest.api.missing import Missing, clipped, overlaps
from mdingest.api.reading import Reading
from mdingest.api.wanted import Tables, Wanted
from mdingest.core.events import State
from mdingest.core.interval import Interval
from mdingest.core.session import DAY_NS, SECOND_NS
from tests.support.fake_reader import BITCOIN, FakeReader, at, candles

MIDNIGHT = at("05:30:00")
HOURS, LENGTHS = 8, (60, 300, 1_800, 3_600)
TABLES = Tables(calendars.load().table)


@st.composite
def records(draw: st.DrawFn) -> FakeReader:
    """Some spans of eight hours, each wholly fetched in a length: a unit of volume a second."""
    reader = FakeReader()
    for interval_s in LENGTHS:
        count = HOURS * 3_600 // interval_s
        have = np.zeros(count, np.bool_)
        for _ in range(draw(st.integers(0, 3))):
            first, last = sorted(draw(st.tuples(st.integers(0, count), st.integers(0, count))))
            have[first:last] = True
            start, end = (MIDNIGHT + n * interval_s * SECOND_NS for n in (first, last))
            reader.hear(start, end, "binance", BITCOIN, interval_s)
        if have.any():
            rows = candles(MIDNIGHT, count, interval_s, instrument_id=BITCOIN.id, volume=interval_s)
            reader.add(rows[have])  # type: ignore[arg-type]
    return reader


@given(
    reader=records(),
    text=st.sampled_from(["10m", "90m", "2h", "4h", "1d"]),
    limit=st.sampled_from([2, 1_000]),
    bounded=st.booleans(),
)
@settings(max_examples=600)
async def test_candles_and_coverage_agree(reader: FakeReader, text: str, limit: int, bounded: bool) -> None:  # noqa: FBT001 - drawn
    now, interval = MIDNIGHT + DAY_NS, Interval.parse(text)
    start = MIDNIGHT if bounded else None
    wanted = Wanted(BITCOIN, interval, start, MIDNIGHT + DAY_NS, limit)

    found = await Reading(reader, TABLES, lambda: now + 60 * SECOND_NS).read(wanted)
    whole = await completeness(
        reader, TABLES, Wanted(BITCOIN, interval, MIDNIGHT, now, limit), now_ns=now + 60 * SECOND_NS
    )

    holes = [Missing(lack.start_ns, lack.end_ns, "") for lack in whole.lacks]
    for candle in found.candles:
        ts = int(candle["ts"])
        lacking = overlaps(holes, ts, ts + interval.ns)
        assert (candle["state"] == State.PARTIAL) == lacking
        if not lacking:
            assert candle["volume"] == interval.seconds
    if not found.cut:
        assert (found.candles["state"] == State.FINAL).sum() == whole.expected - whole.missing
    if len(found.candles):
        first = int(found.candles["ts"][0])
        lasting = clipped(found.missing, first, now), clipped(holes, first, now)
        mine, theirs = (sum(hole.end - hole.start for hole in of) for of in lasting)
        assert mine == theirs
