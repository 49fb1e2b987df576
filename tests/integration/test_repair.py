"""Holes of live feeds, filled from a scripted provider into a real database."""

from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mdingest.core.events import Cause
from mdingest.errors import ConfigError, TransientError
from mdingest.pipeline.history import Backfill, Chain
from mdingest.pipeline.history.fetch import Fetcher
from mdingest.pipeline.history.held import Commit
from mdingest.pipeline.history.limits import Pace
from mdingest.pipeline.upkeep.attempts import MOST_ATTEMPTS, MOST_EMPTY
from mdingest.pipeline.upkeep.repair import NOTHING_TRADES, Repairer
from mdingest.providers.history import Ask, Capabilities, Hours, Limits, Parsed, Reach, Reply
from mdingest.store import open_store
from mdingest.store.base import GapRow, Transaction
from mdingest.store.migrate import migrate
from tests.support.history import BOOK, ScriptedHistory
from tests.support.rows import NS, RELIANCE, Database, candle, gap, ns, uptime

SETTLE_S = 60
NETWORK = Capabilities({60: Reach()}, settle_s=SETTLE_S, running=True)
HOUR, DAY_S = 3_600, 86_400
TCS = replace(RELIANCE, symbol="TCS.NS")


@dataclass(eq=False)
class Asked:
    chain: Chain
    nowhere: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Mending:
    """A repairer, who answers it, and a clock turned by hand."""

    db: Database
    stack: AsyncExitStack
    history: ScriptedHistory = field(default_factory=lambda: ScriptedHistory(NETWORK, close=100.1))
    source: str = "kite"
    names: Sequence[str] = ("kite",)
    now: int = ns(HOUR)
    refuses: Exception | None = None
    asked: list[list[str]] = field(default_factory=list)  # symbols of each look-up

    def __post_init__(self) -> None:
        self.repairer = Repairer(
            self.db.store,
            self.db.store.commit,
            ready=self.ready,
            providers=lambda feed: self.names if feed == "kite_ws" else (),
            hours=lambda instrument: Hours(BOOK, instrument.session_class),
            now_ns=lambda: self.now,
        )

    async def ready(self, names: Sequence[str], symbols: Sequence[str], commit: Commit) -> Asked:
        assert names == self.names
        self.asked.append([*symbols])
        if self.refuses is not None:
            raise self.refuses
        backfill = Backfill(
            self.source,
            self.history,
            self.db.store,
            hours=lambda instrument: Hours(BOOK, instrument.session_class),
            fetcher=await self.stack.enter_async_context(Fetcher()),
            pace=Pace(Limits(), lambda: 0.0),
            now_ns=lambda: self.now,
            commit=commit,
        )
        return Asked(Chain([backfill]))

    async def look(self) -> list[GapRow]:
        """One look of the loop, and all gaps of RELIANCE after it."""
        found = await self.db.store.upkeep.repairable(self.now - SETTLE_S * NS, self.now, 100)
        await self.repairer.fill(found)
        return await self.db.store.gaps(1, ns(-DAY_S), ns(DAY_S))

    async def minutes(self) -> dict[int, tuple[float, str]]:
        """Minute of the session to close and state, from the database's own view."""
        rows = self.db.sql("SELECT ts_utc, close, source || ' ' || state FROM candles WHERE interval = '1m'")
        return {int(str(ts)[14:16]) - 45: (float(close), str(said)) for ts, close, said in rows}


@pytest.fixture
async def mending(tmp_path: Path) -> AsyncIterator[Mending]:
    url = f"sqlite:///{tmp_path}/candles.db"
    await migrate(url)
    db = Database(url, await open_store(url))
    await db.store.ensure_instruments([RELIANCE, TCS])
    async with AsyncExitStack() as stack:
        yield Mending(db, stack)
    await db.store.close()


def minute(at: int, *, partial: bool = False, **others: Any) -> tuple[Any, ...]:  # noqa: ANN401 - see `candle`
    return candle(at * 60, 100.0, interval_s=60, partial=partial, **others)


async def cut(db: Database, start: float = 130, end: float = 250, **others: Any) -> None:  # noqa: ANN401 - see `gap`
    """Live minutes 0 to 7, of which 2 to 4 suffered from a cut and 3 is missing."""
    live = [minute(at, partial=at in (2, 4)) for at in range(8) if at != 3]
    heard = [uptime(0, start), uptime(end, 480)]
    await db.put(*live, coverage=heard, gaps=[gap(start, end, **others)])


async def test_exactly_the_touched_minutes_are_fetched_and_final(mending: Mending) -> None:
    await cut(mending.db)

    (found,) = await mending.look()

    assert (found.repair, found.reason) == ("repaired", "kite")
    filled, heard = (100.1, "kite final"), (100.0, "kite_ws final")
    assert await mending.minutes() == {at: filled if at in (2, 3, 4) else heard for at in range(8)}
    assert mending.repairer.status.rows == 3
    ((start, end),) = mending.history.asked
    assert (start, end) <= (ns(120), ns(300))
    assert end == ns(300)


async def test_what_is_repaired_is_not_asked_for_again(mending: Mending) -> None:
    await cut(mending.db)
    await mending.look()

    await mending.look()

    assert len(mending.history.asked) == 1


async def test_gaps_of_one_symbol_share_a_request(mending: Mending) -> None:
    await cut(mending.db)
    await mending.db.put(gaps=[gap(370, 371, cause=Cause.LATE), gap(400, 410)])

    found = await mending.look()

    assert {gap.repair for gap in found} == {"repaired"}
    assert len(mending.history.asked) == 1
    assert sorted(at for at, (close, _) in (await mending.minutes()).items() if close == 100.1) == [
        2,
        3,
        4,
        6,
    ]


async def test_symbols_of_one_outage_are_looked_up_together(mending: Mending) -> None:
    await cut(mending.db)
    (other,) = [(2, *row[1:]) for row in [gap(130, 250)]]
    await mending.db.put(gaps=[other])

    await mending.look()

    assert mending.asked == [["RELIANCE.NS", "TCS.NS"]]
    assert await mending.db.store.upkeep.unrepaired(0, 9) == []


async def test_what_has_not_settled_waits(mending: Mending) -> None:
    await cut(mending.db)
    mending.now = ns(300 + SETTLE_S) - 1

    (early,) = await mending.look()
    mending.now += 1
    (late,) = await mending.look()

    assert (early.repair, early.attempts) == ("open", 0)
    assert late.repair == "repaired"


async def test_a_provider_that_settles_later_is_asked_later_and_no_attempt_is_lost(mending: Mending) -> None:
    mending.history.capabilities = Capabilities({60: Reach()}, settle_s=900)
    await cut(mending.db)
    mending.now = ns(600)

    (early,) = await mending.look()
    mending.now = ns(300 + 900)
    (late,) = await mending.look()

    assert (early.repair, early.attempts, early.reason) == ("open", 0, "too early: kite may still change it")
    assert late.repair == "repaired"


async def test_minutes_that_settle_one_after_another_are_two_requests_and_no_more(mending: Mending) -> None:
    mending.history.capabilities = Capabilities({60: Reach()}, settle_s=900)
    await cut(mending.db, 130, 550)
    mending.now = ns(900 + 240)

    (early,) = await mending.look()
    mending.now = early.retry_ns
    (late,) = await mending.look()

    assert (early.repair, early.retry_ns) == ("open", ns(600 + 900))
    assert (late.repair, len(mending.history.asked)) == ("repaired", 2)


async def test_a_failure_is_tried_again_later_and_later_and_not_for_ever(mending: Mending) -> None:
    await cut(mending.db)
    mending.refuses = TransientError("kite does not answer")
    waits = []
    for attempt in range(1, MOST_ATTEMPTS):
        (found,) = await mending.look()
        assert (found.repair, found.attempts, found.reason) == ("open", attempt, "kite does not answer")
        waits.append((found.retry_ns - mending.now) // 1_000_000_000)
        mending.now = found.retry_ns - 1
        assert await mending.look() == [found]
        mending.now += 1
    (found,) = await mending.look()

    assert waits == sorted(waits)
    assert (waits[0], waits[1], waits[-1]) == (60, 120, 6 * HOUR)
    assert (found.repair, found.reason) == (
        "unfillable",
        f"given up after {MOST_ATTEMPTS} attempts: kite does not answer",
    )
    assert await mending.db.store.upkeep.repairable(mending.now * 2, mending.now * 2, 9) == []


async def test_after_a_failure_it_is_filled_once_the_provider_is_back(mending: Mending) -> None:
    await cut(mending.db)
    mending.refuses = TransientError("kite does not answer")
    (found,) = await mending.look()
    mending.refuses, mending.now = None, found.retry_ns

    (found,) = await mending.look()

    assert (found.repair, found.reason, mending.repairer.status.error) == ("repaired", "kite", "")


async def test_without_a_provider_the_gap_stays_open_and_says_so(mending: Mending) -> None:
    await cut(mending.db)
    mending.names = ()

    (found,) = await mending.look()

    assert (found.repair, found.attempts) == ("open", 0)
    assert "repair.providers" in found.reason


async def test_a_symbol_that_nobody_has_is_a_failure_that_names_it(mending: Mending) -> None:
    await cut(mending.db)
    mending.refuses = ConfigError("RELIANCE.NS: not in the list of kite")

    (found,) = await mending.look()

    assert (found.repair, found.reason) == ("open", "RELIANCE.NS: not in the list of kite")


async def test_beyond_the_depth_of_the_provider_it_is_unfillable_at_once(mending: Mending) -> None:
    mending.history.capabilities = Capabilities({60: Reach(depth_s=30)}, settle_s=SETTLE_S)
    await cut(mending.db)

    (found,) = await mending.look()

    assert found.repair == "unfillable"
    assert "further back than kite goes" in found.reason
    assert mending.history.asked == []


async def test_what_the_provider_does_not_have_is_unfillable_in_the_end(mending: Mending) -> None:
    mending.history.capabilities = Capabilities({60: Reach()}, settle_s=SETTLE_S, absence_is_no_trade=False)
    mending.history.leave_out = {ns(180)}
    await cut(mending.db)

    for _ in range(MOST_EMPTY):
        (found,) = await mending.look()
        mending.now = max(mending.now, found.retry_ns)

    assert (found.repair, found.attempts) == ("unfillable", MOST_EMPTY)
    assert found.reason == "1 minute from 2026-11-20T03:48:00Z: kite has none"


class SureADayLater(ScriptedHistory):
    """What is newer than its last bar may just not be there yet, for a day; as Yahoo's."""

    def parse(self, ask: Ask, reply: Reply) -> Generator[Parsed, None, None]:
        for part in super().parse(ask, reply):
            if ask.now_ns < ask.end_ns + DAY_S * NS:
                part.answered = (ask.start_ns, ask.start_ns)
            yield part


async def test_a_thin_share_that_a_provider_is_sure_of_a_day_later_is_repaired_then(mending: Mending) -> None:
    mending.history = SureADayLater(NETWORK, leave_out={ns(180)})
    live = [minute(at) for at in range(8) if at != 3]
    await mending.db.put(*live, coverage=[uptime(0, 190), uptime(230, 480)], gaps=[gap(190, 230)])

    states = []
    for _ in range(MOST_EMPTY):
        (found,) = await mending.look()
        states.append(found.repair)
        mending.now = max(mending.now, found.retry_ns)

    assert states == ["open", "open", "repaired"]


async def test_a_minute_that_traded_and_has_no_bar_stays_partial(mending: Mending) -> None:
    mending.history.leave_out = {ns(120)}
    await cut(mending.db)

    for _ in range(MOST_EMPTY):
        (found,) = await mending.look()
        mending.now = max(mending.now, found.retry_ns)

    assert found.repair == "unfillable"
    assert (await mending.minutes())[2] == (100.0, "kite_ws partial")


async def test_what_is_partly_beyond_the_depth_is_no_wait_for_bars_to_settle(mending: Mending) -> None:
    mending.history.capabilities = Capabilities({60: Reach(depth_s=HOUR - 180)}, settle_s=SETTLE_S)
    mending.history.leave_out = {ns(240)}
    await cut(mending.db)

    (found,) = await mending.look()

    assert (found.repair, found.attempts) == ("open", 1)
    assert "kite has none" in found.reason


async def test_a_gap_longer_than_a_page_of_minutes_is_looked_at_to_its_beginning(
    mending: Mending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdingest.pipeline.upkeep.repair._MOST_MINUTES", 2)
    mending.history.leave_out = {ns(120)}
    await cut(mending.db)

    (found,) = await mending.look()

    assert found.repair == "open", "the partial minute 2 lies before the last two"


async def test_a_minute_without_a_trade_is_no_hole(mending: Mending) -> None:
    mending.history.leave_out = {ns(180)}
    await cut(mending.db)

    (found,) = await mending.look()

    assert found.repair == "repaired"
    assert 3 not in await mending.minutes()


async def test_a_gap_outside_of_trading_hours_is_no_work(mending: Mending) -> None:
    await mending.db.put(gaps=[gap(8 * HOUR, 10 * HOUR)])
    mending.now = ns(11 * HOUR)

    (found,) = await mending.look()

    assert (found.repair, found.reason, mending.asked) == ("repaired", NOTHING_TRADES, [])


async def test_what_another_feed_heard_needs_no_request(mending: Mending) -> None:
    await cut(mending.db)
    others = [minute(at, source="upstox_ws") for at in (2, 3, 4)]
    await mending.db.put(*others, coverage=[uptime(0, 480, source="upstox_ws", stream=2)])

    (found,) = await mending.look()

    assert (found.repair, found.reason, mending.asked) == ("repaired", "upstox_ws", [])


async def test_a_death_between_rows_and_verdict_costs_no_second_request(mending: Mending) -> None:
    await cut(mending.db)
    await mending.look()
    (done,) = await mending.db.store.gaps(1, 0, ns(DAY_S))

    await mending.db.store.commit(Transaction(repairs=[replace(done, repair="repairing", reason="")]))

    (found,) = await mending.look()

    assert (found.repair, found.reason, len(mending.history.asked)) == ("repaired", "kite", 1)


async def test_an_instrument_whose_trading_hours_nobody_knows_any_more_may_trade_at_any_time(
    mending: Mending,
) -> None:
    await mending.db.store.ensure_instruments([replace(RELIANCE, session_class="of.last.year")])
    await mending.db.put(gaps=[gap(130, 250)])

    (found,) = await mending.look()

    assert (found.repair, found.attempts) == ("open", 1)
    assert "session class" in found.reason
