"""Makes this folder's recording: synthetic Binance trades, and what they are in columns.

Nothing here was recorded from the exchange: a seeded random walk in the documented form of
``@trade`` events, bare and wrapped. ``expected.csv`` is the walk itself, written before it
becomes JSON. From the repository's root::

    python sample_data/binance/generate.py
"""  # noqa: INP001 - a script, not a package

import csv
import json
import random
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent
SEED = 20261120
MS = 1_000_000
START_MS = 1_795_150_800_000  # 2026-11-20T05:00:00Z
SYMBOLS = {"BTCUSDT": Decimal("65000.10"), "ETHUSDT": Decimal("3120.55"), "PEPEUSDT": Decimal("0.00000912")}
HEADER = "frame,symbol,ts_exchange,ts_trade,price,size,volume,day_high,day_low,oi,trade_id"


def main() -> None:
    """Write the three files."""
    rng = random.Random(SEED)  # noqa: S311 - a seeded tape
    prices, ids, now = dict(SYMBOLS), dict.fromkeys(SYMBOLS, 1_000), START_MS
    lines: list[str] = ['{"result":null,"id":1}']
    rows: list[list[object]] = []
    for _ in range(120):
        symbol = rng.choice(list(SYMBOLS))
        step = SYMBOLS[symbol].as_tuple().exponent
        prices[symbol] += Decimal(rng.randint(-9, 9)).scaleb(int(step))
        ids[symbol] += 1 if rng.random() < 0.97 else 3  # noqa: PLR2004 - ids are skipped now and then
        now += rng.randint(0, 900)
        size = Decimal(rng.randint(1, 500_000)).scaleb(-5)
        trade_ms = now - rng.randint(0, 4)
        event = {
            "e": "trade",
            "E": now,
            "s": symbol,
            "t": ids[symbol],
            "p": f"{prices[symbol]:.8f}",
            "q": f"{size:.8f}",
            "T": trade_ms,
            "m": rng.random() < 0.5,  # noqa: PLR2004
            "M": True,
        }
        values = [
            f"{symbol}.BINANCE",
            now * MS,
            trade_ms * MS,
            repr(float(prices[symbol])),
            repr(float(size)),
        ]
        rows.append([len(lines), *values, "", "", "", "", ids[symbol]])
        wrapped = {"stream": f"{symbol.lower()}@trade", "data": event}
        lines.append(json.dumps(wrapped if rng.random() < 0.2 else event, separators=(",", ":")))  # noqa: PLR2004
        if rng.random() < 0.05:  # noqa: PLR2004
            lines.append(json.dumps({"e": "avgPrice", "E": now, "s": symbol, "i": "5m", "w": "1.0"}))
    session = {
        "about": "synthetic, made by generate.py; expected.csv is the walk that the frames were made from",
        "provider": "binance_ws",
        "options": {},
        "symbols": [f"{symbol}.BINANCE" for symbol in SYMBOLS],
    }
    (HERE / "session.json").write_text(json.dumps(session, indent=2) + "\n")
    with (HERE / "frames.jsonl").open("w") as file:
        for index, text in enumerate(lines):
            file.write(json.dumps({"wall_ns": START_MS * MS + index * 500 * MS, "text": text}) + "\n")
    with (HERE / "expected.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(HEADER.split(","))
        out.writerows(rows)


if __name__ == "__main__":
    main()
