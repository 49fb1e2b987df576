"""Applications over small readers in memory."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack

import pytest

from mdingest.core.events import Candles
from tests.support.fake_reader import FakeReader, at
from tests.support.served import Api, MakeApi, ReaderT, served


@pytest.fixture
async def make_api() -> AsyncIterator[MakeApi]:
    """An application over a reader of one's own."""
    async with AsyncExitStack() as stack:

        async def make(
            reader: ReaderT,
            *,
            now: int,
            tokens: Iterable[str] = (),
            forming: Callable[[int, int], Candles] | None = None,
        ) -> Api[ReaderT]:
            return await stack.enter_async_context(served(reader, now=now, tokens=tokens, forming=forming))

        yield make


@pytest.fixture
def reader() -> FakeReader:
    """Nothing stored."""
    return FakeReader()


@pytest.fixture
async def api(make_api: MakeApi, reader: FakeReader) -> Api[FakeReader]:
    """The application over `reader`."""
    return await make_api(reader, now=at("18:00:00"))
