"""A process that commits a 1s candle of each instrument every second, until it is stopped.

python -m benchmarks.steady_writer DATABASE INSTRUMENTS
"""

import asyncio
import signal
import sys
import time

import numpy as np

from mdingest.core.events import CANDLE, Candles
from mdingest.core.rank import BY_NAME
from mdingest.store import open_store
from mdingest.store.base import Transaction


async def main(path: str, instruments: int) -> None:
    """The store's own commits, as a daemon makes them."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store = await open_store(f"sqlite:///{path}")
    rows = np.zeros(instruments, CANDLE)
    rows["instrument_id"], rows["interval_s"] = np.arange(1, instruments + 1), 1
    rows["open"] = rows["high"] = rows["low"] = rows["close"] = 100.0
    rows["volume"], rows["oi"], rows["trades"] = 10.0, np.nan, 2
    rows["source"], rows["session"] = BY_NAME["kite_ws"].id, 2
    while not stop.is_set():
        rows["ts"] = int(time.time()) * 1_000_000_000
        await store.commit(Transaction(candles=Candles(rows)))
        await asyncio.sleep(1 - time.time() % 1)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
