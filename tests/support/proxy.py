"""A TCP proxy that can fall silent, cut lines, and eat one answer: the network on a bad day."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Between clients of ``port`` and a server of this machine. Made by `proxy`."""

    def __init__(self, upstream: int) -> None:
        self.port = 0
        self.silent = False
        """Nothing passes in either direction; connections stay open, new ones are accepted."""
        self.delay_s = 0.0
        """What the server says waits for so long, each piece by itself."""
        self.piece_bytes = 0
        """What the server says passes in pieces of so many bytes; 0: as it comes."""
        self.refusing = False
        """New connections are reset at once."""
        self.eat_answer_to = b""
        """The line is cut when the server has answered to these bytes, before the answer passes."""
        self.cut_before = b""
        """The line is cut when a client sends these bytes, before they pass."""
        self.seen = bytearray()
        """All that clients sent and that passed."""
        self.connections = 0
        """So many were accepted."""
        self._upstream = upstream
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Every connection is reset."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until either side is gone."""
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, up_writer}
        self._writers |= both
        eating = asyncio.Event()
        with suppress(ConnectionError):
            await asyncio.gather(
                self._to_server(reader, up_writer, eating), self._to_client(up_reader, writer, eating)
            )
        for one in both:
            one.transport.abort()
        self._writers -= both

    async def _to_server(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, eating: asyncio.Event
    ) -> None:
        while data := await reader.read(1 << 16):
            await self._voice()
            if self.cut_before and self.cut_before in data:
                self.cut_before = b""
                raise ConnectionResetError
            if self.eat_answer_to and self.eat_answer_to in data:
                self.eat_answer_to = b""
                eating.set()
            self.seen += data
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def _to_client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, eating: asyncio.Event
    ) -> None:
        while data := await reader.read(1 << 16):
            await self._voice()
            if eating.is_set():
                raise ConnectionResetError
            await asyncio.sleep(self.delay_s)
            size = self.piece_bytes or len(data)
            for at in range(0, len(data), size):
                writer.write(data[at : at + size])
                await writer.drain()
                await asyncio.sleep(0)  # each piece is a packet of its own
        raise ConnectionResetError

    async def _voice(self) -> None:
        while self.silent:  # noqa: ASYNC110 - a plain attribute reads best in tests
            await asyncio.sleep(0.01)


@asynccontextmanager
async def proxy(upstream: int) -> AsyncIterator[Proxy]:
    """A proxy in front of a port of this machine."""
    made = Proxy(upstream)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.silent = False
        made.cut()
        await asyncio.sleep(0.02)  # their tasks end with them
