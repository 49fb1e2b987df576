"""Only refusals escape a decoder or a parser, and what lies beside the damage is unaffected."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdingest.core.session import DAY_NS, SessionTable
from mdingest.providers import HISTORY, PROVIDERS
from mdingest.providers.history import Hours
from tests.support.hostile import Target, spoil, targets

TARGETS = targets()


@pytest.fixture(params=sorted(TARGETS), scope="module")
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = TARGETS[request.param]
    return found


def test_every_provider_is_a_target() -> None:
    assert {name.split()[1] for name in TARGETS} == {*PROVIDERS, *HISTORY}


def test_what_is_good_passes(target: Target) -> None:
    rows = [target.check(seed) for seed in target.seeds]
    assert max(rows) > 0 or not target.good


@settings(max_examples=60)
@given(data=st.binary(max_size=300))
def test_any_bytes(target: Target, data: bytes) -> None:
    target.check(data)


@settings(max_examples=120)
@given(seed=st.integers(0, 2**32), which=st.integers(0, 2**16), rounds=st.integers(1, 3))
def test_good_input_that_was_spoilt(target: Target, seed: int, which: int, rounds: int) -> None:
    random, data = Random(seed), target.seeds[which % len(target.seeds)]
    for _ in range(rounds):
        data = spoil(data, random)
    target.check(data)


def test_a_bar_of_another_century_is_not_worth_a_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by coverage: days between it and the wish were made one by one, in the event loop."""
    asked: list[int] = []
    honest = Hours.around

    def around(hours: Hours, start_ns: int, end_ns: int) -> SessionTable:
        asked.append(end_ns - start_ns)
        return honest(hours, start_ns, end_ns)

    monkeypatch.setattr(Hours, "around", around)
    target = TARGETS["history binance 1m"]
    for seed in target.seeds:
        target.check(seed.replace(b"1795146300000", b"3589228800000"))

    assert asked
    assert max(asked) < 30 * DAY_NS
