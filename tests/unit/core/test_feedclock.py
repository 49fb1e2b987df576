"""The clock of a feed, by itself; its rules are told by the stories of the machine."""

from dataclasses import asdict

import numpy as np
import pytest

from mdingest.core.feedclock import CANDIDATES, Candidate, FeedClock
from tests.support.tapes import S


@pytest.mark.parametrize(
    "clock",
    [
        FeedClock(),
        FeedClock(1, 2, 3, fresh=True, has_exchange=False, candidates={4: Candidate(5, 6, 7)}),
        FeedClock(1, 2, 3, fresh=False, has_exchange=True, candidates={}),
    ],
)
def test_a_copy_is_as_the_clock_stood(clock: FeedClock) -> None:
    before = asdict(clock)
    copy = clock.copy()
    clock.hear(10_000_000_000, 1, 10_000_000_000, 7, lambda: 1)
    assert {**asdict(copy), "candidates": before["candidates"]} == before


def test_one_strange_stamp_does_not_make_all_later_packets_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one instrument said once and nobody bore out must not cost a day of row-by-row work."""
    clock = FeedClock(100 * S, 100 * S, 0, fresh=True, has_exchange=True)
    clock.hear(90_000 * S, 9, 100 * S, 0, lambda: 5)
    assert clock.candidates == {9: Candidate(90_000 * S, 0, 0)}
    monkeypatch.delattr(FeedClock, "hear")

    def run(*seconds: int) -> list[int]:
        at = np.array(seconds, np.int64) * S
        nothing = np.zeros(len(at), np.int64)
        return (clock.run(at, nothing != 0, nothing, at, at - 100 * S, lambda: 5).clock // S).tolist()

    assert run(101, 100, 103, 102) == [101, 101, 103, 103]
    assert clock.candidates
    assert run(104, 203, 150) == [104, 203, 203]
    assert not clock.candidates, "a jump that the wall clock bears out"


def test_what_is_remembered_of_unbelieved_stamps_is_bounded() -> None:
    clock = FeedClock(100 * S, 100 * S, 0, fresh=True, has_exchange=True)
    for slot in range(1_000):
        clock.hear((90_000 + 10 * slot) * S, slot, 100 * S, 0, lambda: 1_000)
    assert list(clock.candidates) == list(range(1_000 - CANDIDATES, 1_000))

    clock.hear(99_999_999 * S, 7, 100 * S, 7_200 * S, lambda: 1_000)
    assert list(clock.candidates) == [7], "an hour later nobody knows them"
