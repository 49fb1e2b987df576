"""One client's websocket as the exchange sees it, with an outflow that can be throttled."""

import asyncio
from typing import Any, cast

from websockets.asyncio.server import ServerConnection, broadcast

from mdingest.simulators.kite_wire import HEARTBEAT

_HEARTBEAT_S = 1.0
_GOING_AWAY = 1001


class _Faucet:
    """A transport that can be told to let its bytes out in drops, or none at all."""

    def __init__(self, inner: asyncio.Transport) -> None:
        self.rate: float | None = None  # bytes a second; None: all at once
        self.waiting = bytearray()
        self._inner = inner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the transport's own
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        if self.rate is None:
            self._inner.write(data)
        elif self.rate:
            self.waiting += data

    def drip(self, count: int) -> None:
        drops = bytes(self.waiting[:count])
        del self.waiting[:count]
        if drops:
            self._inner.write(drops)

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size() + len(self.waiting)


class Client:
    """A `Peer` over a websocket."""

    def __init__(self, socket: ServerConnection, tasks: asyncio.TaskGroup) -> None:
        self._socket = socket
        self._tasks = tasks
        self._clock = asyncio.get_running_loop().time
        self._sent_at = self._dripped_at = self._clock()
        self._faucet = _Faucet(socket.transport)
        socket.transport = cast("asyncio.Transport", self._faucet)

    def write(self, message: bytes | str) -> None:
        """Send at once; what the client does not read waits in this process."""
        broadcast((self._socket,), message)
        self._sent_at = self._clock()

    def beat(self) -> None:
        """Send a heartbeat if nothing else was sent for a second."""
        if self._clock() - self._sent_at >= _HEARTBEAT_S:
            self.write(HEARTBEAT)

    def drip(self) -> None:
        """Let out what a throttle allows by now."""
        if self._faucet.rate:
            now = self._clock()
            count = int((now - self._dripped_at) * self._faucet.rate)
            if count:
                self._faucet.drip(count)
                self._dripped_at = now

    def buffered(self) -> int:
        """Bytes in this process."""
        return self._faucet.get_write_buffer_size()

    def abort(self) -> None:
        """As a crash of the broker would look."""
        self._faucet.abort()

    def close(self) -> None:
        """The closing handshake, beside everything else."""
        self.throttle(None)
        self._tasks.create_task(self._socket.close(_GOING_AWAY), name="simulator.close")

    def throttle(self, bytes_s: float | None) -> None:
        """Real bytes a second. 0: neither send nor read any more; None: all at once."""
        self._faucet.rate = bytes_s
        self._dripped_at = self._clock()
        if bytes_s == 0:
            self._faucet.waiting.clear()
            self._faucet.pause_reading()
        elif bytes_s is None:
            self._faucet.drip(len(self._faucet.waiting))
