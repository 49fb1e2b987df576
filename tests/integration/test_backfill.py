"""History into a real database: rank, coverage, refusals, and the command line around it."""

import asyncio
import io
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TextIO

import pytest

from mdingest.app.scheduling import outcome_of
from mdingest.cli import main
from mdingest.cli.backfill import _code
from mdingest.cli.backfill import summary as machine_readable
from mdingest.cli.bars import Bars, complaints, summary
from mdingest.core.interval import Interval
from mdingest.core.session import DAY_NS
from mdingest.errors import ConfigError, PermanentError, StoreUnavailable, TransientError
from mdingest.pipeline.history import Backfill, Chain, Order, Report, SymbolReport
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.limits import Pace, Sparing
from mdingest.pipeline.upkeep.schedule import Outcome
from mdingest.providers.csvfile import CsvHistory, CsvOptions
from mdingest.providers.history import Ask, Capabilities, History, Hours, Limits, Parsed, Reach, Reply
from mdingest.store import open_store
from mdingest.store.base import Committed, Transaction
from mdingest.store.migrate import migrate
from tests.support.history import BOOK, ScriptedHistory, Silence
from tests.support.rows import RELIANCE, Database, candle, ns

ROOT = Path(__file__).parents[2]
MINUTE = Interval.parse("1m")
NETWORK = Capabilities({60: Reach(), 86_400: Reach()}, settle_s=60, running=True)
LATER = ns(3 * 86_400)
HEADER = "time,open,high,low,close,volume\n"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/candles.db"
    await migrate(url)
    database = Database(url, await open_store(url))
    await database.store.ensure_instruments([RELIANCE])
    yield database
    await database.store.close()


async def fetched(
    db: Database,
    history: History,
    name: str = "kite",
    *,
    start: float | None = 0,
    end: float | None = 600,
    now: int = LATER,
    commit: Any = None,  # noqa: ANN401 - see Backfill
    **order: Any,  # noqa: ANN401 - see Order
) -> SymbolReport:
    (reliance,) = await db.store.ensure_instruments([RELIANCE])
    async with Fetcher() as fetcher:
        backfill = Backfill(
            name,
            history,
            db.store,
            hours=lambda instrument: Hours(BOOK, instrument.session_class),
            fetcher=fetcher,
            pace=Pace(Limits(), lambda: 0.0),
            now_ns=lambda: now,
            commit=commit,
        )
        span = (None if start is None else ns(start), None if end is None else ns(end))
        report = await backfill.run(
            Order([reliance], order.pop("interval", MINUTE), *span, **order), Silence()
        )
    return report.symbols[0]


async def stored(db: Database, interval_s: int = 60) -> list[tuple[float, float, int]]:
    rows = await db.store.candles(1, interval_s, -(1 << 61), 1 << 61, 10_000)
    return [((row["ts"] - ns(0)) / 1e9, float(row["close"]), int(row["source"])) for row in rows]


def minute(at: int, close: float, source: str, *, partial: bool = False) -> tuple[Any, ...]:
    return candle(at * 60, close, source=source, interval_s=60, partial=partial)


class OnlyTheFirst(ScriptedHistory):
    """Answers each pass through a range with its first request, and refuses the second."""

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        if ask.start_ns > ns(0) and len(self.asked) > 2:
            raise PermanentError("no more today")
        return super().parse(ask, reply)


class TestANetworkProvider:
    async def test_what_is_missing_is_fetched_once(self, db: Database) -> None:
        history = ScriptedHistory(NETWORK)

        first = await fetched(db, history)
        again = await fetched(db, history)

        assert (first.rows, first.changed) == (10, 10)
        assert (again.requests, again.rows) == ([], 0)
        assert history.asked == [(ns(0), ns(600))]

    async def test_force_asks_again_and_changes_nothing(self, db: Database) -> None:
        history = ScriptedHistory(NETWORK)
        await fetched(db, history)

        again = await fetched(db, history, force=True)

        assert (again.rows, again.changed) == (10, 0)

    async def test_a_dry_run_asks_for_nothing(self, db: Database) -> None:
        said = await fetched(db, ScriptedHistory(NETWORK), dry_run=True)

        assert said.planned == [(ns(0), ns(600))]
        assert await stored(db) == []

    async def test_a_minute_without_a_trade_is_covered(self, db: Database) -> None:
        history = ScriptedHistory(NETWORK, leave_out={ns(120), ns(540)})

        assert (await fetched(db, history)).rows == 8
        assert (await fetched(db, history)).requests == []

    async def test_a_minute_whose_row_is_wrong_is_not_covered(self, db: Database) -> None:
        history = ScriptedHistory(NETWORK, wrong={ns(120)})

        said = await fetched(db, history)
        await fetched(db, history)

        assert (said.rows, said.rejected) == (9, 1)
        assert said.rejects == ["/dev/null:1: makes no sense"]
        assert history.asked[1][1] == ns(180)

    async def test_unless_its_absence_means_nothing(self, db: Database) -> None:
        unsure = Capabilities({60: Reach()}, absence_is_no_trade=False)
        history = ScriptedHistory(unsure, leave_out={ns(120)})
        await fetched(db, history)

        await fetched(db, history)

        assert history.asked[1][0] <= ns(120) < history.asked[1][1] == ns(180)

    async def test_the_bar_that_forms_is_left_for_later(self, db: Database) -> None:
        history = ScriptedHistory(NETWORK)

        said = await fetched(db, history, now=ns(330))
        assert [at for at, _, _ in await stored(db)] == [0, 60, 120, 180]
        await fetched(db, history, now=LATER)

        assert said.requests
        assert len(await stored(db)) == 10

    async def test_rank_decides_row_by_row(self, db: Database) -> None:
        await db.put(minute(0, 7, "bhavcopy"), minute(1, 8, "kite_ws"), minute(2, 9, "yfinance"))

        said = await fetched(db, ScriptedHistory(NETWORK), end=180)

        assert [close for _, close, _ in await stored(db)] == [7, 100, 100]
        assert said.changed == 2

    async def test_an_adjusted_series_is_refused_with_its_ratio(self, db: Database) -> None:
        await db.put(*(minute(at, 200, "kite_ws") for at in range(5)))

        said = await fetched(db, ScriptedHistory(NETWORK))

        assert "closes are 0.5 times the stored ones (2026-11-20 to 2026-11-20)" in said.failures[0]
        assert "or take this series into a database of its own (--database)" in said.failures[0]
        assert {close for _, close, _ in await stored(db)} == {200}
        assert (await fetched(db, ScriptedHistory(NETWORK))).requests

    async def test_what_is_covered_betrays_an_adjustment_since(self, db: Database) -> None:
        await fetched(db, ScriptedHistory(NETWORK), end=300)

        said = await fetched(db, ScriptedHistory(NETWORK, close=50), end=600)

        assert "0.5 times" in said.failures[0]

    async def test_by_force_a_series_that_was_adjusted_since_comes_anew_as_a_whole(
        self, db: Database
    ) -> None:
        await fetched(db, ScriptedHistory(NETWORK), end=1_200)
        await db.put(minute(21, 50.0, "kite_ws"))
        asked_in_four = Capabilities({60: Reach(span_s=300)}, settle_s=60)
        split = ScriptedHistory(asked_in_four, close=50, leave_out={ns(120)})

        said = await fetched(db, split, end=1_200, force=True, anew=True)

        assert (said.failures, said.rows, said.changed, _code([said])) == ([], 19, 19, 0)
        assert "20 stored ones were replaced as a whole" in said.notes[0]
        assert said.notes[0].endswith("; 1 of them have no successor and are missing now")
        assert [(at, close) for at, close, _ in await stored(db)] == [
            (60.0 * at, 50.0) for at in (*range(2), *range(3, 20), 21)
        ]
        replaced = await db.store.replaced(1, 60, ns(0), ns(1_200))
        assert replaced["close"].tolist() == [100.0] * 20
        again = await fetched(db, split, end=1_200)
        assert [end for _, end in again.planned] == [ns(180)]  # after the missing one; some beside it, too

    async def test_seconds_never_come_anew_as_live_ones_lie_among_them(self, db: Database) -> None:
        seconds = Capabilities({1: Reach()}, settle_s=1)
        of_seconds = {"interval": Interval(1), "end": 30.0}
        await fetched(db, ScriptedHistory(seconds), **of_seconds)

        split = ScriptedHistory(seconds, close=50)
        said = await fetched(db, split, **of_seconds, force=True, anew=True)

        assert "its closes are 0.5 times the stored ones" in said.failures[0]
        assert {close for _, close, _ in await stored(db, 1)} == {100}

    async def test_nothing_is_replaced_unless_all_of_it_came(self, db: Database) -> None:
        await fetched(db, ScriptedHistory(NETWORK), end=1_200)
        before = await stored(db)
        halves = Capabilities({60: Reach(span_s=600)}, settle_s=60)

        for split, start, said in (
            (ScriptedHistory(NETWORK, close=50), 600, "Give --start 2026-11-20, if kite goes back so far"),
            (ScriptedHistory(NETWORK, close=50, leave_out={ns(60), ns(120)}), 0, "lacks 2 of 20 stored"),
            (ScriptedHistory(NETWORK, close=50, wrong={ns(60)}), 0, "its closes are 0.5 times"),
            (OnlyTheFirst(halves, close=50), 0, "no more today"),
        ):
            report = await fetched(db, split, start=start, end=1_200, force=True, anew=True)
            assert said in "; ".join(report.failures)
            assert await stored(db) == before

    async def test_nor_if_others_have_raw_prices_in_the_series(self, db: Database) -> None:
        await fetched(db, ScriptedHistory(NETWORK), end=1_200)
        await db.put(*(minute(at, 100, "kite_ws") for at in range(20, 30)))
        split = ScriptedHistory(NETWORK, close=50)

        said = await fetched(db, split, end=1_800, force=True, anew=True)

        assert "0.5 times those of kite_ws, which are stored in the same series" in said.failures[-1]
        assert {close for _, close, _ in await stored(db)} == {100}

    async def test_what_is_further_back_than_the_provider_goes_is_told(self, db: Database) -> None:
        history = ScriptedHistory(Capabilities({60: Reach(depth_s=86_400)}, settle_s=60))

        said = await fetched(db, history)

        assert said.requests == []
        assert summary(said) == "RELIANCE.NS 1m: nothing to fetch: kite has none of what is missing"
        (complaint,) = complaints(said)
        assert complaint.startswith(
            "mdingest: RELIANCE.NS: 1m of 2026-11-20 09:15 to 09:24 is missing, and kite "
        )
        assert complaint.endswith(" goes back to 2026-11-22 only: another provider may have it")
        assert _code([said]) == 3
        assert machine_readable([Report([said])])["failed"] == ["RELIANCE.NS"]
        assert outcome_of(Report([said])) == Outcome("1 symbol, 0 candles are new or changed")

    @pytest.mark.parametrize(("short_s", "rows", "code"), [(120, 8, 0), (10_800, 0, 3)])
    async def test_a_range_as_long_as_the_provider_goes_back_is_all_it_has(
        self, db: Database, short_s: int, rows: int, code: int
    ) -> None:
        history = ScriptedHistory(Capabilities({60: Reach(depth_s=3 * 86_400 - short_s)}, settle_s=60))

        said = await fetched(db, history)

        assert (said.rows, _code([said])) == (rows, code)
        (complaint,) = complaints(said)
        assert complaint.startswith("note: " if code == 0 else "mdingest: ")

    async def test_a_refusal_for_now_is_tried_again(
        self, db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waited: list[float] = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)

        monkeypatch.setattr("mdingest.pipeline.history.patience.asyncio.sleep", sleep)
        history = ScriptedHistory(
            NETWORK, errors=[TransientError("slow down", 7), TransientError("again", 2)]
        )

        assert (await fetched(db, history)).rows == 10
        assert waited == [7, 2]

    @pytest.mark.parametrize("error", [PermanentError("no such symbol"), TransientError("tomorrow", 86_400)])
    async def test_a_refusal_for_good_is_told(self, db: Database, error: PermanentError) -> None:
        said = await fetched(db, ScriptedHistory(NETWORK, errors=[error]))

        assert said.failures
        assert str(error) in said.failures[0]

    async def test_a_range_is_needed(self, db: Database) -> None:
        with pytest.raises(ConfigError, match="kite needs a range"):
            await fetched(db, ScriptedHistory(NETWORK), start=None)

    async def test_an_interval_it_lacks_is_refused_with_those_it_has(self, db: Database) -> None:
        with pytest.raises(ConfigError, match="kite has no candles of 5m; it has 1m, 1d"):
            await fetched(db, ScriptedHistory(NETWORK), interval=Interval.parse("5m"))

    async def test_a_database_that_is_busy_is_asked_again(
        self, db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def sleep(_: float) -> None:
            return

        monkeypatch.setattr("mdingest.pipeline.history.patience.asyncio.sleep", sleep)
        failures = [StoreUnavailable("busy"), StoreUnavailable("busy")]

        async def commit(transaction: Transaction) -> Committed:
            if failures:
                raise failures.pop()
            return await db.store.commit(transaction)

        assert (await fetched(db, ScriptedHistory(NETWORK), commit=commit)).changed == 10

    async def test_candles_come_with_what_they_cover(self, db: Database) -> None:
        transactions = []

        async def commit(transaction: Transaction) -> Committed:
            transactions.append(transaction)
            return await db.store.commit(transaction)

        await fetched(db, ScriptedHistory(NETWORK), commit=commit)

        assert [(len(one.candles), len(one.fetched)) for one in transactions] == [(10, 1)]

    async def test_an_adjusted_series_is_seen_before_thousands_of_stored_candles(self, db: Database) -> None:
        days = 14 * 86_400
        await fetched(db, ScriptedHistory(NETWORK), end=days, now=ns(2 * days))

        said = await fetched(
            db,
            ScriptedHistory(NETWORK, close=50.0, only=(ns(0), ns(600))),
            end=days,
            now=ns(2 * days),
            force=True,
        )

        assert "its closes are 0.5 times the stored ones" in said.failures[0]


class TestSeveralProviders:
    """The first of them wants to be asked in a minute."""

    @pytest.fixture(autouse=True)
    def _waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waited: list[float] = []

        async def sleep(seconds: float) -> None:
            self.waited.append(seconds)

        monkeypatch.setattr("mdingest.pipeline.history.patience.asyncio.sleep", sleep)

    async def both(self, db: Database, first: History, second: History) -> list[SymbolReport]:
        (reliance,) = await db.store.ensure_instruments([RELIANCE])
        async with Fetcher() as fetcher:
            chain = Chain(
                [
                    Backfill(
                        name,
                        history,
                        db.store,
                        hours=lambda instrument: Hours(BOOK, instrument.session_class),
                        fetcher=fetcher,
                        pace=Pace(Limits(), lambda: 0.0),
                        now_ns=lambda: LATER,
                    )
                    for name, history in (("yfinance", first), ("kite", second))
                ]
            )
            return (await chain.run(Order([reliance], MINUTE, ns(0), ns(600)), Silence())).symbols

    async def test_it_is_not_waited_for_while_another_has_what_is_wanted(self, db: Database) -> None:
        throttled = ScriptedHistory(NETWORK, errors=[TransientError("Too Many Requests", 60.0)])

        first, second = await self.both(db, throttled, ScriptedHistory(NETWORK))

        assert (second.provider, second.rows, first.failures, second.failures) == ("kite", 10, [], [])
        assert first.notes == ["yfinance: /dev/null: Too Many Requests; kite is asked for the rest"]
        assert self.waited == []

    async def test_it_is_asked_again_with_patience_for_what_nobody_brought(self, db: Database) -> None:
        throttled = ScriptedHistory(NETWORK, errors=[TransientError("Too Many Requests", 60.0)] * 2)
        nobody = ScriptedHistory(NETWORK, errors=[PermanentError("no such symbol")])

        said = await self.both(db, throttled, nobody)

        assert [one.provider for one in said] == ["yfinance", "kite", "yfinance"]
        assert (said[-1].rows, [one.failures for one in said]) == (10, [[], [], []])
        assert self.waited == [60.0]

    async def test_what_another_has_is_not_out_of_reach(self, db: Database) -> None:
        shallow = ScriptedHistory(Capabilities({60: Reach(depth_s=86_400)}, settle_s=60))

        first, second = await self.both(db, shallow, ScriptedHistory(NETWORK))

        assert (first.out_of_reach, second.rows, _code([first, second])) == ("", 10, 0)

    async def test_what_nobody_brought_anything_of_has_failed_altogether(self, db: Database) -> None:
        neither = [ScriptedHistory(NETWORK, errors=[PermanentError("no such symbol")]) for _ in range(2)]

        assert _code(await self.both(db, *neither)) == 1

    async def test_its_own_wish_is_known_before_it_is_asked_in_a_hurry(self) -> None:
        pace = Pace(Limits(), lambda: 100.0)
        assert pace.held_s == 0
        pace.hold(60.0)
        assert pace.held_s == Sparing(pace, 0.5).held_s == 60


class TestFiles:
    async def load(self, db: Database, path: Path, text: str, **order: Any) -> SymbolReport:  # noqa: ANN401
        path.write_text(text)  # noqa: ASYNC240 - a test may wait for its disk
        history = CsvHistory(CsvOptions(files=str(path)))
        return await fetched(db, history, "csv", **({"start": None, "end": None} | order))

    def rows(self, first: int, count: int, close: float = 11) -> str:
        return "".join(
            f"{(ns(0) // 10**9) + 60 * at},10,{close + 1},9,{close},5\n" for at in range(first, first + count)
        )

    async def test_a_file_is_read_again_and_changes_nothing(self, db: Database, tmp_path: Path) -> None:
        first = await self.load(db, tmp_path / "a.csv", HEADER + self.rows(0, 5))
        again = await self.load(db, tmp_path / "a.csv", HEADER + self.rows(0, 5))

        assert (first.rows, first.changed, again.rows, again.changed) == (5, 5, 5, 0)

    async def test_a_row_that_was_put_right_is_stored(self, db: Database, tmp_path: Path) -> None:
        broken = HEADER + self.rows(0, 2) + f"{ns(120) // 10**9},nan,1,1,1,1\n" + self.rows(3, 2)
        said = await self.load(db, tmp_path / "a.csv", broken)
        mended = await self.load(db, tmp_path / "a.csv", HEADER + self.rows(0, 5))

        assert said.rejects == [f"{tmp_path}/a.csv:4: open is no number: 'nan'"]
        assert mended.changed == 1

    async def test_only_the_range_that_was_asked_for(self, db: Database, tmp_path: Path) -> None:
        await self.load(db, tmp_path / "a.csv", HEADER + self.rows(0, 9), start=120, end=300)

        assert [at for at, _, _ in await stored(db)] == [120, 180, 240]

    async def test_what_a_file_covers_is_recorded_by_interval(self, db: Database, tmp_path: Path) -> None:
        await self.load(db, tmp_path / "a.csv", HEADER + self.rows(0, 2) + self.rows(4, 2))

        (row,) = await db.store.coverage(1, ns(0), ns(3600))
        assert (row.start_ns, row.end_ns, row.interval_s, row.source) == (ns(0), ns(360), 60, "csv")

    async def test_an_adjusted_file_is_refused_whole(self, db: Database, tmp_path: Path) -> None:
        await self.load(db, tmp_path / "a.csv", HEADER + self.rows(100, 20, close=11))

        said = await self.load(db, tmp_path / "a.csv", HEADER + self.rows(0, 120, close=22))

        assert "2 times the stored ones" in said.failures[0]
        assert len(await stored(db)) == 20

    async def test_a_row_of_the_future_is_wrong(self, db: Database, tmp_path: Path) -> None:
        said = await self.load(db, tmp_path / "a.csv", HEADER + self.rows(0, 3), now=ns(90))

        assert (said.rows, said.unfinished, said.rejected) == (1, 1, 1)
        assert "lies in the future" in said.rejects[0]

    async def test_days_are_named_by_their_date(self, db: Database, tmp_path: Path) -> None:
        text = "Date,Open,High,Low,Close,Volume\n2026-11-19,10,12,9,11,5\n2026-11-20,10,12,9,11,5\n"
        said = await self.load(db, tmp_path / "a.csv", text, interval=Interval.parse("1d"))

        rows = await db.store.candles(1, 86_400, -(1 << 61), 1 << 61, 10)
        assert said.changed == 2
        assert (rows["ts"] % DAY_NS).tolist() == [0, 0]
        (row,) = await db.store.coverage(1, 0, 1 << 61)
        assert (row.end_ns - row.start_ns) == 2 * DAY_NS
        assert row.interval_s == 86_400

    async def test_a_file_that_is_gone_fails_its_symbol(self, db: Database, tmp_path: Path) -> None:
        history = CsvHistory(CsvOptions(files=f"{tmp_path}/none.csv"))

        said = await fetched(db, history, "csv", start=None)

        assert "none.csv" in said.failures[0]


async def test_a_backfill_may_be_stopped_at_any_time(db: Database, tmp_path: Path) -> None:
    lines = "".join(f"{1_577_836_800 + 60 * n},10,12,9,11,5\n" for n in range(100_000))
    (tmp_path / "a.csv").write_text(HEADER + lines)
    history = CsvHistory(CsvOptions(files=f"{tmp_path}/a.csv"))
    for rounds in (1, 5, 25):
        task = asyncio.create_task(fetched(db, history, "csv", start=None, end=None))
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert (await fetched(db, history, "csv", start=None, end=None)).rows == 100_000


# -- the command ----------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MDINGEST_CONFIG", raising=False)
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    return tmp_path


def run(*argv: str) -> int:
    return main(["backfill", "--log-level", "error", *argv])


TWO = ("--provider", "csv", "--symbols", "RELIANCE.NS", "TCS.NS", "--interval", "1m")


def test_the_example_of_the_readme(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TWO) == 0
    assert capsys.readouterr().out.splitlines() == [
        "RELIANCE.NS 1m: 1,858 candles read, 1,858 new or changed",
        "TCS.NS 1m: 1,854 candles read, 1,854 new or changed",
    ]

    assert run(*TWO) == 0
    assert capsys.readouterr().out.count("nothing changed, all were stored") == 2

    with closing(sqlite3.connect(here / "data/mdingest.db")) as connection:
        query = "SELECT * FROM candles WHERE symbol = 'RELIANCE.NS' ORDER BY ts_utc DESC LIMIT 10"
        assert len(connection.execute(query).fetchall()) == 10


@pytest.mark.usefixtures("here")
def test_the_variant_says_the_same_in_another_dialect(capsys: pytest.CaptureFixture[str]) -> None:
    run(*TWO)
    capsys.readouterr()

    assert (
        run(
            "--provider",
            "csv",
            "--symbols",
            "RELIANCE.NS",
            "--file",
            "sample_data/RELIANCE.NS_1m.variant.csv",
        )
        == 0
    )

    said = capsys.readouterr()
    assert said.out == "RELIANCE.NS 1m: 1,858 candles read, nothing changed, all were stored\n"
    assert "name the close of their bars" in said.err


def test_the_sample_is_what_its_script_makes(tmp_path: Path) -> None:
    script = tmp_path / "make_csv.py"
    script.write_text((ROOT / "sample_data/make_csv.py").read_text())
    subprocess.run([sys.executable, script], check=True)

    made = {file.name: file.read_bytes() for file in tmp_path.glob("*.csv")}
    assert made == {file.name: file.read_bytes() for file in (ROOT / "sample_data").glob("*.csv")}
    assert all(b"# generated by" in text[:20] for text in made.values())


def test_wrong_rows_are_named_and_the_code_is_3(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "X.NS_1m.csv").write_text(
        HEADER + "2026-07-20 09:15:00,10,12,9,11,5\n2026-07-20 09:16:00,10,8,9,11,5\n"
    )
    (here / "c.yaml").write_text('providers: {csv: {files: "{symbol}_{interval}.csv", stamp: open}}\n')

    assert run("--provider", "csv", "--symbols", "X.NS", "--config", "c.yaml") == 3

    said = capsys.readouterr()
    assert said.out == "X.NS 1m: 1 candles read, 1 new or changed, 1 wrong rows rejected\n"
    assert "X.NS_1m.csv:3: high is below low\n" in said.err


def test_a_symbol_without_a_file_does_not_keep_the_others_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--provider", "csv", "--symbols", "RELIANCE.NS", "TCSS.NS") == 3

    said = capsys.readouterr()
    assert "RELIANCE.NS 1m: 1,858" in said.out
    assert "mdingest: TCSS.NS: no file sample_data/TCSS.NS_1m.csv; did you mean TCS.NS?" in said.err
    assert here.joinpath("data/mdingest.db").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--provider", "csv", "--symbols", "TCSS.NS"), "did you mean TCS.NS?"),
        (
            ("--provider", "csv", "--symbols", "TCS.NS", "--interval", "7x"),
            "interval: must be 1s, any Nm or Nh below a day",
        ),
        (
            ("--provider", "csv", "--symbols", "TCS.NS", "--interval", "3m"),
            "ask for 1m, of which 3m is made on read",
        ),
        (("--provider", "csvv", "--symbols", "TCS.NS"), "no history provider of this name; known: "),
        (("--provider", "csv"), "which symbols? give --symbols"),
        ((), "give --provider and --symbols"),
        (("--symbols", "NIFTY26NOVFUT.NFO", "--period", "1d"), "Yahoo has shares of NSE (.NS)"),
        (("--symbols", "TCS.NS"), "yfinance needs a range: give --period or --start"),
        (
            ("--provider", "alphavantage", "--symbols", "IBM", "--period", "7d", "--dry-run"),
            "into .env as ALPHAVANTAGE_API_KEY",
        ),
        (("--provider", "csv", "--symbols", "TCS.NS", "--start", "soon"), "must be a date like 2026-11-20"),
        (
            ("--provider", "csv", "--symbols", "TCS.NS", "--start", "2026-07-21", "--end", "2026-07-20"),
            "--start must lie before --end",
        ),
        (
            ("--provider", "csv", "--symbols", "TCS.NS", "--start", "2026-07-21", "--end", "2026-07-21"),
            "--start must lie before --end",
        ),
        (("--provider", "csv", "--symbols", "TCS.NS", "--end", "2026-07-32"), "--end: must be a date like"),
        (
            ("--provider", "csv", "--symbols", "TCS.NS", "--start", "2026-07-21", "--period", "1d"),
            "give one of them",
        ),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_makes_no_sense_is_refused(
    argv: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*argv) == 2
    assert said in capsys.readouterr().err
    assert not Path("data").exists(), "no database is made for it"


def test_a_list_that_cant_be_reached_is_no_bad_usage(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "config.yaml").write_text("providers: {upstox: {instruments: 'http://127.0.0.1:9/list.json'}}")

    argv = ("--provider", "upstox", "--symbols", "TCS.NS", "--interval", "1d", "--period", "5d", "--dry-run")
    assert run("--config", "config.yaml", *argv) == 1
    assert "TCS.NS: upstox: http://127.0.0.1:9/list.json can't be fetched" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_all_there_ever_was_may_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("--provider", "csv", "--symbols", "TCS.NS", "--start", "0001-01-01", "--end", "9999-12-31") == 0
    )
    assert "TCS.NS 1m: 1,854 candles read" in capsys.readouterr().out
    assert run("--symbols", "TCS.NS", "--interval", "1d", "--start", "0001-01-01", "--dry-run") == 0
    assert "TCS.NS 1d from yfinance: 1 request" in capsys.readouterr().out


def test_force_lets_an_adjusted_file_take_the_place_of_the_stored_series(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("--provider", "csv", "--file", "days.csv", "--symbols", "TCS.NS", "--interval", "1d")
    codes = []
    for price, force in ((100, ()), (50, ()), (50, ("--force",))):
        rows = [f"2026-11-{day},{price},{price},{price},{price},9" for day in range(16, 21)]
        (here / "days.csv").write_text("\n".join(["date,open,high,low,close,volume", *rows]))
        codes.append(run(*command, *force))
    told = capsys.readouterr()

    assert codes == [0, 1, 0]
    assert "backfill --force from the first stored candle on takes the place of what is stored" in told.err
    assert "note: TCS.NS: csv has adjusted its 1d candles: 5 stored ones were replaced" in told.err
    with closing(sqlite3.connect(here / "data" / "mdingest.db")) as connection:
        assert connection.execute("SELECT DISTINCT close FROM candles").fetchall() == [(50,)]
        assert connection.execute("SELECT count(*), max(close) FROM candle_revisions").fetchone() == (5, 100)


@pytest.mark.usefixtures("here")
def test_a_range_of_dates_is_of_the_exchange(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            "--provider",
            "csv",
            "--symbols",
            "TCS.NS",
            "--start",
            "2026-07-21",
            "--end",
            "2026-07-22",
            "--json",
        )
        == 0
    )

    told = json.loads(capsys.readouterr().out)
    assert 360 < told["rows"] == told["changed"] <= 375
    assert told["symbols"][0]["requests"] == ["sample_data/TCS.NS_1m.csv"]
    assert told["failed"] == []


def test_the_configuration_may_hold_the_requests(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "c.yaml").write_text("symbols: [TCS.NS]\nbackfill: [{provider: csv, interval: 1m, period: 2w}]\n")

    assert run("--config", "c.yaml", "--period", "520w") == 0
    assert "TCS.NS 1m: " in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_dry_run_names_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TWO, "--dry-run") == 0

    assert capsys.readouterr().out.splitlines() == [
        "RELIANCE.NS 1m from csv: 1 request",
        "  sample_data/RELIANCE.NS_1m.csv",
        "TCS.NS 1m from csv: 1 request",
        "  sample_data/TCS.NS_1m.csv",
    ]


def drawn_by(play: Callable[[TextIO], None]) -> str:
    """What a terminal shows of it; read in a thread, because its buffer is small."""
    main_end, terminal = pty.openpty()
    pieces: list[str] = []

    def read() -> None:
        with suppress(OSError):  # how the other end says that it has closed
            while piece := os.read(main_end, 4096):
                pieces.append(piece.decode())

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(terminal, "w") as out:
        play(out)
    reader.join(10)
    os.close(main_end)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "".join(pieces))


def test_bars_move_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    report = SymbolReport(
        "TCS.NS", "1m", "csv", requests=["x"], rows=2_000, changed=2_000, notes=["[a] guess"]
    )

    def play(out: TextIO) -> None:
        with Bars(out, out) as bars:
            bars.advanced("TCS.NS", 0.5, 1_000)
            bars.advanced("INFY.NS", 0.25, 10)
            bars.finished(report)

    drawn = drawn_by(play)
    assert re.search(r"TCS\.NS.*━.*50%.*1,000 rows", drawn)
    assert re.search(r"INFY\.NS.*━.*25%", drawn)
    assert "TCS.NS 1m: 2,000 candles read, 2,000 new or changed\r\n" in drawn
    assert "note: [a] guess\r\n" in drawn


def test_bars_on_a_terminal_leave_errors_to_the_file_they_go_to() -> None:
    err = io.StringIO()

    def play(out: TextIO) -> None:
        with Bars(out, err) as bars:
            bars.advanced("TCS.NS", 0.5, 1_000)
            bars.finished(SymbolReport("TCS.NS", "1m", "csv", requests=["x"], failures=["no"]))

    drawn = drawn_by(play)
    assert "TCS.NS 1m: failed" in drawn
    assert err.getvalue() == "mdingest: TCS.NS: no\n"


def test_elsewhere_there_is_a_line_a_symbol() -> None:
    out = io.StringIO()
    bars = Bars(out, io.StringIO())
    bars.advanced("TCS.NS", 0.5, 1_000)
    bars.finished(SymbolReport("TCS.NS", "1m", "kite"))

    assert out.getvalue() == "TCS.NS 1m: nothing to fetch: what has settled is stored\n"


def test_a_failed_symbol_says_so() -> None:
    report = SymbolReport("TCS.NS", "1m", "kite", requests=["x"], failures=["no"])

    assert summary(report) == "TCS.NS 1m: failed"
    assert list(complaints(report)) == ["mdingest: TCS.NS: no"]
