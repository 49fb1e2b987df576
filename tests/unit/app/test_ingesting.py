"""What a start finds beside the journal, and what it may still rely on."""

from functools import partial
from pathlib import Path

import pytest

from mdingest.app.ingesting import make_ingest, open_journal
from mdingest.app.parts import calendars_of, make_decoder, open_writing, url_of
from mdingest.config import Config, load
from mdingest.core.control import Start, encode
from mdingest.core.machine import Machine
from mdingest.core.records import Kind, Record
from mdingest.pipeline.decoding import BatchDecoder, pack_state
from mdingest.pipeline.statefile import StateFiles
from mdingest.store.base import Position, Transaction
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("realtime: [{provider: binance_ws, symbols: [BTCUSDT.BINANCE]}]\n")
    return load("c.yaml", {})


async def test_states_beyond_what_is_committed_do_not_outlive_a_start(config: Config) -> None:
    """What lies behind the position may yet be shed or quarantined: such a state would hide the gap."""
    await migrate(url_of(config))
    with open_journal(config) as journal:
        batches = [journal.append([Record(Kind.START, 0, n, n, encode(Start("test")))]) for n in range(1, 4)]
        states = StateFiles(config.journal.dir, journal.uuid, lambda: journal.segments)
        decoder = BatchDecoder(make_decoder)
        for batch in (batches[0], batches[2]):
            await states.save(batch.end, partial(pack_state, decoder, Machine()))
        async with open_writing(url_of(config), config) as store:
            claim = await store.claim(journal.uuid, "before")
            position = Position(journal.uuid, batches[1].end)
            await store.commit(Transaction(position=position, epoch=claim.epoch))

            ingest, _ = await make_ingest(config, Clock(), store, journal, calendars_of(config))

        assert ingest.source.position == batches[0].end
        found = states.load_newest(journal.end_lsn)
        assert found is not None
        assert found.lsn == batches[0].end
