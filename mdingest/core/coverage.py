"""What one feed heard of each instrument, and what it missed.

Coverage is the positive record: from an instrument's snapshot to the last frame before its
stream ended. Everything between two uptimes is a gap. Bounds are feed-clock times, rounded
to whole seconds so that coverage never claims too much.
"""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.columns import Columns
from mdingest.core.events import (
    COVERAGE,
    GAP,
    MARK,
    NO_COVERAGE,
    NO_GAPS,
    NO_MARKS,
    OPEN_END,
    Cause,
    Coverage,
    Gaps,
    Marks,
)
from mdingest.core.session import SessionTable
from mdingest.core.units import MINUTE_NS, NS

PROVEN = _LONG_AGO = -(1 << 62)

UPTIME_COLUMNS: dict[str, int | float | bool] = {
    "instrument": 0,
    "up_lines": 0,  # streams that carry it right now
    "up_start": -1,  # ns; -1 down
    "up_mono": 0,  # monotonic ns when it began; `PROVEN` where no clock was needed to tell when
    "up_passed": np.nan,  # units traded unseen before it
    "up_stream": 0,  # the stream its coverage leans on
    "up_end": -1,  # ns, how far the streams that ended since were heard
    "covered_until": -1,  # ns, end of the last uptime; -1 never up
    "cause": int(Cause.START),  # of the gap that lasts, or begins next
    "open_gap": False,  # an open-ended gap row was published
    "gap_end": OPEN_END,  # end of its latest gap: what begins later is complete
    "gaps": 0,  # how many are remembered, and the bounds of one of them
    "gap_from": 0,
    "gap_to": 0,
}


class CoverageLog:
    """Uptimes and gaps of one feed; rows pile up until `take`."""

    def __init__(self, slots: Columns, source: int) -> None:
        self._slots = slots
        self._source = source
        self._recent: defaultdict[int, list[list[int]]] = defaultdict(list)  # slot: gaps not yet irrelevant
        self._passed: dict[int, dict[int, float]] = {}  # slot: by cause, units of empty gaps at its end
        self._tidied = _LONG_AGO
        self._coverage: list[tuple[int, ...]] = []
        self._gaps: list[tuple[float, ...]] = []
        self._marks: list[tuple[int, ...]] = []

    def begin(
        self, slot: int, start: int, mono: int, passed: float, table: SessionTable | None, stream: int
    ) -> None:
        """An uptime begins at ``start``; ``passed`` units were traded unseen (NaN unknown).

        ``mono`` is when it was found to begin, or `PROVEN`.
        """
        c = self._slots
        covered = int(c["covered_until"][slot])
        start = max(start, covered)
        since = covered if covered >= 0 else _first_session(table, start)
        opened = bool(c["open_gap"][slot])
        cause = int(c["cause"][slot])
        total = passed + self._passed.get(slot, {}).get(cause, 0.0)
        if since is not None and (since < start or opened):
            self.gap(slot, Cause(cause), since, start, total, remember=False)
            if start > since:
                self._passed.pop(slot, None)
            elif total > 0:  # False for NaN. The next gap may have this one's start, and so its key
                self._passed.setdefault(slot, {})[cause] = total
        gaps = self._recent[slot]
        if gaps and gaps[-1][1] == OPEN_END:
            gaps.pop()
        if covered < start:
            gaps.append([covered if covered >= 0 else _LONG_AGO, start])
            gaps.sort(key=lambda gap: gap[1])
        self._counted(slot)
        c["gap_end"][slot] = max((gap[1] for gap in gaps), default=start)
        c["up_start"][slot] = c["up_end"][slot] = start
        c["up_mono"][slot], c["up_passed"][slot], c["up_stream"][slot] = mono, total, stream
        c["open_gap"][slot] = False
        self._coverage.append((int(c["instrument"][slot]), self._source, stream, start, OPEN_END))

    def postpone(self, slot: int, start: int, table: SessionTable | None) -> None:
        """The uptime began only at ``start``: the clock that said otherwise was slow."""
        c = self._slots
        before, instrument, stream = (int(c[name][slot]) for name in ("up_start", "instrument", "up_stream"))
        self._coverage.append((instrument, self._source, stream, before, before))
        self._coverage.append((instrument, self._source, stream, start, OPEN_END))
        c["up_start"][slot] = c["up_end"][slot] = start
        covered = int(c["covered_until"][slot])
        since = covered if covered >= 0 else _first_session(table, start)
        if since is not None:
            self.gap(
                slot, Cause(int(c["cause"][slot])), since, start, float(c["up_passed"][slot]), remember=False
            )
        self._remember(slot, covered if covered >= 0 else _LONG_AGO, start)
        self.mark(slot, before, start, partial=True)
        self._passed.pop(slot, None)

    def reach(self, slot: int, at: int) -> None:
        """One of its streams ended, heard up to ``at``."""
        self._slots["up_end"][slot] = max(int(self._slots["up_end"][slot]), at)

    def carry(self, slot: int, stream: int) -> None:
        """The uptime goes on, on another stream."""
        c = self._slots
        start, instrument = int(c["up_start"][slot]), int(c["instrument"][slot])
        c["up_stream"][slot] = stream
        self._coverage.append((instrument, self._source, stream, start, OPEN_END))

    def end(self, slot: int, cause: Cause, stream: int, closing: int) -> None:
        """The uptime ends where it reached. Every cause but UNSUBSCRIBED leaves an open gap.

        ``closing`` is where the feed closes candles by now: rows up to there may be in the
        store, or share a transaction with this, and are marked; later ones know by themselves.
        """
        c = self._slots
        start, instrument = int(c["up_start"][slot]), int(c["instrument"][slot])
        # An uptime too short to hold a second is closed as empty, so that no row stays open.
        until = int(c["up_end"][slot])
        self._coverage.append((instrument, self._source, stream, start, until))
        if until > start:
            self._passed.pop(slot, None)
        c["covered_until"][slot] = until
        c["up_start"][slot] = -1
        c["cause"][slot] = cause
        # What the mark may meet, and what has movers already, stays in doubt even if the gap
        # turns out to be empty: a row must not depend on when it was published.
        # Of a row that reaches beyond the end and has movers before it, that holds as well: for
        # this the range may end before it begins.
        self._recent[slot] += [[until, max(closing, (int(c["top"][slot]) + 1) * NS)], [until, OPEN_END]]
        self._recent[slot].sort(key=lambda gap: gap[1])
        self._counted(slot)
        c["gap_end"][slot] = OPEN_END
        if cause is not Cause.UNSUBSCRIBED:
            c["open_gap"][slot] = True
            self.gap(slot, cause, until, OPEN_END, np.nan, remember=False)
        if until < closing:
            self.mark(slot, until, closing, partial=True)

    def gap(
        self, slot: int, cause: Cause, start: int, end: int, volume: float, *, remember: bool = True
    ) -> None:
        """Publish a gap; ``remember`` makes later candles that overlap it partial."""
        self._gaps.append(
            (int(self._slots["instrument"][slot]), self._source, int(cause), start, end, volume)
        )
        if remember:
            self._remember(slot, start, end)

    def _remember(self, slot: int, start: int, end: int) -> None:
        """One gap in place of those it touches: a flood of damage tells of one again and again."""
        left = []
        for low, high in self._recent[slot]:
            if low <= high < OPEN_END and low <= end and start <= high:
                start, end = min(start, low), max(end, high)
            else:
                left.append([low, high])
        # An open gap stays the last of the list: `begin` closes that one.
        self._recent[slot] = sorted([*left, [start, end]], key=lambda gap: gap[1])
        self._counted(slot)
        self._slots["gap_end"][slot] = max(int(self._slots["gap_end"][slot]), end)

    def mark(self, slot: int, start: int, end: int, *, partial: bool = False, flags: int = 0) -> None:
        """Publish a change to stored rows that overlap the range."""
        instrument = int(self._slots["instrument"][slot])
        self._marks.append((instrument, self._source, int(partial), flags, start, end))

    def doubt(self, slot: int, cause: Cause, start: int, end: int, volume: float) -> None:
        """A gap in what is heard, that ended by now: candles of it are partial, stored or to come."""
        self.gap(slot, cause, start, end, volume)
        self.mark(slot, start, end, partial=True)

    def partial(self, slots: NDArray[np.int64], ts: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
        """Which candles ``[ts, ts + length)`` overlap a gap. ``slots`` isn't empty."""
        if int(ts.min()) >= int(self._slots["gap_end"][: self._slots.n].max()):
            return np.zeros(len(ts), np.bool_)
        doubt: NDArray[np.bool_] = ts < self._slots["gap_end"][slots]
        gaps = self._slots["gaps"][slots]
        several = np.flatnonzero(doubt & (gaps > 1))
        doubt &= gaps > 0
        doubt &= (self._slots["gap_from"][slots] < ts + length) & (ts < self._slots["gap_to"][slots])
        for i in several.tolist():
            slot, start = int(slots[i]), int(ts[i])
            doubt[i] = any(low < start + length and start < high for low, high in self._recent[slot])
        return doubt

    def _counted(self, slot: int) -> None:
        """What `partial` can ask of many at once: most have one gap, the one before their snapshot."""
        gaps = self._recent.get(slot, [])
        self._slots["gaps"][slot] = len(gaps)
        if gaps:
            self._slots["gap_from"][slot], self._slots["gap_to"][slot] = gaps[0]

    def forget(self, horizon: int) -> None:
        """Gaps that ended before it can't touch a candle any more. Looks once a minute."""
        if horizon < self._tidied + MINUTE_NS:
            return
        self._tidied = horizon
        for slot in [s for s, gaps in self._recent.items() if not gaps or gaps[0][1] < horizon]:
            left = [gap for gap in self._recent[slot] if gap[1] >= horizon]
            if left:
                self._recent[slot] = left
            else:
                del self._recent[slot]
            self._counted(slot)

    def take(self) -> tuple[Marks, Coverage, Gaps]:
        """What piled up since the last call, in order."""
        if not (self._marks or self._coverage or self._gaps):
            return NO_MARKS, NO_COVERAGE, NO_GAPS
        out = (
            Marks(np.array(self._marks, MARK)),
            Coverage(np.array(self._coverage, COVERAGE)),
            Gaps(np.array(self._gaps, GAP)),
        )
        self._marks, self._coverage, self._gaps = [], [], []
        return out

    def dump(self) -> list[Any]:
        """The remembered gaps as JSON; the rest lives in the slot columns."""
        passed = [[slot, list(by_cause.items())] for slot, by_cause in self._passed.items()]
        return [list(self._recent.items()), passed]

    def load(self, saved: list[Any]) -> None:
        """Take over what `dump` gave."""
        recent, passed = saved
        self._recent = defaultdict(list, dict(recent))
        self._passed = {slot: dict(by_cause) for slot, by_cause in passed}


def _first_session(table: SessionTable | None, at: int) -> int | None:
    """Start of the first session of the trade date of ``at``, if it has begun by then."""
    day = table.day_of(at) if table is not None else None
    if day is None or not day.windows or day.windows[0].start_ns > at:
        return None
    return day.windows[0].start_ns
