"""Requests to replies: the only place of history that opens files and sockets, and starts processes."""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import orjson

from mdingest.errors import NotThere, NotYet, PermanentError, TransientError
from mdingest.pipeline.history import kept
from mdingest.pipeline.history.child import MAX_REPLY_BYTES, Child, program
from mdingest.providers.asking import FileRequest, HttpRequest, LibraryRequest, Reply, Request

if TYPE_CHECKING:
    import aiohttp  # at run time only where something is fetched: files need none of it

_TOTAL_S, _CONNECT_S = 60, 10
_LIBRARY_S = 30.0  # of each of the few requests that a library makes for one of ours
_IDLE_S = 30.0  # what a library takes of a small machine's memory is given back then
_PIECE = 1 << 16
_NOT_FOUND = 404
_ABSENT_S = 600.0  # so long nobody asks again for what was not there
_ABSENT_MOST = 10_000


class Fetcher:
    """Opens what is asked for. A context, so that connections and processes are kept between requests."""

    def __init__(self, timeout_s: float = _TOTAL_S, children: dict[str, Child] | None = None) -> None:
        """``children``: processes of libraries by name, which then outlive this."""
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._absent: dict[str, float] = {}  # addresses of replies to keep that are not there, and until when
        self._children: dict[str, Child] = {} if children is None else children
        self._owns_children = children is None
        self._turn = asyncio.Lock()  # a library is asked one thing at a time
        self._idle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._idle is not None:
            self._idle.cancel()
        if self._owns_children:
            self._end_children()

    @asynccontextmanager
    async def reply(self, request: Request) -> AsyncIterator[Reply]:
        """The reply, open while the block runs.

        Raises PermanentError for a file that can't be read, TransientError for an address that
        does not answer. What a status means is the adapter's business; if the block raises NotYet or
        NotThere, that is remembered. Cancelling ends the library that is being waited for.
        """
        if isinstance(request, FileRequest):
            body = _open(request)  # not in a thread: a cancel would lose the open file
            try:
                yield Reply(request, body)
            finally:
                body.close()
        elif isinstance(request, LibraryRequest):
            yield await self._let_ask(request)
        elif request.keep is not None and (held := _kept(request.keep.path)) is not None:
            kept.touch(request.keep)
            try:
                yield Reply(request, held)
            finally:
                held.close()
        elif self.has(request):
            yield Reply(request, io.BytesIO(), _NOT_FOUND)
        else:
            reply = await self._get(request)
            try:
                yield reply
            except (NotYet, NotThere):
                self.absent(request)
                raise

    def has(self, request: Request) -> bool:
        """Whether nobody has to be asked."""
        if isinstance(request, FileRequest):
            return True
        if isinstance(request, LibraryRequest) or request.keep is None:
            return False
        return request.keep.path.exists() or self._is_absent(request.url)

    async def understood(self, reply: Reply) -> None:
        """The reply was what it should be: keep it, if its request wants that and it is new."""
        request = reply.request
        if not isinstance(request, HttpRequest) or request.keep is None or self._is_absent(request.url):
            return
        if not request.keep.path.exists():
            await asyncio.to_thread(kept.store, request.keep, reply)

    def absent(self, request: Request) -> None:
        """The reply said that there is no such thing: nobody asks again for some minutes."""
        if isinstance(request, HttpRequest) and request.keep is not None:
            self._remember_absent(request.url)

    def misunderstood(self, request: Request) -> None:
        """The reply was not: one that was kept is fetched again."""
        if isinstance(request, HttpRequest) and request.keep is not None:
            kept.drop(request.keep)

    async def _let_ask(self, request: LibraryRequest) -> Reply:
        name = request.library
        job = dict(request.job) | {"timeout_s": min(self._timeout_s, _LIBRARY_S)}
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            child = self._children.setdefault(name, Child(name, program(name)))
            try:
                answer = await child.ask(orjson.dumps(job), 2 * self._timeout_s)
            except TransientError as exc:
                raise TransientError(f"{request}: {exc}") from exc
            if self._owns_children:
                self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._end_children)
        return Reply(request, io.BytesIO(answer))

    def _end_children(self) -> None:
        for child in self._children.values():
            child.close()

    def _is_absent(self, url: str) -> bool:
        until = self._absent.get(url)
        if until is not None and until <= time.monotonic():
            del self._absent[url]
            return False
        return until is not None

    def _remember_absent(self, url: str) -> None:
        now = time.monotonic()
        while self._absent and (oldest := next(iter(self._absent.items())))[1] <= now:
            del self._absent[oldest[0]]
        if len(self._absent) < _ABSENT_MOST:
            self._absent[url] = now + _ABSENT_S

    async def _get(self, request: HttpRequest) -> Reply:
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=_CONNECT_S)
            self._session = aiohttp.ClientSession(timeout=timeout)
        body = io.BytesIO()
        params = [*request.params, *request.secret_params]
        try:
            async with self._session.get(
                request.url, params=params, headers=dict(request.secret_headers)
            ) as reply:
                async for piece in reply.content.iter_chunked(_PIECE):
                    body.write(piece)
                    if body.tell() > MAX_REPLY_BYTES:
                        raise PermanentError(
                            f"{request}: the reply is longer than {MAX_REPLY_BYTES >> 20} MiB"
                        )
                body.seek(0)
                if reply.status == _NOT_FOUND and request.keep is not None:
                    self._remember_absent(request.url)
                return Reply(request, body, reply.status, {k.lower(): v for k, v in reply.headers.items()})
        except aiohttp.InvalidURL as exc:
            raise PermanentError(f"{request.url} is no address") from exc
        except (aiohttp.ClientError, TimeoutError) as exc:
            # aiohttp's texts may hold the whole address, so a key in it
            raise TransientError(f"{request}: {type(exc).__name__}") from exc


def _kept(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except OSError:
        return None


def _open(request: FileRequest) -> BinaryIO:
    try:
        return request.path.open("rb")
    except OSError as exc:
        raise PermanentError(f"{request.path} can't be read: {exc.strerror}") from exc
