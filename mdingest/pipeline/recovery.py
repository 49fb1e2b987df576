"""Where the aggregator takes up the log again after any kind of end.

The newest saved state at or below what the database has committed is loaded, and the loop
of `aggregate` steps on from there; events that are committed already are discarded. With no
usable state it starts at the oldest segment with an empty machine.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from mdingest.core.control import CandleSettings
from mdingest.core.machine import Machine
from mdingest.pipeline.decoding import BatchDecoder, unpack_state
from mdingest.pipeline.statefile import StateFiles
from mdingest.providers.base import FrameDecoder
from mdingest.store.base import Position

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """Step batches from ``start`` on; discard events of those that end at or below ``committed``.

    ``start`` may lie before the oldest batch there is: then the machine is to be told of a hole.
    """

    machine: Machine
    decoder: BatchDecoder
    start: int
    committed: int


def recover(
    states: StateFiles,
    *,
    first: int,
    end: int,
    position: Position | None,
    settings: CandleSettings,
    make_decoder: Callable[[str], FrameDecoder],
    across_a_hole: bool = False,
) -> Recovered:
    """``first`` and ``end`` bound the log; ``position`` is the database's, None if it has none.

    A position beyond the log (the journal lost its tail, the database did not) is no error:
    all that is left is stepped through, nothing of it is published again. ``across_a_hole``: a
    state from before ``first`` will do, if there is no later one. It knows which streams were
    open, so what follows on them is understood, although segments between were lost.
    """
    committed = 0 if position is None else position.lsn
    below = min(committed, end)
    while (found := states.load_newest(below)) is not None:
        decoder = BatchDecoder(make_decoder)
        try:
            machine = Machine.restore(unpack_state(found.payload, decoder))
        except (ValueError, KeyError, TypeError) as exc:
            # Another version wrote it: an older one, or none, gives the same state more slowly.
            log.warning("state.unusable", lsn=found.lsn, error=str(exc))
            below = found.lsn - 1
            continue
        if found.lsn < first and not across_a_hole:
            break
        log.info("recovery.begun", state_lsn=found.lsn, committed_lsn=committed, end_lsn=end)
        return Recovered(machine, decoder, found.lsn, committed)
    log.info("recovery.begun", state_lsn=None, first_lsn=first, committed_lsn=committed, end_lsn=end)
    return Recovered(Machine(settings), BatchDecoder(make_decoder), first, committed)
