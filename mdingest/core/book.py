"""The candles of one feed that may still change: 1s from movers, 1m from their 1s.

Folding is lazy. Since merging is associative, the movers of a second just wait in a list until
the feed's clock closes it, and are then folded all at once.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.candles import PIECE, Movers, Pieces, fold, merge_into
from mdingest.core.rows import distinct, joined, take
from mdingest.core.units import MINUTE_NS, NS

_NEVER = -(1 << 62)


def no_pieces() -> Pieces:
    """None."""
    return Pieces(np.empty(0, PIECE))


class Book:
    """Movers in, rows to publish out. Seconds and minutes are counted from the epoch.

    ``closed`` is the first second that has not been published. Published seconds and
    minutes are kept for as long as they may be revised.
    """

    def __init__(self) -> None:
        self.closed = _NEVER
        self._pending: dict[int, list[Movers]] = {}  # by second, each in arrival order
        self._seconds: dict[int, Pieces] = {}  # published, sorted by slot
        self._minutes: dict[int, Pieces] = {}  # row i is slot i; trades 0 is empty
        self._flags: dict[tuple[int, int], int] = {}  # (slot, second) not yet folded: bits

    @property
    def forming(self) -> bool:
        """Whether anything waits to be published."""
        return bool(self._pending) or any(m * 60 + 60 > self.closed for m in self._minutes)

    def add(self, movers: Movers) -> None:
        """Take movers in arrival order; they become this book's."""
        event = movers.event
        if not len(event):
            return
        first, last = int(event.min()) // NS, int(event.max()) // NS
        if first == last:
            self._pending.setdefault(first, []).append(movers)
            return
        seconds = event // NS
        for second in (first, last) if last == first + 1 else distinct(seconds).tolist():
            part = movers.take(np.flatnonzero(seconds == second))
            self._pending.setdefault(second, []).append(part)

    def flag(self, slot: int, second: int, bits: int) -> None:
        """Add flag bits to a second that has movers, and to its minute."""
        key = (slot, second)
        self._flags[key] = self._flags.get(key, 0) | bits  # for movers that still wait
        if second >= self.closed:
            return
        rows = self._seconds.get(second)
        if rows is not None:
            rows["flags"][rows["slot"] == slot] |= bits
        minute = self._minutes.get(second // 60)
        if minute is not None and slot < len(minute) and minute["trades"][slot]:
            minute["flags"][slot] |= bits

    def close(self, limit_ns: int, keep_ns: int, slots: int) -> tuple[Pieces, Pieces]:
        """Publish what ends at or before ``limit_ns``: 1s and 1m pieces, sorted by time and slot.

        Rows published before and changed since come again, their ``revision`` one higher.
        Rows that ended more than ``keep_ns`` before the limit are forgotten. ``slots`` is
        how many there are.
        """
        before, until = self.closed, max(self.closed, limit_ns // NS)
        self.closed = until
        ending = sorted(second for second in self._pending if second < until)
        if ending:
            rows, minutes = self._publish(before, ending, slots)
        else:
            rows, minutes = no_pieces(), self._close_minutes({}, before)
        self._flags = {key: bits for key, bits in self._flags.items() if key[1] >= until}
        if until > before:
            self._forget(limit_ns - keep_ns)
        return rows, minutes

    def _publish(self, before: int, ending: list[int], slots: int) -> tuple[Pieces, Pieces]:
        out: list[Pieces] = []
        touched: dict[int, dict[int, bool]] = {}  # slots of published minutes: were they there before
        for second in ending:
            part = fold(Movers.joined(self._pending.pop(second)), NS)
            for (slot, flagged), bits in self._flags.items():
                if flagged == second:
                    part["flags"][part["slot"] == slot] |= bits
            out.append(self._keep(second, part, before))
            minute = second // 60
            book = self._minute(minute, slots)
            if minute * 60 + 60 <= before:
                was = book["trades"][part["slot"]] > 0
                first = touched.setdefault(minute, {})
                for slot, existed in zip(part["slot"].tolist(), was.tolist(), strict=True):
                    first.setdefault(slot, existed)
            merge_into(book, part["slot"], part)
            book["ts"][part["slot"]] = minute * MINUTE_NS
        return Pieces(joined(out)), self._close_minutes(touched, before)

    def _keep(self, second: int, part: Pieces, before: int) -> Pieces:
        """Remember a second's rows; the rows as they are now, to be read only."""
        kept = self._seconds.get(second)
        if kept is None or second >= before:
            self._seconds[second] = part
            return part
        at = np.searchsorted(kept["slot"], part["slot"])
        found = (at < len(kept)) & (kept["slot"][np.minimum(at, len(kept) - 1)] == part["slot"])
        merge_into(kept, at[found], Pieces(part[found]))
        _revise(kept, at[found])
        kept = Pieces(np.insert(kept, at[~found], part[~found]))
        self._seconds[second] = kept
        return Pieces(kept[np.searchsorted(kept["slot"], part["slot"])])

    def _minute(self, minute: int, slots: int) -> Pieces:
        book = self._minutes.get(minute)
        if book is None or len(book) < slots:
            grown = np.zeros(slots, PIECE)
            if book is not None:
                grown[: len(book)] = book
            book = self._minutes[minute] = Pieces(grown)
        return book

    def _close_minutes(self, touched: Mapping[int, Mapping[int, bool]], before: int) -> Pieces:
        """Minutes that end now, and slots of published minutes that were touched."""
        out = []
        for minute in sorted(self._minutes):
            book = self._minutes[minute]
            end = minute * 60 + 60
            if before < end <= self.closed:
                out.append(Pieces(take(book, book["trades"] > 0)))
            elif minute in touched:
                at = np.array(sorted(touched[minute]), np.int64)
                _revise(book, at[[touched[minute][int(slot)] for slot in at]])
                out.append(Pieces(take(book, at)))
        return Pieces(joined(out)) if out else no_pieces()

    def _forget(self, horizon_ns: int) -> None:
        for second in [s for s in self._seconds if (s + 1) * NS < horizon_ns]:
            del self._seconds[second]
        for minute in [m for m in self._minutes if (m + 1) * MINUTE_NS < horizon_ns]:
            del self._minutes[minute]

    def peek(self, slots: int) -> tuple[Pieces, Pieces]:
        """Copies of what is forming: 1s and 1m pieces. Changes nothing."""
        seconds = fold(self._waiting(), NS)
        minutes = {m: book.copy() for m, book in self._minutes.items() if m * 60 + 60 > self.closed}
        for second in distinct(seconds["ts"]).tolist():
            part = Pieces(seconds[seconds["ts"] == second].copy())
            part["ts"] = second // MINUTE_NS * MINUTE_NS
            empty = np.zeros(slots, PIECE)
            book = Pieces(minutes.get(second // MINUTE_NS, empty))
            book = Pieces(joined((book, empty[len(book) :])))
            minutes[second // MINUTE_NS] = book
            merge_into(book, part["slot"], part)
        rows = [book[book["trades"] > 0] for _, book in sorted(minutes.items())]
        fresh = Pieces(seconds[seconds["ts"] >= self.closed * NS]) if len(seconds) else seconds
        return fresh, Pieces(joined(rows)) if rows else no_pieces()

    def _waiting(self) -> Movers:
        """All movers of seconds that have not been closed, by second."""
        parts = [part for _, movers in sorted(self._pending.items()) for part in movers]
        return Movers.joined(parts) if parts else Movers.of(())

    def dump(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """All of it as JSON values and arrays, for the state file."""
        plain = {
            "closed": self.closed,
            "seconds": sorted(self._seconds),
            "minutes": sorted(self._minutes),
            "flags": [[slot, second, bits] for (slot, second), bits in self._flags.items()],
        }
        arrays: dict[str, NDArray[Any]] = {
            f"pending.{name}": column for name, column in self._waiting()._asdict().items()
        }
        arrays |= {f"second.{s}": rows for s, rows in self._seconds.items()}
        arrays |= {f"minute.{m}": rows for m, rows in self._minutes.items()}
        return plain, arrays

    def load(self, plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `dump` gave; the arrays become this book's."""
        self.closed = plain["closed"]
        self._pending = {}
        self.add(Movers(*(arrays[f"pending.{name}"] for name in Movers._fields)))
        self._seconds = {s: Pieces(arrays[f"second.{s}"]) for s in plain["seconds"]}
        self._minutes = {m: Pieces(arrays[f"minute.{m}"]) for m in plain["minutes"]}
        self._flags = {(slot, second): bits for slot, second, bits in plain["flags"]}


def _revise(rows: Pieces, at: NDArray[np.int64]) -> None:
    rows["revision"][at] += 1
