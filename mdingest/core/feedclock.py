"""The clock of a feed: the greatest exchange time seen, carried on in silence.

Candles close by it, and lateness is judged by it, in arrival order. It never runs
backwards. A stamp that jumps ahead needs a witness: the wall clock, or other instruments.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdingest.core.units import NS

JUMP_NS = 5 * NS  # further ahead than this a stamp needs a witness
AGREE_NS = NS  # how near other instruments' stamps must be to bear witness
WITNESSES = 3
STEADY_NS = 60 * NS  # all that speak suffice, if for so long nobody confirmed the clock
FORGET_NS = 3_600 * NS  # clocks may run apart by a third of a second in it
CANDIDATES = 64  # remembered at most, the latest: three honest ones are soon among them
UNSET = -(1 << 62)  # in columns: the clock has no value yet


@dataclass(slots=True, eq=False)
class ClockRun:
    """The clock after each packet of a run (`UNSET` while it has no value), never falling.

    ``fresh`` and ``offset`` (anchor less monotonic anchor) serve to project from any packet.
    ``told`` is the exchange time in each packet, 0 or less for none and for snapshots.
    """

    clock: NDArray[np.int64]
    offset: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    told: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def newest(self, mask: NDArray[np.bool_] | None = None) -> int:
        """The greatest exchange time told, as far as the clock believes it; 0 if there is none."""
        told = np.minimum(self.told, self.clock)
        return int((told if mask is None else told[mask]).max(initial=0))

    def project(self, at: int, mono: int, wall: int) -> int:
        """Where the clock stood at a monotonic instant, after packet ``at`` and before the next."""
        clock = int(self.clock[at])
        if clock == UNSET:
            return wall
        shown = max(clock, int(self.offset[at]) + mono)
        return shown if self.fresh[at] else max(shown, wall)


class Candidate(NamedTuple):
    """What one instrument said last, and nobody believed yet. ns."""

    stamp: int
    mono: int  # when it said so
    since: int  # monotonic: its stamps have gone with that clock since then

    def agrees(self, stamp: int, mono: int) -> bool:
        """Whether another stamp lies as far from this one as the time that passed between them."""
        return abs((stamp - self.stamp) - (mono - self.mono)) <= AGREE_NS


@dataclass(slots=True, eq=False)
class FeedClock:
    """``value`` is None until something sets it. All UTC ns; ``anchor_mono`` monotonic ns."""

    value: int | None = None
    anchor_value: int = 0
    anchor_mono: int = 0
    fresh: bool = False  # set by the feed itself since this process began
    has_exchange: bool = False
    candidates: dict[int, Candidate] = field(default_factory=dict)  # by slot, the latest last

    def project(self, mono: int, wall: int) -> int:
        """Where the clock stands at a monotonic instant.

        The wall clock while it is unset; and not before the wall clock until this process
        has confirmed it, since nobody counted the time between two processes.
        """
        if self.value is None:
            return wall
        shown = max(self.value, self.anchor_value + mono - self.anchor_mono)
        return shown if self.fresh else max(shown, wall)

    def copy(self) -> "FeedClock":
        """As it stands now; the candidates stay shared."""
        return FeedClock(
            self.value, self.anchor_value, self.anchor_mono, self.fresh, self.has_exchange, self.candidates
        )

    def tick(self, mono: int) -> None:
        """A second of silence, or not: the monotonic clock carries it on."""
        if self.value is not None:
            self.value = max(self.value, self.anchor_value + mono - self.anchor_mono)

    def restart(self, mono: int) -> None:
        """A new process: monotonic stamps begin anew, and nothing is confirmed yet."""
        self.fresh = False
        self.candidates.clear()
        if self.value is not None:
            self.anchor_value, self.anchor_mono = self.value, mono

    def hear(self, stamp: int, slot: int, wall: int, mono: int, instruments: Callable[[], int]) -> None:
        """One packet that is no snapshot. ``stamp`` 0: it carries no exchange time.

        ``instruments`` counts those that any stream carries right now.
        """
        if not stamp:
            if self.has_exchange:
                return
            if self.value is None or not self.fresh:
                self._take(wall if self.value is None else max(self.value, wall), mono)
            else:
                self.tick(mono)
            return
        if self.value is not None and stamp <= self.value:
            return
        near = self.value is not None and stamp - self.value <= JUMP_NS
        if not (near or abs(stamp - wall) <= JUMP_NS or self._witnessed(stamp, slot, mono, instruments)):
            return
        if not near:
            self.candidates.clear()
        self.has_exchange = True
        self._take(stamp, mono)

    def _witnessed(self, stamp: int, slot: int, mono: int, instruments: Callable[[], int]) -> bool:
        """Whether enough instruments bear the stamp out, which is remembered if not.

        On a thin feed minutes may pass between them. Where few of many instruments speak at
        all, those that do are enough for a clock that nobody has confirmed, if none of them
        disagrees for a minute: else their candles would never close.
        """
        for other in [key for key, one in self.candidates.items() if mono - one.mono > FORGET_NS]:
            del self.candidates[other]
        before = self.candidates.pop(slot, None)
        since = before.since if before is not None and before.agrees(stamp, mono) else mono
        self.candidates[slot] = Candidate(stamp, mono, since)
        if len(self.candidates) > CANDIDATES:
            del self.candidates[next(iter(self.candidates))]
        agreeing = [one for one in self.candidates.values() if one.agrees(stamp, mono)]
        if len(agreeing) >= min(WITNESSES, instruments()):
            return True
        steady = mono - min(one.since for one in agreeing) >= STEADY_NS
        return steady and not self.fresh and len(agreeing) == len(self.candidates)

    def _take(self, value: int, mono: int) -> None:
        self.value = self.anchor_value = value
        self.anchor_mono = mono
        self.fresh = True

    def run(
        self,
        stamps: NDArray[np.int64],
        snapshot: NDArray[np.bool_],
        slots: NDArray[np.int64],
        wall: NDArray[np.int64],
        mono: NDArray[np.int64],
        instruments: Callable[[], int],
    ) -> ClockRun:
        """Take ``n`` packets in arrival order. Snapshots never set the clock."""
        fast = self._run_columns(stamps, snapshot, wall, mono) if self.value is not None else None
        if fast is not None:
            return fast
        clock = np.empty(len(stamps), np.int64)
        offset = np.empty(len(stamps), np.int64)
        fresh = np.empty(len(stamps), np.bool_)
        rows = zip(
            stamps.tolist(), snapshot.tolist(), slots.tolist(), wall.tolist(), mono.tolist(), strict=True
        )
        for i, (stamp, is_snapshot, slot, at, since) in enumerate(rows):
            if not is_snapshot:
                self.hear(stamp, slot, at, since, instruments)
            clock[i] = UNSET if self.value is None else self.value
            offset[i] = self.anchor_value - self.anchor_mono
            fresh[i] = self.fresh
        return ClockRun(clock, offset, fresh)

    def _run_columns(
        self,
        stamps: NDArray[np.int64],
        snapshot: NDArray[np.bool_],
        wall: NDArray[np.int64],
        mono: NDArray[np.int64],
    ) -> ClockRun | None:
        """The same for packets that need no witness but the wall clock; None if some do."""
        if self.value is None or not (self.has_exchange and self.fresh):
            return None
        fresh = np.ones(len(stamps), np.bool_)
        offset = np.full(len(stamps), self.anchor_value - self.anchor_mono)
        if int(stamps.max()) <= self.value:  # nearly always, where stamps are whole seconds
            return ClockRun(np.full(len(stamps), self.value), offset, fresh)
        heard = np.where(snapshot, 0, stamps) if snapshot.any() else stamps
        if int(heard[-1]) == int(heard.max()) <= self.value + JUMP_NS:
            first = int(np.argmax(heard > self.value))
            if int(heard[first]) == int(heard[-1]) > self.value:  # a new second, and that is all
                clock = np.full(len(stamps), self.value)
                clock[first:] = heard[first]
                self._take(int(heard[first]), int(mono[first]))
                offset[first:] = self.anchor_value - self.anchor_mono
                return ClockRun(clock, offset, fresh)
        clock = np.maximum.accumulate(np.maximum(heard, self.value))
        before = np.empty_like(clock)
        before[0] = self.value
        before[1:] = clock[:-1]
        grew = clock > before
        jumped = clock - before > JUMP_NS
        if jumped.any():
            if (np.abs(clock - wall)[jumped] > JUMP_NS).any():
                return None
            self.candidates.clear()
        at = np.maximum.accumulate(np.where(grew, np.arange(len(clock)), -1))
        offset = np.where(at >= 0, clock[at] - mono[at], offset)
        last = int(at[-1])
        if last >= 0:
            self._take(int(clock[last]), int(mono[last]))
        return ClockRun(clock, offset, fresh)

    def dump(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "candidates": list(self.candidates.items())}

    @classmethod
    def load(cls, plain: dict[str, Any]) -> "FeedClock":
        """The opposite of `dump`."""
        candidates = {slot: Candidate(*one) for slot, one in plain["candidates"]}
        return cls(**{**plain, "candidates": candidates})
