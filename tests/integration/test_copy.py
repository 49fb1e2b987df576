"""Moving from SQLite to PostgreSQL with the real command, broken off and taken up again."""

# ruff: noqa: S608 - a test writes its own SQL

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mdingest import __version__
from mdingest.app.ingesting import make_ingest, open_journal
from mdingest.app.moving import run_copy
from mdingest.app.parts import calendars_of, make_decoder, open_writing
from mdingest.app.retired import replay_retired
from mdingest.config import Config, load
from mdingest.core.control import Start
from mdingest.core.events import CANDLE, FETCHED, OPEN_END, Fetched
from mdingest.errors import AlreadyRunning, ConfigError
from mdingest.pipeline.lock import FileLock
from mdingest.pipeline.replay import replay
from mdingest.store import moving, moving_sql, open_store
from mdingest.store.base import Difference, Position, Run, Store, Transaction
from mdingest.store.listings import Listing, find_listings, sync_listings
from mdingest.store.migrate import migrate
from mdingest.store.tables import NAMES
from mdingest.telemetry.clock import Clock
from tests.support.postgres import Server, database, execute, fetch
from tests.support.recording import Death, Recording
from tests.support.rows import JOURNAL, NIFTY, RELIANCE, candle, gap, mark, ns, transaction, uptime


@pytest.fixture
async def here(tmp_path: Path) -> str:
    """A SQLite database with something of everything."""
    url = f"sqlite:///{tmp_path}/candles.db"
    await migrate(url)
    store = await open_store(url)
    await store.ensure_instruments([RELIANCE, NIFTY])
    claim = await store.claim(JOURNAL, "test")
    seconds = [candle(n, close=100 + n % 7, instrument=1 + n % 2, volume=None) for n in range(500)]
    minutes = [candle(n * 60, interval_s=60, source="csv", partial=False) for n in range(50)]
    await store.commit(
        transaction(
            candles=[*seconds, *minutes],
            marks=[mark(3, 5, flags=16)],
            coverage=[uptime(0, 5), uptime(6, None, stream=2), uptime(0, 9, stream=0, source="csv")],
            gaps=[gap(5, 6, volume=12), gap(7, None)],
            streams={1: ("kite_ws", ns(5)), 2: ("kite_ws", ns(8))},
            lsn=77,
            epoch=claim.epoch,
        )
    )
    await store.commit(transaction(candles=[candle(0, close=90, source="kite", interval_s=60)]))
    spans = np.array([(1, 60, 18, ns(0), ns(3000))], FETCHED)
    await store.commit(Transaction(fetched=Fetched(spans)))
    await store.close()
    today = [Listing("738561", "RELIANCE.NS", "NSE", "RELIANCE", "", "", "EQ", "NSE", None, None, 0.05, 1)]
    later = [today[0]._replace(token="738562")]
    await sync_listings(url, "kite", "2026-11-20", today)
    await sync_listings(url, "kite", "2026-11-21", later)
    return url


@pytest.fixture
async def there(postgres: Server) -> AsyncIterator[str]:
    async with database(postgres, migrated=False) as url:
        yield url


async def copied(here: str, there: str) -> dict[str, moving.Series]:
    """What the copy says, by name."""
    return {
        f"{series.name} {series.interval}".strip(): series
        async for series in run_copy(here, there, lambda *_: None)
    }


async def contents(store: Store) -> list[object]:
    """Everything that can be asked of a store, by symbol."""
    found: list[object] = []
    for row in await store.symbols():
        number = row.instrument.id
        found += [row.instrument.symbol, row.ranges]
        for interval_s in row.ranges:
            rows = await store.candles(number, interval_s, 0, OPEN_END, 1000)
            found += [[str(rows[name].tolist()) for name in CANDLE.names or () if name != "instrument_id"]]
        for kept in (await store.gaps(number, 0, OPEN_END), await store.coverage(number, 0, OPEN_END)):
            found += [[repr(one).replace(f"instrument_id={number}", "") for one in kept]]
    return found


async def test_everything_arrives_and_is_found_equal(here: str, there: str) -> None:
    await migrate(there)
    await execute(there, "INSERT INTO instruments (symbol, exchange, name, session_class, volume_kind) "
                  "VALUES ('OTHER', 'NSE', '', 'NSE.EQ', 'none')")  # so that ids differ  # fmt: skip
    found = await copied(here, there)
    assert all(series.equal for series in found.values())
    assert (found["RELIANCE.NS 1s"].rows, found["RELIANCE.NS 1s"].copied) == (250, 250)
    sides = [await open_store(url, read_only=True) for url in (here, there)]
    try:
        mine, theirs = [await contents(store) for store in sides]
        assert [await store.positions() for store in sides] == [[Position(JOURNAL, 77)], []]
        assert [part for part in theirs if part not in ("OTHER", {}, [])] == [
            part for part in mine if part not in ({}, [])
        ]
    finally:
        for store in sides:
            await store.close()
    kept = await fetch(there, "SELECT symbol, interval, close, source, replaced_by FROM candle_revisions")
    assert kept == [("RELIANCE.NS", "1m", 100.0, 18, 20)]


@pytest.mark.parametrize("pruned", [False, True], ids=["a whole journal", "a pruned journal"])
async def test_the_journal_goes_on_under_the_right_symbols(
    there: str, tmp_path: Path, *, pruned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are by first use there as here, but in another order; what was not committed yet comes too."""
    run = Recording(tmp_path, seed=4, rate=9.0)
    await run.run([(16, Death.COMMITTED), (10, None), (12, Death.JOURNALED)], faults_s=8)
    whole = await stepped_anew(run, tmp_path / "again.db")
    here = f"sqlite:///{run.database}"
    assert all(series.equal for series in (await copied(here, there)).values())
    first, *more = sorted(run.journal.glob("*.mdj"))
    assert more
    if pruned:
        first.unlink()
    monkeypatch.chdir(tmp_path)
    config = on(there)
    async with open_writing(there, config) as store:
        with open_journal(config) as journal:
            ingest, _ = await make_ingest(config, Clock(), store, journal, calendars_of(config))
            started = Clock(wall_origin_ns=run.now, speed=0, shifted=True)
            await replay_retired(config, started, store, ingest.writer.bring)
        stored = await contents(store)
    assert stored == whole


def on(url: str) -> Config:
    """A daemon on that database, with the journal of the folder we are in."""
    Path("c.yaml").write_text(
        f"database: {{url: '{url}'}}\njournal: {{dir: journal, reserve: 1MiB}}\n"
        "realtime: [{provider: binance_ws, symbols: [BTCUSDT.BINANCE]}]\n"
    )
    return load("c.yaml", {})


async def stepped_anew(run: Recording, path: Path) -> list[object]:
    """What the whole journal says, by symbol."""
    await migrate(f"sqlite:///{path}")
    store = await open_store(f"sqlite:///{path}")
    try:
        running = Start(__version__)
        await replay(run.journal, store, make_decoder=make_decoder, running=running, ended_ns=run.now)
        return await contents(store)
    finally:
        await store.close()


async def test_what_brokers_list_arrives_with_the_history_of_its_tokens(here: str, there: str) -> None:
    found = await copied(here, there)
    assert (found["listings"].rows, found["listing_tokens"].rows) == (1, 2)
    assert all(series.equal for series in found.values())
    listed, _ = await find_listings(there, ["RELIANCE"], limit=5)
    assert [(one.symbol, one.token, one.valid_from) for one in listed] == [
        ("RELIANCE.NS", "738562", "2026-11-21")
    ]
    kept = await fetch(there, "SELECT token, valid_from, valid_to FROM listing_tokens ORDER BY valid_from")
    assert kept == [("738561", "2026-11-20", "2026-11-21"), ("738562", "2026-11-21", None)]


async def test_no_table_is_forgotten(there: str) -> None:
    """A new table of the schema is copied, or stands here with why it is not."""
    await migrate(there)
    query = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND NOT relispartition"""
    tables = {name for (name,) in await fetch(there, query)}
    apart = {
        *("instruments", *(f"candles_{name}" for name in NAMES.values())),  # series by series
        *("sources", "mdingest_migrations", "partition_widths"),  # of the program
        "ingest",  # who has the role there
        "positions",  # of journals whose ids mean other instruments there
    }
    assert tables - apart == {name for name, *_ in moving_sql.OTHERS}


async def test_a_token_listed_anew_at_the_target_is_kept(here: str, there: str) -> None:
    await migrate(there)
    newer = Listing("738562", "RELIANCE.NS", "NSE", "RELIANCE", "", "", "EQ", "NSE", None, None, 0.05, 1)
    await sync_listings(there, "kite", "2026-11-22", [newer])
    await copied(here, there)
    listed, _ = await find_listings(there, ["RELIANCE"], limit=5)
    assert [(one.token, one.valid_from) for one in listed] == [("738562", "2026-11-22")]


async def test_a_second_copy_finds_everything_there(here: str, there: str) -> None:
    first = await copied(here, there)
    again = await copied(here, there)
    assert all(series.equal for series in again.values())
    assert [series.copied for series in again.values() if series.interval] == [0, 0, 0]
    assert {name: series.checksum for name, series in again.items()} == {
        name: series.checksum for name, series in first.items()
    }


STATE = """
SELECT 'gap', start_ns::text, end_ns::text, repair, attempts FROM gap_spans
UNION ALL SELECT 'heard', start_ns::text, end_ns::text, source::text, NULL FROM coverage_spans
UNION ALL SELECT 'history', start_ns::text, end_ns::text, source::text, NULL FROM history_spans
UNION ALL SELECT 'run', due_ns::text, ended_ns::text, said, attempts FROM schedule_runs
UNION ALL SELECT 'token', token, valid_from, valid_to, NULL FROM listing_tokens
UNION ALL SELECT 'differs', compared::text, differing::text, other::text, NULL FROM candle_differences
ORDER BY 1, 2, 4"""
LATER = (
    f"UPDATE gap_spans SET repair = 'repaired', attempts = 2 WHERE start_ns = {ns(5)}",
    f"UPDATE gap_spans SET end_ns = {ns(9)}, repair = 'unfillable' WHERE end_ns IS NULL",
    f"UPDATE coverage_spans SET end_ns = {ns(8)} WHERE end_ns IS NULL",
    f"UPDATE coverage_spans SET end_ns = {ns(20)} WHERE source = 18",
    f"UPDATE history_spans SET end_ns = {ns(6000)}",
    f"UPDATE schedule_runs SET due_ns = {ns(100)}, ended_ns = {ns(110)}, said = 'later', attempts = 0",
    "UPDATE listing_tokens SET valid_to = '2026-11-25' WHERE valid_to IS NULL",
    "UPDATE candle_differences SET compared = 20, differing = 2",
)


async def test_a_repeated_copy_brings_what_happened_here_and_takes_nothing_back_that_happened_there(
    here: str, there: str, postgres: Server
) -> None:
    store = await open_store(here)
    run = Run("history", ns(0), ns(10), failed=True, attempts=1, said="no network")
    differs = Difference(1, "2026-11-20", 60, "kite", "close", 10, 1)
    await store.commit(Transaction(runs=[run], differences=[differs]))
    await store.close()
    async with database(postgres, migrated=False) as another:
        for url in (there, another):
            await copied(here, url)
        earlier = await fetch(there, STATE)

        await execute(there, *LATER)
        later = await fetch(there, STATE)
        await copied(here, there)
        assert await fetch(there, STATE) == later != earlier

        with closing(sqlite3.connect(here.removeprefix("sqlite:///"))) as connection, connection:
            for statement in LATER:
                connection.execute(statement)
        assert await fetch(another, STATE) == earlier
        await copied(here, another)
        assert await fetch(another, STATE) == later


async def test_a_copy_that_was_broken_off_goes_on_where_it_was(
    here: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_PAGE", 50)
    monkeypatch.setattr(moving, "_BATCH", 1)
    async with aclosing(run_copy(here, there, lambda *_: None)) as copying:
        first = await anext(copying)
    await execute(
        there, f"DELETE FROM candles_1s WHERE symbol = '{first.name}' AND extract(second FROM ts_utc) < 9"
    )
    found = await copied(here, there)
    assert all(series.equal for series in found.values())
    assert 0 < found[f"{first.name} {first.interval}"].copied < first.rows


async def test_a_copy_that_differs_is_told_so(here: str, there: str) -> None:
    await copied(here, there)
    await execute(
        there,
        "CREATE TEMP TABLE one AS SELECT * FROM candles_1s WHERE symbol = 'RELIANCE.NS' LIMIT 1",
        "UPDATE one SET ts_utc = ts_utc - interval '1 hour'",
        "INSERT INTO candles_1s SELECT * FROM one",
    )
    found = await copied(here, there)
    assert [name for name, series in found.items() if not series.equal] == ["RELIANCE.NS 1s"]
    assert found["RELIANCE.NS 1s"].lost == 0  # it has one more
    assert await said(here, there) == (0, "everything is there; the copy has more")


async def test_a_copy_that_went_on_by_itself_is_no_different_copy(
    here: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much it has by then between, and behind, the rows of a page."""
    monkeypatch.setattr(moving, "_PAGE", 100)
    await copied(here, there)
    store = await open_store(there)
    (number,) = [one.id for one in await store.instruments() if one.symbol == RELIANCE.symbol]
    more = [candle(n, instrument=number) for n in (*range(500, 1_500), *range(1, 500, 2))]
    await store.commit(transaction(candles=more))
    await store.close()
    before = await fetch(there, "SELECT count(*) FROM candles_1s")

    series = (await copied(here, there))["RELIANCE.NS 1s"]

    assert (series.rows, series.copied, series.lost, series.there) == (250, 0, 0, 250 + len(more))
    assert not series.equal
    assert await fetch(there, "SELECT count(*) FROM candles_1s") == before


async def test_a_table_is_read_a_part_at_a_time_and_let_go_when_nobody_wants_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path := tmp_path / "some.db").touch()
    monkeypatch.setattr(moving, "_BATCH", 100)
    endless = (
        "WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted) SELECT n FROM counted"
    )
    before = readers()
    reading = moving._batches(path, endless)
    assert [n for (n,) in [*await anext(reading), *await anext(reading)]] == [*range(200)]
    await reading.aclose()
    assert readers() == before

    sluggish = f"{endless} WHERE n % 8000 = 0"
    reading = moving._batches(path, sluggish)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await anext(reading)
    assert readers() == before


def readers() -> set[threading.Thread]:
    """All threads but those that asyncio keeps for the next work."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


async def test_rows_that_something_better_stands_for_are_told(here: str, there: str) -> None:
    await copied(here, there)
    await execute(
        there, "UPDATE candles_1s SET source = 20, close = open WHERE symbol = 'RELIANCE.NS' AND "
        "extract(second FROM ts_utc) = 8"
    )  # fmt: skip
    found = await copied(here, there)
    series = found["RELIANCE.NS 1s"]
    assert (series.rows, series.there, series.lost > 0) == (250, 250, True)
    assert (await said(here, there))[0] == 3


async def test_no_copy_is_made_of_what_a_daemon_writes(here: str, there: str, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / "candles.db.ingest", "mdingest run"),
        pytest.raises(AlreadyRunning, match="mdingest run"),
    ):
        await copied(here, there)


async def test_only_sqlite_to_postgresql_is_offered(here: str, there: str) -> None:
    with pytest.raises(ConfigError, match="--from sqlite"):
        await copied(there, here)
    with pytest.raises(ConfigError, match="there is no database at"):
        await copied(f"{here}.nothing", there)
    sqlite3.connect(f"{here.removeprefix('sqlite:///')}.empty").close()
    with pytest.raises(ConfigError, match="mdingest migrate"):
        await copied(f"{here}.empty", there)


async def said(here: str, there: str) -> tuple[int, str]:
    """How the command ends, and its last line."""
    done = await command(here, there)
    return done.returncode, done.stdout.splitlines()[-1]


async def command(here: str, there: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "mdingest", "copy", "--from", here, "--to", there]
    run = partial(subprocess.run, words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    return await asyncio.to_thread(run)


async def test_the_command_says_what_it_did(here: str, there: str) -> None:
    done = await command(here, there)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "everything is there and equal"
    assert any(line.startswith("RELIANCE.NS 1s: 250 rows, 250 copied, sha256 ") for line in lines)
