"""Which silences of a feed mean something, second by second and without waiting for any."""

from collections.abc import Callable, Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdingest.pipeline.pulse import (
    AT_THE_END_S,
    BURST_S,
    DEAD_S,
    DOUBT_S,
    LOOK_S,
    STUBBORN_S,
    STUBBORN_TIMES,
    WINDOW_S,
    Pulse,
)

NS = 1_000_000_000
PATIENCE_S = 8.0


class Line:
    """A pulse that is looked at every second, as a connection does."""

    def __init__(
        self, *, regular_s: Callable[[], float] | None = None, answers: bool = False, at: float = 1e6
    ) -> None:
        self.now = at
        self.silences: list[float] = []
        self.given_up: list[tuple[float, str]] = []
        self.pulse = Pulse(regular_s or (lambda: 1e9), answers=answers)
        self.pulse.connected(at, PATIENCE_S)

    def _look_until(self, at: float) -> None:
        while self.now + LOOK_S < at:
            self.now += LOOK_S
            self._give_up(self.pulse.dead(self.now))
        self.now = at

    def _give_up(self, why: str) -> None:
        if why:
            self.given_up.append((self.now, why))

    def hear(self, after_s: float, *, data: bool = True, stamp_s: float | None = None) -> None:
        """A frame so long after the one before; ``stamp_s``: what it says of the time."""
        self._look_until(self.now + after_s)
        self.at_once(data=data, stamp_s=stamp_s)

    def at_once(self, *, data: bool, stamp_s: float | None = None) -> None:
        stamp = int(self.now if stamp_s is None else stamp_s) * NS
        if self.pulse.frame(self.now, data=data, stamp=lambda: stamp, mono_ns=round(self.now * NS)):
            self.silences.append(self.now)
        if not data:
            self._give_up(self.pulse.dead(self.now))

    def beat(self, for_s: float) -> None:
        """Heartbeats only, one a second, until we leave."""
        for _ in range(round(for_s)):
            if not self.given_up:
                self.hear(1.0, data=False)

    def flow(self, spacings: Iterable[float]) -> None:
        for spacing in spacings:
            self.hear(spacing)


def lively(**options: object) -> Line:
    line = Line(**options)  # type: ignore[arg-type]
    line.flow([0.1] * 900)
    return line


def test_a_mute_feed_is_doubted_soon_and_left_after_a_while() -> None:
    line = lively()
    began = line.now
    line.beat(30)

    assert line.silences == [began + DOUBT_S]
    ((left, why),) = line.given_up
    assert left == began + DEAD_S
    assert why == "no data for 15 s, heartbeats only"


def test_no_frame_at_all_ends_a_connection_at_any_hour_and_however_quiet_it_was() -> None:
    for line in (lively(regular_s=lambda: 0.0), Line(regular_s=lambda: 0.0)):
        line.hear(1, data=False)
        began = line.now
        line._look_until(began + PATIENCE_S + 2 * LOOK_S)
        assert line.given_up[0] == (began + PATIENCE_S, "nothing heard for 8 s")
        assert line.pulse.wait_s(began + 7.5) == pytest.approx(0.5)


def test_a_heartbeat_keeps_a_connection_through_the_night() -> None:
    line = lively(regular_s=lambda: 0.0)
    line.beat(3_600)
    assert not line.given_up
    assert not line.silences


def test_a_feed_that_was_not_lively_may_be_silent() -> None:
    line = Line()
    for _ in range(20):
        line.beat(14)
        line.hear(1)
    line.beat(1_000)
    assert not line.given_up


@pytest.mark.parametrize("spacing", [2.0, 5.0])
def test_a_slow_feed_is_given_twenty_times_its_own_spacing(spacing: float) -> None:
    line = Line()
    line.flow([spacing] * 400)
    began = line.now
    line.beat(300)
    ((left, _),) = line.given_up
    assert left - began == pytest.approx(20 * spacing, rel=0.1)


def test_the_silence_before_a_session_is_no_silence_in_it() -> None:
    opened: list[float] = []
    line = lively(regular_s=lambda: line.now - opened[0] if opened else 0.0)
    line.beat(300)
    opened.append(line.now)
    line.beat(DOUBT_S - 1)
    assert not line.silences
    line.flow([0.1] * 100)
    assert not line.silences
    assert not line.given_up


def test_what_was_held_up_on_the_way_was_not_lost() -> None:
    line = lively()
    last = line.now
    line._look_until(last + 6)
    for n in range(60):  # all that was sent meanwhile, at once and with the stamps of then
        line.at_once(data=True, stamp_s=last + n / 10)
    assert not line.silences


def test_what_was_never_sent_was_lost_also_without_a_heartbeat() -> None:
    line = lively()
    line.hear(6)
    assert line.silences == [line.now]
    line.flow([0.1] * 10)
    assert len(line.silences) == 1


def test_a_feed_without_stamps_is_not_doubted_when_it_goes_on() -> None:
    line = Line()
    for _ in range(100):
        line.hear(0.1, stamp_s=0)
    line.hear(6, stamp_s=0)
    assert not line.silences


def test_a_process_that_slept_blames_nobody() -> None:
    line = lively()
    line.now += 40  # without a look
    assert "nothing heard" in line.pulse.dead(line.now), "so the socket is asked once more"
    line.at_once(data=False)
    assert not line.silences
    line.at_once(data=True)
    assert not line.silences
    assert not line.given_up


def test_before_a_disconnect_a_shorter_silence_is_doubted() -> None:
    line = lively()
    assert not line.pulse.ended(line.now + 0.5)
    line.hear(1, data=False)
    line.hear(1, data=False)
    assert not line.silences
    assert line.pulse.ended(line.now)
    line.beat(2)
    assert line.silences
    assert not line.pulse.ended(line.now), "it was recorded already"
    assert AT_THE_END_S < DOUBT_S


def test_a_feed_that_stays_mute_after_a_reconnect_is_tried_again_and_not_for_ever() -> None:
    line = lively()
    line.beat(30)
    waited = []
    for _ in range(12):
        line.given_up.clear()
        line.pulse.connected(line.now, PATIENCE_S)
        line.hear(0.1)  # its snapshot, and nothing more
        began = line.now
        line.beat(1_000)
        waited += [round(left - began) for left, _ in line.given_up]
    soon = [wait for wait in waited if wait < STUBBORN_S]
    assert len(soon) <= 6, "as long as the minute before was lively"
    assert waited == soon + [STUBBORN_S] * STUBBORN_TIMES


def test_a_subscription_that_is_never_answered_is_tried_again_in_a_session_only() -> None:
    line = Line(answers=True)
    line.beat(1_000)
    said = f"subscribed, but no data comes: heartbeats only for {STUBBORN_S:.0f} s"
    assert [why for _, why in line.given_up] == [said]
    for quiet in (Line(answers=True, regular_s=lambda: 0.0), Line(answers=False)):
        quiet.beat(1_000)
        assert not quiet.given_up


def test_an_instrument_that_hardly_trades_may_say_nothing_after_its_snapshot() -> None:
    line = Line(answers=True)
    line.hear(0.2)
    line.beat(3_000)
    line.hear(1)
    line.beat(3_000)
    assert not line.given_up
    assert not line.silences


def test_memory_is_bounded_by_the_window() -> None:
    line = Line()
    line.flow([0.11] * 6_000)
    assert len(line.pulse._bursts) <= WINDOW_S / BURST_S


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32), st.floats(0.05, 6.0), st.integers(1, 4))
def test_a_feed_that_goes_on_at_random_is_never_blamed(seed: int, mean_s: float, burst: int) -> None:
    """Arrivals without memory, some in bursts, with heartbeats in each pause: the honest case."""
    random = Random(seed)
    line = Line()
    for _ in range(500):
        wait = random.expovariate(1 / mean_s)
        while wait > 1:
            line.hear(1, data=False)
            wait -= 1
        line.hear(wait)
        line.flow([0.001] * random.randrange(burst))
    assert not line.silences
    assert not line.given_up
