"""The feed clock of the reference: design 4.9, one packet at a time."""

from dataclasses import dataclass, field

S = 1_000_000_000
AGREE_NS = 5 * S  # how far a stamp may lie ahead before it needs a witness
TOGETHER_NS = S  # instruments that show one jump agree this closely
WITNESSES = 3
MINUTE, HOUR = 60 * S, 3_600 * S


def floor(ts: int) -> int:
    """An instant cut to its whole second."""
    return ts // S * S


@dataclass
class FeedClock:
    """The greatest exchange time seen, advanced in silence by monotonic time. All ns."""

    value: int | None = None
    anchor_value: int = 0
    anchor_mono: int = 0
    fresh: bool = False  # a packet set it since the process began
    has_exchange: bool = False  # the feed stamps its packets
    untaken: list[tuple[int, int, int]] = field(default_factory=list)  # jumps: instrument, stamp, mono

    def projection(self, wall: int, mono: int) -> int:
        """What the clock would show now, were the exchange to speak."""
        if self.value is None:
            return wall
        shown = max(self.value, self.anchor_value + mono - self.anchor_mono)
        return shown if self.fresh else max(shown, wall)

    def tick(self, mono: int) -> None:
        """Silence passes."""
        if self.value is not None:
            self.value = max(self.value, self.anchor_value + mono - self.anchor_mono)

    def restart(self, mono: int) -> None:
        """A new process: its monotonic stamps have a new zero."""
        self.fresh = False
        self.anchor_value = self.value or 0
        self.anchor_mono = mono
        self.untaken = []

    def hear(self, stamp: int, instrument: int, subscribed: int, wall: int, mono: int) -> None:
        """A live packet of one instrument came; ``stamp`` is 0 if it carries none."""
        if not stamp:
            self._hear_unstamped(wall, mono)
            return
        if self.value is not None and stamp <= self.value:
            return
        small = self.value is not None and stamp - self.value <= AGREE_NS
        if not small and abs(stamp - wall) > AGREE_NS:
            self.untaken.append((instrument, stamp, mono))
            if not self._shown_by_enough(stamp, mono, subscribed) and not self._undisputed(stamp, mono):
                return
        if not small:
            self.untaken = []
        self._set(stamp, mono)
        self.has_exchange = True

    def _hear_unstamped(self, wall: int, mono: int) -> None:
        if self.has_exchange:
            return
        if self.value is None or not self.fresh:
            self._set(wall if self.value is None else max(self.value, wall), mono)
        else:
            self.tick(mono)

    def _shown_by_enough(self, stamp: int, mono: int, subscribed: int) -> bool:
        """Three instruments, or all if there are fewer, said the same within the last hour."""
        offsets = [told[-1][0] for told in self._said(mono).values()]
        return sum(abs(stamp - mono - offset) <= TOGETHER_NS for offset in offsets) >= min(
            WITNESSES, subscribed
        )

    def _undisputed(self, stamp: int, mono: int) -> bool:
        """Whoever spoke in the last hour says the same, one of them for a minute; no packet set the clock."""
        if self.fresh:
            return False
        oldest = mono
        for told in self._said(mono).values():
            if abs(told[-1][0] - (stamp - mono)) > TOGETHER_NS:
                return False
            steady = len(told) - 1
            while (
                steady
                and abs(told[steady][0] - told[steady - 1][0]) <= TOGETHER_NS
                and told[steady][1] - told[steady - 1][1] <= HOUR
            ):
                steady -= 1
            oldest = min(oldest, told[steady][1])
        return mono - oldest >= MINUTE

    def _said(self, mono: int) -> dict[int, list[tuple[int, int]]]:
        """Of each instrument that said something in the last hour: how far ahead of mono, and when."""
        said: dict[int, list[tuple[int, int]]] = {}
        for instrument, stamp, at in self.untaken:
            said.setdefault(instrument, []).append((stamp - at, at))
        return {instrument: told for instrument, told in said.items() if mono - told[-1][1] <= HOUR}

    def _set(self, value: int, mono: int) -> None:
        self.value = value
        self.anchor_value, self.anchor_mono = value, mono
        self.fresh = True
