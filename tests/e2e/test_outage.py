"""A SQLite database that is locked by somebody else, then full, under the running daemon."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.disks import fill, small_disk
from tests.support.oracle import judged_buckets
from tests.support.place import GOOD, Place, fast_clock, place_of
from tests.support.processes import Process, until

MIB = 1 << 20


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """The database has a small disk of its own."""
    with small_disk(tmp_path / "disk", 8 * MIB) as disk:
        (tmp_path / "mdingest.db").symlink_to(disk / "mdingest.db")
        async with place_of(tmp_path, fast_clock(4), access_token=GOOD) as one:
            config = yaml.safe_load((tmp_path / "config.yaml").read_text())
            config["journal"]["reserve"] = "1MiB"
            (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
            yield one


async def until_writer(place: Place, daemon: Process, status: int, error: str) -> dict[str, Any]:
    """Wait until /health has this status, and these words about the writer; all parts."""
    seen: list[dict[str, Any]] = []

    async def shown() -> bool:
        code, document = await place.get("/health")
        if code == status and error in document["parts"]["writer"].get("error", ""):
            seen.append(document["parts"])
        return bool(seen)

    await until(f"a writer with {status} {error}", shown, daemon, within_s=60)
    return seen[0]


@pytest.mark.slow
async def test_journaling_goes_on_and_the_candles_follow_by_themselves(place: Place) -> None:
    disk = place.folder / "disk"
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 2)
        with closing(sqlite3.connect(place.database, isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            locked = await until_writer(place, daemon, 503, "locked")
            await asyncio.sleep(1)
            later = (await place.get("/health"))[1]["parts"]
            somebody.execute("ROLLBACK")
        assert later["journal"]["end_lsn"] > locked["journal"]["end_lsn"]
        assert later["writer"]["committed_lsn"] == locked["writer"]["committed_lsn"]
        assert later["writer"]["behind_s"] > locked["writer"]["behind_s"]
        await until_writer(place, daemon, 200, "")

        fill(disk / "others")
        full = await until_writer(place, daemon, 503, "full")
        assert full["disk"]["ok"]  # the journal's own has room
        assert {feed["state"] for name, feed in full["feeds"].items() if name != "ok"} == {"live"}
        fill(disk / "more")  # what the reserve gave up
        await asyncio.sleep(1)
        (disk / "others").unlink()
        (disk / "more").unlink()
        await until_writer(place, daemon, 200, "")
        await place.until_more(daemon, 2)
        assert await daemon.stopped() == 0, daemon.said()

    with closing(sqlite3.connect(place.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert place.heard_without_a_gap()
    assert not (problems := await place.verdict()), problems
    assert judged_buckets(place.evidence())["1s"] > 8
