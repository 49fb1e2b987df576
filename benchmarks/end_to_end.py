"""The real daemon on a simulated broker: what a whole day of a market costs.

Two processes over real websockets, 9,000 instruments with four packets a second each (three
connections, all that one Kite key carries), and 500 with two. Measured after the start has
settled, from the kernel's figures and the daemon's own metrics.

CPU here is what a small server must have; a regression of a few percent is a bug in the hot
path. A longer stall delays every socket and every HTTP reply by as much. More memory than the
target means something is kept, or copied whole, that need not be. The simulator and whatever
else this machine does share its cores: stalls and lag are theirs too.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import processes as run_
from benchmarks.meter import read
from benchmarks.processes import Process, bound_of, free_port, histogram, mdingest, metrics, running, until
from benchmarks.report import Row, at_most, main, quantile
from mdingest.pipeline.journal import Journal
from mdingest.pipeline.reader import JournalReader
from mdingest.pipeline.retain import BREATH
from mdingest.telemetry.logging import configure

TITLE = "end to end: simulator -> websocket -> journal -> candles -> SQLite, the daemon's process"
_SETTLED_S = 12.0
_JOURNAL_SHARE = 10.0  # percent of the CPU of all
_FRESH = """
SELECT ts_utc, unixepoch(ts_utc) FROM candles WHERE symbol = 'SIM0001.NS' AND interval = '1s' AND ts_utc > ?
ORDER BY ts_utc DESC LIMIT 100"""


def run(*, full: bool) -> list[Row]:
    """The table."""
    seconds = 120.0 if full else 31.0
    return [
        *live(500, 2, seconds, cpu=6.0, memory=110.0, lag=3.0),
        *live(9_000, 4, seconds, cpu=35.0, memory=180.0, lag=12.0),
    ]


def live(instruments: int, rate: int, seconds: float, *, cpu: float, memory: float, lag: float) -> list[Row]:
    """One load. The limits: percent of one core, MiB, seconds."""
    with TemporaryDirectory(prefix="mdingest-bench-") as name:
        folder = Path(name)
        port, api = free_port(), free_port()
        options = ("--port", str(port), "--synthetic", str(instruments), "--rate", str(rate))
        mock = mdingest("mock", "kite", *options, "--instruments", folder / "instruments.csv")
        with running(mock, folder, "simulator") as simulator:
            until("simulator", lambda: "listening" in (folder / "simulator.log").read_text(), simulator)
            symbols = [f"SIM{number:04d}.NS" for number in range(1, instruments + 1)]
            config = run_.write_config(folder, feed_port=port, symbols=symbols, api_port=api)
            meter = folder / "meter.json"
            with running(mdingest("--config", config, "run", meter=meter), folder, "daemon") as daemon:
                until("first packets", lambda: _packets(metrics(api)) >= 2 * instruments, daemon)
                time.sleep(_SETTLED_S)
                begun, cpu_s, journal_s = time.monotonic(), daemon.cpu_s(), read(meter)
                rows = _watched(daemon, api, folder / "market.db", seconds, cpu=cpu, memory=memory, lag=lag)
                took = (time.monotonic() - begun) / 100  # to percent of a core
                used, journal = (daemon.cpu_s() - cpu_s) / took, (read(meter) - journal_s) / took
                daemon.stop()
        return [
            _named(row, f"{instruments:,} x {rate}/s") for row in [*rows, _journaling(folder, used, journal)]
        ]


def _packets(samples: dict[str, float]) -> float:
    return samples.get('mdingest_ticks_total{feed="kite_ws"}', 0.0)


def _watched(
    daemon: Process, api: int, database: Path, seconds: float, *, cpu: float, memory: float, lag: float
) -> list[Row]:
    before, cpu_before, begun = metrics(api), daemon.cpu_s(), time.monotonic()
    lags = _read_on(database, seconds)
    took, used = time.monotonic() - begun, daemon.cpu_s() - cpu_before
    grown = run_.since(metrics(api), before)
    stalls = histogram(grown, "mdingest_loop_stall_seconds")
    flushes = histogram(grown, "mdingest_flush_seconds")
    shares = [f"{bound * 1e3:g}:{count / stalls[-1][1]:.2%}" for bound, count in stalls if bound < 1]
    late = grown.get('mdingest_machine_events_total{kind="late"}', 0.0)
    rate = f"{_packets(grown) / took:,.0f} packets/s"
    return [
        at_most("CPU of one core", 100 * used / took, cpu, "%", note=rate),
        at_most("peak RSS", daemon.peak_mb(), memory, "MiB", note=f"{daemon.rss_mb():.0f} now"),
        at_most("end of a second to its row, p99", quantile(lags, 0.99), lag, "s", note=f"{late:.0f} late"),
        Row(
            "one commit, p50 at most", f"{bound_of(flushes, 0.5) * 1e3:g} ms", f"{flushes[-1][1]:.0f} commits"
        ),
        at_most("loop stall, p99.9 at most", bound_of(stalls, 0.999) * 1e3, 50, "ms"),
        Row("loop stall, ms: share", " ".join(shares)),
    ]


def _read_on(database: Path, seconds: float) -> list[float]:
    """A reader of the first instrument: how old each second was when it could be seen."""
    lags: list[float] = []
    end, seen = time.monotonic() + seconds, ""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        while time.monotonic() < end:
            time.sleep(0.1)
            rows = connection.execute(_FRESH, (seen,)).fetchall()
            now = time.time()
            lags += [now - opened - 1 for _, opened in rows] if seen else []
            seen = rows[0][0] if rows else seen
    return lags


def _packing_s(folder: Path) -> tuple[float, float]:
    """CPU seconds that packing the whole journal takes, and how many seconds were journaled."""
    configure(level="error")
    first, last = 0, 0
    for batch in JournalReader(folder / "journal").read():
        first, last = first or int(batch.wall_ns[0]), int(batch.wall_ns[-1])
    with Journal.open(folder / "journal")[0] as journal:
        journal.rotate()
        begun = time.thread_time()
        while journal.files.pack_next():
            pass
        return time.thread_time() - begun, (last - first) / 1e9


def _journaling(folder: Path, cpu: float, appending: float) -> Row:
    """Percent of one core: of the whole daemon, and of its journal but for packing.

    Packing lags behind and rests between pieces, so that it is measured by itself, as far as
    it may go.
    """
    took_s, span_s = _packing_s(folder)
    packing = 100 * min(took_s / span_s, 1 / BREATH)
    share = 100 * (appending + packing) / cpu
    note = f"append and sync {appending:.2g}, pack {packing:.2g} of {cpu:.3g} % of a core"
    return at_most("journaling, of all CPU", share, _JOURNAL_SHARE, "%", note=note)


def _named(row: Row, load: str) -> Row:
    return Row(f"{load}: {row.what}", row.ours, row.reference, row.ratio, row.target, row.met)


if __name__ == "__main__":
    main(TITLE, run)
