import errno
import itertools
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import pytest

from mdingest.core.records import Batch, Kind, Record
from mdingest.errors import AlreadyRunning, JournalError
from mdingest.pipeline import segments as seg
from mdingest.pipeline.journal import SEGMENT_BYTES, Journal
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.segments import Damage
from mdingest.pipeline.tail import JournalFull


def frames(*payloads: bytes, wall: int = 1_000) -> list[Record]:
    return [Record(Kind.FRAME, 7, wall + i, i, p) for i, p in enumerate(payloads)]


def opened(directory: Path, segment_bytes: int = SEGMENT_BYTES) -> Journal:
    return Journal.open(directory, segment_bytes=segment_bytes)[0]


def held(batches: Iterable[Batch]) -> list[tuple[int, list[Record]]]:
    return [(b.lsn, list(b.records())) for b in batches]


def inodes(home: Path) -> set[int]:
    return {p.stat().st_ino for p in home.glob("*.mdj")}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def written(home: Path, count: int, segment_bytes: int = SEGMENT_BYTES) -> list[tuple[int, list[Record]]]:
    """A closed journal of ``count`` batches; returns what `append` handed back for each."""
    with opened(home, segment_bytes=segment_bytes) as journal:
        return held(journal.append(frames(b"first %d" % i, b"\x00" * i)) for i in range(count))


def test_what_was_appended_is_read_back(home: Path) -> None:
    with opened(home) as journal:
        appended = [journal.append(frames(b"a", b"")), journal.append(frames(b"b" * 1000))]
        assert held(journal.read(0)) == held(appended)
        assert appended[0].end == appended[1].lsn
        assert journal.end_lsn == appended[1].end


def test_a_reopened_journal_goes_on_at_its_end_with_the_same_uuid(home: Path) -> None:
    with opened(home) as journal:
        first = journal.append(frames(b"a"))
    again, found = Journal.open(home)
    with again:
        assert (found.created, found.cut, found.set_aside) == (False, None, [])
        assert (again.uuid, again.end_lsn, again.synced_lsn) == (journal.uuid, first.end, first.end)
        second = again.append(frames(b"b"))
        assert [b.lsn for b in again.read(0)] == [0, second.lsn]


def test_a_tail_torn_at_any_byte_costs_only_the_torn_batch(home: Path, tmp_path: Path) -> None:
    whole = written(home, 3)
    raw = (home / seg.segment_name(0)).read_bytes()
    last = seg.HEADER_BYTES + whole[2][0]
    for length in range(last, len(raw)):
        torn = tmp_path / f"torn{length}"
        shutil.copytree(home, torn)
        os.truncate(torn / seg.segment_name(0), length)

        journal, found = Journal.open(torn)

        with journal:
            assert held(journal.read(0)) == whole[:2]
            cut = found.cut
            assert (cut.lsn, cut.bytes) == (whole[2][0], length - last) if length > last else cut is None
            after = journal.append(frames(b"goes on"))
        assert held(JournalReader(torn).read()) == [*whole[:2], (after.lsn, list(after.records()))]
        shutil.rmtree(torn)


def test_a_flipped_bit_anywhere_ends_the_log_at_its_batch(home: Path, tmp_path: Path) -> None:
    whole = written(home, 3)
    raw = (home / seg.segment_name(0)).read_bytes()
    middle, last = seg.HEADER_BYTES + whole[1][0], seg.HEADER_BYTES + whole[2][0]
    for at in range(middle, last):
        hurt = tmp_path / "hurt"
        shutil.copytree(home, hurt)
        (hurt / seg.segment_name(0)).write_bytes(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :])

        journal, found = Journal.open(hurt)

        with journal:
            assert held(journal.read(0)) == whole[:1]
            assert (found.cut.lsn, found.cut.bytes) == (whole[1][0], len(raw) - middle)
            assert found.cut.batches >= 1  # the last one, at least, is still recognised
        shutil.rmtree(hurt)


def test_segments_rotate_and_are_read_as_one_log(home: Path) -> None:
    whole = written(home, 40, segment_bytes=300)
    names = sorted(p.name for p in home.glob("*.mdj"))
    assert len(names) > 5
    assert all((home / n).stat().st_size <= 300 + seg.HEADER_BYTES for n in names)
    assert held(JournalReader(home).read()) == whole
    with opened(home) as journal:
        assert held(journal.read(0)) == whole
        for lsn, _ in whole:
            assert next(iter(journal.read(lsn))).lsn == lsn
        assert [int(n[:20]) for n in names] == list(journal.segments)


def test_a_batch_larger_than_a_segment_or_a_chunk_is_kept_whole(home: Path) -> None:
    big = os.urandom(seg.CHUNK_BYTES * 2 + 17)
    with opened(home, segment_bytes=1000) as journal:
        journal.append(frames(b"small"))
        journal.append(frames(big))
        journal.append(frames(b"small"))
        assert [b.payload(0) for b in journal.read(0)] == [b"small", big, b"small"]


def test_a_reader_beside_the_writer_sees_what_is_written_meanwhile(home: Path) -> None:
    with opened(home, segment_bytes=400) as journal:
        expected = [journal.append(frames(b"%d" % i)).lsn for i in range(10)]
        reader = JournalReader(home).read()
        seen = [next(reader).lsn for _ in range(10)]
        expected += [journal.append(frames(b"%d" % i)).lsn for i in range(30)]
        seen += [b.lsn for b in reader]
        assert seen == expected


def test_a_reader_in_a_thread_never_sees_a_hole_or_a_torn_batch(home: Path) -> None:
    def read_until_done() -> None:
        lsn = 0
        while lsn < total or not done.is_set():
            chunk = journal.read_some(lsn)
            if chunk.damage is not None:
                problems.append(chunk.damage)
                return
            if chunk.batches and chunk.batches[0].lsn != lsn:
                problems.append(chunk.batches[0].lsn)
            lsn = chunk.resume
        reached.append(lsn)

    problems, reached = [], []
    done = threading.Event()
    with opened(home, segment_bytes=2_000) as journal:
        total = 1 << 62
        thread = threading.Thread(target=read_until_done)
        thread.start()
        for i in range(2_000):
            journal.append(frames(b"x" * (i % 97)))
        total = journal.end_lsn
        done.set()
        thread.join()
        assert (problems, reached) == ([], [total])


def test_reading_does_not_touch_a_torn_tail_that_a_writer_may_still_be_writing(home: Path) -> None:
    whole = written(home, 2)
    path = home / seg.segment_name(0)
    os.truncate(path, path.stat().st_size - 3)
    told = []
    assert held(JournalReader(home).read(on_damage=told.append)) == whole[:1]
    assert [(d.lsn, d.tail) for d in told] == [(whole[1][0], True)]
    assert held(JournalReader(home).read()) == whole[:1]


def test_damage_in_an_older_segment_is_an_error_or_is_told_and_stepped_over(home: Path) -> None:
    whole = written(home, 12, segment_bytes=300)
    first, second = sorted(home.glob("*.mdj"))[:2]
    raw = bytearray(first.read_bytes())
    raw[-1] ^= 1
    first.write_bytes(raw)
    follower = int(second.stem)
    lost = max(lsn for lsn, _ in whole if lsn < follower)
    with opened(home) as journal:
        with pytest.raises(JournalError, match="can't be read"):
            list(journal.read(0))
        for log in (journal, JournalReader(home)):
            told = []
            assert held(log.read(0, told.append)) == [w for w in whole if w[0] != lost]
            assert [(d.lsn, d.resume, d.tail) for d in told] == [(lost, follower, False)]


def test_a_lost_segment_is_told_and_stepped_over(home: Path) -> None:
    whole = written(home, 12, segment_bytes=300)
    paths = sorted(home.glob("*.mdj"))
    paths[1].unlink()
    told = []
    rest = held(JournalReader(home).read(on_damage=told.append))
    assert [(d.lsn, d.resume) for d in told] == [(int(paths[1].stem), int(paths[2].stem))]
    assert rest == [w for w in whole if not int(paths[1].stem) <= w[0] < int(paths[2].stem)]


def test_a_damaged_header_is_set_aside_and_its_addresses_are_never_used_again(home: Path) -> None:
    written(home, 12, segment_bytes=300)
    last = max(home.glob("*.mdj"))
    end = int(last.stem) + last.stat().st_size - seg.HEADER_BYTES
    raw = bytearray(last.read_bytes())
    raw[9] ^= 1
    raw[seg.HEADER_BYTES] ^= 1  # and its first batch, or the header could be told from that
    last.write_bytes(raw)
    journal, found = Journal.open(home)
    with journal:
        assert [p.name for p in found.set_aside] == [last.name + ".bad"]
        assert journal.end_lsn == end
        told = []
        assert journal.append(frames(b"on")).lsn == end
        assert list(journal.read(0, told.append))[-1].lsn == end
        assert [(d.lsn, d.resume) for d in told] == [(int(last.stem), end)]


def test_a_segment_that_power_loss_left_empty_is_no_trouble(home: Path) -> None:
    whole = written(home, 2)
    end = JournalReader(home)
    (home / seg.segment_name(whole[1][0] + 1000)).touch()
    assert held(end.read()) == whole
    (home / seg.segment_name(whole[1][0] + 1000)).unlink()
    with opened(home) as journal:
        (home / seg.segment_name(journal.end_lsn)).touch()
    with opened(home) as journal:
        assert held(journal.read(0)) == whole
    assert len(list(home.glob("*.mdj"))) == 1


@pytest.mark.parametrize("name", [seg.segment_name(99), f"{99:020d}.mds"])
def test_a_half_made_segment_or_state_is_forgotten(home: Path, name: str) -> None:
    written(home, 2)
    (home / f"{name}.new").write_bytes(b"MDJ")
    with opened(home):
        assert not list(home.glob("*.new"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"SQLite format 3\x00" + b"\x00" * 100, "not a journal segment"),
        (seg.encode_header(UUID(int=1), 0, version=9) + b"\x01" * 100, "format 9"),
    ],
)
def test_a_foreign_file_is_refused_and_left_alone(home: Path, content: bytes, says: str) -> None:
    home.mkdir()
    path = home / seg.segment_name(0)
    path.write_bytes(content)
    with pytest.raises(JournalError, match=says):
        Journal.open(home)
    assert path.read_bytes() == content
    opened_elsewhere = home / "LOCK"
    assert opened_elsewhere.exists()  # and the lock is free again:
    path.unlink()
    opened(home).close()


@pytest.mark.parametrize("bit", range(32))
def test_a_flipped_version_is_damage_and_no_newer_program(home: Path, bit: int) -> None:
    home.mkdir()
    header = bytearray(seg.encode_header(UUID(int=1), 0))
    header[4 + bit // 8] ^= 1 << bit % 8
    path = home / seg.segment_name(0)
    path.write_bytes(header)
    with pytest.raises(seg.DamagedHeader):
        seg.read_header(path)


@pytest.mark.parametrize("flipped", [b"MDJM", b"SQLi", b"\0" * 4])
def test_a_flipped_magic_alone_is_damage_and_nothing_foreign(home: Path, flipped: bytes) -> None:
    home.mkdir()
    path = home / seg.segment_name(0)
    path.write_bytes(flipped + seg.encode_header(UUID(int=1), 0)[4:])
    with pytest.raises(seg.DamagedHeader):
        seg.read_header(path)


@pytest.mark.parametrize("damage", [b"MDJM", b"\xff" * seg.HEADER_BYTES, b"\0" * seg.HEADER_BYTES])
@pytest.mark.parametrize("which", [0, 1, -1])
@pytest.mark.parametrize("form", ["as it is", "packed"])
def test_a_header_overwritten_among_good_ones_is_written_anew_and_nothing_is_lost(
    home: Path, which: int, damage: bytes, form: str
) -> None:
    whole = written(home, 12, segment_bytes=300)
    if form == "packed":
        with opened(home) as journal:
            journal.rotate()
            while journal.files.pack_next():
                pass
        max(home.glob("*.mdj")).unlink()
    path = sorted(home.glob("*.mdj"))[which]
    with path.open("r+b") as file:
        file.write(damage)
    assert len(held(JournalReader(home).read(on_damage=lambda _: None))) < len(whole)

    journal, found = Journal.open(home)

    with journal:
        assert found.set_aside == []
        assert held(journal.read(0)) == whole
    assert held(JournalReader(home).read()) == whole


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_segment_overwritten_among_good_ones_is_set_aside_and_is_a_hole(home: Path, which: int) -> None:
    whole = written(home, 12, segment_bytes=300)
    paths = sorted(home.glob("*.mdj"))
    path = paths[which]
    begin, log_end = int(path.stem), seg.read_header(paths[-1]).end()
    end = seg.read_header(path).end()
    with path.open("r+b") as file:
        file.write(b"\xff" * (seg.HEADER_BYTES + 1))
    good = [one for one in whole if not begin <= one[0] < end]
    assert held(JournalReader(home).read(on_damage=lambda _: None)) == good
    journal, found = Journal.open(home)
    with journal:
        assert [p.name for p in found.set_aside] == [path.name + ".bad"]
        told: list[seg.Damage] = []
        assert held(journal.read(journal.first_lsn, told.append)) == good
        holes = [] if which == 0 else [(begin, end)]
        assert [(d.lsn, d.resume) for d in told] == holes
        assert journal.append(frames(b"on")).lsn == log_end


def test_two_journals_in_one_directory_are_refused(home: Path, tmp_path: Path) -> None:
    written(home, 12, segment_bytes=300)
    written(tmp_path / "other", 40, segment_bytes=300)
    stray = max((tmp_path / "other").glob("*.mdj"))
    shutil.copy(stray, home)
    with pytest.raises(JournalError, match="two journals"):
        Journal.open(home)
    with pytest.raises(JournalError, match="two journals"):
        JournalReader(home)


def test_a_renamed_segment_is_refused(home: Path) -> None:
    written(home, 2)
    (home / seg.segment_name(0)).rename(home / seg.segment_name(500))
    with pytest.raises(JournalError, match="renamed"):
        Journal.open(home)


def test_a_directory_without_a_journal_can_not_be_read(home: Path) -> None:
    home.mkdir()
    with pytest.raises(JournalError, match="holds no journal"):
        JournalReader(home)


def test_addresses_outside_the_log_are_errors(home: Path) -> None:
    with opened(home, segment_bytes=300) as journal:
        for i in range(12):
            journal.append(frames(b"%d" % i, b"xx"))
        journal.prune(journal.segments[2], max_bytes=0)
        with pytest.raises(JournalError, match="begins at"):
            next(journal.read(0))
        with pytest.raises(JournalError, match="ends at"):
            next(journal.read(journal.end_lsn + 1))
        assert list(journal.read(journal.end_lsn)) == []


def test_a_second_opener_is_told_who_holds_the_journal(home: Path) -> None:
    with (
        Journal.open(home, command="mdingest run")[0],
        pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}.*run"),
    ):
        Journal.open(home)
    opened(home).close()


class Disk:
    """Stands between the journal and the system: fails writes and syncs on request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1 << 40
        self.code = errno.ENOSPC
        self.sync_fails = False
        self.real_pwrite, self.real_sync = os.pwrite, os.fdatasync
        monkeypatch.setattr(os, "pwrite", self.pwrite)
        monkeypatch.setattr(os, "fdatasync", self.fdatasync)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        part = bytes(data)[: self.room]
        if not part:
            raise OSError(self.code, os.strerror(self.code))
        self.room -= len(part)
        return self.real_pwrite(fd, part, offset)

    def fdatasync(self, fd: int) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.real_sync(fd)


def test_a_disk_that_fills_in_the_middle_of_a_batch_leaves_no_trace_of_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with opened(home) as journal:
        before = journal.append(frames(b"before"))
        disk.room = 10
        with pytest.raises(JournalFull, match="No space"):
            journal.append(frames(b"never"))
        assert journal.end_lsn == before.end
        assert (home / seg.segment_name(0)).stat().st_size == seg.HEADER_BYTES + before.end
        disk.room = 1 << 40
        after = journal.append(frames(b"after"))
        assert held(journal.read(0)) == held([before, after])


def test_a_write_that_stops_half_way_without_an_error_is_finished(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(home) as journal:
        real = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, bytes(data)[:7], at))
        batch = journal.append(frames(b"in pieces"))
        assert held(journal.read(0)) == held([batch])


def test_a_disk_that_is_full_at_rotation_keeps_the_old_segment_usable(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with opened(home, segment_bytes=100) as journal:
        journal.append(frames(b"before"))
        disk.room = 0
        with pytest.raises(JournalFull):
            journal.append(frames(b"x" * 60))
        disk.room = 1 << 40
        journal.append(frames(b"y" * 60))
        assert [b.payload(0) for b in journal.read(0)] == [b"before", b"y" * 60]


def test_a_tail_that_the_disk_does_not_give_is_left_as_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only bytes that were read and are bad may be cut off: these come back with the disk."""
    before = written(home, 5)
    pread = os.pread

    def failing(fd: int, size: int, offset: int) -> bytes:
        if offset >= seg.HEADER_BYTES:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    with opened(home) as journal:
        monkeypatch.undo()
        journal.append(frames(b"later"))
        assert held(journal.read(0))[:5] == before
        assert len(list(journal.read(0))) == 6
        assert len(journal.segments) == 2


def test_a_log_is_not_stepped_over_because_files_are_scarce(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(home, 5)
    real, calls = os.open, itertools.count(1)

    def scarce(path: Path, flags: int) -> int:
        if next(calls) == 2:  # another part of the process was quicker
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, flags)

    with opened(home) as journal:
        monkeypatch.setattr(os, "open", scarce)
        with pytest.raises(JournalError, match="Too many open files"):
            journal.read_some(0)
        monkeypatch.undo()
        assert held(journal.read(0)) == before


def test_addresses_can_be_skipped_and_the_hole_is_told(home: Path) -> None:
    before = written(home, 2)
    with opened(home) as journal:
        end = journal.end_lsn
        journal.skip_to(end - 1)  # not later: nothing to do
        assert (journal.end_lsn, journal.segments) == (end, (0,))
        journal.skip_to(end + 1_000)
    with opened(home) as journal:
        after = journal.append(frames(b"on"))
        assert after.lsn == end + 1_000
        for log in (journal, JournalReader(home)):
            told: list[Damage] = []
            assert held(log.read(0, told.append)) == [*before, (after.lsn, list(after.records()))]
            assert [(d.lsn, d.resume) for d in told] == [(end, after.lsn)]


def test_a_skip_that_fails_leaves_the_journal_where_it_was(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with opened(home) as journal:
        first = journal.append(frames(b"a"))
        disk.room = 0
        with pytest.raises(JournalFull):
            journal.skip_to(1_000)
        disk.room = 1 << 40
        second = journal.append(frames(b"b"))
        assert held(journal.read(0)) == held([first, second])


def test_a_failing_write_is_not_taken_for_a_full_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    with opened(home) as journal:
        disk.room, disk.code = 0, errno.EIO
        with pytest.raises(JournalError) as caught:
            journal.append(frames(b"x"))
        assert not isinstance(caught.value, JournalFull)
        disk.room = 1 << 40


async def test_sync_covers_every_segment_it_left_behind(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(os.fstat(fd).st_ino), real(fd)))
    with opened(home, segment_bytes=300) as journal:
        for i in range(12):
            journal.append(frames(b"%d" % i, b"xx"))
        assert journal.synced_lsn == 0
        await journal.sync()
        assert journal.synced_lsn == journal.end_lsn
        assert set(synced) == inodes(home)
        synced.clear()
        await journal.sync()
        assert synced == []


async def test_after_a_failed_sync_nothing_is_promised_any_more(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with opened(home) as journal:
        batch = journal.append(frames(b"x"))
        disk.sync_fails = True
        with pytest.raises(JournalError, match="can't be synced"):
            await journal.sync()
        disk.sync_fails = False
        assert journal.synced_lsn == 0
        with pytest.raises(JournalError):
            await journal.sync()
        with pytest.raises(JournalError):
            journal.append(frames(b"y"))
    with opened(home) as journal:  # a restart reads what is really there
        assert held(journal.read(0)) == held([batch])


def test_a_closed_journal_refuses_to_write(home: Path) -> None:
    journal = opened(home)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append(frames(b"x"))


def test_pruning_deletes_the_oldest_but_never_what_recovery_needs(home: Path) -> None:
    with opened(home, segment_bytes=300) as journal:
        for i in range(40):
            journal.append(frames(b"%d" % i, b"xx", wall=i * 1_000))
        kept = journal.segments[3]
        inside = kept + 1

        gone = journal.prune(inside, max_bytes=0)

        assert [int(p.stem) for p in gone] == [s for s in range(kept) if s in {int(p.stem) for p in gone}]
        assert journal.first_lsn == kept
        assert sorted(int(p.stem) for p in home.glob("*.mdj")) == list(journal.segments)
        assert next(journal.read(kept)).lsn == kept
        assert journal.prune(1 << 60, max_bytes=1 << 60) == []
        journal.prune(1 << 60, max_bytes=0)
        assert len(journal.segments) == 1  # the one being written stays


def test_pruning_by_size_stops_at_the_limit(home: Path) -> None:
    with opened(home, segment_bytes=300) as journal:
        for i in range(40):
            journal.append(frames(b"%d" % i, b"xx"))
        journal.prune(1 << 60, max_bytes=1_000)
        size = sum(p.stat().st_size for p in home.glob("*.mdj"))
        assert 1_000 - 300 - seg.HEADER_BYTES <= size <= 1_000


def test_pruning_by_age_goes_by_the_time_in_the_records(home: Path) -> None:
    with opened(home, segment_bytes=300) as journal:
        for i in range(40):
            journal.append(frames(b"%d" % i, b"xx", wall=i * 1_000))
        journal.prune(1 << 60, max_bytes=None, older_than_ns=20_000)
        oldest = next(journal.read(journal.first_lsn))
        assert int(oldest.wall_ns[0]) < 20_000  # its segment still holds younger ones
        following = next(journal.read(journal.segments[1]))
        assert int(following.wall_ns[0]) >= 20_000


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    opened(tmp_path / "a" / "b").close()
    assert Path(tmp_path / "a" / "b" / "LOCK").exists()
