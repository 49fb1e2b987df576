"""Another token brings on at once what had failed without it, instead of at its next turn."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

import structlog

from mdingest.app.repairing import menders_of
from mdingest.app.tokens import living_token
from mdingest.config import Config
from mdingest.errors import StoreUnavailable
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.upkeep.repair import Repairer
from mdingest.pipeline.upkeep.schedule import Schedule
from mdingest.providers import HISTORY
from mdingest.store.base import GapRow, Store, Transaction
from mdingest.store.upkeep import OPEN
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()

LOOK_S = 2.0  # real, between looks at files
_PAGE = 1_000

Renewed = Callable[[Collection[str]], Awaitable[None]]
"""Called with the history providers that can be asked with another token than before."""


def tokens_in_force(config: Config, now_ns: int) -> dict[str, str]:
    """By history provider, the token it would be asked with now, if it needs one and has it."""
    found = {}
    for name in (name for name in HISTORY if name in config.providers):  # sections hold the tokens
        token = living_token(HISTORY[name], config, now_ns)
        if token is not None:
            found[name] = token.secret.get_secret_value()
    return found


async def watch_renewals(config: Callable[[], Config], clock: Clock, renewed: Renewed) -> None:
    """Until cancelled. A database that does not answer is told again at the next look."""
    before = tokens_in_force(config(), clock.wall_ns())
    while True:
        await asyncio.sleep(LOOK_S)
        now = tokens_in_force(config(), clock.wall_ns())
        if names := [name for name, token in now.items() if before.get(name) != token]:
            try:
                await renewed(names)
            except StoreUnavailable as exc:
                log.warning("upkeep.not_renewed", providers=names, error=str(exc))
                continue
        before = now


def renewal_of(
    config: Callable[[], Config],
    clock: Clock,
    store: Store,
    commit: Commit,
    schedule: Schedule,
    repairer: Repairer,
) -> Renewed:
    """What failed of both is due now."""

    async def renewed(names: Collection[str]) -> None:
        jobs = schedule.renewed(names)
        gaps = 0
        after: GapRow | None = None
        while True:
            page = await store.upkeep.unrepaired(0, _PAGE, after)
            sources = {gap.source for gap in page}
            feeds = {source: menders_of(config(), source, clock.wall_ns()) for source in sources}
            waiting = [
                replace(gap, retry_ns=0)
                for gap in page
                if gap.repair == OPEN and gap.retry_ns and not set(feeds[gap.source]).isdisjoint(names)
            ]
            if waiting:
                await commit(Transaction(repairs=waiting))
            gaps += len(waiting)
            if len(page) < _PAGE:
                break
            after = page[-1]
        repairer.alarm.ring()
        if jobs or gaps:
            log.info("upkeep.renewed", providers=[*names], jobs=jobs, gaps=gaps)

    return renewed
