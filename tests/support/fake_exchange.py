"""A websocket server that plays a script: a small real exchange with bad manners on request."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


@dataclass(frozen=True, slots=True)
class Refuse:
    """Instead of a session: answer the upgrade with this."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heed:
    """A step: wait until so many messages have come in this session."""

    messages: int


@dataclass(frozen=True, slots=True)
class Close:
    """A step: say goodbye properly."""

    code: int = 1000
    reason: str = ""


class Stay:
    """A step: say nothing more, and don't hang up."""


class Deaf:
    """A step: read nothing more, so that pings stay unanswered."""


STAY = Stay()
DEAF = Deaf()

Step = str | bytes | Heed | Close | Stay | Deaf | asyncio.Event
Session = Refuse | Sequence[Step]


class FakeExchange:
    """Plays one session per connect, in order, and hangs up without a word at a session's end.

    A step that is text or bytes is sent as a frame; an event is waited for. Who connects
    after the last session hears nothing, for ever. ``requests`` has the path of each upgrade
    request and ``sessions`` the messages of each client that was let in, also while they grow.
    """

    def __init__(self, *script: Session) -> None:
        self.requests: list[str] = []
        self.sessions: list[list[str | bytes]] = []
        self._script = list(script)
        self._progress = asyncio.Condition()

    @asynccontextmanager
    async def serve(self, tls: SSLContext | None = None) -> AsyncIterator[str]:
        """The address to connect to; the server is gone at the end of the block."""
        async with serve(
            self._play,
            "127.0.0.1",
            0,
            ssl=tls,
            process_request=self._greet,
            compression=None,
            close_timeout=0.2,
        ) as server:
            yield f"{'ws' if tls is None else 'wss'}://127.0.0.1:{_port(server)}"

    async def heard(self, session: int, messages: int) -> list[str | bytes]:
        """Wait until a session (0 is the first) was begun and has that many messages."""
        async with self._progress:
            await self._progress.wait_for(
                lambda: len(self.sessions) > session and len(self.sessions[session]) >= messages
            )
        return self.sessions[session]

    async def asked(self, requests: int) -> None:
        """Wait until so many upgrade requests have come."""
        async with self._progress:
            await self._progress.wait_for(lambda: len(self.requests) >= requests)

    async def _greet(self, _: ServerConnection, request: Request) -> Response | None:
        turn = len(self.requests)
        async with self._progress:
            self.requests.append(request.path)
            self._progress.notify_all()
        session = self._script[turn] if turn < len(self._script) else ()
        if isinstance(session, Refuse):
            return Response(session.status, "Refused", Headers(session.headers), session.body.encode())
        return None

    async def _play(self, client: ServerConnection) -> None:
        turn = len(self.requests) - 1
        session = self._script[turn] if turn < len(self._script) else (STAY,)
        heard: list[str | bytes] = []
        async with self._progress:
            self.sessions.append(heard)
            self._progress.notify_all()
        listener = asyncio.create_task(self._listen(client, heard))
        try:
            if not isinstance(session, Refuse):
                for step in session:
                    await self._take(step, client, heard)
        except ConnectionClosed:
            pass  # the client was the first to go
        else:
            client.transport.abort()
        await listener

    async def _take(self, step: Step, client: ServerConnection, heard: list[str | bytes]) -> None:
        if isinstance(step, Heed):
            async with self._progress:
                await self._progress.wait_for(lambda: len(heard) >= step.messages)
        elif isinstance(step, Close):
            await client.close(step.code, step.reason)
        elif isinstance(step, Stay):
            await client.wait_closed()
        elif isinstance(step, Deaf):
            client.transport.pause_reading()
        elif isinstance(step, asyncio.Event):
            await step.wait()
        else:
            await client.send(step)

    async def _listen(self, client: ServerConnection, heard: list[str | bytes]) -> None:
        try:
            async for message in client:
                async with self._progress:
                    heard.append(message)
                    self._progress.notify_all()
        except ConnectionClosed:
            return


def _port(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])
