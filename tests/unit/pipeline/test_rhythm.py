"""Which instruments are silent against their own rhythm, in made-up time."""

import numpy as np

from mdingest.pipeline.rhythm import NS, QUIET_S, WINDOW_S, Rhythm

BEGIN = 1_795_160_000 * NS
LIQUID, SLOW, LATER = 7, 40, 300
ALL = np.array([LIQUID, SLOW, LATER, 9_999])
FOR_EVER = np.full(len(ALL), 1e9)


def heard(rhythm: Rhythm, instruments: list[int], from_s: float, to_s: float, every_s: float = 1.0) -> None:
    for at in np.arange(from_s, to_s, every_s).tolist():
        rhythm.heard(np.array(instruments, np.uint32), BEGIN + round(at * NS))


def quiet(rhythm: Rhythm, at_s: float, expected_s: object = FOR_EVER) -> dict[int, float]:
    found = rhythm.quiet(ALL, BEGIN + round(at_s * NS), np.asarray(expected_s, np.float64))
    return {int(ALL[one.at]): one.silent_s for one in found}


def test_a_liquid_instrument_is_missed_after_half_a_minute_and_for_as_long_as_it_is_silent() -> None:
    rhythm = Rhythm()
    heard(rhythm, [LIQUID, LATER], 0, 400, 0.25)
    heard(rhythm, [LATER], 400, 2_000, 0.25)
    assert quiet(rhythm, 399.75 + QUIET_S - 1).get(LIQUID) is None
    assert quiet(rhythm, 2_000)[LIQUID] > 1_500
    heard(rhythm, [LIQUID], 2_000, 2_001)
    assert LIQUID not in quiet(rhythm, 2_001)


def test_a_slow_one_is_given_its_own_time_and_an_illiquid_one_is_never_missed() -> None:
    rhythm = Rhythm()
    for at in range(600):
        ids = [LATER] + ([SLOW] if at % 4 == 0 else [])
        rhythm.heard(np.array(ids, np.uint32), BEGIN + at * NS)
    assert SLOW not in quiet(rhythm, 596 + 75)
    assert SLOW in quiet(rhythm, 596 + 85)
    rare = Rhythm()
    heard(rare, [SLOW], 0, 600, 20)
    assert quiet(rare, 10_000) == {}


def test_silence_counts_from_when_it_could_be_heard() -> None:
    rhythm = Rhythm()
    heard(rhythm, [LIQUID], 0, 400)
    up_s = np.full(len(ALL), QUIET_S - 1)  # since a connect, or the opening
    assert quiet(rhythm, 5_000, up_s) == {}
    assert quiet(rhythm, 5_000, up_s + 2) == {LIQUID: QUIET_S + 1}


def test_what_was_heard_for_some_seconds_only_has_no_rhythm_yet() -> None:
    rhythm = Rhythm()
    heard(rhythm, [LIQUID], 0, 50)
    assert quiet(rhythm, 1_000) == {}
    assert Rhythm().quiet(ALL, BEGIN, FOR_EVER) == []


def test_a_wall_clock_that_steps_forgets_the_rhythm_and_breaks_nothing() -> None:
    for step_s in (-7_200, 7_200):
        rhythm = Rhythm()
        heard(rhythm, [LIQUID], 0, 400)
        heard(rhythm, [LIQUID], 400 + step_s, 430 + step_s)
        assert quiet(rhythm, 470 + step_s) == {}
        heard(rhythm, [LIQUID], 470 + step_s, 470 + step_s + WINDOW_S)
        assert LIQUID in quiet(rhythm, 600 + step_s + WINDOW_S)
