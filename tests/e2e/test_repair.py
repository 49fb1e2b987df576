"""A daemon whose feed is cut fills the hole by itself; in the end it has what an undisturbed one has."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from mdingest.simulators import KiteSimulator
from mdingest.telemetry.clock import Clock, parse_clock
from tests.support.evidence import NS, Evidence, read_evidence
from tests.support.postgres import Server, database
from tests.support.processes import Process, free_port, get, started, until, write_config
from tests.support.proxy import Proxy, proxy

SPEED = 60
MINUTE = 60 * NS
SYMBOLS = ["RELIANCE.NS", "TCS.NS", "INFY.NS"]


@dataclass
class Place:
    """A simulator with its candles over REST, and a line to its ticker that can be cut."""

    folder: Path
    simulator: KiteSimulator
    line: Proxy
    url: str | None = None  # of a PostgreSQL
    port: int = field(default_factory=free_port)

    @property
    def clock(self) -> Clock:
        return self.simulator.clock

    def configure(self, **others: Any) -> None:  # noqa: ANN401 - sections of the configuration
        """Write the configuration: the ticker over the line that can be cut, REST past it."""
        (self.folder / "instruments.csv").write_text(self.simulator.instruments_csv())
        path = write_config(
            self.folder,
            simulator=f"ws://127.0.0.1:{self.line.port}",
            instruments=self.folder / "instruments.csv",
            symbols=SYMBOLS,
            port=self.port,
        )
        content = yaml.safe_load(path.read_text())
        content["providers"]["kite_ws"]["api"] = self.simulator.http_url
        if self.url is not None:
            content["database"]["url"] = self.url
        path.write_text(yaml.safe_dump(content | others))

    def mdingest(self, *arguments: str) -> AbstractAsyncContextManager[Process]:
        config, log = self.folder / "config.yaml", self.folder / f"{arguments[0]}.log"
        return started("--config", config, *arguments, log=log, cwd=self.folder, clock=self.clock)

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        status, body = await get(f"http://127.0.0.1:{self.port}{path}")
        return body if status else None

    async def gaps(self, cause: str) -> list[dict[str, Any]]:
        found = [await self.get(f"/gaps?symbol={symbol}") for symbol in SYMBOLS]
        return [gap for body in found if body for gap in body["gaps"] if gap["cause"] == cause]

    async def until_minutes(self, daemon: Process, count: int) -> None:
        async def enough() -> bool:
            body = await self.get(f"/candles?symbol={SYMBOLS[-1]}&interval=1m")
            return body is not None and len(body.get("candles", ())) >= count

        await until(f"{count} minutes", enough, daemon, within_s=60)

    async def until_repaired(self, daemon: Process, cause: str, count: int) -> None:
        async def repaired() -> bool:
            gaps = await self.gaps(cause)
            return len(gaps) >= count and all(gap["repair"] == "repaired" for gap in gaps)

        await until(f"{count} repaired gaps of {cause}", repaired, daemon, within_s=60)

    async def passed(self, market_s: float) -> None:
        """Let so much of the simulator's time pass."""
        await asyncio.sleep(self.clock.real_s(market_s))

    def evidence(self) -> Evidence:
        return read_evidence(
            self.url or self.folder / "mdingest.db",
            self.folder / "tape.jsonl",
            self.folder / "cuts.jsonl",
            repaired=True,
        )


@asynccontextmanager
async def place_of(
    folder: Path,
    url: str | None = None,
    **others: Any,  # noqa: ANN401 - see `configure`
) -> AsyncIterator[Place]:
    clock = parse_clock(f"{datetime(2026, 11, 20, 4, 0, 30, tzinfo=UTC).isoformat()}x{SPEED}")
    files = {"tape": folder / "tape.jsonl", "cuts": folder / "cuts.jsonl"}
    async with (
        KiteSimulator(clock=clock, rate=2.0, seed=7, **files) as simulator,
        proxy(simulator.port) as line,
    ):
        place = Place(folder, simulator, line, url)
        place.configure(**others)
        yield place


def wrong_minutes(found: Evidence, since_ns: int) -> list[str]:
    """Stored minutes that are not what the market made, from an instant to the last one stored."""
    wrong = []
    for symbol in SYMBOLS:
        stored = found.candles[symbol, "1m"]
        for at in range(-(-since_ns // MINUTE) * MINUTE, max(stored), MINUTE):
            inside = [trade for trade in found.tape[symbol] if at <= trade.ns < at + MINUTE]
            prices = [trade.price for trade in inside]
            truth = (
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
                sum(t.size or 0 for t in inside),
                "final",
            )
            row = stored.get(at)
            said = None if row is None else (*row[:5], row.state)
            if said != truth:
                wrong.append(f"{symbol} {at // NS}: {said} instead of {truth}")
    return wrong


async def test_after_a_death_one_command_fills_what_nobody_was_there_to_record(tmp_path: Path) -> None:
    async with place_of(tmp_path) as place:
        async with place.mdingest("run") as daemon:
            await place.until_minutes(daemon, 2)
            since_ns = place.clock.wall_ns() - 2 * MINUTE
            await daemon.killed()
        await place.passed(240)

        async with place.mdingest("gaps") as listing:
            await listing.ended(within_s=60)
        async with place.mdingest("gaps", "--repair", "--json") as command:
            code = await command.ended(within_s=60)

        assert "unrecorded" in listing.said()
        lines = [json.loads(line) for line in command.said().splitlines() if line.startswith('{"symbol"')]
        assert {line["symbol"] for line in lines} == set(SYMBOLS)
        assert {line["repair"] for line in lines} == {"repaired"}, command.said()
        assert code == 0
    found = place.evidence()
    assert not wrong_minutes(found, since_ns)
    assert max(found.candles[SYMBOLS[0], "1m"]) >= since_ns + 4 * MINUTE


async def test_what_is_due_runs_beside_the_feeds_and_changes_with_the_configuration(tmp_path: Path) -> None:
    entry = {"provider": "kite", "interval": "5m", "period": "1h", "at": "04:02", "symbols": "all"}
    async with place_of(tmp_path, backfill=[entry]) as place, place.mdingest("run") as daemon:

        async def jobs() -> dict[str, Any]:
            body = await place.get("/health")
            found: dict[str, Any] = body["parts"].get("schedule", {}) if body else {}
            return {name: job for name, job in found.items() if name != "ok"}

        async def done() -> bool:
            return any(job.get("last") == "2026-11-20T04:02:00Z" for job in (await jobs()).values())

        await until("a run of 04:02", done, daemon, within_s=60)
        (job,) = (await jobs()).values()
        assert job["said"].startswith("3 symbols, ")
        assert job["next"] == "2026-11-21T04:02:00Z"
        place.configure(backfill=[entry | {"interval": "15m"}])
        daemon.send(signal.SIGHUP)

        async def changed() -> bool:
            return any(name.startswith("kite 15m") and "said" in job for name, job in (await jobs()).items())

        await until("a run of another job", changed, daemon, within_s=60)
        assert await daemon.stopped() == 0, daemon.said()


async def test_three_minutes_without_a_feed_are_filled_from_the_broker_itself(
    tmp_path: Path, postgres: Server
) -> None:
    """On PostgreSQL; that of the command above is SQLite."""
    async with (
        database(postgres, migrated=False) as url,
        place_of(tmp_path, url) as place,
        place.mdingest("run") as daemon,
    ):
        await place.until_minutes(daemon, 2)
        since_ns = place.clock.wall_ns() - 2 * MINUTE
        place.line.refusing = True
        place.line.cut()
        await place.passed(180)
        place.line.refusing = False

        await place.until_repaired(daemon, "disconnect", len(SYMBOLS))
        back_ns = place.clock.wall_ns()
        await place.passed(150)  # so that minutes after it are there, too
        until_s = back_ns // NS
        whole_s = until_s // 300 * 300  # a later candle may have a hole of its own on a busy machine
        body = await place.get(f"/candles?symbol={SYMBOLS[0]}&interval=5m&limit=3&end={whole_s}")
        record = await place.get(f"/coverage?symbol={SYMBOLS[0]}&start={since_ns // NS}&end={until_s}")
        assert await daemon.stopped() == 0, daemon.said()
        found = place.evidence()

    assert not wrong_minutes(found, since_ns)
    assert max(found.candles[SYMBOLS[0], "1m"]) >= back_ns
    assert body["missing"] == []
    assert (record["missing"], record["holes"]) == (0, [])
    assert record["expected"] >= 5
    assert {candle["state"] for candle in body["candles"]} == {"final"}
