"""A real PostgreSQL killed, restarted, locked up and cut off, and a store that lives through it."""

# ruff: noqa: ASYNC110 - what is waited for happens on a line to another process

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import numpy as np
import pytest

from mdingest.core.events import CANDLE, OPEN_END, Candles
from mdingest.core.session import Session
from mdingest.errors import AlreadyRunning, Fenced, StoreUnavailable
from mdingest.store.base import Claim, Position, Transaction
from mdingest.store.postgres import PostgresStore, open_postgres
from tests.support.postgres import Server, database, execute, fetch, in_a_thread, make_template
from tests.support.proxy import Proxy, proxy
from tests.support.rows import JOURNAL, NIFTY, RELIANCE, candle, ns, transaction

TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
ENDED = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1"
STORED = "SELECT (SELECT max(lsn) FROM positions), (SELECT count(*) FROM candles_1s)"  # of one moment
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


@pytest.fixture(scope="module")
def mortal() -> Iterator[Server]:
    """A server of this module alone, which its tests may kill."""
    with Server(settings=["max_connections=8", "superuser_reserved_connections=0"]) as server:
        in_a_thread(make_template(server))
        yield server


@pytest.fixture
async def url(mortal: Server) -> AsyncIterator[str]:
    async with database(mortal) as found:
        yield found


@asynccontextmanager
async def opened(url: str, **times: float) -> AsyncIterator[tuple[PostgresStore, Claim]]:
    """A store that has the ingest role."""
    store = await open_postgres(url, **({"read_s": 2.0, "write_s": 3.0} | times))  # type: ignore[arg-type]
    try:
        await store.ensure_instruments([RELIANCE, NIFTY])
        yield store, await store.claim(JOURNAL, "test")
    finally:
        await store.close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with opened(url) as (found, _):
        yield found


@pytest.fixture
async def line(mortal: Server) -> AsyncIterator[Proxy]:
    async with proxy(mortal.port) as made:
        yield made


def seconds(n: int, lsn: int) -> Transaction:
    """A live transaction that ends at ``lsn``."""
    rows = np.zeros(n, CANDLE)
    rows["instrument_id"], rows["interval_s"], rows["source"] = 1, 1, 1
    rows["session"] = Session.REGULAR
    rows["ts"] = ns(0) + np.arange(n) * 10**9
    for name in ("open", "high", "low", "close"):
        rows[name] = 100.0
    return Transaction(candles=Candles(rows), position=Position(JOURNAL, lsn), epoch=1)


async def until_committed(store: PostgresStore, new: Transaction, within_s: float = 60.0) -> int:
    """Commit as the writer does, again and again; how many times it was unavailable."""
    failures, until = 0, time.monotonic() + within_s
    while True:
        try:
            await store.commit(new)
        except StoreUnavailable:
            failures += 1
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
        else:
            return failures


async def until_gone(store: PostgresStore) -> None:
    """Sessions outlive a killed server for a moment."""
    with pytest.raises(StoreUnavailable):
        await _ask_for_ever(store)


async def _ask_for_ever(store: PostgresStore) -> None:
    while True:
        await store.commit(seconds(10, 1))
        await store.positions()


async def _take_all(url: str, stack: AsyncExitStack) -> None:
    while True:
        taken = await asyncpg.connect(url)
        stack.push_async_callback(taken.close)


async def count(store: PostgresStore) -> int:
    return len(await store.candles(1, 1, 0, OPEN_END, 1_000_000))


# -- the server dies ------------------------------------------------------------------


async def test_a_server_killed_and_back_is_written_and_read_again_by_itself(
    store: PostgresStore, mortal: Server
) -> None:
    await store.commit(seconds(10, 1))
    mortal.kill9()
    try:
        await until_gone(store)
        with pytest.raises(StoreUnavailable):
            await store.commit(seconds(20, 2))
        with pytest.raises(StoreUnavailable):
            await store.positions()
    finally:
        mortal.start()
    await store.commit(seconds(20, 2))
    assert await store.positions() == [Position(JOURNAL, 2)]
    assert await count(store) == 20


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03, 0.08])
async def test_a_server_killed_in_the_middle_of_a_commit_keeps_all_of_it_or_nothing(
    store: PostgresStore, mortal: Server, url: str, after_s: float
) -> None:
    await store.commit(seconds(1, 1))
    task = asyncio.create_task(until_committed(store, seconds(20_000, 2)), name="commit")
    await asyncio.sleep(after_s)
    await asyncio.to_thread(mortal.kill9)
    try:
        await asyncio.sleep(0.05)
    finally:
        await asyncio.to_thread(mortal.start)
    (found,) = await fetch(url, STORED)  # the writer is trying again meanwhile
    assert found in ((1, 1), (2, 20_000))
    await task
    assert (await store.positions(), await count(store)) == ([Position(JOURNAL, 2)], 20_000)


async def test_a_restart_is_survived_by_reads_without_an_error(store: PostgresStore, mortal: Server) -> None:
    await store.commit(seconds(10, 1))
    await asyncio.gather(*(store.positions() for _ in range(8)))  # every connection of the pool is open
    mortal.stop()
    mortal.start()
    assert {len(found) for found in await asyncio.gather(*(store.positions() for _ in range(8)))} == {1}
    await store.commit(seconds(20, 2))
    assert await count(store) == 20


async def test_sessions_ended_by_an_administrator_are_opened_anew(store: PostgresStore, url: str) -> None:
    await store.commit(seconds(10, 1))
    await execute(url, TERMINATE)
    await until_committed(store, seconds(20, 2))
    assert await count(store) == 20


# -- the server is there and says no --------------------------------------------------


async def test_a_server_that_became_read_only_is_unavailable_until_it_is_writable(
    store: PostgresStore, mortal: Server
) -> None:
    await store.commit(seconds(10, 1))
    mortal.stop()
    mortal.start("default_transaction_read_only=on")
    try:
        with pytest.raises(StoreUnavailable, match="read-only"):
            await store.commit(seconds(20, 2))
        assert await count(store) == 10
    finally:
        mortal.stop()
        mortal.start()
    await until_committed(store, seconds(20, 2))
    assert await count(store) == 20


async def test_a_database_that_became_read_only_under_an_open_session_is_unavailable(
    store: PostgresStore, url: str
) -> None:
    await store.commit(seconds(10, 1))
    name = url.rpartition("/")[2]
    await execute(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on", TERMINATE)
    with pytest.raises(StoreUnavailable, match="read-only"):
        await until_terminated(store, seconds(20, 2))
    await execute(
        url, "SET default_transaction_read_only = off", f"ALTER DATABASE {name} RESET ALL", TERMINATE
    )
    await until_committed(store, seconds(20, 2))


async def until_terminated(store: PostgresStore, new: Transaction) -> None:
    """The first attempt may only learn that its session is gone."""
    try:
        await store.commit(new)
    except StoreUnavailable as exc:
        if "read-only" in str(exc):
            raise
        await store.commit(new)


async def test_a_server_without_free_connections_is_unavailable_until_one_is(
    store: PostgresStore, url: str
) -> None:
    await store.commit(seconds(10, 1))
    await execute(url, TERMINATE)
    async with AsyncExitStack() as stack:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await _take_all(url, stack)
        with pytest.raises(StoreUnavailable, match=r"too many|connection"):
            await store.positions()
        with pytest.raises(StoreUnavailable, match=r"too many|connection"):
            await store.commit(seconds(20, 2))
    await until_committed(store, seconds(20, 2))
    assert await count(store) == 20


async def test_a_table_locked_for_long_is_unavailable_and_nothing_is_kept(url: str) -> None:
    async with opened(url, write_s=1.0, read_s=0.5) as (store, _):
        await store.commit(seconds(10, 1))
        other = await asyncpg.connect(url)
        try:
            async with other.transaction():
                await other.execute("LOCK TABLE candles_1s IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(StoreUnavailable, match="lock timeout"):
                    await store.commit(seconds(20, 2))
                with pytest.raises(StoreUnavailable, match=r"timeout|in time"):
                    await count(store)
        finally:
            await other.close()
        assert await store.positions() == [Position(JOURNAL, 1)]
        await store.commit(seconds(20, 2))


async def test_a_database_that_was_renamed_is_unavailable_until_it_has_its_name_back(
    store: PostgresStore, mortal: Server, url: str
) -> None:
    await store.commit(seconds(10, 1))
    name = url.rpartition("/")[2]
    await fetch(mortal.url(), ENDED, name)
    await execute(mortal.url(), f"ALTER DATABASE {name} RENAME TO away")
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="does not exist"):
                await store.commit(seconds(20, 2))
            with pytest.raises(StoreUnavailable, match="does not exist"):
                await store.positions()
    finally:
        await execute(mortal.url(), f"ALTER DATABASE away RENAME TO {name}")
    await until_committed(store, seconds(20, 2))
    assert await count(store) == 20


# -- the line is bad ------------------------------------------------------------------


async def test_a_silent_line_never_hangs_and_is_replaced_when_it_speaks_again(
    mortal: Server, url: str, line: Proxy
) -> None:
    through = mortal.url(url.rpartition("/")[2], port=line.port)
    async with opened(through, read_s=0.4, write_s=0.6) as (store, _):
        await store.commit(seconds(10, 1))
        line.silent = True
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="in time"):
            await store.commit(seconds(20, 2))
        with pytest.raises(StoreUnavailable, match="in time"):
            await store.positions()
        with pytest.raises(StoreUnavailable, match="in time"):  # not even a new connection answers
            await store.commit(seconds(20, 2))
        assert time.monotonic() - begun < 3
        line.silent = False
        await until_committed(store, seconds(20, 2))
        assert await count(store) == 20

        line.silent = True  # and at the end
        begun = time.monotonic()
        await store.close()
        assert time.monotonic() - begun < 2


async def test_a_commit_whose_answer_is_lost_is_looked_up_and_not_done_again(
    mortal: Server, url: str, line: Proxy
) -> None:
    through = mortal.url(url.rpartition("/")[2], port=line.port)
    async with opened(through) as (store, _):
        await store.commit(seconds(10, 1))
        line.eat_answer_to = COMMIT
        line.seen.clear()
        done = await store.commit(seconds(20, 2))
        assert done.changed == 10
        assert line.seen.count(COMMIT) == 1
        assert line.seen.count(b"PGCOPY") == 1  # its rows were sent once
        assert await store.positions() == [Position(JOURNAL, 2)]
        assert await count(store) == 20


async def test_a_lost_answer_is_looked_up_even_after_an_outage(mortal: Server, url: str, line: Proxy) -> None:
    through = mortal.url(url.rpartition("/")[2], port=line.port)
    async with opened(through, write_s=0.6) as (store, _):
        await store.commit(seconds(10, 1))
        line.eat_answer_to = COMMIT
        task = asyncio.create_task(store.commit(seconds(20, 2)), name="commit")
        while line.eat_answer_to:
            await asyncio.sleep(0)
        line.silent = True
        with pytest.raises(StoreUnavailable):
            await task
        line.silent = False
        line.seen.clear()
        await until_committed(store, seconds(20, 2))
        assert line.seen.count(COMMIT) <= 1
        assert await store.positions() == [Position(JOURNAL, 2)]
        assert await count(store) == 20


async def test_a_commit_that_never_arrived_is_done_again(mortal: Server, url: str, line: Proxy) -> None:
    through = mortal.url(url.rpartition("/")[2], port=line.port)
    async with opened(through) as (store, _):
        await store.commit(seconds(10, 1))
        line.cut_before = COMMIT
        line.seen.clear()
        await store.commit(seconds(20, 2))
        assert line.seen.count(b"PGCOPY") == 2
        assert await store.positions() == [Position(JOURNAL, 2)]
        assert await count(store) == 20


# -- the ingest role ------------------------------------------------------------------


async def test_a_second_ingester_is_refused_and_told_who_has_the_role(
    store: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdingest.store.postgres._ROLE_S", 0.2)
    other = await open_postgres(url)
    try:
        with pytest.raises(AlreadyRunning, match=r"in use by test \(pid \d+ on "):
            await other.claim(JOURNAL, "another")
        await store.commit(seconds(10, 1))  # whose epoch was not touched
        await store.close()
        assert (await other.claim(JOURNAL, "another")).epoch == 2
    finally:
        await other.close()


async def test_an_owner_whose_session_was_lost_is_fenced_by_the_next_one(
    store: PostgresStore, url: str
) -> None:
    await store.commit(seconds(10, 1))
    await execute(url, TERMINATE)
    other = await open_postgres(url)
    try:
        claim = await other.claim(JOURNAL, "another")
        assert claim.position == Position(JOURNAL, 1)
        with pytest.raises(Fenced, match="another"):
            await store.commit(seconds(20, 2))
        assert await count(other) == 10
        assert await other.positions() == [Position(JOURNAL, 1)]
    finally:
        await other.close()


async def test_an_owner_cut_off_in_the_middle_of_a_commit_was_in_time_or_is_fenced(
    mortal: Server, url: str, line: Proxy
) -> None:
    """A half-dead owner: its transaction was open on the server, its line is silent."""
    through = mortal.url(url.rpartition("/")[2], port=line.port)
    async with opened(through, write_s=30) as (old, _):
        await old.commit(seconds(10, 1))
        task = asyncio.create_task(old.commit(seconds(5000, 2)), name="commit")
        while line.seen.count(b"PGCOPY") < 2:
            await asyncio.sleep(0)
        line.silent = True
        await execute(url, TERMINATE)
        new = await open_postgres(url)
        try:
            claim = await new.claim(JOURNAL, "another")
            line.silent = False
            with pytest.raises(Fenced, match="another"):
                await task
            assert claim.position in (Position(JOURNAL, 1), Position(JOURNAL, 2))
            stored = await fetch(url, "SELECT count(*) FROM candles_1s")
            assert stored == [(10 if claim.position == Position(JOURNAL, 1) else 5000,)]
        finally:
            await new.close()


async def test_an_owner_takes_its_role_back_after_an_outage(
    store: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdingest.store.postgres._ROLE_S", 0.2)
    await execute(url, TERMINATE)
    await until_committed(store, seconds(10, 1))
    other = await open_postgres(url)
    try:
        with pytest.raises(AlreadyRunning):
            await other.claim(JOURNAL, "another")
    finally:
        await other.close()


async def test_a_cancelled_commit_leaves_a_store_that_goes_on(store: PostgresStore) -> None:
    await store.commit(transaction(candles=[candle(0)], lsn=1, epoch=1))
    for lsn in range(2, 8):
        task = asyncio.create_task(store.commit(seconds(3000, lsn)), name="commit")
        await asyncio.sleep(0.003 * lsn)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await store.commit(seconds(3000, 9))
    assert await count(store) == 3000
