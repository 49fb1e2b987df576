"""A million rows of CSV into SQLite: ``mdingest backfill`` beside the sqlite3 shell's ``.import``.

Both are processes of their own, start-up included, in turns, on the same files' worth of rows
and the same key (instrument, time). The shell gets its rows ready-made, in the columns of its
table, and checks nothing; ours reads a vendor's file, with stamps in a zone, checks each row,
places it in its session, and stores it by rank together with what it covers.

A regression of the ratio means that a step was added to each row; one of the peak, that
something is kept for the whole file.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.processes import environment, product_python
from benchmarks.report import NOT_INSTALLED, Row, at_least, at_most, main, per_second
from benchmarks.sqlite_upsert import PLAIN_TABLE

TITLE = "csv_backfill: a million 1m rows of CSV into SQLite, whole processes, rows per CPU second"
_ROWS = 1_000_000
_SYMBOLS = 4
_START_S = 1_577_836_800  # 2020-01-01, always open: every minute
_TARGET = 0.5
_MOST_MB = 192.0  # 75 of them are the program, 40 the page caches of its connections


@dataclass(frozen=True)
class Run:
    """One process."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def run(*, full: bool) -> list[Row]:
    """The table."""
    rounds = 3 if full else 1
    shell = shutil.which("sqlite3")
    with TemporaryDirectory(prefix="mdingest-bench-") as name:
        folder = Path(name)
        _make(folder)
        ours, again, theirs = [], [], []
        for _ in range(rounds):
            for old in folder.glob("*.db*"):
                old.unlink()
            if shell is not None:
                theirs.append(_import(shell, folder))
            ours.append(_backfill(folder))
            again.append(_backfill(folder))
        if shell is not None:
            _compare(shell, folder)
    reference = None
    if theirs:
        reference = ("sqlite3 .import", _ROWS / median(run.cpu_s for run in theirs))
    return [
        at_least("first time", _ROWS / median(run.cpu_s for run in ours), reference=reference, ratio=_TARGET),
        Row("again, nothing changes", per_second(_ROWS / median(run.cpu_s for run in again))),
        Row(
            "wall seconds, first time",
            f"{median(run.wall_s for run in ours):.3g}",
            f"sqlite3 .import {median(run.wall_s for run in theirs):.3g}" if theirs else NOT_INSTALLED,
        ),
        at_most("peak memory", max(run.peak_mb for run in ours + again), _MOST_MB, "MiB"),
    ]


def _make(folder: Path) -> None:
    """A vendor's file a symbol, and one for the shell with the same rows in its table's columns."""
    chance = np.random.default_rng(7)
    count = _ROWS // _SYMBOLS
    with (folder / "import.csv").open("w") as ready:
        for n in range(1, _SYMBOLS + 1):
            closes = np.round(100 + np.cumsum(chance.normal(0, 0.02, count)) % 50, 2)
            opens = np.concatenate([closes[:1], closes[:-1]])
            highs, lows = np.maximum(opens, closes) + 0.05, np.minimum(opens, closes) - 0.05
            volumes = chance.integers(1, 10_000, count)
            seconds = _START_S + 60 * np.arange(count)
            utc = np.datetime_as_string(seconds.astype("datetime64[s]")).tolist()
            local = np.datetime_as_string((seconds + 19_800).astype("datetime64[s]")).tolist()
            values = zip(
                opens.tolist(), highs.tolist(), lows.tolist(), closes.tolist(), volumes.tolist(), strict=True
            )
            with (folder / f"S{n}.BINANCE_1m.csv").open("w") as file:
                file.write("timestamp,open,high,low,close,volume\n")
                for at, here, (o, h, low, c, v) in zip(utc, local, values, strict=True):
                    prices = f"{o:.2f},{h:.2f},{low:.2f},{c:.2f},{v}"
                    file.write(f"{here.replace('T', ' ')}+05:30,{prices}\n")
                    ready.write(f"{n},{at}Z,{prices},,,18,0,2,0,0\n")


def _import(shell: str, folder: Path) -> Run:
    table = PLAIN_TABLE.format("candles").strip()
    as_ours = "PRAGMA journal_mode = WAL;\nPRAGMA synchronous = NORMAL;\n"
    commands = f"{as_ours}{table};\n.mode csv\n.import import.csv candles\n"
    return _timed([shell, "shell.db"], folder, commands)


def _backfill(folder: Path) -> Run:
    (folder / "c.yaml").write_text('providers: {csv: {files: "{symbol}_{interval}.csv"}}\n')
    symbols = [f"S{n}.BINANCE" for n in range(1, _SYMBOLS + 1)]
    options = ["--provider", "csv", "--interval", "1m", "--symbols", *symbols]
    database = ["--config", "c.yaml", "--database", "sqlite:///ours.db", "--log-level", "error"]
    return _timed([product_python(), "-m", "mdingest", "backfill", *options, *database], folder)


# A process of its own, and a small one, starts what is measured: to the kernel the peak memory of
# a child is never less than that of its parent when it began, here some hundred MiB of rows.
_LAUNCHER = """
import json, os, resource, subprocess, sys, time
begun = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def _timed(command: Sequence[str], folder: Path, text: str = "") -> Run:
    """Run to its end. Raises RuntimeError if it fails."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER, *command],
        cwd=folder,
        env=environment(),
        input=text,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    code, wall_s, cpu_s, peak = json.loads(done.stdout)
    if code:
        raise RuntimeError(f"{command[0]} ended with {code}")
    scale = 1 if sys.platform == "darwin" else 1024
    return Run(wall_s, cpu_s, peak * scale / (1 << 20))


def _compare(shell: str, folder: Path) -> None:
    query = "SELECT count(*), min(ts_utc), max(ts_utc), sum(volume), sum(close) FROM {}"
    found = [
        subprocess.run(
            [shell, str(folder / db), query.format(table)], capture_output=True, text=True, check=True
        ).stdout
        for db, table in (("ours.db", "candles_1m"), ("shell.db", "candles"))
    ]
    assert found[0] == found[1], found


if __name__ == "__main__":
    main(TITLE, run)
