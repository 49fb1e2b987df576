"""A batch that kills every process that steps it."""

from collections import Counter
from pathlib import Path

import pytest

from mdingest.pipeline.reader import JournalReader
from tests.support.place import GOOD, fast_clock, place_of

POISON = """
from mdingest.pipeline.decoding import BatchDecoder
decode = BatchDecoder.decode
def poisoned(self, batch):
    if batch.lsn <= 20_000 < batch.end and (batch.kinds == 8).any():
        raise ZeroDivisionError("a bug that nobody has found yet")
    return decode(self, batch)
BatchDecoder.decode = poisoned
"""


@pytest.mark.slow
async def test_the_third_start_goes_on_without_it_and_its_interval_is_a_gap(tmp_path: Path) -> None:
    async with place_of(tmp_path, fast_clock(4), access_token=GOOD) as place:
        for _ in range(2):
            async with place.mdingest("run", prelude=POISON) as daemon:
                assert await daemon.ended(within_s=60) == 1
                assert "a bug that nobody has found yet" in daemon.said()
        async with place.mdingest("run", prelude=POISON) as daemon:
            await place.until_candles(daemon, 2)
            await place.until_more(daemon, 4)
            _, health = await place.get("/health")
            assert health["parts"]["journal"]["quarantined"] == 1
            assert await daemon.stopped() == 0

    causes = Counter(gap.cause for gaps in place.evidence().gaps.values() for gap in gaps)
    assert causes["quarantine"]
    (copy,) = (place.journal / "quarantine").iterdir()
    (batch,) = JournalReader(copy).read()
    assert batch.lsn <= 20_000 < batch.end
    assert not (problems := await place.verdict()), problems
