"""What becomes of segments that are complete: packed, shed, quarantined, and all of it read."""

import json
import os
import shutil
from pathlib import Path

import pytest

from mdingest.core.records import Batch, Kind, Record
from mdingest.errors import JournalError
from mdingest.pipeline import segments as seg
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.segments import Damage


def frames(*payloads: bytes, stream: int = 7) -> list[Record]:
    return [Record(Kind.FRAME, stream, 1_000 + i, i, payload) for i, payload in enumerate(payloads)]


def held(log: Journal | JournalReader) -> list[tuple[int, int, list[Record]]]:
    return [(batch.lsn, batch.end, list(batch.records())) for batch in log.read()]


def kinds(batch: Batch) -> list[tuple[str, int]]:
    return [(record.kind.name, record.stream_id) for record in batch.records()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(home: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Three segments of ten batches; a block holds about three of those."""
    monkeypatch.setattr(seg, "CHUNK_BYTES", 1_000)
    made = Journal.open(home)[0]
    for n in range(30):
        if n in (10, 20):
            made.rotate()
        made.append([*frames(b"%d" % n * 200, b""), Record(Kind.TICK, 0, n, n, b"")])
    return made


def pack_all(journal: Journal) -> None:
    while journal.files.pack_next():
        pass


def test_a_packed_segment_is_smaller_and_reads_the_same_from_every_address(
    journal: Journal, home: Path
) -> None:
    before, size = held(JournalReader(home)), journal.files.bytes

    pack_all(journal)

    assert [segment.packed for segment in journal.files.all] == [True, True, False]
    assert journal.files.bytes < size / 2
    assert held(JournalReader(home)) == before
    for lsn, end, _ in before:
        chunk = journal.read_some(lsn)
        assert (chunk.batches[0].lsn, chunk.batches[0].end) == (lsn, end)
    journal.close()
    with Journal.open(home)[0] as again:
        assert held_from(again) == before
        assert not again.files.pack_next()


def held_from(journal: Journal) -> list[tuple[int, int, list[Record]]]:
    return [(b.lsn, b.end, list(b.records())) for b in journal.read(journal.first_lsn)]


def test_packing_that_is_broken_off_anywhere_leaves_the_segment_as_it_was(
    journal: Journal, home: Path
) -> None:
    before = held(JournalReader(home))
    for pieces in range(1, 4):
        calls = []

        def break_off(calls: list[int] = calls, pieces: int = pieces) -> None:
            calls.append(1)
            if len(calls) == pieces:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            journal.files.pack_next(break_off)
        assert sorted(p.name for p in home.iterdir()) == [
            *(seg.segment_name(first) for first in journal.segments),
            "LOCK",
        ]
        assert held(JournalReader(home)) == before
    # Killed, it leaves its unfinished file as well: the next start removes it.
    journal.close()
    (home / "00000000000000000000.mdj.new").write_bytes(b"half")
    with Journal.open(home)[0] as again:
        assert held_from(again) == before
    assert not list(home.glob("*.new"))


def test_a_packed_segment_torn_at_any_byte_keeps_every_block_before_that(
    journal: Journal, home: Path
) -> None:
    whole = held(JournalReader(home))
    pack_all(journal)
    journal.close()
    path = home / seg.segment_name(0)
    raw = path.read_bytes()
    sizes = set()
    for length in range(seg.HEADER_BYTES, len(raw), 7):
        os.truncate(path, length)
        told: list[Damage] = []
        read = [b.lsn for b in JournalReader(home).read(on_damage=told.append)]
        assert read == [lsn for lsn, end, _ in whole if end <= told[0].lsn or lsn >= told[-1].resume]
        assert told[-1].resume == int(sorted(home.glob("*.mdj"))[1].stem)
        sizes.add(len(read))
        path.write_bytes(raw)
    assert len(sizes) == 4


def test_a_flipped_bit_in_a_packed_segment_costs_its_block_and_no_other(journal: Journal, home: Path) -> None:
    whole = held(JournalReader(home))
    pack_all(journal)
    journal.close()
    path = home / seg.segment_name(0)
    raw = path.read_bytes()
    spans = set()
    for at in range(seg.HEADER_BYTES + 12, len(raw), 3):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x04]) + raw[at + 1 :])
        told: list[Damage] = []
        read = [b.lsn for b in JournalReader(home).read(on_damage=told.append)]
        assert len(told) == 1
        assert read == [lsn for lsn, end, _ in whole if end <= told[0].lsn or lsn >= told[0].resume]
        spans.add((told[0].lsn, told[0].resume))
    assert len(spans) >= 4
    path.write_bytes(raw)
    assert held(JournalReader(home)) == whole


def test_a_damaged_segment_is_not_packed_and_those_behind_it_are(journal: Journal) -> None:
    path = journal.files.all[0].path
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    pack_all(journal)
    assert [segment.packed for segment in journal.files.all] == [False, True, False]


def test_a_segment_that_is_deleted_while_it_is_packed_stays_deleted(journal: Journal) -> None:
    path, behind = journal.files.all[0].path, journal.segments[1]

    def delete() -> None:
        journal.prune(behind, max_bytes=0)

    assert journal.files.pack_next(delete)
    assert not path.exists()


def test_a_log_whose_last_segment_is_packed_goes_on_in_a_new_one(journal: Journal, home: Path) -> None:
    pack_all(journal)
    end = journal.segments[-1]
    journal.close()
    (home / seg.segment_name(end)).unlink()  # power was lost before the directory knew of it
    with Journal.open(home)[0] as again:
        assert again.end_lsn == end
        assert again.append(frames(b"on")).lsn == end


def test_shedding_takes_the_frames_of_the_oldest_unread_segment_and_keeps_the_rest(
    journal: Journal, home: Path
) -> None:
    whole = held(JournalReader(home))
    middle, last = journal.segments[1:]

    assert journal.files.shed_next(whole[3][0]) == 20
    assert journal.files.shed_next(whole[3][0]) is None  # the last one is still written to

    batches = list(JournalReader(home).read())
    assert [b.lsn for b in batches] == [lsn for lsn, _, _ in whole if lsn <= middle or lsn >= last]
    (shed,) = [b for b in batches if b.lsn == middle]
    assert (shed.end, kinds(shed)) == (last, [("SHED", 7), ("TICK", 0)])
    assert json.loads(shed.payload(0))["frames"] == 20
    with pytest.raises(JournalError, match="given up"):
        seg.read_batches(home / seg.segment_name(middle), middle, middle + 900, last)


def test_a_segment_that_is_shed_while_it_is_packed_stays_shed(journal: Journal, home: Path) -> None:
    def shed() -> None:
        journal.files.shed_next(0)  # the first time it takes this one, then the next

    assert journal.files.pack_next(shed)

    assert [kinds(b)[0] for b in JournalReader(home).read()][:2] == [("SHED", 7), ("SHED", 7)]
    assert [p.name for p in home.glob("*.new")] == []


def test_a_segment_can_be_shed_after_it_was_packed(journal: Journal) -> None:
    pack_all(journal)
    assert journal.files.shed_next(0) == 20
    assert kinds(next(iter(journal.read(0)))) == [("SHED", 7), ("TICK", 0)]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("which", [0, 9, 12, 29])
def test_a_quarantined_batch_loses_its_frames_only_and_a_copy_of_it_is_kept(
    journal: Journal, home: Path, which: int, *, packed: bool
) -> None:
    if packed:
        pack_all(journal)
    whole = held(JournalReader(home))
    lsn, end, records = whole[which]

    copy = journal.quarantine(lsn, "a test")

    assert held(JournalReader(copy.parent)) == [(lsn, end, records)]
    now = held(JournalReader(home))
    assert [(a, b) for a, b, _ in now] == [(a, b) for a, b, _ in whole]
    assert [n for n in range(30) if now[n] != whole[n]] == [which]
    assert [r.kind for r in now[which][2]] == [Kind.QUARANTINE, Kind.TICK]
    pack_all(journal)
    assert held(JournalReader(home)) == now
    shutil.rmtree(home / "quarantine")

    journal.quarantine(lsn, "still")  # not its frames were to blame

    assert [(r.kind, r.stream_id) for r in held(JournalReader(home))[which][2]] == [(Kind.QUARANTINE, 0)]
    assert journal.append(frames(b"on")).lsn == end if which == 29 else True
