"""The clock of a feed, by itself; its rules are told by the stories of the machine."""

from dataclasses import asdict

import pytest

from mdingest.core.feedclock import FeedClock


@pytest.mark.parametrize(
    "clock",
    [
        FeedClock(),
        FeedClock(1, 2, 3, fresh=True, has_exchange=False, candidates={4: 5}),
        FeedClock(1, 2, 3, fresh=False, has_exchange=True, candidates={}),
    ],
)
def test_a_copy_is_as_the_clock_stood(clock: FeedClock) -> None:
    before = asdict(clock)
    copy = clock.copy()
    clock.hear(10_000_000_000, 1, 10_000_000_000, 7, lambda: 1)
    assert {**asdict(copy), "candidates": before["candidates"]} == before
