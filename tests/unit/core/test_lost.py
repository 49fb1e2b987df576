import json

from mdingest.core.lost import without_frames
from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch


def batch(*rows: tuple[Kind, int], at: int = 0) -> Batch:
    records = [Record(kind, stream, at + n, at + n + 7, b"p") for n, (kind, stream) in enumerate(rows)]
    return decode_batch(memoryview(encode_batch(records, 0)), 0)


def test_frames_become_one_record_a_stream_and_what_describes_streams_stays_in_its_place() -> None:
    first = batch((Kind.FRAME, 1), (Kind.FRAME, 2), (Kind.TICK, 0), (Kind.FRAME, 1))
    second = batch(
        (Kind.DISCONNECT, 1), (Kind.CONNECT, 3), (Kind.FRAME, 3), (Kind.TICK, 0), (Kind.FRAME, 2), at=100
    )
    kept, frames = without_frames([first, second], Kind.SHED, "why")

    assert frames == 5
    assert [(r.kind, r.stream_id, r.wall_ns) for r in kept] == [
        (Kind.SHED, 1, 3),
        (Kind.SHED, 2, 104),
        (Kind.DISCONNECT, 1, 100),
        (Kind.CONNECT, 3, 101),
        (Kind.SHED, 3, 102),
        (Kind.TICK, 0, 103),
    ]
    assert [json.loads(r.payload)["frames"] for r in kept if r.kind is Kind.SHED] == [2, 2, 1]


def test_frames_after_what_changes_their_stream_are_told_anew() -> None:
    kept, _ = without_frames(
        [batch((Kind.FRAME, 1), (Kind.SUBSCRIBE, 1), (Kind.FRAME, 1), (Kind.START, 0), (Kind.FRAME, 1))],
        Kind.QUARANTINE,
    )
    assert [r.kind for r in kept] == [
        Kind.QUARANTINE,
        Kind.SUBSCRIBE,
        Kind.QUARANTINE,
        Kind.START,
        Kind.QUARANTINE,
    ]
