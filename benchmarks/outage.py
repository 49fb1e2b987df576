"""A database that is away while a whole market goes on, and comes back: memory, and how fast it catches up.

One process, in market time instead of real time: what an intake appends for 9,000 instruments
that trade every second, the real journal, machine, writer and SQLite. The database refuses
every commit for the length of the outage.

More memory than the limit means that something waits outside the journal: the most that is
resident until all is committed again, against the most of two minutes before, whose minutes were
closed too. Catching up at so many times real time, less the one that the live load takes, is how
long candles are late.
"""

import asyncio
import datetime as dt
import json
import re
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.firehose import Second, frames_of
from benchmarks.report import Row, at_least, at_most, main
from mdingest.cli.memory import keep_the_heap_small
from mdingest.core.control import CandleSettings, Connect, Start, encode, encode_subscribe
from mdingest.core.machine import Machine
from mdingest.core.records import Batch, Kind, Record
from mdingest.core.session import always_open
from mdingest.errors import StoreUnavailable
from mdingest.pipeline.aggregate import Aggregator, Step
from mdingest.pipeline.channel import Channel
from mdingest.pipeline.decoding import BatchDecoder
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.retain import Retainer
from mdingest.pipeline.source import BatchSource
from mdingest.pipeline.statefile import StateFiles
from mdingest.pipeline.supervise import STEPS_WAITING
from mdingest.pipeline.writer import Writer
from mdingest.providers import PROVIDERS
from mdingest.simulators.instruments import instruments_csv, synthetic_instruments
from mdingest.store import open_store
from mdingest.store.base import Committed, Store, Transaction
from mdingest.store.migrate import migrate
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.logging import configure

TITLE = "an outage of the database: 9,000 instruments, each with a packet and a row every second"
_INSTRUMENTS = 9_000
_NS = 1_000_000_000
_BEGIN = int(dt.datetime(2026, 11, 20, 4, tzinfo=dt.UTC).timestamp()) * _NS
_BATCHES = 15  # a second
_BEFORE_S = 150  # of market that is committed as it comes


class Away:
    """A store that can be away; its other methods are the store's own."""

    def __init__(self, store: Store) -> None:
        self.away = False
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever bears the name
        return getattr(self._store, name)

    async def commit(self, transaction: Transaction) -> Committed:
        """As the store, if it is there."""
        if self.away:
            raise StoreUnavailable("away")
        return await self._store.commit(transaction)


class Market:
    """Appends market seconds to a journal as an intake would."""

    def __init__(self, journal: Journal, source: BatchSource) -> None:
        self._journal, self._source = journal, source
        self._listed = synthetic_instruments(_INSTRUMENTS)
        self._second = Second(self._listed, _BEGIN)
        self._packets = self._second.snapshot
        self.now = _BEGIN

    async def begin(self, store: Store) -> None:
        """The stream opens, with a snapshot of everything."""
        options = PROVIDERS["kite_ws"].Options.model_validate(
            {"api_key": "key", "access_token": "token", "session_class": "always"}
        )
        wanted = [one.symbol for one in self._listed]
        resolved = PROVIDERS["kite_ws"].resolve(wanted, options, instruments_csv(self._listed))
        known = await store.ensure_instruments([one.instrument for one in resolved])
        subs = [
            type(one.subscription)(
                one.subscription.key,
                instrument.id,
                one.subscription.divisor,
                "always",
                one.subscription.volume,
            )
            for one, instrument in zip(resolved, known, strict=True)
        ]
        day = dt.datetime.fromtimestamp(_BEGIN // _NS, dt.UTC).date()
        calendar = always_open(day - dt.timedelta(days=1), day + dt.timedelta(days=2))
        self._append(
            (Kind.START, 0, encode(Start("bench"))),
            (Kind.CALENDAR, 0, json.dumps({"always": calendar.to_json()}).encode()),
            (Kind.CONNECT, 1, encode(Connect("kite_ws", _NS))),
            (Kind.SUBSCRIBE, 1, encode_subscribe(subs)),
        )

    def second(self) -> None:
        """A second of market, in batches."""
        packets = self._packets.copy()
        volume, stamp = self.now // _NS - _BEGIN // _NS, self.now // _NS
        packets["volume"] = packets["volume"] + volume
        packets["traded_at"] = packets["sent_at"] = stamp
        frames = frames_of(packets)
        for n in range(_BATCHES):
            part = frames[n * len(frames) // _BATCHES : (n + 1) * len(frames) // _BATCHES]
            self._append(*((Kind.FRAME, 1, frame) for frame in part))
            self.now += _NS // _BATCHES
        self.now = (stamp + 1) * _NS
        self._append((Kind.TICK, 0, b""))

    def _append(self, *records: tuple[Kind, int, bytes]) -> Batch:
        stamped = [Record(kind, stream, self.now, self.now - _BEGIN, raw) for kind, stream, raw in records]
        batch = self._journal.append(stamped)
        self._source.publish(batch)
        return batch


def run(*, full: bool) -> list[Row]:
    """The table, by a process of its own: what other benchmarks had resident must not count."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(_run, 1_800 if full else 300).result()


def _run(seconds: int) -> list[Row]:
    keep_the_heap_small()  # as the daemon does
    configure(level="error")
    with TemporaryDirectory(prefix="mdingest-bench-") as name:
        return asyncio.run(_measured(Path(name), seconds))


async def _measured(folder: Path, seconds: int) -> list[Row]:
    url = f"sqlite:///{folder / 'market.db'}"
    await migrate(url)
    store = await open_store(url)
    away = Away(store)
    with Journal.open(folder / "journal")[0] as journal:
        source = BatchSource(journal, 0)
        states = StateFiles(folder / "journal", journal.uuid, lambda: journal.segments)
        retainer = Retainer(journal, states, Clock(), kept_from=0, keep_s=1e9, max_bytes=1 << 40)
        decoder = BatchDecoder(lambda feed: PROVIDERS[feed].decoder())
        aggregator = Aggregator(
            Machine(CandleSettings()),
            decoder,
            start=0,
            committed=0,
            clock=Clock(),
            save_state=retainer.save_state,
            begins_segment=journal.begins_segment,
        )
        claim = await store.claim(journal.uuid, "bench")
        writer = Writer(
            away,  # type: ignore[arg-type] # it has all of a store's methods
            journal=journal.uuid,
            epoch=claim.epoch,
            sync=retainer.sync_to,
            spacing_s=0.05,
            on_commit=retainer.committed,
        )
        steps: Channel[Step] = Channel(STEPS_WAITING)
        market = Market(journal, source)
        async with asyncio.TaskGroup() as group:
            group.create_task(aggregator.run(source, steps))
            writing = group.create_task(writer.run(steps))
            packing = group.create_task(retainer.run_packing())
            await market.begin(store)
            for _ in range(_BEFORE_S):
                market.second()
                await _until(lambda: writer.status.committed_lsn >= journal.end_lsn - (4 << 20))
            before, away.away = _peak_mib(), True
            for _ in range(seconds):
                market.second()
                await asyncio.sleep(0.001)
            out, backlog, away.away, begun = _peak_mib(), journal.end_lsn, False, time.process_time()
            await _until(lambda: writer.status.committed_lsn >= backlog - (4 << 20))
            took, peak = time.process_time() - begun, _peak_mib()
            packing.cancel()
            source.close()
            await writing
    await store.close()
    return [
        at_most(f"memory over {seconds / 60:g} min of outage", out - before, 10, "MiB", note=f"{out:.0f}"),
        at_most("and while catching up", peak - before, 10, "MiB", note=f"{peak:.0f}"),
        at_least(
            "catching up, market seconds a CPU second", seconds / took, reference=("needed", 4.0), ratio=1
        ),
    ]


async def _until(holds: Any) -> None:  # noqa: ANN401 - a condition
    while not holds():  # noqa: ASYNC110 - a position tells nobody that it moved
        await asyncio.sleep(0.005)


def _peak_mib() -> float:
    """The most that was ever resident."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


if __name__ == "__main__":
    main(TITLE, run)
