"""The oracle finds nothing in honest runs, and finds each fault that is planted into one."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.support.evidence import NS
from tests.support.oracle import DAY, EVIDENCE_CHECKS, excess_problems, judged_buckets, story
from tests.support.oracle_journal import (
    Again,
    committed_problems,
    frames_received,
    replay_problems,
    stepped_again,
)
from tests.support.recording import BEGIN, Death, Recording


async def judged(run: Recording, known: Again | None = None) -> str:
    """All problems of a run that ended in good order; ``known`` as for `replay_problems`."""
    found = run.evidence()
    problems = [check(found) for check in EVIDENCE_CHECKS]
    problems.append(excess_problems(found, frames_received(run.journal)))
    problems.append(committed_problems(run.journal, run.database))
    problems.append(await replay_problems(run.journal, run.database, run.folder, known))
    return story(problems, most=1_000)


@pytest.mark.parametrize(("seed", "long_one"), [(1, Death.UNREAD), (3, Death.STEPPED)])
async def test_nothing_is_wrong_after_deaths_at_every_point_of_the_work(
    tmp_path: Path, seed: int, long_one: Death
) -> None:
    """In simulated time, so that there is a whole minute between two deaths."""
    random = Random(seed)
    lives = [(random.uniform(0.5, 12), death) for death in (*Death, *Death)]
    lives.append((random.uniform(130, 140), long_one))
    random.shuffle(lives)
    run = Recording(tmp_path, seed=seed)

    await run.run([*lives, (10, None)], faults="disconnect@20s, disconnect@35s, disconnect@50s")

    assert not await judged(run)
    assert judged_buckets(run.evidence())["1m"] > 0


@pytest.mark.parametrize("seed", range(2))
async def test_deaths_and_disconnects_within_one_second_lose_no_volume_and_no_uptime(
    tmp_path: Path, seed: int
) -> None:
    """Uptimes that begin and end in the same second leave gaps and coverage without length."""
    random = Random(seed)
    lives = [(random.uniform(0.1, 1.2), random.choice([*Death])) for _ in range(25)]
    run = Recording(tmp_path, seed=seed, off_s=(0.0, 0.3))

    await run.run([*lives, (10, None)], faults_s=random.choice([0, 1, 3]))

    assert not await judged(run)


async def test_a_new_trade_date_begins_at_nothing_traded(tmp_path: Path) -> None:
    """The simulated exchange's day ends at midnight; once while we listen, and once while we are dead."""
    midnight = BEGIN // DAY * DAY + DAY
    run = Recording(tmp_path / "up", begin=midnight - 40 * NS)
    run.folder.mkdir()
    await run.run([(20, Death.STEPPED), (60, None)])
    assert not await judged(run)
    assert judged_buckets(run.evidence())["1s"] > 200

    run = Recording(tmp_path / "down", begin=midnight - 20 * NS, off_s=(2.0, 2.0))
    run.folder.mkdir()
    await run.run([(19, Death.STEPPED), (30, None)])
    assert not await judged(run)


@pytest.mark.parametrize("seed", range(2))
async def test_a_quiet_feed_that_reconnects_at_once_claims_nothing_it_did_not_hear(
    tmp_path: Path, seed: int
) -> None:
    run = Recording(tmp_path, seed=seed, rate=0.1)

    await run.run([(150, Death.STEPPED), (150, None)], faults_s=8)

    assert not await judged(run)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes, the first of which was killed, and a disconnect."""
    run = Recording(tmp_path_factory.mktemp("honest"), seed=2, rate=1.0)
    asyncio.run(run.run([(20, Death.STEPPED), (125, None)], faults="disconnect@30s"))
    assert not asyncio.run(judged(run))
    return run.folder


@pytest.fixture(scope="module")
def known(recorded: Path) -> Again:
    """Its journal, stepped once for all faults that are planted into its database."""
    run = Recording(recorded)
    return asyncio.run(stepped_again(run.journal, run.database, run.folder))


@pytest.fixture
def honest(recorded: Path, tmp_path: Path) -> Recording:
    """A copy of it."""
    return Recording(shutil.copytree(recorded, tmp_path / "copy"))


KEY = """(instrument_id, ts_utc) = (
    SELECT instrument_id, ts_utc FROM candles_1s
    WHERE state = 0 AND instrument_id = (SELECT id FROM instruments WHERE symbol = 'RELIANCE.NS')
    ORDER BY ts_utc LIMIT 1 OFFSET 9
)"""
"""Some final row of one symbol, in the middle of its table."""
NEXT = "strftime('%Y-%m-%dT%H:%M:%SZ', c.ts_utc, '+1 second')"
MADE_UP = f"""
INSERT OR IGNORE INTO candles_1s
SELECT
    instrument_id, {NEXT}, open, high, low, close, volume, oi, trades, source, state, session, flags, revision
FROM candles_1s AS c WHERE state = 0 AND NOT EXISTS (
    SELECT 1 FROM fresh_1s AS f WHERE f.instrument_id = c.instrument_id AND f.ts_utc <= {NEXT}
)"""  # noqa: S608 - from the lines above
MOVED = """
UPDATE gap_spans SET start_ns = start_ns + 3000000000, end_ns = end_ns + 3000000000
WHERE end_ns IS NOT NULL AND cause = 3"""
STRETCHED = "UPDATE coverage_spans SET end_ns = end_ns + 2000000000 WHERE end_ns IS NOT NULL"
UNCOVERED = "DELETE FROM coverage_spans WHERE start_ns > (SELECT min(start_ns) FROM coverage_spans)"

PLANTED = {  # what is done to the database, and a part of what the oracle must say
    "a close changes": (f"UPDATE candles_1s SET close = low, low = low - 1 WHERE {KEY}", "RELIANCE.NS 1s"),  # noqa: S608
    "a volume changes": (f"UPDATE candles_1s SET volume = volume + 1 WHERE {KEY}", "volume="),  # noqa: S608
    "a row is lost": (f"DELETE FROM candles_1s WHERE {KEY}", "is missing"),  # noqa: S608
    "a minute is lost": ("DELETE FROM candles_1m WHERE state = 0", "1m"),
    "a row is made up": (MADE_UP, "was stored, but nothing traded"),
    "partial rows pass for final": (
        "UPDATE candles_1s SET state = 0 WHERE state = 1",
        "overlaps the final 1s",
    ),
    "a revision counts twice": (f"UPDATE candles_1s SET revision = 7 WHERE {KEY}", "revision"),  # noqa: S608
    "gaps are moved": (MOVED, "is not inside a recorded gap"),
    "gaps are forgotten": ("DELETE FROM gap_spans WHERE cause = 3", "is not inside a recorded gap"),
    "gaps are too long": (
        "UPDATE gap_spans SET start_ns = start_ns - 9000000000 WHERE cause = 3",
        "exceeds its 1 cuts",
    ),
    "gaps forget their volume": ("UPDATE gap_spans SET volume = 0 WHERE cause = 3", "are not the day's"),
    "coverage claims the time of a cut": (STRETCHED, "overlaps the coverage"),
    "coverage is lost": (UNCOVERED, "leaves a hole"),
    "the position is ahead": ("UPDATE positions SET lsn = lsn + 1", "beyond the journal's end"),
    "the position is behind": ("UPDATE positions SET lsn = lsn - 1", "is not the journal's end"),
    "the position is of another journal": ("UPDATE positions SET journal = 'x'", "has never seen"),
}


@pytest.mark.parametrize("fault", PLANTED)
async def test_a_planted_fault_is_found(honest: Recording, known: Again, fault: str) -> None:
    sql, told = PLANTED[fault]
    with closing(sqlite3.connect(honest.database)) as connection:
        assert connection.execute(sql).rowcount > 0
        connection.commit()

    assert told in await judged(honest, known)


def _first(trades: list[dict[str, object]], change: Callable[[dict[str, object]], None]) -> None:
    change(next(one for one in trades[len(trades) // 2 :] if one["symbol"] == "RELIANCE.NS"))


@pytest.mark.parametrize(
    ("what", "told"),
    [({"price": 1.0}, "should be"), ({"ts": 1795147300}, "1s"), ({"size": 12345}, "should be")],
)
async def test_a_tape_that_says_something_else_is_found(
    honest: Recording, known: Again, what: dict[str, object], told: str
) -> None:
    """The other way round: the stored rows are right, the tape is not theirs."""
    trades = [json.loads(line) for line in honest.tape.read_text().splitlines()]
    _first(trades, lambda trade: trade.update(what))
    honest.tape.write_text("".join(json.dumps(trade) + "\n" for trade in trades))

    assert told in await judged(honest, known)
