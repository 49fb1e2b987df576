"""From the socket to committed rows as fast as it goes, and from a journal to committed rows.

The daemon and the plain pipeline read the same server, which sends as fast as it is read: 9,000
instruments on three connections. What is measured begins with the first data sent and ends when
all of it is committed; of the daemon that is the end of its process, told to stop as soon as it
has heard the last packet. Ours also journals everything and would lose none of it.

A regression here is catching up after an outage, and how far above the usual a burst may be.
`replay` is how long a recovery or a rebuild takes; its journal is the one the daemon just wrote,
and its rows must be the daemon's.
"""

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import processes as run_
from benchmarks.firehose import PER_CONNECTION
from benchmarks.processes import Process, free_port, mdingest, metrics, running, until
from benchmarks.report import NOT_INSTALLED, Row, at_least, main, per_second

TITLE = "flat out: socket to committed rows, journal to committed rows; packets per second"
_CONNECTIONS = 3
_INSTRUMENTS = _CONNECTIONS * PER_CONNECTION
_KEY = 36_000  # packets a second, the most that one Kite key carries
_MISSING = """
SELECT count(*) FROM (
    SELECT * FROM live.candles WHERE interval IN ('1s', '1m')
    EXCEPT SELECT * FROM main.candles WHERE interval IN ('1s', '1m')
)"""


def run(*, full: bool) -> list[Row]:
    """The table."""
    with TemporaryDirectory(prefix="mdingest-bench-") as name:
        folder = Path(name)
        (folder / "plain").mkdir()
        packets, took, cpu = _ours(folder, 240 if full else 60)
        rows = [_replayed(folder, packets)]
        theirs = _plain(folder / "plain", 24 if full else 8)
        what = "socket to committed rows"
        if theirs is None:
            return [Row(what, per_second(packets / took), f"official parser {NOT_INSTALLED}"), *rows]
        other = "official parser + plain Python"
        return [
            at_least(what, packets / took, reference=(other, theirs[0]), ratio=3),
            at_least(f"{what}, per CPU second", packets / cpu, reference=(other, theirs[1])),
            *rows,
        ]


@contextmanager
def _firehose(folder: Path, seconds: int) -> Iterator[tuple[Process, int, dict[str, Any]]]:
    """The server, its port, and what it will send."""
    port = free_port()
    options = ["--port", str(port), "--seconds", str(seconds), "--connections", str(_CONNECTIONS)]
    command = [sys.executable, "-m", "benchmarks.firehose", *options]
    with running([*command, "--instruments", str(folder / "instruments.csv")], folder, "firehose") as process:
        until("the server", lambda: bool(_said(folder, "ready")), process)
        yield process, port, _said(folder, "ready")


def _said(folder: Path, word: str) -> dict[str, Any]:
    """The line of the server that has this word, or nothing."""
    for line in (folder / "firehose.log").read_text().splitlines():
        if word in line:
            found: dict[str, Any] = json.loads(line)
            return found
    return {}


def _ours(folder: Path, seconds: int) -> tuple[int, float, float]:
    """Packets, wall seconds, CPU seconds."""
    api = free_port()
    symbols = [f"SIM{number:04d}.NS" for number in range(1, _INSTRUMENTS + 1)]
    with _firehose(folder, seconds) as (server, port, sends):
        config = run_.write_config(folder, feed_port=port, symbols=symbols, api_port=api)
        with running(mdingest("--config", config, "run"), folder, "daemon") as daemon:
            until("first data", lambda: bool(_said(folder, "begun")), server)
            started = daemon.cpu_s()
            until("last data", lambda: bool(_said(folder, "ended")), server, 300)
            until("all packets", lambda: _heard(api) >= sends["packets"] + _INSTRUMENTS, daemon, 300)
            cpu = daemon.stop() - started
            took = time.time() - _said(folder, "begun")["begun"]
    with closing(sqlite3.connect(folder / "market.db")) as database:
        (rows,) = database.execute("SELECT count(*) FROM candles WHERE interval = '1s'").fetchone()
    assert rows >= (seconds - 4) * sends["rows_a_second"], (rows, sends)  # the last ones still form
    return sends["packets"], took, cpu


def _heard(api: int) -> float:
    return metrics(api).get('mdingest_ticks_total{feed="kite_ws"}', 0.0)


def _plain(folder: Path, seconds: int) -> tuple[float, float] | None:
    """Packets per wall second and per CPU second; None if it is not installed."""
    with _firehose(folder, seconds) as (_, port, sends):
        words = [str(port), str(folder / "plain.db"), str(_CONNECTIONS), str(sends["packets"])]
        with running([sys.executable, "-m", "benchmarks.plain_pipeline", *words], folder, "plain") as plain:
            try:
                until("first data", lambda: bool(_said(folder, "begun")), plain)
                started = plain.cpu_s()
                cpu = plain.wait(300) - started
            except RuntimeError as exc:
                if "ModuleNotFoundError" not in str(exc):
                    raise
                return None
        committed = json.loads((folder / "plain.log").read_text().splitlines()[-1])["committed"]
    with closing(sqlite3.connect(folder / "plain.db")) as database:
        (rows,) = database.execute("SELECT count(*) FROM candles_1s").fetchone()
    assert rows >= (seconds - 4) * sends["rows_a_second"], (rows, sends)
    return sends["packets"] / (committed - _said(folder, "begun")["begun"]), sends["packets"] / cpu


def _replayed(folder: Path, packets: int) -> Row:
    """The journal once more, into a database of its own; its rows must be the daemon's."""
    target = folder / "replayed.db"
    begun = time.monotonic()
    command = mdingest("--database", f"sqlite:///{target}", "replay", folder / "journal")
    with running(command, folder, "replay") as process:
        process.wait(300)
    took = time.monotonic() - begun
    with closing(sqlite3.connect(target)) as database:
        database.execute("ATTACH ? AS live", (str(folder / "market.db"),))
        (missing,) = database.execute(_MISSING).fetchone()
        (rows,) = database.execute("SELECT count(*) FROM main.candles").fetchone()
    assert not missing, f"{missing} rows of {rows} are not what the daemon stored"
    times = packets / took / _KEY
    what = "replay, process start included"
    return Row(
        what,
        per_second(packets / took),
        f"real time {per_second(_KEY)}",
        f"{times:.3g} x",
        ">= 5 x",
        times >= 5,
    )


if __name__ == "__main__":
    main(TITLE, run)
