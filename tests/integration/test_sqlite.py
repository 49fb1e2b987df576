"""What only the SQLite store promises: plans, locks, a bounded WAL, a full disk."""

# ruff: noqa: ASYNC240, S608 - a test may wait for its disk, and writes its own SQL

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdingest.core.events import CANDLE, OPEN_END, Candles, Cause, State
from mdingest.core.rank import SOURCES
from mdingest.core.session import Session
from mdingest.errors import StoreUnavailable
from mdingest.store import open_store, sqlite, sqlite_commit, sqlite_fresh
from mdingest.store.base import Transaction
from mdingest.store.migrate import migrate
from mdingest.store.sqlite import SqliteStore, open_sqlite
from mdingest.store.sqlite_sql import CANDLES
from mdingest.store.sqlite_threads import translated
from mdingest.store.tables import INTERVALS, LIVE, NAMES
from tests.support.rows import NIFTY, RELIANCE, candle, gap, mark, ns, transaction, uptime

README_QUERY = "SELECT * FROM candles WHERE symbol = 'RELIANCE.NS' ORDER BY ts_utc DESC LIMIT 10;"
MINE = "WHERE symbol = 'RELIANCE.NS'"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    found = tmp_path / "candles.db"
    await migrate(f"sqlite:///{found}")
    return found


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = await open_sqlite(path, busy_timeout_s=0.2)
    await opened.ensure_instruments([RELIANCE, NIFTY])
    yield opened
    await opened.close()


@pytest.fixture
def client(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection to the same file."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection


def many(n: int, *, instruments: int = 1, revision: int = 0, first: int = 0) -> Candles:
    """``n`` seconds of every instrument, from the ``first`` on."""
    out = np.zeros(n * instruments, CANDLE)
    out["instrument_id"] = np.tile(np.arange(1, instruments + 1), n)
    out["interval_s"], out["source"], out["session"] = 1, 1, Session.REGULAR
    out["ts"] = ns(first) + np.repeat(np.arange(n), instruments) * 10**9
    for name in ("open", "high", "low", "close"):
        out[name] = 100.0 + revision
    out["revision"] = revision
    return Candles(out)


# -- the SQL promise ------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        README_QUERY,
        f"SELECT * FROM candles {MINE} AND interval = '1m' ORDER BY ts_utc DESC LIMIT 10",
        f"SELECT * FROM candles {MINE} AND interval = '1s' AND ts_utc > '2026' ORDER BY ts_utc DESC LIMIT 10",
        f"SELECT ts_utc, close FROM candles {MINE} AND source = 'kite_ws' ORDER BY ts_utc",
    ],
)
@pytest.mark.parametrize("before", ["SELECT 1", "ANALYZE"])
async def test_the_newest_candles_of_a_symbol_come_from_the_index_without_a_sort(
    store: SqliteStore, client: sqlite3.Connection, query: str, before: str
) -> None:
    await store.commit(Transaction(candles=many(500, instruments=2)))
    await store.commit(Transaction(candles=many(30, instruments=2, first=500)))
    assert all(client.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("candles_1s", "fresh_1s"))
    client.execute(before)
    plan = [row[3] for row in client.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert not [step for step in plan if "TEMP B-TREE" in step]
    assert {step for step in plan if step.startswith("SCAN")} <= {"SCAN f"}  # a few dozen fresh seconds
    assert [step for step in plan if "SEARCH" in step]


@pytest.mark.parametrize("interval_s", LIVE)
async def test_the_stores_own_reading_does_not_sort_either(
    store: SqliteStore, client: sqlite3.Connection, interval_s: int
) -> None:
    await store.commit(Transaction(candles=many(500, instruments=2)))
    await store.commit(Transaction(candles=many(30, instruments=2, first=500)))
    values = (1, "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", 50)
    plan = [row[3] for row in client.execute(f"EXPLAIN QUERY PLAN {CANDLES[interval_s]}", values)]
    assert not [step for step in plan if "TEMP B-TREE" in step]
    assert [step for step in plan if "SEARCH c" in step]


async def test_candles_of_all_intervals_come_newest_first_and_read_as_times(
    store: SqliteStore, client: sqlite3.Connection
) -> None:
    midnight = -(3 * 3600 + 45 * 60)
    await store.commit(
        transaction(
            candles=[
                *(candle(midnight, interval_s=s) for s in INTERVALS),
                candle(1),
                candle(0, interval_s=60),
            ]
        )
    )
    found = client.execute("SELECT ts_utc, interval FROM candles ORDER BY ts_utc DESC").fetchall()
    assert found[:2] == [("2026-11-20T03:45:01Z", "1s"), ("2026-11-20T03:45:00Z", "1m")]
    assert sorted(found[2:]) == sorted(("2026-11-20T00:00:00Z", name) for name in NAMES.values())


async def test_the_view_has_the_promised_columns_and_words(
    store: SqliteStore, client: sqlite3.Connection
) -> None:
    await store.commit(transaction(candles=[candle(0, partial=True, flags=4, revision=2, volume=None)]))
    cursor = client.execute("SELECT * FROM candles")
    row = dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True))
    assert row == {
        "symbol": "RELIANCE.NS",
        "interval": "1s",
        "ts_utc": "2026-11-20T03:45:00Z",
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
    store: SqliteStore, client: sqlite3.Connection
) -> None:
    sessions = [candle(int(session), session=session) for session in Session]
    sources = [candle(100 + source.id, source=source.name) for source in SOURCES]
    states = [candle(900 + state, partial=state is State.PARTIAL) for state in State]
    gaps = [gap(cause, None, cause=cause) for cause in Cause]
    await store.commit(transaction(candles=sessions + sources + states, gaps=gaps))
    words = "SELECT {} FROM candles WHERE ts_utc BETWEEN ? AND ? ORDER BY ts_utc"
    span = ("2026-11-20T03:45:00Z", "2026-11-20T03:45:10Z")
    found = [word for (word,) in client.execute(words.format("session"), span)]
    assert found == [session.name.lower() for session in Session]
    span = ("2026-11-20T03:46:00Z", "2026-11-20T03:59:59Z")
    assert [word for (word,) in client.execute(words.format("source"), span)] == [s.name for s in SOURCES]
    span = ("2026-11-20T04:00:00Z", "2026-11-20T04:01:00Z")
    assert [word for (word,) in client.execute(words.format("state"), span)] == [s.text for s in State]
    causes = client.execute("SELECT cause FROM gaps ORDER BY start_utc").fetchall()
    assert [cause for (cause,) in causes] == [cause.text for cause in Cause]


async def test_gaps_and_coverage_read_as_times_too(store: SqliteStore, client: sqlite3.Connection) -> None:
    await store.commit(
        transaction(
            gaps=[gap(0.25, None, volume=7), gap(60, 61)],
            coverage=[uptime(0, None), uptime(-60, -30, stream=0, source="csv")],
            streams={1: ("kite_ws", ns(9))},
        )
    )
    assert client.execute("SELECT * FROM gaps ORDER BY start_utc").fetchall() == [
        ("RELIANCE.NS", "kite_ws", "2026-11-20T03:45:00.250Z", None, "disconnect", 7.0, "open", "", 0),
        (
            "RELIANCE.NS",
            "kite_ws",
            "2026-11-20T03:46:00.000Z",
            "2026-11-20T03:46:01.000Z",
            "disconnect",
            None,
            "open",
            "",
            0,
        ),
    ]
    assert client.execute("SELECT * FROM coverage ORDER BY start_utc").fetchall() == [
        ("RELIANCE.NS", "csv", "2026-11-20T03:44:00.000Z", "2026-11-20T03:44:30.000Z", 0, None),
        ("RELIANCE.NS", "kite_ws", "2026-11-20T03:45:00.000Z", "2026-11-20T03:45:09.000Z", 1, None),
    ]


@pytest.mark.parametrize("interval_s", INTERVALS)
async def test_the_columns_of_a_candle_are_the_columns_of_its_table(
    client: sqlite3.Connection, interval_s: int
) -> None:
    table = {row[1] for row in client.execute(f"PRAGMA table_info(candles_{NAMES[interval_s]})")}
    assert table == {*(CANDLE.names or ()), "ts_utc"} - {"ts", "interval_s"}
    kept = {row[1] for row in client.execute("PRAGMA table_info(candle_revisions)")}
    assert kept == table | {"id", "interval", "replaced_by", "replaced_at"}


@pytest.mark.parametrize("table", ["candles_1s", "fresh_1s"])
@pytest.mark.parametrize(
    ("column", "nonsense"),
    [
        ("high", 98.5), ("low", 100.5), ("low", float("-inf")), ("high", float("inf")), ("close", None),
        ("volume", -1.0), ("trades", -1), ("state", 2), ("revision", -1), ("ts_utc", "2026-11-20 03:45:00"),
        ("open", "n/a"), ("source", None),
    ],
)  # fmt: skip
async def test_the_tables_refuse_nonsense(
    store: SqliteStore, client: sqlite3.Connection, table: str, column: str, nonsense: float | str | None
) -> None:
    await store.commit(transaction(candles=[candle(second) for second in range(40)]))
    await store.commit(transaction(candles=[candle(40)]))
    with pytest.raises(sqlite3.IntegrityError):
        client.execute(f"UPDATE {table} SET {column} = ?", (nonsense,))


async def test_a_candle_of_an_unknown_instrument_is_refused(store: SqliteStore) -> None:
    for interval_s in INTERVALS:
        midnight = -(3 * 3600 + 45 * 60)
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            await store.commit(transaction(candles=[candle(midnight, instrument=77, interval_s=interval_s)]))


# -- fresh seconds --------------------------------------------------------------------


def test_both_tables_of_seconds_are_the_same_but_for_their_key(client: sqlite3.Connection) -> None:
    query = "SELECT sql FROM sqlite_master WHERE name = ?"
    ((settled,), (fresh,)) = (
        client.execute(query, (name,)).fetchone() for name in ("candles_1s", "fresh_1s")
    )
    fresh = fresh.replace("fresh_1s", "candles_1s").replace("ts_utc, instrument_id", "instrument_id, ts_utc")
    assert fresh == settled


@pytest.mark.parametrize("least", [1, 256])
async def test_seconds_are_in_one_table_only_wherever_they_come_from(
    store: SqliteStore, client: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    """Live seconds one by one, late ones, revisions, marks and history, in any order of time."""
    monkeypatch.setattr(sqlite_fresh, "_LEAST", least)
    rng = np.random.default_rng(5)
    await store.ensure_instruments([replace(RELIANCE, symbol=f"S{n}.NS") for n in range(3)])
    numbers = [known.id for known in await store.instruments()]
    expected: dict[tuple[int, int], float] = {}
    were_fresh, had_moved = set[int](), set[int]()
    for revision in range(1, 150):
        seconds = {revision, int(rng.integers(0, revision + 9)), int(rng.integers(0, revision))}
        if revision == 90:
            seconds |= set(range(30, 110))  # more than may be fresh
        rows = [
            candle(second, close=100 + revision, revision=revision, instrument=number)
            for second in seconds
            for number in numbers
            if (second + number) % 5
        ]
        await store.commit(transaction(candles=rows))
        expected |= {(row[0], row[2]): 100 + revision for row in rows}
        were_fresh.add(client.execute("SELECT count(*) FROM fresh_seconds").fetchone()[0])
        had_moved.add(client.execute("SELECT moved FROM fresh_since").fetchone()[0])
        assert client.execute(MISPLACED).fetchall() == []
    for number in numbers:
        found = await store.candles(number, 1, 0, OPEN_END, 9999)
        mine = {(number, int(row["ts"])): row["close"] for row in found}
        assert mine == {key: close for key, close in expected.items() if key[0] == number}
        assert sorted(found["ts"].tolist()) == found["ts"].tolist()
        assert found["ts"].tolist()[-5:] == (await store.candles(number, 1, 0, OPEN_END, 5))["ts"].tolist()
    last = await store.last_candle_ns()
    assert last == {(n, 1): max(ts for number, ts in expected if number == n) for n in numbers}
    first = {row.instrument.id: row.ranges[1][0] for row in await store.symbols() if row.ranges}
    assert first == {n: min(ts for number, ts in expected if number == n) for n in numbers}
    assert 0 in were_fresh
    assert sqlite_fresh.FRESH_SECONDS < max(were_fresh) <= 2 * sqlite_fresh.FRESH_SECONDS
    assert had_moved == ({0} if least > len(numbers) else {0, *numbers[:-1]})


MISPLACED = """
SELECT 'old in fresh', c.ts_utc FROM fresh_1s AS c, fresh_since AS s WHERE
    c.ts_utc < s.ts_utc AND (c.ts_utc < s.moving_since OR c.instrument_id <= s.moved)
UNION ALL SELECT 'new in settled', c.ts_utc FROM candles_1s AS c, fresh_since AS s WHERE
    c.ts_utc >= s.ts_utc OR (c.ts_utc >= s.moving_since AND c.instrument_id > s.moved)
UNION ALL SELECT 'unlisted', ts_utc FROM fresh_1s WHERE ts_utc NOT IN (SELECT ts_utc FROM fresh_seconds)"""


async def test_the_line_is_drawn_by_what_holds_when_its_turn_has_come(
    path: Path, store: SqliteStore, client: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes seconds, too, such as a backfill, and may have its turn first."""
    for second in range(sqlite_fresh.FRESH_SECONDS):
        await store.commit(transaction(candles=[candle(second)]))
    unchecked = sqlite_fresh._unchecked
    new = Transaction(candles=many(1, first=sqlite_fresh.FRESH_SECONDS))

    @contextmanager
    def overtaken(connection: sqlite3.Connection) -> Iterator[None]:
        monkeypatch.setattr(sqlite_fresh, "_unchecked", unchecked)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            sqlite_fresh.make_room(other, new)
        with unchecked(connection):
            yield

    monkeypatch.setattr(sqlite_fresh, "_unchecked", overtaken)
    await store.commit(new)
    await store.commit(transaction(candles=[candle(5, close=99, revision=1)]))
    assert client.execute(MISPLACED).fetchall() == []
    for second in range(40, 80):
        await store.commit(transaction(candles=[candle(second)]))
    assert len(await store.candles(1, 1, 0, OPEN_END, 999)) == sqlite_fresh.FRESH_SECONDS + 41


async def test_a_move_under_way_can_be_taken_back(
    store: SqliteStore, client: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_fresh, "_LEAST", 1)
    for second in range(48):
        await store.commit(transaction(candles=[candle(second, instrument=number) for number in (1, 2)]))
    assert client.execute("SELECT moved FROM fresh_since").fetchone() == (1,)
    await store.close()
    text = (Path(__file__).parents[2] / "migrations/sqlite/0006_fresh_slices.sql").read_text()
    client.executescript(text.partition("-- migrate:down")[2])
    for table, side, rows in (("candles_1s", "<", 64), ("fresh_1s", ">=", 32)):
        query = f"SELECT count(*), sum(ts_utc {side} (SELECT ts_utc FROM fresh_since)) FROM {table}"
        assert client.execute(query).fetchone() == (rows, rows)


async def test_rules_hold_on_both_sides_of_the_line(store: SqliteStore, client: sqlite3.Connection) -> None:
    async def put(*rows: tuple[object, ...]) -> None:
        await store.commit(transaction(candles=rows))

    await put(*(candle(second, close=50) for second in range(40)))  # settled at once
    await put(candle(40, close=50))
    await put(*(candle(second, close=49, source="yfinance") for second in (1, 40)))
    await store.commit(transaction(marks=[mark(0, 60)]))
    await put(*(candle(second, close=51, revision=1, partial=True) for second in (1, 40)))
    await put(*(candle(second, close=52, source="csv") for second in (1, 40)))
    await put(*(candle(second, close=50) for second in (1, 40)))
    found = {int(row["ts"]): row for row in await store.candles(1, 1, 0, OPEN_END, 99)}
    assert {row["state"] for row in found.values()} == {State.PARTIAL, State.FINAL}
    assert [found[ns(second)]["close"] for second in (1, 40)] == [52, 52]
    kept = client.execute("SELECT ts_utc, interval, close, revision FROM candle_revisions ORDER BY ts_utc")
    assert kept.fetchall() == [
        ("2026-11-20T03:45:01Z", "1s", 51.0, 1),
        ("2026-11-20T03:45:40Z", "1s", 51.0, 1),
    ]
    assert client.execute("SELECT ts_utc FROM fresh_1s").fetchall() == [("2026-11-20T03:45:40Z",)]


# -- what is not written --------------------------------------------------------------


async def changes(store: SqliteStore) -> int:
    assert store._writer is not None
    return await store._writer.run(lambda connection: connection.total_changes)


async def test_rows_that_change_nothing_are_not_written(store: SqliteStore) -> None:
    again = transaction(
        candles=[candle(0, partial=True), candle(1, source="csv"), candle(2, source="yfinance", volume=None)],
        marks=[mark(0, 3)],
        coverage=[uptime(0, 5), uptime(0, 5, stream=0, source="csv")],
        gaps=[gap(5, 6, volume=3)],
        streams={1: ("kite_ws", ns(5))},
    )
    await store.commit(again)
    before = await changes(store)
    await store.commit(again)
    assert await changes(store) == before
    await store.commit(transaction(candles=[candle(0, partial=True, revision=1)]))
    assert await changes(store) == before + 1


# -- locks, disks, and other people ---------------------------------------------------


async def test_who_has_begun_waits_no_longer_than_asked(path: Path, client: sqlite3.Connection) -> None:
    """At its start a daemon has patience, later it must be able to end in time."""
    store = await open_sqlite(path)
    await store.wait_at_most(0.01)
    client.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.commit(transaction(candles=[candle(0)]))
    assert time.monotonic() - begun < sqlite.BUSY_TIMEOUT_S
    client.execute("ROLLBACK")
    await store.close()


async def test_a_locked_database_is_unavailable_and_nothing_is_kept_until_it_is_free(
    store: SqliteStore, client: sqlite3.Connection
) -> None:
    claim = await store.claim("journal", "test")
    new = transaction(candles=[candle(0)], gaps=[gap(0, 1)], lsn=7, epoch=claim.epoch)
    client.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.commit(new)
    assert len(await store.candles(1, 1, 0, OPEN_END, 10)) == 0  # readers are not locked out
    client.execute("ROLLBACK")
    await store.commit(new)
    assert len(await store.candles(1, 1, 0, OPEN_END, 10)) == 1
    assert [position.lsn for position in await store.positions()] == [7]


async def test_a_full_disk_is_unavailable_and_nothing_is_kept_until_there_is_room(store: SqliteStore) -> None:
    claim = await store.claim("journal", "test")
    assert store._writer is not None

    roomy, tight = "PRAGMA max_page_count = 1000000", "PRAGMA max_page_count = 50"
    await store._writer.run(lambda connection: connection.execute(tight).fetchone())
    new = Transaction(candles=many(5000), epoch=claim.epoch)
    with pytest.raises(StoreUnavailable, match="full"):
        await store.commit(new)
    assert len(await store.candles(1, 1, 0, OPEN_END, 10)) == 0
    await store._writer.run(lambda connection: connection.execute(roomy).fetchone())
    await store.commit(new)
    assert len(await store.candles(1, 1, 0, OPEN_END, 9999)) == 5000


@pytest.mark.parametrize("moved", ["the file", "its folder"])
async def test_a_database_that_was_moved_is_unavailable_until_it_is_back(tmp_path: Path, moved: str) -> None:
    folder, away = tmp_path / "data", tmp_path / "away"
    folder.mkdir()
    path = folder / "candles.db"
    await migrate(f"sqlite:///{path}")
    store = await open_sqlite(path)
    try:
        await store.ensure_instruments([RELIANCE, NIFTY])
        await store.commit(Transaction(candles=many(10)))
        begin = path if moved == "the file" else folder
        begin.rename(away)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="put it back, or restart"):
                await store.commit(Transaction(candles=many(20)))
        with pytest.raises(StoreUnavailable, match="No such file"):
            await store.size()
        assert len(await store.candles(1, 1, 0, OPEN_END, 100)) == 10
        if moved == "the file":
            await migrate(f"sqlite:///{path}")  # another one
            with pytest.raises(StoreUnavailable, match="replaced"):
                await store.commit(Transaction(candles=many(20)))
        away.rename(begin)
        await store.commit(Transaction(candles=many(20)))
        assert len(await store.candles(1, 1, 0, OPEN_END, 100)) == 20
    finally:
        await store.close()


async def test_a_file_that_may_not_be_written_is_unavailable(store: SqliteStore) -> None:
    assert store._writer is not None
    await store._writer.run(lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreUnavailable, match="readonly"):
        await store.commit(transaction(candles=[candle(0)]))
    assert len(await store.candles(1, 1, 0, OPEN_END, 10)) == 0


async def test_a_wrong_statement_is_a_bug_and_not_an_outage(store: SqliteStore) -> None:
    assert store._writer is not None
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await store._writer.run(lambda connection: connection.execute("SELECT 1 FROM nowhere"))


async def test_a_store_opened_for_reading_reads_while_another_writes(store: SqliteStore, path: Path) -> None:
    other = await open_store(f"sqlite:///{path}", read_only=True)
    try:
        await store.commit(transaction(candles=[candle(0)]))
        assert len(await other.candles(1, 1, 0, OPEN_END, 10)) == 1
        with pytest.raises(StoreUnavailable, match="reading only"):
            await other.commit(transaction(candles=[candle(1)]))
    finally:
        await other.close()


async def test_a_reading_store_can_change_nothing(store: SqliteStore) -> None:
    with pytest.raises(StoreUnavailable, match="readonly"):
        await store._readers.run(lambda connection: connection.execute("DELETE FROM instruments"))


async def test_a_cancelled_reader_gives_its_connection_back(store: SqliteStore) -> None:
    await store.commit(Transaction(candles=many(5000)))
    for _ in range(3 * sqlite.READERS):
        task = asyncio.create_task(store.candles(1, 1, 0, OPEN_END, 5000), name="read")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(await store.candles(1, 1, 0, OPEN_END, 10)) == 10


# -- the WAL --------------------------------------------------------------------------


async def test_the_wal_stays_bounded_under_constant_readers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clients always read, so no passive checkpoint ever finds the WAL unused."""
    monkeypatch.setattr(sqlite_commit, "WAL_SOFT_BYTES", 1 << 18)
    monkeypatch.setattr(sqlite_commit, "WAL_HARD_BYTES", 1 << 20)
    store = await open_sqlite(path)
    await store.ensure_instruments([RELIANCE])
    stop = threading.Event()

    def read(offset_s: float) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            time.sleep(offset_s)
            while not stop.is_set():
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM candles_1s").fetchone()
                time.sleep(0.02)
                connection.execute("COMMIT")

    readers = [threading.Thread(target=read, args=(offset,)) for offset in (0, 0.01)]
    try:
        for reader in readers:
            reader.start()
        sizes = []
        for revision in range(40):
            await store.commit(Transaction(candles=many(2000, revision=revision)))
            sizes.append((await store.size()).pending)
        assert store.checkpoint_error is None
        assert max(sizes) < 3 << 20, sizes  # 40 times 0.2 MB and no bound would be 8 MB
    finally:
        stop.set()
        for reader in readers:
            reader.join()
        await store.close()


async def test_closing_leaves_one_file_with_everything_in_it(store: SqliteStore, path: Path) -> None:
    await store.commit(Transaction(candles=many(1000)))
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["candles.db"]
    again = await open_sqlite(path)
    assert len(await again.candles(1, 1, 0, OPEN_END, 9999)) == 1000
    await again.close()


async def test_a_database_is_whole_after_its_process_was_killed_in_the_middle(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    """What a kill leaves: the file, and a WAL that ends anywhere."""
    claim = await store.claim("journal", "test")
    await store.commit(Transaction(candles=many(1000), epoch=claim.epoch))
    database, wal = path.read_bytes(), path.with_name("candles.db-wal").read_bytes()
    for cut in range(0, len(wal), len(wal) // 7):
        copy = tmp_path / f"cut{cut}"
        copy.mkdir()
        (copy / "candles.db").write_bytes(database)
        (copy / "candles.db-wal").write_bytes(wal[:cut])
        with closing(sqlite3.connect(copy / "candles.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM candles_1s").fetchone() in {(0,), (1000,)}


async def test_a_file_that_cannot_be_opened_leaves_no_thread_behind(tmp_path: Path) -> None:
    """One that lives on would answer a loop that is closed by then, with a traceback."""
    path = tmp_path / "md.db"
    path.write_text("hello, I am no database, but long enough to be one\n" * 100)
    before = threading.active_count()
    with pytest.raises(StoreUnavailable, match="not a database"):
        await open_sqlite(path, read_only=True)
    alive = [thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name]
    assert alive == []
    assert threading.active_count() <= before + 1  # the pool's, which joined it


def test_reading_in_a_directory_that_cant_be_written_says_what_sqlite_lacks() -> None:
    refusal = sqlite3.OperationalError("attempt to write a readonly database")
    refusal.sqlite_errorcode = sqlite3.SQLITE_READONLY_DIRECTORY
    with pytest.raises(StoreUnavailable, match="its directory has to be writable"), translated():
        raise refusal


def test_constraints_hold_again_after_a_move_of_seconds_that_failed() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript("""
        PRAGMA foreign_keys = ON;
        CREATE TABLE fresh_since (ts_utc TEXT, moving_since TEXT, moved INTEGER);
        INSERT INTO fresh_since VALUES ('2026-11-20', '', 0);
        CREATE TABLE fresh_seconds (ts_utc TEXT);
        CREATE TABLE instruments (id INTEGER); INSERT INTO instruments VALUES (1)""")
    rows = Candles(np.array([candle(n) for n in range(40)], CANDLE))
    with pytest.raises(sqlite3.OperationalError, match="candles_1s"):  # not there: the move breaks off
        sqlite_fresh.make_room(connection, Transaction(candles=rows))
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert connection.execute("PRAGMA ignore_check_constraints").fetchone() == (0,)
    assert not connection.in_transaction
    connection.close()
