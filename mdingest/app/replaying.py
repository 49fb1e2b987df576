"""``mdingest replay``: candles again from a journal, into a database or against one."""

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mdingest import __version__
from mdingest.app.instants import instant_of
from mdingest.app.parts import ingest_mark, make_decoder, open_reading, open_writing, settings_of, url_of
from mdingest.config import Config
from mdingest.core.control import Start
from mdingest.errors import ConfigError
from mdingest.pipeline.compare import compare
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.replay import AT_ITS_END, Part, ReplayReport, replay
from mdingest.store.migrate import migrate


async def run_replay(
    config: Config,
    directory: Path,
    into: str | None,
    *,
    verify: bool,
    start: str | None = None,
    end: str | None = None,
) -> ReplayReport:
    """Candles again from a journal, or from what was heard in ``[start, end)``: instants, or addresses.

    ``verify``: compare them with what ``into`` (else ``config.database``) holds, up to its
    position; it is only read. Otherwise write them to ``into``; refused while a daemon
    ingests there.
    """
    if verify and end is not None:
        raise ConfigError("--end: stored rows may have changed since; --verify compares up to the present")
    reader = JournalReader(directory)
    first, last = _address(reader, "--start", start), _address(reader, "--end", end)
    if first is not None and last is not None and first > last:
        raise ConfigError("--start must lie before --end")
    again = partial(
        replay,
        directory,
        make_decoder=make_decoder,
        running=Start(__version__, settings_of(config)),
        part=Part(first, last),
    )
    if not verify:
        target = into or url_of(config)
        with ingest_mark(target, "mdingest replay"):
            await migrate(target)
            async with open_writing(target, config) as store:
                await store.claim("", "mdingest replay")
                report, _ = await again(store, ended_ns=AT_ITS_END)  # nobody will end it later
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


def _address(reader: JournalReader, option: str, text: str | None) -> int | None:
    """Of an instant as people type it, or of digits that are one."""
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    try:
        return reader.lsn_at(instant_of(text, None))
    except ConfigError as exc:
        raise ConfigError(f"{option}: {exc}, or an address (LSN)") from exc
