"""The daemon from outside: its commands, its HTTP, its signals, its exit codes."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from mdingest.telemetry.clock import Clock
from tests.support.evidence import read_evidence
from tests.support.oracle import EVIDENCE_CHECKS, judged_buckets, story
from tests.support.oracle_journal import committed_problems, replay_problems
from tests.support.place import BAD, GOOD, SYMBOL, Place, fast_clock, place_of
from tests.support.processes import free_port, until


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """With a market six times as fast as real time, so that nobody waits for candles."""
    async with place_of(tmp_path, fast_clock(6), access_token=GOOD) as one:
        yield one


async def test_candles_grow_and_a_stop_leaves_everything_committed(tmp_path: Path) -> None:
    """At real speed."""
    async with place_of(tmp_path, Clock(), access_token=GOOD) as place, place.mdingest("run") as daemon:
        await place.until_candles(daemon, 1)
        first = await place.candles()
        await place.until_candles(daemon, len(first) + 2)

        assert await daemon.stopped(within_s=10) == 0, daemon.said()

    with closing(sqlite3.connect(tmp_path / "mdingest.db")) as connection:
        stored = connection.execute(
            "SELECT ts_utc FROM candles WHERE symbol = ? AND interval = '1s'", (SYMBOL,)
        )
        assert {one["ts_utc"] for one in first} <= {ts for (ts,) in stored}
    assert not committed_problems(tmp_path / "journal", tmp_path / "mdingest.db")


async def test_a_second_ingester_is_refused_and_told_who_holds_the_place(place: Place) -> None:
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 1)

        code, said = await place.finished("realtime")

        assert code == 1
        assert str(daemon.inner.pid) in said
        assert daemon.alive
        assert await daemon.stopped() == 0


async def test_another_command_may_read_beside_the_daemon(place: Place) -> None:
    """Serving, and verifying what is being written."""
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 2)
        other = free_port()
        config = place.folder / "config.yaml"
        config.write_text(config.read_text().replace(f"port: {place.port}", f"port: {other}"))

        async with place.mdingest("serve") as server:
            await place.until_candles(server, 2, port=other)
            before = len(await place.candles(other))
            await place.until_candles(server, before + 1, port=other)
            code, said = await place.finished("replay", "journal", "--verify")
            assert await server.stopped() == 0

        assert code == 0, said
        assert await daemon.stopped() == 0
    code, said = await place.finished("replay", "journal", "--verify")
    assert code == 0, said
    assert " 0 differ" in said


async def test_a_changed_row_fails_the_verification(place: Place) -> None:
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 2)
        assert await daemon.stopped() == 0
    with closing(sqlite3.connect(place.folder / "mdingest.db")) as connection:
        for table in ("candles_1s", "fresh_1s"):
            connection.execute(f"UPDATE {table} SET trades = trades + 1")  # noqa: S608 - names from above
        connection.commit()

    code, said = await place.finished("replay", "journal", "--verify")

    assert code == 1
    assert "trades" in said


async def test_a_refused_token_parks_the_feed_and_health_says_why(tmp_path: Path) -> None:
    async with place_of(tmp_path, Clock(), access_token=BAD) as place, place.mdingest("run") as daemon:

        async def parked() -> bool:
            status, body = await place.get("/health")
            return status == 503 and body["parts"]["feeds"]["kite_ws"]["state"] == "parked"

        await until("parked feed", parked, daemon)
        _, body = await place.get("/health")
        assert "access token" in str(body["parts"]["feeds"])
        assert (await place.get("/livez"))[0] == 200
        assert await daemon.stopped() == 0


async def test_a_second_interrupt_ends_it_at_once(place: Place) -> None:
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 1)
        daemon.send(signal.SIGSTOP)  # so that both are there before it can act on the first
        daemon.send(signal.SIGINT)
        daemon.send(signal.SIGTERM)
        daemon.send(signal.SIGCONT)

        assert await daemon.ended(within_s=5) in (0, -signal.SIGINT, -signal.SIGTERM)

    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 2)
        assert await daemon.stopped(signal.SIGINT) == 0


async def test_a_fast_clock_gives_whole_minutes_that_are_right(tmp_path: Path) -> None:
    """Thirty market seconds a second, with a stop and a disconnect between."""
    async with place_of(tmp_path, fast_clock(30), access_token=GOOD) as place:
        async with place.mdingest("run") as daemon:
            await place.until_candles(daemon, 1)
            assert await daemon.stopped() == 0
        async with place.mdingest("run") as daemon:
            await place.until_candles(daemon, 15)
            place.simulator.inject("disconnect")
            await asyncio.sleep(5.5)
            _, body = await place.get("/health")
            assert "x30" in str(body)
            assert await daemon.stopped() == 0
    database, journal = tmp_path / "mdingest.db", tmp_path / "journal"
    found = read_evidence(database, tmp_path / "tape.jsonl", tmp_path / "cuts.jsonl")
    problems = [check(found) for check in EVIDENCE_CHECKS]
    problems.append(await replay_problems(journal, database, tmp_path))

    assert not story(problems)
    assert judged_buckets(found)["1m"] > 0
