"""Real `mdingest` processes: started, watched with deadlines, and ended by their own pid."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from mdingest.telemetry.clock import Clock

POLL_S = 0.05
PATIENCE_S = 60.0
"""For what should take a moment: a busy machine is no failure. Promised times are stated where tested."""
CLOCKED = """
import os, sys, time
from datetime import UTC, datetime
from mdingest.cli import main
wall, origin, speed = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
class Environment(dict):
    def get(self, name, default=None):
        if name != "MDINGEST_CLOCK":
            return super().get(name, default)
        now = wall + (time.monotonic_ns() - origin) * speed
        return f"{datetime.fromtimestamp(now / 1e9, UTC).isoformat()}x{speed:g}"
os.environ = Environment(os.environ)
sys.exit(main(sys.argv[4:]))
"""
"""Starts with the clock of another process: its origin is the machine's own monotonic clock.

The instant is told at the moment when it is asked for, since a busy machine may take seconds
from the start to there, and two clocks that disagree are another test.
"""


@dataclass(eq=False)
class Process:
    """One process and its log. `started` makes it, and makes sure that it does not outlive the test."""

    inner: asyncio.subprocess.Process
    log: Path
    begin: int  # where its part of the log begins

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.inner.returncode is None

    def said(self) -> str:
        """All that it wrote so far, both streams."""
        return self.log.read_bytes()[self.begin :].decode(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process; nothing if it has ended."""
        if self.alive:
            self.inner.send_signal(number)

    async def ended(self, within_s: float = PATIENCE_S) -> int:
        """Its exit code. Fails if it takes longer."""
        try:
            async with asyncio.timeout(within_s):
                return await self.inner.wait()
        except TimeoutError:
            raise AssertionError(f"still running after {within_s} s:\n{self.said()[-3000:]}") from None

    async def killed(self) -> None:
        """As the kernel or a power switch would."""
        self.send(signal.SIGKILL)
        await self.inner.wait()

    async def stopped(self, number: signal.Signals = signal.SIGTERM, within_s: float = 10) -> int:
        """Ask it to stop; its exit code."""
        self.send(number)
        return await self.ended(within_s)


@asynccontextmanager
async def started(
    *arguments: str | Path,
    log: Path,
    cwd: Path,
    clock: Clock | None = None,
    prelude: str = "",
    wrapper: Sequence[str] = (),
) -> AsyncIterator[Process]:
    """``mdingest ARGUMENTS`` in a directory. ``clock``: a shifted one, shared with this process.

    ``prelude`` is code that runs in the process before anything else. ``wrapper`` is a command
    that becomes the process (its pid stays), such as ``strace -D``.
    """
    command = ["-c", f"{prelude}\nimport sys\nfrom mdingest.cli import main\nsys.exit(main(sys.argv[1:]))"]
    if clock is not None and clock.shifted:
        origin = (str(clock.wall_origin_ns), str(clock.origin_ns), str(clock.speed))
        command = ["-c", f"{prelude}\n{CLOCKED}", *origin]
    elif not prelude:
        command = ["-m", "mdingest"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MDINGEST_")}
    root = str(Path(__file__).parents[2])
    with log.open("ab") as out:
        begin = out.tell()
        inner = await asyncio.create_subprocess_exec(
            *wrapper,
            sys.executable,
            *command,
            *map(str, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=cwd,
            # All talk stays on this machine and in clear: to read the world's certificates takes 50 ms.
            env={**environment, "PYTHONPATH": root, "NO_COLOR": "1", "SSL_CERT_FILE": os.devnull},
        )
    process = Process(inner, log, begin)
    try:
        yield process
    finally:
        await process.killed()


async def until(
    what: str, holds: Callable[[], Awaitable[bool]], process: Process, within_s: float = PATIENCE_S
) -> None:
    """Poll until it holds. Fails with the log if it takes longer or the process ends before."""
    deadline = time.monotonic() + within_s
    while not await holds():
        if not process.alive or time.monotonic() > deadline:
            state = "is running" if process.alive else f"ended with {process.inner.returncode}"
            raise AssertionError(f"no {what} within {within_s} s; it {state}:\n{process.said()[-3000:]}")
        await asyncio.sleep(POLL_S)


async def until_said(process: Process, text: str, within_s: float = PATIENCE_S) -> None:
    """Wait until it has written a text."""

    async def said() -> bool:
        return text in process.said()

    await until(text, said, process, within_s)


async def get(url: str) -> tuple[int, Any]:
    """Status and JSON body; status 0 while nobody listens."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            return reply.status, await reply.json(content_type=None)
    except aiohttp.ClientConnectionError:
        return 0, None


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_config(
    folder: Path,
    *,
    simulator: str,
    instruments: str | Path,
    symbols: Sequence[str],
    port: int = 0,
    access_token: str = "good",  # noqa: S107 - the simulator takes any but "bad"
) -> Path:
    """A daemon that listens to a simulator (address ``ws://...``) and keeps all below ``folder``."""
    path = folder / "config.yaml"
    content = {
        "database": {"url": f"sqlite:///{folder / 'mdingest.db'}"},
        "journal": {"dir": str(folder / "journal"), "reserve": "1MiB"},  # it is kept with a test's folder
        "api": {"port": port},
        "symbols": list(symbols),
        "realtime": [{"provider": "kite_ws", "symbols": "all"}],
        "providers": {
            "kite_ws": {
                "url": simulator,
                "api_key": "key",
                "access_token": access_token,
                "instruments": str(instruments),
                "session_class": "always",
            }
        },
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
