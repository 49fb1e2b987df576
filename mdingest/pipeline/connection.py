"""One socket, from the upgrade to its end: frames into the log, answers back out.

Everything that describes a stream is recorded in the same order as its frames: CONNECT, then
SUBSCRIBE before the words that subscribe go out, DISCONNECT with its cause at the end. The
library's errors become ours here and nowhere else, and no address (it holds credentials)
gets into any of them. All times in this module are real seconds, whatever the clock says.
"""

import asyncio
import email.utils
import logging
import math
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    SecurityError,
)
from websockets.uri import parse_uri

from mdingest.core import control
from mdingest.core.control import Subscription
from mdingest.core.records import Kind
from mdingest.errors import JournalError, MdingestError, PermanentError, TransientError
from mdingest.pipeline.backoff import Turnstile
from mdingest.pipeline.intake import Intake
from mdingest.pipeline.pulse import LOOK_S, Pulse
from mdingest.pipeline.tail import JournalFull
from mdingest.providers.base import Heard, LiveProtocol

FAIR_FRAMES = 64  # a burst of more than these lets other tasks have their turn
WOKEN_S = 0.1  # what is in the socket shows within this time after the process itself slept
SUSPENDED_S = 1.0  # two clocks are read one after the other, perhaps with a pause between

# The library would write request lines, credentials and all, into any debug log.
_WIRE_LOG = logging.getLogger("mdingest.wire")
_WIRE_LOG.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Wire:
    """Limits of a connection; real seconds and bytes."""

    open_timeout_s: float = 10.0
    close_timeout_s: float = 1.0
    ping_s: float = 20.0  # to peers that may be silent; no pong for as long ends the connection
    max_frame_bytes: int = 4 << 20


class PeerLeft(TransientError):
    """A connection that was open has ended; ``at_once`` if the peer asked us to come back."""

    def __init__(self, message: str, *, at_once: bool = False) -> None:
        super().__init__(message)
        self.at_once = at_once


class Mute(TransientError):
    """The socket is open and says nothing, or nothing that matters."""


async def open_socket(protocol: LiveProtocol, subs: Sequence[Subscription], wire: Wire) -> ClientConnection:
    """Connect and upgrade. A cancelled call leaves no socket behind.

    Raises TransientError or PermanentError, without credentials.
    """
    ping_s = wire.ping_s if math.isinf(protocol.silence_s) else None
    address = protocol.url(subs)
    try:
        parse_uri(address).host.encode("idna")  # as the lookup of its address will
    except (InvalidURI, ValueError):  # their texts hold the address
        raise PermanentError("the address can't be used; check its url") from None
    try:
        return await connect(
            address,
            ssl=await asyncio.to_thread(trusted) if address.lower().startswith("wss:") else None,
            additional_headers=protocol.headers(),
            user_agent_header="mdingest",
            proxy=None,
            compression=None,
            open_timeout=wire.open_timeout_s,
            close_timeout=wire.close_timeout_s,
            ping_interval=ping_s,
            ping_timeout=ping_s,
            max_size=wire.max_frame_bytes,
            logger=_WIRE_LOG,
        )
    except InvalidStatus as exc:
        raise _refusal(protocol, exc) from None
    except TimeoutError:
        raise TransientError(f"no answer within {wire.open_timeout_s:g} s") from None
    except OSError as exc:
        if isinstance(exc, ssl.SSLCertVerificationError):
            trusted.cache_clear()  # whom the machine trusts may have been out of reach, or changed since
        raise TransientError(f"can't connect: {exc.strerror or type(exc).__name__}") from None
    except (InvalidURI, SecurityError, ValueError) as exc:  # say a page about maintenance, for a night
        raise TransientError(f"sent on to where no feed is ({type(exc).__name__}); check its url") from None
    except InvalidHandshake as exc:
        raise TransientError(f"the other side is no websocket server ({type(exc).__name__})") from None
    except ConnectionClosed:  # reset before the request was even written
        raise TransientError("the other side hung up before it answered") from None


@cache
def trusted() -> ssl.SSLContext:
    """The certificates of this machine, as they were first read, for all connections.

    They are read again after one was not trusted. Left to the library each connect would read them
    anew, which stops the loop for 60 ms of CPU, and each connection would hold 0.8 MiB of them.
    """
    return ssl.create_default_context()


def _refusal(protocol: LiveProtocol, exc: InvalidStatus) -> MdingestError:
    response = exc.response
    error = protocol.refused(response.status_code, bytes(response.body or b"").decode(errors="replace"))
    if isinstance(error, TransientError) and error.retry_after_s is None:
        error.retry_after_s = _seconds(response.headers.get("Retry-After", ""))
    return error


def _seconds(wish: str) -> float | None:
    """A Retry-After in either of its forms: seconds, or a date."""
    if wish.isdecimal():
        return float(wish)
    try:
        at = email.utils.parsedate_to_datetime(wish)
    except (ValueError, OverflowError):  # an offset of a thousand years
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


class Connection:
    """A stream that is open. `run` once; `change` while it runs."""

    def __init__(
        self,
        socket: ClientConnection,
        stream_id: int,
        protocol: LiveProtocol,
        intake: Intake,
        pulse: Pulse,
        on_frame: Callable[[int, Heard], None],
    ) -> None:
        """``on_frame(bytes, heard)`` is called for each frame, after it was recorded."""
        self.stream_id = stream_id
        self.ending = "stop"  # the cause to record if we are cancelled
        self._socket = socket
        self._protocol = protocol
        self._intake = intake
        self._pulse = pulse
        self._on_frame = on_frame
        self._subs: dict[str, Subscription] = {}  # what is wanted now
        self._talk = asyncio.Lock()  # what is said goes out in the order it was recorded
        self._turns = Turnstile(protocol.spacing_s)
        self._slept_s = intake.clock.slept_s()

    async def run(self, subs: Sequence[Subscription]) -> None:
        """Record and answer until the stream ends, which it does by an error.

        Raises PeerLeft, Mute, or JournalError. Cancelling records the cause `ending`. In each
        case the DISCONNECT is recorded first, unless the CONNECT was refused, and the socket is
        closed.
        """
        cause = "disconnect"
        hello = control.Connect(self._protocol.feed, self._protocol.resolution_ns)
        try:
            self._intake.add(Kind.CONNECT, self.stream_id, control.encode(hello))
        except JournalError:
            await self._socket.close()
            raise
        self._pulse.connected(time.monotonic(), self._protocol.silence_s)
        try:
            await self.change(subs, ())
            await self._listen()
        except ConnectionClosed as exc:
            raise PeerLeft(_last_words(exc)) from None
        except Mute:
            cause = "mute"
            self._socket.transport.abort()  # nobody is there to say goodbye to
            raise
        except asyncio.CancelledError:
            cause = self.ending
            raise
        except JournalFull:
            cause = "parked"
            raise
        finally:
            try:
                if self._pulse.ended(time.monotonic()):
                    self._record_silence()
                self._intake.add(Kind.DISCONNECT, self.stream_id, control.encode(control.Disconnect(cause)))
            finally:
                await self._socket.close()

    async def change(self, add: Sequence[Subscription], remove: Sequence[Subscription]) -> None:
        """Record and say what is wanted from now on, and what no longer.

        Cancelling may leave it said in part. If the connection ends meanwhile, `run` tells.
        """
        async with self._talk:
            for sub in remove:
                self._subs.pop(sub.key, None)
            self._subs |= {sub.key: sub for sub in add}
            with suppress(ConnectionClosed):  # `run` is listening, and will hear of it
                if remove:
                    keys = control.encode_keys([sub.key for sub in remove])
                    self._intake.add(Kind.UNSUBSCRIBE, self.stream_id, keys)
                    await self._say(self._protocol.farewell(remove))
                if add:
                    self._intake.add(Kind.SUBSCRIBE, self.stream_id, control.encode_subscribe(list(add)))
                    await self._say(self._protocol.greeting(add))

    async def _say(self, messages: Sequence[str | bytes]) -> None:
        for message in messages:
            await self._turns.turn()
            await self._socket.send(message)

    async def _listen(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._pulse.wait_s(time.monotonic())) as guard:
                    await self._hear_on(guard)
            except TimeoutError:
                if why := self._pulse.dead(time.monotonic()):
                    await self._hear_once_more(why)

    async def _hear_on(self, guard: asyncio.Timeout) -> None:
        """Frame after frame; the guard is moved now and then, since that costs more than a frame."""
        loop = asyncio.get_running_loop()
        patience_s = min(LOOK_S, self._protocol.silence_s)
        moved, heard = loop.time(), 0
        while True:
            await self._take(await self._socket.recv())
            heard += 1
            now = loop.time()
            if now - moved > patience_s / 16:
                guard.reschedule(now + patience_s)
                moved = now
            if heard % FAIR_FRAMES == 0:
                await asyncio.sleep(0)

    async def _hear_once_more(self, why: str) -> None:
        """Not the peer but this process may have slept: then something is waiting."""
        try:
            async with asyncio.timeout(WOKEN_S):
                frame = await self._socket.recv()  # cancel-safe: no frame is lost
        except TimeoutError:
            raise Mute(why) from None
        await self._take(frame)

    async def _take(self, frame: str | bytes) -> None:
        if (slept_s := self._intake.clock.slept_s() - self._slept_s) > SUSPENDED_S:
            # What the peer said meanwhile may be lost, though the socket lives: we were heard till then.
            raise PeerLeft(f"this machine was suspended for {slept_s:.0f} s", at_once=True)
        heard, now = self._protocol.receive(frame), time.monotonic()
        stamp = partial(self._protocol.stamp_ns, frame)
        if self._pulse.frame(now, data=heard.data, stamp=stamp, mono_ns=self._intake.clock.mono_ns()):
            self._record_silence()
            await self._ask_again()
        raw = frame.encode() if isinstance(frame, str) else frame
        if heard.journal:
            self._intake.add(Kind.FRAME, self.stream_id, raw)
        self._on_frame(len(raw), heard)
        with suppress(ConnectionClosed):  # frames that came before the end are still to be read
            await self._say(heard.replies)
        if heard.reconnect:
            raise PeerLeft(heard.reconnect, at_once=True)
        if not heard.data and (why := self._pulse.dead(now)):
            raise Mute(why)

    async def _ask_again(self) -> None:
        """Where every instrument stands now; else one that seldom trades would seem unheard for long."""
        if not self._protocol.answers:
            return
        async with self._talk:
            with suppress(ConnectionClosed):
                await self._say(self._protocol.greeting(list(self._subs.values())))

    def _record_silence(self) -> None:
        """What is missing begins at the last frame with data, whatever came since."""
        self._intake.add(Kind.SILENCE, self.stream_id, control.encode(control.Disconnect("mute")))


def _last_words(exc: ConnectionClosed) -> str:
    if exc.rcvd is not None:
        why = f": {exc.rcvd.reason[:100]!r}" if exc.rcvd.reason else ""
        return f"closed by the peer with code {exc.rcvd.code}{why}"
    if exc.sent is not None:
        return f"closed by us with code {exc.sent.code}: {exc.sent.reason[:100]!r}"
    return "cut off without a word"
