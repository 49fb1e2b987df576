"""SIGHUP: symbols come and go while what stays is not touched."""

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from mdingest.simulators import KiteSimulator
from mdingest.telemetry.clock import Clock
from tests.support.processes import Process, free_port, get, started, until, write_config


@pytest.mark.timeout(90)
async def test_symbols_change_on_sighup_and_a_wrong_file_is_refused(tmp_path: Path) -> None:
    port = free_port()
    async with KiteSimulator(clock=Clock(), rate=20) as simulator:
        config = write_config(
            tmp_path,
            simulator=simulator.ws_url,
            instruments=f"{simulator.http_url}/instruments",
            symbols=["RELIANCE.NS", "TCS.NS"],
            port=port,
        )
        listed = tmp_path / "symbols.yaml"
        content = yaml.safe_load(config.read_text()) | {"symbols": {"file": str(listed)}}
        config.write_text(yaml.safe_dump(content))
        listed.write_text("- RELIANCE.NS\n- TCS.NS\n")
        async with started("--config", config, "run", log=tmp_path / "log", cwd=tmp_path) as daemon:

            async def feed() -> dict[str, Any]:
                _, health = await get(f"http://127.0.0.1:{port}/health")
                found: dict[str, Any] = (health or {}).get("parts", {}).get("feeds", {}).get("kite_ws", {})
                return found

            async def carries(count: int) -> None:
                async def now() -> bool:
                    return (await feed()).get("instruments") == count

                await until(f"{count} instruments", now, daemon)

            async def flows() -> bool:
                return bool((await feed()).get("frames", 0) > 5)

            await until("frames", flows, daemon)
            listed.write_text("- RELIANCE.NS\n- INFY.NS\n- HDFCBANK.NS\n- INFFY.NS\n")
            daemon.send(signal.SIGHUP)
            await carries(3)
            assert (await feed())["unresolved"] == [
                "INFFY.NS: not in Kite's instrument list; did you mean INFY.NS?"
            ]

            good = config.read_text()
            config.write_text(good + "\nnonsense: 1\n")
            daemon.send(signal.SIGHUP)
            await said(daemon, "nonsense: unknown key")
            assert (await feed())["instruments"] == 3
            config.write_text(good)
            listed.write_text("- RELIANCE.NS\n")
            daemon.send(signal.SIGHUP)
            await carries(1)

            after = await feed()
            assert after["state"] == "live"
            assert after["reconnects"] == 0, "what stayed was not dropped"
            assert await daemon.stopped() == 0


async def said(daemon: Process, words: str) -> None:
    async def now() -> bool:
        return words in daemon.said()

    await until(f"log line {words!r}", now, daemon)
