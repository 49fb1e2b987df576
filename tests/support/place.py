"""A simulated broker in this process, a daemon that listens to it, and the verdict on what it stored."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from mdingest.simulators import KiteSimulator
from mdingest.telemetry.clock import Clock, parse_clock
from tests.support.evidence import NS, Evidence, read_evidence
from tests.support.oracle import (
    EVIDENCE_CHECKS,
    cut_problems,
    excess_problems,
    story,
    tape_problems,
    volume_problems,
)
from tests.support.oracle_journal import (
    committed_problems,
    frames_received,
    replay_problems,
    stream_problems,
)
from tests.support.processes import PATIENCE_S, Process, free_port, get, started, until, write_config

SYMBOL = "RELIANCE.NS"
GOOD, BAD = "good", "bad"  # access tokens, to the simulator


@dataclass
class Place:
    """A simulator, and where a daemon that listens to it keeps its things."""

    folder: Path
    simulator: KiteSimulator
    port: int

    @property
    def database(self) -> Path:
        """Where its candles are."""
        return self.folder / "mdingest.db"

    @property
    def journal(self) -> Path:
        """Where its journal is."""
        return self.folder / "journal"

    def mdingest(
        self, *arguments: str | Path, prelude: str = "", wrapper: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[Process]:
        """Start a command on this place's config. The rest as for `started`."""
        return started(
            "--config",
            self.folder / "config.yaml",
            *arguments,
            log=self.folder / f"{arguments[0]}.log",
            cwd=self.folder,
            clock=self.simulator.clock,
            prelude=prelude,
            wrapper=wrapper,
        )

    def listens_to(self, address: str) -> None:
        """Let the daemon go another way to the broker, from its next start on."""
        config = self.folder / "config.yaml"
        config.write_text(config.read_text().replace(self.simulator.ws_url, address))

    async def finished(self, *arguments: str | Path) -> tuple[int, str]:
        """Exit code and output of a command that ends by itself."""
        async with self.mdingest(*arguments) as process:
            return await process.ended(within_s=PATIENCE_S), process.said()

    async def get(self, path: str, port: int | None = None) -> tuple[int, Any]:
        """Ask over HTTP."""
        return await get(f"http://127.0.0.1:{port or self.port}{path}")

    async def page(self, path: str) -> str:
        """The text of a reply."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            return await reply.text()

    async def candles(self, port: int | None = None) -> list[dict[str, Any]]:
        """The newest stored seconds of one symbol; none while there is no answer."""
        status, body = await self.get(f"/candles?symbol={SYMBOL}&interval=1s&limit=1000", port)
        return body["candles"] if status == 200 else []

    async def until_candles(
        self, process: Process, count: int, port: int | None = None, within_s: float = PATIENCE_S
    ) -> None:
        """Wait until there are so many."""

        async def enough() -> bool:
            return len(await self.candles(port)) >= count

        await until(f"{count} candles", enough, process, within_s)

    def rows(self) -> int:
        """How many seconds of one symbol are stored. The file is asked: HTTP may not be up yet."""
        if not self.database.exists():
            return 0
        query = "SELECT count(*) FROM candles WHERE symbol = ? AND interval = '1s'"
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            try:
                found: int = connection.execute(query, (SYMBOL,)).fetchone()[0]
            except sqlite3.OperationalError:  # not migrated yet
                return 0
        return found

    async def until_more(self, process: Process, count: int, within_s: float = 90) -> None:
        """Wait until so many more are stored than now."""
        wanted = self.rows() + count

        async def grown() -> bool:
            return self.rows() >= wanted

        await until(f"{count} rows more", grown, process, within_s)

    def evidence(self) -> Evidence:
        """What it left behind."""
        return read_evidence(self.database, self.folder / "tape.jsonl", self.folder / "cuts.jsonl")

    def heard_without_a_gap(self) -> bool:
        """Whether nothing was lost between a symbol's first snapshot and the end."""
        found = self.evidence()
        return not any(
            gap.start >= found.first_heard(symbol) and gap.start + NS < found.horizon()
            for symbol in found.symbols
            for gap in found.gaps.get(symbol, [])
        )

    async def verdict(
        self, *, whole_journal: bool = True, honest_clock: bool = True, known_opening: bool = True
    ) -> str:
        """All problems that the oracle finds, after a clean stop; empty if all is well.

        ``whole_journal``: nothing of it was damaged, so that a replay gives the same rows, and no
        gap begins anew at the day's opening.
        ``honest_clock``: the stamps of its records can be compared with the simulator's.
        ``known_opening``: what was traded before we listened lies in the gap since the day's first session.
        """
        found = self.evidence()
        checks = [check for check in EVIDENCE_CHECKS if known_opening or check is not volume_problems]
        if not whole_journal:
            checks = [tape_problems, cut_problems]
        problems = [check(found) for check in checks]
        if honest_clock:
            problems.append(excess_problems(found, frames_received(self.journal)))
        if whole_journal:
            problems.append(stream_problems(self.journal))
            problems.append(committed_problems(self.journal, self.database))
            problems.append(await replay_problems(self.journal, self.database, self.folder))
        return story(problems)


@asynccontextmanager
async def place_of(
    folder: Path,
    clock: Clock,
    *,
    access_token: str = GOOD,
    faults: str = "",
    rate: float = 3.0,
) -> AsyncIterator[Place]:
    """A market that trades while the block runs."""
    async with KiteSimulator(
        clock=clock, rate=rate, faults=faults, tape=folder / "tape.jsonl", cuts=folder / "cuts.jsonl"
    ) as simulator:
        place = Place(folder, simulator, free_port())
        (folder / "instruments.csv").write_text(simulator.instruments_csv())
        write_config(
            folder,
            simulator=simulator.ws_url,
            instruments=folder / "instruments.csv",
            symbols=[one.symbol for one in simulator.instruments],
            port=place.port,
            access_token=access_token,
        )
        yield place


def fast_clock(speed: int) -> Clock:
    """A morning at several times real speed, so that nobody waits for candles."""
    return parse_clock(f"{datetime(2026, 11, 20, 3, 58, 30, tzinfo=UTC).isoformat()}x{speed}")
