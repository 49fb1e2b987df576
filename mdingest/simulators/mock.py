"""What ``mdingest mock kite`` runs: a simulator as a process of its own."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from mdingest.calendars import ALWAYS
from mdingest.simulators.instruments import named_instruments, synthetic_instruments
from mdingest.simulators.kite import API_SECRET, KiteSimulator
from mdingest.simulators.trades import S
from mdingest.telemetry.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KiteMockOptions:
    """What ``mdingest mock kite`` can be told; fields as in `KiteSimulator`."""

    host: str = "127.0.0.1"
    port: int = 8765
    symbols: tuple[str, ...] = ()  # RELIANCE.NS, ...; none: the default instruments
    synthetic: int = 0  # so many SIM0001.NS, ... besides (instead of the default instruments)
    rate: float = 2.0
    seed: int = 0
    faults: str = ""
    tape: Path | None = None
    cuts: Path | None = None
    instruments: Path | None = None  # where to write the instruments file
    session: str = ALWAYS
    lively: bool = False
    conflate_s: float = 0.0
    depth_s: float = 0.0
    least_volume: int = 0
    refused_tokens: tuple[str, ...] = ("bad",)
    api_secret: str = API_SECRET


async def run_mock(options: KiteMockOptions, clock: Clock, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set; the addresses go to the log. Raises as `KiteSimulator` does."""
    today = datetime.fromtimestamp(clock.wall_ns() // S, UTC).date()
    named = named_instruments(options.symbols, today)
    simulator = KiteSimulator(
        clock=clock,
        instruments=(*named, *(one for one in synthetic_instruments(options.synthetic) if one not in named)),
        rate=options.rate,
        seed=options.seed,
        faults=options.faults,
        host=options.host,
        port=options.port,
        tape=options.tape,
        cuts=options.cuts,
        session=options.session,
        lively=options.lively,
        conflate_s=options.conflate_s,
        depth_s=options.depth_s,
        least_volume=options.least_volume,
        refused_tokens=frozenset(options.refused_tokens),
        api_secret=options.api_secret,
    )
    async with simulator:
        if options.instruments is not None:
            options.instruments.write_text(simulator.instruments_csv(), encoding="utf-8")
        log.info(
            "simulator.listening",
            websocket=simulator.ws_url,
            instruments=f"{simulator.http_url}/instruments",
            symbols=len(simulator.instruments),
        )
        await stop.wait()
    log.info("simulator.stopped")
