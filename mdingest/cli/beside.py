"""The daemon that runs beside a command: what it says of itself, and its clock, which may be shifted."""

import asyncio
import re
import sys
from typing import Any

from mdingest.config import Config
from mdingest.errors import ConfigError
from mdingest.telemetry.clock import Clock, parse_clock

_ANSWER_WITHIN_S = 3.0
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what was bound, not what we bind
_SHIFTED = re.compile(r"shifted, (x[0-9.]+)", re.ASCII)  # as `mdingest.app.daemon` says it


async def ask(config: Config) -> dict[str, Any]:
    """What ``/health`` says, or that nobody answers."""
    import aiohttp

    host = _host(config)
    address = f"http://{f'[{host}]' if ':' in host else host}:{config.api.port}"
    tokens = [token.get_secret_value() for token in config.api.tokens]
    headers = {"Authorization": f"Bearer {tokens[0]}"} if tokens else {}
    timeout = aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{address}/health", headers=headers) as reply,
        ):
            status, body = reply.status, await reply.text(errors="replace")
    except aiohttp.ClientConnectorError:
        why = "nothing listens there: no daemon runs, or one whose api.host and api.port are others"
        return {"address": address, "status": "does not answer", "reason": why}
    except (aiohttp.ClientError, TimeoutError) as exc:
        return {"address": address, "status": "does not answer", "reason": str(exc) or type(exc).__name__}
    said = _document(body)
    if isinstance(said.get("parts"), dict):
        return {"address": address, **said}
    detail = said.get("detail")
    why = f"HTTP {status}: {detail}" if detail else f"something else answers there (HTTP {status})"
    return {"address": address, "status": "does not answer", "reason": why}


async def clock_beside(config: Config, clock: Clock) -> Clock:
    """That of a daemon whose clock is shifted, else ``clock``, which wins if it is shifted itself."""
    if clock.shifted or not await _listens(config):
        return clock
    said = await ask(config)
    shifted = _SHIFTED.fullmatch(str(said.get("clock")))
    if shifted is None:
        return clock
    try:
        taken = parse_clock(f"{said.get('time')}{shifted[1]}")
    except ConfigError:  # of another version, which says its time otherwise
        return clock
    print(f"the daemon at {said['address']} has a shifted clock: going by it", file=sys.stderr)
    return taken


async def _listens(config: Config) -> bool:
    """Whether it is worth while to load an HTTP client."""
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            _, writer = await asyncio.open_connection(_host(config), config.api.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _host(config: Config) -> str:
    return _ANY_HOST.get(config.api.host, config.api.host)


def _document(text: str) -> dict[str, Any]:
    import orjson

    try:
        document = orjson.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
