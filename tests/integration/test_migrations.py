"""The runner of numbered SQL files, on real databases and with several processes at once."""

# ruff: noqa: ASYNC240 - a test may wait for its disk

import asyncio
import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mdingest.errors import ConfigError, PermanentError, StoreUnavailable
from mdingest.store import migrate as runner
from mdingest.store import open_store
from mdingest.store.migrate import load, migrate, statements, status

FIRST = "-- migrate:up\nCREATE TABLE a (x);\n-- migrate:down\nDROP TABLE a;\n"
SECOND = "-- migrate:up\nCREATE TABLE b (x);\nINSERT INTO b VALUES (';');\n-- migrate:down\nDROP TABLE b;\n"


def folder(tmp_path: Path, **files: str) -> Path:
    found = tmp_path / "migrations"
    found.mkdir(exist_ok=True)
    for name, text in files.items():
        (found / f"{name.lstrip('_')}.sql").write_text(text)
    return found


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "new.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def test_what_is_pending_is_applied_in_order_and_once(url: str, path: Path, tmp_path: Path) -> None:
    files = folder(tmp_path, _0001_first=FIRST)
    assert await migrate(url, files) == ["0001_first.sql"]
    folder(tmp_path, _0002_second=SECOND)
    assert await status(url, files) == runner.Status(["0001_first.sql"], ["0002_second.sql"])
    assert await migrate(url, files) == ["0002_second.sql"]
    assert await migrate(url, files) == []
    assert await status(url, files) == runner.Status(["0001_first.sql", "0002_second.sql"], [])
    assert tables(path) == {"a", "b", "mdingest_migrations"}


async def test_a_status_creates_nothing(url: str, path: Path, tmp_path: Path) -> None:
    files = folder(tmp_path, _0001_first=FIRST)
    assert await status(url, files) == runner.Status([], ["0001_first.sql"])
    assert not path.exists()


async def test_a_bad_statement_leaves_the_database_as_it_was(url: str, path: Path, tmp_path: Path) -> None:
    files = folder(tmp_path, _0001_first=FIRST)
    await migrate(url, files)
    bad = "-- migrate:up\nCREATE TABLE c (x);\nCREATE TABLE a (x);\n"
    folder(tmp_path, _0002_second=SECOND, _0003_bad=bad)
    with pytest.raises(PermanentError, match=r"0003_bad\.sql failed, nothing was changed"):
        await migrate(url, files)
    assert tables(path) == {"a", "mdingest_migrations"}
    assert (await status(url, files)).pending == ["0002_second.sql", "0003_bad.sql"]


async def test_a_statement_without_end_is_refused(url: str, tmp_path: Path) -> None:
    files = folder(tmp_path, _0001_first="-- migrate:up\nCREATE TABLE a (x)\n-- migrate:down\n")
    with pytest.raises(PermanentError, match="no end"):
        await migrate(url, files)


async def test_a_file_that_was_edited_after_it_was_applied_is_refused(url: str, tmp_path: Path) -> None:
    files = folder(tmp_path, _0001_first=FIRST)
    await migrate(url, files)
    folder(tmp_path, _0001_first=FIRST + "-- later\n", _0002_second=SECOND)
    with pytest.raises(PermanentError, match="changed after it was applied"):
        await migrate(url, files)
    with pytest.raises(PermanentError, match="changed after it was applied"):
        await status(url, files)


async def test_a_database_newer_than_the_program_is_refused(url: str, tmp_path: Path) -> None:
    files = folder(tmp_path, _0001_first=FIRST, _0002_second=SECOND)
    await migrate(url, files)
    (files / "0002_second.sql").unlink()
    with pytest.raises(PermanentError, match=r"newer than this program.*0002_second"):
        await migrate(url, files)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["0001_first", "0003_third"], "0002 before it"),
        (["0002_second"], "0001 before it"),
        (["0001_first", "0001_again"], "twice"),
        (["first"], "NNNN_name"),
    ],
)
def test_files_are_numbered_without_gaps_and_doubles(
    tmp_path: Path, names: list[str], complaint: str
) -> None:
    files = folder(tmp_path, **{f"_{name}": FIRST for name in names})
    with pytest.raises(PermanentError, match=complaint):
        load("sqlite", files)


def test_a_file_without_its_marker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="migrate:up"):
        load("sqlite", folder(tmp_path, _0001_first="CREATE TABLE a (x);"))


def test_a_trigger_is_one_statement() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  SELECT 1;\n  SELECT 2;\nEND;"
    script = f"CREATE TABLE a (x); -- ;\n{trigger}\n-- bye"
    first, second = statements(script)
    assert first.startswith("CREATE TABLE")
    assert second == trigger


def test_an_installed_package_brings_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = tmp_path / "_migrations" / "sqlite"
    packaged.mkdir(parents=True)
    (packaged / "0001_packaged.sql").write_text(FIRST)
    monkeypatch.setattr(runner.resources, "files", lambda _: tmp_path)
    assert [migration.name for migration in load("sqlite")] == ["0001_packaged.sql"]


def _migrate_in_a_process(url: str, results: "multiprocessing.Queue[list[str]]") -> None:
    results.put(asyncio.run(migrate(url)))


def test_several_processes_may_migrate_at_once(url: str, path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[str]] = context.Queue()
    processes = [context.Process(target=_migrate_in_a_process, args=(url, results)) for _ in range(4)]
    for process in processes:
        process.start()
    applied = [results.get(timeout=40) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(applied)[:3] == [[], [], []]
    assert sorted(applied)[3] == [migration.name for migration in load("sqlite")]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_every_migration_can_be_taken_back(url: str, path: Path) -> None:
    names = await migrate(url)
    with closing(sqlite3.connect(path)) as connection:
        for name in reversed(names):
            text = (Path(__file__).parents[2] / "migrations" / "sqlite" / name).read_text()
            connection.executescript(text.partition("-- migrate:down")[2])
    assert tables(path) == {"mdingest_migrations", "sqlite_sequence"}


async def test_a_file_that_is_no_database_is_refused_and_left_alone(url: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("a shopping list, and long enough to be one: " + "milk, " * 100)
    before = path.read_bytes()
    with pytest.raises(PermanentError, match="not a database"):
        await migrate(url)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await status(url)
    assert path.read_bytes() == before


async def test_a_store_opens_only_what_is_migrated(url: str, path: Path) -> None:
    with pytest.raises(ConfigError, match="mdingest migrate"):
        await open_store(url)
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE something_else (x)")
    for read_only in (False, True):
        with pytest.raises(PermanentError, match="mdingest migrate"):
            await open_store(url, read_only=read_only)
