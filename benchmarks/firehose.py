"""A Kite server that sends as fast as it is read, and then falls silent.

    python -m benchmarks.firehose --port 8765 --seconds 60 --connections 3

Each connection carries 3,000 instruments. One market second is made up beforehand, four
packets an instrument in frames of 200; it is sent again and again with its volumes and stamps
moved on. All connections are at the same market second: none may outrun the others, or what
they send would be late.

Prints a JSON line when it listens, one when the first data goes out, one when the last has gone.
"""

import argparse
import asyncio
import json
import signal
import time
from http import HTTPStatus
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from mdingest.simulators.instruments import SimInstrument, instruments_csv, synthetic_instruments
from mdingest.simulators.kite_wire import Mode, parcels_of
from mdingest.simulators.market import Market, Trades

PER_CONNECTION = 3_000
_NS = 1_000_000_000
_RATE = 4.0
_PER_FRAME = 200


class Second:
    """A market second of some instruments as packets, moved on with `advance`."""

    def __init__(self, instruments: tuple[SimInstrument, ...], start_ns: int) -> None:
        market = Market(instruments, start_ns=start_ns, rate=_RATE, seed=7)
        self.snapshot = self._packets(market, Trades(market.last))
        trades = market.advance(start_ns + _NS)
        self.packets = self._packets(market, trades)
        totals = np.zeros(len(instruments), np.int64)
        np.add.at(totals, trades["row"], trades["size"])
        self._step = totals[trades["row"]].astype(np.uint32)
        self.rows = len(np.unique(trades["row"]))  # instruments that trade in it

    @staticmethod
    def _packets(market: Market, trades: Trades) -> NDArray[np.void]:
        (parcel,) = parcels_of(market.universe, trades, np.full(len(trades), Mode.FULL, np.int8))
        return parcel.packets

    def advance(self) -> None:
        """A second later: the same trades once more."""
        self.packets["volume"] = self.packets["volume"] + self._step
        for name in ("traded_at", "sent_at"):
            self.packets[name] = self.packets[name] + 1


def frames_of(packets: NDArray[np.void]) -> list[bytes]:
    """As they go over the wire."""
    raw, size = packets.tobytes(), packets.itemsize
    return [
        min(_PER_FRAME, len(packets) - begin).to_bytes(2, "big")
        + raw[begin * size : (begin + _PER_FRAME) * size]
        for begin in range(0, len(packets), _PER_FRAME)
    ]


class Firehose:
    """The server. ``start_ns`` is the market second sent first."""

    def __init__(self, listed: tuple[SimInstrument, ...], connections: int, start_ns: int) -> None:
        parts = [listed[i : i + PER_CONNECTION] for i in range(0, len(listed), PER_CONNECTION)]
        self.seconds = {part[0].token: Second(part, start_ns) for part in parts}
        self.joined: list[tuple[ServerConnection, Second]] = []
        self.complete = asyncio.Event()
        self._connections = connections

    @staticmethod
    def answer(_: ServerConnection, request: Request) -> Response | None:
        """Everything is the ticker, whatever the key."""
        if request.path.startswith("/?"):
            return None
        return Response(HTTPStatus.NOT_FOUND, "Not Found", request.headers)

    async def client(self, socket: ServerConnection) -> None:
        """Listen until it has subscribed all it can; which part of the market that is, its tokens say."""
        tokens: list[int] = []
        while len(tokens) < PER_CONNECTION:
            message = json.loads(await socket.recv())
            if message["a"] == "mode":
                tokens += message["v"][1]
        self.joined.append((socket, self.seconds[min(tokens)]))
        if len(self.joined) == self._connections:
            self.complete.set()
        await socket.wait_closed()

    async def pour(self, seconds: int) -> None:
        """All of it; ends early if a client goes."""
        try:
            for _ in range(seconds):
                parts = [(socket, frames_of(second.packets)) for socket, second in self.joined]
                for i in range(max(len(frames) for _, frames in parts)):
                    for socket, frames in parts:
                        if i < len(frames):
                            await socket.send(frames[i])
                for _, second in self.joined:
                    second.advance()
        except ConnectionClosed:
            return


async def main(listed: tuple[SimInstrument, ...], port: int, connections: int, seconds: int) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    hose = Firehose(listed, connections, time.time_ns() // _NS * _NS)
    options = {"process_request": hose.answer, "compression": None, "ping_interval": None}
    async with serve(hose.client, "127.0.0.1", port, **options):
        packets = sum(len(second.packets) for second in hose.seconds.values()) * seconds
        rows = sum(second.rows for second in hose.seconds.values())
        say({"ready": time.time(), "packets": packets, "rows_a_second": rows})
        await hose.complete.wait()
        for socket, second in hose.joined:
            for frame in frames_of(second.snapshot):
                await socket.send(frame)
        await asyncio.sleep(1.0)
        say({"begun": time.time()})
        await hose.pour(seconds)
        say({"ended": time.time()})
        await stop.wait()


def say(line: dict[str, float]) -> None:
    """To whoever started this."""
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--instruments", type=Path)
    given = parser.parse_args()
    traded = synthetic_instruments(given.connections * PER_CONNECTION)
    if given.instruments is not None:
        given.instruments.write_text(instruments_csv(traded))
    asyncio.run(main(traded, given.port, given.connections, given.seconds))
