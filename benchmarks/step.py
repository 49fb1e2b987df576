"""Bytes to 1s and 1m candles, all rules, against what others build from the same bytes.

`Machine.step` is the heart of the daemon, of recovery and of replay alike: what it loses here
a restart after a crash takes longer, and a burst leaves the daemon further behind. Small
batches cost the same number of numpy calls as big ones; at low load that does not matter.

Others get the bytes through ``struct``, only the fields they need, and build their own
objects. None of them knows late packets, revisions, gaps, sessions or doubts.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.peers import PEERS, PlainCandles, packets_of, plain_python
from benchmarks.report import NOT_INSTALLED, Prepare, Row, at_least, main, rates
from benchmarks.traffic import NS, Tape, batches, kite_tape, opening
from mdingest.core.machine import Machine
from mdingest.core.records import Batch
from mdingest.pipeline.decoding import BatchDecoder
from mdingest.providers.kite.decoder import KiteDecoder

TITLE = "step: frames of 50 packets to 1s and 1m candles, packets per CPU second, 3,000 instruments"
_INSTRUMENTS = 3_000
_DEMANDED = {50: 0.0, 500: 1e6, 1_800: 1e6, 4_000: 1.5e6}  # packets a batch: packets a second
_RATIO = 10.0  # to the best of the others
_BEGUN = 12_000  # packets that a feed needs to get going: its clock, the first candles


def run(*, full: bool) -> list[Row]:
    """The table."""
    tape = kite_tape(instruments=_INSTRUMENTS, packets=400_000 if full else 120_000, per_frame=50)
    contenders: dict[str, Prepare] = {f"{size}": _ours(tape, size) for size in _DEMANDED if size > 50 or full}
    short = kite_tape(instruments=_INSTRUMENTS, packets=24_000, per_frame=50)
    contenders["50"] = _ours(short, 50)
    contenders["plain Python"] = _peer(plain_python, tape)
    absent = []
    for name, peer in PEERS.items():
        try:
            peer(short)
        except ImportError:
            absent.append(name)
        else:
            contenders[name] = _peer(peer, tape)
    _same(tape)
    found = rates(5 if full else 3, contenders)
    rows = []
    best = max((name for name in PEERS if name in found), key=lambda name: found[name], default=None)
    for size, demanded in _DEMANDED.items():
        what, ours = f"{size:,} packets a batch", found[f"{size}"]
        rows.append(at_least(what, ours, reference=("plain Python", found["plain Python"]), rate=demanded))
    for name in PEERS:
        if name in absent:
            rows.append(Row("4,000 packets a batch", "", f"{name}: {NOT_INSTALLED}"))
            continue
        ratio = _RATIO if name == best else 0.0
        ours = found["4000"]
        rows.append(at_least("4,000 packets a batch", ours, reference=(name, found[name]), ratio=ratio))
    return rows


def _peer(peer: Callable[[Tape], Callable[[], None]], tape: Tape) -> Prepare:
    def prepare() -> Callable[[], int]:
        feed = peer(tape)

        def work() -> int:
            feed()
            return tape.packets

        return work

    return prepare


def _ours(tape: Tape, size: int) -> Prepare:
    every = batches(tape, size)
    begun = round(_BEGUN / size)

    def prepare() -> Callable[[], int]:
        take = Stepped([*opening(tape), *every[:begun]])
        return lambda: take.all(every[begun:])

    return prepare


class Stepped:
    """Decoder and machine, opened. ``candles`` collects what they publish."""

    def __init__(self, first: list[Batch]) -> None:
        self.candles: list[np.ndarray] = []
        self._decoder = BatchDecoder(lambda _: KiteDecoder())
        self._machine = Machine()
        self.all(first)

    def all(self, rest: list[Batch]) -> int:
        """How many packets these batches held."""
        n = 0
        for batch in rest:
            understood = self._decoder.decode(batch)
            events = self._machine.step(batch, understood.packets)
            self.candles.append(events.candles)
            n += len(understood.packets)
        return n


def _same(tape: Tape) -> None:
    """Every 1s candle that both have closed is the same: a wrong answer is not worth timing."""
    ours, plain = Stepped(opening(tape)), PlainCandles()
    ours.all(batches(tape, 1_800))
    plain.take(packets_of(tape.snapshots))
    plain.take(packets_of(tape.frames))
    tokens = {int(sub.key): sub.instrument_id for sub in tape.subs}
    theirs = {(tokens[bar[0]], bar[1]): bar[2:] for bar in plain.closed}
    rows = np.concatenate(ours.candles)
    rows = rows[rows["interval_s"] == 1]
    compared = 0
    for row in rows:
        bar = theirs.get((int(row["instrument_id"]), int(row["ts"]) // NS))
        if bar is not None:
            assert bar == tuple(float(row[name]) for name in ("open", "high", "low", "close", "volume")), row
            compared += 1
    assert compared > len(rows) / 2


if __name__ == "__main__":
    main(TITLE, run)
