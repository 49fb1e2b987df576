"""A feed keeps one connection alive: connect, listen, and when it ends, decide what comes next.

The error's class is the decision, and this is the one place that takes it: a TransientError
is retried, spread out and never more than a minute apart; a PermanentError parks the feed
until somebody changes something, and so does a full disk. Nothing else is caught.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from mdingest.core.control import Subscription
from mdingest.errors import PermanentError, TransientError, Unauthorized
from mdingest.pipeline.backoff import full_jitter
from mdingest.pipeline.connection import Connection, PeerLeft, Wire, open_socket
from mdingest.pipeline.intake import Intake
from mdingest.pipeline.pulse import Pulse
from mdingest.pipeline.tail import JournalFull
from mdingest.providers.base import Heard, LiveProtocol

LONGEST_WISH_S = 3600.0  # of a peer's Retry-After that is honoured
NOTES_EVERY_S = 10.0

log = structlog.get_logger(__name__)


async def _at_once() -> None:
    pass


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """How a feed behaves towards its peer. Times are real seconds."""

    wire: Wire = field(default_factory=Wire)
    waits: Callable[[], Iterator[float]] = full_jitter
    healthy_s: float = 10.0  # a connection that lived as long starts the waits anew
    recheck_s: float = 60.0  # how often a parked feed asks whether its credentials changed
    turn: Callable[[], Awaitable[None]] = _at_once  # staggers the connects of many feeds


def _fit() -> PermanentError | None:
    return None


async def _as_it_is(refusal: PermanentError) -> PermanentError:
    return refusal


@dataclass(frozen=True, slots=True)
class Guard:
    """Who knows the credentials of a feed.

    ``unfit`` says before each attempt why it would be in vain. ``explain`` finds out what is
    behind refused credentials and gives the error that says so. ``recheck`` is asked after that
    and now and then while parked whether trying again makes sense: whether they have changed.
    """

    unfit: Callable[[], PermanentError | None] = _fit
    explain: Callable[[PermanentError], Awaitable[PermanentError]] = _as_it_is
    recheck: Callable[[], bool] = lambda: False


class FeedState(StrEnum):
    """What a feed is doing."""

    CONNECTING = "connecting"
    LIVE = "live"
    BACKOFF = "backoff"
    PARKED = "parked"  # waits for a person
    IDLE = "idle"  # has nothing to subscribe
    STOPPED = "stopped"


@dataclass(slots=True)
class FeedStatus:
    """For /health, /metrics and alerts. Instants are wall ns of the daemon's clock."""

    name: str
    feed: str
    state: FeedState = FeedState.STOPPED
    since_ns: int = 0  # in this state
    instruments: int = 0
    stream_id: int = 0  # of the connection that is open, or was last
    last_frame_ns: int = 0
    last_data_ns: int = 0  # of a frame that was no heartbeat
    last_error: str = ""  # empty while live
    todo: str = ""  # what a person can do about it, where there is something
    reconnects: int = 0
    frames: int = 0
    bytes: int = 0
    withheld: int = 0  # frames that are not ours to keep (account messages)


class Feed:
    """One supervised connection of one provider. `run` it in a task; cancelling stops it."""

    def __init__(
        self,
        name: str,
        protocol: LiveProtocol,
        subs: Sequence[Subscription],
        intake: Intake,
        *,
        stream_ids: Callable[[], int],
        options: FeedOptions | None = None,
        guard: Guard | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        """``stream_ids`` gives a number this journal has never seen, for each connect.

        ``pulse`` judges its silences of data; without one, they are taken as they come.
        """
        self.protocol = protocol  # may be replaced before `wake`, say by one with a new token
        self.on_change: Callable[[FeedStatus], None] | None = None  # hears of each change of state
        self.status = FeedStatus(name, protocol.feed, instruments=len(subs))
        self._subs = {sub.key: sub for sub in subs}
        self._intake = intake
        self._stream_ids = stream_ids
        self._options = options or FeedOptions()
        self._guard = guard or Guard()
        self._pulse = pulse or Pulse(lambda: 0.0)
        self._tried = protocol  # last
        self._wake = asyncio.Event()
        self._limit: asyncio.Timeout | None = None  # of the connection that is open
        self._why: PermanentError | None = None  # it was cut short
        self._connection: Connection | None = None
        self._live_at = float("inf")  # real monotonic seconds; not yet
        self._noted_at = -NOTES_EVERY_S

    def wake(self) -> None:
        """Something changed: a feed that waits, for whatever reason, tries again now."""
        self._wake.set()

    @property
    def subs(self) -> Sequence[Subscription]:
        """What is subscribed, or will be."""
        return list(self._subs.values())

    def park(self, why: PermanentError) -> None:
        """End the connection, if there is one, and wait for a person. Else nothing happens."""
        if self._limit is not None and self._connection is not None and self._why is None:
            self._why = why
            self._connection.ending = "parked"
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def change(self, add: Sequence[Subscription], remove: Sequence[Subscription]) -> None:
        """Subscribe and unsubscribe without dropping what stays; at once if connected.

        An instrument whose subscription is new but its key is not is subscribed anew.
        """
        for sub in remove:
            self._subs.pop(sub.key, None)
        self._subs |= {sub.key: sub for sub in add}
        self.status.instruments = len(self._subs)
        if self.status.state is FeedState.IDLE:
            self._wake.set()
        if self._connection is not None:
            await self._connection.change(add, remove)

    async def run(self) -> None:
        """Until cancelled. Raises JournalError; no error of the network leaves it."""
        waits = self._options.waits()
        try:
            while True:
                try:
                    await self._attempt()
                except TransientError as exc:
                    healthy = time.monotonic() - self._live_at >= self._options.healthy_s
                    if healthy:
                        waits = self._options.waits()
                    await self._back_off(exc, waits, at_once=healthy)
                except JournalFull:
                    await self._park(
                        PermanentError(
                            "the disk is full", "free space on it; the feed then goes on by itself"
                        )
                    )
                    waits = self._options.waits()
                except PermanentError as exc:
                    await self._park(exc)
                    waits = self._options.waits()
        finally:
            self._enter(FeedState.STOPPED)

    async def _attempt(self) -> None:
        self._live_at = float("inf")
        while not self._subs:
            self._enter(FeedState.IDLE)
            await self._woken(None)
        await self._options.turn()
        if (why := self._guard.unfit()) is not None:
            raise why
        self._enter(FeedState.CONNECTING)
        self._tried = self.protocol
        socket = await open_socket(self._tried, list(self._subs.values()), self._options.wire)
        status = self.status
        status.stream_id = self._stream_ids()
        status.last_error = status.todo = ""
        self._live_at = time.monotonic()
        self._enter(FeedState.LIVE)
        log.info("feed.connected", feed=status.name, stream=status.stream_id, instruments=len(self._subs))
        self._connection = Connection(
            socket, status.stream_id, self._tried, self._intake, self._pulse, self._heard
        )
        try:
            async with asyncio.timeout(None) as self._limit:
                await self._connection.run(list(self._subs.values()))
        except TimeoutError:
            if self._why is None:
                raise
            raise self._why from None
        finally:
            self._connection = self._limit = self._why = None

    async def _back_off(self, exc: TransientError, waits: Iterator[float], *, at_once: bool) -> None:
        wait_s = next(waits)
        if exc.retry_after_s:  # 0 is no wish: a peer that always says so would be asked without a pause
            wait_s = min(exc.retry_after_s, LONGEST_WISH_S)
        elif at_once and isinstance(exc, PeerLeft) and exc.at_once:
            wait_s = 0.0
        self.status.last_error, self.status.todo = str(exc), ""
        self.status.reconnects += 1
        self._enter(FeedState.BACKOFF)
        name = self.status.name
        log.warning("feed.retry_scheduled", feed=name, delay_s=round(wait_s, 3), error=str(exc))
        await self._woken(wait_s)

    async def _park(self, exc: PermanentError) -> None:
        if isinstance(exc, Unauthorized):
            if self._tried is not self.protocol and self._guard.unfit() is None:
                return  # the credentials were replaced meanwhile
            exc = await self._guard.explain(exc)
            if self._guard.recheck():
                return  # there are others
        self.status.last_error, self.status.todo = str(exc), exc.todo
        self._enter(FeedState.PARKED)
        log.error("feed.parked", feed=self.status.name, error=str(exc))
        while not await self._woken(self._options.recheck_s):
            if self._guard.recheck():
                return

    async def _woken(self, within_s: float | None) -> bool:
        """Wait for `wake`, at most so long."""
        self._wake.clear()
        try:
            async with asyncio.timeout(within_s):
                await self._wake.wait()
        except TimeoutError:
            return self._wake.is_set()  # at the very moment
        return True

    def _heard(self, size: int, heard: Heard) -> None:
        status = self.status
        status.frames += 1
        status.bytes += size
        status.withheld += not heard.journal
        status.last_frame_ns = self._intake.clock.wall_ns()
        if heard.data:
            status.last_data_ns = status.last_frame_ns
        if heard.note and time.monotonic() - self._noted_at >= NOTES_EVERY_S:
            self._noted_at = time.monotonic()
            log.warning("feed.note", feed=status.name, note=heard.note[:200])

    def _enter(self, state: FeedState) -> None:
        if state is self.status.state:
            return
        self.status.state = state
        self.status.since_ns = self._intake.clock.wall_ns()
        if self.on_change is not None:
            self.on_change(self.status)
