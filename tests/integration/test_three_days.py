"""Three days of a market that never closes, at the speed of the disk: nothing grows for ever."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mdingest.core.control import VolumeKind
from mdingest.core.events import CANDLE, Candles
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_NAME
from mdingest.core.records import Kind, Record
from mdingest.pipeline.housekeeping import Housekeeper
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.retain import Retainer
from mdingest.pipeline.statefile import StateFiles
from mdingest.store import open_store, sqlite
from mdingest.store.base import Position, Store, Transaction
from mdingest.store.migrate import migrate
from mdingest.store.sqlite_commit import WAL_SOFT_BYTES
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.metrics import Metrics
from tests.support.states import writes
from tests.support.tapes import EPOCH, S

SYMBOLS = 6
SPACING = 15  # seconds between trades of a symbol
HOUR = 3_600 * S
KEPT_S = 12 * 3_600.0
KIB = 1 << 10


class HandClock(Clock):
    """Shows what it is told."""

    now = EPOCH

    def wall_ns(self) -> int:
        return HandClock.now


def candles(hour: int, ids: list[int]) -> Candles:
    """An hour of seconds, and the minutes of it."""
    parts = []
    for interval, spacing in ((1, SPACING), (60, 60)):
        ts = EPOCH + hour * HOUR + np.arange(0, 3_600, spacing, dtype=np.int64) * S
        rows = np.zeros(len(ts) * len(ids), CANDLE)
        rows["ts"], rows["instrument_id"] = np.tile(ts, len(ids)), np.repeat(ids, len(ts))
        rows["interval_s"], rows["source"] = interval, BY_NAME["kite_ws"].id
        for name in ("open", "high", "low", "close", "volume", "trades"):
            rows[name] = hour + 1
        rows["oi"] = np.nan
        parts.append(rows)
    return Candles(np.concatenate(parts))


async def test_files_do_not_grow_over_three_days_with_retention_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PAUSE_S", 0)
    database, home = tmp_path / "mdingest.db", tmp_path / "journal"
    await migrate(f"sqlite:///{database}")
    store = await open_store(f"sqlite:///{database}")
    try:
        with Journal.open(home, segment_bytes=64 * KIB)[0] as journal:
            sizes = await _days(store, journal, home)
    finally:
        await store.close()
    first = np.array(sizes[24:36]).max(axis=0)  # half a day after the first rows went
    last = np.array(sizes[-12:]).max(axis=0)
    assert (last <= first * 1.05).all(), f"database, segments, states took {first}, now {last} bytes"
    assert last[1] <= 512 * KIB
    assert last[2] > 0


async def _days(store: Store, journal: Journal, home: Path) -> list[tuple[int, int, int]]:
    """Bytes of the database, of segments, and of states, after each hour."""
    wanted = [Instrument(f"S{n}.NS", "NSE", "", "always", VolumeKind.CUMULATIVE) for n in range(SYMBOLS)]
    ids = [one.id for one in await store.ensure_instruments(wanted)]
    claim = await store.claim(journal.uuid, "a test")
    await store.commit(Transaction(position=Position(journal.uuid, 0), epoch=claim.epoch))
    clock = HandClock()
    states = StateFiles(home, journal.uuid, lambda: journal.segments)
    retainer = Retainer(journal, states, clock, kept_from=0, keep_s=KEPT_S, max_bytes=512 * KIB)
    keep_s = {1: KEPT_S, 60: KEPT_S}
    keeper = Housekeeper(store, clock, Metrics(), keep_s=keep_s, revisions_s=KEPT_S)
    sizes = []
    for hour in range(72):
        for n in range(10):
            HandClock.now = EPOCH + hour * HOUR + n * HOUR // 10
            noise = np.random.default_rng(hour * 10 + n).bytes(20 * KIB)
            journal.append([Record(Kind.FRAME, 1, HandClock.now, n, noise)])
        await retainer.save_state(journal.end_lsn, writes(noise))
        position = Position(journal.uuid, journal.end_lsn)
        await store.commit(Transaction(candles(hour, ids), position=position, epoch=claim.epoch))
        retainer.committed(journal.end_lsn)
        retainer.prune()
        journal.files.pack_next()
        await keeper.retain()
        size = await store.size()
        assert size.pending < WAL_SOFT_BYTES + 8 * KIB * KIB
        sizes.append((_pages(home.with_name("mdingest.db")), journal.files.bytes, _states(home)))
    return sizes


def _pages(database: Path) -> int:
    """Bytes of the database once its WAL is copied into it."""
    with closing(sqlite3.connect(database)) as connection:
        (pages,), (size,) = (
            connection.execute(f"PRAGMA page_{what}").fetchone() for what in ("count", "size")
        )
        return int(pages * size)


def _states(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("*.mds"))
