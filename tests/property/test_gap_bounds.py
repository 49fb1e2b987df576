"""How exact the bounds of a gap can be: no machine that is honest can do better than ours.

A feed whose stamps are whole seconds does not say how its clock stands against ours: the very
same bytes at the very same instants may come from exchanges whose clocks differ by up to a
second, less what stamps have ruled out. What is claimed must be true of each of them. So a
recorded gap is up to two seconds longer than its cut because uptime is told in whole seconds,
and besides by as much as the exchange at hand is ahead of the slowest that may have sent these
bytes (``behind`` below), and by the quarter of a second that ours may be behind.
"""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdingest.core.control import CandleSettings
from mdingest.core.machine import Machine
from tests.support.tapes import KITE, Story, packet, subscription

QUARTER = 0.25
_MS = st.integers(0, 999).map(lambda ms: ms / 1000)


@settings(max_examples=50, deadline=None)
@given(
    behind=st.integers(0, 740).map(lambda ms: ms / 1000),
    heard=st.floats(0, 4).map(lambda s: round(s, 3)),
    away=st.floats(0.1, 9).map(lambda s: round(s, 3)),
    part=_MS,
)
@example(behind=0.7, heard=1.29, away=1.02, part=0.0)
def test_bounds_are_the_tightest_that_hold_for_every_exchange_that_may_have_sent_this(
    behind: float, heard: float, away: float, part: float
) -> None:
    shown = 5 + behind  # by our clock, when a packet stamped 5 comes
    cut = round(shown + heard, 3)
    back = round(cut + away + part, 3)
    story = Story(Machine(CandleSettings()))
    story.start().kite(1)
    story.at(shown).frame(1, packet(1, t=5, x=5, price=101, volume=1010))
    story.at(cut).frame(1).disconnect(1)
    story.at(back).connect(2, KITE, subscription(1))
    story.frame(2, packet(1, t=-10, x=-10, price=101, volume=1010))

    (_, until), (since, _) = story.coverage(1)

    # An exchange is ``ahead`` of our clock by so much; all of these stamp 5 what comes at `shown`.
    slowest, fastest = -behind, min(QUARTER, 1 - behind)
    assert until <= _at(cut, slowest) < until + 1, "a second more would claim what came after the cut"
    assert since - 1 <= _at(back, fastest) < since, "or what came before we were back"
    assert (since - until) - (back - cut) <= 2 + (fastest - slowest)


def test_an_honest_gap_may_exceed_its_cut_by_more_than_two_seconds() -> None:
    """No byte tells this exchange, whose clock is ours, from one that is 0.7 s behind.

    To that one the cut is at 5.99, and a claim of second 5 would be false.
    """
    story = Story(Machine(CandleSettings()))
    story.start().kite(1)
    story.at(5.7).frame(1, packet(1, t=5, x=5, price=101, volume=1010))
    story.at(6.69).frame(1).disconnect(1)
    story.at(8.76).connect(2, KITE, subscription(1))
    story.frame(2, packet(1, t=-10, x=-10, price=101, volume=1010))

    assert story.coverage(1)[0][1] == 5.0
    assert story.coverage(1)[1][0] == 10.0
    assert (10.0 - 5.0) - (8.76 - 6.69) > 2.9


def _at(ours: float, ahead: float) -> float:
    """An instant of our clock by an exchange's, to the microsecond."""
    return round(ours + ahead, 6)
