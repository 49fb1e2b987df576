"""What a broker lists, over time: ids for ever, tokens by date. The same on every database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mdingest.errors import PermanentError
from mdingest.store.listings import Listing, Synced, find_listings, similar_symbols, sync_listings
from mdingest.store.migrate import migrate
from tests.support.postgres import Server, in_a_thread
from tests.support.postgres import execute as pg_execute


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path / 'm.db'}"
        in_a_thread(migrate(address))
        yield address
        return
    server: Server = request.getfixturevalue("postgres")
    name = f"listings_{abs(hash(request.node.name)) % 10**8}"
    in_a_thread(pg_execute(server.url(), f"CREATE DATABASE {name} TEMPLATE migrated"))
    yield server.url(name)
    in_a_thread(pg_execute(server.url(), f"DROP DATABASE {name} WITH (FORCE)"))


def share(token: int, symbol: str, name: str = "", exchange: str = "NSE") -> Listing:
    return Listing(
        str(token),
        f"{symbol}.NS",
        exchange,
        symbol,
        name or symbol,
        "",
        "EQ",
        exchange,
        None,
        None,
        0.05,
        1.0,
    )


def option(token: int, symbol: str, expiry: str, strike: float = 100.0) -> Listing:
    return Listing(
        str(token),
        f"{symbol}.NFO",
        "NFO",
        symbol,
        "NIFTY",
        "NIFTY",
        "CE",
        "NFO-OPT",
        expiry,
        strike,
        0.05,
        65.0,
    )


async def sync(url: str, day: str, *rows: Listing) -> Synced:
    return await sync_listings(url, "kite_ws", day, rows)


async def meanings(url: str, *words: str) -> list[tuple[str, str, str, str | None]]:
    found, _ = await find_listings(url, words, limit=50, expired=True)
    return [(row.symbol, row.token, row.valid_from, row.valid_to) for row in found]


def counts(done: Synced) -> tuple[int, int, int, int, int]:
    return done.rows, done.added, done.changed, done.opened, done.closed


async def test_a_list_is_taken_in_once_and_again_without_a_change(url: str) -> None:
    rows = share(1, "INFY", "INFOSYS"), share(2, "TCS"), option(3, "NIFTY26NOV100CE", "2026-11-24")

    assert counts(await sync(url, "2026-11-20", *rows)) == (3, 3, 0, 3, 0)
    assert counts(await sync(url, "2026-11-23", *rows)) == (3, 0, 0, 0, 0)


async def test_a_token_that_is_given_away_after_an_expiry_means_both_each_in_its_time(url: str) -> None:
    old, new = option(3, "NIFTY26NOV100CE", "2026-11-24"), option(3, "NIFTY26DEC100CE", "2026-12-29")
    await sync(url, "2026-11-20", old)
    (first,), _ = await find_listings(url, ["NIFTY26NOV100CE"], limit=5)

    done = await sync(url, "2026-11-30", new)

    assert (done.opened, done.closed) == (1, 1)
    assert await meanings(url, "NIFTY26NOV100CE.NFO") == [
        ("NIFTY26NOV100CE.NFO", "3", "2026-11-20", "2026-11-25")  # the day after its expiry
    ]
    assert await meanings(url, "NIFTY26DEC100CE.NFO") == [("NIFTY26DEC100CE.NFO", "3", "2026-11-30", None)]
    (again,), _ = await find_listings(url, ["NIFTY26NOV100CE"], limit=5, expired=True)
    assert again.id == first.id


async def test_an_instrument_keeps_its_id_when_its_token_or_name_changes(url: str) -> None:
    await sync(url, "2026-11-20", share(1, "INFY", "INFOSYS"), share(2, "TCS"))
    (before,), _ = await find_listings(url, ["INFY"], limit=5)

    done = await sync(url, "2026-11-21", share(9, "INFY", "INFOSYS LTD"), share(2, "TCS"))

    (after,), _ = await find_listings(url, ["INFY"], limit=5)
    assert counts(done) == (2, 0, 1, 1, 1)
    assert (after.id, after.name, after.token) == (before.id, "INFOSYS LTD", "9")


async def test_what_two_lists_of_one_day_say_differently_leaves_no_empty_span(url: str) -> None:
    await sync(url, "2026-11-20", share(1, "INFY"), share(2, "TCS"))
    await sync(url, "2026-11-20", share(2, "INFY"), share(1, "TCS"))

    assert await meanings(url, "INFY.NS") == [("INFY.NS", "2", "2026-11-20", None)]
    assert await meanings(url, "TCS.NS") == [("TCS.NS", "1", "2026-11-20", None)]


async def test_a_list_that_lost_most_of_an_exchange_closes_nothing_of_it(url: str) -> None:
    await sync(url, "2026-11-20", *(share(n, f"S{n}") for n in range(1, 10)))

    done = await sync(url, "2026-11-21", share(1, "S1"))

    assert done.closed == 0
    assert done.problems == [
        "NSE: 1 instruments where 9 were known: nothing of it was closed (is the list whole?)"
    ]


async def test_a_list_of_one_exchange_leaves_the_others_alone(url: str) -> None:
    await sync(url, "2026-11-20", share(1, "INFY"), option(3, "NIFTY26NOV100CE", "2026-11-24"))

    assert (await sync(url, "2026-11-21", share(1, "INFY"))).closed == 0


async def test_a_symbol_that_is_there_twice_is_told(url: str) -> None:
    done = await sync(url, "2026-11-20", share(1, "INFY"), share(2, "INFY"))

    assert done.rows == 1
    assert "INFY.NS: listed twice" in done.problems[0]


async def test_finding_by_symbol_name_underlying_and_expiry(url: str) -> None:
    await sync(
        url,
        "2026-11-20",
        share(1, "INFY", "INFOSYS"),
        share(2, "INFYBEES", "INFOSYS ETF"),
        share(4, "M&M_X", "100% PURE"),
        option(6, "NIFTY26NOV200CE", "2026-11-24", 200.0),
        option(5, "NIFTY26DEC100CE", "2026-12-29"),
    )

    async def symbols(*words: str) -> list[str]:
        found, _ = await find_listings(url, words, limit=10)
        return [row.symbol for row in found]

    assert await symbols("infy") == ["INFY.NS", "INFYBEES.NS"]
    assert await symbols("infosys", "etf") == ["INFYBEES.NS"]
    assert await symbols("nifty", "2026-12") == ["NIFTY26DEC100CE.NFO"]
    assert await symbols("0%") == ["M&M_X.NS"], "a word is a text, not a pattern"
    assert await symbols("gold") == []
    found, total = await find_listings(url, ["nifty"], limit=1)
    assert (len(found), total) == (1, 2)
    assert "INFY.NS" in await similar_symbols(url, "IFNY.NS")


async def test_without_any_list_it_says_what_to_do(url: str) -> None:
    with pytest.raises(PermanentError, match="instruments sync"):
        await find_listings(url, ["INFY"], limit=5)
