"""A disk that fills: what goes first, what is kept, and how it comes back."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdingest.app.ingesting import spare_room
from mdingest.config import Config
from mdingest.core.records import Batch, Kind, Record
from mdingest.errors import PermanentError
from mdingest.pipeline.channel import ChannelClosed
from mdingest.pipeline.intake import Intake
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.reserve import Reserve
from mdingest.pipeline.room import PATIENCE, Room, Ways
from mdingest.pipeline.source import BatchSource
from mdingest.pipeline.tail import JournalFull
from mdingest.telemetry.clock import Clock
from tests.support.disks import fill, small_disk

MIB = 1 << 20
RESERVE = 2 * MIB


class Feeds:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.parked: PermanentError | None = None
        self.woken = 0

    def park(self, why: PermanentError) -> None:
        self.parked = why

    def wake(self) -> None:
        self.parked = None
        self.woken += 1


class House:
    """A journal on a disk of 16 MiB with all that looks after it, moved by hand."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        self.journal = Journal.open(disk / "journal", segment_bytes=MIB)[0]
        self.source = BatchSource(self.journal, 0)
        self.feeds = Feeds()
        self.needed = 0
        self.committing = True
        self.states = 0
        ways = Ways(lambda: self.needed, self._save, lambda: self.committing)
        self.reserve = Reserve(disk / "journal" / "RESERVE", RESERVE)
        self.room = Room(self.journal, self.source, self.reserve, None, ways)
        self.room.feeds = [self.feeds]
        self.intake = Intake(self.journal, self.source.publish, Clock(), make_room=self.room.make)

    def _save(self) -> None:
        self.states += 1

    def hear(self, mib: float) -> None:
        """So much arrives, and can't be packed."""
        for _ in range(round(mib * 16)):
            self.intake.add(Kind.FRAME, 1, os.urandom(MIB // 16))
            self.intake.flush()

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            while await self.room.look():
                pass

    async def read(self) -> list[Batch]:
        """All that the aggregator would get from here on."""
        self.source.close()
        found = []
        try:
            while True:
                found.append(await self.source.next())
        except ChannelClosed:
            return found

    @property
    def state(self) -> object:
        return self.room.check()[1]["state"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        one = House(disk)
        with one.journal:
            yield one


async def test_the_journal_goes_on_when_the_folder_of_the_database_is_away(house: House) -> None:
    ways = Ways(lambda: 0, house._save, lambda: False)
    other = Reserve(house.disk / "gone" / "candles.db.reserve", RESERVE)
    room = Room(house.journal, house.source, house.reserve, other, ways)
    assert not await room.look()
    assert house.reserve.held


async def test_with_enough_room_nothing_happens_but_that_a_reserve_is_made(house: House) -> None:
    await house.look()
    house.hear(1)
    await house.look()
    assert house.reserve.held
    assert (house.state, house.states, house.journal.first_lsn) == ("ok", 0, 0)
    assert house.room.unfit() is None


async def test_first_goes_what_recovery_does_not_need_and_no_frame_is_lost(house: House) -> None:
    await house.look()
    house.hear(8)
    house.needed = house.journal.segments[-2]
    fill(house.disk / "others", leave=MIB)

    await house.look()

    assert house.journal.first_lsn == house.needed
    assert house.reserve.held
    assert house.room.shed_frames == 0
    assert house.feeds.parked is None


async def test_what_a_commit_would_let_go_is_waited_for_and_asked_for(house: House) -> None:
    await house.look()
    house.hear(8.5)
    fill(house.disk / "others", leave=MIB // 2)
    await house.look(PATIENCE)
    assert house.states == PATIENCE
    assert (house.room.shed_frames, house.feeds.parked) == (0, None)

    house.needed = house.journal.end_lsn
    await house.look()

    assert house.state == "low"
    assert len(house.journal.segments) == 1


async def test_without_a_database_the_oldest_unread_frames_are_shed_and_the_log_says_where(
    house: House,
) -> None:
    await house.look()
    house.hear(1.5)
    first = await house.source.next()
    house.hear(7)
    house.committing = False
    fill(house.disk / "others", leave=MIB // 2)

    await house.look()

    assert house.state == "shedding"
    assert house.room.check()[1]["what_to_do"]
    assert house.reserve.held
    assert house.feeds.parked is None
    read = [first, *await house.read()]
    assert [a.end for a in read[:-1]] == [b.lsn for b in read[1:]]  # no address is missing
    log = [(b.lsn, b.end, list(b.records())) for b in JournalReader(house.disk / "journal").read()]
    assert log == [(b.lsn, b.end, list(b.records())) for b in read]
    shed = [b for b in read if Kind.SHED in b.kinds]
    assert [b.lsn for b in shed] == list(house.journal.segments[1 : 1 + len(shed)])  # not the one in use
    frames = sum(int((b.kinds == Kind.FRAME).sum()) for b in read)
    assert frames + house.room.shed_frames == 8.5 * 16


async def test_a_full_disk_takes_one_more_batch_then_parks_and_comes_back(house: House) -> None:
    await house.look()
    house.hear(1)
    fill(house.disk / "others")
    house.hear(1)  # in the room that the reserve gave up
    assert not house.reserve.held
    fill(house.disk / "more")
    with pytest.raises(JournalFull):
        house.hear(1)
    house.intake.add(Kind.DISCONNECT, 1, b"{}")  # how the stream ended is kept

    await house.look()

    assert (house.state, house.room.check()[0]) == ("parked", False)
    assert "free space" in str(house.feeds.parked)
    assert house.room.unfit() is house.feeds.parked
    (house.disk / "more").unlink()
    await house.look()
    assert house.state == "parked"  # there is room for the reserve and for nothing else
    (house.disk / "others").unlink()
    await house.look(2)
    assert (house.state, house.room.check()[0]) == ("ok", True)
    assert (house.feeds.parked, house.feeds.woken, house.reserve.held) == (None, 1, True)
    house.hear(1)
    assert [r.kind for b in await house.read() for r in b.records()].count(Kind.DISCONNECT) == 1


async def test_room_that_came_back_by_itself_costs_no_frame_and_no_connection(house: House) -> None:
    """A batch was refused, and before anybody looked the disk had room again."""
    await house.look()
    house.hear(5)
    house.committing = False
    fill(house.disk / "others")
    house.reserve.give_up()
    fill(house.disk / "more")
    with pytest.raises(JournalFull):
        house.hear(1)
    (house.disk / "others").unlink()
    (house.disk / "more").unlink()

    await house.look()

    assert (house.room.shed_frames, house.state, house.room.unfit()) == (0, "ok", None)
    assert (house.feeds.parked, house.feeds.woken, house.reserve.held) == (None, 1, True)


async def test_what_is_being_read_while_frames_are_shed_is_read_again(house: House) -> None:
    house.hear(5)
    house.source = BatchSource(house.journal, 0)  # as after a start: nothing is in memory
    reading = asyncio.create_task(house.source.next())
    await asyncio.sleep(0)
    with house.source.paused() as position:
        house.journal.files.shed_next(position)
        await asyncio.sleep(0.05)
        assert (position, reading.done()) == (0, False)
    batch = await reading
    assert (batch.lsn, batch.end) == (0, house.journal.segments[1])
    assert Kind.SHED in batch.kinds


async def test_a_stop_on_a_full_disk_leaves_nothing_half_done(house: House) -> None:
    running = asyncio.create_task(house.intake.run())
    await asyncio.sleep(0)
    fill(house.disk / "others")
    house.intake.add(Kind.FRAME, 1, os.urandom(MIB // 2))
    await asyncio.sleep(0.2)  # refused again and again, which ends nothing
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    house.journal.close()
    (house.disk / "others").unlink()
    with Journal.open(house.disk / "journal")[0] as again:
        again.append([Record(Kind.TICK, 0, 1, 1, b"")])
        assert [r.kind for b in again.read(0) for r in b.records()] == [Kind.TICK]


def test_a_start_on_a_full_disk_gives_up_the_reserve_before_it_writes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8 * MIB) as disk:
        section = {"dir": disk / "journal", "reserve": RESERVE}
        config = Config.model_validate(
            {"journal": section, "database": {"url": f"sqlite:///{disk / 'mdingest.db'}"}}
        )
        spare_room(config)  # the first start of all: nothing is there
        (disk / "journal").mkdir()
        reserve = Reserve(disk / "journal" / "RESERVE", RESERVE)
        assert reserve.make()
        spare_room(config)
        assert reserve.held
        fill(disk / "others")
        spare_room(config)
        assert not reserve.held
        with Journal.open(disk / "journal")[0] as journal:
            journal.append([Record(Kind.FRAME, 1, 1, 1, os.urandom(MIB))])


def test_two_who_want_the_reserve_at_once_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve, real, made = Reserve(tmp_path / "RESERVE", RESERVE), os.posix_fallocate, list[bool]()
    other = threading.Thread(target=lambda: made.append(reserve.make()))

    def interrupted(fd: int, start: int, size: int) -> None:
        monkeypatch.setattr(os, "posix_fallocate", real)
        other.start()
        other.join(0.05)  # as far as it comes
        real(fd, start, size)

    monkeypatch.setattr(os, "posix_fallocate", interrupted)
    made.append(reserve.make())
    other.join()

    assert made == [True, True]
