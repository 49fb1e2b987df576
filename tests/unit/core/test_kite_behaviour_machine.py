"""What Kite does that the rules do not spell out, told to the machine and to its reference."""

import pytest

from mdingest.core.control import CandleSettings
from mdingest.core.events import Flag
from mdingest.core.machine import Machine
from tests.support.reference import Reference
from tests.support.tapes import KITE, OPEN_S, PREOPEN_S, Story, packet, subscription

YESTERDAY_S = OPEN_S - 17.75 * 3600  # 15:30 of the day before


@pytest.fixture(params=[Machine, Reference])
def story(request: pytest.FixtureRequest) -> Story:
    told = Story(request.param(CandleSettings(lateness_s=2.0, revise_s=10.0)), now=PREOPEN_S - 300)
    told.start()
    return told


def closed(story: Story) -> Story:
    """Subscribed before the day, with yesterday's closing snapshot."""
    story.connect(1, KITE, subscription(1))
    return story.frame(
        1, packet(1, t=YESTERDAY_S, x=YESTERDAY_S, price=100, volume=9000, day_high=120.0, day_low=90.0)
    )


def quiet(story: Story, at: float, price: float = 100.0) -> Story:
    """A packet of the pre-open: the day's volume is 0, the last trade is yesterday's."""
    return story.at(at).frame(1, packet(1, t=YESTERDAY_S, x=at, price=price, volume=0))


def test_order_books_of_the_pre_open_are_in_order_and_move_nothing(story: Story) -> None:
    closed(story)
    for second in range(0, 480, 20):
        quiet(story, PREOPEN_S + second, price=100 + second % 7)
    story.pass_to(PREOPEN_S + 485)

    assert not story.ledger.candles
    assert story.ledger.counts["out_of_order"] == 0


def test_the_match_of_the_pre_open_has_its_whole_size(story: Story) -> None:
    quiet(closed(story), PREOPEN_S + 1)
    match = PREOPEN_S + 488
    story.trade(1, match, 103, 5000, day_high=103.0, day_low=103.0).pass_to(match + 4)

    row = story.candle(1, int(match))
    assert row is not None
    assert (row["open"], row["high"], row["low"], row["volume"], row["flags"]) == (103, 103, 103, 5000, 0)


def test_a_connection_made_in_the_pre_open_finds_no_volume_passed(story: Story) -> None:
    quiet(closed(story), PREOPEN_S + 1)
    story.at(PREOPEN_S + 60).disconnect(1).at(PREOPEN_S + 70).connect(2, KITE, subscription(1))
    story.frame(2, packet(1, t=YESTERDAY_S, x=PREOPEN_S + 70, price=100, volume=0))
    match = PREOPEN_S + 488
    story.trade(1, match, 103, 5000, stream=2).pass_to(match + 4)

    row = story.candle(1, int(match))
    assert row is not None
    assert row["volume"] == 5000
    assert [volume for *_, volume in story.gaps(1)] == [0.0]
    assert story.ledger.counts["out_of_order"] == 0


@pytest.mark.parametrize("before", ["a reset", "nothing", "yesterday's totals after midnight"])
def test_the_first_trades_of_a_day_reach_the_extremes_of_the_day(story: Story, before: str) -> None:
    """No packet before them has any of this date to compare with: all of it is theirs."""
    closed(story)
    if before == "a reset":
        quiet(story, PREOPEN_S + 1)
    elif before != "nothing":
        yesterday = {"price": 100, "volume": 9000, "day_high": 120.0, "day_low": 90.0}
        story.at(PREOPEN_S - 200).frame(1, packet(1, t=YESTERDAY_S, x=PREOPEN_S - 200, **yesterday))
    story.trade(1, OPEN_S, 103, 5000, day_high=105.0, day_low=99.0)
    story.trade(1, OPEN_S + 1, 103, 5010, day_high=105.0, day_low=99.0).pass_to(OPEN_S + 5)

    first, second = story.candle(1, int(OPEN_S)), story.candle(1, int(OPEN_S) + 1)
    assert first is not None
    assert second is not None
    assert (first["high"], first["low"], first["volume"]) == (105, 99, 5000)
    assert first["flags"] == Flag.EXTREME_AMBIGUOUS
    assert (second["high"], second["low"], second["flags"]) == (103, 103, 0)


def test_a_total_that_was_0_for_a_while_does_not_bring_the_days_extremes_again(story: Story) -> None:
    closed(story).trade(1, OPEN_S, 103, 5000, day_high=103.0, day_low=103.0)
    story.trade(1, OPEN_S + 1, 120, 5010, day_high=120.0, day_low=103.0)
    for second in (10, 13, 16):
        story.trade(1, OPEN_S + second, 110, 0, day_high=120.0, day_low=103.0)
    story.trade(1, OPEN_S + 20, 110, 5020, day_high=120.0, day_low=103.0).pass_to(OPEN_S + 25)

    row = story.candle(1, int(OPEN_S) + 20)
    assert row is not None
    assert (row["high"], row["low"]) == (110, 110)
