"""How long until the daemon serves, and what it weighs while nothing happens.

From the start of the process to its first reply over HTTP, on a new database and journal and
on those of the run before. A regression is nearly always an import: the rows name libraries
that a daemon has no use for and the CPU time of the start. Idle is ten seconds later, connected
to a feed of four instruments that hardly trade.
"""

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import processes as run_
from benchmarks.processes import free_port, get, mdingest, running, until
from benchmarks.report import Row, at_most, main

TITLE = "startup: mdingest run, four instruments"
_INSTRUMENTS = 4


def run(*, full: bool) -> list[Row]:
    """The table."""
    with TemporaryDirectory(prefix="mdingest-bench-") as name:
        folder = Path(name)
        port = free_port()
        mock = mdingest(
            *("mock", "kite", "--port", str(port), "--synthetic", str(_INSTRUMENTS), "--rate", "0.1"),
            *("--instruments", folder / "instruments.csv"),
        )
        with running(mock, folder, "simulator") as simulator:
            until("simulator", lambda: "listening" in (folder / "simulator.log").read_text(), simulator)
            return _started(folder, port, 9 if full else 5)


def _started(folder: Path, port: int, times: int) -> list[Row]:
    api = free_port()
    symbols = [f"SIM{number:04d}.NS" for number in range(1, _INSTRUMENTS + 1)]
    config = run_.write_config(folder, feed_port=port, symbols=symbols, api_port=api)
    served: list[float] = []
    used: list[float] = []
    heavy: set[str] = set()
    idle = 0.0
    for n in range(times):
        begun = time.monotonic()
        with running(mdingest("--config", config, "run"), folder, "daemon") as daemon:
            until("a reply", lambda: bool(get(api, "/livez")), daemon, poll_s=0.01)
            served.append(time.monotonic() - begun)
            used.append(daemon.cpu_s())
            if n == times - 1:
                time.sleep(10)
                idle, heavy = daemon.rss_mb(), daemon.heavy()
            daemon.stop()
    again = statistics.median(served[1:])
    return [
        at_most("first reply, new database", served[0], 1.5, "s"),
        at_most(
            "first reply, database there", again, 1.5, "s", note=f"{statistics.median(used[1:]):.2g} s of CPU"
        ),
        at_most("idle RSS", idle, 75, "MiB"),
        Row("libraries it has no use for", ", ".join(sorted(heavy)) or "none", "", "", "none", not heavy),
    ]


if __name__ == "__main__":
    main(TITLE, run)
