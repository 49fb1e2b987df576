"""A disk that is filled under the running daemon, and freed again."""

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
    """Journal and database lie on a small disk, all else on a large one."""
    with small_disk(tmp_path / "disk", 24 * MIB) as disk:
        (disk / "journal").mkdir()
        (tmp_path / "journal").symlink_to(disk / "journal")
        (tmp_path / "mdingest.db").symlink_to(disk / "mdingest.db")
        async with place_of(tmp_path, fast_clock(4), access_token=GOOD) as one:
            config = yaml.safe_load((tmp_path / "config.yaml").read_text())
            config["journal"] |= {"max_bytes": "16MiB", "reserve": "1MiB"}
            (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
            yield one


async def until_disk(place: Place, daemon: Process, state: str, status: int, reserve: int) -> dict[str, Any]:
    """Wait until /health shows it; the disk's part."""
    seen: list[dict[str, Any]] = []

    async def shown() -> bool:
        code, document = await place.get("/health")
        disk = document["parts"]["disk"]
        if (code, disk["state"], disk["reserve_bytes"]) == (status, state, reserve):
            seen.append(disk)
        return bool(seen)

    await until(f"disk {state} with {status}", shown, daemon)
    return seen[0]


@pytest.mark.slow
async def test_a_full_disk_parks_the_feeds_and_room_sets_them_going(place: Place) -> None:
    disk = place.folder / "disk"
    async with place.mdingest("run") as daemon:
        await place.until_candles(daemon, 2)
        fill(disk / "others")  # now the journal lives in what the reserve gave up
        await until_disk(place, daemon, "low", 503, 0)
        fill(disk / "more")
        told = await until_disk(place, daemon, "parked", 503, 0)
        assert "free space" in told["what_to_do"]
        (disk / "others").unlink()
        (disk / "more").unlink()
        await until_disk(place, daemon, "ok", 200, MIB)
        await place.until_more(daemon, 4)
        assert await daemon.stopped() == 0, daemon.said()

    with closing(sqlite3.connect(place.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = place.evidence()
    assert "parked" in {gap.cause for gaps in found.gaps.values() for gap in gaps}
    assert not (problems := await place.verdict()), problems
    assert judged_buckets(found)["1s"] > 2
