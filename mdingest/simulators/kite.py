"""A simulator of the broker's ticker: a seeded market behind a real websocket.

The official client and the daemon talk to it alike. ``GET /?api_key=..&access_token=..``
upgrades to the websocket; the REST API and the page for a login are on the same port.
Every trade gives exactly one packet to whoever subscribed it, so that the tape is the truth
about what a client should have; with ``conflate_s`` a packet tells of several, and the tape says
which. It runs inside an event loop, the daemon's own if need be.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.http11 import Request

from mdingest.calendars import ALWAYS
from mdingest.errors import ConfigError, PermanentError
from mdingest.simulators.faults import parse_faults
from mdingest.simulators.hours import Hours
from mdingest.simulators.instruments import SimInstrument, default_instruments, instruments_csv
from mdingest.simulators.kite_client import Client
from mdingest.simulators.kite_door import Door
from mdingest.simulators.kite_exchange import KiteExchange
from mdingest.simulators.kite_rest import KiteRest
from mdingest.simulators.market import Market
from mdingest.simulators.sampling import Pace
from mdingest.simulators.tape import Journal
from mdingest.simulators.trades import S
from mdingest.telemetry.clock import Clock

_LONGEST_TURN_S = 0.05  # real
_SHORTEST_TURN_S = 0.01
_MOST_BEHIND_S = 1.0  # of the market: then it halts instead of delivering late
_MOST_BEHIND_REAL_S = 0.2  # the same for a fast clock
_CLOSE_S = 1.0
_LONGEST_S = 60
_WIRE_VOLUME = 1 << 32
API_SECRET = "secret"  # noqa: S105 - everybody may know it


@dataclass(kw_only=True, eq=False)
class KiteSimulator:
    """``async with KiteSimulator(clock=clock) as sim:`` serves until the block ends.

    Raises ConfigError for bad values, OSError if the port is taken. Cancelling the block ends
    the simulator and completes its files.
    """

    clock: Clock
    instruments: Sequence[SimInstrument] = ()  # none given: default_instruments of the clock's date
    rate: float = 2.0  # trades per second of the clock and instrument
    seed: int = 0
    faults: str = ""  # in the language of mdingest.simulators.faults
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one, then the one it got
    tape: Path | None = None  # files described in mdingest.simulators.tape
    cuts: Path | None = None
    frame_packets: int = 200  # the most in one frame
    session: str = ALWAYS  # or a class, or AUTO: see mdingest.simulators.hours
    lively: bool = False  # bursts, pauses and wider steps
    conflate_s: float = 0.0  # at most one packet an instrument in so long; 0: one for each trade
    depth_s: float = 0.0  # an instrument sends a packet of its order book in each; 0: never
    least_volume: int = 0  # of a share's day once it trades; beyond 2^31 in the wire's upper half
    refused_tokens: frozenset[str] = frozenset({"bad"})  # access tokens that get a 403
    api_secret: str = API_SECRET  # of every app: a login is signed with it

    async def __aenter__(self) -> Self:
        """Start to trade and to serve."""
        faults = parse_faults(self.faults)
        if self.rate <= 0 or self.seed < 0 or self.frame_packets < 1:
            raise ConfigError("rate and frame_packets must be above 0, seed must not be negative")
        self._start_ns, self._start_mono_ns = self.clock.wall_ns(), self.clock.mono_ns()
        if not 0 <= self.conflate_s <= _LONGEST_S or not 0 <= self.depth_s <= _LONGEST_S:
            raise ConfigError(f"conflation and order book packets take from 0 to {_LONGEST_S} s")
        if not 0 <= self.least_volume < _WIRE_VOLUME:
            raise ConfigError("the wire has 32 bits for a volume")
        if not self.instruments:
            self.instruments = default_instruments(datetime.fromtimestamp(self._start_ns // S, UTC).date())
        async with AsyncExitStack() as stack:
            journal = stack.enter_context(Journal(self.instruments, tape=self.tape, cuts=self.cuts))
            market = Market(
                self.instruments,
                start_ns=self._start_ns,
                rate=self.rate,
                seed=self.seed,
                hours=Hours(self.instruments, self.session),
                lively=self.lively,
                least_volume=self.least_volume,
            )
            self._exchange = KiteExchange(
                self.instruments,
                market,
                journal,
                faults,
                seed=self.seed,
                pace=Pace(round(self.conflate_s * S), round(self.depth_s * S), self.frame_packets),
                most_behind_ns=round(max(_MOST_BEHIND_S, _MOST_BEHIND_REAL_S * self.clock.speed) * S),
            )
            server = await self._listen(stack)
            self.port = _port_of(server)
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            running = self._tasks.create_task(self._run(), name="simulator.market")
            stack.callback(self._stop, running)
            self._stack = stack.pop_all()
        return self

    async def _listen(self, stack: AsyncExitStack) -> Server:
        rest = KiteRest(
            self._exchange, self.instruments, self.refused_tokens, self.api_secret, self.clock, self._now_ns
        )
        listening = serve(
            self._serve_client,
            self.host,
            self.port,
            process_request=rest.answer,
            create_connection=Door,
            compression=None,  # the broker negotiates none
            ping_interval=None,  # nor does it ping
            close_timeout=_CLOSE_S,
        )
        try:
            return await stack.enter_async_context(listening)
        except OSError as exc:
            number = exc.errno or 0  # negative for a name that nobody knows
            said = os.strerror(number) if number > 0 else exc
            raise PermanentError(
                f"the simulator can't listen on {self._netloc}: {said}",
                "Another one, or a demo, may be running; `mdingest mock kite --port 0` takes any free port",
            ) from exc

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Hang up on everybody and complete the files."""
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def ws_url(self) -> str:
        """Root for a ticker client, without the query."""
        return f"ws://{self._netloc}"

    @property
    def http_url(self) -> str:
        """Root for a REST client."""
        return f"http://{self._netloc}"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def instruments_csv(self) -> str:
        """What ``GET /instruments`` serves."""
        return instruments_csv(self.instruments)

    def inject(self, kind: str, long_s: float = 0.0) -> None:
        """Let a fault happen now, for a span of the clock if it lasts. Raises ConfigError."""
        self._exchange.turn(self._now_ns())
        self._exchange.inject(kind, round(long_s * S))

    def send_text(self, text: str) -> None:
        """A text frame to every client: an order update, a message of the broker."""
        for peer in self._exchange.lines.values():
            peer.write(text)

    def _now_ns(self) -> int:
        """The exchange's clock: the wall's at the start, without its later steps."""
        return self._start_ns + self.clock.mono_ns() - self._start_mono_ns

    async def _run(self) -> None:
        """Advance the market and send, until cancelled."""
        turn_s = min(_LONGEST_TURN_S, max(_SHORTEST_TURN_S, self.clock.real_s(_LONGEST_TURN_S)))
        while True:
            await asyncio.sleep(turn_s)
            self._exchange.turn(self._now_ns())
            for line, peer in self._exchange.lines.items():
                if isinstance(peer, Client):
                    peer.drip()
                    if not line.silent:
                        peer.beat()

    def _stop(self, market: asyncio.Task[None]) -> None:
        market.cancel()
        for line in list(self._exchange.lines):
            self._exchange.leave(line, "stop")

    async def _serve_client(self, socket: ServerConnection) -> None:
        """One client, until it or we hang up."""
        query = parse_qs(urlsplit(_request_of(socket).path).query)
        client = Client(socket, self._tasks)
        line = self._exchange.join(query["api_key"][0], client)
        cause = "peer_lost"
        try:
            while True:
                message = await socket.recv()
                for answer in line.receive(message) if isinstance(message, str) else ():
                    client.write(answer)
        except ConnectionClosedOK:
            cause = "peer_closed"
        except ConnectionClosed:
            pass  # abruptly: what a broker sees of a killed client
        finally:
            self._exchange.leave(line, cause)


def _request_of(socket: ServerConnection) -> Request:
    if socket.request is None:
        raise AssertionError  # a handler runs after the handshake
    return socket.request


def _port_of(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port
