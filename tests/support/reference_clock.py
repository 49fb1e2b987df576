"""The feed clock of the reference: design 4.9, one packet at a time."""

from dataclasses import dataclass, field

S = 1_000_000_000
AGREE_NS = 5 * S  # how far a stamp may lie ahead before it needs a witness
TOGETHER_NS = S  # instruments that show one jump agree this closely
WITNESSES = 3


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
    untaken: dict[int, int] = field(default_factory=dict)  # instrument to its latest refused jump

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
        self.untaken = {}

    def hear(self, stamp: int, instrument: int, subscribed: int, wall: int, mono: int) -> None:
        """A live packet of one instrument came; ``stamp`` is 0 if it carries none."""
        if not stamp:
            self._hear_unstamped(wall, mono)
            return
        if self.value is not None and stamp <= self.value:
            return
        small = self.value is not None and stamp - self.value <= AGREE_NS
        if not small and abs(stamp - wall) > AGREE_NS and not self._witnessed(stamp, instrument, subscribed):
            return
        if not small:
            self.untaken = {}
        self._set(stamp, mono)
        self.has_exchange = True

    def _hear_unstamped(self, wall: int, mono: int) -> None:
        if self.has_exchange:
            return
        if self.value is None or not self.fresh:
            self._set(wall if self.value is None else max(self.value, wall), mono)
        else:
            self.tick(mono)

    def _witnessed(self, stamp: int, instrument: int, subscribed: int) -> bool:
        self.untaken[instrument] = stamp
        agreeing = [other for other in self.untaken.values() if abs(other - stamp) <= TOGETHER_NS]
        return len(agreeing) >= min(WITNESSES, subscribed)

    def _set(self, value: int, mono: int) -> None:
        self.value = value
        self.anchor_value, self.anchor_mono = value, mono
        self.fresh = True
