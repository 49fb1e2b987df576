"""kill -9 at any instant, any number of times: what is stored is what happened, and holes are known."""

import os
from pathlib import Path
from random import Random

import pytest

from tests.support.kills import kill_again_and_again

KILLS = 25
STOPS = 4


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_oracle_holds_after_kills_at_random_instants(tmp_path: Path) -> None:
    seed = int(os.environ.get("MDINGEST_SEED", "0")) or Random().randrange(1, 1 << 30)

    found = await kill_again_and_again(tmp_path, kills=KILLS, stops=STOPS, seed=seed)

    assert not found.problems, f"MDINGEST_SEED={seed} gives the same instants again\n{found.problems}"
    assert found.seconds > 50, "too few whole seconds were heard to prove anything"
