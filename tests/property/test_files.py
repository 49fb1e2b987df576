"""A log whose segments are packed, shed and quarantined in any order is still the same log."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mdingest.core.records import Batch, Kind, Record
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.reader import JournalReader

LOST = (Kind.SHED, Kind.QUARANTINE)
TOLD = (Kind.FRAME, Kind.TICK, *LOST)

rows = st.lists(
    st.builds(
        Record,
        st.sampled_from([Kind.FRAME, Kind.FRAME, Kind.FRAME, Kind.TICK, Kind.CONNECT, Kind.DISCONNECT]),
        st.integers(1, 3),
        st.integers(0, 1 << 40),
        st.integers(0, 1 << 40),
        st.binary(max_size=60),
    ),
    min_size=1,
    max_size=5,
)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("append"), rows),
        st.tuples(st.sampled_from(["rotate", "pack", "reopen"]), st.just([])),
        st.tuples(st.sampled_from(["shed", "quarantine"]), st.integers(0, 30)),
    ),
    min_size=8,
    max_size=40,
)


class Log:
    """A journal, and what was appended to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.journal = Journal.open(home)[0]
        self.appended: dict[int, list[Record]] = {}
        self.twice: set[int] = set()  # quarantined, with all that is in them

    def do(self, move: str, value: object) -> None:
        if move == "append":
            batch = self.journal.append(value)  # type: ignore[arg-type]
            self.appended[batch.lsn] = list(batch.records())
        elif move == "rotate":
            self.journal.rotate()
        elif move == "pack":
            self.journal.files.pack_next()
        elif move == "reopen":
            self.journal.close()
            self.journal = Journal.open(self.home)[0]
        elif self.appended:
            self._lose(move, int(str(value)))

    def _lose(self, move: str, which: int) -> None:
        readable = [batch.lsn for batch in self.journal.read(0)]
        lsn = readable[which % len(readable)]
        if move == "shed":
            self.journal.files.shed_next(lsn)
            return
        batch = next(self.journal.read(lsn))
        if (batch.kinds == Kind.QUARANTINE).any() or not (batch.kinds == Kind.FRAME).any():
            self.twice |= {one for one in self.appended if batch.lsn <= one < batch.end}
        self.journal.quarantine(lsn, "a test")

    def read(self) -> list[Batch]:
        return list(JournalReader(self.home).read())


@settings(max_examples=60, deadline=None)
@given(moves=moves)
def test_addresses_and_control_records_stay_and_frames_only_go(moves: list[tuple[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        log = Log(Path(name) / "journal")
        for move in moves:
            log.do(*move)
        read = log.read()
        log.journal.close()

    assert [b.end for b in read[:-1]] == [b.lsn for b in read[1:]]
    assert (read[-1].end if read else 0) == log.journal.end_lsn
    for batch in read:
        inside = [lsn for lsn in log.appended if batch.lsn <= lsn < batch.end]
        before = [record for lsn in inside for record in log.appended[lsn]]
        now = list(batch.records())
        if any(record.kind in LOST for record in now):
            if not log.twice & set(inside):
                assert [r for r in now if r.kind not in TOLD] == [r for r in before if r.kind not in TOLD]
            assert not any(record.kind is Kind.FRAME for record in now)
        else:
            assert now == before or not any(r.kind is Kind.FRAME for r in before)
