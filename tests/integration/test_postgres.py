"""What only the PostgreSQL store promises: plans, partitions, privileges, passwords."""

# ruff: noqa: S608 - a test writes its own SQL

import asyncio
import datetime as dt
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import numpy as np
import pytest

from mdingest.core.events import CANDLE, OPEN_END, Candles, Cause, State
from mdingest.core.rank import SOURCES
from mdingest.core.session import Session
from mdingest.errors import ConfigError, PermanentError, StoreUnavailable
from mdingest.store import open_store
from mdingest.store.base import Retention, Transaction
from mdingest.store.migrate import migrate, status
from mdingest.store.postgres import PostgresStore, open_postgres
from mdingest.store.postgres_retain import width
from mdingest.store.tables import INTERVALS, NAMES
from tests.support.postgres import Server, database, execute, fetch, in_a_thread
from tests.support.rows import NIFTY, RELIANCE, candle, gap, mark, ns, transaction, uptime

README_QUERY = "SELECT * FROM candles WHERE symbol = 'RELIANCE.NS' ORDER BY ts_utc DESC LIMIT 10;"
MINE = "WHERE symbol = 'RELIANCE.NS'"
AGO = "2026-01-01"
MIDNIGHT = -(3 * 3600 + 45 * 60)
DAY = 86_400


@pytest.fixture
async def url(postgres: Server) -> AsyncIterator[str]:
    async with database(postgres) as found:
        yield found


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    opened = await open_postgres(url)
    await opened.ensure_instruments([RELIANCE, NIFTY])
    yield opened
    await opened.close()


@pytest.fixture
async def client(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's connection to the same database."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


def many(n: int, *, instruments: int = 1, step_s: int = 1, interval_s: int = 1) -> Candles:
    """``n`` candles of every instrument."""
    out = np.zeros(n * instruments, CANDLE)
    out["instrument_id"] = np.tile(np.arange(1, instruments + 1), n)
    out["interval_s"], out["source"], out["session"] = interval_s, 1, Session.REGULAR
    out["ts"] = ns(0) + np.repeat(np.arange(n), instruments) * step_s * 10**9
    for name in ("open", "high", "low", "close"):
        out[name] = 100.0
    return Candles(out)


async def partitions(client: asyncpg.Connection) -> list[str]:
    found = await client.fetch(
        "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid "
        "WHERE c.relkind = 'r' ORDER BY 1"
    )
    return [name for (name,) in found]


# -- the SQL promise ------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        README_QUERY,
        f"SELECT * FROM candles {MINE} AND interval = '1m' ORDER BY ts_utc DESC LIMIT 10",
        f"SELECT * FROM candles {MINE} AND interval = '1s' AND ts_utc > '{AGO}' ORDER BY ts_utc DESC LIMIT 9",
    ],
)
@pytest.mark.parametrize("before", ["SELECT 1", "ANALYZE"])
async def test_the_newest_candles_of_a_symbol_come_from_the_index_without_a_sort(
    store: PostgresStore, client: asyncpg.Connection, query: str, before: str
) -> None:
    spread = [many(400, instruments=2, step_s=3600, interval_s=s) for s in (1, 60, 3600)]
    await store.commit(Transaction(candles=Candles(np.concatenate(spread))))
    await client.execute(before)
    plan = [row[0] for row in await client.fetch(f"EXPLAIN {query}")]
    assert not [step for step in plan if "Sort  (" in step or "Seq Scan on candles" in step]
    assert [step for step in plan if "Index Scan Backward" in step]
    assert len(await client.fetch(query)) in {9, 10}


@pytest.mark.parametrize("interval_s", INTERVALS)
async def test_the_stores_own_reads_come_from_the_index_whatever_the_bounds(
    store: PostgresStore, interval_s: int
) -> None:
    rows = many(80, instruments=2, step_s=DAY * 7, interval_s=interval_s)
    if interval_s >= DAY:
        rows["ts"] += MIDNIGHT * 10**9
    await store.commit(Transaction(candles=rows))

    async def plan(connection: asyncpg.Connection) -> list[str]:
        from mdingest.store.postgres_sql import CANDLES

        await connection.execute(f"PREPARE q (int, timestamptz, timestamptz, int) AS {CANDLES[interval_s]}")
        bounds = "'2026-11-01', '2027-11-30'"
        found = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) EXECUTE q (1, {bounds}, 50)")
        return [row[0] for row in found]

    steps = await store._readers.run(plan)
    assert not [step for step in steps if "->  Sort" in step or "Seq Scan on candles" in step]
    if interval_s == 1:
        assert [step for step in steps if "Subplans Removed" in step]  # days outside are not looked at


async def test_candles_of_all_intervals_come_newest_first_and_read_as_times(
    store: PostgresStore, client: asyncpg.Connection
) -> None:
    rows = [candle(MIDNIGHT, interval_s=s) for s in INTERVALS]
    await store.commit(transaction(candles=[*rows, candle(1), candle(0, interval_s=60)]))
    found = await client.fetch("SELECT ts_utc, interval FROM candles ORDER BY ts_utc DESC")
    assert tuple(found[0]) == (dt.datetime(2026, 11, 20, 3, 45, 1, tzinfo=dt.UTC), "1s")
    assert tuple(found[1]) == (dt.datetime(2026, 11, 20, 3, 45, tzinfo=dt.UTC), "1m")
    assert sorted(interval for _, interval in found[2:]) == sorted(NAMES.values())


async def test_the_view_has_the_promised_columns_and_words(
    store: PostgresStore, client: asyncpg.Connection
) -> None:
    await store.commit(transaction(candles=[candle(0, partial=True, flags=4, revision=2, volume=None)]))
    assert dict(await client.fetchrow("SELECT * FROM candles")) == {
        "symbol": "RELIANCE.NS",
        "interval": "1s",
        "ts_utc": dt.datetime(2026, 11, 20, 3, 45, tzinfo=dt.UTC),
        "open": 99.0,
        "high": 101.0,
        "low": 98.0,
        "close": 100.0,
        "volume": None,
        "oi": None,
        "trades": 3,
        "source": "kite_ws",
        "state": "partial",
        "session": "regular",
        "flags": 4,
        "revision": 2,
    }


async def test_the_views_spell_codes_as_the_program_does(
    store: PostgresStore, client: asyncpg.Connection
) -> None:
    sessions = [candle(int(session), session=session) for session in Session]
    sources = [candle(100 + source.id, source=source.name) for source in SOURCES]
    states = [candle(900 + state, partial=state is State.PARTIAL) for state in State]
    gaps = [gap(cause, None, cause=cause) for cause in Cause]
    await store.commit(transaction(candles=sessions + sources + states, gaps=gaps))
    found = await client.fetch("SELECT ts_utc, source, session, state FROM candles ORDER BY ts_utc")
    words = [tuple(row)[1:] for row in found]
    assert [session for _, session, _ in words[: len(sessions)]] == [s.name.lower() for s in Session]
    assert [source for source, _, _ in words[len(sessions) : -len(states)]] == [s.name for s in SOURCES]
    assert [state for _, _, state in words[-len(states) :]] == [s.text for s in State]
    causes = await client.fetch("SELECT cause FROM gaps ORDER BY start_utc")
    assert [cause for (cause,) in causes] == [cause.text for cause in Cause]


async def test_gaps_and_coverage_read_as_times_too(store: PostgresStore, client: asyncpg.Connection) -> None:
    await store.commit(
        transaction(
            gaps=[gap(0.25, None, volume=7)],
            coverage=[uptime(0, None)],
            streams={1: ("kite_ws", ns(9.000001))},
        )
    )
    at = dt.datetime(2026, 11, 20, 3, 45, tzinfo=dt.UTC)
    (found,) = await client.fetch("SELECT * FROM gaps")
    assert tuple(found) == (
        *(
            "RELIANCE.NS",
            "kite_ws",
            at + dt.timedelta(milliseconds=250),
            None,
            "disconnect",
            7.0,
            "open",
            "",
            0,
        ),
    )
    (heard,) = await client.fetch("SELECT start_utc, end_utc, is_open FROM coverage")
    assert tuple(heard) == (at, at + dt.timedelta(seconds=9, microseconds=1), True)


async def test_the_columns_of_a_candle_are_the_columns_of_its_tables(client: asyncpg.Connection) -> None:
    found = await client.fetch("SELECT table_name, column_name FROM information_schema.columns")
    columns: dict[str, set[str]] = {}
    for table, column in found:
        columns.setdefault(table, set()).add(column)
    expected = {*(CANDLE.names or ()), "symbol", "ts_utc"} - {"ts", "interval_s", "instrument_id"}
    assert {name: columns[f"candles_{name}"] for name in NAMES.values()} == dict.fromkeys(
        NAMES.values(), expected
    )
    assert columns["candle_revisions"] == expected | {"id", "interval", "replaced_by", "replaced_at"}


NONSENSE = [
    ("high", "98.5"), ("low", "100.5"), ("low", "'-Infinity'"), ("high", "'Infinity'"), ("high", "'NaN'"),
    ("low", "'NaN'"), ("open", "'NaN'"), ("close", "'NaN'"), ("close", "NULL"), ("volume", "-1"),
    ("volume", "'NaN'"), ("volume", "'Infinity'"), ("oi", "'NaN'"), ("trades", "-1"), ("state", "2"),
    ("session", "5"), ("flags", "65536"), ("revision", "-1"), ("source", "0"), ("source", "NULL"),
    ("symbol", "NULL"),
]  # fmt: skip


@pytest.mark.parametrize("interval_s", [1, 604_800])
async def test_the_tables_refuse_nonsense(
    store: PostgresStore, client: asyncpg.Connection, interval_s: int
) -> None:
    await store.commit(transaction(candles=[candle(MIDNIGHT, interval_s=interval_s)]))
    taken = []
    for column, nonsense in NONSENSE:
        try:
            await client.execute(f"UPDATE candles_{NAMES[interval_s]} SET {column} = {nonsense}")
        except asyncpg.IntegrityConstraintViolationError:
            continue
        taken.append((column, nonsense))
    assert taken == []
    assert await client.execute(f"UPDATE candles_{NAMES[interval_s]} SET volume = 1") == "UPDATE 1"


async def test_days_and_weeks_are_named_by_dates_only(store: PostgresStore) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await store.commit(transaction(candles=[candle(0, interval_s=DAY)]))


async def test_a_candle_of_an_unknown_instrument_is_refused(store: PostgresStore) -> None:
    with pytest.raises(asyncpg.NotNullViolationError, match="symbol"):
        await store.commit(transaction(candles=[candle(0, instrument=3)]))


# -- partitions -----------------------------------------------------------------------


async def test_partitions_come_with_the_rows_that_need_them_however_old(
    store: PostgresStore, client: asyncpg.Connection
) -> None:
    old = -(20 * 365 * DAY)
    await store.commit(
        transaction(
            candles=[
                *(candle(second) for second in (0, DAY, 40 * DAY)),
                *(candle(second, interval_s=60) for second in (0, DAY, 40 * DAY)),
                *(candle(second, interval_s=900) for second in (0, 40 * DAY)),
                *(candle(MIDNIGHT + second, interval_s=DAY) for second in (old, 0)),
            ]
        )
    )
    assert await partitions(client) == [
        *("candles_15m_2020s", "candles_1d_2000s", "candles_1d_2020s", "candles_1m_2026"),
        *("candles_1s_20261120", "candles_1s_20261121", "candles_1s_20261230"),
    ]
    assert await client.fetchval("SELECT count(*) FROM candles") == 10


async def test_partitions_are_cut_at_midnight_utc_wherever_the_client_sits(
    client: asyncpg.Connection,
) -> None:
    await client.execute("SET timezone TO 'Asia/Kolkata'")
    await client.execute("SELECT add_partitions('1s', '2026-11-20 00:00Z', '2026-11-21 00:00Z')")
    assert await partitions(client) == ["candles_1s_20261120", "candles_1s_20261121"]


async def test_seconds_that_are_kept_for_long_are_cut_wider_beside_the_days_that_are_there(
    store: PostgresStore, client: asyncpg.Connection
) -> None:
    """A query without a time is planned over all partitions: there have to be few."""
    await store.commit(transaction(candles=[candle(0)]))
    for kept, old, expected in (
        (30, -2, "20261116 20261120 20261121 20261123"),
        (400, -25, "202610 20261116 20261120 20261121 20261123"),
    ):
        await store.retain(Retention({1: ns(-kept * DAY)}), ns(0))
        await store.commit(transaction(candles=[candle(old * DAY), candle(DAY)]))
        names = [name for name in await partitions(client) if name.startswith("candles_1s")]
        assert names == [f"candles_1s_{at}" for at in expected.split()]
    assert await client.fetchval("SELECT count(*) FROM candles_1s") == 4


@pytest.mark.parametrize(
    ("interval_s", "days", "cut"),
    [
        (1, 3, "day"),
        (1, 30, "week"),
        (1, 400, "month"),
        (1, None, "month"),
        (60, 90, "month"),
        (60, None, "year"),
    ],
)
def test_what_is_kept_decides_how_partitions_are_cut(interval_s: int, days: int | None, cut: str) -> None:
    assert width(interval_s, None if days is None else days * DAY * 10**9) == cut


async def test_several_processes_may_make_the_same_partitions_at_once(
    store: PostgresStore, url: str, client: asyncpg.Connection
) -> None:
    others = [await open_postgres(url) for _ in range(3)]
    days = [candle(day * DAY, instrument=i, source="csv") for day in range(20) for i in (1, 2)]
    try:
        await asyncio.gather(*(one.commit(transaction(candles=days)) for one in [store, *others]))
    finally:
        for one in others:
            await one.close()
    assert len(await partitions(client)) == 20
    assert await client.fetchval("SELECT count(*) FROM candles") == 40


async def test_a_partition_dropped_by_somebody_else_is_made_again(
    store: PostgresStore, client: asyncpg.Connection
) -> None:
    await store.commit(transaction(candles=[candle(0)]))
    await client.execute("DROP TABLE candles_1s_20261120")
    await store.commit(transaction(candles=[candle(0)]))
    assert await client.fetchval("SELECT count(*) FROM candles") == 1


async def test_making_a_partition_keeps_no_reader_waiting(
    store: PostgresStore, client: asyncpg.Connection
) -> None:
    await store.commit(transaction(candles=[candle(0)]))
    async with client.transaction():
        assert await client.fetchval("SELECT count(*) FROM candles") == 1  # and its locks stay
        async with asyncio.timeout(5):
            await store.commit(transaction(candles=[candle(DAY)]))


async def test_the_newest_candles_are_looked_for_nearby_first_and_found_wherever_they_are(
    store: PostgresStore, client: asyncpg.Connection
) -> None:
    """Opening all days of a year takes longer than all the rest."""
    await client.execute("SELECT add_partitions('1s', '2026-11-01', '2026-11-24')")
    await client.execute(
        "UPDATE partition_widths SET width = 'week' WHERE of_interval = '1s'"
    )  # fewer to make
    await client.execute("SELECT add_partitions('1s', '2025-11-20', '2026-11-01')")
    days = [candle(-day * DAY, instrument=1 + (day > 300)) for day in (*range(5), 100, 320)]
    await store.commit(transaction(candles=days))

    async def find(instrument: int, limit: int) -> list[int]:
        found = await store.candles(instrument, 1, 0, ns(0) + 1, limit)
        beside = await store.excerpt(instrument, 1, 0, ns(0) + 1, limit, ns(0))
        assert beside.candles["ts"].tolist() == found["ts"].tolist()
        return [(ns(0) - ts) // (DAY * 10**9) for ts in found["ts"].tolist()]

    assert await find(1, 5) == [4, 3, 2, 1, 0]
    assert await find(1, 6) == [100, 4, 3, 2, 1, 0]
    assert await find(1, 50) == [100, 4, 3, 2, 1, 0]
    assert await find(2, 1) == [320]
    assert await find(2, 9) == [320]


async def test_a_partition_that_has_grown_is_not_analysed_again_after_a_restart(
    url: str, store: PostgresStore, client: asyncpg.Connection
) -> None:
    """It takes seconds once it is big, and commits wait for it."""
    analysed = "SELECT count(*) FROM pg_stat_user_tables WHERE last_analyze IS NOT NULL"
    last = "SELECT max(last_analyze) FROM pg_stat_user_tables"
    await store.commit(Transaction(candles=many(3_000)))
    await client.execute("SELECT pg_stat_force_next_flush()")
    assert await client.fetchval(analysed) == 1
    before = await client.fetchval(last)
    again = await open_postgres(url)
    try:
        await again.commit(Transaction(candles=many(3_100)))
        assert await client.fetchval(last) == before
        await again.commit(Transaction(candles=many(25_000)))
        assert await client.fetchval(last) > before
    finally:
        await again.close()


# -- what is not written --------------------------------------------------------------


async def test_rows_that_change_nothing_are_not_written(
    store: PostgresStore, client: asyncpg.Connection
) -> None:
    again = transaction(
        candles=[candle(0, partial=True), candle(1, source="csv"), candle(2, source="yfinance", volume=None)],
        marks=[mark(0, 3)],
        coverage=[uptime(0, 5), uptime(0, 5, stream=0, source="csv")],
        gaps=[gap(5, 6, volume=3)],
        streams={1: ("kite_ws", ns(5))},
    )
    await store.commit(again)

    async def versions() -> list[str]:
        tables = ("candles_1s", "coverage_spans", "gap_spans", "streams")
        return [str(await client.fetch(f"SELECT ctid, xmin, t::text FROM {t} AS t")) for t in tables]

    before = await versions()
    await store.commit(again)
    assert await versions() == before
    await store.commit(transaction(candles=[candle(0, partial=True, revision=1)]))
    assert await versions() != before


# -- addresses, passwords, rights -----------------------------------------------------

WRITABLE = "SET default_transaction_read_only = off"
PASSWORD = "hunter2 /@:#"
QUOTED = "hunter2%20%2F%40%3A%23"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks the role ``guest`` for its password, and speaks TLS if it can."""
    keys = tmp_path_factory.mktemp("keys")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", keys / "server.key"),
            *("-out", keys / "server.crt"),
        ],
        check=True,
        capture_output=True,
    )
    (keys / "server.key").chmod(0o600)
    settings = ["ssl=on", f"ssl_cert_file={keys}/server.crt", f"ssl_key_file={keys}/server.key"]
    server = Server()
    if server.speaks_tls:
        server.settings += settings
    rules = server.data / "pg_hba.conf"
    rules.write_text(f"host all guest 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    with server:
        in_a_thread(
            execute(
                server.url(),
                f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'",
                "CREATE DATABASE candles OWNER guest",
            )
        )
        yield server


def guest(server: Server, password: str = "", rest: str = "") -> str:
    return f"postgresql://guest{password and ':'}{password}@localhost:{server.port}/candles{rest}"


async def test_a_password_is_taken_from_the_address_the_environment_or_pgpass(
    guarded: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await status(guest(guarded, QUOTED))).pending
    with monkeypatch.context() as environment:
        environment.setenv("PGPASSWORD", PASSWORD)
        assert (await status(guest(guarded))).pending
    passes = tmp_path / "pgpass"
    passes.write_text(f"localhost:{guarded.port}:candles:guest:{PASSWORD}\n")
    passes.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passes))
    assert (await status(guest(guarded))).pending


async def test_a_wrong_password_is_said_and_not_shown(guarded: Server) -> None:
    with pytest.raises(PermanentError, match="password authentication failed") as refused:
        await open_store(guest(guarded, "wrong%20one"))
    assert "wrong" not in str(refused.value).replace("wrong password", "")


async def test_a_database_that_does_not_exist_is_said(guarded: Server) -> None:
    with pytest.raises(PermanentError, match='"nowhere" does not exist'):
        await migrate(guest(guarded, QUOTED).replace("/candles", "/nowhere"))


async def test_sslmode_is_honoured(guarded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    if not guarded.speaks_tls:
        pytest.skip("not possible here: this PostgreSQL was built without TLS")
    monkeypatch.setenv("HOME", "/nonexistent")  # no root certificate of this machine's user
    certificate = next(
        setting.partition("=")[2] for setting in guarded.settings if setting.startswith("ssl_cert_file")
    )
    for mode in ("?sslmode=require", f"?sslmode=verify-full&sslrootcert={certificate}"):
        store = await migrated(guest(guarded, QUOTED, mode))
        assert await store._readers.run(_speaks_tls) is True
        await store.close()
    other = guest(guarded, QUOTED, f"?sslmode=verify-full&sslrootcert={certificate}")
    with pytest.raises((StoreUnavailable, ConfigError), match=r"(?i)certificate|hostname"):
        await migrate(other.replace("localhost", "127.0.0.1"))  # not the name in the certificate


async def _speaks_tls(connection: asyncpg.Connection) -> bool:
    found: bool = await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    return found


async def migrated(url: str) -> PostgresStore:
    await migrate(url)
    return await open_postgres(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@host:port/db",
        "postgresql://me:hunter2@host/db?sslmode=sometimes",
        "postgresql://me:hunter2#x@host/db",
    ],
)
async def test_an_address_that_makes_no_sense_is_refused_without_its_password(url: str) -> None:
    for attempt in (migrate(url), status(url), open_store(url)):
        with pytest.raises(ConfigError) as refused:
            await attempt
        assert "hunter2" not in str(refused.value)
        assert refused.value.__cause__ is None


async def test_a_server_that_is_not_there_is_unavailable_and_its_password_not_shown() -> None:
    for attempt in (migrate, status, open_store):
        with pytest.raises(StoreUnavailable) as refused:
            await attempt("postgresql://me:hunter2@127.0.0.1:1/db")
        assert "hunter2" not in str(refused.value)


async def test_the_roles_of_compose_can_do_their_work_and_no_more(guarded: Server) -> None:
    await execute(guarded.url(), "CREATE DATABASE shared")
    script = Path(__file__).parents[2] / "config" / "postgres" / "roles.sql"
    environment = os.environ | {"POSTGRES_WRITER_PASSWORD": "it's w", "POSTGRES_READER_PASSWORD": "r"}
    psql = [guarded.bin / "psql", "-qX", "-d", guarded.url("shared"), "-f", script]
    await asyncio.to_thread(subprocess.run, psql, env=environment, check=True)
    with pytest.raises(PermanentError, match=r"lacks 0001_.*run `mdingest migrate` as their owner first"):
        await migrate(guarded.url("shared", user="mdingest_writer"))
    await migrate(guarded.url("shared"))
    assert await migrate(guarded.url("shared", user="mdingest_writer")) == []
    writer = await open_postgres(guarded.url("shared", user="mdingest_writer"))
    reader = await open_postgres(guarded.url("shared", user="mdingest_reader"), read_only=True)
    try:
        await writer.ensure_instruments([RELIANCE, NIFTY])
        claim = await writer.claim("journal", "test")
        await writer.commit(transaction(candles=[candle(0)], gaps=[gap(0, 1)], epoch=claim.epoch))
        await writer.commit(transaction(candles=[candle(0, source="kite")], coverage=[uptime(0, 1)]))
        assert len(await reader.candles(1, 1, 0, OPEN_END, 10)) == 1
        with pytest.raises(StoreUnavailable, match="reading only"):
            await reader.commit(transaction(candles=[candle(1)]))
        for statement in ("DELETE FROM candles_1s", "SELECT add_partitions('1s', now(), now())"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await execute(guarded.url("shared", user="mdingest_reader"), WRITABLE, statement)
        writer_may_not = (
            *(
                "DROP TABLE candles_1s",
                "CREATE TABLE mine (x int)",
                "CREATE SCHEMA mine",
                "TRUNCATE candles_1m",
            ),
            *("DELETE FROM mdingest_migrations", "ALTER TABLE instruments ADD COLUMN mine int"),
        )
        for statement in writer_may_not:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await execute(guarded.url("shared", user="mdingest_writer"), statement)
    finally:
        await writer.close()
        await reader.close()


async def test_a_reading_store_can_change_nothing(store: PostgresStore) -> None:
    async def change(connection: asyncpg.Connection) -> None:
        await connection.execute("DELETE FROM instruments")

    with pytest.raises(StoreUnavailable, match="read-only"):
        await store._readers.run(change)


async def test_a_cancelled_reader_leaves_room_for_others(store: PostgresStore) -> None:
    await store.commit(Transaction(candles=many(5000)))
    for _ in range(12):
        task = asyncio.create_task(store.candles(1, 1, 0, OPEN_END, 5000), name="read")
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(await store.candles(1, 1, 0, OPEN_END, 10)) == 10


async def test_readers_are_few_however_many_ask(store: PostgresStore, url: str) -> None:
    await asyncio.gather(*(store.positions() for _ in range(50)))
    ((sessions,),) = await fetch(
        url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    )
    assert sessions <= 1 + 4 + 1  # writer, readers, and who asks
