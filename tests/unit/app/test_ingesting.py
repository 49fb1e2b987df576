"""What a start finds beside the journal, and what it may still rely on."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from mdingest.app import ingesting
from mdingest.app.ingesting import make_ingest, open_journal
from mdingest.app.parts import calendars_of, make_decoder, open_writing, url_of
from mdingest.config import Config, load
from mdingest.core.control import Connect, Start, Subscription, VolumeKind, encode, encode_subscribe
from mdingest.core.events import State
from mdingest.core.instrument import Instrument
from mdingest.core.machine import Machine
from mdingest.core.records import Kind, Record
from mdingest.pipeline.decoding import BatchDecoder, pack_state
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.source import BatchSource
from mdingest.pipeline.statefile import StateFiles
from mdingest.pipeline.supervise import Ingest
from mdingest.store.base import Position, Transaction
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock
from tests.support.tapes import EPOCH, S
from tests.unit.pipeline.test_aggregate import make


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("realtime: [{provider: binance_ws, symbols: [BTCUSDT.BINANCE]}]\n")
    return load("c.yaml", {})


def append(journal: Journal, seconds: range) -> None:
    """A packet a second, and the second told."""
    for n in seconds:
        at = EPOCH + round((n + 0.9) * S)
        frame = Record(Kind.FRAME, 1, at, at, b"a %d" % n)
        journal.append([frame, Record(Kind.TICK, 0, at, at, b"")])


def written(journal: Journal, instrument_id: int) -> None:
    """Twenty seconds of one instrument."""
    sub = Subscription("a", instrument_id, 1.0, "always", VolumeKind.CUMULATIVE)
    hello = (
        (Kind.START, 0, encode(Start("test"))),
        (Kind.CONNECT, 1, encode(Connect("kite_ws", S))),
        (Kind.SUBSCRIBE, 1, encode_subscribe([sub])),
    )
    for kind, stream, payload in hello:
        journal.append([Record(kind, stream, EPOCH, EPOCH, payload)])
    append(journal, range(20))


async def stepped(ingest: Ingest) -> None:
    """All that the journal holds, committed; as by a process that stops then."""
    source = BatchSource(ingest.journal, ingest.source.position)
    source.close()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(ingest.aggregator.run(source, ingest.steps))
        group.create_task(ingest.writer.run(ingest.steps))


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


@pytest.mark.parametrize(
    ("committed", "closed"), [(20, 20), (30, 27)], ids=["with the state", "ten seconds later"]
)
async def test_what_is_left_behind_a_lost_first_segment_becomes_candles_and_the_hole_is_known(
    config: Config, monkeypatch: pytest.MonkeyPatch, committed: int, closed: int
) -> None:
    """Its streams were opened in the segment that is gone; a state remembers them."""
    monkeypatch.setattr(ingesting, "make_decoder", make)
    await migrate(url_of(config))
    async with open_writing(url_of(config), config) as store:
        instrument = Instrument("AAA.NS", "NSE", "", "always", VolumeKind.CUMULATIVE)
        (known,) = await store.ensure_instruments([instrument])
        with open_journal(config) as journal:
            ingest, _ = await make_ingest(config, Clock(), store, journal, calendars_of(config))
            written(journal, known.id)
            await stepped(ingest)  # ends with a state, at the position
            (state,) = config.journal.dir.glob("*.mds")
            if committed > 20:
                append(journal, range(20, committed))
                ingest, _ = await make_ingest(config, Clock(), store, journal, calendars_of(config))
                await stepped(ingest)
                max(config.journal.dir.glob("*.mds")).unlink()
                assert state.exists()
            append(journal, range(committed, 40))
            journal.rotate()
            append(journal, range(40, 60))
        min(config.journal.dir.glob("*.mdj")).unlink()

        with open_journal(config) as journal:
            ingest, _ = await make_ingest(config, Clock(), store, journal, calendars_of(config))
            await stepped(ingest)

        rows = await store.candles(known.id, 1, EPOCH, EPOCH + 60 * S, 100)
        seconds = [int(ts - EPOCH) // S for ts in rows["ts"]]
        final = [int(ts - EPOCH) // S for ts in rows["ts"][rows["state"] == State.FINAL]]
        gaps = await store.gaps(known.id, EPOCH, EPOCH + 60 * S)
    assert seconds == [*range(closed), *range(41, 57)]
    assert set(final) >= set(range(42, 57))
    assert not set(final) & set(range(19, 41))
    assert [(g.cause, (g.start_ns - EPOCH) // S) for g in gaps][-1:] == [("journal_lost", 19)]
