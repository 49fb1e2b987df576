import random
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from mdingest.pipeline.backoff import CAP_S, full_jitter


@given(seed=st.integers(), first_s=st.floats(0.001, 100), cap_s=st.floats(0.001, 60), n=st.integers(1, 60))
def test_every_wait_is_within_its_ceiling_and_the_cap(
    seed: int, first_s: float, cap_s: float, n: int
) -> None:
    waits = list(islice(full_jitter(first_s, cap_s, random.Random(seed)), n))
    for attempt, wait in enumerate(waits):
        assert 0 <= wait <= min(cap_s, first_s * 2**attempt) * (1 + 1e-9)


@given(seed=st.integers())
def test_waits_use_the_whole_range_up_to_a_minute(seed: int) -> None:
    late = list(islice(full_jitter(rng=random.Random(seed)), 10, 410))
    assert CAP_S == 60
    assert min(late) < CAP_S * 0.1
    assert max(late) > CAP_S * 0.9
    assert 0.35 < sum(late) / len(late) / CAP_S < 0.65


def test_two_clients_do_not_come_back_together() -> None:
    assert list(islice(full_jitter(), 5)) != list(islice(full_jitter(), 5))
