"""The reference of `readme_query`: the last candles of a symbol, by FastAPI and uvicorn.

    python -m benchmarks.fastapi_candles DATABASE PORT

As its own guide would have it: a plain function, which runs in a thread, and a response model.
"""

import sqlite3
import sys
import threading

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

_QUERY = """
SELECT ts_utc, open, high, low, close, volume, oi, trades, source, state, session, revision
FROM candles WHERE symbol = ? AND interval = ? ORDER BY ts_utc DESC LIMIT ?"""
_local = threading.local()


class Candle(BaseModel):
    """One row."""

    ts_utc: str
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    oi: float | None
    trades: int | None
    source: str
    state: str
    session: str
    revision: int


class Reply(BaseModel):
    """The last candles, ascending."""

    symbol: str
    interval: str
    candles: list[Candle]


def application(path: str) -> FastAPI:
    """One route over one file, a connection a thread."""
    app = FastAPI()

    @app.get("/candles")
    def candles(symbol: str, interval: str = "1m", limit: int = 50) -> Reply:
        connection = getattr(_local, "connection", None)
        if connection is None:
            connection = _local.connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        rows = connection.execute(_QUERY, (symbol, interval, limit)).fetchall()
        if not rows:
            raise HTTPException(404, f"no candles of {symbol}")
        names = tuple(Candle.model_fields)
        found = [Candle(**dict(zip(names, row, strict=True))) for row in reversed(rows)]
        return Reply(symbol=symbol, interval=interval, candles=found)

    return app


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
