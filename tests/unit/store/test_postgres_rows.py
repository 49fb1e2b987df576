"""Columns on their way into PostgreSQL."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdingest.core.events import CANDLE, MARK, OPEN_END, Candles, Marks
from mdingest.store import postgres_rows as rows
from mdingest.store import sqlite_rows
from mdingest.store.postgres_connections import _without_password, is_outage
from tests.support.rows import candle, ns


def staged(*candles: tuple[object, ...]) -> list[tuple[int, int, int, float]]:
    """Pass, instrument, second and close of each row that would be sent."""
    out = rows.staged(Candles(np.array(list(candles), CANDLE)))
    columns = [out.rows[name].tolist() for name in ("instrument_id", "ts", "close")]
    return [(at, i, (ts - ns(0)) // 10**9, c) for at, i, ts, c in zip(out.passes, *columns, strict=True)]


def test_rows_are_sorted_by_interval_instrument_and_time() -> None:
    sent = staged(candle(5, interval_s=60), candle(1, instrument=2), candle(2), candle(1))
    assert [row[1:3] for row in sent] == [(1, 1), (1, 2), (2, 1), (1, 5)]


def test_of_rows_of_one_key_and_source_the_last_is_sent() -> None:
    assert staged(candle(0, 1), candle(0, 2), candle(0, 3, instrument=2)) == [(0, 1, 0, 2), (0, 2, 0, 3)]


def test_rows_of_several_sources_go_in_passes_and_in_order() -> None:
    sent = staged(
        candle(0, 1),
        candle(0, 2, source="csv"),
        candle(0, 3),
        candle(0, 4),
        candle(1, 5),
        candle(1, 6, source="csv"),
    )
    assert sent == [(0, 1, 0, 1), (1, 1, 0, 2), (2, 1, 0, 4), (0, 1, 1, 5), (1, 1, 1, 6)]


def test_a_candle_that_opens_between_two_seconds_is_refused() -> None:
    row = list(candle(0))
    row[2] += 1
    with pytest.raises(ValueError, match="whole second"):
        staged(tuple(row))


async def test_the_copy_data_is_what_postgresql_reads() -> None:
    sent = rows.staged(Candles(np.array([candle(0), candle(1)], CANDLE)))
    data = b"".join([piece async for piece in rows.copy_data(sent)])
    assert data[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    assert data[19:21] == (16).to_bytes(2, "big")  # columns
    assert data[21:29] == (4).to_bytes(4, "big") + (1).to_bytes(4, "big")  # an interval of 1 s
    assert len(data) == 19 + 2 * (2 + 16 * 4 + 7 * 8 + 5 * 4 + 4 * 2) + 2  # lengths stand before values
    assert data[-2:] == b"\xff\xff"


def test_partitions_are_a_day_of_seconds_a_month_of_minutes_and_else_a_year() -> None:
    day = 86_400
    times = (0, day, 11 * day, 45 * day)
    sent = rows.staged(
        Candles(np.array([candle(t, interval_s=s) for t in times for s in (1, 60, 3600)], CANDLE))
    )
    counted = {(place.interval_s, place.rows) for place in rows.places(sent)}
    assert [place.rows for place in rows.places(sent) if place.interval_s == 1] == [1, 1, 1, 1]
    assert {(60, 2), (60, 1), (3600, 3), (3600, 1)} <= counted  # 2 in November, 1 in December, 1 in January


instants = st.integers(ns(-100_000), ns(100_000))


@given(start=instants, length=st.integers(0, 10**12) | st.just(-1), interval_s=st.sampled_from([1, 60]))
def test_a_mark_means_the_same_candles_on_both_databases(start: int, length: int, interval_s: int) -> None:
    end = OPEN_END if length < 0 else start + length
    marks = Marks(np.array([(1, 1, 1, 0, start, end)], MARK))
    *_, after, before, _ = [column[0] for column in rows.mark_columns(marks, interval_s)]
    ((_, _, _, text_after, text_before, _),) = sqlite_rows.mark_rows(marks, interval_s)
    first = -(-(start - 2 * interval_s * 10**9) // 10**9)
    for second in (*range(first, first + 4), end // 10**9 - 1, end // 10**9, end // 10**9 + 1):
        mine = after < rows.us_of(second * 10**9) < before
        text = f"{np.datetime64(second, 's')}Z"
        assert mine == (text_after < text < text_before), second


def test_an_outage_is_told_from_a_mistake() -> None:
    import asyncpg

    for outage in (
        asyncpg.InternalClientError("cannot switch to state 12"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.TooManyConnectionsError("sorry"),
        asyncpg.ReadOnlySQLTransactionError("read-only"),
        asyncpg.AdminShutdownError("bye"),
        asyncpg.DiskFullError("full"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionRefusedError(),
        TimeoutError(),
    ):
        assert is_outage(outage), outage
    for mistake in (
        asyncpg.UndefinedTableError("no such table"),
        asyncpg.CheckViolationError("nonsense"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        ValueError("ours"),
    ):
        assert not is_outage(mistake), mistake


@pytest.mark.parametrize(
    "url", ["postgresql://me:p%40ss@host/db", "postgresql://me:p%40ss@host,other:5433/db"]
)
def test_a_password_of_the_address_is_masked_in_either_spelling(url: str) -> None:
    assert _without_password(f"can't reach {url} with p@ss", url).count("***") == 2
    assert "p@ss" not in _without_password(f"{url} p@ss", url)
