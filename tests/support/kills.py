"""kill -9 at any instant, any number of times, and what the oracle says of it afterwards.

The process is the real one, on a real socket. Its lives are of three lengths: too short to be
ready, as short as a commit, and long enough to hear whole seconds. A few end in good order,
so that later ones recover from a saved state and not from the whole journal.
"""

import asyncio
from pathlib import Path
from random import Random
from typing import NamedTuple

from mdingest.simulators import KiteSimulator
from mdingest.telemetry.clock import parse_clock
from tests.support.evidence import read_evidence
from tests.support.oracle import EVIDENCE_CHECKS, excess_problems, judged_buckets, story
from tests.support.oracle_journal import (
    committed_problems,
    frames_received,
    replay_problems,
    stream_problems,
)
from tests.support.processes import started, until_said, write_config

SPEED = 4  # of the market: more whole seconds in the same time
FAULTS = "disconnect~40s, close~90s"  # market time
LIFE_S = ((0.02, 0.5), (0.5, 1.6), (1.8, 3.4))  # starting; recovering and committing; running
OFF_S = (0.0, 0.2)


class Killed(NamedTuple):
    """``problems`` is empty if the oracle holds; ``seconds`` of 1s candles were compared with the tape."""

    problems: str
    seconds: int


async def kill_again_and_again(folder: Path, *, kills: int, stops: int, seed: int) -> Killed:
    """Lives in a random order in one folder. Raises AssertionError if one ends by itself."""
    random = Random(seed)
    lives = [(random.uniform(*LIFE_S[n % len(LIFE_S)]), True) for n in range(kills)]
    lives += [(random.uniform(1, 2), False) for _ in range(stops)]
    random.shuffle(lives)
    clock = parse_clock(f"2026-11-20T10:00:00+05:30x{SPEED}")
    tape, cuts, log = folder / "tape.jsonl", folder / "cuts.jsonl", folder / "log.jsonl"
    async with KiteSimulator(clock=clock, seed=seed, faults=FAULTS, tape=tape, cuts=cuts) as simulator:
        config = write_config(
            folder,
            simulator=simulator.ws_url,
            instruments=f"{simulator.http_url}/instruments",
            symbols=[one.symbol for one in simulator.instruments],
        )
        for life_s, killed in [*lives, (3.0, False)]:
            async with started("--config", config, "run", log=log, cwd=folder, clock=clock) as daemon:
                if not killed:
                    await until_said(daemon, "app.started", within_s=120)
                await asyncio.sleep(life_s)
                assert daemon.alive, f"seed {seed}:\n{daemon.said()[-3000:]}"
                if killed:
                    await daemon.killed()
                else:
                    assert await daemon.stopped(within_s=15) == 0, f"seed {seed}:\n{daemon.said()[-3000:]}"
            await asyncio.sleep(random.uniform(*OFF_S))

    database, journal = folder / "mdingest.db", folder / "journal"
    found = read_evidence(database, tape, cuts)
    problems = [check(found) for check in EVIDENCE_CHECKS]
    problems.append(excess_problems(found, frames_received(journal)))
    problems.append(committed_problems(journal, database))
    problems.append(stream_problems(journal))
    problems.append(await replay_problems(journal, database, folder))
    return Killed(story(problems), judged_buckets(found)["1s"])
