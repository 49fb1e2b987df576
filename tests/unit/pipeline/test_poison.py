"""Whose fault a death was, and when a batch has had its chances."""

from pathlib import Path
from uuid import uuid4

import pytest

from mdingest.core.records import Kind, Record
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.poison import MARK_NAME, Poison, give_up_poison

JOURNAL = str(uuid4())


def dies(home: Path, lsn: int, journal: str = JOURNAL) -> None:
    """A process raises while it steps the batch."""
    poison = Poison(home, journal)
    with pytest.raises(ZeroDivisionError), poison.stepping(lsn):
        raise ZeroDivisionError("by zero")


def killed(home: Path, lsn: int) -> None:
    """A process is gone in the middle of the step: nothing of its own code runs any more."""
    Poison(home, JOURNAL).stepping(lsn).__enter__()


def test_two_starts_may_raise_at_a_batch_and_the_third_goes_on_without_it(tmp_path: Path) -> None:
    dies(tmp_path, 500)
    assert Poison(tmp_path, JOURNAL).due() is None
    dies(tmp_path, 500)
    due = Poison(tmp_path, JOURNAL).due()
    assert due is not None
    assert (due.lsn, due.count, due.error) == (500, 2, "ZeroDivisionError: by zero")


def test_a_death_without_a_word_needs_one_more(tmp_path: Path) -> None:
    due = []
    for _ in range(3):
        killed(tmp_path, 500)
        due.append(Poison(tmp_path, JOURNAL).due() is not None)
    assert due == [False, False, True]


def test_deaths_at_different_batches_are_nobodys_fault(tmp_path: Path) -> None:
    for lsn in (500, 600, 500, 700, 500):
        killed(tmp_path, lsn)
    dies(tmp_path, 800)
    deaths = Poison(tmp_path, JOURNAL).deaths
    assert deaths is not None
    assert (deaths.lsn, deaths.count) == (800, 1)


def test_who_gets_past_the_batch_forgets(tmp_path: Path) -> None:
    dies(tmp_path, 500)
    poison = Poison(tmp_path, JOURNAL)
    with poison.stepping(400):
        pass
    assert poison.deaths is not None
    with poison.stepping(500):
        pass
    assert Poison(tmp_path, JOURNAL).deaths is None


def test_a_stop_between_two_steps_and_deaths_of_other_journals_do_not_count(tmp_path: Path) -> None:
    with Poison(tmp_path, JOURNAL).stepping(500):
        pass
    assert Poison(tmp_path, JOURNAL).deaths is None
    dies(tmp_path, 500, str(uuid4()))
    assert Poison(tmp_path, JOURNAL).deaths is None


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"lsn": 5}', b"\xff" * 40])
def test_nonsense_where_deaths_are_counted_is_no_death(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "DEATHS").write_bytes(junk)
    assert Poison(tmp_path, JOURNAL).deaths is None
    (tmp_path / MARK_NAME).write_bytes(junk)
    assert Poison(tmp_path, JOURNAL).deaths is None


def test_what_is_due_leaves_the_log_and_one_that_is_gone_already_is_forgotten(tmp_path: Path) -> None:
    with Journal.open(tmp_path)[0] as journal:
        lsns = [journal.append([Record(Kind.FRAME, 1, n, n, b"x")]).lsn for n in range(3)]
        for lsn in (lsns[1], 1 << 40):
            dies(tmp_path, lsn, journal.uuid)
            dies(tmp_path, lsn, journal.uuid)
            give_up_poison(Poison(tmp_path, journal.uuid), journal)
            assert Poison(tmp_path, journal.uuid).deaths is None
        assert [b.kinds.tolist() for b in journal.read(0)] == [[8], [10], [8]]
        assert journal.files.quarantined == 1
