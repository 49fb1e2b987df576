"""What a daemon finds on its disk after a bad night: torn tails, flipped bits, files that are gone.

It starts whatever it finds, says what is lost, and calls nothing complete that is not. (That every
single byte of a tail may be the last one, and every bit flipped, is tested on the journal itself.)
"""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest

from tests.support.oracle import judged_buckets
from tests.support.place import Place, fast_clock, place_of

SEED = int(os.environ.get("MDINGEST_SEED", "0")) or Random().randrange(1, 1 << 30)
Damage = Callable[[Place, Random], None]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with place_of(tmp_path, fast_clock(6)) as one:
        yield one


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << (at % 8)
    path.write_bytes(raw)


# --- states: a shortcut, never needed


def states(place: Place) -> list[Path]:
    return sorted(place.journal.glob("*.mds"))


def flip_the_newest_state(place: Place, random: Random) -> None:
    path = states(place)[-1]
    flip(path, random.randrange(path.stat().st_size))


def overwrite_all_states(place: Place, random: Random) -> None:
    for path in states(place):
        path.write_bytes(random.randbytes(path.stat().st_size))


def delete_all_states_and_scribble_into_the_locks(place: Place, random: Random) -> None:
    for path in states(place):
        path.unlink()
    for path in [*place.folder.glob("*LOCK*"), *place.folder.glob("*.lock"), place.journal / "LOCK"]:
        path.write_bytes(random.randbytes(40))


STATE_DAMAGE: list[Damage] = [
    flip_the_newest_state,
    overwrite_all_states,
    delete_all_states_and_scribble_into_the_locks,
]


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_damage_to_what_is_only_a_shortcut_costs_nothing(place: Place) -> None:
    random = Random(SEED)
    for damage in STATE_DAMAGE:
        async with place.mdingest("run") as daemon:
            await place.until_more(daemon, 2)
            assert await daemon.stopped() == 0
        assert states(place), "a clean stop saves the state"
        damage(place, random)
    async with place.mdingest("run") as daemon:
        await place.until_more(daemon, 2)
        assert await daemon.stopped() == 0

    assert not await place.verdict(), f"MDINGEST_SEED={SEED}"


# --- the journal: what it lost is lost, and known


def segments(place: Place) -> list[Path]:
    return sorted(place.journal.glob("*.mdj"))


def tear_the_tail(place: Place, random: Random) -> None:
    path = segments(place)[-1]
    os.truncate(path, max(36, path.stat().st_size - random.randint(1, 3_000)))


def flip_near_the_end(place: Place, random: Random) -> None:
    path = segments(place)[-1]
    size = path.stat().st_size
    flip(path, random.randrange(max(36, size - 3_000), size))


def flip_anywhere(place: Place, random: Random) -> None:
    path = random.choice(segments(place))
    flip(path, random.randrange(path.stat().st_size))


def write_junk_behind_the_end(place: Place, random: Random) -> None:
    with segments(place)[-1].open("ab") as file:
        file.write(random.randbytes(500))


def keep_no_batch(place: Place, _: Random) -> None:
    os.truncate(segments(place)[-1], 36)


def lose_the_header(place: Place, _: Random) -> None:
    os.truncate(segments(place)[-1], 0)


def lose_the_journal(place: Place, _: Random) -> None:
    shutil.rmtree(place.journal)


JOURNAL_DAMAGE: list[Damage] = [
    tear_the_tail,
    flip_near_the_end,
    flip_anywhere,
    write_junk_behind_the_end,
    keep_no_batch,
    lose_the_header,
    lose_the_journal,
]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_a_damaged_journal_lost_is_in_no_complete_candle(place: Place) -> None:
    random = Random(SEED)
    order = random.sample(JOURNAL_DAMAGE, len(JOURNAL_DAMAGE))
    said = [f"MDINGEST_SEED={SEED}: {', '.join(damage.__name__ for damage in order)}"]
    for damage in order:
        async with place.mdingest("run") as daemon:
            await place.until_more(daemon, 2)
            if random.random() < 0.7:
                await daemon.killed()
            else:
                assert await daemon.stopped() == 0, said
        damage(place, random)
        said.append(f"{damage.__name__}: {daemon.said()[:2000]}")
    async with place.mdingest("run") as daemon:
        await place.until_more(daemon, 2)
        assert await daemon.stopped() == 0, said

    problems = await place.verdict(whole_journal=False, honest_clock=False)
    assert judged_buckets(place.evidence())["1s"] > 5  # how long each start runs is the machine's choice
    assert not problems, f"{said[0]}\n{problems}"
