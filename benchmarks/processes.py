"""The product's own processes, started as a user starts them, and what the kernel says of them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
_HEAVY = re.compile(r"/(pandas|yfinance|pyarrow|duckdb|numba|rich|scipy|curl_cffi)[/.-]")


def product_python() -> str:
    """The interpreter of ``make run``, if it is there: peers bring libraries the daemon never has."""
    own = ROOT / ".venv/bin/python"
    return str(own) if own.exists() else sys.executable


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Process:
    """One child. Times are CPU seconds, sizes MiB (of 2**20 bytes)."""

    def __init__(self, child: "subprocess.Popen[bytes]", log: Path) -> None:
        self._child = child
        self._log = log

    def cpu_s(self) -> float:
        """User and system time so far, of all its threads."""
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss_mb(self) -> float:
        """Resident now."""
        return int(Path(f"/proc/{self._child.pid}/statm").read_text().split()[1]) * _PAGE_MB

    def peak_mb(self) -> float:
        """The most it ever had resident."""
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024

    def heavy(self) -> set[str]:
        """Libraries mapped into it that a daemon has no use for."""
        return set(_HEAVY.findall(Path(f"/proc/{self._child.pid}/maps").read_text()))

    def alive(self) -> None:
        """Raises RuntimeError with the end of its log if it has ended."""
        if self._child.poll() is not None:
            raise RuntimeError(f"ended with code {self._child.returncode}:\n{self._log.read_text()[-2000:]}")

    def stop(self, within_s: float = 30.0) -> float:
        """SIGTERM, and wait; CPU seconds it took in all. Raises RuntimeError if it failed."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        return self.wait(within_s)

    def wait(self, within_s: float = 60.0) -> float:
        """Wait until it ends by itself; as `stop`."""
        before = os.times()
        try:
            code = self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            code = self._child.wait()
        if code:
            raise RuntimeError(f"ended with code {code}:\n{self._log.read_text()[-2000:]}")
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system


def environment() -> dict[str, str]:
    """As a user's, whose second start finds what the first one compiled."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(ROOT)}


@contextmanager
def running(command: list[str], folder: Path, name: str) -> Iterator[Process]:
    """A process with its output in ``folder``; it is stopped when the block ends."""
    log = folder / f"{name}.log"
    with log.open("ab") as out:
        child = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=environment())
    try:
        yield Process(child, log)
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def mdingest(*words: str | Path, meter: Path | None = None) -> list[str]:
    """A command line of the product, without what only its developers have installed.

    structlog imports these libraries wherever it finds them; where a user installs it does not.
    ``meter``: a file that tells what the journal takes, see `benchmarks.meter`.
    """
    absent = "sys.modules.update(dict.fromkeys(('colorama', 'greenlet', 'rich', 'twisted')))"
    metered = f"from pathlib import Path; from benchmarks import meter; meter.start(Path({str(meter)!r}))"
    before = f"{absent}; {metered}" if meter else absent
    start = f"import sys; {before}; from mdingest.cli import main; sys.exit(main())"
    return [product_python(), "-c", start, *map(str, words)]


def write_config(folder: Path, *, feed_port: int, symbols: list[str], api_port: int) -> Path:
    """A configuration like a user's: one Kite feed, SQLite, HTTP. JSON is YAML."""
    config = {
        "database": {"url": f"sqlite:///{folder}/market.db"},
        "journal": {"dir": str(folder / "journal"), "max_bytes": "20GiB"},
        "api": {"port": api_port},
        "symbols": symbols,
        "realtime": [{"provider": "kite_ws", "symbols": "all"}],
        "providers": {
            "kite_ws": {
                "url": f"ws://127.0.0.1:{feed_port}",
                "instruments": str(folder / "instruments.csv"),
                "api_key": "key",
                "access_token": "token",
                "session_class": "always",
            }
        },
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    return path


def get(port: int, path: str) -> bytes:
    """The body of a reply. Raises OSError while nobody answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
        body: bytes = reply.read()
    return body


def metrics(port: int) -> dict[str, float]:
    """Every sample of ``/metrics`` by its name with labels."""
    lines = get(port, "/metrics").decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")
    }


def until(
    what: str, ready: Callable[[], bool], process: Process, within_s: float = 60.0, *, poll_s: float = 0.05
) -> None:
    """Look again and again. Raises RuntimeError if the process dies or time is up."""
    give_up = time.monotonic() + within_s
    while True:
        process.alive()
        try:
            if ready():
                return
        except OSError:
            pass
        if time.monotonic() > give_up:
            raise RuntimeError(f"{what}: not within {within_s:g} s")
        time.sleep(poll_s)


def since(now: Mapping[str, float], then: Mapping[str, float]) -> dict[str, float]:
    """How much each sample grew."""
    return {name: value - then.get(name, 0.0) for name, value in now.items()}


def histogram(samples: Mapping[str, Any], name: str) -> list[tuple[float, float]]:
    """Upper bounds in ascending order, and how many were at or below each."""
    found = [
        (float(key.partition('le="')[2].rstrip('"}')), value)
        for key, value in samples.items()
        if key.startswith(f"{name}_bucket")
    ]
    return sorted(found)


def bound_of(buckets: list[tuple[float, float]], share: float) -> float:
    """The least bound that ``share`` of all keep."""
    total = buckets[-1][1]
    return next(bound for bound, count in buckets if count >= share * total)
