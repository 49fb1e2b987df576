"""The demo as a stranger sees it: one command in an empty directory, then curl."""

import signal
import time
from pathlib import Path

import yaml

from tests.support.processes import Process, free_port, get, started, until, until_said

ROOT = Path(__file__).parents[2]


def own_ports(folder: Path) -> tuple[Path, int]:
    """The shipped configuration on ports that nobody else uses, and the one of HTTP."""
    content = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    port, broker = free_port(), free_port()
    content["api"] = {"port": port}
    feed = content["providers"]["kite_ws"]
    for key in ("url", "instruments"):
        feed[key] = feed[key].replace(":8766", f":{broker}")
    path = folder / "demo.yaml"
    path.write_text(yaml.safe_dump(content))
    return path, port


async def candles(port: int) -> list[str]:
    """Opening instants of the newest five."""
    status, body = await get(f"http://127.0.0.1:{port}/candles?symbol=RELIANCE.NS&interval=1s&limit=5")
    return [one["ts_utc"] for one in body["candles"]] if status == 200 else []


async def growing(demo: Process, port: int, within_s: float) -> list[str]:
    """The first candles that are followed by others."""
    seen: list[str] = []

    async def newer() -> bool:
        now = await candles(port)
        seen.extend(now[-1:])
        return len(set(seen)) > 1

    await until("growing candles", newer, demo, within_s)
    return seen


async def test_candles_grow_within_twenty_seconds_and_the_next_start_goes_on(tmp_path: Path) -> None:
    config, port = own_ports(tmp_path)
    log = tmp_path / "demo.log"

    async with started("--config", config, "demo", log=log, cwd=tmp_path) as demo:
        await until_said(demo, "\n")  # its first log line
        begun = time.monotonic()
        first = await growing(demo, port, within_s=20)
        assert time.monotonic() - begun < 20
        assert await demo.stopped(signal.SIGINT, within_s=10) == 0, demo.said()

    async with started("--config", config, "demo", log=log, cwd=tmp_path) as demo:

        async def served() -> bool:
            return bool(await candles(port))

        await until("candles of the first start", served, demo)
        assert set(await candles(port)) & set(first)
        assert await demo.stopped(signal.SIGINT, within_s=10) == 0, demo.said()

    assert (tmp_path / "data/demo/mdingest.db").exists()
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"demo"}  # beside what is real, not in it
    assert "Traceback" not in demo.said()
