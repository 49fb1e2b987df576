"""``mdingest gaps`` over a real database."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mdingest.cli import main
from mdingest.cli.screen import length
from mdingest.core.control import VolumeKind
from mdingest.core.events import COVERAGE, GAP, OPEN_END, Cause, Coverage, Gaps
from mdingest.core.instrument import Instrument
from mdingest.core.rank import BY_NAME
from mdingest.store import open_store
from mdingest.store.base import Transaction
from mdingest.store.migrate import migrate
from tests.support.fake_reader import at

KITE = BY_NAME["kite_ws"].id
DAY = "2026-11-20"
Span = tuple[int, int]
COLUMNS = ["symbol", "start", "end", "length", "cause", "volume", "source", "repair", "reason"]


def stored(path: Path, coverage: Sequence[Span], gaps: Sequence[tuple[Cause, int, int, float]]) -> None:
    """A database with two symbols; what is told of is RELIANCE's."""

    async def make() -> None:
        url = f"sqlite:///{path}"
        await migrate(url)
        store = await open_store(url)
        kind = VolumeKind.CUMULATIVE
        try:
            known = [Instrument(f"{name}.NS", "NSE", "", "NSE.EQ.cas", kind) for name in ("RELIANCE", "TCS")]
            one, _ = await store.ensure_instruments(known)
            heard = np.array([(one.id, KITE, 1, *span) for span in coverage], COVERAGE)
            missed = np.array([(one.id, KITE, *gap) for gap in gaps], GAP)
            await store.commit(Transaction(coverage=Coverage(heard), gaps=Gaps(missed)))
        finally:
            await store.close()

    asyncio.run(make())


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Friday: a cut of two minutes, a death at two o'clock, and a restless evening; it is six by now."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MDINGEST_CLOCK", f"{DAY}T18:00:00+05:30")
    path = tmp_path / "candles.db"
    stored(
        path,
        [(at("09:00:00"), at("10:00:00")), (at("10:02:00"), at("14:00:00"))],
        [
            (Cause.DISCONNECT, at("10:00:00"), at("10:02:00"), 750.0),
            (Cause.STOP, at("17:00:00"), at("17:30:00"), np.nan),
            (Cause.MUTE, at("17:40:00"), OPEN_END, np.nan),
        ],
    )
    return f"sqlite:///{path}"


def gaps(capsys: pytest.CaptureFixture[str], *argv: str) -> list[tuple[str, str, str]]:
    """Cause, start and end of each."""
    assert main(["gaps", "--json", *argv]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["symbol"] for row in rows} <= {"RELIANCE.NS"}
    return [(row["cause"], row["start"][11:19], str(row["end"])[11:19]) for row in rows]


def test_what_is_missing_in_trading_hours_is_listed_with_what_nobody_recorded(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cut, dead = ("disconnect", "04:30:00", "04:32:00"), ("unrecorded", "08:30:00", "10:30:00")
    here = ("--database", database)
    assert gaps(capsys, *here) == [cut, dead]
    assert gaps(capsys, *here, "--symbols", "RELIANCE.NS", "--end", f"{DAY}T05:00:00Z") == [cut]
    assert gaps(capsys, *here, "--start", "2026-11-20") == [cut, dead]
    late = ("unrecorded", "10:00:00", "10:30:00")
    assert gaps(capsys, *here, "--start", f"{DAY}T10:00:00Z") == [late]
    assert len(gaps(capsys, *here, "--all")) == 4


@pytest.mark.parametrize("first", ["0001-01-01", "1600-01-01"])
def test_a_time_long_before_any_exchange_is_as_good_as_the_beginning(
    database: str, capsys: pytest.CaptureFixture[str], first: str
) -> None:
    assert len(gaps(capsys, "--database", database, "--start", first)) == 2


def test_a_person_gets_a_table_and_its_sum(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gaps", "--database", database, "--all"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == COLUMNS
    first = f"RELIANCE.NS {DAY}T04:30:00Z {DAY}T04:32:00Z 2m 00s disconnect 750 kite_ws open -"
    assert " ".join(said[1].split()) == first
    assert any("still lasts" in line and "mute" in line for line in said[1:-1])
    assert "4 gaps of 1 symbol, 1 still lasting" in said
    assert said[-1] == "1m: 77 of 360 candles are missing, 0 of 1 symbols are complete"
    assert main(["gaps", "--database", database, "--symbols", "TCS.NS"]) == 0
    assert capsys.readouterr().out == "nothing is missing\n\nnothing was ever heard or fetched\n"


def test_it_is_told_how_complete_each_length_is_and_what_is_missing_why(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gaps", "--counts", "--json", "--database", database]) == 0
    seconds, minutes = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [minutes[name] for name in ("symbol", "interval", "expected", "known")] == [
        "RELIANCE.NS", "1m", 360, 283,
    ]  # fmt: skip
    assert minutes["why"] == [
        {"why": "disconnect", "candles": 2, "repair": "open", "reason": ""},
        {"why": "unrecorded", "candles": 75, "repair": "open", "reason": ""},
    ]
    assert (minutes["start"], minutes["end"]) == ("2026-11-19T18:30:00Z", f"{DAY}T12:29:40Z")
    assert (seconds["interval"], seconds["missing"]) == ("1s", 77 * 60)
    assert {one["reason"] for one in seconds["why"]} == {"no broker has seconds"}

    # from a date on that the feed did not hear, for which nobody ever asked
    assert main(["gaps", "--counts", "--database", database, "--start", "2026-11-19"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[2][:6] == ["RELIANCE.NS", "1m", "2026-11-18T18:30:00Z", "720", "283", "437"]
    assert " ".join(table[2][6:]) == "never_fetched 360 (open); disconnect 2 (open); unrecorded 75 (open)"


def test_an_unknown_symbol_is_named_and_the_others_are_listed(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gaps", "--database", database, "--symbols", "NOBODY.NS", "RELIANCE.NS"]) == 3
    out, err = capsys.readouterr()
    assert "disconnect" in out
    assert err == "mdingest: NOBODY.NS: nothing is stored under this name\n"


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--start", "yesterday"], "or a trade date like 2026-11-20"),
        (["--start", "2026-11-20T10:00:00"], "with an offset"),
        (["--start", "2026-11-21", "--end", "2026-11-20"], "--start must be before --end"),
    ],
)
def test_bad_times_are_refused_with_what_would_be_right(
    database: str, capsys: pytest.CaptureFixture[str], argv: list[str], told: str
) -> None:
    try:
        code = main(["gaps", "--database", database, *argv])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_without_a_database_it_says_so_and_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gaps", "--database", f"sqlite:///{tmp_path}/none.db"]) == 2
    assert "none.db" in capsys.readouterr().err
    assert not (tmp_path / "none.db").exists()


def test_lengths_are_told_in_two_units() -> None:
    told = {0: "0s", 59: "59s", 60: "1m 00s", 3_725: "1h 02m", 100_800: "1d 04h"}
    assert {seconds: length(seconds) for seconds in told} == told


def test_repair_without_a_provider_says_why_each_gap_stays_open(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        ["--database", database, "gaps", "--repair", "--json", "--symbols", "RELIANCE.NS", "NOSUCH.NS"]
    )

    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert code == 3
    assert "NOSUCH.NS: nothing is stored under this name" in said.err
    assert {row["repair"] for row in rows} == {"open"}
    assert all("repair.providers" in row["reason"] for row in rows)
