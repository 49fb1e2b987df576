"""What stays of batches whose frames are given up: the records that say so, and all others.

Frames can be shed to make room, or quarantined because no process survives them. What opens,
subscribes and ends streams stays where it was, so everything behind it can still be decoded.
"""

from collections.abc import Iterable

from mdingest.core.control import Lost, encode
from mdingest.core.records import Batch, Kind, Record


def without_frames(batches: Iterable[Batch], kind: Kind, why: str = "") -> tuple[list[Record], int]:
    """The records of batches, a ``kind`` in place of each stream's frames; how many those were.

    Each stands where the first of its frames stood and has the stamps of the last. Of TICK
    only the last is kept.
    """
    kept: list[Record] = []
    open_: dict[int, tuple[int, int]] = {}  # stream: place in kept, frames
    ticks: list[int] = []
    total = 0
    for record in (record for batch in batches for record in batch.records()):
        if record.kind is Kind.FRAME:
            total += 1
            place, frames = open_.get(record.stream_id, (len(kept), 0))
            open_[record.stream_id] = (place, frames + 1)
            lost = record._replace(kind=kind, payload=encode(Lost(frames + 1, why)))
            kept[place : place + 1] = [lost]
            continue
        if record.kind is Kind.TICK:
            ticks.append(len(kept))
        elif record.stream_id == 0:
            open_.clear()
        else:
            open_.pop(record.stream_id, None)
        kept.append(record)
    for place in reversed(ticks[:-1]):
        del kept[place]
    return kept, total
