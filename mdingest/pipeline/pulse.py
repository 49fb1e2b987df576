"""What the silence of a feed means: three clocks, of which a connection asks two.

*Transport*: no frame of any kind for as long as the peer never pauses. *Feed*: frames, but none
with data, for much longer than this feed was ever silent. A heartbeat is not data. The third
clock, that of single instruments, is `pipeline.rhythm`'s.

Silence of data is judged by the feed's own rhythm, only where it had been lively, and only in a
regular session: at night, on a holiday and at the close a feed may well say nothing. A silence
that is strange but not yet long is recorded (SILENCE), so that what it touches is not taken
for complete; a long one ends the connection.

Pure: every time here is handed in, in real monotonic seconds.
"""

from collections import deque
from collections.abc import Callable

DOUBT_S = 3.0  # shorter silences of data are nothing strange ...
DEAD_S = 15.0  # ... and from here on the connection is given up
STUBBORN_S = 120.0  # the same where a subscription was not answered, or a mute feed stays so ...
STUBBORN_TIMES = 3  # ... which is tried as often: perhaps there is nothing to hear any more
AT_THE_END_S = 1.0  # before a disconnect a shorter silence is doubted: it costs nothing
SPACINGS = 20.0  # so many times the mean spacing
WINDOW_S = 300  # over which that mean is taken
LIVELY_S = 60  # before the silence ...
LIVELY_FRAMES = 6  # ... so many bursts of data make a feed lively
BURST_S = 0.1  # what comes within the same tenth of a second counts as one
LOOK_S = 1.0  # between two looks at a connection that says nothing
_ASLEEP_S = 0.5  # later than planned by as much: not the peer was silent, this process was
_SLACK_NS = 2_000_000_000  # stamps are whole seconds


class Pulse:
    """The rhythm of one feed, which outlives its connections.

    ``regular_s`` says for how many real seconds instruments of this feed have been in a regular
    session by now; 0: none is.
    """

    def __init__(self, regular_s: Callable[[], float], *, answers: bool = False) -> None:
        """``answers``: the peer sends data for every subscription, at any hour."""
        self._silence_s = 0.0
        self._regular_s = regular_s
        self._answers = answers
        self._tries = 0  # left, of a feed that fell mute and did not get lively again
        self._bursts: deque[int] = deque()  # tenths of a second with data, ascending
        self._frame_at = self._data_at = self._turned = 0.0
        self._told = False  # this silence was recorded
        self._heard_data = False  # since the connect
        self._stamp: Callable[[], int] = lambda: 0  # of the last frame with data
        self._stamp_mono_ns = 0

    def connected(self, now: float, silence_s: float) -> None:
        """A new connection begins; ``silence_s`` is the transport's patience."""
        self._silence_s = silence_s
        self._frame_at = self._data_at = self._turned = now
        self._told = self._heard_data = False
        self._stamp = lambda: 0

    def frame(self, now: float, *, data: bool, stamp: Callable[[], int], mono_ns: int) -> bool:
        """A frame came; whether a SILENCE is to be recorded before it.

        ``stamp`` gives its newest exchange time, UTC ns, 0 if it has none; ``mono_ns`` is the
        monotonic stamp that its record will have.
        """
        self._turn(now)
        self._frame_at = now
        quiet = now - self._data_at
        strange = quiet >= DOUBT_S and self._strange(quiet, DOUBT_S) and not self._told
        if not data:
            self._told |= strange  # heartbeats and no data: the line is fine, what feeds it is not
            return strange
        if strange:
            strange = self._was_lost(stamp(), mono_ns)
        self._data_at, self._told, self._heard_data = now, False, True
        self._stamp, self._stamp_mono_ns = stamp, mono_ns
        self._count(int(now / BURST_S))
        return strange

    def dead(self, now: float) -> str:
        """Why to give the connection up, or nothing. To be asked every `LOOK_S`."""
        self._turn(now)
        if now - self._frame_at >= self._silence_s:
            return f"nothing heard for {self._silence_s:g} s"
        quiet = now - self._data_at
        if self._strange(quiet, DEAD_S):
            self._tries = STUBBORN_TIMES
            return f"no data for {quiet:.0f} s, heartbeats only"
        unanswered = self._answers and not self._heard_data
        if not (unanswered or self._tries) or quiet < STUBBORN_S or self._regular_s() < STUBBORN_S:
            return ""
        self._tries = max(0, self._tries - 1)
        what = "subscribed, but no data comes" if unanswered else "data no longer comes"
        return f"{what}: heartbeats only for {quiet:.0f} s"

    def ended(self, now: float) -> bool:
        """The connection ended; whether a SILENCE is to be recorded before that."""
        return not self._told and self._strange(now - self._data_at, AT_THE_END_S)

    def wait_s(self, now: float) -> float:
        """When to look again."""
        return max(0.001, min(LOOK_S, self._frame_at + self._silence_s - now))

    def _strange(self, quiet: float, floor_s: float) -> bool:
        """Whether a silence of data is longer than this feed's rhythm and the hour explain."""
        if quiet < floor_s or not self._lively():
            return False
        limit = max(floor_s, SPACINGS * self._spacing_s())
        return quiet >= limit and self._regular_s() >= limit

    def _spacing_s(self) -> float:
        """Mean time between bursts of data."""
        return (self._bursts[-1] - self._bursts[0] + 1) * BURST_S / len(self._bursts)

    def _lively(self) -> bool:
        bursts = self._bursts
        if len(bursts) < LIVELY_FRAMES:
            return False
        return (bursts[-1] - bursts[-LIVELY_FRAMES]) * BURST_S < LIVELY_S

    def _was_lost(self, stamp: int, mono_ns: int) -> bool:
        """Whether what a silence held was never sent, as opposed to sent late.

        What waited on the way bears the stamps of when it was sent.
        """
        before = self._stamp()
        if not stamp or not before:
            return False
        return stamp - before >= mono_ns - self._stamp_mono_ns - _SLACK_NS

    def _turn(self, now: float) -> None:
        """Time in which this process did not run says nothing about the peer's data."""
        asleep = now - self._turned - LOOK_S
        if asleep > _ASLEEP_S:
            self._data_at = min(now, self._data_at + asleep)
        self._turned = now

    def _count(self, burst: int) -> None:
        bursts = self._bursts
        if bursts and bursts[-1] == burst:
            return
        bursts.append(burst)
        while bursts[0] <= burst - WINDOW_S / BURST_S:
            bursts.popleft()
        if self._tries and self._lively():
            self._tries = 0  # the rhythm says it from here on
