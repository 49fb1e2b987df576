"""Stamps are remembered, but not without limit."""

import datetime as dt

import numpy as np
import pytest

from mdingest.providers.csvfile import stamps
from mdingest.providers.csvfile.stamps import BAD, StampFormat, Stamps

KOLKATA = dt.timezone(dt.timedelta(hours=5, minutes=30))
DAY = 20_000


def test_times_that_never_come_again_are_forgotten_and_read_right_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files with microseconds: naive times beside times with an offset, and one that is wrong."""
    monkeypatch.setattr(stamps, "_REMEMBERED", 8)
    reader = Stamps(StampFormat(), KOLKATA, daily=False)
    date = dt.date.fromordinal(DAY + dt.date(1970, 1, 1).toordinal()).isoformat()
    midnight = DAY * 86_400_000_000_000
    for batch in range(20):
        micros = [batch * 6 + n for n in range(6)]
        cells = [f"{date} 09:15:00.{n:06}{'' if n % 2 else '+00:00'}" for n in micros] + [f"{date} 25:61"]
        clock = [(9 * 3_600 + 15 * 60) * 10**9 + n * 1_000 - 19_800 * 10**9 * (n % 2) for n in micros]

        assert reader.read(cells, None).tolist() == [*(np.array(clock) + midnight).tolist(), BAD]
        assert "25:61" in reader.why(cells[-1], None)
        assert len(reader._naive) < 8 + 6
