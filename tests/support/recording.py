"""The spine in simulated time: exchange, journal, machine and store, without sockets or waiting.

A minute of market takes a tenth of a second, every run is the same again, and the process can
die at any of the places where a real one can.
"""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from functools import partial
from pathlib import Path
from random import Random

from mdingest import __version__
from mdingest.core.control import CandleSettings, Connect, Disconnect, Start, encode, encode_subscribe
from mdingest.core.records import Batch, Kind, Record
from mdingest.core.session import always_open
from mdingest.pipeline.aggregate import Aggregator, Step
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.pulse import Pulse
from mdingest.pipeline.recovery import recover
from mdingest.pipeline.statefile import StateFiles
from mdingest.pipeline.writer import coalesce
from mdingest.providers import PROVIDERS
from mdingest.providers.base import FrameDecoder, Resolved
from mdingest.simulators.faults import parse_faults
from mdingest.simulators.instruments import default_instruments, instruments_csv
from mdingest.simulators.kite_exchange import KiteExchange
from mdingest.simulators.kite_line import KiteLine
from mdingest.simulators.kite_wire import HEARTBEAT
from mdingest.simulators.market import Market
from mdingest.simulators.tape import Journal as SimulatorFiles
from mdingest.store import open_store
from mdingest.store.base import Position, Store
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock
from tests.support.broker_parts import SimSocket, kite_options
from tests.support.evidence import NS, Evidence, read_evidence

FEED = "kite_ws"
BEGIN = int(datetime(2026, 11, 20, 4, 0, 0, tzinfo=UTC).timestamp()) * NS
TURN = NS // 10
COMMIT = NS
SAVE = 7 * NS


class Death(Enum):
    """Where in its work a process is killed."""

    UNREAD = auto()  # frames are in the socket, not in the journal
    JOURNALED = auto()  # in the journal, not stepped
    STEPPED = auto()  # stepped, not committed
    COMMITTED = auto()  # right after a commit
    CATCHING_UP = auto()  # in the middle of recovery


@dataclass
class Recording:
    """Files of one run below ``folder``, made by `run`."""

    folder: Path
    seed: int = 0
    rate: float = 3.0
    off_s: tuple[float, float] = (0.3, 4.0)  # between two processes
    begin: int = BEGIN

    def __post_init__(self) -> None:
        self.database, self.journal = self.folder / "mdingest.db", self.folder / "journal"
        self.tape, self.cuts = self.folder / "tape.jsonl", self.folder / "cuts.jsonl"
        self.now = self.begin
        self._random = Random(self.seed)
        self._instruments = default_instruments(datetime.fromtimestamp(self.begin // NS, UTC).date())

    def evidence(self) -> Evidence:
        """What it left behind."""
        return read_evidence(self.database, self.tape, self.cuts)

    async def run(
        self, lives: list[tuple[float, Death | None]], *, faults_s: float = 0.0, faults: str = ""
    ) -> None:
        """One process after another, each for so many seconds; None: it is stopped in good order.

        ``faults_s``: mean time between disconnects. ``faults``: the simulator's own list.
        """
        await migrate(f"sqlite:///{self.database}")
        with SimulatorFiles(self._instruments, tape=self.tape, cuts=self.cuts) as files:
            market = Market(self._instruments, start_ns=self.begin, rate=self.rate, seed=self.seed)
            planned = parse_faults(faults)
            self._exchange = KiteExchange(self._instruments, market, files, planned, seed=self.seed)
            for long_s, death in lives:
                life = _Life(self, self._exchange, death, faults_s=faults_s, random=self._random)
                await life.run(round(long_s * NS))
                self.turn(round(self._random.uniform(*self.off_s) * NS))
            for line in list(self._exchange.lines):
                self._exchange.leave(line, "stop")

    def resolved(self) -> list[Resolved]:
        """What the daemon subscribes."""
        options = kite_options()
        wanted = [one.symbol for one in self._instruments]
        return PROVIDERS[FEED].resolve(wanted, options, instruments_csv(self._instruments))

    def turn(self, ns: int) -> None:
        """Let time pass at the exchange."""
        until = self.now + ns
        while self.now < until:
            self.now += TURN
            self._exchange.turn(self.now)


class _Life:
    """One process, from its start to its end."""

    def __init__(
        self, run: Recording, exchange: KiteExchange, death: Death | None, *, faults_s: float, random: Random
    ) -> None:
        self._run, self._exchange, self._death = run, exchange, death
        self._faults_s, self._random = faults_s, random
        self._mono_zero = random.randrange(1, 10**15)
        self._line: KiteLine | None = None
        self._socket = SimSocket()
        self._protocol = PROVIDERS[FEED].live(kite_options())
        self._pulse = Pulse(lambda: 1e9, answers=True)
        self._stream = 0
        self._waiting: list[Record] = []
        self._steps: list[Step] = []

    async def run(self, long_ns: int) -> None:
        journal, _ = Journal.open(self._run.journal, segment_bytes=200_000)
        store = await open_store(f"sqlite:///{self._run.database}")
        try:
            await self._live(journal, store, self._run.now + long_ns)
        finally:
            await store.close()
            journal.close()  # its sync is the only thing that a killed process would not do
        if self._line is not None:
            self._run.turn(round(self._random.uniform(0, 0.1) * NS))  # until the broker sees it
            self._exchange.leave(self._line, "peer_lost")

    async def _live(self, journal: Journal, store: Store, end: int) -> None:
        claim = await store.claim(journal.uuid, "a test")
        states = StateFiles(self._run.journal, journal.uuid, lambda: journal.segments)
        states.forget_beyond(journal.end_lsn)
        found = recover(
            states,
            first=journal.first_lsn,
            end=journal.end_lsn,
            position=claim.position,
            settings=CandleSettings(),
            make_decoder=_decoder,
        )
        journal.skip_to(found.committed)
        aggregator = Aggregator(
            found.machine, found.decoder, start=found.start, committed=found.committed, clock=Clock()
        )
        self._store, self._journal, self._epoch = store, journal, claim.epoch
        self._aggregator, self._committed = aggregator, found.committed
        resolved = self._run.resolved()
        known = await store.ensure_instruments([one.instrument for one in resolved])
        subs = [one.stored_as(instrument) for one, instrument in zip(resolved, known, strict=True)]
        self._subscriptions = encode_subscribe(subs)
        self._tokens = [int(sub.key) for sub in subs]
        behind = list(journal.read(found.start))
        stop_at = self._random.randrange(len(behind) + 1) if self._death is Death.CATCHING_UP else None
        for number, batch in enumerate(behind):
            if number == stop_at:
                await self._commit()
                return
            self._step(batch)
            if len(self._steps) >= 50:
                await self._commit()
        self._stream = aggregator.machine.last_stream
        self._record(Kind.START, 0, encode(Start(__version__)))
        day = datetime.fromtimestamp(self._run.now // NS, UTC).date()
        table = always_open(day - timedelta(days=1), day + timedelta(days=3))
        self._record(Kind.CALENDAR, 0, json.dumps({"always": table.to_json()}).encode())
        await self._loop(states, end)

    async def _loop(self, states: StateFiles, end: int) -> None:
        self._reconnect_at = self._run.now
        commit_at, save_at = self._run.now + COMMIT, self._run.now + SAVE
        while self._run.now < end:
            self._run.turn(TURN)
            now = self._run.now
            last = now >= end
            if last and self._death is Death.UNREAD:
                return
            self._read()
            self._reconnect(last=last)
            if not self._waiting:
                continue
            batch = self._journal.append(self._waiting)
            self._waiting = []
            if last and self._death is Death.JOURNALED:
                return
            self._step(batch)
            if last and self._death is Death.STEPPED:
                return
            if now >= commit_at or last:
                await self._commit()
                commit_at = now + COMMIT
            if now >= save_at:
                await states.save(self._aggregator.status.lsn, self._aggregator.write_state)
                save_at = now + SAVE
            await asyncio.sleep(0)
        if self._death is None:
            await self._commit()

    def _read(self) -> None:
        """All that the socket holds, and what time brings."""
        now = self._run.now
        if self._line is not None:
            if now % NS < TURN and not self._line.silent:
                self._socket.write(HEARTBEAT)
            if self._faults_s and self._random.random() < TURN / NS / self._faults_s:
                self._exchange.inject("disconnect", 0)
        while self._socket.inbox:
            self._hear(self._socket.inbox.popleft())
        if now % NS < TURN:
            self._record(Kind.TICK, 0, b"")

    def _hear(self, frame: bytes | str) -> None:
        """As a connection does."""
        heard, now = self._protocol.receive(frame), self._run.now
        stamp = partial(self._protocol.stamp_ns, frame)
        if self._pulse.frame(now / NS, data=heard.data, stamp=stamp, mono_ns=now):
            self._record(Kind.SILENCE, self._stream, encode(Disconnect("mute")))
            self._subscribe()
        if heard.journal:
            self._record(Kind.FRAME, self._stream, frame if isinstance(frame, bytes) else frame.encode())

    def _end(self, cause: str) -> None:
        if self._pulse.ended(self._run.now / NS):
            self._record(Kind.SILENCE, self._stream, encode(Disconnect("mute")))
        self._record(Kind.DISCONNECT, self._stream, encode(Disconnect(cause)))

    def _reconnect(self, *, last: bool) -> None:
        """Notice that the socket was closed or is mute, connect when it is time, hang up at a clean end."""
        now = self._run.now
        mute = self._line is not None and bool(self._pulse.dead(now / NS))
        if self._line is not None and (self._socket.closed or mute):
            self._end("mute" if mute else "disconnect")
            self._exchange.leave(self._line, "peer_closed")
            self._line = None
            self._reconnect_at = now + round(self._random.uniform(0, 1.5) * NS)
        if last:
            if self._death is None and self._line is not None:
                self._end("stop")
        elif self._line is None and now >= self._reconnect_at and not self._exchange.troubles.refusal(now):
            self._connect()

    def _connect(self) -> None:
        self._socket = SimSocket()
        self._line = self._exchange.join("key", self._socket)
        self._stream += 1
        self._pulse.connected(self._run.now / NS, self._protocol.silence_s)
        self._record(Kind.CONNECT, self._stream, encode(Connect(FEED, NS)))
        self._record(Kind.SUBSCRIBE, self._stream, self._subscriptions)
        self._subscribe()

    def _subscribe(self) -> None:
        for message in ({"a": "subscribe", "v": self._tokens}, {"a": "mode", "v": ["full", self._tokens]}):
            if self._line is not None:
                self._line.receive(json.dumps(message))

    def _record(self, kind: Kind, stream: int, payload: bytes) -> None:
        now = self._run.now
        self._waiting.append(Record(kind, stream, now, now - self._mono_zero, payload))

    def _step(self, batch: Batch) -> None:
        events = self._aggregator.step(batch)
        if batch.end > self._committed:
            self._steps.append(Step(batch.end, events, int(batch.wall_ns[-1])))

    async def _commit(self) -> None:
        if self._steps:
            position = Position(self._journal.uuid, self._steps[-1].end)
            await self._store.commit(coalesce(self._steps, position, self._epoch))
            self._steps = []


def _decoder(feed: str) -> FrameDecoder:
    return PROVIDERS[feed].decoder()
