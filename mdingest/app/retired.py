"""Journals of other databases, set aside at a start, become candles of this one."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from mdingest import __version__
from mdingest.app.parts import make_decoder, settings_of
from mdingest.config import Config
from mdingest.core.control import Start
from mdingest.errors import JournalError, StoreUnavailable
from mdingest.store.base import Store, Transaction
from mdingest.telemetry.clock import Clock

if TYPE_CHECKING:
    from mdingest.pipeline.replay import ReplayReport

log = structlog.get_logger()

DONE = "REPLAYED"  # in the folder of a retired journal
AGAIN_S = 60.0  # real, until a database is tried again that was away


async def replay_retired(
    config: Config, clock: Clock, store: Store, bring: Callable[[Transaction], Awaitable[object]]
) -> None:
    """Bring journals of other databases into this one, once each, beside the live work.

    A death in between costs nothing: an unfinished one is replayed again. Those that are
    done are deleted when they are older than ``journal.keep``.
    """
    for folder in sorted(path for path in config.journal.dir.glob("*-*-*-*-*") if path.is_dir()):
        done = folder / DONE
        if not done.exists():
            from mdingest.pipeline.replay import replay  # few daemons ever have one

            again = partial(
                replay,
                folder,
                store,
                make_decoder=make_decoder,
                running=Start(__version__, settings_of(config)),
                ended_ns=clock.wall_ns(),
                commit=bring,
            )
            if await _replayed(again, folder):
                done.touch()
        elif time.time() - done.stat().st_mtime > config.journal.keep_s:
            shutil.rmtree(folder)
            log.info("journal.pruned", folder=str(folder))


async def _replayed(
    again: "Callable[[], Awaitable[tuple[ReplayReport, list[tuple[int, int]]]]]", folder: Path
) -> bool:
    """Whether it could be read. A database that is away is tried again until it is back."""
    while True:
        try:
            report, _ = await again()
        except JournalError as exc:
            log.warning("replay.retired_failed", folder=str(folder), error=str(exc))
            return False
        except StoreUnavailable as exc:
            log.warning("replay.retired_waits", folder=str(folder), error=str(exc))
            await asyncio.sleep(AGAIN_S)
        else:
            log.info("replay.retired_done", journal=report.journal, rows=report.rows)
            return True
