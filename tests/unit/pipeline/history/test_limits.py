"""A provider is asked no faster than it allows."""

import asyncio

import pytest

from mdingest.errors import TransientError
from mdingest.pipeline.history import limits
from mdingest.pipeline.history.limits import Pace
from mdingest.providers.history import Limits


class Hand:
    """A clock that moves only when somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        monkeypatch.setattr(limits.asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


async def turns(pace: Pace, count: int) -> None:
    for _ in range(count):
        await pace.turn()


async def test_without_limits_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hand(monkeypatch)
    await turns(Pace(Limits(), clock), 100)
    assert clock.slept == []


async def test_requests_are_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hand(monkeypatch)
    await turns(Pace(Limits(per_second=3), clock), 7)
    assert clock.now == pytest.approx(1_002)


async def test_a_minute_holds_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hand(monkeypatch)
    await turns(Pace(Limits(per_minute=5), clock), 11)
    assert clock.now == pytest.approx(1_120)


async def test_a_day_that_is_used_up_is_no_reason_to_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hand(monkeypatch)
    pace = Pace(Limits(per_day=2), clock)
    await turns(pace, 2)
    with pytest.raises(TransientError, match="quota of 2 requests a day") as caught:
        await pace.turn()
    assert caught.value.retry_after_s == pytest.approx(86_400)
    clock.now += 86_401
    await pace.turn()


async def test_two_tasks_share_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hand(monkeypatch)
    pace = Pace(Limits(per_second=1), clock)
    await asyncio.gather(turns(pace, 3), turns(pace, 3))
    assert clock.now == pytest.approx(1_005)


async def test_half_an_hour_holds_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hand(monkeypatch)
    pace = Pace(Limits(per_half_hour=2), clock)
    await turns(pace, 2)
    with pytest.raises(TransientError, match="2 requests in half an hour is used up"):
        await pace.turn()
    clock.now += 1_600
    await pace.turn()
    assert clock.now == pytest.approx(1_000 + 1_800)


async def test_who_asks_for_a_pause_gets_it_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hand(monkeypatch)
    pace = Pace(Limits(), clock)
    pace.hold(20)
    await asyncio.gather(turns(pace, 1), turns(pace, 1))
    assert clock.now == pytest.approx(1_020)


async def test_a_pause_that_nobody_waits_for_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hand(monkeypatch)
    pace = Pace(Limits(), clock)
    pace.hold(301)
    with pytest.raises(TransientError, match="asked not to be asked for another 301 s"):
        await pace.turn()
    assert clock.slept == []
