"""A peer that sends nothing but damage must not cost more than it is worth."""

from mdingest.core.machine import Machine
from tests.support.tapes import KITE, Tape, subscription


def test_a_flood_of_damaged_frames_publishes_its_gap_once() -> None:
    tape, machine = Tape(), Machine()
    machine.step(*tape.start().connect(1, KITE, *(subscription(n) for n in range(1, 51))).take())
    gaps = [len(machine.step(*tape.frame(1, bad=True).take()).gaps) for _ in range(30)]
    assert gaps == [50, *[0] * 29]
    gaps = [len(machine.step(*tape.wait(1).frame(1, bad=True).take()).gaps) for _ in range(2)]
    assert gaps == [50, 50], "it lasts longer now, which is news"
