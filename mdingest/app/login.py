"""``mdingest login``: from the page of a broker to today's token in its file."""

from typing import Any

import aiohttp
from pydantic import BaseModel

from mdingest.app.tokens import write_secret
from mdingest.config import Config
from mdingest.errors import ConfigError, TransientError
from mdingest.providers import PROVIDERS
from mdingest.providers.base import Access, LiveProvider, Token
from mdingest.telemetry.clock import Clock

_TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=10)


def absent_at_login(broker: str) -> list[str]:
    """Keys whose variables need not be set before the login: it is there to bring them."""
    provider, _ = _provider(broker)
    return [f"providers.{provider.name}.access_token"]


def login_address(config: Config, broker: str) -> str:
    """The page on which a person logs in. Raises ConfigError."""
    provider, access = _provider(broker)
    return access.address(_options(config, provider))


async def log_in(config: Config, broker: str, pasted: str, clock: Clock) -> Token:
    """Exchange what the person brought back for a token and file it; the file's path is its source.

    Raises ConfigError for what is no request token, PermanentError or TransientError if
    the broker does not take it, OSError if the file can't be written.
    """
    provider, access = _provider(broker)
    options = _options(config, provider)
    file = access.file(options)
    if file is None:
        raise ConfigError(f"providers.{provider.name}: names no file for the token")
    call = access.exchange(options, pasted)
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(call.url, data=call.form, headers=call.headers, allow_redirects=False) as reply,
        ):
            status, body = reply.status, await reply.text(errors="replace")
    except (aiohttp.ClientError, OSError) as exc:  # a TimeoutError is an OSError
        raise TransientError(f"{call.url} does not answer ({type(exc).__name__}): try again") from None
    text = access.granted(options, status, body, clock.wall_ns())
    write_secret(file, text)
    return access.read(options, text, str(file))


def _provider(broker: str) -> tuple[LiveProvider[Any], Access[Any]]:
    for provider in PROVIDERS.values():
        if provider.access is not None and provider.access.name == broker:
            return provider, provider.access
    raise ConfigError(f"login {broker}: not available yet")


def _options(config: Config, provider: LiveProvider[Any]) -> BaseModel:
    if provider.name not in config.providers:
        raise ConfigError(
            f"providers.{provider.name}: is missing: the login needs its api_key and api_secret "
            "(config/config.example.yaml shows them)"
        )
    return config.providers[provider.name]
