"""Everything between sockets and store, built out of a Config."""

import itertools
from collections.abc import Iterator

import structlog

from mdingest.app.parts import make_decoder, settings_of, url_of
from mdingest.calendars import Calendars
from mdingest.config import Config
from mdingest.core.records import Batch
from mdingest.pipeline import reserve
from mdingest.pipeline.aggregate import Aggregator
from mdingest.pipeline.announce import Announcer
from mdingest.pipeline.intake import Intake
from mdingest.pipeline.journal import SEGMENT_BYTES, Journal
from mdingest.pipeline.poison import Poison, give_up_poison
from mdingest.pipeline.recovery import recover
from mdingest.pipeline.reserve import Reserve
from mdingest.pipeline.retain import Retainer
from mdingest.pipeline.room import Room, Ways
from mdingest.pipeline.source import BatchSource
from mdingest.pipeline.statefile import StateFiles
from mdingest.pipeline.supervise import Ingest
from mdingest.pipeline.writer import Writer
from mdingest.store.base import Position, Store, Transaction
from mdingest.store.urls import dialect_of, sqlite_path
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()

SEGMENTS = 16  # at least so many make up a journal of `max_bytes`: it is pruned by whole ones
_SMALLEST = 1 << 20
_STEPS_S = 0.25  # between two bursts of batches: a candle is known later by at most as much
_STREAM_BITS = 12  # connects of one start before ids may repeat those of the next
_STREAMS = (1 << 32) - 1


def open_journal(config: Config) -> Journal:
    """Locked, and whole again after whatever happened. See `Journal.open`."""
    size = min(SEGMENT_BYTES, max(_SMALLEST, config.journal.max_bytes // SEGMENTS))
    return Journal.open(config.journal.dir, command="mdingest run", segment_bytes=size)[0]


async def make_ingest(
    config: Config, clock: Clock, store: Store, journal: Journal, book: Calendars
) -> tuple[Ingest, Iterator[int]]:
    """Everything between sockets and store, and ids for streams."""
    settings = settings_of(config)
    claim = await store.claim(journal.uuid, "mdingest run")
    if claim.position is None and journal.end_lsn:
        # Another database's journal: its ids mean nothing here. It is replayed by symbol.
        journal.retire()
        claim = await store.claim(journal.uuid, "mdingest run")
    position = claim.position
    if position is None:
        # Known from its first byte on, or a death before the first commit would make it foreign.
        position = Position(journal.uuid, journal.end_lsn)
        await store.commit(Transaction(position=position, epoch=claim.epoch))
    poison = Poison(config.journal.dir, journal.uuid)
    give_up_poison(poison, journal)
    states = StateFiles(config.journal.dir, journal.uuid, lambda: journal.segments)
    # What is not committed may yet be shed, and was perhaps just quarantined: no state may know it otherwise.
    states.forget_beyond(min(journal.end_lsn, position.lsn))
    recovered = recover(
        states,
        first=journal.first_lsn,
        end=journal.end_lsn,
        position=position,
        settings=settings,
        make_decoder=make_decoder,
        across_a_hole=True,
    )
    journal.skip_to(recovered.committed)
    retainer = Retainer(
        journal,
        states,
        clock,
        kept_from=recovered.start,
        keep_s=config.journal.keep_s,
        max_bytes=config.journal.max_bytes,
    )
    source = BatchSource(
        journal,
        max(recovered.start, journal.first_lsn),
        spacing_s=clock.real_s(_STEPS_S),
        on_damage=lambda damage: log.warning("journal.damage", damage=str(damage)),
    )
    aggregator = Aggregator(
        recovered.machine,
        recovered.decoder,
        start=recovered.start,
        committed=recovered.committed,
        clock=clock,
        save_state=retainer.save_state,
        begins_segment=journal.begins_segment,
        stepping=poison.stepping,
    )
    writer = Writer(
        store, journal=journal.uuid, epoch=claim.epoch, sync=retainer.sync_to, on_commit=retainer.committed
    )
    ways = Ways(
        needed_from=lambda: retainer.needed_from,
        save_soon=aggregator.save_soon,
        committing=lambda: not writer.status.waiting_since_ns,
    )
    room = Room(journal, source, *_reserves(config), ways)
    retainer.make_room = room.spare

    def deliver(batch: Batch) -> None:
        writer.heard(batch)
        source.publish(batch)

    intake = Intake(
        journal,
        deliver,
        clock,
        tick_wanted=lambda: recovered.machine.tick_wanted,
        make_room=room.make,
    )
    announcer = Announcer(intake, book.table)
    ingest = Ingest(
        journal, source, intake, announcer, aggregator, writer, retainer, room, config.journal.fsync_s
    )
    return ingest, _stream_ids(claim.epoch)


def spare_room(config: Config) -> None:
    """Before anything is written at a start: on a full disk give up what was reserved for it."""
    for mine in _reserves(config) if config.journal.dir.exists() else ():
        if mine is not None and mine.held and mine.scarce:
            mine.give_up()


def _reserves(config: Config) -> tuple[Reserve, Reserve | None]:
    """Beside the journal, and beside a database that has a disk of its own."""
    mine = Reserve(config.journal.dir / reserve.NAME, config.journal.reserve)
    if dialect_of(url_of(config)) != "sqlite":
        return mine, None
    path = sqlite_path(url_of(config)).resolve()
    if not path.parent.exists() or path.parent.stat().st_dev == config.journal.dir.stat().st_dev:
        return mine, None
    return mine, Reserve(path.with_name(f"{path.name}.reserve"), config.journal.reserve)


def _stream_ids(epoch: int) -> Iterator[int]:
    """Numbers that no other start has given to a stream: the log's own 32 bits hold 1 M starts."""
    return (1 + ((epoch << _STREAM_BITS) + n) % _STREAMS for n in itertools.count())
