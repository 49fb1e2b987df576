"""A peer that sends nothing but damage must not cost more than it is worth."""

from mdingest.core.machine import Machine
from tests.support.tapes import KITE, S, Tape, packet, subscription


def test_a_flood_of_damaged_frames_publishes_its_gap_once() -> None:
    tape, machine = Tape(), Machine()
    machine.step(*tape.start().connect(1, KITE, *(subscription(n) for n in range(1, 51))).take())
    gaps = [len(machine.step(*tape.frame(1, bad=True).take()).gaps) for _ in range(30)]
    assert gaps == [50, *[0] * 29]
    gaps = [len(machine.step(*tape.wait(1).frame(1, bad=True).take()).gaps) for _ in range(2)]
    assert gaps == [50, 50], "it lasts longer now, which is news"


def test_a_flood_that_lasts_costs_no_more_each_second_than_at_its_begin() -> None:
    tape, machine = Tape(), Machine()
    machine.step(*tape.start().connect(1, KITE, subscription(1)).take())
    sizes, marked = [], []
    for second in range(1, 101):
        tape.at(second).frame(1, packet(1, t=second, x=second, price=100.0, volume=1000.0 + second), bad=True)
        events = machine.step(*tape.take())
        marked.append(int((events.marks["end"] - events.marks["start"]).max()))
        sizes.append(len(machine.state()))
    assert max(marked[1:]) <= 2 * S
    assert sizes[-1] < sizes[20] + 50
