"""Replayed rows against stored ones: the check behind ``replay --verify``."""

import numpy as np

from mdingest.core.events import CANDLE, OPEN_END, Candles
from mdingest.core.rank import BY_ID
from mdingest.pipeline.replay import ReplayReport
from mdingest.store.base import Store

PAGE = 10_000


async def compare(replayed: Store, stored: Store, report: ReplayReport, spans: list[tuple[int, int]]) -> None:
    """Every replayed row against the stored one of its symbol, interval and time, all columns.

    Only rows whose opening instant lies in one of ``spans`` count. A stored row of another
    source is counted, not compared: rank has replaced it.
    """
    ids = {instrument.symbol: instrument.id for instrument in await stored.instruments()}
    first = min((low for low, _ in spans), default=OPEN_END)
    for row in await replayed.symbols():
        symbol = row.instrument.symbol
        if symbol not in ids:
            report.differ(f"{symbol} is replayed but not stored")
            continue
        for interval_s, (_, last) in row.ranges.items():
            end = last + 1
            while first < end:
                ours = await replayed.candles(row.instrument.id, interval_s, first, end, PAGE)
                theirs = await stored.candles(ids[symbol], interval_s, first, end, PAGE)
                # A full page tells nothing of what lies before it, and history makes theirs the shorter one.
                low = max(int(page["ts"][0]) if len(page) == PAGE else first for page in (ours, theirs))
                _compare(symbol, _from(low, ours), _from(low, theirs), report, spans)
                end = low


def _from(low: int, rows: Candles) -> Candles:
    return Candles(rows[rows["ts"] >= low])


def _compare(
    symbol: str, ours: Candles, theirs: Candles, report: ReplayReport, spans: list[tuple[int, int]]
) -> None:
    ours, theirs = _within(ours, spans), _within(theirs, spans)
    for row in theirs[~np.isin(theirs["ts"], ours["ts"])]:
        if BY_ID[int(row["source"])].live:
            report.differ(f"{_name(symbol, row)} is stored but not replayed")
    for row in ours[~np.isin(ours["ts"], theirs["ts"])]:
        report.differ(f"{_name(symbol, row)} is replayed but not stored")
    a, b = ours[np.isin(ours["ts"], theirs["ts"])], theirs[np.isin(theirs["ts"], ours["ts"])]
    live = a["source"] == b["source"]
    report.replaced += int((~live).sum())
    report.compared += int(live.sum())
    a, b = a[live], b[live]
    unequal = {
        name: ~((a[name] == b[name]) | ((a[name] != a[name]) & (b[name] != b[name])))
        for name in CANDLE.names or ()
        if name != "instrument_id"
    }
    for i in np.flatnonzero(np.logical_or.reduce(list(unequal.values()))).tolist():
        which = ", ".join(f"{name} {a[name][i]} != {b[name][i]}" for name, bad in unequal.items() if bad[i])
        report.differ(f"{_name(symbol, a[i])}: replayed and stored differ in {which}")


def _within(rows: Candles, spans: list[tuple[int, int]]) -> Candles:
    inside = np.zeros(len(rows), np.bool_)
    for low, high in spans:
        inside |= (rows["ts"] >= low) & (rows["ts"] < high)
    return Candles(rows[inside])


def _name(symbol: str, row: np.void) -> str:
    at = np.datetime64(int(row["ts"]), "ns").astype("datetime64[s]")
    return f"{symbol} {row['interval_s']}s {at}Z"
