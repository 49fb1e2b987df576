"""The reference of `flat_out`: the official parser, plain Python candles, websockets and SQLite.

    python -m benchmarks.plain_pipeline PORT DATABASE CONNECTIONS SECONDS

What a careful script does: every tick through the broker's own parser, candles in a dictionary,
each second one transaction of upserts into the same key as ours. No journal: what it had not
committed when it dies is gone. Ends by itself once it has seen as many packets as told.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Iterator

from websockets.asyncio.client import connect

from benchmarks.firehose import PER_CONNECTION
from benchmarks.peers import Bar, PlainCandles, official_parser
from benchmarks.sqlite_upsert import PLAIN_TABLE, plain_upsert
from mdingest.simulators.instruments import synthetic_instruments


class Pipeline:
    """Ticks to candles to rows. ``left`` packets are still to come."""

    def __init__(self, path: str, tokens: list[int], packets: int) -> None:
        self.left = packets + len(tokens)  # each instrument's first packet comes besides
        self.done = asyncio.Event()
        self.candles = PlainCandles()
        self._parse = official_parser()
        self._numbers = {token: number for number, token in enumerate(tokens, 1)}
        self._texts: dict[int, str] = {}
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -32768"):
            self._database.execute(f"PRAGMA {pragma}")
        for name in ("candles_1s", "candles_1m"):
            self._database.execute(PLAIN_TABLE.format(name))

    def take(self, frame: bytes) -> None:
        """One frame."""
        ticks = self._parse(frame)
        self.candles.take(
            (
                tick["instrument_token"],
                round(tick["last_price"] * 100),
                tick["volume_traded"],
                0,
                0,
                int(tick["last_trade_time"].timestamp()),
                0,
            )
            for tick in ticks
        )
        self.left -= len(ticks)
        if self.left <= 0:
            self.done.set()

    def commit(self) -> None:
        """What has closed, in one transaction."""
        self._database.execute("BEGIN")
        for name, bars in (
            ("candles_1s", self.candles.closed),
            ("candles_1m", self.candles.closed_minutes),
        ):
            self._database.executemany(plain_upsert(name), self._rows(bars))
            bars.clear()
        self._database.execute("COMMIT")

    def _rows(self, bars: list[Bar]) -> Iterator[tuple[object, ...]]:
        for token, second, first, high, low, last, volume in bars:
            text = self._texts.get(second)
            if text is None:
                text = self._texts[second] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
            yield self._numbers[token], text, first, high, low, last, volume, None, None, 1, 0, 2, 0, 0


async def stream(port: int, tokens: list[int], pipeline: Pipeline) -> None:
    """One connection, until it is cancelled."""
    url = f"ws://127.0.0.1:{port}/?api_key=key&access_token=token"
    async with connect(url, compression=None, max_size=4 << 20) as socket:
        await socket.send(json.dumps({"a": "subscribe", "v": tokens}))
        await socket.send(json.dumps({"a": "mode", "v": ["full", tokens]}))
        async for frame in socket:
            if isinstance(frame, bytes):
                pipeline.take(frame)


async def every_second(pipeline: Pipeline) -> None:
    """Commit, until it is cancelled."""
    while True:
        await asyncio.sleep(1)
        pipeline.commit()


async def main(port: int, path: str, connections: int, packets: int) -> None:
    """Until ``packets`` packets came and all is committed."""
    tokens = [one.token for one in synthetic_instruments(connections * PER_CONNECTION)]
    pipeline = Pipeline(path, tokens, packets)
    parts = [tokens[i : i + PER_CONNECTION] for i in range(0, len(tokens), PER_CONNECTION)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stream(port, part, pipeline)) for part in parts]
        tasks.append(group.create_task(every_second(pipeline)))
        await pipeline.done.wait()
        for task in tasks:
            task.cancel()
    pipeline.commit()
    print(json.dumps({"committed": time.time()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
