"""``mdingest reconcile`` over a real database and a file of bars."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mdingest.cli import main
from mdingest.core.control import VolumeKind
from mdingest.core.events import CANDLE, COVERAGE, Candles, Coverage
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_NAME
from mdingest.store import open_store
from mdingest.store.base import Transaction
from mdingest.store.migrate import migrate
from tests.support.fake_reader import at
from tests.support.rows import candle, ns

KITE = BY_NAME["kite_ws"].id
BARS = """time,open,high,low,close,volume
2026-11-20T09:15:00+05:30,99,101,98,100,5
2026-11-20T09:16:00+05:30,99,101,98,100.5,5
2026-11-20T09:17:00+05:30,99,101,98,100,6
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three live minutes, the last of them partial, on an evening after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MDINGEST_CLOCK", "2026-11-20T18:00:00+05:30")
    (tmp_path / "RELIANCE_1m.csv").write_text(BARS)
    (tmp_path / "config.yaml").write_text(
        'database: {url: "sqlite:///candles.db"}\nsymbols: [RELIANCE.NS]\n'
        'providers: {csv: {files: "{name}_{interval}.csv"}}\n'
    )

    async def make() -> None:
        await migrate("sqlite:///candles.db")
        store = await open_store("sqlite:///candles.db")
        kind = VolumeKind.CUMULATIVE
        await store.ensure_instruments([Instrument("RELIANCE.NS", "NSE", "", "NSE.EQ.cas", kind)])
        rows = [candle(60 * n, 100, interval_s=60, partial=n == 2) for n in range(3)]
        heard = [(1, KITE, 1, at("08:59:00"), ns(150))]
        await store.commit(
            Transaction(candles=Candles(np.array(rows, CANDLE)), coverage=Coverage(np.array(heard, COVERAGE)))
        )
        await store.close()

    asyncio.run(make())
    return tmp_path


def reconcile(*arguments: str) -> int:
    return main(["--config", "config.yaml", "reconcile", *arguments])


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[int, int]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {line["field"]: (line["compared"], line["differing"]) for line in lines}


@pytest.mark.usefixtures("place")
def test_fields_are_compared_shown_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert reconcile("--provider", "csv", "--json") == 0
    found = told(capsys)

    # 09:17 is partial: what it lacks is known, so it is no difference of the feed
    assert found["close"] == (2, 1)
    assert found["volume"] == (2, 0)
    assert found["candle"] == (3, 1)
    assert reconcile("--show", "--json", "--symbols", "RELIANCE.NS") == 0
    assert told(capsys) == found
    assert reconcile("--show", "--json", "--provider", "csv", "--interval", "1m") == 0
    assert told(capsys) == found
    for other in (("--date", "2026-11-19"), ("--provider", "kite"), ("--interval", "1d")):
        assert reconcile("--show", *other) == 0
        assert capsys.readouterr().out == "nothing was compared\n"


def test_rank_decides_what_is_stored_and_a_second_time_tells_the_same(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reconcile("--provider", "csv", "--json")
    first = told(capsys)
    with closing(sqlite3.connect(place / "candles.db")) as connection:
        stored = connection.execute("SELECT source, close FROM candles WHERE interval = '1m' ORDER BY ts_utc")
        # csv ranks below what was heard wholly, and above what was not
        assert stored.fetchall() == [("kite_ws", 100.0), ("kite_ws", 100.0), ("csv", 100.0)]
        kept = connection.execute("SELECT source, state FROM candle_revisions").fetchall()
        assert kept == [(KITE, 1)]

    assert reconcile("--provider", "csv", "--json") == 0
    assert told(capsys) == first


@pytest.mark.usefixtures("place")
def test_a_day_with_holes_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    Path("RELIANCE_1d.csv").write_text("date,open,high,low,close,volume\n2026-11-20,99,101,98,100,15\n")

    assert reconcile("--provider", "csv", "--interval", "1d") == 1
    assert "not complete: 403 missing from 2026-11-20T03:47:00Z on" in capsys.readouterr().err
    with closing(sqlite3.connect("candles.db")) as connection:  # and its day is had all the same
        stored = connection.execute("SELECT source, close FROM candles WHERE interval = '1d'")
        assert stored.fetchall() == [("csv", 100.0)]


@pytest.mark.usefixtures("place")
def test_people_are_shown_what_differs_and_by_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    reconcile("--provider", "csv")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]

    head = ["RELIANCE.NS", "2026-11-20", "1m", "csv"]
    assert rows[1:3] == [
        [*head, "candle", "3", "1", "2026-11-20T03:47:00Z", "0", "1", "-"],  # only they have it whole
        [*head, "close", "2", "1", "2026-11-20T03:46:00Z", "100", "100.5", "+0.5%"],
    ]
    assert " ".join(rows[-1]) == "2026-11-20 1m against csv: 1 symbol, 2 of 13 values differ"
    reconcile("--show", "--all")
    assert "volume" in capsys.readouterr().out


@pytest.mark.usefixtures("place")
def test_an_interval_alone_means_the_entries_of_that_interval(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("config.yaml").open("a") as file:
        file.write("reconcile: [{provider: csv}]\n")

    assert reconcile("--interval", "1m", "--json") == 0
    assert told(capsys)["close"] == (2, 1)
    assert reconcile("--interval", "1d") == 2
    assert "no entry under reconcile has interval 1d: give --provider" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
def test_a_day_that_nobody_heard_is_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert reconcile("--provider", "csv", "--date", "2026-11-19") == 1
    assert "RELIANCE.NS: nothing was built live on 2026-11-19" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give --provider"),
        (("--provider", "csv", "--interval", "5m"), "must be 1m or 1d"),
        (("--provider", "nobody"), "no history provider of this name"),
        (("--provider", "csv", "--date", "yesterday"), "2026-11-20"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reconcile(*arguments) == 2
    assert says in capsys.readouterr().err
