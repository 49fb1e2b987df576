"""``instruments``: what a broker lists, as a table to search."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdingest.cli.common import AddCommand, everywhere, load_config, whole

if TYPE_CHECKING:
    from mdingest.store.listings import Listed

_DONE, _FAILED, _INCOMPLETE = 0, 1, 3
_COLUMNS = (
    "symbol",
    "name",
    "kind",
    "expiry",
    "strike",
    "lot_size",
    "tick_size",
    "token",
    "valid_from",
    "valid_to",
    "id",
)


def add(command: AddCommand) -> None:
    """The commands of this group."""
    group = command("instruments", "the instrument master: fetch it, search it")
    actions = group.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, text: str) -> ArgumentParser:
        return actions.add_parser(
            name, help=text, description=text, parents=[everywhere()], allow_abbrev=False
        )

    sync = action("sync", "bring the table up to date with the broker's list")
    sync.add_argument("--provider", default="kite", metavar="NAME", help="kite (default) or upstox")
    sync.add_argument(
        "--from", dest="source", metavar="SOURCE", help="address or file; default: as configured"
    )
    sync.set_defaults(handler=_sync)
    find = action("find", "by symbol, name, underlying or expiry")
    find.add_argument("text", nargs="+", metavar="TEXT", help="every word must be found: NIFTY 2026-11 CE")
    find.add_argument("--limit", type=whole(1, 100_000), default=20, metavar="N", help="default: 20")
    find.add_argument("--expired", action="store_true", help="also what is no longer listed")
    find.add_argument("--json", action="store_true", help="the same for programs")
    find.set_defaults(handler=_find)


def _sync(args: Namespace) -> int:
    config = load_config(args, forgive=_NO_SECRETS)
    import asyncio

    from mdingest.app.listing import sync_instruments
    from mdingest.config import read_clock

    done = asyncio.run(sync_instruments(config, args.provider, args.source, read_clock(config)))
    print(
        f"{done.rows} instruments: {done.added} new, {done.changed} changed; "
        f"tokens: {done.opened} began, {done.closed} ended"
    )
    for problem in done.problems:
        print(problem, file=sys.stderr)
    return _INCOMPLETE if done.problems else _DONE


def _find(args: Namespace) -> int:
    config = load_config(args, forgive=_NO_SECRETS)
    import asyncio

    from mdingest.app.listing import find_instruments, nearest_symbols
    from mdingest.errors import ConfigError

    words = [word for text in args.text for word in text.split()]
    if not words:
        raise ConfigError(
            "find what? give a part of a symbol or name: mdingest instruments find NIFTY 2026-11"
        )
    found, total = asyncio.run(find_instruments(config, words, limit=args.limit, expired=args.expired))
    if args.json:
        import orjson

        print(orjson.dumps([row._asdict() for row in found], option=orjson.OPT_INDENT_2).decode())
    elif found:
        print("\n".join(_table(found)))
        if total > len(found):
            print(f"... and {total - len(found)} more (--limit, or more words)")
    if found:
        return _DONE
    near = asyncio.run(nearest_symbols(config, " ".join(words)))
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    print(f"mdingest: nothing is called {' '.join(words)}{hint}", file=sys.stderr)
    return _FAILED


_NO_SECRETS = tuple(f"providers.kite_ws.{key}" for key in ("access_token", "api_secret"))


def _table(rows: "list[Listed]") -> Iterator[str]:
    cells = [list(_COLUMNS), *([_text(getattr(row, column)) for column in _COLUMNS] for row in rows)]
    used = [
        n
        for n, column in enumerate(_COLUMNS)
        if column == "symbol" or any(row[n] != "-" for row in cells[1:])
    ]
    widths = {n: max(len(row[n]) for row in cells) for n in used}
    for row in cells:
        yield "  ".join(f"{row[n]:{widths[n]}}" for n in used).rstrip()


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
