"""The HTTP application over a small reader in memory, with a clock turned by hand."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from mdingest.telemetry.health import Health
from mdingest.telemetry.metrics import Metrics
from tests.support.fake_reader import FakeReader


@dataclass
class Api:
    """The application over a reader, with a clock turned by hand."""

    client: TestClient[Any, Any]
    reader: FakeReader
    health: Health
    metrics: Metrics
    clock: list[int]

    async def get(self, path: str, **headers: str) -> ClientResponse:
        """One request."""
        return await self.client.get(path, headers=headers)

    async def json(self, path: str, status: int = 200) -> dict[str, Any]:
        """The document of one request, which must have this status."""
        reply = await self.get(path)
        assert reply.status == status, await reply.text()
        document: dict[str, Any] = await reply.json(content_type=None)
        return document


MakeApi = Callable[..., Awaitable[Api]]
