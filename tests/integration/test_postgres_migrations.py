"""The runner of numbered SQL files on PostgreSQL."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mdingest.errors import PermanentError
from mdingest.store import open_store
from mdingest.store.migrate import Status, load, migrate, status
from tests.support.postgres import Server, database, execute, fetch

FIRST = "-- migrate:up\nCREATE TABLE a (x int);\n-- migrate:down\nDROP TABLE a;\n"
SECOND = (
    "-- migrate:up\nCREATE TABLE b (x text);\nINSERT INTO b VALUES (';');\n-- migrate:down\nDROP TABLE b;\n"
)


@pytest.fixture
async def url(postgres: Server) -> AsyncIterator[str]:
    async with database(postgres, migrated=False) as found:
        yield found


def folder(tmp_path: Path, **files: str) -> Path:
    found = tmp_path / "migrations"
    found.mkdir(exist_ok=True)
    for name, text in files.items():
        (found / f"{name.lstrip('_')}.sql").write_text(text)
    return found


async def relations(url: str) -> set[str]:
    query = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"""
    return {name for (name,) in await fetch(url, query)}


async def test_what_is_pending_is_applied_in_order_and_once(url: str, tmp_path: Path) -> None:
    files = folder(tmp_path, _0001_first=FIRST)
    assert await status(url, files) == Status([], ["0001_first.sql"])
    assert await relations(url) == set()
    assert await migrate(url, files) == ["0001_first.sql"]
    folder(tmp_path, _0002_second=SECOND)
    assert await status(url, files) == Status(["0001_first.sql"], ["0002_second.sql"])
    assert await migrate(url, files) == ["0002_second.sql"]
    assert await migrate(url, files) == []
    assert await relations(url) == {"a", "b", "mdingest_migrations"}


async def test_a_bad_statement_leaves_the_database_as_it_was(url: str, tmp_path: Path) -> None:
    files = folder(tmp_path, _0001_first=FIRST)
    await migrate(url, files)
    bad = "-- migrate:up\nCREATE TABLE c (x int);\nCREATE TABLE a (x int);\n"
    folder(tmp_path, _0002_second=SECOND, _0003_bad=bad)
    with pytest.raises(PermanentError, match=r"0003_bad\.sql failed, nothing was changed"):
        await migrate(url, files)
    assert await relations(url) == {"a", "mdingest_migrations"}
    assert (await status(url, files)).pending == ["0002_second.sql", "0003_bad.sql"]


async def test_an_edited_file_and_a_newer_database_are_refused(url: str, tmp_path: Path) -> None:
    files = folder(tmp_path, _0001_first=FIRST, _0002_second=SECOND)
    await migrate(url, files)
    folder(tmp_path, _0001_first=FIRST + "-- later\n")
    with pytest.raises(PermanentError, match="changed after it was applied"):
        await migrate(url, files)
    folder(tmp_path, _0001_first=FIRST)
    (files / "0002_second.sql").unlink()
    with pytest.raises(PermanentError, match=r"newer than this program.*0002_second"):
        await status(url, files)


def _migrate_in_a_process(url: str, results: "multiprocessing.Queue[list[str]]") -> None:
    results.put(asyncio.run(migrate(url)))


async def test_several_processes_may_migrate_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[str]] = context.Queue()
    processes = [context.Process(target=_migrate_in_a_process, args=(url, results)) for _ in range(4)]
    for process in processes:
        process.start()
    applied = [await asyncio.to_thread(results.get, timeout=40) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(applied) == [[], [], [], [migration.name for migration in load("postgres")]]


async def test_every_migration_can_be_taken_back(url: str) -> None:
    names = await migrate(url)
    await execute(url, "SELECT add_partitions('1s', now(), now())")
    for name in reversed(names):
        text = (Path(__file__).parents[2] / "migrations" / "postgres" / name).read_text()
        await execute(url, text.partition("-- migrate:down")[2])
    assert await relations(url) == {"mdingest_migrations"}
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    assert await fetch(url, functions) == []


async def test_both_databases_know_the_same_tables_and_views(postgres: Server, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    await migrate(f"sqlite:///{tmp_path}/candles.db")
    with closing(sqlite3.connect(tmp_path / "candles.db")) as connection:
        query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
        sqlite = {name for (name,) in connection.execute(query) if not name.startswith("fresh_")}
    async with database(postgres) as url:
        assert await relations(url) - {"partition_widths"} == sqlite


async def test_a_store_opens_only_what_is_migrated(url: str) -> None:
    for read_only in (False, True):
        with pytest.raises(PermanentError, match="mdingest migrate"):
            await open_store(url, read_only=read_only)
