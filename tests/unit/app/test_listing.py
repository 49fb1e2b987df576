"""Lists of instruments, as far as no list is read."""

from pathlib import Path

import pytest

from mdingest.app.listing import sync_instruments
from mdingest.config import load
from mdingest.errors import ConfigError
from mdingest.telemetry.clock import parse_clock


@pytest.mark.parametrize(
    ("provider", "source"), [("kite", None), ("upstox", None), ("kite", "HTTPS://h/l.csv")]
)
async def test_a_shifted_clock_never_dates_a_real_list(
    tmp_path: Path, provider: str, source: str | None
) -> None:
    config = load(None, {}, {"database.url": f"sqlite:///{tmp_path}/m.db", "journal.dir": tmp_path / "j"})

    with pytest.raises(ConfigError, match=r"MDINGEST_CLOCK is for simulators, but the list is (?i:https)://"):
        await sync_instruments(config, provider, source, parse_clock("2026-11-20T09:10:00+05:30"))

    assert not (tmp_path / "m.db").exists()
