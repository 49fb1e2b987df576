"""Where the aggregator takes up the log again, for every kind of damage to its shortcuts."""

from pathlib import Path
from uuid import uuid4

import pytest

from mdingest.core.control import CandleSettings
from mdingest.core.machine import Machine
from mdingest.core.saving import Writable
from mdingest.pipeline.decoding import BatchDecoder, pack_state
from mdingest.pipeline.recovery import Recovered, recover
from mdingest.pipeline.statefile import StateFiles
from mdingest.store.base import Position
from tests.support.states import writes
from tests.unit.pipeline.test_aggregate import make

JOURNAL = str(uuid4())
SETTINGS = CandleSettings(lateness_s=3.5)


def write_state(out: Writable) -> None:
    pack_state(BatchDecoder(make), Machine(CandleSettings(lateness_s=9.0)), out)


@pytest.fixture
async def states(tmp_path: Path) -> StateFiles:
    files = StateFiles(tmp_path, JOURNAL, lambda: (0,))
    for lsn in (100, 200):
        await files.save(lsn, write_state)
    return files


def recovered(states: StateFiles, position: int | None, *, first: int = 0, end: int = 300) -> Recovered:
    at = None if position is None else Position(JOURNAL, position)
    return recover(states, first=first, end=end, position=at, settings=SETTINGS, make_decoder=make)


@pytest.mark.parametrize(("position", "start"), [(300, 200), (200, 200), (199, 100), (99, 0), (None, 0)])
def test_the_newest_state_that_the_database_has_passed_is_used(
    states: StateFiles, position: int | None, start: int
) -> None:
    found = recovered(states, position)
    assert (found.start, found.committed) == (start, position or 0)
    assert found.machine.settings.lateness_s == (9.0 if start else 3.5)


def test_a_position_beyond_the_log_steps_what_is_left_and_publishes_none_of_it(states: StateFiles) -> None:
    found = recovered(states, 5_000, end=250)
    assert (found.start, found.committed) == (200, 5_000)


def test_a_state_before_the_oldest_segment_is_of_no_use(states: StateFiles) -> None:
    found = recovered(states, 150, first=120)
    assert found.start == 120


@pytest.mark.parametrize(
    "payload", [b"\x02\0\0\0{}nonsense", b"\xff\xff\0\0", b"\x02\0\0\0{}", b"", b"\x02\0\0\0{}PK"]
)
async def test_a_state_of_another_version_is_passed_over(states: StateFiles, payload: bytes) -> None:
    await states.save(290, writes(payload))
    assert recovered(states, 300).start == 200
