"""A whole NSE day with real processes, seven minutes at sixty-fold speed.

``mdingest mock kite`` plays Friday 2026-11-20 from 08:55 to 16:05 in India as the broker would:
pre-open, continuous trading with bursts and pauses, closing auction, post-close, conflated to
one packet a second, order books in between, and connections that break now and then.
``mdingest run`` listens on a real socket. What it stored is then held against the simulator's tape
and the hours of the day.
"""

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import Row, at_most
from mdingest.telemetry.clock import parse_clock
from tests.support.processes import Process, free_port, get, started, until, write_config

DATE = "2026-11-20"
BEGIN, END, SPEED = "08:55", "16:05", 60
CAS, FUTURE, INDEX = "RELIANCE.NS", "RELIANCE26NOVFUT.NFO", "NIFTY_50.INDEX"
SYMBOLS = [CAS, "TCS.NS", "INFY.NS", "HDFCBANK.NS", "SIM0001.NS", "SIM0002.NS", FUTURE, INDEX]
FAULTS = "disconnect~2h, close~3h, truncate~2h, back~90m, notime~90m"
MOST_GROWN_MB = 40.0
SLOWEST_START_S = 20.0


@dataclass
class Told:
    """What the tape says of one symbol."""

    total: float | None = None  # the day's volume after the last trade that a packet told of
    minutes: set[int] = field(default_factory=set)  # epoch seconds


def ist(text: str) -> int:
    """A clock time of the day in India, epoch seconds."""
    return int(datetime.fromisoformat(f"{DATE}T{text}+05:30").timestamp())


async def play(folder: Path) -> list[str]:
    """The day; problems that showed while it ran."""
    # what starts up meanwhile must not miss the day's beginning
    clock = parse_clock(f"{datetime.fromtimestamp(ist(BEGIN) - 4 * SPEED).astimezone().isoformat()}x{SPEED}")
    port, api = free_port(), free_port()
    files = {name: folder / f"{name}" for name in ("instruments.csv", "tape.jsonl", "cuts.jsonl")}
    mock = (
        *("mock", "kite", "--port", str(port), "--session", "auto", "--lively", "--conflate", "1s"),
        *("--depth", "5s", "--rate", "1.5", "--seed", "7", "--faults", FAULTS, "--symbols", *SYMBOLS),
        *(
            "--instruments",
            files["instruments.csv"],
            "--tape",
            files["tape.jsonl"],
            "--cuts",
            files["cuts.jsonl"],
        ),
    )
    config = write_config(
        folder,
        simulator=f"ws://127.0.0.1:{port}",
        instruments=files["instruments.csv"],
        symbols=SYMBOLS,
        port=api,
    )
    config.write_text(config.read_text().replace("session_class: always", "session_class: {}"))
    problems: list[str] = []
    async with started(*mock, log=folder / "mock.log", cwd=folder, clock=clock) as simulator:

        async def listening() -> bool:
            return "listening" in simulator.said()

        await until("simulator", listening, simulator, SLOWEST_START_S)
        arguments = ("--config", config, "run")
        async with started(*arguments, log=folder / "run.log", cwd=folder, clock=clock) as daemon:
            early, late = await _watch(daemon, api, clock.wall_ns)
            code = await daemon.stopped(within_s=15)
            if code:
                problems.append(f"the daemon ended with {code}")
            lines = daemon.said().splitlines()
            problems += [f"the daemon logged: {line[:300]}" for line in lines if '"level": "error"' in line]
        await simulator.stopped(within_s=15)
        halted = simulator.said().count("simulator.halted")
        print(
            f"resident: {early:.0f} MB at 09:30, {late:.0f} MB at {END}; the market was halted {halted} times"
        )
        if late - early > MOST_GROWN_MB:
            problems.append(f"the daemon grew by {late - early:.0f} MB")
    return problems


async def _watch(daemon: Process, api: int, now_ns: Callable[[], int]) -> tuple[float, float]:
    """Until the day is over: resident MB at 09:30 and at its end."""
    early = late = 0.0
    shown = 0
    while (now := now_ns() // 1_000_000_000) < ist(END):
        if not daemon.alive:
            raise RuntimeError(daemon.said()[-3000:])
        late = _resident_mb(daemon.inner.pid)
        if now >= ist("09:30") and not early:
            early = late
        if now - shown >= 3600:
            shown = now
            status, body = await get(f"http://127.0.0.1:{api}/health")
            print(
                f"{datetime.fromtimestamp(now).astimezone():%H:%M:%S %Z} health {status}, {late:.0f} MB",
                flush=True,
            )
            del body
        await asyncio.sleep(1)
    await asyncio.sleep(2)  # the last rows are committed
    return early, late


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / (1 << 20)


def judge(folder: Path) -> list[str]:
    """What is stored against the tape and the hours."""
    tape = _tape(folder / "tape.jsonl")
    problems = []
    with closing(sqlite3.connect(folder / "mdingest.db")) as database:
        for symbol in SYMBOLS:
            told = tape[symbol]
            rows = database.execute(
                "SELECT unixepoch(ts_utc), volume, session, state FROM candles "
                "WHERE symbol = ? AND interval = '1m'",
                (symbol,),
            ).fetchall()
            minutes = {at: (volume, session, state) for at, volume, session, state in rows}
            problems += _sessions(symbol, minutes)
            (seconds,) = database.execute(
                "SELECT sum(volume) FROM candles WHERE symbol = ? AND interval = '1s'", (symbol,)
            ).fetchone()
            gaps = database.execute(
                "SELECT start_utc, end_utc, cause, volume FROM gaps WHERE symbol = ?", (symbol,)
            ).fetchall()
            passed = sum(volume or 0.0 for *_, volume in gaps)
            partial = sum(state == "partial" for _, _, state in minutes.values())
            missing = told.minutes - minutes.keys()
            print(
                f"{symbol:22} {len(minutes):4} minutes ({partial} partial), volume {seconds or 0:,.0f} "
                f"in candles + {passed:,.0f} in {len(gaps)} gaps = {told.total or 0:,.0f} on the tape"
            )
            if symbol == INDEX:
                continue
            if (seconds or 0) + passed != told.total:
                problems.append(
                    f"{symbol}: {seconds} in candles + {passed} in gaps, not {told.total}: {gaps}"
                )
            unknown = [at for at in missing if not _in_gap(at, gaps)]
            if unknown:
                problems.append(
                    f"{symbol}: {len(unknown)} minutes traded, have no row and no gap: {unknown[:5]}"
                )
    return problems


def _sessions(symbol: str, minutes: dict[int, tuple[float | None, str, str]]) -> list[str]:
    """What must stand where, by the hours of the day."""
    share = symbol.endswith(".NS")
    must: dict[str, str] = {"09:20": "regular", "15:14": "regular"}
    if symbol == CAS:
        must |= {"09:08": "preopen", "15:30": "auction"}
        must_not = ["09:07", "09:10", "15:15", "15:25", "15:35", "16:00"]
    elif symbol == FUTURE:
        must |= {"09:08": "preopen", "15:15": "regular", "15:39": "regular"}
        must_not = ["15:40", "15:50"]
    elif share:
        must |= {"09:08": "preopen", "15:15": "regular", "15:29": "regular"}
        must_not = ["09:07", "09:10", "15:30", "15:35", "16:00"]
    else:
        must |= {"15:15": "regular", "15:29": "regular", "15:35": "postclose"}
        must_not = ["15:30", "15:40"]
    problems = [
        f"{symbol}: {at} should be {session}, is {minutes.get(ist(at))}"
        for at, session in must.items()
        if (found := minutes.get(ist(at))) is None or found[1] != session
    ]
    problems += [f"{symbol}: {at} has a row" for at in must_not if ist(at) in minutes]
    return problems


def _in_gap(at: int, gaps: list[tuple[str, str | None, str, float | None]]) -> bool:
    for start, end, *_ in gaps:
        first = datetime.fromisoformat(start).timestamp()
        last = datetime.fromisoformat(end).timestamp() if end else float("inf")
        if first < at + 60 and at < last:
            return True
    return False


def _tape(path: Path) -> dict[str, Told]:
    found: dict[str, Told] = defaultdict(Told)
    with path.open() as lines:
        for line in lines:
            trade = json.loads(line)
            told = found[trade["symbol"]]
            told.total = trade["volume"]
            told.minutes.add(trade["ts"] // 60 * 60)
    return found


def run() -> list[Row]:
    """Play and judge."""
    with TemporaryDirectory(prefix="mdingest-soak-") as name:
        folder = Path(name)
        problems = asyncio.run(play(folder)) + judge(folder)
    for problem in problems:
        print(f"  {problem}")
    return [at_most("problems", len(problems), 0, "")]
