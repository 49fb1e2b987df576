"""One feed: its instruments, its streams' lines, its clock, and packets becoming movers.

Most packets are plain: a line seen before, a volume that grows, a trade time that moves on,
all on one trade date. Those are handled as columns. Packets of an instrument of which any
in the run is not plain go one by one through `core.rules`; the two are proven equal.
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdingest.core.book import Book
from mdingest.core.candles import Movers
from mdingest.core.columns import Columns
from mdingest.core.control import CandleSettings, Subscription, VolumeKind
from mdingest.core.coverage import UPTIME_COLUMNS, CoverageLog
from mdingest.core.events import Cause
from mdingest.core.feedclock import JUMP_NS, ClockRun, FeedClock
from mdingest.core.plain import Plain
from mdingest.core.rank import BY_NAME
from mdingest.core.rows import distinct
from mdingest.core.rules import Moment, Rules, heard_from
from mdingest.core.saving import under
from mdingest.core.session import SessionTable
from mdingest.core.ticks import Packets
from mdingest.core.units import NS
from mdingest.core.volume import CUMULATIVE, NONE, TRADES, Packet

KINDS = {VolumeKind.CUMULATIVE: CUMULATIVE, VolumeKind.TRADES: TRADES, VolumeKind.NONE: NONE}

SLOT_COLUMNS: dict[str, int | float | bool] = {
    **UPTIME_COLUMNS,
    "class": 0,  # index into the machine's session classes
    "kind": CUMULATIVE,
    "volume": np.nan,  # baseline: the day's total at the last packet
    "date": -1,  # trade date of the baseline, days since 1970; -1 none
    "day_start": 0,  # ns, bounds of that date
    "day_end": 0,
    "trade": 0,  # ns, last trade time
    "exchange": 0,  # ns, last exchange time
    "price": np.nan,  # last price, for feeds that give no times
    "event": 0,  # ns, event time of the last packet
    "mover": -1,  # second of the last mover, in arrival order
    "top": -1,  # latest second that has a mover
    "late": -1,  # second of the last mover that came too late
    "late_volume": np.nan,  # units of all that came too late for that second
    "trade_id": -1,
    "fall_n": 0,  # smaller volumes in a row, see Rules
    "fall_mono": 0,
    "fall_volume": np.nan,
}
LINE_COLUMNS: dict[str, int | float | bool] = {
    "slot": -1,
    "seen": False,
    "high": np.nan,  # day's extremes in the line's previous packet
    "low": np.nan,
    "event": 0,  # ns, event time of the line's previous packet
    "subscribed": 0,  # ns of the SUBSCRIBE record, or of a SILENCE since, see `latest`
    "doubt": 0,  # ns; a damaged frame at this time may have held what the next packet tells
    "doubt_end": 0,
    "stream": 0,
}


class Feed:
    """State of one feed. ``tables`` is the machine's list of session tables, shared."""

    def __init__(self, name: str, settings: CandleSettings, tables: list[SessionTable | None]) -> None:
        self.name = name
        self.source = BY_NAME[name].id
        self.clock = FeedClock()
        self.before = FeedClock()  # as `clock` stood before the last run of packets
        self.slots = Columns(SLOT_COLUMNS)
        self.lines = Columns(LINE_COLUMNS)
        self.log = CoverageLog(self.slots, self.source)
        self.book = Book()
        self.tables = tables
        self.slot_of: dict[int, int] = {}  # instrument id to slot
        self.free_lines: list[int] = []
        self.counts: Counter[str] = Counter()
        self.doubtful = False  # some line is in doubt
        self.cumulative = True  # every instrument's volume is the day's total
        self.shared = False  # some instrument is on several lines
        self._surveyed = True  # the last two are up to date
        self.lateness_ns = round(settings.lateness_s * NS)
        self.revise_ns = round(settings.revise_s * NS)
        self.rules = Rules(self)

    def restart(self, mono: int) -> None:
        """A new process: nothing monotonic can be compared with what comes."""
        self.clock.restart(mono)
        self.slots["fall_n"][: self.slots.n] = 0

    def latest(self, wall: int, mono: int) -> int:
        """What time it is at most, as far as the wall clock and the feed's own can tell.

        Either may be slow: the one is set wrong, the other stands while the machine is suspended.
        A trade that either calls old is not taken for one since a SUBSCRIBE.
        """
        return max(wall, self.clock.project(mono, wall))

    def subscribe(self, sub: Subscription, class_index: int, wall: int, mono: int, stream: int) -> int:
        """A new line for an instrument; its index."""
        slot = self.slot_of.get(sub.instrument_id)
        if slot is None:
            slot = self.slot_of[sub.instrument_id] = self.slots.add()
            self.slots["instrument"][slot] = sub.instrument_id
        self.slots["class"][slot] = class_index
        self.slots["kind"][slot] = KINDS[sub.volume]
        line = self.free_lines.pop() if self.free_lines else self.lines.add()
        self.lines.reset(line)
        self.lines["slot"][line] = slot
        self.lines["subscribed"][line] = self.latest(wall, mono)
        self.lines["stream"][line] = stream
        self._surveyed = False
        return line

    def end_lines(self, lines: list[int], at: int, cause: Cause, *, stored_until: int = 0) -> None:
        """These lines say nothing more from feed-clock time ``at`` on, or begin with a snapshot.

        Rows may be stored up to where the feed closes candles by now, or to ``stored_until``.
        """
        clock = self.clock.value
        closing = -1 if clock is None else (max(clock, stored_until) - self.lateness_ns) // NS * NS
        for line in lines:
            if not self.lines["seen"][line]:
                continue
            slot = int(self.lines["slot"][line])
            self.lines["seen"][line] = False
            self.lines["doubt"][line] = 0
            self.slots["up_lines"][slot] -= 1
            self.log.reach(slot, at // NS * NS)
            if self.slots["up_lines"][slot]:
                others = (self.lines["slot"] == slot) & self.lines["seen"]
                self.log.carry(slot, int(self.lines["stream"][others].min()))
            else:
                self.log.end(slot, cause, int(self.lines["stream"][line]), closing)

    def free(self, lines: list[int]) -> None:
        """These lines may stand for other instruments from now on."""
        for line in lines:
            self.lines.reset(line)
        self.free_lines.extend(lines)
        self._surveyed = False

    def damage(self, lines: list[int], start: int, end: int, *, told: int) -> None:
        """A frame that could not be read may have held a packet of any of these lines.

        Its trade would show in the volume of the line's next packet, perhaps of a later
        second: until then the line is in doubt (see `core.rules`). ``told``: up to where the
        gap was published before, for an earlier frame of a flood.
        """
        self.counts["undecodable"] += 1
        heard = np.array(lines, np.int64)
        heard = heard[self.lines["seen"][heard]]
        heard = heard[self.slots["kind"][self.lines["slot"][heard]] != TRADES]
        self.lines["doubt"][heard], self.lines["doubt_end"][heard] = start, end
        self.doubtful |= bool(len(heard))
        for slot in self.lines["slot"][lines].tolist() if told < end else []:
            self.log.gap(slot, Cause.UNDECODABLE, start, end, np.nan)
            self.log.mark(
                slot, told, end, partial=True
            )  # a flood that lasts must not mark all of itself again

    def table(self, slot: int) -> SessionTable | None:
        """The session table of an instrument."""
        return self.tables[int(self.slots["class"][slot])]

    def late(self, slot: int, second: int, size: float) -> None:
        """A mover whose bucket can't change any more: a gap of one second.

        Late trades come in bursts; those of one second add up.
        """
        self.counts["late"] += 1
        if second == self.slots["late"][slot]:
            size += float(self.slots["late_volume"][slot])
        self.slots["late"][slot], self.slots["late_volume"][slot] = second, size
        self.log.doubt(slot, Cause.LATE, second * NS, (second + 1) * NS, size)

    def packets(
        self, rows: Packets, lines: NDArray[np.int64], wall: NDArray[np.int64], mono: NDArray[np.int64]
    ) -> ClockRun:
        """``n`` packets of this feed in arrival order, with the line and stamps of each."""
        if not self._surveyed:
            self._survey()
        slots = self.lines["slot"][lines]
        trade = np.ascontiguousarray(rows["ts_trade"])
        exchange = np.ascontiguousarray(rows["ts_exchange"])
        seen = self.lines["seen"][lines]
        snapshot = np.zeros(len(rows), np.bool_)
        if not seen.all():
            at = np.flatnonzero(~seen)
            kind = self.slots["kind"][slots[at]]
            begins = at[(kind != CUMULATIVE) | ~np.isnan(rows["volume"][at])]
            begun, first = np.unique(lines[begins], return_index=True)
            until = np.full(self.lines.n, len(rows))  # the packet with which a line begins
            until[begun] = begins[first]
            snapshot[at] = (kind != TRADES) & (at <= until[lines[at]])
        stamps = exchange if int(exchange.min()) > 0 else np.where(exchange > 0, exchange, trade)
        self.before = self.clock.copy()
        run = self.clock.run(stamps, snapshot, slots, wall, mono, self._subscribed)
        run.told = exchange if seen.all() else np.where(snapshot, 0, exchange)
        rare = ~seen
        if int(trade.min()) <= 0:
            rare |= trade <= 0
        if max(int(trade.max()), int(exchange.max())) > int(run.clock[0]) + JUMP_NS:
            rare |= np.maximum(trade, exchange) > np.maximum(run.clock, wall) + JUMP_NS
        rare |= np.isnan(rows["price"])
        if not self.cumulative:
            rare |= self.slots["kind"][slots] == NONE
        if self.doubtful:
            rare |= self.lines["doubt"][lines] > 0
            self.doubtful = bool(self.lines["doubt"].any())
        order = np.argsort(slots.astype(np.uint16) if self.slots.n < 1 << 16 else slots, kind="stable")
        plain = Plain(self, rows, order, lines, slots, trade, exchange, run.clock)
        one_by_one = plain.without(plain.odd() | rare[order])
        plain.apply()
        if len(one_by_one):
            self._one_by_one(rows, one_by_one, lines, slots, wall, mono, run)
        if not self.before.fresh and self.clock.fresh:
            self._confirmed(int(run.offset[int(run.fresh.argmax())]))
        return run

    def _confirmed(self, offset: int) -> None:
        """The feed itself told the time, ``offset`` ahead of the monotonic clock.

        Uptimes that began before that, by a wall clock that was slow, began later.
        """
        up, began = self.slots["up_start"][: self.slots.n], self.slots["up_mono"][: self.slots.n] + offset
        for slot in np.flatnonzero((up >= 0) & (up + JUMP_NS < began)).tolist():
            self.log.postpone(slot, heard_from(int(began[slot])), self.table(slot))

    def _survey(self) -> None:
        """What is true of all instruments, so that it need not be asked of each packet."""
        slots = self.lines["slot"][: self.lines.n]
        self.cumulative = bool((self.slots["kind"][: self.slots.n] == CUMULATIVE).all())
        self.shared = len(slots) - int((slots < 0).sum()) > self._subscribed()
        self._surveyed = True

    def _subscribed(self) -> int:
        """How many instruments are on any stream right now."""
        slots = self.lines["slot"][: self.lines.n]
        return len(distinct(slots[slots >= 0]))

    def dump(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """All of it as JSON values and arrays, for the state file."""
        book, arrays = self.book.dump()
        arrays = {f"book.{key}": value for key, value in arrays.items()}
        arrays |= {f"slots.{key}": value for key, value in self.slots.dump().items()}
        arrays |= {f"lines.{key}": value for key, value in self.lines.dump().items()}
        plain = {"book": book, "recent": self.log.dump(), "free": self.free_lines, "clock": self.clock.dump()}
        return plain, arrays

    def load(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what `dump` gave."""
        self.book.load(plain["book"], under(arrays, "book."))
        self.slots.load(under(arrays, "slots."))
        self.lines.load(under(arrays, "lines."))
        self.doubtful = bool(self.lines["doubt"].any())
        self.log.load(plain["recent"])
        self.free_lines = plain["free"]
        self.clock = FeedClock.load(plain["clock"])
        self.slot_of = {int(n): slot for slot, n in enumerate(self.slots["instrument"][: self.slots.n])}
        self._surveyed = False

    def _one_by_one(
        self,
        rows: Packets,
        which: NDArray[np.int64],
        lines: NDArray[np.int64],
        slots: NDArray[np.int64],
        wall: NDArray[np.int64],
        mono: NDArray[np.int64],
        run: ClockRun,
    ) -> None:
        movers = []
        for i, line, slot, at, since, clock, fresh in zip(
            which.tolist(),
            lines[which].tolist(),
            slots[which].tolist(),
            wall[which].tolist(),
            mono[which].tolist(),
            run.clock[which].tolist(),
            run.fresh[which].tolist(),
            strict=True,
        ):
            now = Moment(at, since, clock, run.project(i, since, at), fresh)
            mover = self.rules.packet(Packet(*rows[i].item()), line, slot, now)
            if mover is not None:
                movers.append(mover)
        if movers:
            self.book.add(Movers.of(movers))
