"""A new token: the gaps that waited for it are due, and who is to be told is told once."""

import asyncio
import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from mdingest.app import renewing
from mdingest.app.renewing import renewal_of, watch_renewals
from mdingest.config import load
from mdingest.errors import StoreUnavailable
from mdingest.pipeline.upkeep.alarm import Alarm
from mdingest.store import open_store
from mdingest.store.base import Transaction
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock
from tests.support.rows import RELIANCE, Database, gap, ns

YAML = """
symbols: [RELIANCE.NS]
realtime: [{provider: kite_ws}, {provider: binance_ws, symbols: [BTCUSDT.BINANCE]}]
providers: {kite_ws: {api_key: k}}
"""


class Beside:
    """What stands beside the gaps: a schedule and a repairer, as far as they are told."""

    def __init__(self) -> None:
        self.alarm = Alarm()
        self.told: list[Collection[str]] = []

    def renewed(self, names: Collection[str]) -> int:
        self.told.append(names)
        return 0


def log_in(token: str) -> None:
    Path("data").mkdir(exist_ok=True)
    Path("data/kite_token.json").write_text(json.dumps({"api_key": "k", "access_token": token}))


def log_out() -> None:
    Path("data/kite_token.json").unlink()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(YAML)


async def test_gaps_whose_broker_has_a_new_token_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "_PAGE", 2)
    log_in("t1")
    config, beside = load("c.yaml", {}), Beside()
    url = "sqlite:///candles.db"
    await migrate(url)
    db = Database(url, await open_store(url))
    await db.store.ensure_instruments([RELIANCE])
    await db.put(
        gaps=[gap(at * 10, at * 10 + 5) for at in range(5)] + [gap(0, 5, source="binance_ws"), gap(90, None)]
    )
    failed = [
        replace(row, repair="open", attempts=2, retry_ns=ns(10_000))
        for row in await db.store.gaps(1, 0, ns(1_000))
        if row.end_ns is not None
    ]
    given_up = replace(failed[-1], repair="unfillable", retry_ns=0)
    await db.store.commit(Transaction(repairs=[*failed[:-1], given_up]))
    renewed = renewal_of(lambda: config, Clock(), db.store, db.store.commit, beside, beside)  # type: ignore[arg-type]

    await renewed(["kite"])

    due = await db.store.upkeep.repairable(ns(1_000), ns(1_000), 99)
    assert [(row.source, row.start_ns, row.attempts) for row in due] == [
        ("kite_ws", ns(at * 10), 2) for at in range(4)
    ]
    assert beside.told == [["kite"]]
    async with asyncio.timeout(1):
        await beside.alarm.sleep(3_600)
    await db.store.close()


async def test_a_token_that_comes_or_changes_is_told_once_and_again_if_nobody_could_hear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewing, "LOOK_S", 0.0)
    config, told = load("c.yaml", {}), asyncio.Queue[list[str]]()
    deaf = [True]

    async def renewed(names: Collection[str]) -> None:
        told.put_nowait([*names])
        if deaf:
            deaf.pop()
            raise StoreUnavailable("gone for a moment")

    async def looked() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(watch_renewals(lambda: config, Clock(), renewed))
        await looked()
        assert told.empty()
        for token, times in (("t1", 2), ("t2", 1)):
            log_in(token)
            for _ in range(times):
                assert await told.get() == ["kite"]
            await looked()
            assert told.empty()
        log_out()
        await looked()
        assert told.empty(), "a token that goes is no renewal"
        task.cancel()
