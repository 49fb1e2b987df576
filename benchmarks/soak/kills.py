"""Five hundred kills of the real process at random instants, in rounds that each have a seed.

After each round the oracle of the tests holds every stored row, gap and coverage against the
simulator's tape and cuts, and against one replay of the whole journal.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from benchmarks.report import Row
from tests.support.kills import kill_again_and_again

KILLS = 500
_ROUND = 50
_STOPS = 5


def run(kills: int = KILLS) -> Iterator[Row]:
    """Round after round; a seed gives the same instants again."""
    random = Random()
    seconds = wrong = 0
    rounds = -(-kills // _ROUND)
    for number in range(1, rounds + 1):
        seed, begun = random.randrange(1, 1 << 30), time.monotonic()
        with TemporaryDirectory(prefix="mdingest-kills-") as folder:
            found = asyncio.run(kill_again_and_again(Path(folder), kills=_ROUND, stops=_STOPS, seed=seed))
        took = time.monotonic() - begun
        print(
            f"  round {number} of {rounds}, seed {seed}: {found.problems or 'well'} ({took:.0f} s)",
            flush=True,
        )
        seconds += found.seconds
        wrong += bool(found.problems)
    yield Row("kills", f"{rounds * _ROUND}", f"{seconds:,} seconds of candles compared with the tape")
    yield Row("rounds in which the oracle found anything", str(wrong), "", "", "0", wrong == 0)
