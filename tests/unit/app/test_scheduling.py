"""Which jobs a configuration makes, and under which names a restart finds them again."""

from pathlib import Path

import pytest

from mdingest.app.histories import Histories
from mdingest.app.scheduling import jobs_of, outcome_of
from mdingest.config import Config, load
from mdingest.errors import PermanentError
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.held import Nothing
from mdingest.pipeline.history.report import Report, SymbolReport
from mdingest.pipeline.upkeep.schedule import Job
from mdingest.telemetry.clock import parse_clock

NOW = parse_clock("2026-11-20T18:00:00+05:30")


class Empty(Nothing):
    """A store without instruments: what trades when is told by the symbols."""


def loaded(text: str) -> Config:
    Path("c.yaml").write_text(text)
    return load("c.yaml", {})


async def jobs(text: str) -> list[Job]:
    config = loaded(text)
    async with Fetcher() as fetcher:
        histories = Histories(lambda: config, NOW, Nothing(), fetcher)
        make = jobs_of(lambda: config, NOW, Empty(), Empty().commit, histories)  # type: ignore[arg-type]
        return list(await make())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_an_entry_is_a_job_for_each_exchange_whose_days_it_follows() -> None:
    found = await jobs(
        "symbols: [RELIANCE.NS, TCS.NS, BTCUSDT.BINANCE]\n"
        'backfill: [{provider: binance, interval: 1m, period: 7d, at: "16:15"}]\n'
        'reconcile: [{provider: bhavcopy, interval: 1d, at: "19:30", symbols: [TCS.NS]}]\n'
    )

    assert [(job.what, job.name) for job in found] == [
        ("backfill", "binance 1m 7d 16:15 NSE.EQ all"),
        ("backfill", "binance 1m 7d 16:15 always all"),
        ("reconcile", "reconcile bhavcopy 1d 19:30 NSE.EQ TCS.NS"),
    ]
    hours = [job.daily.last(NOW.wall_ns()) for job in found[:2]]
    assert hours[0] is not None
    assert hours[1] is not None
    assert (hours[1] - hours[0]) % (86_400 * 10**9) == 5.5 * 3_600 * 10**9  # 16:15 there, and 16:15 UTC


async def test_many_symbols_have_a_short_name_that_changes_with_them() -> None:
    entry = 'backfill: [{{provider: binance, at: "16:15", symbols: [{}]}}]'
    (one,) = await jobs(entry.format(", ".join(f"S{n}.NS" for n in range(9))))
    (other,) = await jobs(entry.format(", ".join(f"S{n}.NS" for n in range(1, 10))))

    assert one.name.startswith("binance 1m 7d 16:15 NSE.EQ 9 symbols ")
    assert one.name != other.name


def test_symbols_that_fail_alike_share_a_sentence() -> None:
    def report(**failures: str) -> Report:
        said = [
            SymbolReport(name, "1d", "kite", failures=[why] if why else []) for name, why in failures.items()
        ]
        return Report(said)

    with pytest.raises(PermanentError) as told:
        outcome_of(report(A="no token", B="no token"))
    assert str(told.value) == "no token"
    with pytest.raises(PermanentError) as told:
        outcome_of(report(A="no token", B="unknown"))
    assert str(told.value) == "A: no token; B: unknown"
    some = outcome_of(report(A="no token", B="", C="no token", D="no token", E="no token"))
    assert some.said == "5 symbols, 0 candles are new or changed; 4 failed: A, C, D and 1 more: no token"
