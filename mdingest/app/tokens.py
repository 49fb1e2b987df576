"""Tokens as files: written by ``login``, found by the daemon, shown by ``status``."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel

from mdingest.config import Config
from mdingest.errors import ConfigError
from mdingest.pipeline.credentials import Credentials
from mdingest.providers.base import LiveProvider, Token
from mdingest.providers.history import HistoryProvider
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()

_NOBODY_ELSE = 0o600
_MAX_BYTES = 65_536


def credentials_of(
    provider: LiveProvider[Any],
    config: Callable[[], Config],
    clock: Clock,
    *,
    on_change: Callable[[Token], None],
) -> Credentials:
    """The credentials of a provider whose ``access`` is not None, as ``config()`` has it then."""
    access = provider.access
    if access is None:
        raise AssertionError(provider.name)
    said: list[str] = []

    def options() -> BaseModel:
        return config().providers[provider.name]

    def candidates() -> Sequence[Token]:
        problems: list[str] = []
        found = tokens_of(provider, config(), problems)
        for problem in problems:
            if problem not in said:
                log.warning("credentials.unreadable", feed=provider.name, problem=problem)
        said[:] = problems
        return found

    return Credentials(
        provider.name,
        clock,
        candidates=candidates,
        unusable=access.unusable,
        probe=lambda token: access.probe(options(), token.secret),
        doubted=access.doubted,
        on_change=on_change,
    )


def tokens_of(
    provider: LiveProvider[Any] | HistoryProvider[Any], config: Config, problems: list[str]
) -> list[Token]:
    """The token of the configuration and that of the file, the newer one first.

    What can't be read is told in ``problems``.
    """
    access, options = provider.access, config.providers.get(provider.name)
    if access is None or options is None:
        return []
    found = []
    file = access.file(options)
    if file is not None and (text := _read(file, problems)) is not None:
        try:
            found.append(access.read(options, text, str(file)))
        except ConfigError as exc:
            problems.append(str(exc))
    given = access.given(options)
    if given is None:
        return found
    # Nobody knows when it was made; it is not newer than the files that hold the configuration.
    written_ns = max((_mtime_ns(path) for path in config.read_from), default=0)
    own = Token(given, "configuration")
    is_newer = bool(found) and (found[0].made_ns or 0) > written_ns
    return [*found, own] if is_newer else [own, *found]


def living_token(
    provider: LiveProvider[Any] | HistoryProvider[Any], config: Config, now_ns: int
) -> Token | None:
    """The token that a provider is asked with now: the first of `tokens_of` that is not too old."""
    for token in tokens_of(provider, config, []):
        if token.expires_ns is None or token.expires_ns > now_ns:
            return token
    return None


def write_secret(path: Path, text: str) -> None:
    """A file that only its owner may read, complete or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _NOBODY_ELSE)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _NOBODY_ELSE)  # whatever the umask
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _read(path: Path, problems: list[str]) -> str | None:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        problems.append(f"{path}: can't be read: {getattr(exc, 'strerror', None) or 'not UTF-8 text'}")
        return None


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
