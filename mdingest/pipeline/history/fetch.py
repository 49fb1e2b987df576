"""Requests to replies: the only place of history that opens files and sockets."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from mdingest.errors import PermanentError, TransientError
from mdingest.providers.history import FileRequest, HttpRequest, Reply, Request

if TYPE_CHECKING:
    import aiohttp  # at run time only where something is fetched: files need none of it

_TOTAL_S, _CONNECT_S = 60, 10
MAX_REPLY_BYTES = 64 << 20
_PIECE = 1 << 16


class Fetcher:
    """Opens what is asked for. A context, so that connections are kept between requests."""

    def __init__(self, timeout_s: float = _TOTAL_S) -> None:
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def reply(self, request: Request) -> AsyncIterator[Reply]:
        """The reply, open while the block runs.

        Raises PermanentError for a file that can't be read, TransientError for an address that
        does not answer. What a status means is the adapter's business.
        """
        if isinstance(request, FileRequest):
            body = _open(request)  # not in a thread: a cancel would lose the open file
            try:
                yield Reply(request, body)
            finally:
                body.close()
        else:
            yield await self._get(request)

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
                return Reply(request, body, reply.status, {k.lower(): v for k, v in reply.headers.items()})
        except aiohttp.InvalidURL as exc:
            raise PermanentError(f"{request.url} is no address") from exc
        except (aiohttp.ClientError, TimeoutError) as exc:
            # aiohttp's texts may hold the whole address, so a key in it
            raise TransientError(f"{request}: {type(exc).__name__}") from exc


def _open(request: FileRequest) -> BinaryIO:
    try:
        return request.path.open("rb")
    except OSError as exc:
        raise PermanentError(f"{request.path} can't be read: {exc.strerror}") from exc
