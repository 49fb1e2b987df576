"""``mdingest mock kite``: what it can be told to do as the broker does."""

import argparse
import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mdingest.cli import mock
from mdingest.simulators import KiteMockOptions, run_mock
from mdingest.telemetry.clock import parse_clock


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    mock.add(lambda *_, **__: parser)
    return parser.parse_args(["kite", *words])


def test_by_default_it_is_always_open_and_sends_every_trade() -> None:
    given = parsed()

    assert (given.session, given.lively, given.conflate, given.depth) == ("always", False, 0.0, 0.0)


def test_spans_are_written_as_in_faults() -> None:
    given = parsed("--session", "NSE.EQ.cas", "--conflate", "1s", "--depth", "2500ms", "--lively")

    assert (given.session, given.conflate, given.depth, given.lively) == ("NSE.EQ.cas", 1.0, 2.5, True)


def test_a_span_without_a_unit_is_refused_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parsed("--conflate", "1")

    assert "write it like 250ms, 1s or 2m" in capsys.readouterr().err


async def taped(folder: Path, at: str, market_s: float) -> list[dict[str, Any]]:
    """What a market that was started at a time of day has written after so many seconds of it."""
    clock = parse_clock(f"2026-11-20T{at}:00+05:30x60")
    tape, stop = folder / f"{at} {market_s}", asyncio.Event()
    options = KiteMockOptions(port=0, session="auto", conflate_s=1.0, depth_s=1.0, tape=tape)
    running = asyncio.create_task(run_mock(options, clock, stop))
    await asyncio.sleep(clock.real_s(market_s))
    stop.set()
    await running
    return [json.loads(line) for line in tape.read_text().splitlines()]


async def test_outside_of_its_hours_the_tape_stays_empty(tmp_path: Path) -> None:
    """The same market at noon fills it: a busy machine needs more than a moment to get there."""
    assert await taped(tmp_path, "07:00", 60) == []
    noon: list[dict[str, Any]] = []
    for market_s in (60, 300, 1_500):
        if len(noon) <= 100:
            noon = await taped(tmp_path, "12:00", market_s)
    assert len(noon) > 100
    assert {datetime.fromtimestamp(line["ts"], UTC).hour for line in noon} == {6}
