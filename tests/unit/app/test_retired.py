"""A journal of another database, found at a start, becomes candles of this one."""

import os
from pathlib import Path

import pytest

from mdingest.app import retired
from mdingest.app.ingesting import make_ingest, open_journal
from mdingest.app.parts import calendars_of, open_writing, url_of
from mdingest.app.retired import DONE, replay_retired
from mdingest.config import Config, load
from mdingest.errors import StoreUnavailable
from mdingest.store.base import Committed, Transaction
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock
from tests.support.tapes import EPOCH, S
from tests.unit.pipeline.test_aggregate import make
from tests.unit.pipeline.test_replay import written


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("realtime: [{provider: binance_ws, symbols: [BTCUSDT.BINANCE]}]\n")
    return load("c.yaml", {})


async def test_it_is_brought_once_whatever_happens_to_the_database(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retired, "make_decoder", make)
    monkeypatch.setattr(retired, "AGAIN_S", 0.0)
    written(config.journal.dir)
    await migrate(url_of(config))
    brought: list[Transaction] = []
    async with open_writing(url_of(config), config) as store:
        with open_journal(config) as journal:
            ingest, _ = await make_ingest(config, Clock(), store, journal, calendars_of(config))

            async def bring(transaction: Transaction) -> Committed:
                brought.append(transaction)
                if len(brought) == 1:
                    raise StoreUnavailable("away for a moment")
                return await ingest.writer.bring(transaction)

            await replay_retired(config, Clock(), store, bring)
            (done,) = config.journal.dir.glob(f"*/{DONE}")
            times = len(brought)
            await replay_retired(config, Clock(), store, bring)

        (instrument,) = await store.instruments()
        rows = await store.candles(instrument.id, 1, EPOCH, EPOCH + 60 * S, 100)
        assert len(rows) == len(brought[-1].candles) > 10
        assert len(brought) == times
        os.utime(done, (0, 0))
        await replay_retired(config, Clock(), store, bring)
        assert not done.parent.exists()
