"""Each fault of the simulator, in simulated time: what is stored keeps the oracle's promises.

The daemon's parts are the real ones, from the watchdogs to the database; only sockets and
waiting are left out. What needs a socket is in `test_watchdogs`.
"""

from pathlib import Path

import pytest

from mdingest.simulators.faults import INSTANT, LASTING, parse_faults
from tests.support.evidence import NS
from tests.support.oracle import EVIDENCE_CHECKS, excess_problems, judged_buckets, story
from tests.support.oracle_journal import committed_problems, frames_received, replay_problems
from tests.support.recording import BEGIN, Death, Recording

ON_SOCKETS = {"trickle"}
SURVIVED = {
    "what harms nobody": "unknown~3s, notime~3s, duplicate~3s, order~3s, burst@25s/4s",
    "frames that can't be read": "truncate~8s, lie~8s, hostile~8s",
    "cut off and refused": "disconnect@8s, close@14s, expire@20s, disconnect@28s, 403@28s/3s, "
    "429@29s/3s, 503@30s/3s",
    "what misleads for a moment": "back@10s, reorder@16s, conflate@24s/4s",
    "volumes that begin anew": "correct@8s, reset@22s, roll@36s",
    "states of a while ago": "stale@10s/6s, disconnect@12s, late@20s/8s, late@24s/16s",
    "mute until we leave": "mute@12s/25s",
    "short silences": "mute@10s/5s, silent@20s/5s, mute@30s/2s, disconnect@31900ms",
    "lines that are dead": "silent@10s/30s, halfopen@24s/9s",
    "all of it": "mute~25s/9s, disconnect~25s, truncate~10s, late~30s/5s, duplicate~5s, hostile~20s",
}
REPLAYED = {"frames that can't be read", "short silences", "all of it"}
LONG_S = 52


async def judged(run: Recording, *, replayed: bool = True) -> str:
    """All problems of a run that ended in good order."""
    found = run.evidence()
    problems = [check(found) for check in EVIDENCE_CHECKS]
    problems.append(excess_problems(found, frames_received(run.journal)))
    problems.append(committed_problems(run.journal, run.database))
    if replayed:
        problems.append(await replay_problems(run.journal, run.database, run.folder))
    return story(problems)


def test_every_fault_is_survived_somewhere() -> None:
    told = {fault.kind for faults in SURVIVED.values() for fault in parse_faults(faults)}
    assert told | ON_SOCKETS == {*INSTANT, *LASTING}


@pytest.mark.parametrize("name", SURVIVED)
async def test_a_fault_is_survived(tmp_path: Path, name: str) -> None:
    run = Recording(tmp_path, seed=4)

    await run.run([(LONG_S, None)], faults=SURVIVED[name])

    assert not await judged(run, replayed=name in REPLAYED)
    found = run.evidence()
    assert found.horizon() > BEGIN + (LONG_S - 8) * NS, "it goes on"
    assert judged_buckets(found)["1s"] > 20


@pytest.mark.parametrize("death", [Death.UNREAD, Death.STEPPED])
async def test_a_death_in_a_mute_spell_takes_nothing_of_it_for_heard(tmp_path: Path, death: Death) -> None:
    run = Recording(tmp_path, seed=4)

    await run.run([(18, death), (12, None)], faults="mute@12s/30s")

    assert not await judged(run)


async def test_a_clean_run_has_nothing_but_final_candles(tmp_path: Path) -> None:
    run = Recording(tmp_path, seed=4)

    await run.run([(60, None)])

    found = run.evidence()
    states = [
        row.state
        for (symbol, _), rows in found.candles.items()
        for at, row in rows.items()
        if at >= found.first_heard(symbol)  # the first minute was heard in part
    ]
    assert len(states) > 200
    assert states.count("final") >= 0.999 * len(states)
    assert not [
        gap
        for gaps in found.gaps.values()
        for gap in gaps
        if gap.start >= BEGIN + 2 * NS and gap.end < BEGIN + 59 * NS
    ]
