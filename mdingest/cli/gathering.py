"""What `status` shows: what the running daemon says of itself, and what its database holds."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from mdingest.api.times import format_instant, parse_instant
from mdingest.app.tokens import tokens_of
from mdingest.cli.beside import ask
from mdingest.cli.screen import length
from mdingest.config import Config
from mdingest.core.interval import Interval
from mdingest.core.session import DAY_NS, SECOND_NS
from mdingest.pipeline.reserve import NAME as RESERVE
from mdingest.providers import PROVIDERS
from mdingest.providers.base import Token
from mdingest.store import open_store
from mdingest.store.base import Store, SymbolRow
from mdingest.telemetry.logging import mask

_COUNTED_SYMBOLS = 1_000  # whose gaps are counted: a look-up each


async def gather(config: Config) -> dict[str, Any]:
    """One mapping for the screen or for JSON. Raises ConfigError or StoreUnavailable."""
    url = config.database.url.get_secret_value()
    async with AsyncExitStack() as stack:
        store = await open_store(url, read_only=True)
        stack.push_async_callback(store.close)
        daemon = await ask(config)
        now = _now_of(daemon)
        stored = await _stored(store, now)
    journal = await asyncio.to_thread(size_of, config.journal.dir)
    return {
        "daemon": daemon,
        "tokens": token_files(config, now),
        "stored": {"database": mask(url), **stored},
        "journal": {"dir": str(config.journal.dir), "bytes": journal},
    }


def _now_of(daemon: dict[str, Any]) -> int:
    """The daemon's clock, which may be a shifted one; ours if it says nothing."""
    try:
        return parse_instant(str(daemon["time"]))
    except (KeyError, ValueError):
        return time.time_ns()


def token_files(config: Config, now_ns: int) -> list[dict[str, Any]]:
    """Which tokens are there for the daemon, never what they are."""
    rows: list[dict[str, Any]] = []
    for provider in PROVIDERS.values():
        if provider.access is None or provider.name not in config.providers:
            continue
        problems: list[str] = []
        found = tokens_of(provider, config, problems)
        rows += [_token(provider.name, token, now_ns) for token in found]
        rows += [{"provider": provider.name, "state": problem} for problem in problems]
        if not found and not problems:
            said = provider.access.unusable(None)
            rows.append({"provider": provider.name, "state": f"missing: {said.todo}"})
    return rows


def _token(provider: str, token: Token, now_ns: int) -> dict[str, Any]:
    state = "of unknown age"
    if token.expires_ns is not None:
        left_s = (token.expires_ns - now_ns) / SECOND_NS
        state = "expired" if left_s <= 0 else f"good for {length(left_s)}"
    expires = None if token.expires_ns is None else format_instant(token.expires_ns)
    return {"provider": provider, "state": state, "expires_at": expires, "source": token.source}


async def _stored(store: Store, now: int) -> dict[str, Any]:
    symbols, size = await store.symbols(), await store.size()
    counted = symbols[:_COUNTED_SYMBOLS]
    gaps = [await store.gaps(row.instrument.id, now - DAY_NS, now) for row in counted]
    newest = [_newest(row) for row in symbols]
    last = max((ns for ns in newest if ns is not None), default=None)
    intervals = sorted({seconds for row in symbols for seconds in row.ranges})
    rows = [
        {
            "symbol": row.instrument.symbol,
            **{
                Interval(s).text: format_instant(row.ranges[s][1]) if s in row.ranges else None
                for s in intervals
            },
            "gaps_24h": len(holes),
            "open_gap": next((hole.cause for hole in holes if hole.end_ns is None), None),
        }
        for row, holes in zip(counted, gaps, strict=True)
    ]
    return {
        "bytes": size.data + size.pending,
        "symbols": len(symbols),
        "last_candle": None if last is None else format_instant(last),
        "lag_s": None if last is None else round((now - last) / SECOND_NS, 1),
        "gaps_24h": sum(len(holes) for holes in gaps),
        "last_candles": rows,
    }


def _newest(row: SymbolRow) -> int | None:
    return max((last for _, last in row.ranges.values()), default=None)


def size_of(directory: Path) -> int:
    """Bytes of a journal, without the room that is held in advance."""
    files = (file for file in directory.glob("*") if not file.name.startswith(RESERVE))
    return sum(file.stat().st_size for file in files if file.is_file())
