"""`mdingest export` out of both databases, beside what `/candles` says of the same range."""

import csv
import io
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mdingest import calendars
from mdingest.api import tails
from mdingest.api.reading import Reading
from mdingest.api.rows import as_csv
from mdingest.api.wanted import Tables, Wanted
from mdingest.cli import main
from mdingest.core.events import FETCHED, Fetched
from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.rank import BY_NAME
from mdingest.core.session import Session
from mdingest.store import open_store
from mdingest.store.base import Transaction
from mdingest.store.migrate import migrate
from tests.support.postgres import Server as PostgresServer
from tests.support.postgres import execute as pg_execute
from tests.support.postgres import in_a_thread
from tests.support.rows import NIFTY, NS, RELIANCE, candle, ns, transaction, uptime

DAY_S = 86_400
FIRST, LAST = ns(-40 * DAY_S), ns(2 * DAY_S)
TCS = replace(RELIANCE, symbol="TCS.NS", name="TCS")
INFY = replace(RELIANCE, symbol="INFY.NS", name="INFOSYS")


async def _fill(url: str) -> None:
    """Six weeks of minutes of RELIANCE, some without a trade; an index; days of one more share."""
    store = await open_store(url)
    await store.ensure_instruments([RELIANCE, NIFTY, TCS, INFY])
    minutes = []
    for day in range(-40, 1):
        if (day + 4) % 7 in (5, 6):  # day 0 is a Friday
            continue
        minutes += [
            candle(day * DAY_S + 60 * n, 100 + n % 50 + day / 8, interval_s=60, source="kite", volume=n % 90)
            for n in range(0, 360, 1 + abs(day) % 3)
        ]
        minutes.append(candle(day * DAY_S - 420, 90, interval_s=60, source="kite", session=Session.PREOPEN))
    index = [candle(60 * n, 20_000 + n, interval_s=60, volume=None, instrument=2) for n in range(5)]
    days = [
        (3, DAY_S, ns(day * DAY_S) // (DAY_S * NS) * DAY_S * NS, *candle(0, 3_000 + day, source="csv")[3:])
        for day in range(-30, 0)
    ]
    heard = [uptime(-3 * DAY_S, -3 * DAY_S + 3_600)]
    await store.commit(transaction(candles=[*minutes, *index, *days], coverage=heard))
    await store.commit(_in_several_lengths())
    await store.close()


def _in_several_lengths() -> Transaction:
    """INFY: hours of two weeks up to Thursday 11:15, then five minutes up to noon, then minutes."""
    sunday, thursday = -12 * DAY_S, -DAY_S
    lengths = {
        3_600: (sunday, thursday + 7_200),
        300: (thursday + 7_200, thursday + 9_900),
        60: (thursday + 9_900, DAY_S),
    }
    rows = [
        candle(
            day * DAY_S + second,
            second,
            interval_s=step,
            source="kite",
            instrument=4,
            volume=min(step, 21_600 - second),
        )
        for step, (first, last) in lengths.items()
        for day in (-11, -10, -9, -8, -7, -4, -3, -2, -1, 0)
        for second in range(0, 21_600, step)
        if first <= day * DAY_S + second < last
    ]
    kite = BY_NAME["kite"].id
    heard = [(4, step, kite, ns(first), ns(last)) for step, (first, last) in lengths.items()]
    return replace(transaction(candles=rows), fetched=Fetched(np.array(heard, FETCHED)))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path_factory.mktemp('export') / 'm.db'}"
        in_a_thread(migrate(address))
        in_a_thread(_fill(address))
        yield address
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    in_a_thread(pg_execute(server.url(), "CREATE DATABASE exported TEMPLATE migrated"))
    in_a_thread(_fill(server.url("exported")))
    yield server.url("exported")
    in_a_thread(pg_execute(server.url(), "DROP DATABASE exported WITH (FORCE)"))


@pytest.fixture
def export(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MDINGEST_CLOCK", "2026-11-22T10:00:00Z")

    def run(*words: str) -> int:
        return main(["export", "--database", url, *words])

    return run


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


async def _asked_at_once(
    url: str, interval: Interval, *, everything: bool = False, of: Instrument = RELIANCE, number: int = 1
) -> list[dict[str, str]]:
    store = await open_store(url, read_only=True)
    reading = Reading(store, Tables(calendars.load().table), lambda: LAST)
    wanted = Wanted(replace(of, id=number), interval, FIRST, LAST, 100_000, all_sessions=everything)
    found = await reading.read(wanted)
    await store.close()
    return list(csv.DictReader(io.StringIO(as_csv(found.candles).decode())))


@pytest.mark.parametrize(
    ("interval", "session"),
    [
        ("1m", "regular"),
        ("1m", "all"),
        ("7m", "regular"),
        ("1h", "regular"),
        ("1d", "regular"),
        ("1w", "regular"),
    ],
)
def test_it_says_what_candles_says(
    export: Callable[..., int], url: str, tmp_path: Path, interval: str, session: str
) -> None:
    words = ("--symbols", "RELIANCE.NS", "--interval", interval, "--session", session, "--output", "a.csv")

    assert export(*words) == 0

    found = rows_of(tmp_path / "a.csv")
    assert {(row.pop("symbol"), row.pop("interval")) for row in found} == {("RELIANCE.NS", interval)}
    assert found == in_a_thread(_asked_at_once(url, Interval.parse(interval), everything=session == "all"))
    assert len(found) > 5
    assert ("preopen" in {row["session"] for row in found}) == (session == "all")


@pytest.mark.parametrize(("interval", "count"), [("2h", 30), ("90m", 7), ("1d", 10), ("1w", 2)])
def test_what_is_stored_in_several_lengths_comes_whole(
    export: Callable[..., int], url: str, tmp_path: Path, interval: str, count: int
) -> None:
    words = ("--symbols", "INFY.NS", "--interval", interval)
    assert export(*words, "--output", "a.csv") == 0
    assert export(*words, "--format", "parquet", "--output", "a.parquet") == 0

    found = rows_of(tmp_path / "a.csv")
    assert {(row.pop("symbol"), row.pop("interval")) for row in found} == {("INFY.NS", interval)}
    at_once = _asked_at_once(url, Interval.parse(interval), of=INFY, number=4)
    assert found == in_a_thread(at_once)
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [(f"{row['ts_utc']:%FT%TZ}", row["volume"], row["state"]) for row in table] == [
        (row["ts_utc"], float(row["volume"]), row["state"]) for row in found
    ]
    if interval == "90m":  # no hour fits into it: there is what is shorter, from Thursday at 11:15 on
        assert [row["state"] for row in found] == ["partial", *["final"] * 6]
        return
    assert len(found) == count
    assert {row["state"] for row in found} == {"final"}
    assert sum(float(row["volume"]) for row in found) == 10 * 21_600


def test_parquet_says_what_csv_says(export: Callable[..., int], tmp_path: Path) -> None:
    words = ("--symbols", "NIFTY 50.NSE", "RELIANCE.NS", "--session", "all")
    assert export(*words, "--output", "a.csv") == 0
    assert export(*words, "--format", "parquet", "--output", "a.parquet") == 0

    lines, table = rows_of(tmp_path / "a.csv"), pq.read_table(tmp_path / "a.parquet")

    assert table.column_names == list(lines[0])
    spelt = []
    for row in table.to_pylist():
        row["ts_utc"] = f"{row['ts_utc']:%Y-%m-%dT%H:%M:%SZ}"
        spelt.append({key: "" if value is None else value for key, value in row.items()})
    numbers = ("open", "high", "low", "close", "volume", "oi", "trades", "revision")
    for row in lines:
        row.update({key: float(row[key]) for key in numbers if row[key]})  # type: ignore[dict-item]
    assert spelt == lines
    assert [row["volume"] for row in lines[:5]] == [""] * 5  # an index has none
    assert table.schema.field("ts_utc").type.tz == "UTC"


def test_a_range_is_cut_by_the_dates_of_the_exchange(export: Callable[..., int], tmp_path: Path) -> None:
    words = ("--symbols", "RELIANCE.NS", "--start", "2026-11-18", "--end", "2026-11-19T09:20:00+05:30")

    assert export(*words, "--output", "a.csv") == 0

    stamps = [row["ts_utc"] for row in rows_of(tmp_path / "a.csv")]
    assert (stamps[0], stamps[-1]) == ("2026-11-18T03:45:00Z", "2026-11-19T03:49:00Z")
    assert stamps == sorted(stamps)


def test_days_that_are_stored_are_taken_as_they_are(
    export: Callable[..., int], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert export("--symbols", "TCS.NS", "--interval", "1d") == 0

    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[0].startswith("symbol,interval,ts_utc,open,")
    assert len(lines) == 31
    assert lines[-1].startswith("TCS.NS,1d,2026-11-19T00:00:00Z,")
    assert ",csv," in lines[-1]


def test_unknown_symbols_are_named_and_the_others_exported(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--symbols", "TCS.NS", "RELIANSE.NS", "--interval", "1d", "--output", "a.csv") == 3
    assert "RELIANSE.NS: nothing is stored of it; did you mean RELIANCE.NS?" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "a.csv")) == 30

    assert export("--symbols", "RELIANSE.NS", "--output", "b.csv") == 2
    assert not (tmp_path / "b.csv").exists()


def test_a_symbol_without_candles_is_named(
    export: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--symbols", "TCS.NS", "--output", "a.csv") == 0

    said = capsys.readouterr().err
    assert "TCS.NS: no candles of 1m in that range" in said
    assert "a.csv: 0 candles of 0 symbols" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--interval", "1x"], "--interval "),
        (["--start", "yesterday"], "must be a date like 2026-11-20"),
        (["--start", "2026-11-20", "--end", "2026-11-20"], "--start must lie before --end"),
        (["--start", "2027-01-01"], "--start must lie before now"),
        (["--output", "."], "--output must be a file in a directory that exists"),
        (["--output", "nowhere/a.csv"], "--output must be a file in a directory that exists"),
    ],
)
def test_what_makes_no_sense_is_refused(
    export: Callable[..., int], capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert export("--symbols", "RELIANCE.NS", *words) == 2
    assert said in capsys.readouterr().err


def test_without_the_library_parquet_says_what_to_install(
    export: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    assert export("--symbols", "RELIANCE.NS", "--format", "parquet", "--output", "a.parquet") == 2
    assert "pip install 'mdingest[parquet]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_full_disk_leaves_the_file_that_was_there(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (tmp_path / "a").write_text("of yesterday")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (33_000, before[1]))  # SQLite itself needs 32 KiB
    try:
        code = export("--symbols", "RELIANCE.NS", "--format", kind, "--output", "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert code == 1
    assert "File too large" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "of yesterday"


@pytest.mark.parametrize("interval", ["5m", "1d"])
def test_a_piece_that_one_question_does_not_answer_is_asked_for_in_parts(
    export: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: str
) -> None:
    """As where only seconds are stored: a week of them is more than a question looks at."""
    words = ("--symbols", "RELIANCE.NS", "--interval", interval, "--output")
    assert export(*words, "whole.csv") == 0
    monkeypatch.setattr(tails, "SCAN_ROWS", 1_000)
    monkeypatch.setattr(tails, "_PAGE_ROWS", 400)

    assert export(*words, "parts.csv") == 0

    assert (tmp_path / "parts.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_no_piece_is_long_however_long_the_range(url: str) -> None:
    from mdingest.app.exporting import Export, Exported, export
    from mdingest.config import load, read_clock

    async def lengths() -> list[int]:
        config = load(None, {"MDINGEST_DATABASE": url})
        pieces = export(config, read_clock(config), Export(["RELIANCE.NS"], Interval(60)), Exported())
        return [len(candles) async for _, candles in pieces]

    found = in_a_thread(lengths())

    assert sum(found) > 5_000
    assert max(found) <= 5 * 360


def test_a_stop_in_the_middle_leaves_nothing(url: str, tmp_path: Path) -> None:
    """SIGTERM while it writes, which is made slow."""
    code = (
        "import sys, time, mdingest.app.exportfiles as files\n"
        "real = files._Csv.write\n"
        "def slow(self, *rows):\n"
        "    real(self, *rows); print('wrote', flush=True); time.sleep(0.05)\n"
        "files._Csv.write = slow\n"
        "from mdingest.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = ["export", "--database", url, "--symbols", "RELIANCE.NS", "--output", "a.csv"]
    with (
        subprocess.Popen(
            [sys.executable, "-c", code, *words], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        ) as process,
        closing(process.stdout) as said,
    ):  # type: ignore[type-var]
        assert said.readline() == "wrote\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1

    assert list(tmp_path.iterdir()) == []
