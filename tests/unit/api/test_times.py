"""Instants on the wire."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdingest.api.times import format_instant, format_instants, parse_instant

NOON = 1_795_176_000_000_000_000  # 2026-11-20T12:00:00Z


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T12:00:00Z",
        "2026-11-20t12:00:00z",
        "2026-11-20 12:00Z",
        "2026-11-20T17:30:00+05:30",
        "2026-11-20T17:30:00 05:30",
        "2026-11-20T07:00:00.000-05:00",
        "1795176000",
        "1795176000.0",
    ],
)
def test_one_instant_may_be_written_in_many_ways(text: str) -> None:
    assert parse_instant(text) == NOON


def test_fractions_are_exact() -> None:
    assert parse_instant("2026-11-20T12:00:00.123456789Z") == NOON + 123_456_789
    assert parse_instant("1795176000.000000001") == NOON + 1
    assert parse_instant("1969-12-31T23:59:59.5Z") == -500_000_000


@pytest.mark.parametrize(
    "text",
    ["2026-11-20T12:00:00", "2026-11-20", "now", "", "20261120T120000Z", "2026-W47-5T00:00Z", "1e9", "٣"],
)
def test_a_naive_or_other_time_is_refused_and_told_how(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339 with an offset, like 2026-11-20T03:45:00Z"):
        parse_instant(text)


@pytest.mark.parametrize("text", ["2026-13-20T12:00:00Z", "2026-02-30T12:00:00Z", "2026-11-20T25:00:00Z"])
def test_an_instant_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no such instant"):
        parse_instant(text)


@pytest.mark.parametrize(
    ("text", "year"), [("0001-01-01T00:00:00+14:00", "1716"), ("9999-12-31T23:59:59.999999999Z", "2223")]
)
def test_a_date_that_64_bits_cannot_hold_is_the_nearest_that_they_can(text: str, year: str) -> None:
    """For ever is a fair thing to ask for; the database has no number for it."""
    assert format_instant(parse_instant(text)).startswith(year)
    assert abs(parse_instant(text)) < 1 << 63


def test_milliseconds_are_told_apart_from_seconds() -> None:
    with pytest.raises(ValueError, match="epoch times are in seconds"):
        parse_instant("179517600000")


@given(st.integers(-(10**18), 4 * 10**18))
def test_what_is_written_reads_back(ns: int) -> None:
    assert parse_instant(format_instant(ns)) == ns


def test_a_column_is_written_at_once() -> None:
    assert format_instants(np.array([NOON, 0])) == ["2026-11-20T12:00:00Z", "1970-01-01T00:00:00Z"]
    assert format_instants(np.array([], np.int64)) == []
