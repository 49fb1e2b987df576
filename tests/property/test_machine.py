"""The machine against its slow reference, and what must not matter to it, on random tapes."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mdingest.core.candles import coarsen
from mdingest.core.control import CandleSettings
from mdingest.core.events import CANDLE, Candles, Events, Flag, State
from mdingest.core.machine import Machine
from mdingest.core.records import Kind
from tests.support.ledger import Ledger, Row, rows_of
from tests.support.random_tapes import STARTS, cuts, tape_of, tapes
from tests.support.reference import Reference
from tests.support.tapes import Entry, S, Step, Steps, cut, step_of

SETTINGS = CandleSettings()
COUNTED = ("late", "out_of_order", "duplicate")
thorough = settings(max_examples=60, deadline=None)


def told(steps: Iterable[Step], machine: Steps | None = None) -> Ledger:
    """What a store holds after all of it."""
    ledger, machine = Ledger(), machine or Machine(SETTINGS)
    for step in steps:
        ledger.apply(machine.step(*step))
    return ledger


def one_by_one(entries: Sequence[Entry]) -> list[Step]:
    return cut(entries, range(len(entries)))


def emitted(events: Events) -> list[list[tuple[str, object]]]:
    rows = rows_of(events.candles)
    return sorted((sorted(row.items()) for row in rows), key=str)


def counted(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in COUNTED}


@thorough
@given(entries=tapes, at=st.one_of(st.none(), cuts))
def test_the_machine_says_what_its_reference_says(entries: list[Entry], at: list[int] | None) -> None:
    """After each step: the same candles told, the same store, gaps, coverage and counts."""
    machine, reference = Machine(SETTINGS), Reference(SETTINGS)
    ours, theirs = Ledger(), Ledger()
    for step in one_by_one(entries) if at is None else cut(entries, at):
        events, expected = machine.step(*step), reference.step(*step)
        ours.apply(events)
        theirs.apply(expected)

        assert emitted(events) == emitted(expected)
        assert ours.candles == theirs.candles
        assert ours.real_gaps() == theirs.real_gaps()
        assert ours.real_coverage() == theirs.real_coverage()
        assert counted(ours.counts) == counted(theirs.counts)
        assert events.streams == expected.streams


@thorough
@given(entries=tapes, at=cuts)
def test_how_records_are_cut_into_batches_does_not_matter(entries: list[Entry], at: list[int]) -> None:
    """Only how often a candle was told anew does."""
    some, single = told(cut(entries, at)), told(one_by_one(entries))

    assert some.without_revision() == single.without_revision()
    assert some.real_gaps() == single.real_gaps()
    assert some.real_coverage() == single.real_coverage()
    assert some.counts == single.counts


@thorough
@given(entries=tapes, seed=st.integers(0, 1 << 16))
def test_how_instruments_are_interleaved_does_not_matter(entries: list[Entry], seed: int) -> None:
    """Packets of one burst may change places, but those of one instrument with each other."""
    shuffled = interleaved(entries, random.Random(seed))

    assert told(one_by_one(shuffled)) == told(one_by_one(entries))


@thorough
@given(entries=tapes, at=cuts)
def test_a_minute_is_the_merge_of_its_seconds(entries: list[Entry], at: list[int]) -> None:
    ledger = told(cut(entries, at))
    minutes = {key: row for key, row in ledger.candles.items() if key[2] == 60}
    for (source, instrument, _, ts), minute in minutes.items():
        seconds = [
            row
            for key, row in sorted(ledger.candles.items())
            if key[:3] == (source, instrument, 1) and ts <= key[3] < ts + 60 * S
        ]
        starts = np.full(len(seconds), ts)
        (merged,) = rows_of(coarsen(rows(seconds), starts, 60))

        for name in ("open", "high", "low", "close", "volume", "oi", "trades", "flags", "source"):
            assert merged[name] == minute[name], name
        assert minute["state"] >= max(row["state"] for row in seconds)


@thorough
@given(entries=tapes, at=cuts)
def test_a_machine_restored_from_its_state_goes_on_as_if_nothing_was(
    entries: list[Entry], at: list[int]
) -> None:
    """At any boundary of batches, and again at the next."""
    through, again = Machine(SETTINGS), Machine(SETTINGS)
    for step in cut(entries, at):
        events, same = through.step(*step), again.step(*step)
        again = Machine.restore(again.state())

        for name in ("candles", "marks", "coverage", "gaps"):
            assert rows_of(getattr(events, name)) == rows_of(getattr(same, name)), name
        assert events.streams == same.streams
        assert events.counts == same.counts


@thorough
@given(entries=tapes, every=st.integers(1, 20))
def test_steps_may_share_a_transaction(entries: list[Entry], every: int) -> None:
    """Its candles first, its marks after them: the store ends up the same."""
    machine, apart, shared = Machine(SETTINGS), Ledger(), Ledger()
    waiting: list[Events] = []
    for number, step in enumerate(one_by_one(entries), 1):
        events = machine.step(*step)
        apart.apply(events)
        waiting.append(events)
        if number % every == 0 or number == len(entries):
            for events in waiting:
                shared.apply(Events(candles=events.candles))
            for events in waiting:
                shared.apply(Events(marks=events.marks))
            waiting = []

    assert shared.candles == apart.candles


@thorough
@given(entries=tapes, at=cuts)
def test_a_final_candle_lies_in_coverage_and_outside_gaps(entries: list[Entry], at: list[int]) -> None:
    """What a reader is promised, checked from the rows alone, whatever made them."""
    ledger = told(cut(entries, at))
    for (source, instrument, interval, ts), row in ledger.candles.items():
        if row["state"] == State.PARTIAL:
            continue
        end = ts + interval * S
        gaps = [
            (start, stop)
            for (owner, of, start, _), (stop, _) in ledger.real_gaps().items()
            if (owner, of) == (source, instrument)
        ]
        covered = sorted(
            (start, stop)
            for (owner, of, start), (stop, _) in ledger.real_coverage().items()
            if (owner, of) == (source, instrument)
        )

        assert not any(start < end and ts < stop for start, stop in gaps)
        assert reaches(covered, ts) >= end


def test_random_tapes_reach_every_rule() -> None:
    """The properties above mean something only if the tapes meet what they are about."""
    draw = random.Random(1)
    seen: Counter[str] = Counter()
    for _ in range(250):
        numbers = [tuple(draw.randrange(100) for _ in range(4)) for _ in range(90)]
        ledger = told(one_by_one(tape_of(draw.randrange(len(STARTS)), numbers)), Reference(SETTINGS))  # type: ignore[arg-type]
        seen.update(counted(ledger.counts))
        for row in ledger.candles.values():
            seen.update({f"interval {row['interval_s']}": 1, f"state {row['state']}": 1})
            seen["revised"] += row["revision"] > 0
            seen["without volume"] += row["volume"] is None
            seen.update(flag.name or "" for flag in Flag if row["flags"] & flag)
        seen.update(f"gap {cause}" for _, _, _, cause in ledger.gaps)

    wanted = {"interval 1", "interval 60", "state 0", "state 1", "revised", "without volume", *COUNTED}
    wanted |= {flag.name or "" for flag in Flag} | {f"gap {cause}" for cause in (*range(1, 8), 10, 11, 12)}
    assert {name for name in wanted if seen[name] < 3} == set()


def rows(told_rows: Sequence[Row]) -> Candles:
    """Dicts of `rows_of` as an array again."""
    names = CANDLE.names or ()
    values = [tuple(math.nan if row[name] is None else row[name] for name in names) for row in told_rows]
    return Candles(np.array(values, CANDLE))


def reaches(spans: Sequence[tuple[int, int]], at: int) -> int:
    """How far ascending spans cover without a hole, from ``at`` on."""
    for start, stop in spans:
        if start <= at < stop:
            at = stop
    return at


def interleaved(entries: Sequence[Entry], order: random.Random) -> list[Entry]:
    """The tape with the packets of each burst shuffled, where the feed's clock allows it."""
    reference = Reference(SETTINGS)
    out: list[Entry] = []
    for entry in entries:
        out.append(
            Entry(entry.record, shuffled(entry, order), entry.bad) if movable(entry, reference) else entry
        )
        reference.step(*step_of([entry]))
    return out


def movable(entry: Entry, reference: Reference) -> bool:
    """Whether the clock shows every packet of a frame the same, in any order."""
    stream = reference.streams.get(entry.record.stream_id)
    if entry.record.kind is not Kind.FRAME or stream is None or len(entry.packets) < 2:
        return False
    clock = reference.clocks[stream.feed]
    if clock.value is None or not clock.fresh:
        return False
    stamps = {p.get("ts_exchange", 0) or p.get("ts_trade", 0) for p in entry.packets}
    if max(stamps) <= clock.value:
        return True
    seen = all(
        p["instrument_id"] in stream.lines and stream.lines[p["instrument_id"]].seen for p in entry.packets
    )
    return seen and len(stamps) == 1 and max(stamps) <= clock.value + 5 * S


def shuffled(entry: Entry, order: random.Random) -> list[dict[str, object]]:
    """Its packets in another order, but those of one instrument in theirs."""
    places = [packet["instrument_id"] for packet in entry.packets]
    order.shuffle(places)
    waiting = {place: [p for p in entry.packets if p["instrument_id"] == place] for place in places}
    return [waiting[place].pop(0) for place in places]
