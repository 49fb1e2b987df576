"""Stepping a journal again from any older position ends in the same table."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdingest.core.events import OPEN_END
from mdingest.store import open_store
from mdingest.store.base import Store, Transaction
from mdingest.store.migrate import migrate
from tests.support.rows import RELIANCE, candle, gap, mark, ns, transaction, uptime

SECONDS = 4
live = st.tuples(st.just("live"), st.integers(0, SECONDS - 1), st.integers(90, 93), st.booleans())
marked = st.tuples(st.just("mark"), st.integers(0, SECONDS - 1), st.integers(1, 2), st.booleans())
history = st.tuples(
    st.sampled_from(["yfinance", "alphavantage", "csv", "kite"]),
    st.integers(0, SECONDS - 1),
    st.integers(90, 93),
    st.integers(0, 1),
)
stories = st.lists(st.one_of(live, live, marked, history), max_size=24)


def tell(story: list[tuple[Any, ...]]) -> list[Transaction]:
    """Transactions as a machine and a backfill would make them; those with a position are live.

    The machine knows its gaps: what it says after a mark about a marked candle is partial.
    """
    revision, doubted, told = dict.fromkeys(range(SECONDS), -1), set[int](), []
    for lsn, (kind, second, number, flag) in enumerate(story, 1):
        if kind == "live":
            revision[second] += 1
            doubted |= {second} if flag else set()
            row = candle(second, number, revision=revision[second], partial=second in doubted)
            told.append(transaction(candles=[row], lsn=lsn, epoch=1))
        elif kind == "mark":
            doubted |= set(range(second, second + number))
            told.append(
                transaction(
                    marks=[mark(second, second + number)],
                    gaps=[gap(second, second + number, volume=number)],
                    coverage=[uptime(second, None if flag else second + number, stream=lsn)],
                    lsn=lsn,
                    epoch=1,
                )
            )
        else:
            told.append(transaction(candles=[candle(second, number, source=kind, volume=flag)]))
    return told


async def contents(store: Store) -> tuple[Any, ...]:
    candles = await store.candles(1, 1, 0, OPEN_END, 99)
    return (
        [tuple(str(value) for value in row) for row in candles.tolist()],  # NaN equals itself as text
        await store.gaps(1, 0, OPEN_END),
        await store.coverage(1, ns(0), OPEN_END),
    )


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "candles.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories, data=st.data())
def test_a_journal_stepped_again_from_any_position_changes_nothing(
    empty: Path, tmp_path: Path, story: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    told = tell(story)
    begin = data.draw(st.integers(0, len(told)))
    path = tmp_path / "candles.db"
    shutil.copy(empty, path)

    async def tried() -> None:
        store = await open_store(f"sqlite:///{path}")
        try:
            await store.ensure_instruments([RELIANCE])
            await store.claim("journal", "test")
            for one in told:
                await store.commit(one)
            before = await contents(store)
            for one in told[begin:]:
                if one.position is not None:
                    await store.commit(one)
            assert await contents(store) == before
        finally:
            await store.close()

    asyncio.run(tried())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories)
def test_a_transaction_committed_twice_changes_nothing(
    empty: Path, tmp_path: Path, story: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "candles.db"
    shutil.copy(empty, path)

    async def tried() -> None:
        store = await open_store(f"sqlite:///{path}")
        try:
            await store.ensure_instruments([RELIANCE])
            await store.claim("journal", "test")
            for one in tell(story):
                await store.commit(one)
                before = await contents(store)
                await store.commit(one)
                assert await contents(store) == before
        finally:
            await store.close()

    asyncio.run(tried())
