"""``mdingest replay``: candles again from a journal, into a database or against one."""

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mdingest import __version__
from mdingest.app.parts import lock_path, make_decoder, open_reading, open_writing, settings_of, url_of
from mdingest.config import Config
from mdingest.pipeline.lock import FileLock
from mdingest.pipeline.replay import ReplayReport, compare, replay
from mdingest.store.migrate import migrate


async def run_replay(config: Config, directory: Path, into: str | None, *, verify: bool) -> ReplayReport:
    """Candles again from a journal.

    ``verify``: compare them with what ``into`` (else ``config.database``) holds, up to its
    position; it is only read. Otherwise write them to ``into``; refused while a daemon
    ingests there.
    """
    again = partial(
        replay, directory, make_decoder=make_decoder, code=__version__, settings=settings_of(config)
    )
    if not verify:
        target = into or url_of(config)
        with FileLock(lock_path(target), "mdingest replay"):
            await migrate(target)
            async with open_writing(target, config) as store:
                report, _ = await again(store)
                return report
    async with AsyncExitStack() as stack:
        stored = await stack.enter_async_context(open_reading(into or url_of(config)))
        scratch = stack.enter_context(TemporaryDirectory(prefix="mdingest-replay-"))
        target = f"sqlite:///{scratch}/replayed.db"
        await migrate(target)
        replayed = await stack.enter_async_context(open_writing(target, config))
        positions = {position.journal: position.lsn for position in await stored.positions()}
        report, spans = await again(replayed, until_of=positions.get)
        await compare(replayed, stored, report, spans)
        return report
