"""Reading a journal that another process owns, or nobody: `replay`, checks, tools."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path

from mdingest.core.records import Batch, Kind
from mdingest.errors import JournalError
from mdingest.pipeline import segments as seg
from mdingest.pipeline.segments import Damage, Segment
from mdingest.pipeline.tail import usable_segments


class JournalReader:
    """A journal read beside whoever writes it: no lock, nothing changed on disk.

    Raises JournalError if the directory holds no journal, or two.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        found = self._segments()
        if not found:
            raise JournalError(f"{directory} holds no journal")
        self.uuid = str(seg.one_journal(found))
        self.first_lsn = found[0].first

    def begins_with_a_start(self) -> bool:
        """Whether all that decoding needs is in what is kept: a process begins with it."""
        first = next(self.read(on_damage=lambda _: None), None)
        return first is None or bool((first.kinds == Kind.START).any())

    def lsn_at(self, wall_ns: int) -> int:
        """Where the first batch is that was heard at an instant or later; the end if there is none.

        Damage is stepped over. Wall clocks may step back: then an earlier batch may come behind.
        """
        segments = self._segments()
        later = bisect_left(segments, wall_ns, key=lambda segment: _begun_ns(segment, wall_ns))
        at = segments[max(0, later - 1)].first
        for batch in self.read(at, on_damage=lambda _: None):
            if int(batch.wall_ns[-1]) >= wall_ns:
                return batch.lsn
            at = batch.end
        return at

    def read(
        self, lsn: int | None = None, on_damage: Callable[[Damage], None] | None = None
    ) -> Iterator[Batch]:
        """From ``lsn`` (None: the oldest) to the last good batch, however far that is by then.

        Damage is reported and stepped over; without ``on_damage`` it raises JournalError. At
        the tail it never raises, since that may be a writer in the middle of a write.
        """
        found = self._segments()
        at = found[0].first if lsn is None and found else lsn or 0
        while True:
            chunk = seg.read_some(found, at, None)
            if chunk.batches:
                yield from chunk.batches
                at = chunk.resume
                continue
            now = self._segments()
            if now != found:  # rotated or pruned meanwhile: what looked like the end may not be it
                found = now
            elif chunk.damage is None:
                return
            elif chunk.damage.tail:
                if on_damage is not None:
                    on_damage(chunk.damage)
                return
            else:
                seg.report(chunk.damage, on_damage)
                at = chunk.resume

    def _segments(self) -> list[Segment]:
        return usable_segments(self._directory)[0]


def _begun_ns(segment: Segment, unknown: int) -> int:
    """Wall time of its first record; ``unknown`` if that can't be read."""
    try:
        (first, *_) = seg.read_batches(segment.path, segment.first, segment.first, segment.end())
    except JournalError:
        return unknown
    return int(first.wall_ns[0])
