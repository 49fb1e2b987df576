"""One POST a change of state: retried, bounded, and never with the address in the log."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from mdingest.telemetry.alerts import MOST_WAITING, Alerts, Condition

PARKED = Condition("feed", "parked", False, "the token expired", "log in", "kite_ws", 1_795_150_815 * 10**9)
LIVE = Condition("feed", "live", True, feed="kite_ws")


class Hook:
    """A webhook that answers as it is told, then with 200."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        self.came = asyncio.Event()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.came.set()
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    async def heard(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.bodies) < count:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def telling(hook: Hook, alerts: Alerts, now: list[Condition]) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/secret", hook.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    alerts.url = f"http://127.0.0.1:{runner.addresses[0][1]}/secret"
    task = asyncio.create_task(alerts.run(lambda: now))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await runner.cleanup()


def alerts(url: str | None = None) -> Alerts:
    def at_once() -> Iterator[float]:
        while True:
            yield 0.0

    return Alerts(url, lambda: 0, at_once, look_s=0.01)


async def test_each_change_is_told_once() -> None:
    hook, now, told = Hook(), [PARKED], alerts()
    async with telling(hook, told, now):
        await hook.heard(1)
        await asyncio.sleep(0.1)  # ten more looks
        now[:] = [LIVE]
        await hook.heard(2)
        await asyncio.sleep(0.1)
    assert [body["state"] for body in hook.bodies] == ["parked", "live"]
    assert {key: hook.bodies[0][key] for key in ("what", "feed", "since", "reason", "what_to_do")} == {
        "what": "feed",
        "feed": "kite_ws",
        "since": "2026-11-20T05:00:15Z",
        "reason": "the token expired",
        "what_to_do": "log in",
    }
    assert hook.bodies[0]["text"] == "mdingest: feed kite_ws is parked. the token expired. log in"


async def test_what_the_reason_says_to_do_is_said_once() -> None:
    hook, told = Hook(), alerts()
    now = [replace(PARKED, reason="the token expired. log in")]

    async with telling(hook, told, now):
        await hook.heard(1)

    assert hook.bodies[0]["text"] == "mdingest: feed kite_ws is parked. the token expired. log in"


async def test_a_webhook_in_trouble_is_tried_again_and_the_order_kept() -> None:
    hook, told = Hook(503, 429, 500), alerts()
    async with telling(hook, told, []):
        told.note(PARKED)
        told.note(LIVE)
        await hook.heard(5)
    assert [body["state"] for body in hook.bodies] == ["parked"] * 4 + ["live"]


async def test_a_webhook_that_says_no_is_not_hammered() -> None:
    hook, told = Hook(404), alerts()
    async with telling(hook, told, []):
        told.note(PARKED)
        told.note(LIVE)
        await hook.heard(2)
    assert [body["state"] for body in hook.bodies] == ["parked", "live"]
    assert told.dropped == 1


def test_what_mends_itself_between_two_looks_is_not_told() -> None:
    told = alerts("http://127.0.0.1:9/")

    for condition in (PARKED, LIVE, PARKED, LIVE, LIVE):
        told.look([condition])

    assert told.detail()[1]["waiting"] == 0


def test_being_well_from_the_start_is_no_news() -> None:
    told = alerts("http://127.0.0.1:9/")
    for _ in range(3):
        told.look([LIVE])
    assert told.detail()[1]["waiting"] == 0


def test_the_queue_is_bounded_and_keeps_the_newest() -> None:
    told = alerts("http://127.0.0.1:9/")
    for n in range(MOST_WAITING + 5):
        told.note(Condition("backfill", "failed", False, feed=f"p{n}"))
    assert (told.detail()[1]["waiting"], told.dropped) == (MOST_WAITING, 5)


async def test_an_address_that_cannot_be_used_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    told = alerts("nonsense://secret-host/secret-path")
    told.note(PARKED)
    task = asyncio.create_task(told.run(list))
    async with asyncio.timeout(5):
        while not told.dropped:  # noqa: ASYNC110 - only yields
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    out = capsys.readouterr()
    assert "secret" not in out.out + out.err + str(told.detail())
