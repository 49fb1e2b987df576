"""How a SQLite database gives room back."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from mdingest.core.events import CANDLE, OPEN_END, Candles
from mdingest.store import sqlite, sqlite_retain
from mdingest.store.base import Retention, Transaction
from mdingest.store.migrate import migrate
from mdingest.store.sqlite import SqliteStore, open_sqlite
from tests.support.rows import NIFTY, RELIANCE, ns


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    monkeypatch.setattr(sqlite, "_PAUSE_S", 0)
    monkeypatch.setattr(sqlite_retain, "ROWS_AT_ONCE", 1000)
    await migrate(f"sqlite:///{tmp_path}/candles.db")
    opened = await open_sqlite(tmp_path / "candles.db")
    await opened.ensure_instruments([RELIANCE, NIFTY])
    yield opened
    await opened.close()


def seconds(n: int) -> Transaction:
    rows = np.zeros(2 * n, CANDLE)
    rows["instrument_id"] = np.tile([1, 2], n)
    rows["interval_s"], rows["source"] = 1, 1
    rows["ts"] = ns(0) + np.repeat(np.arange(n), 2) * 10**9
    for name in ("open", "high", "low", "close"):
        rows[name] = 100.0
    return Transaction(candles=Candles(rows))


async def test_old_rows_go_in_small_transactions_and_their_pages_back_to_the_disk(store: SqliteStore) -> None:
    await store.commit(seconds(20_000))
    await store._write(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    before = await store.size()

    assert await store.retain(Retention({1: ns(19_000)}), ns(20_000)) == 38_000

    for instrument in (1, 2):
        assert len(await store.candles(instrument, 1, 0, OPEN_END, 100_000)) == 1000
    await store._write(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    after = await store.size()
    assert after.data < before.data / 2
    (check,) = await store._write(lambda connection: connection.execute("PRAGMA integrity_check").fetchone())
    assert check == "ok"


async def test_a_few_free_pages_are_kept_for_the_rows_to_come(store: SqliteStore) -> None:
    await store.commit(seconds(20_000))
    await store._write(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    before = await store.size()
    await store.retain(Retention({1: ns(2_000)}), ns(20_000))
    assert (await store.size()).data == before.data
