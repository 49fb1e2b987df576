import os
from pathlib import Path
from uuid import uuid4

import pytest

from mdingest.errors import JournalError
from mdingest.pipeline.statefile import Saved, StateFiles
from tests.support.states import writes

JOURNAL = str(uuid4())


def states(tmp_path: Path, *segments: int, journal: str = JOURNAL) -> StateFiles:
    return StateFiles(tmp_path, journal, lambda: segments)


def newest(tmp_path: Path) -> Path:
    return max(tmp_path.iterdir())


def kept(tmp_path: Path) -> list[int]:
    return sorted(int(p.stem) for p in tmp_path.iterdir())


async def test_the_newest_state_not_beyond_the_address_is_loaded(tmp_path: Path) -> None:
    files = states(tmp_path, 0, 100, 200)
    assert files.load_newest(1 << 60) is None
    for lsn in (0, 150, 250):
        await files.save(lsn, writes(b"state %d" % lsn))
    assert files.load_newest(1 << 60) == Saved(250, b"state 250")
    assert files.load_newest(250) == Saved(250, b"state 250")
    assert files.load_newest(249) == Saved(150, b"state 150")
    assert files.load_newest(149) == Saved(0, b"state 0")


async def test_two_newest_and_the_earliest_of_each_segment_are_kept(tmp_path: Path) -> None:
    files = states(tmp_path, 100, 200, 300)
    for lsn in (10, 90, 100, 120, 150, 210, 220, 290, 300, 310, 320, 330):
        await files.save(lsn, writes(b"x"))
    assert kept(tmp_path) == [100, 210, 300, 320, 330]


async def test_a_damaged_state_is_passed_over_wherever_the_damage_is(tmp_path: Path) -> None:
    files = states(tmp_path, 0)
    await files.save(10, writes(b"good"))
    await files.save(20, writes(b"newer"))
    path = newest(tmp_path)
    raw = path.read_bytes()
    for at in range(len(raw)):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        assert files.load_newest(20) == Saved(10, b"good")
        path.write_bytes(raw[:at])
        assert files.load_newest(20) == Saved(10, b"good")
    path.write_bytes(raw)
    assert files.load_newest(20) == Saved(20, b"newer")


async def test_a_state_of_another_journal_or_address_is_not_used(tmp_path: Path) -> None:
    await states(tmp_path, 0, journal=str(uuid4())).save(10, writes(b"theirs"))
    assert states(tmp_path, 0).load_newest(100) is None
    await states(tmp_path, 0).save(20, writes(b"ours"))
    newest(tmp_path).rename(tmp_path / f"{30:020d}.mds")
    assert states(tmp_path, 0).load_newest(100) is None


async def test_states_of_a_tail_that_was_cut_are_forgotten(tmp_path: Path) -> None:
    files = states(tmp_path, 0)
    for lsn in (10, 20, 30):
        await files.save(lsn, writes(b"x"))
    files.forget_beyond(20)
    assert kept(tmp_path) == [10, 20]


async def test_a_save_that_fails_leaves_the_older_states_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = states(tmp_path, 0)
    await files.save(10, writes(b"x"))

    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(JournalError, match="No space"):
            await files.save(20, writes(b"y"))
    assert kept(tmp_path) == [10]
    assert files.load_newest(20) == Saved(10, b"x")
