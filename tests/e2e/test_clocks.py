"""Clocks and calendars on their bad days: a wall clock that steps, 06:00, and a year nobody published."""

import json
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from mdingest import calendars
from mdingest.telemetry.clock import parse_clock
from tests.support.place import Place, fast_clock, place_of
from tests.support.processes import Process, until

STEPPING = """
import signal
from mdingest.telemetry.clock import Clock
honest, steps = Clock.wall_ns, []
Clock.wall_ns = lambda self: honest(self) + sum(steps) * 3_600_000_000_000
signal.signal(signal.SIGUSR1, lambda *_: steps.append(1))
signal.signal(signal.SIGUSR2, lambda *_: steps.append(-2))
"""
"""SIGUSR1: somebody sets the wall clock an hour ahead. SIGUSR2: two hours back. Not the monotonic one."""


@pytest.mark.timeout(120)
async def test_a_wall_clock_that_steps_moves_no_candle(tmp_path: Path) -> None:
    async with place_of(tmp_path, fast_clock(4)) as place:
        async with place.mdingest("run", prelude=STEPPING) as daemon:
            await place.until_candles(daemon, 2, within_s=60)
            for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
                daemon.send(number)
                await place.until_more(daemon, 5)
            assert await daemon.stopped() == 0

        assert place.heard_without_a_gap()
        assert not await place.verdict(honest_clock=False)


def with_a_token_file(place: Place, made: datetime) -> None:
    """As `mdingest login kite` leaves it, and nothing in the configuration. Hours are the market's."""
    path = place.folder / "config.yaml"
    content = yaml.safe_load(path.read_text())
    kite = content["providers"]["kite_ws"]
    del kite["access_token"]
    kite |= {"api": "http://127.0.0.1:1", "api_secret": "s3cret", "session_class": {}}
    path.write_text(yaml.safe_dump(content))
    log_in(place, made)


def log_in(place: Place, made: datetime) -> None:
    token = {"api_key": "key", "access_token": f"made-{made:%d%H%M}", "made_at": made.isoformat()}
    (place.folder / "kite_token.json").write_text(json.dumps(token))


async def until_feed(place: Place, daemon: Process, state: str) -> dict[str, Any]:
    """All of /health, once the feed is in this state."""
    parts: dict[str, Any] = {}

    async def there() -> bool:
        _, body = await place.get("/health")
        parts.update((body or {}).get("parts", {}))
        return bool(parts.get("feeds", {}).get("kite_ws", {}).get("state") == state)

    await until(f"{state} feed", there, daemon, within_s=60)
    return parts


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_token_that_dies_at_six_in_the_morning_costs_until_the_next_login(tmp_path: Path) -> None:
    six = datetime.fromisoformat("2026-11-20T06:00:00+05:30")
    async with place_of(tmp_path, parse_clock(f"{(six - timedelta(minutes=2)).isoformat()}x8")) as place:
        with_a_token_file(place, six - timedelta(hours=22))
        async with place.mdingest("run") as daemon:
            await place.until_candles(daemon, 3, within_s=60)
            parts = await until_feed(place, daemon, "parked")
            assert parts["tokens"]["kite_ws"]["state"] == "expired"
            assert "mdingest login kite" in parts["tokens"]["kite_ws"]["what_to_do"]
            assert (await place.get("/health"))[0] == 503

            log_in(place, six + timedelta(minutes=1))
            await until_feed(place, daemon, "live")
            await place.until_more(daemon, 5)
            assert await daemon.stopped() == 0

        found = place.evidence()
        for symbol in found.symbols:
            (parked,) = [gap for gap in found.gaps[symbol] if gap.cause == "parked"]
            assert parked.end - parked.start >= 1_000_000_000
            assert abs(parked.start / 1e9 - six.timestamp()) < 60, "LOOK_S real seconds at eightfold speed"
        assert not await place.verdict(known_opening=False)


@pytest.mark.timeout(120)
async def test_a_year_without_a_calendar_begins_with_an_expired_token_and_loses_nothing(
    tmp_path: Path,
) -> None:
    """The first Monday of a year whose holidays nobody has published here, a minute before the opening."""
    last = calendars.load().valid_through("NSE.EQ.cas")
    assert last is not None
    begin = datetime.fromisoformat("2027-01-04T09:14:00+05:30").replace(year=last.year + 1)
    async with place_of(tmp_path, parse_clock(f"{begin.isoformat()}x6")) as place:
        with_a_token_file(place, begin - timedelta(days=1))
        async with place.mdingest("run") as daemon:
            parts = await until_feed(place, daemon, "parked")
            assert parts["tokens"]["kite_ws"]["state"] == "expired"
            assert "mdingest login kite" in parts["tokens"]["kite_ws"]["what_to_do"]

            log_in(place, begin)
            parts = await until_feed(place, daemon, "live")
            await place.until_candles(daemon, 10, within_s=60)
            rows = await place.candles()
            assert await daemon.stopped() == 0

        assert {row["session"] for row in rows} == {"unknown"}
        assert {row["state"] for row in rows} <= {"final", "partial"}
        assert place.heard_without_a_gap()
        assert not await place.verdict(known_opening=False)
