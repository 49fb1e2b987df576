"""Connections that die without a word, against the simulator's real sockets; patience is cut short."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mdingest.calendars import load
from mdingest.core import control
from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.records import Batch, Kind, Record
from mdingest.pipeline import feeds as feeds_module
from mdingest.pipeline import pulse
from mdingest.pipeline.announce import Announcer
from mdingest.pipeline.backoff import Turnstile
from mdingest.pipeline.feed import Feed, FeedOptions, FeedState
from mdingest.pipeline.feeds import Feeds, Wanted
from mdingest.pipeline.intake import Intake
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.pulse import Pulse
from mdingest.providers import PROVIDERS
from mdingest.providers.base import LiveProtocol
from mdingest.simulators import KiteSimulator
from mdingest.telemetry.clock import Clock
from tests.integration.test_connection import Plain
from tests.support.fake_exchange import STAY, Close, FakeExchange

MUTE = control.encode(control.Disconnect("mute"))


class Heard:
    """A feed of the simulator and its log so far."""

    def __init__(self, sim: KiteSimulator, journal: Journal, silence_s: float) -> None:
        self.batches: list[Batch] = []
        self._news = asyncio.Event()
        self.intake = Intake(journal, self._took, Clock(), max_wait_s=0.001)
        options = PROVIDERS["kite_ws"].Options.model_validate(
            {"api_key": "key", "access_token": "token", "url": sim.ws_url}
        )
        self.protocol: LiveProtocol = PROVIDERS["kite_ws"].live(options)
        self.protocol.silence_s = silence_s
        subs = [
            Subscription(str(one.token), n, 100.0, "always", VolumeKind.CUMULATIVE)
            for n, one in enumerate(sim.instruments, 1)
        ]
        self.feed = Feed(
            "kite_ws",
            self.protocol,
            subs,
            self.intake,
            stream_ids=itertools.count(1).__next__,
            options=FeedOptions(waits=lambda: itertools.repeat(0.0)),
            pulse=Pulse(lambda: 1e9, answers=True),
        )

    def _took(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._news.set()

    def log(self) -> list[Record]:
        return [r for b in self.batches for r in b.records() if r.kind is not Kind.TICK]

    def of(self, *kinds: Kind) -> list[Record]:
        return [r for r in self.log() if r.kind in kinds]

    async def until(self, kind: Kind, count: int) -> list[Record]:
        await self.when(lambda: len(self.of(kind)) >= count)
        return self.of(kind)

    async def when(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._news.clear()
            await self._news.wait()

    async def flow(self, seconds: float) -> None:
        """Data for so long."""
        await self.until(Kind.FRAME, 1)
        await asyncio.sleep(seconds)  # a rhythm takes time: that is what this is about


@asynccontextmanager
async def listening(tmp_path: Path, *, silence_s: float = 8.0) -> AsyncIterator[tuple[KiteSimulator, Heard]]:
    with Journal.open(tmp_path / "journal")[0] as journal:
        async with asyncio.timeout(30), KiteSimulator(clock=Clock(), rate=20.0) as sim:
            heard = Heard(sim, journal, silence_s)
            tasks = [asyncio.create_task(heard.intake.run()), asyncio.create_task(heard.feed.run())]
            try:
                yield sim, heard
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def test_heartbeats_without_data_end_a_connection_and_the_gap_begins_at_the_last_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "DOUBT_S", 1.5)
    monkeypatch.setattr(pulse, "SPACINGS", 5.0)
    monkeypatch.setattr(pulse, "DEAD_S", 2.5)
    async with listening(tmp_path) as (sim, heard):
        await heard.flow(1.5)
        sim.inject("mute", 60)
        await heard.until(Kind.CONNECT, 2)
        seen = len(heard.of(Kind.FRAME))
        await heard.until(Kind.FRAME, seen + 5)

        (silence,) = heard.of(Kind.SILENCE)
        (ended,) = heard.of(Kind.DISCONNECT)
        assert (silence.payload, ended.payload) == (MUTE, MUTE)
        first = [r for r in heard.log() if r.stream_id == 1]
        at = first.index(silence)
        assert {len(r.payload) for r in first[at + 1 : -1]} == {1}, "heartbeats until we left"
        last = next(r for r in reversed(first[:at]) if len(r.payload) > 1)
        assert 1.5 <= (silence.mono_ns - last.mono_ns) / 1e9 < 8
        assert 2.5 <= (ended.mono_ns - last.mono_ns) / 1e9 < 10
        assert "heartbeats only" in heard.feed.status.last_error or heard.feed.status.reconnects == 1


async def test_a_mute_spell_that_ends_by_itself_is_recorded_and_everything_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "DOUBT_S", 1.5)
    monkeypatch.setattr(pulse, "SPACINGS", 5.0)
    async with listening(tmp_path) as (sim, heard):
        await heard.flow(1.5)
        sim.inject("mute", 4)
        await heard.until(Kind.SILENCE, 1)

        def whole() -> bool:
            log = heard.log()
            after = log[[r.kind for r in log].index(Kind.SILENCE) :]
            frames = [r.payload for r in after if r.kind is Kind.FRAME and len(r.payload) > 1]
            return any(int.from_bytes(frame[:2]) >= len(sim.instruments) for frame in frames)

        await heard.when(whole)
        assert not heard.of(Kind.DISCONNECT)


async def test_a_half_open_connection_is_left_and_the_next_one_waits_for_its_answer(tmp_path: Path) -> None:
    async with listening(tmp_path, silence_s=1.2) as (sim, heard):
        await heard.flow(0.5)
        sim.inject("halfopen", 2.5)
        await heard.until(Kind.CONNECT, 2)
        seen = len(heard.of(Kind.FRAME))
        await heard.until(Kind.FRAME, seen + 3)
        (ended,) = heard.of(Kind.DISCONNECT)
        assert ended.payload == MUTE
        last = [r for r in heard.log() if r.stream_id == 1 and r.kind is Kind.FRAME][-1]
        assert 1.2 <= (ended.mono_ns - last.mono_ns) / 1e9 < 8


async def test_what_trickles_in_is_late_and_whole(tmp_path: Path) -> None:
    async with listening(tmp_path) as (sim, heard):
        await heard.flow(0.5)
        before = len(heard.of(Kind.FRAME))
        sim.inject("trickle", 1.5)
        await asyncio.sleep(1.4)
        slow = len(heard.of(Kind.FRAME)) - before
        await asyncio.sleep(0.6)
        frames = [r.payload for r in heard.of(Kind.FRAME) if len(r.payload) > 1]
        assert slow < 0.8 * (len(heard.of(Kind.FRAME)) - before)
        assert not heard.of(Kind.DISCONNECT)
        for frame in frames:
            at = 2
            for _ in range(int.from_bytes(frame[:2])):
                at += 2 + int.from_bytes(frame[at : at + 2])
            assert at == len(frame)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4403])
async def test_no_close_code_parks_a_feed(tmp_path: Path, code: int) -> None:
    """The broker documents none: a token that is refused shows at the next handshake."""
    batches: list[Batch] = []
    errors: list[str] = []
    exchange = FakeExchange([Close(code, "why")], [STAY])
    with Journal.open(tmp_path / "journal")[0] as journal:
        async with asyncio.timeout(20), exchange.serve() as url:
            feed = Feed(
                "plain_ws",
                Plain(url),
                [Subscription("1", 1, 100.0, "always", VolumeKind.CUMULATIVE)],
                Intake(journal, batches.append, Clock()),
                stream_ids=itertools.count(1).__next__,
                options=FeedOptions(waits=lambda: itertools.repeat(0.0)),
            )
            states: list[FeedState] = []
            feed.on_change = lambda status: (states.append(status.state), errors.append(status.last_error))[0]
            task = asyncio.create_task(feed.run())
            await exchange.asked(2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert f"closed by the peer with code {code}: 'why'" in errors
    assert FeedState.PARKED not in states


async def test_connections_that_break_together_come_back_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds_module, "STAGGER_S", 0.2)
    batches: list[Batch] = []
    hang_up, news = asyncio.Event(), asyncio.Event()

    def took(batch: Batch) -> None:
        batches.append(batch)
        news.set()

    async def delivered() -> None:
        news.clear()
        await news.wait()

    exchange = FakeExchange([hang_up], [hang_up], [hang_up], [STAY], [STAY], [STAY])

    class Small(Plain):
        max_instruments = 1
        max_connections = 3

    async def wanted() -> Wanted:
        return Wanted([Subscription(str(n), n, 100.0, "always", VolumeKind.CUMULATIVE) for n in (1, 2, 3)])

    with Journal.open(tmp_path / "journal")[0] as journal:
        async with asyncio.timeout(20), exchange.serve() as url:
            intake = Intake(journal, took, Clock(), max_wait_s=0.001)
            many = Feeds(
                Small(url),
                wanted,
                intake,
                Announcer(intake, load(None).table),
                stream_ids=itertools.count(1).__next__,
            )
            tasks: Sequence[asyncio.Task[None]] = [
                asyncio.create_task(intake.run()),
                asyncio.create_task(many.run()),
            ]
            await exchange.asked(3)
            hang_up.set()
            while sum(1 for b in batches for r in b.records() if r.kind is Kind.CONNECT) < 6:
                await delivered()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    stamps = [r.mono_ns for b in batches for r in b.records() if r.kind is Kind.CONNECT]
    spaces = [(b - a) / 1e9 for a, b in itertools.pairwise(stamps)]
    assert len(spaces) == 5
    assert min(spaces) > 0.15, json.dumps(spaces)


async def test_a_turnstile_lets_through_in_order_and_at_its_pace() -> None:
    turnstile, passed, loop = Turnstile(0.05), [], asyncio.get_running_loop()
    begun = loop.time()

    async def go(name: int) -> None:
        await turnstile.turn()
        passed.append((name, loop.time() - begun))

    async with asyncio.TaskGroup() as group:
        for name in range(4):
            group.create_task(go(name))
    assert [name for name, _ in passed] == [0, 1, 2, 3]
    assert all(at >= 0.05 * name - 0.002 for name, at in passed)
