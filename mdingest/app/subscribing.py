"""What a live feed subscribes: the symbols of a configuration, as its provider and the store know them."""

import asyncio
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel

from mdingest.config import Config
from mdingest.errors import ConfigError
from mdingest.pipeline.feeds import Wanted
from mdingest.pipeline.lists import cache_of, instrument_list, readable
from mdingest.providers.base import LiveProvider, Resolved
from mdingest.store.base import Store

log = structlog.get_logger()


async def wanted_of(
    config: Config, provider: LiveProvider[Any], symbols: tuple[str, ...], store: Store
) -> Wanted:
    """The subscriptions of a feed, with the store's ids. Unknown symbols are left out, loudly."""
    options = config.providers[provider.name]
    problems: list[str] = []
    if provider.needs_instruments:
        source: str = options.instruments  # type: ignore[attr-defined] # the adapter's own key
        cache = cache_of(config.journal.dir.parent / "instruments", f"{provider.name}.csv", source)
        path = await instrument_list(source, cache)
        resolved = await asyncio.to_thread(_resolve_file, provider, symbols, options, path, problems)
    else:
        resolved = provider.resolve(symbols, options, problems=problems)
    for problem in problems:
        log.error("symbols.unresolved", feed=provider.name, problem=problem)
    if not resolved:
        said = "\n".join(["none of its symbols can be resolved", *problems])
        raise ConfigError(f"{provider.name}: {said}")
    stored = await store.ensure_instruments([row.instrument for row in resolved])
    subs = [row.stored_as(instrument) for row, instrument in zip(resolved, stored, strict=True)]
    return Wanted(subs, problems)


def _resolve_file(
    provider: LiveProvider[Any], symbols: tuple[str, ...], options: BaseModel, path: Path, problems: list[str]
) -> list[Resolved]:
    with readable(path), path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        return provider.resolve(symbols, options, lines, problems=problems)
