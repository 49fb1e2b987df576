"""``mdingest instruments`` as a person uses it, on a list from the simulated broker."""

from pathlib import Path

import pytest
import yaml

from mdingest.simulators import KiteSimulator
from mdingest.telemetry.clock import Clock
from tests.support.processes import started


@pytest.mark.timeout(240)
async def test_a_list_is_fetched_and_searched(tmp_path: Path) -> None:
    async with KiteSimulator(clock=Clock()) as simulator:
        config = tmp_path / "c.yaml"
        kite = {
            "url": simulator.ws_url,
            "api_key": "k",
            "instruments": f"{simulator.http_url}/instruments",
            "suffixes": {"INDICES": "IDX"},
            "names": {"INFOSYS": "NSE:INFY"},
        }
        content = {
            "database": {"url": f"sqlite:///{tmp_path}/m.db"},
            "journal": {"dir": f"{tmp_path}/journal"},
            "providers": {"kite_ws": kite},
        }
        config.write_text(yaml.safe_dump(content))

        async def said(*words: str, code: int = 0) -> str:
            log = tmp_path / "log"
            log.unlink(missing_ok=True)
            async with started("--config", config, "instruments", *words, log=log, cwd=tmp_path) as process:
                assert await process.ended() == code, process.said()
                return process.said()

        assert "there is no database" in await said("find", "INFY", code=2)
        assert "6 instruments: 6 new" in await said("sync", "--provider", "kite")
        assert "0 new, 0 changed; tokens: 0 began, 0 ended" in await said("sync")
        assert "NIFTY_50.IDX" in await said("find", "nifty")
        assert "INFOSYS " in await said("find", "infosys")
        assert "did you mean RELIANCE.NS?" in await said("find", "RELAINCE", code=1)
        assert '"token": "738561"' in await said("find", "reliance", "--json")
        assert "has no list of instruments" in await said("sync", "--provider", "binance", code=2)
