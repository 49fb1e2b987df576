"""Every PostgreSQL of this machine: all else is tested on one of them, ``.ci/run`` on each."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from mdingest.core.events import OPEN_END
from mdingest.store.base import Position, Retention
from mdingest.store.migrate import migrate, status
from mdingest.store.postgres import open_postgres
from tests.support.postgres import Server, bindirs, database, fetch
from tests.support.rows import JOURNAL, RELIANCE, candle, gap, mark, ns, transaction, uptime

QUERY = "SELECT * FROM candles WHERE symbol = 'RELIANCE.NS' ORDER BY ts_utc DESC LIMIT 10"


def version_of(programs: Path) -> str:
    command = [programs / "postgres", "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[2]


def test_the_oldest_and_the_newest_that_are_promised_are_here() -> None:
    majors = {int(version_of(programs).partition(".")[0]) for programs in bindirs()}
    if 15 not in majors:
        pytest.skip("not possible here: PostgreSQL 15 is not installed")
    assert max(majors) >= 18


@pytest.mark.parametrize("programs", bindirs(), ids=version_of)
async def test_a_day_on_each_version(programs: Path) -> None:
    """Migrate twice at once, write by rank, mark, read, ask the README's question, forget."""
    server = await asyncio.to_thread(Server, programs=programs)
    await asyncio.to_thread(server.start)
    try:
        async with database(server, migrated=False) as url:
            await asyncio.gather(migrate(url), migrate(url))
            assert (await status(url)).pending == []
            store = await open_postgres(url)
            try:
                await store.ensure_instruments([RELIANCE])
                claim = await store.claim(JOURNAL, "test")
                seconds = [candle(n, close=100 + n % 3) for n in range(1_500)]
                for lsn in (1, 2):  # again changes nothing
                    await store.commit(
                        transaction(
                            candles=[*seconds, candle(0, interval_s=60)],
                            marks=[mark(3, 5)],
                            coverage=[uptime(0, None)],
                            gaps=[gap(3, 5)],
                            streams={1: ("kite_ws", ns(1_500))},
                            lsn=lsn,
                            epoch=claim.epoch,
                        )
                    )
                await store.commit(transaction(candles=[candle(0, interval_s=60, source="kite", close=98)]))
                excerpt = await store.excerpt(1, 1, 0, OPEN_END, 1_000, ns(0))
                assert len(excerpt.candles) == 1_000
                assert [(row.start_ns, row.end_ns) for row in excerpt.gaps] == [(ns(3), ns(5))]
                assert await store.positions() == [Position(JOURNAL, 2)]
                assert await fetch(url, "SELECT count(*) FROM candles WHERE state = 'partial'") == [(2,)]
                assert await fetch(url, "SELECT count(*) FROM candle_revisions") == [(1,)]
                assert len(await fetch(url, QUERY)) == 10
                plan = "\n".join(line for (line,) in await fetch(url, f"EXPLAIN {QUERY}"))
                assert "Index Scan Backward" in plan
                assert "Sort  (" not in plan
                assert await store.retain(Retention({1: ns(86_400)}), ns(0)) == 1
                assert len(await store.candles(1, 1, 0, OPEN_END, 10)) == 0
            finally:
                await store.close()
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)
