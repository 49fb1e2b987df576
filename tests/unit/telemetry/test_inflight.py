"""`mdingest.telemetry.inflight`: requests go first, but not for ever."""

import asyncio

import pytest

from mdingest.telemetry import inflight
from mdingest.telemetry.inflight import InFlight


async def test_work_waits_until_the_last_request_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflight, "PATIENCE_S", 60.0)
    requests = InFlight()
    with requests.one():
        with requests.one():
            work = asyncio.create_task(requests.give_way())
            for _ in range(9):
                await asyncio.sleep(0)
        assert requests.count == 1
        await asyncio.sleep(0)
        assert not work.done()
    await work
    assert requests.count == 0


async def test_work_goes_on_beside_a_request_that_does_not_end() -> None:
    requests = InFlight()
    with requests.one():
        await requests.give_way()
        assert requests.count == 1


async def test_without_requests_work_lets_others_run_once() -> None:
    requests, ran = InFlight(), list[int]()
    asyncio.get_running_loop().call_soon(ran.append, 1)
    await requests.give_way()
    assert ran == [1]
