"""The daemon on a real PostgreSQL: started, killed, its server killed, and nothing lost."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import yaml

from mdingest.simulators import KiteSimulator
from mdingest.telemetry.clock import parse_clock
from tests.support.postgres import Server, database, fetch, in_a_thread, make_template
from tests.support.processes import free_port, get, started, until, write_config

SPEED = 4  # of the market: more whole seconds in the same time


@pytest.fixture
def mortal() -> Iterator[Server]:
    with Server() as server:
        in_a_thread(make_template(server))
        yield server


@pytest.fixture
async def url(mortal: Server) -> AsyncIterator[str]:
    async with database(mortal, migrated=False) as found:
        yield found


async def candles(url: str, interval: str = "1s") -> int:
    try:
        ((found,),) = await fetch(url, "SELECT count(*) FROM candles WHERE interval = $1", interval)
    except asyncpg.UndefinedTableError:  # the daemon has not migrated yet
        return 0
    return int(found)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_record_is_whole_after_the_server_and_the_daemon_were_killed(
    mortal: Server, url: str, tmp_path: Path
) -> None:
    clock = parse_clock(f"{datetime.now(UTC).isoformat()}x{SPEED}")
    log = tmp_path / "log.jsonl"
    port = free_port()
    async with KiteSimulator(clock=clock, seed=7) as simulator:
        config = write_config(
            tmp_path,
            simulator=simulator.ws_url,
            instruments=f"{simulator.http_url}/instruments",
            symbols=[one.symbol for one in simulator.instruments],
            port=port,
        )
        content = yaml.safe_load(config.read_text())
        content["database"]["url"] = url
        config.write_text(yaml.safe_dump(content))
        health = f"http://127.0.0.1:{port}/health"

        async def well() -> bool:
            return (await get(health))[0] == 200

        async def unwell() -> bool:
            status, report = await get(health)
            return status == 503 and "PostgreSQL" in report["parts"]["store"].get("error", "")

        async with started("--config", config, "run", log=log, cwd=tmp_path, clock=clock) as daemon:
            await until("candles", lambda: _more_than(url, 20), daemon)
            second = tmp_path / "second"
            second.mkdir()
            content["journal"]["dir"] = str(second / "journal")
            content["api"]["port"] = 0
            (second / "config.yaml").write_text(yaml.safe_dump(content))
            async with started(
                "--config", second / "config.yaml", "run", log=second / "log", cwd=second, clock=clock
            ) as other:
                assert await other.ended() == 1
                assert (
                    f"in use by mdingest run (pid {daemon.inner.pid} on {os.uname().nodename})"
                    in other.said()
                )

            async with started(
                "--config", config, "replay", tmp_path / "journal",
                log=second / "replay", cwd=second, clock=clock,
            ) as replay:  # fmt: skip
                assert await replay.ended() == 1
                assert "in use by" in replay.said()

            mortal.kill9()
            await until("report of the outage", unwell, daemon)
            await asyncio.sleep(1)
            assert daemon.alive
            await asyncio.to_thread(mortal.start)
            before = await candles(url)
            await until("recovery", well, daemon)
            await until("candles after the outage", lambda: _more_than(url, before + 20), daemon)
            await daemon.killed()

        async with started("--config", config, "run", log=log, cwd=tmp_path, clock=clock) as daemon:
            before = await candles(url)
            await until("candles after the kill", lambda: _more_than(url, before + 20), daemon)
            assert await daemon.stopped() == 0

        # The journal alone, stepped anew, says the same of every row.
        async with started(
            "--config", config, "replay", tmp_path / "journal", "--verify",
            log=tmp_path / "verify", cwd=tmp_path, clock=clock,
        ) as verify:  # fmt: skip
            code = await verify.ended()
        assert code == 0, verify.said()
        assert " 0 differ" in verify.said()
        compared = int(verify.said().partition(" rows compared")[0].rpartition("\n")[2])
        assert compared > 100

        gaps = await fetch(url, "SELECT DISTINCT cause FROM gaps WHERE cause <> 'start'")
        assert {cause for (cause,) in gaps} <= {"crash", "stop", "disconnect"}  # no outage of ours is a gap


async def _more_than(url: str, n: int) -> bool:
    return await candles(url) > n
