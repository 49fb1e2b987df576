"""What one packet a second leaves of the trades: the promises of the benchmark, on a smaller tape."""

import pytest

from benchmarks.fidelity import FIELDS, Fidelity, measure

SPANS = (("08:59", "09:36"), ("15:13", "15:32"))


@pytest.fixture(scope="module")
def both() -> tuple[Fidelity, Fidelity]:
    """With the day's extremes, and without them."""
    return measure(24, spans=SPANS, turn_s=5)


def test_the_sum_of_volumes_is_exact(both: tuple[Fidelity, Fidelity]) -> None:
    for found in both:
        assert found.stored == found.told > 1_000_000


@pytest.mark.parametrize("interval", ["1s", "1m"])
def test_a_volume_is_exact_where_no_interval_straddles_an_edge(
    both: tuple[Fidelity, Fidelity], interval: str
) -> None:
    ours, _ = both

    assert 0 < ours.apart[interval] < ours.candles[interval]
    assert ours.apart_wrong[interval] == 0


@pytest.mark.parametrize("name", ["high", "low"])
def test_recovery_leaves_a_tenth_of_the_wrong_extremes_where_the_days_moved(
    both: tuple[Fidelity, Fidelity], name: str
) -> None:
    ours, blind = both

    assert ours.moved[name] == blind.moved[name] >= 10
    assert blind.moved_wrong[name] >= 10 * ours.moved_wrong[name]
    assert blind.moved_wrong[name] >= ours.moved[name] // 2


def test_recovery_makes_no_field_of_any_candle_worse(both: tuple[Fidelity, Fidelity]) -> None:
    ours, blind = both

    for interval in ("1s", "1m"):
        assert ours.candles[interval] == blind.candles[interval] > 500
        for name in FIELDS:
            assert ours.right[interval, name] >= blind.right[interval, name]
