"""The real daemon under an even load for long: what it costs, whether it grows, whether it loses.

`steady`: 500 symbols with two packets a second for an hour, inside the limits of a small server.
`market`: 9,000 instruments with four packets a second for ten minutes, on one core. `starved`: the
same on a fraction of what it needs. In all of them a reader of the database looks for new seconds,
another asks over HTTP, and afterwards ``replay --verify`` holds every stored row against the
journal. The simulator has a core of its own, if the machine has two.
"""

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import processes as run_
from benchmarks.processes import (
    Process,
    bound_of,
    free_port,
    get,
    histogram,
    mdingest,
    metrics,
    running,
    until,
)
from benchmarks.report import Row, at_most, quantile
from benchmarks.soak.limits import Limits, limits

_LOOK_S = 0.1  # between two looks for new seconds
_ASK_S = 1.0  # between two questions over HTTP, one for each of three intervals
_SAMPLE_S = 10.0  # between two looks at memory and CPU
_TELL_S = 300.0
_SETTLED_S = 15.0
_WARM = 1 / 6  # of the run: memory is not judged before
_SLOPE_MB_H = 2.0
_FRESH = """
SELECT ts_utc, unixepoch(ts_utc) FROM candles WHERE symbol = 'SIM0001.NS' AND interval = '1s' AND ts_utc > ?
ORDER BY ts_utc DESC LIMIT 100"""
_CUT_OFF_S = 5  # by the stop
_STATES = """
SELECT c.state, count(*) FROM candles AS c
JOIN (SELECT symbol, min(start_utc) AS since FROM coverage GROUP BY symbol) AS heard
ON heard.symbol = c.symbol
WHERE c.interval = '1s' AND unixepoch(c.ts_utc) > unixepoch(heard.since)
AND unixepoch(c.ts_utc) < (SELECT unixepoch(max(ts_utc)) - ? FROM candles WHERE interval = '1s')
GROUP BY c.state"""
_HOLES = """
SELECT count(*), min(start_utc) FROM gaps WHERE end_utc IS NOT NULL AND start_utc > (
    SELECT min(start_utc) FROM coverage WHERE symbol = gaps.symbol)"""


@dataclass(frozen=True, slots=True)
class Load:
    """What is played, and what the design allows for it: percent of one core, MiB, s."""

    instruments: int
    rate: int
    cpu: float
    memory: float
    lag: float
    pending: float
    share: tuple[float, int]  # cores and MiB it is given
    starved: bool = False  # falls behind, and only its memory is judged


STEADY = Load(500, 2, cpu=6.0, memory=110.0, lag=3.0, pending=64.0, share=(0.5, 256))
MARKET = Load(9_000, 4, cpu=35.0, memory=180.0, lag=12.0, pending=256.0, share=(1.0, 512))
STARVED = Load(9_000, 4, cpu=12.5, memory=180.0, lag=0.0, pending=256.0, share=(0.12, 512), starved=True)


@dataclass
class Seen:
    """What showed while it ran."""

    lags: list[float] = field(default_factory=list)  # s, from the end of a second to its row
    at: list[float] = field(default_factory=list)  # s since the beginning, of each sample
    rss: list[float] = field(default_factory=list)  # MiB
    cpu: list[float] = field(default_factory=list)  # s, grown
    pending: list[float] = field(default_factory=list)  # MiB, written and not yet in the database
    unanswered: int = 0  # questions over HTTP that got no answer within 10 s


def steady(minutes: float = 60.0) -> Iterator[Row]:
    """An hour at a quiet desk."""
    yield from _live(STEADY, minutes)


def market(minutes: float = 10.0) -> Iterator[Row]:
    """All that one Kite key carries."""
    yield from _live(MARKET, minutes)


def starved(minutes: float = 3.0) -> Iterator[Row]:
    """The same with less than half of the CPU that it takes: overload goes the way of an outage."""
    yield from _live(STARVED, minutes)


def _live(load: Load, minutes: float) -> Iterator[Row]:
    with (
        TemporaryDirectory(prefix="mdingest-soak-") as name,
        limits(*load.share) as given,
        limits(1.0, 1024) as broker,
    ):
        folder = Path(name)
        port, api = free_port(), free_port()
        options = ("--port", str(port), "--synthetic", str(load.instruments), "--rate", str(load.rate))
        mock = mdingest("mock", "kite", *options, "--instruments", folder / "instruments.csv")
        with running(broker.command(mock), folder, "simulator") as simulator:
            until("simulator", lambda: "listening" in (folder / "simulator.log").read_text(), simulator)
            symbols = [f"SIM{number:04d}.NS" for number in range(1, load.instruments + 1)]
            config = run_.write_config(folder, feed_port=port, symbols=symbols, api_port=api)
            command = mdingest("--config", config, "run")
            with running(given.command(command), folder, "daemon") as daemon:
                until("first packets", lambda: _packets(metrics(api)) >= 2 * load.instruments, daemon, 120)
                time.sleep(_SETTLED_S)
                yield from _watched(daemon, api, folder / "market.db", load, minutes, given)
                daemon.stop()
        yield from _stored(folder, config)


def _packets(samples: dict[str, float]) -> float:
    return samples.get('mdingest_ticks_total{feed="kite_ws"}', 0.0)


def _watched(
    daemon: Process, api: int, database: Path, load: Load, minutes: float, given: Limits
) -> Iterator[Row]:
    before, cpu_before, begun, held_s = metrics(api), daemon.cpu_s(), time.monotonic(), given.throttled_s()
    seen = _watch(daemon, api, database, 60 * minutes)
    took, used = time.monotonic() - begun, daemon.cpu_s() - cpu_before
    grown = run_.since(metrics(api), before)
    stalls, replies = (
        histogram(grown, f"mdingest_{name}_seconds") for name in ("loop_stall", "http_request")
    )
    yield Row("it is given", str(given), f"held back for {given.throttled_s() - held_s:.1f} s")
    windows = [
        100 * (cpu - then) / (at - since)
        for (since, at), (then, cpu) in zip(pairwise(seen.at), pairwise(seen.cpu), strict=True)
    ]
    yield at_most("CPU in the busiest 10 s", max(windows), 100 * given.cores * 1.02, "%")
    yield at_most(
        "CPU of one core", 100 * used / took, load.cpu, "%", note=f"{_packets(grown) / took:,.0f} packets/s"
    )
    yield at_most("peak RSS", daemon.peak_mb(), load.memory, "MiB", note=f"{daemon.rss_mb():.0f} at the end")
    if minutes >= 30:
        yield at_most("memory grows", _slope_mb_h(seen), _SLOPE_MB_H, "MiB/h", note="after the first sixth")
    yield at_most("write-ahead log, most", max(seen.pending), load.pending, "MiB")
    late = grown.get('mdingest_machine_events_total{kind="late"}', 0.0)
    lag = quantile(seen.lags, 0.99)
    if load.starved:
        yield Row("end of a second to its row, p99", f"{lag:.3g} s", f"{late:.0f} late")
        return
    yield at_most("end of a second to its row, p99", lag, load.lag, "s", note=f"{late:.0f} late")
    yield at_most("loop stall, p99.9 at most", bound_of(stalls, 0.999) * 1e3, 50, "ms")
    yield at_most(
        "an HTTP reply, p99 at most",
        bound_of(replies, 0.99) * 1e3,
        5,
        "ms",
        note=f"{replies[-1][1]:.0f} asked",
    )
    yield at_most("questions without an answer", seen.unanswered, 0, "")


def _watch(daemon: Process, api: int, database: Path, seconds: float) -> Seen:
    seen, begun, newest, told = Seen(), time.monotonic(), "", 0.0
    sample_at = ask_at = 0.0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        while (now_s := time.monotonic() - begun) < seconds:
            daemon.alive()
            rows = connection.execute(_FRESH, (newest,)).fetchall()
            now = time.time()
            seen.lags += [now - opened - 1 for _, opened in rows] if newest else []
            newest = rows[0][0] if rows else newest
            if now_s >= ask_at:
                ask_at += _ASK_S
                for interval in ("1s", "1m", "5m"):
                    seen.unanswered += not _asked(api, interval)
            if now_s >= sample_at:
                sample_at += _SAMPLE_S
                _sample(seen, daemon, database, now_s)
            if now_s >= told + _TELL_S:
                told = now_s
                print(
                    f"  {now_s / 60:.0f} min: {seen.rss[-1]:.1f} MiB, CPU {seen.cpu[-1] - seen.cpu[0]:.1f} s",
                    flush=True,
                )
            time.sleep(_LOOK_S)
    return seen


def _asked(api: int, interval: str) -> bool:
    try:
        get(api, f"/candles?symbol=SIM0002.NS&interval={interval}&limit=50")
    except OSError:
        return False
    return True


def _sample(seen: Seen, daemon: Process, database: Path, now_s: float) -> None:
    seen.at.append(now_s)
    seen.rss.append(daemon.rss_mb())
    seen.cpu.append(daemon.cpu_s())
    seen.pending.append(database.with_name(f"{database.name}-wal").stat().st_size / (1 << 20))


def _slope_mb_h(seen: Seen) -> float:
    """Of the straight line through what was resident after the first sixth."""
    first = int(len(seen.at) * _WARM)
    return float(np.polyfit(np.array(seen.at[first:]) / 3600, seen.rss[first:], 1)[0])


def _stored(folder: Path, config: Path) -> Iterator[Row]:
    """After a clean stop: whether it is whole, by its own account and by the journal."""
    with closing(sqlite3.connect(f"file:{folder / 'market.db'}?mode=ro", uri=True)) as database:
        counts = dict(database.execute(_STATES, (_CUT_OFF_S,)))
        holes, where = database.execute(_HOLES).fetchone()
    rows = sum(counts.values())
    partial = 100 * (rows - counts.get("final", 0)) / rows
    yield at_most("seconds that are not final", partial, 0.1, "%", note=f"of {rows:,}")
    yield at_most("gaps while it listened", holes, 0, "", note=where or "")
    begun = time.monotonic()
    verify = subprocess.run(
        mdingest("--config", config, "replay", folder / "journal", "--verify"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    last = ["nothing was said", *verify.stderr.splitlines(), *verify.stdout.splitlines()][-1]
    yield Row(
        "replay --verify",
        last,
        f"{time.monotonic() - begun:.0f} s",
        "",
        "exit code 0",
        verify.returncode == 0,
    )
