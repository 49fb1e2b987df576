"""What runs at a time of day: once, also if it was missed, never twice at once, remembered."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from mdingest.errors import PermanentError, StoreUnavailable
from mdingest.pipeline.upkeep.schedule import Job, Outcome, Schedule
from mdingest.pipeline.upkeep.timetable import Daily
from mdingest.store import open_store
from mdingest.store.base import Committed, Store, Transaction
from mdingest.store.migrate import migrate
from tests.support.history import BOOK
from tests.support.rows import ns

DAY_S, DUE = 86_400, 7 * 3_600  # 16:15 in India, in seconds after 09:15


@dataclass(eq=False)
class Plan:
    """A schedule of one job whose end the test decides, and a clock turned by hand."""

    store: Store
    now: int = ns(DUE - 1)
    ran: list[int] = field(default_factory=list)
    begun: asyncio.Queue[int] = field(default_factory=asyncio.Queue)  # the same, to be waited for
    outcomes: list[Outcome | Exception] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    keeps: bool = True
    names: list[str] = field(default_factory=lambda: ["kite 1m"])

    def __post_init__(self) -> None:
        self.hold.set()
        self.begin()

    def begin(self) -> None:
        """As after a start of the process."""
        self.schedule = Schedule(self.store, self.commit, self.jobs, now_ns=lambda: self.now)

    async def jobs(self) -> list[Job]:
        daily = Daily(dt.time(16, 15), BOOK.zone("NSE.EQ.cas"), partial(BOOK.day, "NSE.EQ.cas"))
        return [Job("backfill", name, daily, self.run, name.split()[0].split(",")) for name in self.names]

    async def run(self, due_ns: int) -> Outcome:
        self.ran.append(due_ns)
        self.begun.put_nowait(due_ns)
        await self.hold.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome("2 symbols")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def commit(self, transaction: Transaction) -> Committed:
        if not self.keeps:
            raise StoreUnavailable("gone for a moment")
        return await self.store.commit(transaction)

    async def look(self, at: int | None = None) -> int:
        """Look once, let what begins end; how often it has run by then."""
        self.now = self.now if at is None else at
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            await self.schedule.look(group)
        return len(self.ran)


@pytest.fixture
async def plan(tmp_path: Path) -> AsyncIterator[Plan]:
    url = f"sqlite:///{tmp_path}/candles.db"
    await migrate(url)
    store = await open_store(url)
    yield Plan(store)
    await store.close()


async def test_it_runs_once_for_each_instant_and_a_restart_repeats_nothing(plan: Plan) -> None:
    assert await plan.look() == 1  # of the day before, which was missed
    assert await plan.look(ns(DUE)) == 2
    assert await plan.look(ns(DUE + 3_600)) == 2
    plan.begin()
    assert await plan.look() == 2
    assert await plan.look(ns(3 * DAY_S + DUE)) == 3

    assert plan.ran == [ns(-DAY_S + DUE), ns(DUE), ns(3 * DAY_S + DUE)]


async def test_after_days_away_only_the_last_one_is_made_up_for(plan: Plan) -> None:
    await plan.look(ns(DUE))
    plan.begin()

    assert await plan.look(ns(6 * DAY_S + DUE + 5)) == 2
    assert plan.ran[-1] == ns(6 * DAY_S + DUE)


async def test_what_failed_is_due_at_once_when_whom_it_asks_has_another_token(plan: Plan) -> None:
    plan.names = ["kite,yfinance 1m", "binance 1m"]
    plan.outcomes = [PermanentError("no token")] * 20
    await plan.look(ns(DUE))
    await plan.look(ns(DUE + 3_600))
    assert await plan.look() == 4, "both failed twice"

    assert plan.schedule.renewed(["kite"]) == 1
    assert await plan.look() == 5, "only the one that asks it"
    assert await plan.look(ns(DUE + 3_600 + 599)) == 5
    assert await plan.look(ns(DUE + 3_600 + 600)) == 6, "its waits begin anew"

    plan.outcomes = []
    plan.schedule.renewed(["kite"])
    assert await plan.look() == 7
    assert plan.schedule.renewed(["kite"]) == 0
    assert await plan.look() == 7, "it is done"


async def test_what_runs_with_the_old_token_and_fails_runs_again_at_once(plan: Plan) -> None:
    plan.hold.clear()
    plan.outcomes = [PermanentError("no token")]
    plan.now = ns(DUE)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(plan.schedule.run())
        await plan.begun.get()
        plan.schedule.renewed(["kite"])
        plan.hold.set()
        await plan.begun.get()
        task.cancel()

    assert await plan.look() == 2, "it went well"


async def test_it_never_overlaps_itself(plan: Plan) -> None:
    plan.hold.clear()
    plan.now = ns(DUE)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        await plan.schedule.look(group)
        await asyncio.sleep(0)
        plan.now = ns(3 * DAY_S + DUE)
        await plan.schedule.look(group)
        await asyncio.sleep(0)
        assert plan.ran == [ns(DUE)]
        assert plan.schedule.check()[1]["kite 1m"]["running"]
        plan.hold.set()

    assert await plan.look() == 2


async def test_a_failure_is_told_and_tried_again(plan: Plan) -> None:
    plan.outcomes = [PermanentError("kite is not there"), Outcome("1 of 2 failed: TCS.NS", failed=True)]

    await plan.look(ns(DUE))
    (failed,) = plan.schedule.conditions()
    assert (failed.what, failed.well, failed.reason) == ("backfill", False, "kite is not there")
    assert await plan.look(ns(DUE + 300)) == 1
    plan.begin()
    assert await plan.look(ns(DUE + 600)) == 2
    assert plan.schedule.check()[1]["kite 1m"]["error"] == "1 of 2 failed: TCS.NS"
    assert await plan.look(ns(DUE + 600 + 1_200)) == 3

    (well,) = plan.schedule.conditions()
    assert (well.well, well.reason) == (True, "2 symbols")
    assert well.key == failed.key


async def test_a_store_that_is_away_at_its_end_costs_no_second_run(plan: Plan) -> None:
    plan.keeps = False
    assert await plan.look(ns(DUE)) == 1
    assert await plan.look(ns(DUE + 60)) == 1


async def test_jobs_come_and_go_with_the_configuration(plan: Plan) -> None:
    await plan.look(ns(DUE))
    plan.names = ["kite 1m", "kite 1d"]
    assert await plan.look(ns(DUE + 60)) == 2
    plan.names = ["kite 1d"]
    await plan.look()

    _, detail = plan.schedule.check()
    assert list(detail) == ["kite 1d"]
    assert (detail["kite 1d"]["last"], detail["kite 1d"]["next"]) == (
        "2026-11-20T10:45:00Z",
        "2026-11-23T10:45:00Z",
    )
