"""What recovery needs is never deleted."""

from pathlib import Path

from mdingest.core.records import Kind, Record
from mdingest.errors import JournalError
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.retain import Retainer
from mdingest.pipeline.statefile import StateFiles, WriteState
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
