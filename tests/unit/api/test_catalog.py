"""Symbols are kept in memory and read again when someone asks for a new one."""

import pytest

from mdingest.api.catalog import Catalog
from mdingest.api.problems import Problem
from mdingest.core.control import VolumeKind
from mdingest.core.instrument import Instrument
from mdingest.core.session import SECOND_NS
from tests.support.fake_reader import RELIANCE, FakeReader

MISS_PAUSE = SECOND_NS // 4


async def test_a_symbol_that_appears_later_is_found(reader: FakeReader) -> None:
    now = [0]
    catalog = Catalog(reader.instruments, lambda: now[0])
    reader.known = []
    with pytest.raises(Problem, match="nothing is stored yet"):
        await catalog.find("RELIANCE.NS")

    reader.known = [RELIANCE]
    now[0] += MISS_PAUSE + 1

    assert await catalog.find("RELIANCE.NS") == RELIANCE


async def test_a_storm_of_unknown_symbols_does_not_reach_the_store(reader: FakeReader) -> None:
    now = [0]
    catalog = Catalog(reader.instruments, lambda: now[0])

    for _ in range(100):
        with pytest.raises(Problem):
            await catalog.find("NOBODY.NS")

    assert reader.asked == 1


async def test_known_symbols_are_read_again_after_a_minute(reader: FakeReader) -> None:
    now = [0]
    catalog = Catalog(reader.instruments, lambda: now[0])
    for _ in range(3):
        await catalog.find("RELIANCE.NS")
    assert reader.asked == 1

    now[0] += 60 * SECOND_NS + 1
    await catalog.find("RELIANCE.NS")

    assert reader.asked == 2


async def test_a_misspelt_symbol_is_told_its_neighbours_among_thousands(reader: FakeReader) -> None:
    reader.known = [
        Instrument(f"SIM{n:04d}.NS", "NSE", "", "NSE.EQ.cas", VolumeKind.CUMULATIVE, n + 1)
        for n in range(9_000)
    ]
    catalog = Catalog(reader.instruments, lambda: 0)

    with pytest.raises(Problem) as caught:
        await catalog.find("SIM0001.N")

    assert caught.value.nearest is not None
    assert caught.value.nearest[0] == "SIM0001.NS"
    assert len(caught.value.nearest) <= 5
