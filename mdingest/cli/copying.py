"""``copy``: a database moves up."""

import sys
from argparse import Namespace

from mdingest.cli.common import AddCommand, set_up_logging

_BAR = 30


def add(command: AddCommand) -> None:
    """The commands of this group."""
    said = "a SQLite database into PostgreSQL, verified; may be broken off and repeated"
    copy = command("copy", said, configured=False)
    copy.add_argument("--from", required=True, metavar="URL", dest="source", help="sqlite:///path")
    copy.add_argument("--to", required=True, metavar="URL", dest="target", help="postgresql://user@host/name")
    copy.set_defaults(handler=_copy)


def _copy(args: Namespace) -> int:
    set_up_logging(args)
    import asyncio
    from contextlib import aclosing

    from mdingest.app.moving import run_copy

    async def run() -> tuple[int, int]:
        unequal = more = 0
        bar = _bar if sys.stderr.isatty() else _quiet
        async with aclosing(run_copy(args.source, args.target, bar)) as copying:
            async for series in copying:
                name = f"{series.name} {series.interval}".strip()
                line = f"{name}: {series.rows} rows, {series.copied} copied"
                if series.checksum:
                    line += f", sha256 {series.checksum[:16]}"
                if bar is _bar:
                    sys.stderr.write("\r\x1b[K")
                if series.equal:
                    print(line)
                elif not series.lost:
                    more += 1
                    print(f"{line}; all are there, among {series.there}")
                else:
                    unequal += 1
                    print(
                        f"{line}: the copy differs in {series.lost} rows, it has {series.there}",
                        file=sys.stderr,
                    )
        if bar is _bar:
            sys.stderr.write("\r\x1b[K")
        return unequal, more

    unequal, more = asyncio.run(run())
    whole = "everything is there" + ("; the copy has more" if more else " and equal")
    print(f"{unequal} differ" if unequal else whole)
    return 3 if unequal else 0


def _bar(name: str, done: int, count: int) -> None:
    filled = _BAR * done // max(count, 1)
    sys.stderr.write(f"\r\x1b[K[{'#' * filled}{'.' * (_BAR - filled)}] {done}/{count} {name}")
    sys.stderr.flush()


def _quiet(name: str, done: int, count: int) -> None:
    """Lines of results are enough for a file."""
    del name, done, count
