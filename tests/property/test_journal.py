"""The log as a whole: whatever was appended comes back, whatever happens to its tail or its reader."""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch, encoded
from mdingest.pipeline.channel import ChannelClosed
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.segments import Chunk
from mdingest.pipeline.source import BatchSource

records = st.builds(
    Record,
    st.sampled_from(Kind),
    st.integers(0, 2**32 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=200),
)
batches = st.lists(st.lists(records, min_size=1, max_size=5), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(rows=batches, segment_bytes=st.integers(1, 2_000), data=st.data())
def test_the_log_is_a_prefix_of_what_was_appended_wherever_its_end_is_cut_or_hurt(
    rows: list[list[Record]], segment_bytes: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "journal"
        with Journal.open(home, segment_bytes=segment_bytes)[0] as journal:
            lsns = [journal.append(batch).lsn for batch in rows]
        assert [list(b.records()) for b in JournalReader(home).read()] == rows

        last = max(home.glob("*.mdj"))
        raw = bytearray(last.read_bytes())
        at = data.draw(st.integers(36, len(raw)), label="from here on")
        junk = data.draw(st.binary(max_size=60), label="stands this")
        last.write_bytes(raw[:at] + junk)
        intact = sum(
            1 for batch, lsn in zip(rows, lsns, strict=True) if _end(batch, lsn) <= int(last.stem) + at - 36
        )

        with Journal.open(home, segment_bytes=segment_bytes)[0] as journal:
            survived = [list(b.records()) for b in journal.read(0)]
            assert survived in (rows[:intact], rows[: intact + 1])  # junk may equal what it replaced
            journal.append(rows[0])
        assert [list(b.records()) for b in JournalReader(home).read()] == [*survived, rows[0]]
        shutil.rmtree(home)


@given(st.lists(records, min_size=1, max_size=8), st.integers(0, 2**63 - 1))
def test_what_was_just_encoded_is_what_a_reader_decodes(rows: list[Record], lsn: int) -> None:
    raw = encode_batch(rows, lsn)
    just, read = encoded(raw, len(rows), lsn), decode_batch(memoryview(raw), lsn)
    assert (just.lsn, just.end) == (read.lsn, read.end)
    assert list(just.records()) == list(read.records()) == rows


def _end(batch: list[Record], lsn: int) -> int:
    return lsn + len(encode_batch(batch, lsn))


class Script:
    """A log in memory, given out in pieces of changing size, in a thread as the real one."""

    def __init__(self, piece_sizes: list[int]) -> None:
        self.batches: dict[int, Batch] = {}
        self.end_lsn = 0
        self._sizes = piece_sizes
        self._reads = 0

    def append(self, payload: int) -> Batch:
        raw = encode_batch([Record(Kind.FRAME, 1, 0, 0, bytes(payload))], self.end_lsn)
        batch = decode_batch(memoryview(raw), self.end_lsn)
        self.batches[batch.lsn] = batch
        self.end_lsn = batch.end
        return batch

    def read_some(self, lsn: int) -> Chunk:
        self._reads += 1
        piece: list[Batch] = []
        while lsn < self.end_lsn and len(piece) < self._sizes[self._reads % len(self._sizes)]:
            piece.append(self.batches[lsn])
            lsn = piece[-1].end
        return Chunk(piece, lsn)


class Player:
    """Moves a source and collects the addresses it gives out."""

    source: BatchSource

    def __init__(self, log: Script, payload: int) -> None:
        self.log = log
        self.payload = payload
        self.taken: list[int] = []
        self.waiting: asyncio.Task[Batch] | None = None

    async def play(self, moves: list[str], max_batches: int, max_bytes: int) -> list[int]:
        self.source = BatchSource(self.log, 0, max_batches=max_batches, max_bytes=max_bytes)
        for move in moves:
            if move == "publish":
                self.publish()
                assert self.source.depth <= max_batches
            elif self.waiting is not None:
                await self.finish()
            else:
                await getattr(self, move)()
        if self.waiting is not None:
            self.publish()
            await self.finish()
        self.source.close()
        with suppress(ChannelClosed):
            while True:
                self.taken.append((await self.source.next()).lsn)
        return self.taken

    def publish(self) -> None:
        self.source.publish(self.log.append(self.payload))

    async def finish(self) -> None:
        """Let a take that began earlier come to its end, if it can."""
        if self.waiting is not None and self.source.lag_bytes:
            self.taken.append((await self.waiting).lsn)
            self.waiting = None
        await asyncio.sleep(0)

    async def take(self) -> None:
        if self.source.lag_bytes:
            self.taken.append((await self.source.next()).lsn)

    async def begin(self) -> None:
        """What is published from here on falls into its waiting or reading."""
        self.waiting = asyncio.create_task(self.source.next())
        await asyncio.sleep(0)

    async def cancel(self) -> None:
        cancelled = asyncio.create_task(self.source.next())
        await asyncio.sleep(0)
        if not cancelled.cancel():  # it was quicker
            self.taken.append(cancelled.result().lsn)


moves = st.lists(st.sampled_from(["publish"] * 3 + ["take"] * 2 + ["begin", "cancel"]), max_size=60)


@settings(max_examples=300, deadline=None)
@given(
    before=st.integers(0, 6),
    moves=moves,
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    max_batches=st.integers(0, 4),
    max_bytes=st.integers(0, 400),
    payload=st.integers(0, 100),
)
def test_any_order_of_publishing_and_taking_with_any_room_yields_exactly_the_log(
    before: int, moves: list[str], sizes: list[int], max_batches: int, max_bytes: int, payload: int
) -> None:
    log = Script(sizes)
    for _ in range(before):
        log.append(payload)
    player = Player(log, payload)

    assert asyncio.run(player.play(moves, max_batches, max_bytes)) == sorted(log.batches)
