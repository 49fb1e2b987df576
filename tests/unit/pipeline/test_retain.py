"""What recovery needs is never deleted."""

from pathlib import Path

import pytest

from mdingest.core.records import Kind, Record
from mdingest.errors import JournalError
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.retain import Retainer
from mdingest.pipeline.segments import Damage
from mdingest.pipeline.source import BatchSource
from mdingest.pipeline.statefile import StateFiles, WriteState
from mdingest.pipeline.tail import JournalFull
from mdingest.telemetry.clock import Clock
from tests.support.states import writes


def keeper(journal: Journal, directory: Path, kept_from: int = 0) -> Retainer:
    states = StateFiles(directory, journal.uuid, lambda: journal.segments)
    return Retainer(journal, states, Clock(), kept_from=kept_from, keep_s=3600, max_bytes=1 << 20)


async def test_a_start_steps_from_the_newest_state_that_the_position_has_passed(tmp_path: Path) -> None:
    with Journal.open(tmp_path)[0] as journal:
        retainer = keeper(journal, tmp_path)
        for lsn in (100, 200, 300):
            await retainer.save_state(lsn, writes(b"state"))
        needed = [retainer.needed_from]
        for committed in (50, 100, 250, 299, 400):
            retainer.committed(committed)
            needed.append(retainer.needed_from)
    assert needed == [0, 0, 100, 200, 200, 300]


async def test_a_state_that_cannot_be_saved_is_survived_and_not_counted_on(tmp_path: Path) -> None:
    class Refuses(StateFiles):
        async def save(self, lsn: int, write: WriteState) -> None:  # noqa: ARG002 - its parent's
            raise JournalError("no space")

    with Journal.open(tmp_path)[0] as journal:
        states = Refuses(tmp_path, journal.uuid, lambda: journal.segments)
        retainer = Retainer(journal, states, Clock(), kept_from=7, keep_s=1, max_bytes=1)
        await retainer.save_state(100, writes(b"state"))
        retainer.committed(1000)
        assert retainer.needed_from == 7


async def test_a_commit_waits_until_the_journal_is_on_the_disk(tmp_path: Path) -> None:
    with Journal.open(tmp_path)[0] as journal:
        retainer = keeper(journal, tmp_path)
        batch = journal.append([Record(Kind.TICK, 0, 1, 1, b"")])
        assert journal.synced_lsn < batch.end
        await retainer.sync_to(batch.end)
        assert journal.synced_lsn >= batch.end


async def test_segments_that_somebody_deleted_are_a_hole_and_end_nothing(tmp_path: Path) -> None:
    def heard(log: Journal, damage: list[Damage]) -> list[bytes]:
        batches = log.read(0, on_damage=damage.append)
        return [bytes(batch.payload(0)) for batch in batches if batch.kinds[0] == Kind.FRAME]

    with Journal.open(tmp_path)[0] as journal:
        for n in range(4):
            journal.append([Record(Kind.FRAME, 1, n, n, b"%d" % n)])
            if n < 3:
                journal.rotate()
        retainer = keeper(journal, tmp_path)
        retainer.committed(journal.end_lsn)
        for segment in (journal.files.all[1], journal.files.all[3]):
            segment.path.unlink()

        assert heard(journal, found := []) == [b"0", b"2"]
        assert [damage.lsn for damage in found] == [journal.segments[1], journal.segments[3]]
        retainer.prune()
        journal.append([Record(Kind.FRAME, 1, 4, 4, b"4")])
        retainer.prune()
        assert heard(journal, []) == [b"0", b"2", b"4"]
        assert journal.files.shed_next(0) == 1
    with Journal.open(tmp_path)[0] as again:
        assert heard(again, found := []) == [b"2", b"4"]
        assert len(found) == 2


async def test_the_oldest_segments_may_be_deleted_before_they_were_read(tmp_path: Path) -> None:
    """The database is away, and somebody makes room by hand: the rest is read when it is back."""
    with Journal.open(tmp_path)[0] as journal:
        for n in range(3):
            journal.append([Record(Kind.FRAME, 1, n, n, b"%d" % n)])
            journal.rotate()
        retainer = keeper(journal, tmp_path)
        journal.files.all[0].path.unlink()
        retainer.prune()
        found: list[Damage] = []
        source = BatchSource(journal, 0, on_damage=found.append)
        assert bytes((await source.next()).payload(0)) == b"1"
    assert [(damage.lsn, damage.resume) for damage in found] == [(0, journal.segments[0])]


def test_the_last_segment_may_be_deleted_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(tmp_path)[0] as journal:
        journal.append([Record(Kind.FRAME, 1, 0, 0, b"0")])
        journal.rotate()
        journal.append([Record(Kind.FRAME, 1, 1, 1, b"1")])
        retainer = keeper(journal, tmp_path, kept_from=journal.end_lsn)
        retainer.committed(journal.end_lsn)

        def full() -> None:
            raise JournalFull("no space left")

        monkeypatch.setattr(journal, "rotate", full)
        journal.files.all[-1].path.unlink()
        retainer.prune()
        assert len(journal.segments) == 2
